// As node_sdk.mjs, in a process for each kind of item: what one would do by hand to reach several
// partitions at once.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { campaign, removeAll, report, warmUp } from './common.mjs';

const KINDS = ['ACTIVITY#', 'ANALYTICS#', 'CHAT#', 'DELIVERY#', 'MESSAGE#', 'PROSPECT#', 'TASK#', 'WEBHOOK#'];

const kind = process.argv[3];
if (kind) {
  await warmUp();
  process.send('ready');
  await new Promise((resolve) => process.once('message', resolve));
  const before = process.cpuUsage();
  await removeAll(16, kind);
  const used = process.cpuUsage(before);
  process.send((used.user + used.system) / 1e6, () => process.disconnect());
} else {
  const message = (child) =>
    new Promise((resolve, reject) => {
      child.once('message', resolve);
      child.once('exit', (code) => code && reject(new Error(`a process has failed with ${code}`)));
    });
  const children = KINDS.map((kind) => fork(fileURLToPath(import.meta.url), [campaign, kind]));
  await Promise.all(children.map(message));
  await report(async () => {
    const done = children.map(message);
    children.forEach((child) => child.send('go'));
    return (await Promise.all(done)).reduce((sum, cpu) => sum + cpu, 0);
  });
}

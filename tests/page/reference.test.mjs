// The reference: every operation of the served OpenAPI document, and calls that are sent from the page.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { Visit, launch } from './browser.mjs';
import { Server, call, campaignItem, seed, send } from './server.mjs';
import { heading, main } from './views.mjs';

let browser;
let server;
let document;

before(async () => {
  [browser, server] = await Promise.all([launch(), Server.serve()]);
  document = JSON.parse((await send(server, 'GET', '/v1/openapi.json')).text);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function opened(t) {
  const visit = await Visit.open(t, browser, server, { permissions: ['clipboard-read', 'clipboard-write'] });
  await visit.go('reference');
  await heading(visit.page, 'Reference').waitFor();
  return visit;
}

/** The part of the page that describes an operation. */
const operation = (page, name) =>
  main(page)
    .getByRole('region', { name, exact: true })
    .or(main(page).getByRole('article', { name, exact: true }));

test('every operation is described as in the document', async (t) => {
  const { page } = await opened(t);
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, described] of Object.entries(methods)) {
      const part = operation(page, `${method.toUpperCase()} ${path}`);
      await part.waitFor();
      const text = await part.evaluate((it) => it.textContent);
      assert.ok(text.includes(described.summary), `${path}: ${described.summary}`);
      for (const parameter of described.parameters ?? [])
        assert.ok(text.includes(parameter.name), parameter.name);
      for (const status of Object.keys(described.responses))
        assert.ok(text.includes(status), `${path} ${status}`);
    }
  }
  const text = await main(page).evaluate((it) => it.textContent);
  for (const schema of Object.keys(document.components.schemas)) assert.ok(text.includes(schema), schema);
  assert.ok(!text.includes(server.key), 'the key is not shown');
});

test('a line that is copied runs in a shell', async (t) => {
  const { page } = await opened(t);
  const part = operation(page, 'GET /v1/deletions');
  await part.getByRole('button', { name: 'Copy' }).first().click();
  const line = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(line.startsWith('curl ') && line.includes(server.key), line.replace(server.key, '...'));
  const { stdout } = await promisify(execFile)('sh', ['-c', `${line} --silent`]);
  assert.deepEqual(JSON.parse(stdout), await call(server, 'GET', '/v1/deletions'));
});

test('a GET is tried, and its answer shown', async (t) => {
  const { page } = await opened(t);
  const part = operation(page, 'GET /v1/deletions');
  await part.getByRole('button', { name: 'Try it' }).click();
  await part
    .getByRole('textbox', { name: /limit/ })
    .or(part.getByRole('spinbutton', { name: /limit/ }))
    .fill('1');
  const answered = page.waitForResponse('**/v1/deletions?*');
  await part.getByRole('button', { name: 'Send' }).click();
  assert.equal((await answered).status(), 200);
  await part
    .getByText(/ratelimit-policy/i)
    .first()
    .waitFor();
  const text = await part.innerText();
  assert.match(text, /\b200\b/);
  assert.match(text, /"deletions": ?\[/);
});

test('a dry run is tried, a real deletion wants the id typed', async (t) => {
  const visit = await opened(t);
  const { page } = visit;
  const part = operation(page, 'DELETE /v1/campaigns/{id}');
  await part.getByText('This is not a dry run: it really deletes.', { exact: true }).first().waitFor();
  await part.getByRole('button', { name: 'Try it' }).click();
  const id = part.getByRole('textbox', { name: /^id\b/ });
  assert.ok(await id.evaluate((it) => it === document.activeElement), 'the first field has the focus');
  await id.fill('campaign_123');
  await part.getByRole('combobox', { name: /validateOnly/ }).selectOption('true');
  await part.getByRole('button', { name: 'Send' }).click();
  await part
    .getByText(/Campaign can be deleted/)
    .filter({ visible: true })
    .last()
    .waitFor();
  assert.ok(await campaignItem(server, 'campaign_123'));

  await part.getByRole('combobox', { name: /validateOnly/ }).selectOption('false');
  const sendButton = part.getByRole('button', { name: 'Send' });
  if (await sendButton.isEnabled()) await sendButton.click();
  const typed = part.getByRole('textbox', { name: /Type the campaign id to confirm/ });
  await typed.fill('campaign_12');
  if (await sendButton.isEnabled()) await sendButton.click();
  assert.ok(
    visit.sent('/v1/campaigns/').every(({ path }) => path.includes('validateOnly=true')),
    'nothing was sent',
  );
  await typed.fill('campaign_123');
  await sendButton.click();
  await part
    .getByText(/Campaign deleted successfully/)
    .filter({ visible: true })
    .last()
    .waitFor();
  assert.equal(await campaignItem(server, 'campaign_123'), undefined);
});

test('what was looked at last is filled in', async (t) => {
  await seed(server, 'looked_at');
  const { deletionSummary } = await call(server, 'DELETE', '/v1/campaigns/looked_at');
  const { deletionId } = deletionSummary;
  const visit = await opened(t);
  const { page } = visit;
  await visit.go('campaigns/campaign_active');
  await heading(page, 'Running Outreach').waitFor();
  await visit.go(`deletions/${deletionId}`);
  await page.getByText('Each item was counted once').waitFor();
  await visit.go('reference');
  const removal = operation(page, 'DELETE /v1/campaigns/{id}');
  // A line that deletes names no campaign that was only looked at; the form begins as a dry run.
  const lines = await removal.locator('.command code').allInnerTexts();
  assert.ok(lines.length === 1 && !lines[0].includes('campaign_active'), `${lines.length} lines`);
  await removal.getByRole('button', { name: 'Try it' }).click();
  assert.equal(await removal.getByRole('textbox', { name: /^id\b/ }).inputValue(), 'campaign_active');
  assert.equal(await removal.getByRole('combobox', { name: /validateOnly/ }).inputValue(), 'true');
  const part = operation(page, 'GET /v1/deletions/{deletionId}');
  assert.ok((await part.locator('code').allInnerTexts()).some((line) => line.includes(deletionId)));
  await part.getByRole('button', { name: 'Try it' }).click();
  await part.getByRole('button', { name: 'Send' }).click();
  await part
    .getByText(/"status": ?"succeeded"/)
    .filter({ visible: true })
    .last()
    .waitFor();
});

test('several campaigns are tried as a dry run', async (t) => {
  const { page } = await opened(t);
  const part = operation(page, 'POST /v1/deletions');
  await part.getByRole('button', { name: 'Try it' }).click();
  const body = part.getByRole('textbox', { name: /body/i });
  await body.fill('{"campaignIds": ["campaign_active"], "validateOnly": true}');
  await part.getByRole('button', { name: 'Send' }).click();
  await part
    .getByText(/Cannot delete active campaign/)
    .filter({ visible: true })
    .last()
    .waitFor();
  await body.fill('{not json');
  await part.getByRole('button', { name: 'Send' }).click();
  await part
    .getByText(/validation_error|not JSON/i)
    .filter({ visible: true })
    .last()
    .waitFor();
});

// The list of a table that has more campaigns than the server lists at once.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Visit, launch } from './browser.mjs';
import { ACCOUNT, Server } from './server.mjs';
import { heading, link, main, navigation } from './views.mjs';

let browser;
let server;

before(async () => {
  [browser, server] = await Promise.all([launch(), Server.serve()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const campaign = (id, status) => ({
  id,
  name: id,
  accountId: ACCOUNT,
  status,
  updatedAt: '2026-01-02T03:04:05Z',
});

/** Opens the list of a server that lists one campaign, unless it is asked for a status. */
async function opened(t, slow = () => false) {
  const visit = await Visit.begin(t, browser, server);
  await visit.context.route('**/local/campaigns*', async (route) => {
    const status = new URL(route.request().url()).searchParams.get('status');
    if (slow(status)) await new Promise((resolve) => setTimeout(resolve, 1_500));
    const body = {
      campaigns: [campaign(`of_${status ?? 'all'}`, status ?? 'active')],
      complete: status !== null,
      unreadable: [],
    };
    await route.fulfill({ contentType: 'application/json', body: JSON.stringify(body) });
  });
  visit.page = await visit.tab(server.address);
  await main(visit.page)
    .getByText(/^Only the first/)
    .waitFor();
  return visit;
}

const choose = (page, status) => page.getByRole('combobox', { name: 'Status' }).selectOption(status);

test('a status that was chosen is asked for again', async (t) => {
  const { page } = await opened(t);
  await choose(page, 'paused');
  await link(page, 'of_paused').waitFor();
  await navigation(page, 'Deletions').click();
  await heading(page, 'Deletions').waitFor();
  await navigation(page, 'Campaigns').click();
  await link(page, 'of_paused').waitFor();
  await choose(page, '');
  await link(page, 'of_all').waitFor();
});

test('an answer that comes late does not replace a later one', async (t) => {
  const { page } = await opened(t, (status) => status === 'paused');
  await choose(page, 'paused');
  await choose(page, 'draft');
  await link(page, 'of_draft').waitFor();
  await page.waitForTimeout(2_000);
  assert.equal(await link(page, 'of_draft').count(), 1);
});

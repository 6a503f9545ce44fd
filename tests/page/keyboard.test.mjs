// The page by the keyboard alone: no test here moves a mouse.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Visit, launch } from './browser.mjs';
import { Server, campaignItem, putCampaigns, seed } from './server.mjs';
import { assertDeleted, button, confirmation, filter, heading, link, main, navigation } from './views.mjs';

const COUNTS = { prospects: 2, chats: 1, messages: 3, tasks: 0, webhookEvents: 0, analytics: 0 };
/** More presses than a view before its table has places for the focus. */
const MOST_PRESSES = 60;

let browser;
let server;

before(async () => {
  [browser, server] = await Promise.all([launch(), Server.serve()]);
  await seed(server, 'typed', '--prospects', '2', '--chats', '1', '--messages', '3');
  await putCampaigns(server, [
    { id: 'alpha', name: 'Alpha', updatedAt: '2025-01-01T00:00:00Z' },
    { id: 'omega', name: 'Omega', updatedAt: '2025-06-01T00:00:00Z', campaignStatus: 'draft' },
  ]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const isFocused = (locator) => locator.evaluate((it) => it === document.activeElement);

/** Whether one sees where the focus is: an outline or a shadow that is there with the focus alone. */
async function assertVisible(page) {
  const seen = await page.evaluate(() => {
    const it = document.activeElement;
    const look = () => {
      const { outlineStyle, outlineWidth, outlineColor, boxShadow } = getComputedStyle(it);
      const outline = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1.5;
      return { outline: outline && outlineColor, boxShadow };
    };
    const focused = look();
    it.blur();
    const blurred = look();
    it.focus({ focusVisible: true });
    const differs = focused.outline !== blurred.outline || focused.boxShadow !== blurred.boxShadow;
    return { what: `${it.tagName} ${it.textContent.slice(0, 30)}`, focused, differs };
  });
  assert.ok(
    seen.differs && (seen.focused.outline || seen.focused.boxShadow !== 'none'),
    JSON.stringify(seen),
  );
}

/** Presses Tab until this has the focus. */
async function tabTo(page, locator, key = 'Tab') {
  for (let presses = 0; presses < MOST_PRESSES; presses += 1) {
    await page.keyboard.press(key);
    if ((await locator.count()) && (await isFocused(locator.first()))) return assertVisible(page);
  }
  throw new Error(`${MOST_PRESSES} presses of ${key} do not reach ${locator}`);
}

const names = async (page) => await main(page).getByRole('row').getByRole('link').allTextContents();

test('the first press of Tab offers to skip to the content', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await link(page, 'Alpha').waitFor();
  // From the top of the document, where a person begins who has opened it.
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('Tab');
  const skip = page.getByRole('link', { name: 'Skip to content' });
  assert.ok(await isFocused(skip));
  const box = await skip.boundingBox();
  assert.ok(box.x >= 0 && box.y >= 0 && box.width > 40 && box.height > 15, 'it is visible');
  await assertVisible(page);
  await page.keyboard.press('Enter');
  const inside = await page.evaluate(() => document.querySelector('main').contains(document.activeElement));
  assert.ok(inside, 'the focus is in the content');
  assert.equal(page.url(), `${server.url}/#/campaigns`);
  await heading(page, 'Campaigns').waitFor();
});

test('each navigation puts the focus on the heading', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await link(page, 'Alpha').waitFor();
  for (const name of ['Deletions', 'Reference', 'Campaigns']) {
    await tabTo(page, navigation(page, name), name === 'Deletions' ? 'Tab' : 'Shift+Tab');
    await page.keyboard.press('Enter');
    await heading(page, name).waitFor();
    assert.ok(await isFocused(heading(page, name)), `the focus is on ${name}`);
    assert.equal(await navigation(page, name).getAttribute('aria-current'), 'page');
    assert.equal(await page.title(), `${name} – campaigns`);
  }
  await page.goBack();
  await heading(page, 'Reference').waitFor();
  assert.ok(await isFocused(heading(page, 'Reference')));
});

test('the list is filtered and sorted', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await link(page, 'Alpha').waitFor();
  await tabTo(page, filter(page));
  await page.keyboard.type('a');
  await page.keyboard.press('ControlOrMeta+A');
  await page.keyboard.press('Delete');
  await tabTo(page, page.getByRole('combobox', { name: 'Status' }));
  await page.keyboard.type('draft');
  await main(page).getByText('1 of 7 campaigns', { exact: true }).waitFor();
  assert.deepEqual(await names(page), ['Omega']);
  await page.keyboard.press('Home');
  await main(page).getByText('7 campaigns', { exact: true }).waitFor();

  const column = (name) => page.getByRole('columnheader', { name });
  await tabTo(page, column(/^Name/).getByRole('button'));
  const sorted = [];
  for (let at = 0; at < 3 && sorted.length < 2; at += 1) {
    const order = await column(/^Name/).getAttribute('aria-sort');
    if (order === 'ascending' || order === 'descending') sorted.push([order, await names(page)]);
    await page.keyboard.press('Enter');
  }
  const orders = Object.fromEntries(sorted);
  assert.deepEqual(Object.keys(orders).sort(), ['ascending', 'descending']);
  assert.deepEqual(orders.ascending, orders.descending.toReversed());
  assert.deepEqual(
    orders.ascending,
    orders.ascending.toSorted((a, b) => a.localeCompare(b)),
  );
  assert.ok(await isFocused(column(/^Name/).getByRole('button')), 'the focus stays');
  await tabTo(page, column(/^Last changed/).getByRole('button'));
  await page.keyboard.press('Enter');
  assert.match(await column(/^Last changed/).getAttribute('aria-sort'), /^(as|des)cending$/);
  assert.match((await column(/^Name/).getAttribute('aria-sort')) ?? 'none', /^none$/);
  const shown = await names(page);
  assert.ok([shown[0], shown.at(-1)].includes('Alpha'), `the oldest is at an end of ${shown}`);
});

test('a campaign is deleted', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await link(page, 'typed').waitFor();
  await tabTo(page, filter(page));
  await page.keyboard.type('typed');
  await main(page).getByText('1 of 7 campaigns', { exact: true }).waitFor();
  await tabTo(page, link(page, 'typed'));
  await page.keyboard.press('Enter');
  await heading(page, 'typed').waitFor();
  assert.ok(await isFocused(heading(page, 'typed')));
  await confirmation(page).waitFor();
  await tabTo(page, confirmation(page));
  await page.keyboard.type('type');
  await page.keyboard.press('Enter');
  assert.ok(await campaignItem(server, 'typed'), 'an incomplete name deletes nothing');
  await page.keyboard.type('d');
  await tabTo(page, button(page, 'Delete campaign'));
  await page.keyboard.press('Enter');
  await page.waitForURL(/#\/deletions\//);
  await assertDeleted(page, COUNTS);
  assert.ok(await isFocused(heading(page, 'typed')));
  await tabTo(page, button(page, 'Show receipt'));
  await page.keyboard.press('Enter');
  await main(page).getByText('Verified in this browser').waitFor();
  await tabTo(page, button(page, 'Download receipt'));
});

test('one reaches every row of a long list', async (t) => {
  await putCampaigns(
    server,
    Array.from({ length: 500 }, (_, at) => ({ id: `row_${String(at).padStart(3, '0')}` })),
  );
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await main(page)
    .getByText(/^50\d campaigns$/)
    .waitFor();
  await filter(page).fill('row_');
  await main(page)
    .getByText(/^500 of 50\d campaigns$/)
    .waitFor();
  const column = page.getByRole('columnheader', { name: /^Name/ });
  while ((await column.getAttribute('aria-sort')) !== 'ascending')
    await column.getByRole('button').press('Enter');
  await tabTo(page, link(page, 'row_000'));
  const reached = new Set(['row_000']);
  for (let presses = 0; presses < 120; presses += 1) {
    await page.keyboard.press('Tab');
    const name = await page.evaluate(() => document.activeElement.textContent.trim());
    if (!name.startsWith('row_')) break;
    reached.add(name);
  }
  assert.ok(reached.size > 100, `Tab reaches ${reached.size} rows`);
  assert.deepEqual([...reached], [...reached].toSorted(), 'in their order');
});

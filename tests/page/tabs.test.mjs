// Two tabs of the page: the key of the first, one deletion in both, and tabs that nobody sees.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Visit, launch } from './browser.mjs';
import { Server, inProportion, seed, sum, until } from './server.mjs';
import {
  assertDeleted,
  bars,
  confirmation,
  heading,
  link,
  main,
  navigation,
  remove,
  review,
} from './views.mjs';

let browser;
let server;

before(async () => {
  [browser, server] = await Promise.all([launch(), Server.serve('--max-write-units-per-second', '1200')]);
  await Promise.all(['shared', 'hidden'].map((id) => seed(server, id, '--total', '6000')));
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test('the key leaves the address bar and the history', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await link(page, 'shared').waitFor();
  assert.ok(!page.url().includes(server.key));
  const kept = await page.evaluate(() => ({ ...localStorage, cookie: document.cookie }));
  assert.deepEqual(kept, { cookie: '' });
  // Nor is it one step back.
  await navigation(page, 'Deletions').click();
  await heading(page, 'Deletions').waitFor();
  await page.goBack();
  await heading(page, 'Campaigns').waitFor();
  assert.ok(!page.url().includes(server.key));
  // It outlives a reload.
  await page.reload();
  await link(page, 'shared').waitFor();
  assert.ok(!(await page.content()).includes(server.key));
});

test('a second tab gets the key from the first', async (t) => {
  const visit = await Visit.open(t, browser, server);
  await link(visit.page, 'shared').waitFor();
  const second = await visit.tab(`${server.url}/#/deletions`);
  await heading(second, 'Deletions').waitFor();
  assert.equal(second.url(), `${server.url}/#/deletions`);
  await navigation(second, 'Campaigns').click();
  await link(second, 'shared').waitFor();
});

test('a tab without another one asks for the address', async (t) => {
  const visit = await Visit.begin(t, browser, server);
  for (const given of [server.address, server.key]) {
    visit.page = await visit.tab(`${server.url}/`);
    const { page } = visit;
    await main(page)
      .getByText(/Open the address that the terminal printed, or paste it here/)
      .waitFor();
    assert.deepEqual(visit.sent('/v1/'), [], 'it asks for nothing without a key');
    await main(page).getByRole('textbox').fill(given);
    await main(page).getByRole('textbox').press('Enter');
    await link(page, 'shared').waitFor();
    visit.requests.length = 0;
    await page.close();
  }
});

test('both tabs watch the deletion that one of them starts', async (t) => {
  const visit = await Visit.open(t, browser, server);
  await link(visit.page, 'shared').waitFor();
  const second = await visit.tab(`${server.url}/#/deletions`);
  await heading(second, 'Deletions').waitFor();
  assert.equal(await link(second, 'shared').count(), 0);
  await review(visit, 'shared');
  await confirmation(visit.page).waitFor();
  await remove(visit.page, 'shared');
  // It appears in the other tab, which nobody has touched.
  await link(second, 'shared').first().waitFor();
  await link(second, 'shared').first().click();
  await heading(second, 'shared').waitFor();
  await until('both move', async () => {
    const shown = await Promise.all([visit.page, second].map(async (page) => sum(await bars(main(page)))));
    return shown.every((count) => count > 0);
  });
  await Promise.all([visit.page, second].map((page) => assertDeleted(page, inProportion(6_000))));
  await navigation(second, 'Campaigns').click();
  await heading(second, 'Campaigns').waitFor();
  await link(second, 'hidden').waitFor();
  assert.equal(await link(second, 'shared').count(), 0);
});

test('a hidden tab does not poll', async (t) => {
  const visit = await Visit.begin(t, browser, server);
  await visit.context.addInitScript(() => {
    let state = 'visible';
    Object.defineProperty(document, 'visibilityState', { get: () => state });
    Object.defineProperty(document, 'hidden', { get: () => state === 'hidden' });
    window.become = (to) => {
      state = to;
      document.dispatchEvent(new Event('visibilitychange'));
    };
  });
  visit.page = await visit.tab(server.address);
  const { page } = visit;
  await heading(page, 'Campaigns').waitFor();
  await review(visit, 'hidden');
  await confirmation(page).waitFor();
  const deletionId = await remove(page, 'hidden');
  const polls = () => visit.sent(`/v1/deletions/${deletionId}`).length;
  await until('it polls', () => polls() >= 2);
  await page.evaluate(() => window.become('hidden'));
  await page.waitForTimeout(500);
  const before = visit.requests.length;
  await page.waitForTimeout(4_000);
  assert.equal(visit.requests.length, before);
  const polled = polls();
  await page.evaluate(() => window.become('visible'));
  await until('it polls again at once', () => polls() > polled, 1_500);
});

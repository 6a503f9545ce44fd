// What a person finds on the page, by role and accessible name alone.
import assert from 'node:assert/strict';

import { sum } from './server.mjs';

export const heading = (page, name) => page.getByRole('heading', { level: 1, name, exact: true });
export const main = (page) => page.getByRole('main');
export const link = (page, name) => main(page).getByRole('link', { name, exact: true });
export const button = (page, name) => page.getByRole('button', { name, exact: true });
export const alert = (page) => main(page).getByRole('alert');
export const filter = (page) => page.getByRole('searchbox', { name: 'Filter' });
export const navigation = (page, name) =>
  page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name, exact: true });
export const confirmation = (page) => page.getByRole('textbox', { name: /^Type the (name|id) to confirm/ });

/** The names of the kinds, as the page shows them, by the API's names. */
const KINDS = {
  Prospects: 'prospects',
  Chats: 'chats',
  Messages: 'messages',
  Tasks: 'tasks',
  'Webhook events': 'webhookEvents',
  Analytics: 'analytics',
  'Webhook deliveries': 'webhookDeliveries',
  Other: 'other',
};

/** Goes to a campaign, and waits for its dry run or for why there is none. */
export async function review(visit, id, name = id) {
  await visit.go(`campaigns/${id}`);
  await heading(visit.page, name).waitFor();
}

/** Types the name and deletes, and returns the deletion's id once its view is shown. */
export async function remove(page, typed) {
  await confirmation(page).fill(typed);
  await button(page, 'Delete campaign').click();
  await page.waitForURL(/#\/deletions\/[0-9a-f-]{36}/);
  return page.url().match(/deletions\/([0-9a-f-]{36})/)[1];
}

export const number = (text) => Number(text.replaceAll(',', ''));

/** The text of a part of the page, and the counts of its bars, by the API's names of the kinds. */
export async function moment(part) {
  // In one step, so that no poll comes in between.
  const { text, shown } = await part.evaluate((it) => ({
    text: it.innerText,
    shown: [...it.querySelectorAll('[role=progressbar], [role=meter]')].map((bar) => [
      bar.getAttribute('aria-label'),
      bar.getAttribute('aria-valuenow'),
    ]),
  }));
  const counts = {};
  for (const [name, now] of shown) {
    assert.ok(name in KINDS, `a bar of a kind: ${name}`);
    counts[KINDS[name]] = Number(now);
  }
  return { text, counts };
}

/** The counts that the bars in a part of the page show. */
export const bars = async (part) => (await moment(part)).counts;

/** Waits for the dry run's bars, and checks what they count. */
export async function assertWould(page, expected) {
  await main(page).getByRole('heading', { name: 'What would be deleted' }).waitFor();
  await confirmation(page).waitFor();
  assert.deepEqual(await bars(main(page)), expected);
}

/** Waits until a deletion's view says that it has succeeded, and checks what it has counted. */
export async function assertDeleted(page, expected, timeout = 240_000) {
  await main(page)
    .getByText(/^Succeeded/i)
    .first()
    .waitFor({ timeout });
  const shown = await bars(main(page));
  assert.deepEqual(shown, expected);
  assert.equal(sum(shown), sum(expected));
}

/** What the page says when the server does not answer. */
export const notice = (page) =>
  page.getByRole('status').filter({ hasText: 'does not answer', visible: true });

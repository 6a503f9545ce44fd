// Names, accounts and statuses may be any text. Whatever they are, they are shown as text: nothing
// of them runs, moves anything else, or loads anything. (A `Visit` fails on each of these.)
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Visit, launch } from './browser.mjs';
import { ACCOUNT, Server, call, putCampaigns, until } from './server.mjs';
import {
  alert,
  assertDeleted,
  confirmation,
  filter,
  heading,
  link,
  main,
  navigation,
  remove,
} from './views.mjs';

const NOTHING = { prospects: 0, chats: 0, messages: 0, tasks: 0, webhookEvents: 0, analytics: 0 };
const MARKUP = '<img src=x onerror=alert(1)><script>alert(2)</script>&lt;b&gt;</title><svg/onload=alert(3)>';
const LONG = `long ${'0123456789'.repeat(1_024)}`;
/** Each name, how it is shown, and whether it can be typed. */
const NAMES = {
  markup: [MARKUP, MARKUP, true],
  quotes: [`" onmouseover="alert(1)" x='`, `" onmouseover="alert(1)" x='`, true],
  script_address: ['javascript:alert(1)', 'javascript:alert(1)', true],
  template: ['${alert(1)} {{constructor}} %s %c', '${alert(1)} {{constructor}} %s %c', true],
  escape_sequence: ['\u001b[31mred\u001b[0m\u0007\u0000end', '\ufffd[31mred\ufffd[0m\ufffd\ufffdend', false],
  line_break: ['one\ntwo\r\u2028three\tfour', 'one\ufffdtwo\ufffd\ufffdthree\ufffdfour', false],
  override: ['safe\u202egnp.exe\u2066', 'safe\ufffdgnp.exe\ufffd', false],
  right_to_left: ['שלום עולם', 'שלום עולם', true],
  combined: [`Z${'\u0300'.repeat(60)}`, `Z${'\u0300'.repeat(60)}`, undefined],
  invisible: ['a\u200bb\ufeff', undefined, false],
  spaces: [' two  spaces ', undefined, false],
  long: [LONG, LONG, false],
  empty: ['', 'empty', false],
  prototype: ['__proto__', '__proto__', true],
};

/** Those that are deleted, too. */
const DELETED = ['markup', 'escape_sequence', 'override', 'long', 'empty'];

let browser;
let server;

before(async () => {
  [browser, server] = await Promise.all([launch(), Server.serve()]);
  await putCampaigns(
    server,
    Object.entries(NAMES).map(([id, [name]]) => ({ id, name })),
  );
  await putCampaigns(server, [
    { id: 'constructor', name: 'constructor', accountId: MARKUP },
    { id: 'accounted', name: 'accounted', accountId: 'a\u202eb' },
    // No account can have this id, so the campaign cannot be read.
    { id: 'unreadable', name: 'unreadable', accountId: 'a\u001b[2Jb' },
    { id: 'odd_status', name: 'odd status', campaignStatus: MARKUP },
    { id: 'odd_time', name: 'odd time', updatedAt: `${MARKUP}\u0007` },
  ]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** The text of a cell or heading as it is in the document, without what the layout makes of it. */
const exact = (locator) => locator.evaluate((it) => it.textContent);

test('the list shows every name as text', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await main(page).getByText('21 campaigns', { exact: true }).waitFor();
  await main(page)
    .getByText(/1 campaign cannot be read: .*unreadable/)
    .waitFor();
  for (const [id, [, text]] of Object.entries(NAMES)) {
    await filter(page).fill(id);
    const row = page
      .getByRole('row')
      .filter({ has: page.getByText(id, { exact: true }) })
      .filter({
        has: page.getByRole('link'),
      });
    await row.first().waitFor();
    const shownName = row.first().getByRole('link').first();
    const name = await exact(shownName);
    if (text !== undefined) assert.equal(name, text, id);
    assert.doesNotMatch(name, /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u, id);
    const isIsolated = await shownName.evaluate((it) =>
      Boolean(it.closest('bdi') ?? it.querySelector('bdi')),
    );
    assert.ok(isIsolated, `${id}: in a bdi element`);
  }
  await filter(page).fill(MARKUP);
  await until('the filter finds markup', async () => (await link(page, MARKUP).count()) === 1);
  // The invisible part of a text does not hide it from the filter.
  await filter(page).fill('gnp.exe');
  await link(page, NAMES.override[1]).waitFor();
});

test('a name that can be typed is typed, any other is not', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  for (const [id, [name, text, isTyped]] of Object.entries(NAMES)) {
    await visit.go(`campaigns/${id}`);
    await until(`the heading of ${id}`, async () => {
      const title = await exact(page.getByRole('heading', { level: 1 }));
      return title === (text ?? title) || (name === '' && title === id);
    });
    await confirmation(page).waitFor();
    const typesName = (await page.getByRole('textbox', { name: /^Type the name to confirm/ }).count()) === 1;
    if (isTyped !== undefined) assert.equal(typesName, isTyped, id);
    if (!DELETED.includes(id)) continue;
    await remove(page, typesName ? name : id);
    await assertDeleted(page, NOTHING);
  }
});

test('accounts, statuses and times are text, too', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await filter(page).fill('constructor');
  await main(page).getByRole('row').filter({ hasText: MARKUP }).first().waitFor();
  await filter(page).fill('accounted');
  await main(page).getByRole('row').filter({ hasText: 'a\ufffdb' }).first().waitFor();
  await filter(page).fill('odd');
  await link(page, 'odd time').waitFor();
  await visit.go('campaigns/odd_time');
  await confirmation(page).waitFor();
  await visit.go('campaigns/odd_status');
  await alert(page).waitFor();
  await visit.go('campaigns/constructor');
  await alert(page).waitFor();
});

test('the history keeps every name as text', async (t) => {
  const names = { done_markup: MARKUP, done_override: NAMES.override[0] };
  await putCampaigns(
    server,
    Object.entries(names).map(([id, name]) => ({ id, name: `Done ${name}` })),
  );
  for (const id of Object.keys(names)) await call(server, 'DELETE', `/v1/campaigns/${id}`);
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await navigation(page, 'Deletions').click();
  await heading(page, 'Deletions').waitFor();
  await link(page, `Done ${MARKUP}`).waitFor();
  await link(page, `Done ${NAMES.override[1]}`).click();
  await heading(page, `Done ${NAMES.override[1]}`).waitFor();
});

test('addresses with anything in them break nothing', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  for (const route of [
    'campaigns/%',
    'campaigns/%E0%A4%A',
    'campaigns/..%2f..%2flocal%2fsession',
    'campaigns/',
    `campaigns/${encodeURIComponent(MARKUP)}`,
    `campaigns/${'x'.repeat(5_000)}`,
    'campaigns/x?account=%00',
    'campaigns/x#key=y',
    'deletions/%',
    'deletions/__proto__',
    'deletions/x/receipt',
    'nowhere',
    '__proto__',
    'constructor',
  ]) {
    await visit.go(route);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await navigation(page, 'Campaigns').click();
    await heading(page, 'Campaigns').waitFor();
    await link(page, 'Q4 Enterprise Outreach').waitFor();
  }
  const known = /^\/($|page\/|local\/(session|campaigns|deletions\/)|v1\/)/;
  assert.deepEqual(
    visit.requests.filter(({ path }) => !known.test(path)),
    [],
  );
  assert.ok(
    visit.requests.every(({ method, path }) => method === 'GET' || path.includes('validateOnly=true')),
  );
  assert.equal(server.said.err.includes(ACCOUNT), false);
});

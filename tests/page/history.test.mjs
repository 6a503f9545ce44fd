// The Deletions view: several that run at once, how often it asks, the pages of the history, and CSV.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';

import { Visit, launch } from './browser.mjs';
import { ACCOUNT, Server, call, dynamodb, putCampaigns, seed, send, until } from './server.mjs';
import { button, confirmation, filter, heading, link, main, navigation, remove, review } from './views.mjs';

const RUNNING = ['first', 'second', 'third', 'fourth'];
/** Names as a spreadsheet would read them, and as it may (src/cli/audit/spreadsheet.rs). */
const CELLS = {
  formula: ['=1+1', "'=1+1"],
  separated: ['a;=1+1', "a;'=1+1"],
  line: ['a\n@x', "a\n'@x"],
  wide: ['＝1+1', "'＝1+1"],
  number: ['1e5', "'1e5"],
  zeros: ['00123', "'00123"],
  date: ['2026-01-02', "'2026-01-02"],
  minus: ['-1', "'-1"],
  nothing: ['nan', "'nan"],
  quoted: ['say "hi", twice', 'say "hi", twice'],
  plain: ['campaign-1', 'campaign-1'],
};
const MANY = Array.from({ length: 130 }, (_, at) => `many_${String(at).padStart(3, '0')}`);

let browser;

before(async () => {
  browser = await launch();
});
after(() => browser.close());

/** Deletes up to 100 campaigns by one request. */
async function deleteAll(server, campaignIds) {
  const headers = { authorization: `Bearer ${server.key}` };
  const answer = await send(server, 'POST', '/v1/deletions', headers, JSON.stringify({ campaignIds }));
  assert.equal(answer.status, 200, answer.text);
  assert.ok(
    JSON.parse(answer.text).deletions.every(({ status }) => status === 202),
    answer.text,
  );
}

/** The rows of a CSV file (RFC 4180). */
function rows(csv) {
  const cells = [...csv.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|$)/g)];
  const found = [[]];
  for (const [whole, quoted, plain, end] of cells) {
    if (whole === '') break;
    found.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end !== ',') found.push([]);
  }
  return found.filter((row) => row.length > 0);
}

/** The progress of each running deletion in the Deletions view, by the campaign's name. */
async function running(page) {
  const bars = main(page).getByRole('progressbar');
  return Object.fromEntries(
    await bars.evaluateAll((all) =>
      all.map((bar) => [bar.getAttribute('aria-label'), Number(bar.ariaValueNow)]),
    ),
  );
}

/** Most requests to one route that are half of a limit, within this time. */
const half = (limit, ms) => Math.ceil((limit / 2) * (ms / 60_000)) + 1;

test('several deletions run at once in one view', async (t) => {
  const server = await Server.serve('--max-write-units-per-second', '700');
  t.after(() => server.stop());
  await Promise.all(RUNNING.map((id) => seed(server, id, '--total', '8000')));
  await deleteAll(server, RUNNING);
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await navigation(page, 'Deletions').click();
  await heading(page, 'Deletions').waitFor();
  await until('each has a bar', async () => {
    const shown = await running(page);
    return RUNNING.every((name) => name in shown);
  });
  const before = await running(page);
  const since = Date.now();
  await until('each bar moves', async () => {
    const now = await running(page);
    return RUNNING.every((name) => now[name] > before[name]);
  });
  await page.waitForTimeout(Math.max(0, since + 8_000 - Date.now()));
  const elapsed = Date.now() - since;
  const lists = visit.sent('/v1/deletions?', since);
  assert.ok(
    lists.length >= 2 && lists.length <= half(60, elapsed),
    `${lists.length} requests in ${elapsed} ms`,
  );
  assert.deepEqual(visit.sent('/v1/deletions/', since), [], 'one request for all of them');
});

test('a low rate limit slows the page to half of it', async (t) => {
  const server = await Server.serve('--rate-limit-per-minute', '20', '--max-write-units-per-second', '100');
  t.after(() => server.stop());
  await seed(server, 'slow', '--total', '2000');
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  const since = Date.now();
  await review(visit, 'slow');
  await confirmation(page).waitFor();
  const deletionId = await remove(page, 'slow');
  await page.waitForTimeout(9_000);
  const elapsed = Date.now() - since;
  const polls = visit.sent(`/v1/deletions/${deletionId}`, since).length;
  assert.ok(polls >= 2 && polls <= half(20, elapsed), `${polls} requests in ${elapsed} ms`);
});

test('a running deletion whose record is gone leaves the list', async (t) => {
  const server = await Server.serve('--max-write-units-per-second', '20');
  t.after(() => server.stop());
  for (const id of ['expired', 'stays']) await seed(server, id, '--total', '4000');
  await deleteAll(server, ['expired', 'stays']);
  const visit = await Visit.open(t, browser, server);
  await visit.go('deletions');
  const shown = () => running(visit.page);
  await until('both are shown', async () => Object.keys(await shown()).length === 2);
  const { deletions } = await call(server, 'GET', '/v1/deletions');
  const { deletionId } = deletions.find(({ campaignId }) => campaignId === 'expired');
  await dynamodb(server.endpoint, 'DeleteItem', {
    TableName: 'campaigns',
    Key: { PK: { S: `ACCOUNT#${ACCOUNT}` }, SK: { S: `DELETION#${deletionId}` } },
  });
  await until('it is left out', async () => !('expired' in (await shown())));
  assert.deepEqual(Object.keys(await shown()), ['stays']);
});

test('many deletions between two polls leave no gap', async (t) => {
  const server = await Server.serve();
  t.after(() => server.stop());
  await putCampaigns(
    server,
    [...MANY, 'early'].map((id) => ({ id })),
  );
  await deleteAll(server, ['early']);
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await visit.go('deletions');
  await link(page, 'early').waitFor();
  // Without a network, the page sees none of these begin.
  await visit.context.setOffline(true);
  await deleteAll(server, MANY.slice(0, 100));
  await deleteAll(server, MANY.slice(100));
  await visit.context.setOffline(false);
  await main(page)
    .getByText(`${MANY.length + 1} deletions`)
    .waitFor({ timeout: 30_000 });
  for (const id of [MANY[0], MANY.at(-1), 'early']) assert.equal(await link(page, id).count(), 1, id);
});

test('a CSV that cannot be read says so, and keeps saying it', async (t) => {
  const server = await Server.serve('--max-write-units-per-second', '20');
  t.after(() => server.stop());
  await seed(server, 'slow', '--total', '4000');
  await deleteAll(server, ['slow']);
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await visit.go('deletions');
  await link(page, 'slow').first().waitFor();
  const body = JSON.stringify({ error: 'internal_error', message: 'An internal error occurred' });
  await page.route('**/v1/deletions?limit=*', async (route) => {
    // Any other is a poll.
    if (await button(page, 'Download CSV').isEnabled()) return route.continue();
    await route.fulfill({ status: 500, contentType: 'application/json', body });
    return page.unrouteAll();
  });
  await button(page, 'Download CSV').click();
  const wrong = main(page).getByText('An internal error occurred');
  await wrong.waitFor();
  const since = Date.now();
  await until('two more polls', () => visit.sent('/v1/deletions?', since).length >= 2);
  assert.equal(await wrong.count(), 1);
});

test('the history has pages, a filter and a CSV of all', async (t) => {
  const server = await Server.serve();
  t.after(() => server.stop());
  await putCampaigns(
    server,
    Object.entries(CELLS).map(([id, [name]]) => ({ id, name })),
  );
  await putCampaigns(
    server,
    MANY.map((id) => ({ id })),
  );
  await deleteAll(server, MANY.slice(0, 100));
  await deleteAll(server, [...MANY.slice(100), ...Object.keys(CELLS)]);
  await until('all are done', async () => {
    const { deletions } = await call(server, 'GET', '/v1/deletions?limit=100');
    return deletions.every(({ status }) => status === 'succeeded');
  });
  const visit = await Visit.open(t, browser, server, { acceptDownloads: true });
  const { page } = visit;
  await navigation(page, 'Deletions').click();
  await heading(page, 'Deletions').waitFor();
  // Newest first, and the oldest only once it is asked for.
  await link(page, MANY.at(-1)).waitFor();
  assert.equal(await link(page, MANY[0]).count(), 0);
  await until('the oldest is shown', async () => {
    if (await link(page, MANY[0]).count()) return true;
    const older = button(page, 'Older');
    if (await older.isEnabled()) await older.click();
    await page.waitForTimeout(200);
    return false;
  });

  const download = async () => {
    const downloading = page.waitForEvent('download');
    await button(page, 'Download CSV').click();
    const file = await downloading;
    assert.match(file.suggestedFilename(), /\.csv$/);
    const text = await readFile(await file.path(), 'utf8');
    assert.doesNotMatch(text.replaceAll(/"(?:[^"]|"")*"/g, ''), /[^\r]\n/, 'lines end with CR LF');
    return rows(text);
  };
  await page.reload();
  await link(page, MANY.at(-1)).waitFor();
  const [names, ...all] = await download();
  assert.equal(all.length, MANY.length + Object.keys(CELLS).length);
  assert.ok(
    all.every((row) => row.length === names.length),
    `${names}`,
  );
  const found = new Set(all.flat());
  for (const [id, [, text]] of Object.entries(CELLS)) assert.ok(found.has(text), `${id}: ${text}`);
  for (const id of MANY) assert.ok(found.has(id), id);

  await filter(page).fill('many_12');
  await until('the filter is applied', async () => (await link(page, 'plain').count()) === 0);
  const [, ...some] = await download();
  assert.deepEqual(
    some.map((row) => row.find((cell) => cell.startsWith('many_'))).sort(),
    MANY.filter((id) => id.startsWith('many_12')),
  );
});

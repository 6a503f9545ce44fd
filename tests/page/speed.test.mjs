// What the page costs: time to the first paint, bytes, frames of a long list, memory of a long watch.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';

import { Visit, launch } from './browser.mjs';
import { Server, call, putCampaigns, seed, until } from './server.mjs';
import { heading, link, main, navigation } from './views.mjs';

const MOST_BYTES = 60_000;
const FIRST_PAINT_MS = 200;
/** On a machine so slow that it takes longer: how many times as long as a page of one line. */
const SLOW_MACHINE = 4;
const CAMPAIGNS = 10_000;
const MOST_ROWS = 200;
/** A frame takes 16.7 ms at 60 Hz, and longer on a machine with two cores that paints by software. */
const LONG_FRAME_MS = 100;
const POLLS = 1_000;
/** Of the list of deletions, which has more to change at each. */
const POLLS_OF_LIST = 300;
const WARM_UP = 250;
/** Most growth of the heap over `POLLS` polls: a number kept of each would be 8 KB, an element 1 MB. */
const MOST_GROWTH = 256 * 1024;

let browser;
let server;

before(async () => {
  // With exact sizes of the heap, and collections on request.
  [browser, server] = await Promise.all([launch('--enable-precise-memory-info'), Server.serve()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** When a page was first painted, ms after its navigation began. */
const firstPaint = (page) =>
  page.evaluate(
    () =>
      new Promise((resolve) => {
        new PerformanceObserver((list) => {
          const paint = list.getEntriesByName('first-contentful-paint')[0];
          if (paint) resolve(Math.round(paint.startTime));
        }).observe({ type: 'paint', buffered: true });
      }),
  );

test('the first paint takes less than 200 ms', async (t) => {
  // A page of one line tells how long the machine takes for any page.
  const line = createServer((_, answer) => {
    answer.setHeader('content-type', 'text/html').end('<!doctype html><title>A line</title><p>A line');
  });
  line.listen(0, '127.0.0.1');
  await once(line, 'listening');
  t.after(() => line.close());
  const paints = [];
  const ofALine = [];
  const most = () => Math.max(FIRST_PAINT_MS, SLOW_MACHINE * Math.min(...ofALine));
  // Five times at least, and more often on a machine that does something else meanwhile.
  while (paints.length < 5 || (paints.length < 15 && Math.min(...paints) >= most())) {
    // Each in a context of its own: nothing is in a cache.
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${line.address().port}/`);
    ofALine.push(await firstPaint(page));
    await context.close();
    const visit = await Visit.open(t, browser, server);
    paints.push(await firstPaint(visit.page));
    await visit.page.close();
  }
  t.diagnostic(`first contentful paint, ms: ${paints}; of a page of one line: ${ofALine}`);
  assert.ok(Math.min(...paints) < most(), `${paints}; of a page of one line: ${ofALine}`);
});

test('all files of the page take 60,000 bytes at most', async (t) => {
  const visit = await Visit.begin(t, browser, server);
  const finished = [];
  visit.context.on('requestfinished', (request) => finished.push(request));
  visit.page = await visit.tab(server.address);
  const { page } = visit;
  // Every view, so that nothing is loaded later.
  const { deletionSummary } = await call(server, 'DELETE', '/v1/campaigns/campaign_123');
  const routes = [
    'campaigns/campaign_active',
    'deletions',
    `deletions/${deletionSummary.deletionId}`,
    'reference',
  ];
  for (const route of routes) {
    await visit.go(route);
    await page.waitForLoadState('networkidle');
  }
  const files = {};
  for (const request of finished) {
    const { pathname } = new URL(request.url());
    if (pathname !== '/' && !pathname.startsWith('/page/')) continue;
    // As they are sent, with their headers.
    const { responseBodySize, responseHeadersSize } = await request.sizes();
    files[pathname] = responseBodySize + responseHeadersSize;
  }
  const bytes = Object.values(files).reduce((all, size) => all + size, 0);
  t.diagnostic(`${bytes} bytes: ${JSON.stringify(files)}`);
  assert.ok(Object.keys(files).length >= 3 && bytes > 5_000, 'the files were seen');
  assert.ok(bytes <= MOST_BYTES, `${bytes} bytes`);
  const answers = visit.requests.filter(
    ({ path }) => !path.startsWith('/v1/') && !path.startsWith('/local/'),
  );
  assert.deepEqual([...new Set(answers.map(({ path }) => path))].sort(), Object.keys(files).sort());
});

test('a list of 10,000 campaigns scrolls', async (t) => {
  const ids = Array.from({ length: CAMPAIGNS }, (_, at) => `campaign_${String(at).padStart(5, '0')}`);
  const begun = Date.now();
  const part = ids.length / 8;
  await Promise.all(
    Array.from({ length: 8 }, (_, at) =>
      putCampaigns(
        server,
        ids.slice(at * part, (at + 1) * part).map((id) => ({ id, name: `Outreach ${id}` })),
      ),
    ),
  );
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await main(page)
    .getByText(/^10,00\d campaigns$/)
    .waitFor();
  t.diagnostic(`put and shown in ${Date.now() - begun} ms`);
  await page.getByRole('searchbox', { name: 'Filter' }).fill('campaign_0999');
  await main(page)
    .getByText(/^10 of 10,00\d campaigns$/)
    .waitFor();
  await page.getByRole('searchbox', { name: 'Filter' }).fill('');
  await main(page)
    .getByText(/^10,00\d campaigns$/)
    .waitFor();

  await page.evaluate(() => {
    const frames = [];
    let last = performance.now();
    const note = (now) => {
      frames.push(now - last);
      last = now;
      window.frame = requestAnimationFrame(note);
    };
    window.frame = requestAnimationFrame(note);
    window.frames_ms = frames;
  });
  const rows = main(page).getByRole('row');
  const total = Number(await main(page).getByRole('table').getAttribute('aria-rowcount'));
  assert.ok(total > CAMPAIGNS, `aria-rowcount is ${total}`);
  await rows.nth(3).hover();
  const counts = [];
  const last = async () => Number(await rows.last().getAttribute('aria-rowindex'));
  let at = await last();
  const positions = [at];
  while (at < total) {
    for (let step = 0; step < 10; step += 1) await page.mouse.wheel(0, 2_000);
    await page.waitForTimeout(50);
    counts.push(await rows.count());
    await until(`rows after ${at} of ${total}`, async () => (await last()) > at, 5_000);
    at = await last();
    positions.push(at);
    assert.ok(positions.length < 2_000, 'it does not reach the end');
  }
  const frames = await page.evaluate(() => {
    cancelAnimationFrame(window.frame);
    return window.frames_ms.toSorted((a, b) => a - b);
  });
  const percentile = (of) => Math.round(frames[Math.floor((frames.length - 1) * of)]);
  t.diagnostic(`${positions.length} positions, at most ${Math.max(...counts)} rows in the document`);
  const of = [0.5, 0.95, 1].map(percentile);
  t.diagnostic(`${frames.length} frames, ms: median ${of[0]}, 95 % ${of[1]}, longest ${of[2]}`);
  assert.ok(Math.max(...counts) < MOST_ROWS, `${Math.max(...counts)} rows`);
  assert.ok(percentile(0.95) < LONG_FRAME_MS, `95 % of the frames within ${percentile(0.95)} ms`);
  const shown = await rows.last().boundingBox();
  assert.ok(shown.y < page.viewportSize().height, 'the last row is in sight');

  // From there, a filter shows what it finds at once.
  await page.getByRole('searchbox', { name: 'Filter' }).fill('campaign_0999');
  await main(page)
    .getByText(/^10 of 10,00\d campaigns$/)
    .waitFor();
  await main(page).getByRole('link', { name: 'Outreach campaign_09995' }).waitFor({ timeout: 2_000 });
  assert.equal(
    await main(page)
      .getByRole('row')
      .filter({ has: page.getByRole('link') })
      .count(),
    10,
  );
});

/** What the page has in memory, once nothing is left that could be collected. */
async function memory(visit, page) {
  const session = await visit.context.newCDPSession(page);
  await session.send('Performance.enable');
  return async () => {
    await session.send('HeapProfiler.collectGarbage');
    const { metrics } = await session.send('Performance.getMetrics');
    return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
  };
}

function assertFlat(t, before, after, most, mostNodes = 50) {
  const growth = after.JSHeapUsedSize - before.JSHeapUsedSize;
  t.diagnostic(
    `heap ${before.JSHeapUsedSize} + ${growth} bytes, nodes ${before.Nodes} to ${after.Nodes}, ` +
      `listeners ${before.JSEventListeners} to ${after.JSEventListeners}`,
  );
  assert.ok(growth < most, `the heap grew by ${growth} bytes`);
  assert.ok(after.Nodes - before.Nodes < mostNodes, `${after.Nodes - before.Nodes} more nodes`);
  assert.ok(after.JSEventListeners - before.JSEventListeners < 20, 'listeners do not pile up');
}

test('memory stays flat over 1,000 polls', async (t) => {
  const slow = await Server.serve('--rate-limit-per-minute', '0', '--max-write-units-per-second', '20');
  t.after(() => slow.stop());
  await seed(slow, 'endless', '--total', '10000');
  const headers = { prefer: 'respond-async' };
  const { deletionSummary } = await call(slow, 'DELETE', '/v1/campaigns/endless', 202, headers);
  const path = `deletions/${deletionSummary.deletionId}`;
  for (const [name, route, polled, times] of [
    ['of one deletion', path, `/v1/${path}`, POLLS],
    ['of all deletions', 'deletions', '/v1/deletions?', POLLS_OF_LIST],
  ]) {
    await t.test(name, async (t) => {
      const visit = await Visit.begin(t, browser, slow);
      // Real answers, without the time between them.
      await visit.context.addInitScript(() => {
        const { setTimeout } = window;
        window.setTimeout = (act, ms, ...rest) => setTimeout(act, ms > 1_000 ? 1 : ms, ...rest);
      });
      const page = await visit.tab(slow.address);
      visit.page = page;
      await heading(page, 'Campaigns').waitFor();
      const polls = async (most) => {
        const begun = visit.polls;
        await until(`${most} polls`, () => visit.polls - begun >= most, 120_000);
      };
      // Counted alone: a list of all requests would be kept here, not in the page.
      visit.polls = 0;
      visit.context.on('request', (request) => {
        if (request.url().includes(polled)) visit.polls += 1;
      });
      await visit.go(route);
      await link(page, 'endless').or(heading(page, 'endless')).first().waitFor();
      const measure = await memory(visit, page);
      await polls(WARM_UP);
      const before = await measure();
      await polls(times);
      assertFlat(t, before, await measure(), MOST_GROWTH);
    });
  }
});

test('memory stays flat over 90 changes of the view', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await main(page).getByRole('row').nth(1).waitFor();
  const measure = await memory(visit, page);
  const around = async (times) => {
    for (let at = 0; at < times; at += 1) {
      for (const name of ['Deletions', 'Reference']) {
        await navigation(page, name).click();
        await heading(page, name).waitFor();
      }
    }
  };
  // The last view is whole, so that both measures are of the same document.
  const rest = () => main(page).getByText('/v1/openapi.json').first().waitFor();
  await around(5);
  await rest();
  const before = await measure();
  await around(45);
  await rest();
  // Less than two nodes for each change: the view before (68 nodes) may still be there, once.
  assertFlat(t, before, await measure(), 2 * MOST_GROWTH, 180);
});

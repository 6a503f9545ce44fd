// The page in Firefox: the way from the list to the receipt, and every view. What the other tests look
// at closely in Chromium is not repeated here. It is driven by puppeteer-core, since playwright-core
// wants a Firefox of its own.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { load } from './browser.mjs';
import { Server, call, campaignItem, inProportion, seed, until } from './server.mjs';

const ID = 'campaign_autumn';
const NAME = 'Autumn <b>Outreach</b> & more';
const TOTAL = 20_000;

let browser;
let directory;
let server;

before(async () => {
  const { default: puppeteer } = await load('puppeteer-core');
  directory = await mkdtemp(path.join(tmpdir(), 'page-'));
  server = await Server.serve('--archive', directory, '--max-write-units-per-second', '2000');
  await seed(server, ID, '--name', NAME, '--total', String(TOTAL));
  browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
    // Firefox does not start with the home directory of another user.
    env: { ...process.env, HOME: directory },
  });
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await rm(directory, { recursive: true });
});

/** A tab in a session of its own, which fails its test if the page in it reports an error. */
async function opened(t) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  const faults = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text());
  });
  page.on('request', (request) => {
    // Firefox reports a font of its own as a request of the page.
    const { origin, protocol } = new URL(request.url());
    if (origin !== server.url && protocol !== 'data:') faults.push(request.url());
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(faults, []);
  });
  await page.setViewport({ width: 1280, height: 800 });
  await page.goto(server.address);
  await shows(page, 'Campaigns');
  return page;
}

/** What a person finds, by role and accessible name; the label of a field has the field's name, too. */
const by = (page, role, name) => page.locator(`::-p-aria([role="${role}"][name="${name}"])`);

const text = (page) => page.evaluate(() => document.querySelector('main').innerText);

/** Waits until the page has this heading. */
const shows = (page, name) =>
  until(name, () => page.evaluate((it) => document.querySelector('h1')?.innerText === it, name));

const says = (page, pattern) => until(`${pattern}`, async () => pattern.test(await text(page)));

test('from the list to the receipt in Firefox', async (t) => {
  const page = await opened(t);
  assert.equal(page.url(), `${server.url}/#/campaigns`);
  await by(page, 'link', NAME).click();
  await shows(page, NAME);
  await says(page, /^20,000 items$/m);
  await by(page, 'textbox', 'Type the name to confirm').fill(NAME);
  await by(page, 'button', 'Delete campaign').click();
  await says(page, /[1-9][\d,]* of 20,000 items processed/);
  await says(page, /Succeeded/i);
  assert.equal(await campaignItem(server, ID), undefined);
  const deletionId = page.url().match(/deletions\/([0-9a-f-]{36})/)[1];
  const { deletedItems } = await call(server, 'GET', `/v1/deletions/${deletionId}`);
  assert.deepEqual(deletedItems, inProportion(TOTAL));
  await by(page, 'button', 'Show receipt').click();
  await says(page, /Verified in this browser/);
  assert.match(await text(page), /campaigns restore/);
  await by(page, 'link', 'Deletions').click();
  await shows(page, 'Deletions');
  await says(page, /20,000/);
});

test('every view fits narrow and wide windows in Firefox', async (t) => {
  const page = await opened(t);
  const { deletionSummary } = await call(server, 'DELETE', '/v1/campaigns/campaign_123');
  for (const [route, heading, whole] of [
    ['campaigns', 'Campaigns', /Kept Outreach/],
    ['campaigns/campaign_active', 'Running Outreach', /Check again/],
    ['deletions', 'Deletions', /Q4 Enterprise Outreach/],
    [`deletions/${deletionSummary.deletionId}`, 'Q4 Enterprise Outreach', /Show receipt/],
    ['reference', 'Reference', /DeletionSummary|Deletion\b/],
  ]) {
    await page.goto(`${server.url}/#/${route}`);
    await shows(page, heading);
    await says(page, whole);
    for (const width of [320, 1280]) {
      await page.setViewport({ width, height: 800 });
      const [content, window] = await page.evaluate(() => [
        document.documentElement.scrollWidth,
        document.documentElement.clientWidth,
      ]);
      assert.ok(content <= window, `${route} is ${content} px wide in a window of ${width}`);
    }
  }
});

// The whole way of a campaign of 100,000 children: from the list to the receipt, and back from its archive.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { Visit, launch, load } from './browser.mjs';
import { Server, call, campaignItem, children, inProportion, seed, sum, until } from './server.mjs';
import {
  assertDeleted,
  assertWould,
  button,
  confirmation,
  filter,
  heading,
  link,
  main,
  moment,
  navigation,
  number,
  remove,
} from './views.mjs';

const ID = 'campaign_autumn';
const NAME = 'Autumn Enterprise Outreach';
const TOTAL = 100_000;
const COUNTS = inProportion(TOTAL);

let browser;
let directory;
let server;

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'page-'));
  // Slow enough to be seen at several moments.
  server = await Server.serve('--archive', directory, '--max-write-units-per-second', '10000');
  [browser] = await Promise.all([launch(), seed(server, ID, '--name', NAME, '--total', String(TOTAL))]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await rm(directory, { recursive: true });
});

test('from the list to the receipt, and back', async (t) => {
  const visit = await Visit.open(t, browser, server, {
    acceptDownloads: true,
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const { page } = visit;
  let deletionId;

  await t.test('the address opens the list', async () => {
    await heading(page, 'Campaigns').waitFor();
    assert.equal(page.url(), `${server.url}/#/campaigns`);
    assert.equal(await page.title(), 'Campaigns – campaigns');
    await main(page).getByText('5 campaigns', { exact: true }).waitFor();
    const row = page.getByRole('row').filter({ hasText: NAME });
    assert.match(await row.innerText(), /paused/i);
    assert.match(await row.innerText(), /account_demo/);
  });

  await t.test('a filter finds the campaign', async () => {
    await filter(page).fill('autumn');
    await main(page).getByText('1 of 5 campaigns', { exact: true }).waitFor();
    assert.equal(
      await main(page)
        .getByRole('row')
        .filter({ has: page.getByRole('link') })
        .count(),
      1,
    );
    await filter(page).fill('no such campaign');
    await main(page).getByText('0 of 5 campaigns', { exact: true }).waitFor();
    await filter(page).fill(ID);
    await main(page).getByText('1 of 5 campaigns', { exact: true }).waitFor();
    await link(page, NAME).click();
    await heading(page, NAME).waitFor();
  });

  await t.test('the dry run shows what would be deleted', async () => {
    await assertWould(page, COUNTS);
    assert.match(await main(page).innerText(), /^100,000 items$/m);
    assert.equal(await children(server, ID), TOTAL);
  });

  await t.test('nothing is deleted before the name is typed', async () => {
    const remove = button(page, 'Delete campaign');
    for (const typed of ['', NAME.slice(0, -1), NAME.toLowerCase(), `${NAME}!`]) {
      await confirmation(page).fill(typed);
      assert.ok(await remove.isDisabled(), typed);
    }
    await confirmation(page).fill(NAME);
    assert.ok(await remove.isEnabled());
  });

  await t.test('the deletion is requested once, with preconditions', async () => {
    await page.getByRole('textbox', { name: 'Reason' }).fill('erasure-request');
    deletionId = await remove(page, NAME);
    const asked = visit
      .sent('/v1/campaigns/')
      .filter(({ path: sent }) => !sent.includes('validateOnly=true'));
    assert.equal(asked.length, 1);
    const [{ method, path: sent, headers }] = asked;
    assert.deepEqual([method, sent], ['DELETE', `/v1/campaigns/${ID}?reason=erasure-request`]);
    assert.match(headers['if-match'], /^"[^"]+"$/);
    assert.match(headers['idempotency-key'], /^[0-9a-f-]{36}$/);
    assert.equal(headers.prefer, 'respond-async');
  });

  await t.test('the bars move to the exact counts', async () => {
    await heading(page, NAME).waitFor();
    const moments = [];
    await until(
      'the deletion is done',
      async () => {
        const { text, counts: shown } = await moment(main(page));
        const of = text.match(/([\d,]+) of 100,000 items/);
        if (of) moments.push({ shown, processed: number(of[1]) });
        return /\bSucceeded\b/i.test(text);
      },
      240_000,
    );
    const totals = new Set(moments.map(({ processed }) => processed));
    t.diagnostic(`processed, as seen: ${[...totals]}`);
    // A fast machine is done after a few polls.
    assert.ok(totals.size >= 3, `the bars were seen at ${[...totals]}`);
    moments.reduce((before, { shown, processed }) => {
      assert.equal(sum(shown), processed, 'the bars show all that is processed');
      for (const [kind, count] of Object.entries(shown)) {
        assert.ok(count >= (before[kind] ?? 0), `${kind} went back to ${count}`);
        assert.ok(count <= COUNTS[kind], `${kind} has ${count}`);
      }
      return shown;
    }, {});
    await assertDeleted(page, COUNTS);
    // What a screen reader says, once.
    await main(page).getByRole('log').getByText('Deleted: 100,000 items.').waitFor({ state: 'attached' });
    assert.equal(await campaignItem(server, ID), undefined);
    assert.equal(await children(server, ID), 0);
    const polls = visit.sent(`/v1/deletions/${deletionId}`);
    assert.ok(polls.length >= 3, `${polls.length} polls`);
  });

  await t.test('the summary says what the API says', async () => {
    const said = await call(server, 'GET', `/v1/deletions/${deletionId}`);
    assert.deepEqual(said.deletedItems, COUNTS);
    const text = await main(page).innerText();
    for (const part of ['erasure-request', said.requestedBy, said.archive.location]) {
      assert.ok(text.includes(part), `${part} in ${text}`);
    }
    assert.equal(said.archive.items, TOTAL);
  });

  await t.test('the receipt is verified here and by a library', async () => {
    await button(page, 'Show receipt').click();
    await main(page).getByText('Verified in this browser').waitFor();
    const downloading = page.waitForEvent('download');
    await button(page, 'Download receipt').click();
    const file = await downloading;
    assert.equal(file.suggestedFilename(), `deletion-${deletionId}.jws`);
    const receipt = (await readFile(await file.path(), 'utf8')).trim();
    // By the lines to copy, too.
    const folder = await mkdtemp(path.join(tmpdir(), 'receipt-'));
    t.after(() => rm(folder, { recursive: true }));
    await file.saveAs(path.join(folder, file.suggestedFilename()));
    const part = main(page).locator('section', {
      has: page.getByRole('heading', { level: 2, name: 'Receipt' }),
    });
    const lines = await part.locator('.command code').allInnerTexts();
    assert.equal(lines.length, 2);
    const { stdout } = await promisify(execFile)('sh', ['-ec', lines.join('\n')], { cwd: folder });
    assert.ok(stdout.includes(deletionId), stdout);
    const { createRemoteJWKSet, jwtVerify } = await load('jose');
    const keys = createRemoteJWKSet(new URL(`${server.url}/v1/jwks.json`));
    const { payload } = await jwtVerify(receipt, keys, {
      algorithms: ['ES256'],
      typ: 'deletion-receipt+jwt',
    });
    assert.deepEqual([payload.jti, payload.sub, payload.deletedItems], [deletionId, ID, COUNTS]);
    const text = await main(page).innerText();
    for (const claim of [payload.iss, payload.jti, payload.sub, payload.accountId, payload.requestedBy]) {
      assert.ok(text.includes(claim), `the claim ${claim} in ${text}`);
    }
  });

  await t.test('the history shows it', async () => {
    await navigation(page, 'Deletions').click();
    await heading(page, 'Deletions').waitFor();
    const row = page.getByRole('row').filter({ hasText: NAME });
    await row.waitFor();
    assert.match(await row.innerText(), /100,000/);
    await link(page, NAME).click();
    await heading(page, NAME).waitFor();
  });

  await t.test('the command that is copied restores it', async () => {
    await assertDeleted(page, COUNTS);
    await button(page, 'Copy').click();
    const command = await page.evaluate(() => navigator.clipboard.readText());
    assert.ok((await main(page).innerText()).includes(command), 'it is the command that is shown');
    const env = { PATH: process.env.PATH, HOME: directory };
    await promisify(execFile)('sh', ['-c', command], { env });
    assert.equal(await children(server, ID), TOTAL);
    await navigation(page, 'Campaigns').click();
    await button(page, 'Refresh').click();
    await link(page, NAME).waitFor();
  });
});

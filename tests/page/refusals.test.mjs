// Deletions that are refused: the page says why and what to do next, and deletes nothing.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { Visit, launch } from './browser.mjs';
import {
  Server,
  call,
  campaignItem,
  campaignKey,
  children,
  dynamodb,
  putCampaigns,
  seed,
} from './server.mjs';
import { alert, assertDeleted, button, confirmation, heading, main, remove, review } from './views.mjs';

const COUNTS = { prospects: 2, chats: 1, messages: 3, tasks: 0, webhookEvents: 0, analytics: 0 };
const SOME = ['--prospects', '2', '--chats', '1', '--messages', '3'];

let browser;
let server;

before(async () => {
  [browser, server] = await Promise.all([launch(), Server.serve()]);
  for (const id of ['changed', 'lost', 'busy', 'reasons']) await seed(server, id, ...SOME);
  await seed(server, 'unknown_status', '--status', 'scheduled', ...SOME);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** The requests of a visit that would have deleted something. */
const deletions = (visit) =>
  visit.requests.filter(({ method, path }) => method === 'DELETE' && !path.includes('validateOnly=true'));

/** Goes to a campaign that cannot be deleted, and returns what the page says about it. */
async function refused(visit, id, status) {
  await visit.go(`campaigns/${id}`);
  await alert(visit.page).waitFor();
  const text = await alert(visit.page).innerText();
  const { message } = await call(visit.server, 'DELETE', `/v1/campaigns/${id}?validateOnly=true`, status);
  assert.ok(text.includes(message), `${message} in ${text}`);
  assert.ok(text.length > message.length + 10, `what to do next, in ${text}`);
  assert.equal(await confirmation(visit.page).count(), 0);
  assert.equal(await button(visit.page, 'Delete campaign').count(), 0);
  assert.deepEqual(deletions(visit), []);
  return text;
}

/** Runs the command that the page shows beside the local table, as a person who copies it would. */
async function runCommand({ page }) {
  await alert(page).getByRole('button', { name: 'Copy' }).click();
  const line = await page.evaluate(() => navigator.clipboard.readText());
  const { stdout } = await promisify(execFile)('sh', ['-c', `${line} --silent --fail-with-body`]);
  return stdout;
}

const CLIPBOARD = { permissions: ['clipboard-read', 'clipboard-write'] };

test('an active campaign is to be paused first', async (t) => {
  const visit = await Visit.open(t, browser, server, CLIPBOARD);
  const { page } = visit;
  const before = await campaignItem(server, 'campaign_active');
  assert.match(await refused(visit, 'campaign_active', 409), /pause it/i);
  assert.equal(await runCommand(visit), '{}');
  // Once it is paused, looking again is enough.
  await button(page, 'Check again').click();
  await confirmation(page).waitFor();
  assert.equal(await alert(page).count(), 0);
  const changed = await campaignItem(server, 'campaign_active');
  assert.equal(changed.campaignStatus.S, 'paused');
  assert.notEqual(changed.updatedAt.S, before.updatedAt.S, 'its ETag is another one');
  const title = heading(page, 'Running Outreach');
  assert.ok(await title.evaluate((it) => it === document.activeElement), 'it has the focus');
});

test('a protected campaign is to be unprotected first', async (t) => {
  const visit = await Visit.open(t, browser, server, CLIPBOARD);
  assert.match(await refused(visit, 'campaign_protected', 409), /protection/i);
  assert.equal(await runCommand(visit), '{}');
  await button(visit.page, 'Check again').click();
  await confirmation(visit.page).waitFor();
});

test('a command that is run late changes no deletion', async (t) => {
  await putCampaigns(server, [{ id: 'late', campaignStatus: 'active' }]);
  const visit = await Visit.open(t, browser, server, CLIPBOARD);
  await refused(visit, 'late', 409);
  for (const status of ['deleting', null]) {
    const Key = campaignKey('late');
    if (status) await putCampaigns(server, [{ id: 'late', campaignStatus: status }]);
    else await dynamodb(server.endpoint, 'DeleteItem', { TableName: 'campaigns', Key });
    await assert.rejects(runCommand(visit), ({ stdout }) => stdout.includes('ConditionalCheckFailed'));
  }
  assert.equal(await campaignItem(server, 'late'), undefined);
});

test('the campaign of another account is refused', async (t) => {
  const visit = await Visit.open(t, browser, server);
  assert.match(await refused(visit, 'campaign_foreign', 403), /account/i);
});

test('a campaign with an unknown status is refused', async (t) => {
  const visit = await Visit.open(t, browser, server);
  assert.match(await refused(visit, 'unknown_status', 409), /status/i);
});

test('an unknown campaign leads to the history', async (t) => {
  const visit = await Visit.open(t, browser, server);
  await refused(visit, 'no_such_campaign', 404);
  await alert(visit.page).getByRole('link').click();
  await heading(visit.page, 'Deletions').waitFor();
});

test('an inactive subscription is refused', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const hash = createHash('sha256').update(server.key).digest('hex');
  const set = (subscription) =>
    dynamodb(server.endpoint, 'UpdateItem', {
      TableName: 'campaigns',
      Key: { PK: { S: `APIKEY#${hash}` }, SK: { S: 'APIKEY' } },
      UpdateExpression: 'SET subscription = :it',
      ConditionExpression: 'attribute_exists(subscription)',
      ExpressionAttributeValues: { ':it': { S: subscription } },
    });
  await heading(visit.page, 'Campaigns').waitFor();
  await set('inactive');
  t.after(() => set('active'));
  assert.match(await refused(visit, 'busy', 403), /subscription/i);
});

test('a campaign that was changed since is looked at again', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await review(visit, 'changed');
  await confirmation(page).waitFor();
  await dynamodb(server.endpoint, 'UpdateItem', {
    TableName: 'campaigns',
    Key: campaignKey('changed'),
    UpdateExpression: 'SET updatedAt = :now',
    ExpressionAttributeValues: { ':now': { S: '2026-02-03T04:05:06Z' } },
  });
  await confirmation(page).fill('changed');
  await button(page, 'Delete campaign').click();
  await alert(page).waitFor();
  assert.match(await alert(page).innerText(), /changed/i);
  // Nothing is shown beside it that may not be true any more.
  assert.doesNotMatch(await main(page).innerText(), /would be deleted|paused|6 items/i);
  assert.equal(await children(server, 'changed'), 6, 'nothing is deleted');
  assert.ok(await campaignItem(server, 'changed'));
  const [first] = deletions(visit);
  await button(page, 'Check again').click();
  await alert(page).waitFor({ state: 'detached' });
  await remove(page, 'changed');
  await assertDeleted(page, COUNTS);
  const [, second] = deletions(visit);
  assert.equal(second.headers['if-match'], '"2026-02-03T04:05:06Z"');
  assert.notEqual(second.headers['idempotency-key'], first.headers['idempotency-key']);
});

test('an answer that is lost is asked for with the same key', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await review(visit, 'lost');
  await confirmation(page).waitFor();
  let lost = 0;
  await page.route(/\/v1\/campaigns\/lost(\?(?!.*validateOnly=true).*)?$/, async (route) => {
    if (lost === 1) return route.continue();
    lost += 1;
    // The server has done it; the browser never hears of it.
    await route.fetch();
    return route.abort('connectionreset');
  });
  const deletionId = await remove(page, 'lost');
  const asked = deletions(visit);
  assert.equal(asked.length, 2);
  assert.equal(asked[0].headers['idempotency-key'], asked[1].headers['idempotency-key']);
  const { deletions: history } = await call(server, 'GET', '/v1/deletions?limit=100');
  assert.deepEqual(
    history.filter((it) => it.campaignId === 'lost').map((it) => it.deletionId),
    [deletionId],
  );
  await assertDeleted(page, COUNTS);
});

test('an answer that cannot be read is asked for again', async (t) => {
  await seed(server, 'unread', ...SOME);
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await review(visit, 'unread');
  await confirmation(page).fill('unread');
  await page.route('**/v1/campaigns/unread', async (route) => {
    await route.fetch();
    await route.fulfill({ contentType: 'text/html', body: '<p>A proxy has answered.</p>' });
    await page.unrouteAll();
  });
  await button(page, 'Delete campaign').click();
  await main(page)
    .getByText(/could not be read/)
    .waitFor();
  await button(page, 'Delete campaign').click();
  await assertDeleted(page, COUNTS);
  const [first, second] = deletions(visit);
  assert.equal(first.headers['idempotency-key'], second.headers['idempotency-key']);
});

test('a busy table is asked again after the time it says', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  let refusals = 0;
  await page.route('**/v1/campaigns/busy*', (route) => {
    refusals += 1;
    if (refusals > 1) return route.continue();
    const body = JSON.stringify({ error: 'unavailable', message: 'The service is busy' });
    return route.fulfill({
      status: 503,
      headers: { 'retry-after': '2' },
      contentType: 'application/json',
      body,
    });
  });
  await visit.go('campaigns/busy');
  await confirmation(page).waitFor();
  const [first, second] = visit.sent('/v1/campaigns/busy');
  assert.ok(second.at - first.at >= 1_900, `asked again after ${second.at - first.at} ms`);
});

test('a malformed reason is not sent', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  await review(visit, 'reasons');
  await confirmation(page).fill('reasons');
  for (const reason of ['Not a slug', 'x'.repeat(41), 'é']) {
    await page.getByRole('textbox', { name: 'Reason' }).fill(reason);
    const remove = button(page, 'Delete campaign');
    if (await remove.isEnabled()) await remove.click();
    assert.deepEqual(deletions(visit), [], reason);
  }
  assert.equal(
    await page.getByRole('textbox', { name: 'Reason' }).evaluate((it) => it.validity.valid),
    false,
  );
});

test('a rate limit is waited for, and says how long', async (t) => {
  const limited = await Server.serve('--rate-limit-per-minute', '5');
  t.after(() => limited.stop());
  await putCampaigns(limited, [{ id: 'limited' }]);
  const visit = await Visit.open(t, browser, limited);
  // More than the limit of two minutes: one may end in between.
  for (let at = 0; at < 11 && !(await alert(visit.page).count()); at += 1) {
    await visit.go('campaigns');
    await heading(visit.page, 'Campaigns').waitFor();
    await visit.go('campaigns/limited');
    await confirmation(visit.page).or(alert(visit.page)).waitFor();
  }
  const [, seconds] = (await alert(visit.page).innerText()).match(/(\d+) s/);
  assert.ok(Number(seconds) <= 60, `${seconds} s`);
  const before = visit.sent('/v1/campaigns/').length;
  await visit.page.waitForTimeout(2_000);
  if (Number(seconds) > 3)
    assert.equal(visit.sent('/v1/campaigns/').length, before, 'it does not ask meanwhile');
});

test('only the last countdown of a rate limit runs', async (t) => {
  const visit = await Visit.open(t, browser, server);
  const { page } = visit;
  const body = JSON.stringify({ error: 'rate_limit_exceeded', message: 'Too many requests' });
  let limits = 0;
  await page.route('**/v1/campaigns/busy?*', (route) => {
    limits += 1;
    return route.fulfill({
      status: 429,
      headers: { 'retry-after': limits === 1 ? '50' : '30' },
      contentType: 'application/json',
      body,
    });
  });
  await visit.go('campaigns/busy');
  await alert(page).getByText('50 s').waitFor();
  await button(page, 'Check again').click();
  await alert(page).getByText('30 s').waitFor();
  const shown = [];
  for (let at = 0; at < 30; at += 1) {
    const text = await main(page).evaluate((it) => it.querySelector('[role=alert]').innerText);
    shown.push(Number(text.match(/(\d+) s/)[1]));
    await page.waitForTimeout(100);
  }
  assert.ok(
    shown.every((left) => left <= 30),
    `${shown}`,
  );
  assert.ok(shown.at(-1) < 30, 'it counts');
});

test('a running deletion is linked to, not started again', async (t) => {
  const slow = await Server.serve('--max-write-units-per-second', '1');
  t.after(() => slow.stop());
  const { deletionSummary } = await call(slow, 'DELETE', '/v1/campaigns/campaign_123', 202, {
    prefer: 'respond-async',
  });
  const visit = await Visit.open(t, browser, slow);
  await visit.go('campaigns/campaign_123');
  await main(visit.page)
    .getByRole('link', { name: /deletion/i })
    .first()
    .click();
  await visit.page.waitForURL(new RegExp(deletionSummary.deletionId));
  assert.deepEqual(deletions(visit), []);
});

test('an address of an earlier run says so', async (t) => {
  const visit = await Visit.begin(t, browser, server);
  visit.page = await visit.tab(`${server.url}/#key=${'x'.repeat(40)}`);
  const { page } = visit;
  await main(page)
    .getByText(/earlier run/)
    .waitFor();
  assert.equal(new URL(page.url()).hash.includes('key='), false);
  const field = main(page).getByRole('textbox');
  await field.fill(server.address);
  await field.press('Enter');
  await heading(page, 'Campaigns').waitFor();
  await main(page).getByRole('row').nth(1).waitFor();
});

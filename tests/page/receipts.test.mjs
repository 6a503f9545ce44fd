// Receipts that do not hold: the page verifies each one itself, and says so.
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { Visit, launch } from './browser.mjs';
import { Server, call, putCampaigns, until } from './server.mjs';
import { button, heading, main } from './views.mjs';

/** The key of the server, with which a test can sign what the server never would. */
const OWN = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

let browser;
let directory;
let server;
let deletionId;
let genuine;

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'page-'));
  const file = path.join(directory, 'receipts.pem');
  await writeFile(file, OWN.export({ type: 'pkcs8', format: 'pem' }));
  [browser, server] = await Promise.all([launch(), Server.serve('--receipt-key', file)]);
  await putCampaigns(server, [{ id: 'other' }]);
  const { deletionSummary } = await call(server, 'DELETE', '/v1/campaigns/campaign_123');
  deletionId = deletionSummary.deletionId;
  genuine = await call(server, 'GET', `/v1/deletions/${deletionId}/receipt`);
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await rm(directory, { recursive: true });
});

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = (part) => JSON.parse(Buffer.from(part, 'base64url'));

/** The receipt with another header or payload, signed by this key if there is one. */
function changed({ header = {}, claims = {}, key = undefined }) {
  const [protectedHeader, payload, signature] = genuine.receipt.split('.');
  const text = `${encode({ ...decode(protectedHeader), ...header })}.${encode({ ...decode(payload), ...claims })}`;
  const signed =
    key && sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
  return `${text}.${signed ?? signature}`;
}

/** Opens the deletion. */
async function opened(t) {
  const visit = await Visit.open(t, browser, server);
  await visit.go(`deletions/${deletionId}`);
  await heading(visit.page, 'Q4 Enterprise Outreach').waitFor();
  return visit.page;
}

/** Shows a receipt that is given in the place of the server's, with these keys; what the page says. */
async function shown(page, receipt, keys = undefined, claims = genuine.claims) {
  const json = (body) => (route) =>
    route.fulfill({ contentType: 'application/json', body: JSON.stringify(body) });
  await page.unrouteAll();
  await page.route('**/receipt', json({ receipt, claims }));
  if (keys) await page.route('**/v1/jwks.json', json({ keys }));
  const show = button(page, 'Show receipt');
  await show.click();
  // What it said of an earlier one stays until then.
  await until('a verdict', () => show.evaluateAll((all) => all.every(({ disabled }) => !disabled)));
  return main(page).innerText();
}

test('a genuine receipt is verified', async (t) => {
  const page = await opened(t);
  assert.match(await shown(page, genuine.receipt), /Verified in this browser/);
  // What a test signs with the server's key holds, so the cases below fail for what they change.
  const again = await opened(t);
  assert.match(await shown(again, changed({ key: OWN })), /Verified in this browser/);
});

test('the claims that are shown are those that were signed', async (t) => {
  const claims = { ...genuine.claims, sub: 'somebody_elses', passes: 4711 };
  const text = await shown(await opened(t), genuine.receipt, undefined, claims);
  assert.match(text, /Verified in this browser/);
  assert.ok(text.includes('campaign_123'));
  assert.doesNotMatch(text, /somebody_elses|4711|4,711/);
});

test('a receipt that does not hold is not called verified', async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { keys } = await call(server, 'GET', '/v1/jwks.json');
  const { kid } = keys[0];
  // Another key under the name of the right one: its thumbprint is another.
  const foreign = { ...publicKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid };
  const [header, payload, signature] = genuine.receipt.split('.');
  const other = await call(server, 'DELETE', '/v1/campaigns/other');
  const { deletionId: otherId } = other.deletionSummary;
  const otherReceipt = (await call(server, 'GET', `/v1/deletions/${otherId}/receipt`)).receipt;
  const flipped = (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1);
  const cases = {
    'a changed claim': [changed({ claims: { deletedItems: { messages: 1 } } })],
    'a changed signature': [`${header}.${payload}.${flipped}`],
    'no signature': [`${header}.${payload}.`],
    'the algorithm none': [changed({ header: { alg: 'none' }, key: OWN })],
    'another algorithm': [changed({ header: { alg: 'HS256' }, key: OWN })],
    'a key of somebody else': [changed({ key: privateKey })],
    'a key that pretends to be ours': [changed({ key: privateKey }), [foreign]],
    'a key that nobody publishes': [changed({ header: { kid: 'x' }, key: privateKey })],
    'no keys at all': [genuine.receipt, []],
    'another type': [changed({ header: { typ: 'JWT' }, key: OWN })],
    'the receipt of another deletion': [otherReceipt],
    'something else': ['x.y.z'],
    nothing: [''],
  };
  const page = await opened(t);
  for (const [what, [receipt, given]] of Object.entries(cases)) {
    await t.test(what, async () => {
      const text = await shown(page, receipt, given);
      assert.doesNotMatch(text, /Verified in this browser/);
      assert.match(text, /not verified|could not be verified|does not verify|cannot be verified/i);
      assert.doesNotMatch(text, new RegExp(otherId), 'no claim of it is shown');
    });
  }
});

test('keys that cannot be read are no verdict on a receipt', async (t) => {
  const page = await opened(t);
  const body = JSON.stringify({ error: 'internal_error', message: 'An internal error occurred' });
  await page.route('**/v1/jwks.json', (route) =>
    route.fulfill({ status: 500, contentType: 'application/json', body }),
  );
  await button(page, 'Show receipt').click();
  await main(page).getByText('An internal error occurred').waitFor();
  assert.doesNotMatch(await main(page).innerText(), /verified/i);
  await page.unrouteAll();
  await button(page, 'Show receipt').click();
  const verified = main(page).getByText('Verified in this browser');
  await verified.waitFor();
  assert.ok(await verified.evaluate((it) => it === document.activeElement), 'it has the focus');
});

test('no receipts are said to be not enabled', async (t) => {
  const console = await Server.console(server, '--account', 'account_demo');
  t.after(() => console.stop());
  const visit = await Visit.open(t, browser, console);
  await visit.go(`deletions/${deletionId}`);
  await heading(visit.page, 'Q4 Enterprise Outreach').waitFor();
  await main(visit.page)
    .getByText(/Receipts are not enabled/)
    .waitFor();
  assert.equal(await button(visit.page, 'Show receipt').count(), 0);
});

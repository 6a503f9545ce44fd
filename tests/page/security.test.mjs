// Requests that no page of this server sends: other hosts, other origins, wrong tokens; and what
// the server writes about keys.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Server, call, campaignItem, campaigns, send } from './server.mjs';

const ROUTES = [
  ['GET', '/'],
  ['HEAD', '/'],
  ['GET', '/page/style.css'],
  ['GET', '/local/session'],
  ['GET', '/local/campaigns'],
  ['GET', '/v1/openapi.json'],
  ['GET', '/v1/deletions'],
  ['POST', '/v1/deletions'],
  ['DELETE', '/v1/campaigns/campaign_123'],
  ['OPTIONS', '/v1/campaigns/campaign_123'],
  ['PUT', '/v1/campaigns/campaign_123'],
];
const UNKNOWN = `Bearer ${'x'.repeat(40)}`;
const servers = [];

before(async () => {
  // Every line that there is, so that one with a key in it would be seen.
  servers.push(await Server.start(['serve', '--port', '0', '--dynamodb-port', '0'], { RUST_LOG: 'trace' }));
  servers.push(await Server.console(servers[0], '--account', 'account_demo'));
});
after(() => Promise.all(servers.map((server) => server.stop())));

const bearer = (server) => ({ authorization: `Bearer ${server.key}` });
const answered = async (...request) => (await send(...request)).status;

test('a request under another name of the host is refused', async () => {
  for (const server of servers) {
    for (const [method, path] of ROUTES) {
      for (const host of [
        'evil.example',
        `evil.example:${server.port}`,
        '127.0.0.1.evil.example',
        '0.0.0.0',
        '',
      ]) {
        const status = await answered(server, method, path, { ...bearer(server), host });
        assert.equal(status, 421, `${method} ${path} for ${host}`);
      }
    }
    for (const host of [`127.0.0.1:${server.port}`, `localhost:${server.port}`]) {
      assert.equal(await answered(server, 'GET', '/', { host }), 200, host);
    }
  }
});

test('a request from another origin is refused', async () => {
  for (const server of servers) {
    const others = ['http://evil.example', 'null', 'http://127.0.0.1:1', `https://127.0.0.1:${server.port}`];
    for (const [method, path] of ROUTES) {
      for (const origin of others) {
        const answer = await send(server, method, path, { ...bearer(server), origin });
        assert.equal(answer.status, 403, `${method} ${path} from ${origin}`);
        const allowed = Object.keys(answer.headers).filter((name) => name.startsWith('access-control-'));
        assert.deepEqual(allowed, []);
      }
      const site = await answered(server, method, path, {
        ...bearer(server),
        'sec-fetch-site': 'cross-site',
      });
      assert.equal(site, 403, `${method} ${path} across sites`);
    }
    const own = { ...bearer(server), origin: server.url };
    assert.equal(await answered(server, 'GET', '/local/campaigns', own), 200);
  }
  assert.ok(await campaignItem(servers[0], 'campaign_123'), 'nothing is deleted');
});

test('a wrong token or none is refused with 401', async () => {
  for (const server of servers) {
    const other = servers.find((it) => it !== server);
    const nearly = server.key.slice(0, -1) + (server.key.endsWith('a') ? 'b' : 'a');
    const wrong = {
      // The console's token is no key of the table, and the other way round.
      invalid_api_key: [UNKNOWN, `Bearer ${nearly}`, `Bearer ${other.key}`],
      invalid_api_key_format: ['Bearer ', 'Bearer x', `Basic ${server.key}`, server.key],
    };
    for (const path of ['/local/session', '/local/campaigns', '/local/deletions/x', '/v1/deletions']) {
      const none = await send(server, 'GET', path);
      assert.deepEqual([none.status, JSON.parse(none.text).error], [401, 'missing_api_key'], path);
      for (const [error, tokens] of Object.entries(wrong)) {
        for (const authorization of tokens) {
          const answer = await send(server, 'GET', path, { authorization });
          assert.deepEqual(
            [answer.status, JSON.parse(answer.text).error],
            [401, error],
            `${path} ${authorization}`,
          );
        }
      }
    }
    const deletion = await answered(server, 'DELETE', '/v1/campaigns/campaign_123', {
      authorization: UNKNOWN,
    });
    assert.equal(deletion, 401);
  }
});

test('what is under /local only reads', async () => {
  for (const server of servers) {
    for (const path of ['/local/session', '/local/campaigns', '/local/deletions/x', '/', '/page/style.css']) {
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
        assert.equal(await answered(server, method, path, bearer(server)), 405, `${method} ${path}`);
      }
    }
  }
});

test('the page is served with a strict policy and no cache', async () => {
  for (const server of servers) {
    const page = await send(server, 'GET', '/');
    const files = [...page.text.matchAll(/"(\/page\/[^"]+)"/g)].map(([, path]) => path);
    assert.ok(files.length >= 3, `${files}`);
    for (const path of ['/', ...files]) {
      const { status, headers } = await send(server, 'GET', path);
      assert.equal(status, 200, path);
      const policy = headers['content-security-policy'];
      for (const directive of [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
      ])
        assert.ok(policy.includes(directive), `${path}: ${directive}`);
      assert.doesNotMatch(policy, /unsafe|\*|https?:|data:|blob:/);
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(headers['x-frame-options'], 'DENY');
      assert.equal(headers['referrer-policy'], 'no-referrer');
      assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
      assert.equal(headers['cache-control'], 'no-store');
    }
  }
});

test('no line of the log has a key in it', async () => {
  const [serve, console] = servers;
  await call(serve, 'DELETE', '/v1/campaigns/campaign_123?validateOnly=true');
  await call(console, 'DELETE', '/v1/campaigns/campaign_active', 409);
  await call(serve, 'GET', '/v1/deletions/00000000-0000-7000-8000-000000000000', 404);
  await campaigns('list', '--endpoint-url', serve.endpoint);
  assert.match(serve.said.err, /campaign_123/, 'the log says something');
  for (const server of servers) {
    assert.ok(!server.said.err.includes(server.key), 'the log');
    const printed = server.said.out.split('\n').filter((line) => line.includes(server.key));
    // The address, and on the local server the commands to paste.
    assert.ok(
      printed.every((line) => /#key=|curl -X DELETE/.test(line)),
      `${printed}`,
    );
  }
});

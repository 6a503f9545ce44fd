// What a page of another site can do to the server from a browser on this machine: open it by a
// link, and nothing else.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, test } from 'node:test';

import { launch } from './browser.mjs';
import { Server, campaignItem, send } from './server.mjs';

let browser;
let server;
let elsewhere;
let origins;

before(async () => {
  // A name that an attacker's DNS points at this machine.
  browser = await launch('--host-resolver-rules=MAP evil.example 127.0.0.1');
  server = await Server.serve();
  elsewhere = http.createServer((_, answer) => {
    answer.setHeader('content-type', 'text/html');
    answer.end('<!doctype html><title>elsewhere</title>');
  });
  elsewhere.listen(0, '127.0.0.1');
  await once(elsewhere, 'listening');
  const { port } = elsewhere.address();
  // Another port is another origin of the same site, another name another site.
  origins = [`http://127.0.0.1:${port}`, `http://evil.example:${port}`];
});
after(async () => {
  await browser?.close();
  elsewhere.close();
  elsewhere.closeAllConnections();
  await server?.stop();
});

/** Opens a page of each other origin, with a list of what the server answers to it. */
async function fromElsewhere(t, act) {
  for (const origin of origins) {
    const context = await browser.newContext();
    t.after(() => context.close());
    const page = await context.newPage();
    const answers = [];
    context.on('response', (answer) => {
      if (answer.url().startsWith(server.url)) answers.push(answer.status());
    });
    await page.goto(origin);
    await act(page, answers, origin);
  }
}

function assertRefused(answers, origin) {
  assert.ok(answers.length > 0, `${origin}: the server was asked`);
  assert.ok(
    answers.every((status) => status === 403),
    `${origin}: ${answers}`,
  );
}

test('another name for this machine reaches nothing', async (t) => {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  const rebound = `http://evil.example:${server.port}`;
  assert.equal((await page.goto(rebound)).status(), 421);
  const read = await page.evaluate(async (key) => {
    const headers = { authorization: `Bearer ${key}` };
    const answers = ['/', '/local/campaigns', '/v1/deletions'].map((path) => fetch(path, { headers }));
    return Promise.all(answers.map(async (answer) => (await answer).status));
  }, server.key);
  assert.deepEqual(read, [421, 421, 421]);
});

test('a script of another origin can read no answer', async (t) => {
  await fromElsewhere(t, async (page, answers, origin) => {
    const outcomes = await page.evaluate(
      async ({ url, key }) => {
        const headers = { authorization: `Bearer ${key}` };
        const outcomes = {};
        for (const path of [
          '/',
          '/page/style.css',
          '/local/campaigns',
          '/v1/deletions',
          '/v1/openapi.json',
        ]) {
          for (const [how, options] of Object.entries({
            plain: {},
            'with a key': { headers },
            'with credentials': { credentials: 'include' },
            opaque: { mode: 'no-cors' },
          })) {
            outcomes[`${path} ${how}`] = await fetch(url + path, options).then(
              async (answer) => `${answer.type} ${answer.status} ${await answer.text()}`.trim(),
              () => 'refused',
            );
          }
        }
        for (const method of ['POST', 'DELETE', 'PUT']) {
          const path = method === 'POST' ? '/v1/deletions' : '/v1/campaigns/campaign_123';
          const answer = fetch(url + path, { method, headers });
          outcomes[`${method} ${path}`] = await answer.then(
            () => 'answered',
            () => 'refused',
          );
        }
        return outcomes;
      },
      { url: server.url, key: server.key },
    );
    for (const [what, outcome] of Object.entries(outcomes)) {
      // An opaque answer has no status and no text.
      assert.ok(outcome === 'refused' || outcome === 'opaque 0', `${origin}: ${what}: ${outcome}`);
    }
    assertRefused(answers, origin);
  });
});

test('another origin loads no script, style or image', async (t) => {
  // They are there, for the page itself.
  for (const file of ['main.js', 'style.css', 'icon.svg']) {
    assert.equal((await send(server, 'GET', `/page/${file}`)).status, 200, file);
  }
  await fromElsewhere(t, async (page, answers, origin) => {
    const loaded = await page.evaluate(async (url) => {
      const elements = [
        ['script', { src: `${url}/page/main.js` }],
        ['script', { src: `${url}/v1/openapi.json` }],
        ['script', { src: `${url}/page/main.js`, type: 'module' }],
        ['link', { href: `${url}/page/style.css`, rel: 'stylesheet' }],
        ['img', { src: `${url}/page/icon.svg` }],
      ];
      return Promise.all(
        elements.map(
          ([name, attributes]) =>
            new Promise((resolve) => {
              const element = Object.assign(document.createElement(name), attributes);
              element.onload = () => resolve('loaded');
              element.onerror = () => resolve('refused');
              document.head.append(element);
            }),
        ),
      );
    }, server.url);
    assert.deepEqual(loaded, Array(5).fill('refused'), origin);
  });
});

test('a form of another origin deletes nothing', async (t) => {
  await fromElsewhere(t, async (page, answers, origin) => {
    const answered = page.waitForResponse(`${server.url}/v1/deletions`);
    await page.evaluate((url) => {
      const form = document.createElement('form');
      Object.assign(form, { method: 'POST', action: `${url}/v1/deletions`, enctype: 'text/plain' });
      // The body becomes {"campaignIds":["campaign_123"],"reason":"="}.
      const field = document.createElement('input');
      Object.assign(field, { name: '{"campaignIds":["campaign_123"],"reason":"', value: '"}' });
      form.append(field);
      document.body.append(form);
      form.submit();
    }, server.url);
    assert.equal((await answered).status(), 403, origin);
  });
  assert.ok(await campaignItem(server, 'campaign_123'), 'nothing is deleted');
});

test('a frame of another origin stays without the page', async (t) => {
  await fromElsewhere(t, async (page, answers, origin) => {
    const answered = page.waitForResponse((answer) => answer.url().startsWith(server.url));
    const readable = await page.evaluate(
      (address) =>
        new Promise((resolve) => {
          const frame = document.createElement('iframe');
          frame.onload = () => resolve(frame.contentDocument !== null);
          frame.src = address;
          document.body.append(frame);
        }),
      server.address,
    );
    assert.equal((await answered).status(), 403, origin);
    assert.equal(readable, false, 'the other origin cannot read the frame');
    const frame = page.frames().find((it) => it !== page.mainFrame());
    assert.equal(await frame.getByRole('heading').count(), 0);
    assert.equal(await frame.getByRole('navigation').count(), 0);
  });
});

test('a window that another origin opens is out of its reach', async (t) => {
  await fromElsewhere(t, async (page, answers, origin) => {
    const opening = page.context().waitForEvent('page');
    await page.evaluate((url) => {
      window.opened = window.open(url);
    }, server.url);
    const opened = await opening;
    await opened.getByRole('heading', { level: 1 }).waitFor();
    assert.equal(await opened.evaluate(() => window.opener), null, origin);
    const reached = await page.evaluate(() => {
      try {
        return window.opened.document.title;
      } catch {
        return 'refused';
      }
    });
    assert.notEqual(reached, await opened.title(), origin);
    // It has no key, so it shows nothing of the table.
    assert.equal(await opened.getByRole('row').count(), 0);
  });
});

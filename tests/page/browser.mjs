// Chromium, driven by playwright-core, and a tab that notices whatever a page must not do. The
// libraries are in the folder that PAGE_LIBRARIES names.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

if (!process.env.PAGE_LIBRARIES) throw new Error('PAGE_LIBRARIES must name a folder with node_modules');
const require = createRequire(path.join(path.resolve(process.env.PAGE_LIBRARIES), 'package.json'));

/** A library that is a module; its folder is not one where Node looks by itself. */
export const load = (name) => import(pathToFileURL(require.resolve(name)));

export function launch(...args) {
  return require('playwright-core').chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // Only pages of our own are opened, and the sandbox does not run for root.
    chromiumSandbox: process.getuid() !== 0 && !process.env.CI,
    args,
  });
}

/** What a browser says in the console when a request is refused: the page shows that itself. */
const REFUSED = /^Failed to load resource: /;

/** A window of a browser with its own session, which fails its test if a page in it misbehaves. */
export class Visit {
  /** What the pages did that they must not do. */
  faults = [];
  /** Every request: `{method, path, at, headers}`. */
  requests = [];

  static async begin(t, browser, server, options = {}) {
    const visit = new Visit();
    visit.server = server;
    visit.context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    visit.context.setDefaultTimeout(15_000);
    t.after(async () => {
      await visit.context.close();
      assert.deepEqual(visit.faults, [], 'what a page must not do');
    });
    await visit.context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => {
        console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
      });
    });
    visit.context.on('request', (request) => visit.#note(request));
    visit.context.on('page', (page) => visit.#watch(page));
    return visit;
  }

  /** A new tab at the address that the terminal has printed. */
  static async open(t, browser, server, options) {
    const visit = await Visit.begin(t, browser, server, options);
    visit.page = await visit.tab(server.address);
    return visit;
  }

  async tab(address) {
    const page = await this.context.newPage();
    await page.goto(address);
    return page;
  }

  /** Goes to a route of the page in this tab, as a link would. */
  async go(route) {
    await this.page.goto(`${this.server.url}/#/${route}`);
  }

  /** The requests since a time (`Date.now()`) whose path begins so. */
  sent(prefix, since = 0) {
    return this.requests.filter(({ path: sent, at }) => at >= since && sent.startsWith(prefix));
  }

  #note(request) {
    const url = new URL(request.url());
    if (url.protocol === 'blob:') return;
    const sent = url.pathname + url.search;
    if (url.origin !== this.server.url) this.faults.push(`a request to ${url.origin}`);
    if (sent.includes(this.server.key)) this.faults.push(`the key is in the path ${sent}`);
    this.requests.push({ method: request.method(), path: sent, at: Date.now(), headers: request.headers() });
  }

  #watch(page) {
    page.on('console', (message) => {
      if (!['error', 'warning'].includes(message.type()) || REFUSED.test(message.text())) return;
      this.faults.push(`console: ${message.text()}`);
    });
    page.on('pageerror', (error) => this.faults.push(`error: ${error.stack}`));
    page.on('dialog', (dialog) => {
      this.faults.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on('popup', () => this.faults.push('a window was opened'));
  }
}

/** What axe-core finds in a page, in a line for each rule that is broken. */
export async function violations(page) {
  await page.evaluate(require('axe-core').source);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return found.violations.map(
    ({ id, nodes }) =>
      `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join('; ')}`,
  );
}

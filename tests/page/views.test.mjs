// What holds for every view in every state: axe-core finds nothing, light and dark; nothing is wider
// than 320 px; nothing moves where reduced motion is asked for.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { Visit, launch, violations } from './browser.mjs';
import { NAMES, States, show } from './states.mjs';

let browser;
let directory;
let states;

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'page-'));
  [browser, states] = await Promise.all([launch(), States.start(directory)]);
});
after(async () => {
  await browser?.close();
  await states.stop();
  await rm(directory, { recursive: true });
});

async function assertOutline(page) {
  const headings = page.getByRole('heading', { level: 1 });
  assert.equal(await headings.count(), 1);
  const name = await headings.evaluate((it) => it.textContent.trim());
  assert.equal(await page.title(), `${name} – campaigns`);
  for (const landmark of ['main', 'banner'])
    assert.equal(await page.getByRole(landmark).count(), 1, landmark);
  assert.equal(await page.getByRole('navigation', { name: 'Main' }).count(), 1);
}

async function assertAccessible(page) {
  const backgrounds = new Set();
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await violations(page), [], colorScheme);
    backgrounds.add(
      await page.evaluate(() =>
        [document.body, document.documentElement]
          .map((it) => getComputedStyle(it).backgroundColor)
          .find((color) => color !== 'rgba(0, 0, 0, 0)'),
      ),
    );
  }
  assert.equal(backgrounds.size, 2, 'there is a dark form');
}

async function assertNarrow(page) {
  await page.setViewportSize({ width: 320, height: 640 });
  const wide = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return [];
    return [...document.body.querySelectorAll('*')]
      .map((it) => [it, it.getBoundingClientRect().right])
      .filter(([, right]) => right > clientWidth + 1)
      .map(([it, right]) => `${it.tagName} ${it.className} ${right} ${it.textContent.slice(0, 40)}`);
  });
  assert.deepEqual(wide, []);
}

async function assertStill(page) {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  const moving = await page.evaluate(() => {
    const lasts = (durations) => durations.split(', ').some((duration) => parseFloat(duration) > 0.01);
    return [...document.querySelectorAll('*')].flatMap((it) =>
      [null, '::before', '::after']
        .map((part) => getComputedStyle(it, part))
        .filter(
          (style) =>
            lasts(style.transitionDuration) ||
            (style.animationName !== 'none' && lasts(style.animationDuration)),
        )
        .map((style) => `${it.tagName} ${it.className} ${style.transitionDuration} ${style.animationName}`),
    );
  });
  assert.deepEqual(moving, []);
  const scrolling = await page.evaluate(() => getComputedStyle(document.documentElement).scrollBehavior);
  assert.equal(scrolling, 'auto');
}

for (const name of NAMES) {
  test(`the view ${name}`, async (t) => {
    const view = states.views()[name];
    const visit = await Visit.begin(t, browser, view.server);
    const page = await show(visit, view);
    await t.test('has one heading, a title and landmarks', () => assertOutline(page));
    await t.test('has nothing that axe-core finds, light and dark', () => assertAccessible(page));
    await t.test('is not wider than 320 px', () => assertNarrow(page));
    await t.test('does not move where reduced motion is asked for', () => assertStill(page));
  });
}

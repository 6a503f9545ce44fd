// Pictures of the page, each from a real run.
//
//   node tests/page/pictures.mjs                  the two of the README, in docs/
//   node tests/page/pictures.mjs --check FOLDER   the same in FOLDER; fails if those in docs/ look different
//   node tests/page/pictures.mjs --all FOLDER     every view at three widths, light and dark
//
// CAMPAIGNS_BINARY and PAGE_LIBRARIES as for the tests.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { launch } from './browser.mjs';
import { Server, putCampaigns, seed, sum, until } from './server.mjs';
import { States, show } from './states.mjs';
import { bars, confirmation, heading, main, remove } from './views.mjs';

const DOCS = fileURLToPath(new URL('../../docs/', import.meta.url));
const WIDTHS = [320, 900, 1600];
const NAME = 'Autumn Enterprise Outreach';
/** The most pixels of a picture that may be others, per cent: counts, times and bars are of another run. */
const MOST_OTHER = 2;
const {
  values: { all, check },
} = parseArgs({ options: { all: { type: 'string' }, check: { type: 'string' } } });
const browser = await launch();
const directory = await mkdtemp(path.join(tmpdir(), 'page-'));

/** A tab with what `show` expects of a visit. */
async function tabOf(options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(30_000);
  const visit = {
    context,
    tab: async (address) => {
      const page = await context.newPage();
      await page.goto(address);
      return page;
    },
    go: (route) => visit.page.goto(`${visit.server.url}/#/${route}`),
  };
  return visit;
}

async function ofReadme(folder) {
  await mkdir(folder, { recursive: true });
  const server = await Server.serve('--archive', directory, '--max-write-units-per-second', '6000');
  try {
    await seed(server, 'campaign_autumn', '--name', NAME, '--total', '100000');
    await putCampaigns(server, [
      {
        id: 'campaign_spring',
        name: 'Spring Renewal',
        campaignStatus: 'completed',
        updatedAt: '2026-05-31T16:20:00Z',
      },
      {
        id: 'campaign_trial',
        name: 'Trial Follow-up',
        campaignStatus: 'draft',
        updatedAt: '2026-10-02T08:11:00Z',
      },
    ]);
    // Without motion, so that each bar is where its number is.
    const visit = await tabOf({ viewport: { width: 1280, height: 640 }, reducedMotion: 'reduce' });
    visit.server = server;
    visit.page = await visit.tab(server.address);
    const { page } = visit;
    await heading(page, 'Campaigns').waitFor();
    await visit.go('campaigns/campaign_autumn');
    await confirmation(page).waitFor();
    await remove(page, NAME);
    await until('half of it is done', async () => sum(await bars(main(page))) > 45_000, 120_000);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: path.join(folder, `page-${colorScheme}.png`) });
    }
  } finally {
    await server.stop();
  }
}

async function ofAllViews(folder) {
  await mkdir(folder, { recursive: true });
  const states = await States.start(directory);
  try {
    for (const [name, view] of Object.entries(states.views())) {
      for (const width of WIDTHS) {
        const visit = await tabOf({ viewport: { width, height: width === 320 ? 640 : 900 } });
        const page = await show(visit, view);
        for (const colorScheme of ['light', 'dark']) {
          await page.emulateMedia({ colorScheme });
          const file = path.join(folder, `${name}-${width}-${colorScheme}.png`);
          // The reference is many screens long; the first ones show it.
          await page.screenshot({ path: file, fullPage: !['reference', 'tried'].includes(name) });
          console.log(file);
        }
        await visit.context.close();
      }
    }
  } finally {
    await states.stop();
  }
}

/** How many pixels of two pictures are different to the eye, per cent. */
async function difference(...files) {
  const pictures = await Promise.all(files.map((file) => readFile(file, 'base64')));
  const page = await browser.newPage();
  const percent = await page.evaluate(async (encoded) => {
    const [one, other] = await Promise.all(
      encoded.map(async (base64) => {
        const picture = new Image();
        picture.src = `data:image/png;base64,${base64}`;
        await picture.decode();
        const { width, height } = picture;
        const context = new OffscreenCanvas(width, height).getContext('2d');
        context.drawImage(picture, 0, 0);
        return { width, height, data: context.getImageData(0, 0, width, height).data };
      }),
    );
    if (one.width !== other.width || one.height !== other.height) return 100;
    let different = 0;
    for (let at = 0; at < one.data.length; at += 4) {
      if ([0, 1, 2].some((part) => Math.abs(one.data[at + part] - other.data[at + part]) > 48))
        different += 1;
    }
    return (different * 400) / one.data.length;
  }, pictures);
  await page.close();
  return percent;
}

async function checkReadme(folder) {
  await ofReadme(folder);
  for (const name of ['page-light.png', 'page-dark.png']) {
    const percent = await difference(path.join(DOCS, name), path.join(folder, name));
    console.log(`${name}: ${percent.toFixed(2)} % of the pixels are different from docs/${name}`);
    assert.ok(
      percent < MOST_OTHER,
      `docs/${name} shows another page; take it again: node tests/page/pictures.mjs`,
    );
  }
}

try {
  if (all !== undefined) await ofAllViews(all);
  else if (check !== undefined) await checkReadme(check);
  else await ofReadme(DOCS);
} finally {
  await browser?.close();
  await rm(directory, { recursive: true });
}

// Every view of the page in every state, each from a real run, for tests that look at all of them.
import {
  begin,
  call,
  dynamodb,
  campaignKey,
  end,
  putCampaigns,
  seed,
  until,
  ACCOUNT,
  Server,
} from './server.mjs';
import { alert, button, confirmation, heading, link, main } from './views.mjs';

const PACE = ['--max-write-units-per-second', '150'];
const LEASE = ['--lease-seconds', '1'];
const SOME = [
  '--prospects',
  '30',
  '--chats',
  '20',
  '--messages',
  '200',
  '--webhook-deliveries',
  '4',
  '--others',
  '3',
];

/** The names of all views. */
export const NAMES = [
  'campaigns',
  'dry-run',
  'refused',
  'unknown',
  'deletions',
  'running',
  'stalled',
  'receipt',
  'reference',
  'tried',
  'console',
  'empty',
  'no-key',
  'wrong-key',
];

/**
 * Starts servers with a deletion in each state. The console takes the place of the server where a
 * deletion is to stay stalled: no clean-up runs there.
 */
export class States {
  static async start(directory, ...args) {
    const states = new States();
    const server = await Server.serve('--archive', directory, '--lease-seconds', '3600', ...PACE, ...args);
    states.server = server;
    await Promise.all([
      seed(
        server,
        'autumn',
        '--name',
        'Autumn Enterprise Outreach',
        '--status',
        'completed',
        '--total',
        '40000',
      ),
      seed(server, 'orphan', '--name', 'Orphaned Outreach', '--total', '3000'),
      seed(server, 'winter', '--name', 'Winter Outreach', '--status', 'draft', ...SOME),
      seed(server, 'done', '--name', 'Spring Renewal', ...SOME),
    ]);
    const words = 'A name of several words that is longer than most of them are';
    await putCampaigns(server, [
      { id: 'wide', name: `W${'i'.repeat(200)}de`, campaignStatus: 'failed' },
      { id: 'several_words', name: words, accountId: 'x'.repeat(200) },
    ]);
    const headers = { prefer: 'respond-async' };
    const claimed = await call(server, 'DELETE', '/v1/campaigns/autumn?reason=season-is-over', 202, headers);
    const done = await call(server, 'DELETE', '/v1/campaigns/done?reason=erasure-request', 202, headers);
    states.running = claimed.deletionSummary.deletionId;
    states.done = done.deletionSummary.deletionId;
    const worker = begin('delete', 'orphan', '--endpoint-url', server.endpoint, ...LEASE, ...PACE);
    const history = () => call(server, 'GET', '/v1/deletions');
    const orphan = await until('the worker has deleted something', async () => {
      const { deletions } = await history();
      return deletions.find(({ campaignId, processed }) => campaignId === 'orphan' && processed > 0);
    });
    await end(worker, 'SIGKILL');
    states.stalled = orphan.deletionId;
    await until('one is done', async () => {
      const { deletions } = await history();
      return deletions.find(({ deletionId }) => deletionId === states.done).status === 'succeeded';
    });
    const archive = ['--archive-bucket', 'archive', '--s3-endpoint-url', server.s3];
    states.console = await Server.console(server, ...LEASE, ...archive);
    states.empty = await Server.serve();
    for (const id of ['campaign_123', 'campaign_active', 'campaign_protected', 'campaign_foreign']) {
      await dynamodb(states.empty.endpoint, 'DeleteItem', { TableName: 'campaigns', Key: campaignKey(id) });
    }
    return states;
  }

  stop() {
    return Promise.all([this.console, this.server, this.empty].map((server) => server.stop()));
  }

  /** Each view by its name: the server, the route, and what is there once it is complete. */
  views() {
    const { server, console, empty } = this;
    const of = `?account=${ACCOUNT}`;
    return {
      campaigns: { server, route: 'campaigns', ready: (page) => link(page, 'Winter Outreach').waitFor() },
      'dry-run': { server, route: 'campaigns/winter', ready: (page) => confirmation(page).waitFor() },
      refused: { server, route: 'campaigns/campaign_active', ready: (page) => alert(page).waitFor() },
      unknown: { server, route: 'campaigns/no_such_campaign', ready: (page) => alert(page).waitFor() },
      deletions: { server, route: 'deletions', ready: (page) => link(page, 'Spring Renewal').waitFor() },
      running: {
        server,
        route: `deletions/${this.running}`,
        ready: (page) =>
          main(page)
            .getByText(/[1-9][\d,]* items/)
            .first()
            .waitFor(),
      },
      stalled: {
        server: console,
        route: `deletions/${this.stalled}${of}`,
        ready: (page) => alert(page).waitFor(),
      },
      receipt: {
        server,
        route: `deletions/${this.done}`,
        ready: async (page) => {
          await button(page, 'Show receipt').click();
          await main(page).getByText('Verified in this browser').waitFor();
        },
      },
      reference: {
        server,
        route: 'reference',
        ready: (page) => main(page).getByText('/v1/campaigns/{id}').first().waitFor(),
      },
      tried: {
        server,
        route: 'reference',
        ready: async (page) => {
          await button(page, 'Try it').nth(1).click();
          await button(page, 'Try it').first().click();
          await button(page, 'Send').first().waitFor();
        },
      },
      console: {
        server: console,
        route: 'deletions',
        ready: (page) => link(page, 'Spring Renewal').waitFor(),
      },
      empty: {
        server: empty,
        route: 'campaigns',
        ready: (page) =>
          main(page)
            .getByText(/campaigns seed/)
            .waitFor(),
      },
      'no-key': {
        server,
        route: 'campaigns',
        key: '',
        ready: (page) =>
          main(page)
            .getByText(/paste it here/)
            .waitFor(),
      },
      'wrong-key': {
        server,
        route: 'campaigns',
        key: 'x'.repeat(40),
        ready: (page) =>
          main(page)
            .getByText(/earlier run/)
            .waitFor(),
      },
    };
  }
}

/** Opens a view in a visit's context, complete, and returns its page. */
export async function show(visit, { server, route, key = server.key, ready }) {
  visit.server = server;
  const page = await visit.tab(key ? `${server.url}/#key=${key}` : `${server.url}/#/${route}`);
  visit.page = page;
  if (key === server.key) {
    await heading(page, 'Campaigns').waitFor();
    await visit.go(route);
  }
  await ready(page);
  return page;
}

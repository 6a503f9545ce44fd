// The built `campaigns` as processes, and requests to what they serve. Everything listens on
// 127.0.0.1 and is stopped by its process id. CAMPAIGNS_BINARY names the program.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';

if (!process.env.CAMPAIGNS_BINARY) throw new Error('CAMPAIGNS_BINARY must name the built `campaigns`');
export const PROGRAM = path.resolve(process.env.CAMPAIGNS_BINARY);

export const ACCOUNT = 'account_demo';
/** What the campaign of the public reference has in it (src/cli/seed.rs). */
const REFERENCE = {
  prospects: 150,
  chats: 150,
  messages: 420,
  tasks: 75,
  webhookEvents: 12,
  analytics: 30,
};
const STARTS_WITHIN_MS = 30_000;
const STOPS_WITHIN_MS = 10_000;

const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

function start(args, variables) {
  // Nothing of this shell's configuration, such as the name of a table.
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, ...variables };
  const child = spawn(PROGRAM, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  child.once('exit', () => running.delete(child));
  const said = { out: '', err: '' };
  child.stdout.on('data', (data) => {
    said.out += data;
  });
  child.stderr.on('data', (data) => {
    said.err += data;
  });
  return { child, said };
}

/** Ends a process by its id, and returns once it has ended. */
export async function end(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  const impatient = setTimeout(() => child.kill('SIGKILL'), STOPS_WITHIN_MS);
  await ended;
  clearTimeout(impatient);
}

/** A running `campaigns serve` or `campaigns console`, and the addresses that it has printed. */
export class Server {
  static async start(args, variables = {}) {
    const server = new Server();
    Object.assign(server, start(args, variables));
    const until = Date.now() + STARTS_WITHIN_MS;
    while (!server.said.out.includes('Ctrl-C stops')) {
      if (server.child.exitCode !== null || Date.now() > until) {
        throw new Error(`campaigns ${args.join(' ')}: ${server.said.err || server.said.out}`);
      }
      await new Promise((resolve) => {
        setTimeout(resolve, 20);
      });
    }
    const printed = (pattern) => server.said.out.match(pattern)?.[1];
    server.address = printed(/(http:\/\/127\.0\.0\.1:\d+\/#key=[A-Za-z0-9_-]{40})(?![A-Za-z0-9_-])/);
    if (!server.address) throw new Error(`no address of the page in: ${server.said.out}`);
    [server.url, server.key] = server.address.split('/#key=');
    server.endpoint = printed(/DynamoDB at (http:\/\/127\.0\.0\.1:\d+)/);
    server.s3 = printed(/S3 is at (http:\/\/127\.0\.0\.1:\d+)/);
    return server;
  }

  static serve(...args) {
    const ports = ['--port', '--dynamodb-port', ...(args.includes('--archive') ? ['--s3-port'] : [])];
    const free = ports.filter((port) => !args.includes(port)).flatMap((port) => [port, '0']);
    return Server.start(['serve', ...free, ...args]);
  }

  /** The console over the table of another server. */
  static async console(other, ...args) {
    const console = await Server.start([
      'console',
      '--port',
      '0',
      '--table-name',
      'campaigns',
      '--endpoint-url',
      other.endpoint,
      ...args,
    ]);
    console.endpoint = other.endpoint;
    return console;
  }

  get port() {
    return new URL(this.url).port;
  }

  /** Everything that it has written since it started. */
  log() {
    return this.said.out + this.said.err;
  }

  stop() {
    return end(this.child, 'SIGINT');
  }

  kill() {
    return end(this.child, 'SIGKILL');
  }
}

/** Starts a command that is meant to be ended before it is done. */
export function begin(...args) {
  return start(args, {}).child;
}

/** Runs a command to its end, and returns what it has printed. */
export async function campaigns(...args) {
  const { child, said } = start(args, {});
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`campaigns ${args.join(' ')} exited with ${code}: ${said.err}`);
  return said.out;
}

/** Seeds a campaign by `campaigns seed`; the options are those of the command. */
export function seed(server, id, ...options) {
  return campaigns('seed', id, ...options, '--endpoint-url', server.endpoint);
}

/** What `campaigns seed --total` puts (src/cli/seed.rs, `Children::in_proportion`). */
export function inProportion(total) {
  const whole = sum(REFERENCE);
  const counts = Object.fromEntries(
    Object.entries(REFERENCE).map(([kind, count]) => [kind, Math.floor((count * total) / whole)]),
  );
  counts.messages += total - sum(counts);
  return counts;
}

export const sum = (counts) => Object.values(counts).reduce((all, count) => all + count, 0);

/** One request to DynamoDB. */
export async function dynamodb(endpoint, operation, request) {
  const answer = await fetch(endpoint, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': `DynamoDB_20120810.${operation}`,
      // The embedded engine does not check the signature.
      authorization:
        'AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, ' +
        'SignedHeaders=host;x-amz-date, Signature=0',
      'x-amz-date': '20260101T000000Z',
    },
    body: JSON.stringify(request),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(`${operation}: ${JSON.stringify(body)}`);
  return body;
}

export function campaignKey(id) {
  return { PK: { S: `CAMPAIGN#${id}` }, SK: { S: 'CAMPAIGN' } };
}

/** The item of a campaign; `undefined` if there is none. */
export async function campaignItem(server, id) {
  const request = { TableName: 'campaigns', ConsistentRead: true, Key: campaignKey(id) };
  return (await dynamodb(server.endpoint, 'GetItem', request)).Item;
}

/** How many items a campaign has, without its own. */
export async function children(server, id) {
  let count = 0;
  let ExclusiveStartKey;
  do {
    const page = await dynamodb(server.endpoint, 'Query', {
      TableName: 'campaigns',
      Select: 'COUNT',
      ConsistentRead: true,
      KeyConditionExpression: 'PK = :campaign',
      ExpressionAttributeValues: { ':campaign': { S: `CAMPAIGN#${id}` } },
      ExclusiveStartKey,
    });
    count += page.Count;
    ExclusiveStartKey = page.LastEvaluatedKey;
  } while (ExclusiveStartKey);
  return (await campaignItem(server, id)) ? count - 1 : count;
}

/** Puts campaigns without anything in them; each has an `id`, and what differs from the usual. */
export async function putCampaigns(server, campaigns) {
  for (let at = 0; at < campaigns.length; at += 25) {
    let puts = campaigns.slice(at, at + 25).map(({ id, ...differs }) => {
      const texts = {
        id,
        name: id,
        accountId: ACCOUNT,
        campaignStatus: 'paused',
        updatedAt: '2026-01-02T03:04:05Z',
        ...differs,
      };
      const item = Object.entries(texts).map(([name, text]) => [name, { S: text }]);
      return { PutRequest: { Item: { ...campaignKey(id), ...Object.fromEntries(item) } } };
    });
    while (puts?.length) {
      const answer = await dynamodb(server.endpoint, 'BatchWriteItem', { RequestItems: { campaigns: puts } });
      puts = answer.UnprocessedItems?.campaigns;
    }
  }
}

/** One request to a server, with any headers, `Host` and `Origin` included. */
export async function send(server, method, target, headers = {}, body = undefined) {
  const { hostname, port } = new URL(server.url);
  const request = http.request({
    hostname,
    port,
    method,
    path: target,
    headers,
    agent: false,
    setHost: !('host' in headers),
  });
  request.end(body);
  const [answer] = await once(request, 'response');
  let text = '';
  for await (const chunk of answer.setEncoding('utf8')) text += chunk;
  return { status: answer.statusCode, headers: answer.headers, text };
}

/** One request to the API with the key of the server; fails unless it has this status. */
export async function call(server, method, target, status = 200, headers = {}) {
  const answer = await send(server, method, target, { authorization: `Bearer ${server.key}`, ...headers });
  if (answer.status !== status) throw new Error(`${method} ${target}: ${answer.status} ${answer.text}`);
  return JSON.parse(answer.text);
}

/** Waits until `look` returns something, and returns that. */
export async function until(what, look, withinMs = 30_000) {
  const end = Date.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
}

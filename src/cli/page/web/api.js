// Requests to the server: the key, the account, lost answers, and the times to wait that answers name.
import { plain } from './text.js';

const KEY = 'key';
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 10_000;
/** How long other tabs have to answer. */
const ASKING = 300;

/** The server does not know the key. */
export class NoKey extends Error {}

/** What the page knows of the server and of itself. */
export const state = {
  session: null,
  account: null,
  accounts: new Set(),
  campaigns: null,
  /** What was looked at last, by the name that the API's paths give it. */
  last: { id: null, deletionId: null },
};

let key = null;
const channel = new BroadcastChannel('campaigns');
channel.addEventListener('message', ({ data }) => {
  // Only a tab whose key has opened the page: another one's may be of an earlier run.
  if (data === 'key?' && key && state.session) channel.postMessage({ key });
});

export const currentKey = () => key;

/** The key in a text that is one, or an address with one. */
export const keyIn = (text) =>
  String(text)
    .trim()
    .match(/(?:^|#key=)([A-Za-z0-9_-]{40})(?![A-Za-z0-9_-])/)?.[1] ?? null;

export function setKey(given) {
  key = given;
  if (given) sessionStorage.setItem(KEY, given);
  else sessionStorage.removeItem(KEY);
}

/** Takes the key from the address, this tab, or another tab of the page. */
export async function findKey() {
  const given = keyIn(location.hash);
  if (location.hash.startsWith('#key=')) history.replaceState(null, '', '#/campaigns');
  const found = given ?? sessionStorage.getItem(KEY) ?? (await askOtherTabs());
  setKey(found);
  return found;
}

function askOtherTabs() {
  return new Promise((resolve) => {
    const end = (found) => {
      channel.removeEventListener('message', answered);
      resolve(found);
    };
    const answered = ({ data }) => data?.key && keyIn(data.key) && end(data.key);
    channel.addEventListener('message', answered);
    channel.postMessage('key?');
    setTimeout(() => end(null), ASKING);
  });
}

/**
 * Waits, and ends early if the signal is aborted, or if a network is there again that was `lost`. A tab
 * that nobody sees waits until somebody does.
 */
export function wait(ms, signal, lost = false) {
  return new Promise((resolve, reject) => {
    let isOver = false;
    const timer = setTimeout(() => {
      isOver = true;
      if (!document.hidden) end();
    }, ms);
    const seen = () => {
      if (isOver && !document.hidden) end();
    };
    const online = () => lost && end();
    function end() {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', seen);
      removeEventListener('online', online);
      signal?.removeEventListener('abort', end);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    }
    document.addEventListener('visibilitychange', seen);
    addEventListener('online', online);
    signal?.addEventListener('abort', end);
    if (signal?.aborted) end();
  });
}

/** The account for which a console acts next, and those it has acted for in this tab. */
export function chosen(account) {
  state.account = account;
  state.accounts.add(account);
  sessionStorage.setItem('account', account);
}

function notice(text) {
  const node = document.getElementById('notice');
  if (node.textContent !== text) node.textContent = text;
}

/** Sends a request once. A network failure is a `TypeError`. */
export async function sendOnce(method, path, { headers = {}, body, signal, account } = {}) {
  const all = { ...headers };
  if (!path.startsWith('/v1/openapi') && !path.startsWith('/v1/jwks')) all.authorization = `Bearer ${key}`;
  if (state.session?.choosesAccount && account) all['campaigns-account'] = encodeURIComponent(account);
  const answer = await fetch(path, {
    method,
    headers: all,
    body,
    signal,
    cache: 'no-store',
    redirect: 'error',
  });
  const text = await answer.text();
  let json = null;
  try {
    json = JSON.parse(text);
  } catch {
    // Something between the page and the server has answered.
  }
  return { status: answer.status, headers: answer.headers, body: json, text };
}

/** What an answer that is no success says. */
export const said = (answer) => plain(answer.body?.message ?? `The server answered ${answer.status}.`);

/** The seconds that an answer asks to wait. */
export const retryAfter = (answer, otherwise) => {
  const seconds = Number(answer.headers.get('retry-after'));
  return Number.isFinite(seconds) && seconds > 0 ? seconds : otherwise;
};

/**
 * Sends a request that may be repeated: again when its answer is lost, until there is one, and after
 * the time that a busy server names, up to five times.
 */
export async function send(method, path, options = {}) {
  let delay = FIRST_WAIT;
  let busy = 0;
  for (;;) {
    let answer;
    try {
      answer = await sendOnce(method, path, options);
    } catch (error) {
      // Anything else is no lost answer.
      if (options.signal?.aborted || !(error instanceof TypeError)) throw error;
      notice('The server does not answer. What is shown may be out of date. Trying again…');
      await wait(delay, options.signal, true);
      delay = Math.min(delay * 2, LONGEST_WAIT);
      continue;
    }
    notice('');
    if (answer.status === 401) throw new NoKey();
    if (answer.status !== 503 || busy === 5) return answer;
    busy += 1;
    await wait(retryAfter(answer, 2) * 1_000, options.signal);
  }
}

/** The least time between two requests to one route: half of the rate limit, and what the answer asks for. */
export function pause(answer, otherwise) {
  const limit = state.session?.rateLimitPerMinute ?? 0;
  const asked = retryAfter(answer, otherwise) * 1_000;
  return limit > 0 ? Math.max(asked, 120_000 / limit) : asked;
}

/** The address of a campaign's or a deletion's view. */
export function to(what, id, account) {
  const query = state.session?.choosesAccount && account ? `?account=${encodeURIComponent(account)}` : '';
  return `#/${what}/${encodeURIComponent(id)}${query}`;
}

// Starts the page, finds its key, and shows the view that the address names.
import { NoKey, findKey, keyIn, send, setKey, state } from './api.js';
import { campaign } from './campaign.js';
import { campaigns } from './campaigns.js';
import { deletion } from './deletion.js';
import { deletions } from './deletions.js';
import { alertBox, el, field } from './dom.js';
import { reference } from './reference.js';
import { plain } from './text.js';

const main = document.getElementById('main');
let shownView = null;
let isFirst = true;

/** The part of a view that all have: its heading, and the document's title. */
function begin(title) {
  const heading = el('h1', { tabindex: '-1' });
  const view = {
    heading,
    setTitle(text, node) {
      heading.replaceChildren(node ?? text);
      document.title = `${plain(text)} – campaigns`;
    },
  };
  view.setTitle(title);
  main.replaceChildren(heading);
  return view;
}

/** What the address names: a view, an id, and the rest. */
function address() {
  try {
    const [path, query = ''] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s);
    const [name, ...rest] = path.split('/');
    const id = rest.length > 0 ? decodeURIComponent(rest.join('/')) : null;
    return { name: name || 'campaigns', id, query: new URLSearchParams(query) };
  } catch {
    return { name: 'nowhere', id: null, query: new URLSearchParams() };
  }
}

const VIEWS = new Map([
  ['campaigns', ['Campaigns', campaigns]],
  ['campaigns/', ['Campaign', campaign]],
  ['deletions', ['Deletions', deletions]],
  ['deletions/', ['Deletion', deletion]],
  ['reference', ['Reference', reference]],
]);

async function show() {
  shownView?.abort();
  shownView = new AbortController();
  const { signal } = shownView;
  const { name, id, query } = address();
  const [title, view] = (id === '' ? null : VIEWS.get(id === null ? name : `${name}/`)) ?? [
    'Not found',
    nowhere,
  ];
  for (const link of document.querySelectorAll('nav a')) {
    if (link.hash === `#/${name}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const part = begin(title);
  if (!isFirst) part.heading.focus();
  isFirst = false;
  scrollTo(0, 0);
  try {
    await view({ main, signal, id, account: query.get('account'), ...part });
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof NoKey) unknownKey();
    else {
      console.error(error);
      const again = el('button', { type: 'button', click: show }, 'Try again');
      main.append(alertBox('The page failed.', el('p', {}, plain(error.message)), again));
    }
  }
}

function nowhere({ main: part }) {
  part.append(el('p', {}, 'Nothing is at this address. ', el('a', { href: '#/campaigns' }, 'All campaigns')));
}

function unknownKey() {
  setKey(null);
  ask('This address belongs to an earlier run of the server, or its key is no longer valid.');
}

/** Asks for the address, since there is no key that the server knows. */
function ask(why) {
  shownView?.abort();
  document.getElementById('where').replaceChildren();
  state.session = null;
  state.campaigns = null;
  begin('Open the page');
  const input = el('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', required: true });
  const wrong = el('p', { class: 'wrong', role: 'alert' });
  const open = (event) => {
    event.preventDefault();
    const key = keyIn(input.value);
    if (!key) {
      wrong.textContent = 'That is neither an address with a key nor a key of 40 characters.';
      return;
    }
    setKey(key);
    start();
  };
  main.append(
    why ? el('p', { class: 'strong' }, why) : '',
    el('p', {}, 'Open the address that the terminal printed, or paste it here.'),
    el(
      'form',
      { submit: open, class: 'narrow' },
      field('Address or key', input),
      wrong,
      el('button', { class: 'primary' }, 'Open'),
    ),
  );
}

/** Says which table this is. */
function sayWhere({ mode, table, endpoint, account }) {
  const where = mode === 'serve' ? 'Local demo' : 'Console';
  const at = mode === 'serve' ? null : (endpoint?.replace(/^https?:\/\//, '') ?? 'AWS');
  const parts = [where, `table ${plain(table)}`, at && plain(at), account && plain(account)];
  document.getElementById('where').replaceChildren(parts.filter(Boolean).join(' · '));
}

async function start() {
  begin('Campaigns');
  try {
    const answer = await send('GET', '/local/session');
    if (answer.status !== 200)
      throw new Error(answer.body?.message ?? `The server answered ${answer.status}`);
    state.session = answer.body;
    state.account = answer.body.account ?? sessionStorage.getItem('account');
  } catch (error) {
    if (error instanceof NoKey) unknownKey();
    else main.append(alertBox('The page cannot start.', el('p', {}, plain(error.message))));
    return;
  }
  sayWhere(state.session);
  await show();
}

document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});
// What a button begins has no view to wait for it.
addEventListener('unhandledrejection', (event) => {
  const isKey = event.reason instanceof NoKey;
  if (isKey) unknownKey();
  if (isKey || event.reason?.name === 'AbortError') event.preventDefault();
});
addEventListener('hashchange', async () => {
  if (location.hash.startsWith('#key=')) {
    await findKey();
    start();
  } else if (state.session) show();
});

const isMalformed = location.hash.startsWith('#key=') && !keyIn(location.hash);
if (await findKey()) await start();
else ask(isMalformed ? 'The key in this address is malformed: part of it may be missing.' : undefined);

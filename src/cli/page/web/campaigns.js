// The list of campaigns: filter, sort, and rows that are in the document only while they are seen.
import { said, send, state, to } from './api.js';
import { alertBox, el, field, select, setText, shown, time } from './dom.js';
import { age, count, isCampaignId, number, plain, quoted } from './text.js';

const STATUSES = [
  'active',
  'archived',
  'completed',
  'deleting',
  'draft',
  'ended',
  'failed',
  'paused',
  'stopped',
];
const ROW = 56;
/** Rows beyond those that are seen, on each side. */
const SPARE = 12;
const COLUMNS = [
  ['Name', (it) => it.name || it.id, 'name'],
  ['Status', (it) => it.status, 'status'],
  ['Owner', (it) => it.accountId, 'owner'],
  ['Last changed', (it) => it.updatedAt, 'changed'],
  ['Protected', (it) => (it.deletionProtection ? 1 : 0), 'protected'],
];
const ORDER = new Intl.Collator('en', { numeric: true });

/** What the list was last, so that one finds it again. */
const last = {
  filter: '',
  status: '',
  column: 3,
  isAscending: false,
  /** Whether the table has more than the server lists: then it is asked for one status. */
  isCut: false,
};

export async function campaigns({ main, signal }) {
  const number_ = el('p', { class: 'count' });
  const filter = el('input', {
    type: 'search',
    value: last.filter,
    autocomplete: 'off',
    spellcheck: 'false',
    placeholder: 'Id, name or owner',
  });
  const status = select([['', 'All statuses']]);
  const refresh = el('button', { type: 'button' }, 'Refresh');
  const notes = el('div');
  const none = el('p', { class: 'empty', hidden: true }, 'No campaign matches.');
  const list = new List();
  let all = [];
  let statuses = '';
  let latest = 0;

  function narrow() {
    last.filter = filter.value;
    const words = plain(filter.value).toLowerCase().trim();
    const rows = all.filter(
      (it) => (!last.status || it.status === last.status) && (!words || it.found.includes(words)),
    );
    none.hidden = rows.length > 0 || all.length === 0;
    list.node.hidden = rows.length === 0;
    list.show(rows);
    setText(
      number_,
      rows.length === all.length
        ? count(all.length, 'campaign')
        : `${number(rows.length)} of ${count(all.length, 'campaign')}`,
    );
  }

  async function load() {
    latest += 1;
    const turn = latest;
    const one = last.isCut ? last.status : '';
    const query = one && `?status=${encodeURIComponent(one)}`;
    refresh.disabled = true;
    const answer = await send('GET', `/local/campaigns${query}`, { signal });
    // A later one, of another status, was begun meanwhile.
    if (turn !== latest) return;
    refresh.disabled = false;
    if (answer.status !== 200) {
      setText(number_, all.length === 0 ? '' : 'What is shown may be out of date.');
      notes.replaceChildren(alertBox(said(answer)));
      return;
    }
    const { campaigns: found, complete, unreadable } = answer.body;
    all = found.map((it) => ({ ...it, found: plain(`${it.id}\n${it.name}\n${it.accountId}`).toLowerCase() }));
    state.campaigns = all;
    last.isCut ||= !complete;
    const now = last.isCut ? STATUSES : [...new Set(all.map((it) => it.status))].sort();
    if (statuses !== now.join()) {
      statuses = now.join();
      status.replaceChildren(
        ...[['', 'All statuses'], ...now.map((it) => [it, plain(it)])].map(([value, text]) =>
          el('option', { value }, text),
        ),
      );
      if (!now.includes(last.status)) last.status = '';
      status.value = last.status;
    }
    if (last.isCut && last.status !== one) {
      await load();
      return;
    }
    notes.replaceChildren(
      ...[
        !complete &&
          el(
            'p',
            { class: 'note' },
            `Only the first ${count(all.length, 'campaign')} are shown. Choose a status, or run campaigns list in a terminal to see all of them.`,
          ),
        unreadable.length > 0 &&
          el(
            'p',
            { class: 'note' },
            `${count(unreadable.length, 'campaign')} cannot be read: `,
            shown(unreadable.join('; ')),
          ),
        all.length === 0 &&
          el(
            'div',
            { class: 'empty' },
            el(
              'p',
              {},
              state.session.account && state.session.mode === 'console'
                ? 'This account has no campaigns here.'
                : 'There are no campaigns in this table.',
            ),
            el('p', {}, 'Fill one of any size: ', el('code', {}, seed())),
          ),
        state.session.mode === 'serve' &&
          all.length > 0 &&
          el(
            'p',
            { class: 'note' },
            'To watch a large deletion, fill a campaign first: ',
            el('code', {}, seed()),
          ),
        isForeign(all) &&
          el(
            'p',
            { class: 'note' },
            'The key of this page belongs to ',
            shown(state.account),
            ': the API refuses to delete campaigns of other accounts.',
          ),
      ].filter(Boolean),
    );
    narrow();
  }

  filter.addEventListener('input', narrow);
  status.addEventListener('change', () => {
    last.status = status.value;
    narrow();
    if (last.isCut) load().catch((error) => fail(error));
  });
  // A failure that is not the network's is the view's.
  let fail;
  refresh.addEventListener('click', () => load().catch((error) => fail(error)));
  const what = state.session.mode === 'serve' ? 'A demo table in this process. ' : '';
  main.append(
    el(
      'p',
      { class: 'note' },
      `${what}Open a campaign to see everything that is in it, and to delete it with exact counts.`,
    ),
  );
  main.append(
    el('div', { class: 'tools' }, field('Filter', filter), field('Status', status), refresh),
    number_,
    notes,
    none,
    list.node,
  );
  list.node.hidden = true;
  setText(number_, 'Reading the campaigns…');
  list.start(signal);
  await load();
  await new Promise((_, reject) => {
    fail = reject;
  });
}

/** Whether some are of an account that the page cannot act for. */
const isForeign = (all) => state.session.mode === 'serve' && all.some((it) => it.accountId !== state.account);

/** The command that fills a campaign in this table. */
function seed() {
  const { table, endpoint, account } = state.session;
  return [
    state.session.program,
    'seed',
    'campaign_7',
    '--total',
    '100000',
    '--table-name',
    table,
    ...(endpoint ? ['--endpoint-url', endpoint] : []),
    ...(account ? [`--account=${account}`] : []),
  ]
    .map(quoted)
    .join(' ');
}

class List {
  #rows = [];
  #made = new Map();
  #body = el('tbody');
  #above = el('tr', { 'aria-hidden': 'true' }, el('td', { colspan: COLUMNS.length }));
  #below = el('tr', { 'aria-hidden': 'true' }, el('td', { colspan: COLUMNS.length }));
  #heads = COLUMNS.map(([name, , kind], at) =>
    el(
      'th',
      { scope: 'col', class: kind },
      el('button', { type: 'button', click: () => this.#sortBy(at) }, name),
    ),
  );
  #table = el(
    'table',
    { class: 'list' },
    el('thead', {}, el('tr', { 'aria-rowindex': 1 }, this.#heads)),
    this.#body,
  );
  node = el('div', { class: 'scroller' }, this.#table);

  start(signal) {
    let isAsked = false;
    const draw = () => {
      if (isAsked) return;
      isAsked = true;
      requestAnimationFrame(() => {
        isAsked = false;
        this.#draw();
      });
    };
    this.node.addEventListener('scroll', draw, { passive: true });
    addEventListener('resize', draw, { signal });
  }

  show(rows) {
    this.#rows = [...rows];
    this.#sort();
  }

  #sortBy(at) {
    last.isAscending = last.column === at ? !last.isAscending : at !== 3;
    last.column = at;
    this.#sort();
  }

  #sort() {
    const [, of] = COLUMNS[last.column];
    const keys = new Map(this.#rows.map((it) => [it, of(it)]));
    const sign = last.isAscending ? 1 : -1;
    this.#rows.sort((a, b) => sign * ORDER.compare(keys.get(a), keys.get(b)) || ORDER.compare(a.id, b.id));
    this.#heads.forEach((head, at) =>
      head.setAttribute(
        'aria-sort',
        at !== last.column ? 'none' : last.isAscending ? 'ascending' : 'descending',
      ),
    );
    this.#table.setAttribute('aria-rowcount', this.#rows.length + 1);
    this.#made.clear();
    this.#body.replaceChildren(this.#above, this.#below);
    this.#draw();
  }

  /** Has the rows in the document that are seen, and some more. */
  #draw() {
    const seen = Math.ceil((this.node.clientHeight || 800) / ROW);
    // A list that has become shorter is still scrolled as far as the longer one was.
    const first = Math.min(Math.floor(this.node.scrollTop / ROW), Math.max(0, this.#rows.length - seen));
    const from = Math.max(0, first - SPARE);
    const until = Math.min(this.#rows.length, first + seen + 1 + SPARE);
    for (const [at, row] of this.#made) {
      if (at < from || at >= until) {
        row.remove();
        this.#made.delete(at);
      }
    }
    let before = this.#above;
    for (let at = from; at < until; at += 1) {
      let row = this.#made.get(at);
      if (!row) {
        row = this.#row(this.#rows[at], at);
        this.#made.set(at, row);
        before.after(row);
      }
      before = row;
    }
    this.#above.firstChild.style.height = `${from * ROW}px`;
    this.#below.firstChild.style.height = `${Math.max(0, this.#rows.length - until) * ROW}px`;
    this.#above.hidden = from === 0;
    this.#below.hidden = until >= this.#rows.length;
  }

  #row(it, at) {
    const name = shown(it.name || it.id);
    const title = isCampaignId(it.id)
      ? el('a', { href: to('campaigns', it.id, it.accountId), title: plain(it.name).slice(0, 500) }, name)
      : el('span', { title: 'The API does not accept this id' }, name);
    return el(
      'tr',
      { 'aria-rowindex': at + 2 },
      el('td', { class: 'name' }, title, el('span', { class: 'id' }, shown(it.id))),
      el('td', { class: 'status' }, badge(it.status)),
      el('td', { class: 'owner' }, shown(it.accountId)),
      el('td', { class: 'changed' }, time(it.updatedAt, age)),
      el('td', { class: 'protected' }, it.deletionProtection ? 'Yes' : ''),
    );
  }
}

/** A status as a small label. */
export const badge = (status) =>
  el('span', { class: `badge s-${/^[a-z]+$/.test(status) ? status : 'x'}` }, shown(status));

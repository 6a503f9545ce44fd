// The deletions of an account: those that run, with bars that move, and the history, with CSV.
import { chosen, pause, said, send, state, to, wait } from './api.js';
import { COUNTERS, sum, totalsOf } from './bars.js';
import { badge } from './campaigns.js';
import { alertBox, download, el, field, fill, setText, shown, time } from './dom.js';
import { age, count, csv, duration, moment, number, plain } from './text.js';

const PAGE = 100;
/** How often to look for others while none runs, seconds. */
const QUIET = 10;
const COLUMNS = [
  'deletionId',
  'campaignId',
  'campaignName',
  'requestedBy',
  'reason',
  'status',
  'startedAt',
  'lastProcessedAt',
  'completedAt',
  'processed',
];

export async function deletions(view) {
  const { main, signal } = view;
  if (!state.session.choosesAccount) {
    await watch(view, state.session.account, main);
    return;
  }
  const names = [
    ...new Set([...(state.campaigns ?? (await listed(signal))).map((it) => it.accountId), ...state.accounts]),
  ].sort();
  state.account = view.account ?? state.account ?? names[0] ?? '';
  const options = el(
    'datalist',
    { id: 'accounts' },
    names.map((name) => el('option', { value: name })),
  );
  const input = el('input', {
    type: 'text',
    list: 'accounts',
    value: state.account,
    autocomplete: 'off',
    spellcheck: 'false',
  });
  const body = el('div');
  let inner = null;
  let fail;
  const choose = () => {
    inner?.abort();
    inner = new AbortController();
    body.replaceChildren();
    if (input.value === '') return;
    chosen(input.value);
    watch({ ...view, signal: AbortSignal.any([signal, inner.signal]) }, state.account, body).catch(
      (error) => error.name !== 'AbortError' && fail(error),
    );
  };
  const form = el(
    'form',
    {
      class: 'tools',
      submit: (event) => {
        event.preventDefault();
        choose();
      },
    },
    field('Account', input),
    el('button', {}, 'Show'),
  );
  main.append(form, options, body);
  choose();
  await new Promise((_, reject) => {
    fail = reject;
  });
}

async function listed(signal) {
  const answer = await send('GET', '/local/campaigns', { signal });
  return answer.body?.campaigns ?? [];
}

async function watch({ signal }, account, part) {
  const found = new Map();
  const live = new Live(account);
  const rows = new Map();
  const filter = el('input', {
    type: 'search',
    autocomplete: 'off',
    spellcheck: 'false',
    placeholder: 'Name, id, status, key or reason',
  });
  const table = el('tbody');
  const note = el('p', { class: 'count' });
  const older = el('button', { type: 'button', hidden: true }, 'Older');
  const save = el('button', { type: 'button' }, 'Download CSV');
  const history = el(
    'table',
    { class: 'history' },
    el(
      'thead',
      {},
      el(
        'tr',
        {},
        ['Campaign', 'Status', 'Items', 'Requested by', 'Started', 'Took'].map((name, at) =>
          el('th', { scope: 'col', class: `h${at}` }, name),
        ),
      ),
    ),
    table,
  );
  const wide = el('div', { class: 'wide' }, history);
  /** Why the list is not read, and why what a button asked for is not. */
  const [problem, asked] = [el('div'), el('div')];
  let after;

  const matches = (it) => {
    const words = plain(filter.value).toLowerCase().trim();
    return (
      !words ||
      plain([it.campaignName, it.campaignId, it.deletionId, it.status, it.requestedBy, it.reason].join('\n'))
        .toLowerCase()
        .includes(words)
    );
  };
  function draw() {
    const all = [...found.values()].sort((a, b) => (a.deletionId < b.deletionId ? 1 : -1));
    live.show(all.filter((it) => it.status !== 'succeeded'));
    const wanted = all.filter(matches);
    setText(
      note,
      wanted.length === all.length
        ? `${count(all.length, 'deletion')}${after ? ', and older ones' : ''}`
        : `${number(wanted.length)} of ${count(all.length, 'deletion')}${after ? ' that are loaded' : ''}`,
    );
    const keep = new Set(wanted.map((it) => it.deletionId));
    for (const [id, row] of rows) {
      if (!keep.has(id)) {
        row.node.remove();
        rows.delete(id);
      }
    }
    let before = null;
    for (const it of wanted) {
      let row = rows.get(it.deletionId);
      const is = `${it.status} ${it.processed}`;
      if (row?.is !== is) {
        const node = line(it, account);
        row?.node.replaceWith(node);
        row = { node, is };
        rows.set(it.deletionId, row);
      }
      const next = before ? before.nextSibling : table.firstChild;
      if (next !== row.node) table.insertBefore(row.node, next);
      before = row.node;
    }
    wide.hidden = all.length === 0;
    if (all.length === 0)
      setText(
        note,
        state.session.choosesAccount ? `No deletions of account ${plain(account)}.` : 'No deletions yet.',
      );
  }
  function take(body) {
    for (const it of body.deletions) found.set(it.deletionId, it);
  }

  /** Says in a place that an answer is none, and returns whether it is. */
  function failed(answer, place) {
    fill(place, answer.status !== 200 && alertBox(said(answer)));
    return answer.status !== 200;
  }

  /** Takes the newest deletions, and those after them until one is known: many may have begun since. */
  async function takeNewest(newest) {
    const known = new Set(found.keys());
    take(newest);
    let last = newest;
    const isKnown = (it) => known.has(it.deletionId);
    while (known.size > 0 && last.after && !last.deletions.some(isKnown)) {
      const answer = await page(last.after, account, signal);
      await wait(pause(answer, 0), signal);
      if (failed(answer, problem)) continue;
      last = answer.body;
      take(last);
    }
  }

  filter.addEventListener('input', draw);
  older.addEventListener('click', async () => {
    older.disabled = true;
    const answer = await page(after, account, signal);
    older.disabled = false;
    if (failed(answer, asked)) return;
    take(answer.body);
    after = answer.body.after;
    older.hidden = !after;
    draw();
  });
  save.addEventListener('click', async () => {
    save.disabled = true;
    const all = [];
    try {
      for (let from = null; ;) {
        const answer = await page(from, account, signal);
        if (failed(answer, asked)) return;
        all.push(...answer.body.deletions);
        from = answer.body.after;
        if (!from) break;
        await wait(pause(answer, 0), signal);
      }
      const cells = (it) => [
        ...COLUMNS.map((name) => it[name] ?? ''),
        ...COUNTERS.map((name) => it.deletedItems[name] ?? 0),
      ];
      download(
        'deletions.csv',
        'text/csv',
        csv([[...COLUMNS, ...COUNTERS], ...all.filter(matches).map(cells)]),
      );
    } finally {
      save.disabled = false;
    }
  });

  part.append(
    problem,
    live.node,
    el(
      'section',
      {},
      el('h2', {}, 'History'),
      el('div', { class: 'tools' }, field('Filter', filter), save),
      asked,
      note,
      wide,
      older,
    ),
  );
  /** Reads one of those that run and are no longer among the newest: another one in each round. */
  async function follow(newest) {
    const old = [...found.values()].filter(
      (it) => it.status !== 'succeeded' && !newest.some((other) => other.deletionId === it.deletionId),
    );
    const next = old.sort((a, b) => (read.get(a.deletionId) ?? 0) - (read.get(b.deletionId) ?? 0))[0];
    if (!next) return;
    read.set(next.deletionId, performance.now());
    const answer = await send('GET', `/v1/deletions/${next.deletionId}`, { signal, account });
    if (answer.status === 200) found.set(next.deletionId, answer.body);
    // Its record has expired.
    if (answer.status === 404) found.delete(next.deletionId);
  }

  const read = new Map();
  let isFirst = true;
  for (;;) {
    // One route, one limit: a file that is read has it.
    if (save.disabled) {
      await wait(1_000, signal);
      continue;
    }
    const answer = await page(null, account, signal);
    if (failed(answer, problem)) {
      await wait(pause(answer, QUIET), signal);
      continue;
    }
    await takeNewest(answer.body);
    state.last.deletionId ??= answer.body.deletions[0]?.deletionId;
    await follow(answer.body.deletions);
    if (isFirst) {
      after = answer.body.after;
      older.hidden = !after;
      isFirst = false;
    }
    draw();
    await wait(
      pause(answer, [...found.values()].some((it) => it.status !== 'succeeded') ? 2 : QUIET),
      signal,
    );
  }
}

/** Reads a page of the history; waits while the key is over its rate limit. */
async function page(after, account, signal) {
  for (;;) {
    const answer = await send('GET', `/v1/deletions?limit=${PAGE}${after ? `&after=${after}` : ''}`, {
      signal,
      account,
    });
    if (answer.status !== 429) return answer;
    await wait(pause(answer, 60), signal);
  }
}

function line(it, account) {
  const took = it.completedAt ? (Date.parse(it.completedAt) - Date.parse(it.startedAt)) / 1_000 : null;
  return el(
    'tr',
    {},
    el(
      'td',
      { class: 'h0' },
      el('a', { href: to('deletions', it.deletionId, account) }, shown(it.campaignName || it.campaignId)),
      el('span', { class: 'id' }, shown(it.campaignId)),
    ),
    el('td', { class: 'h1' }, badge(it.status)),
    el('td', { class: 'h2' }, number(it.processed)),
    el('td', { class: 'h3', title: plain(it.requestedBy) }, shown(it.requestedBy)),
    el('td', { class: 'h4' }, time(it.startedAt, moment)),
    el('td', { class: 'h5' }, took === null ? '' : duration(took)),
  );
}

/** The deletions that run, each with one bar. */
class Live {
  #account;
  #rows = new Map();
  #list = el('ul', { class: 'running' });
  node = el('section', { hidden: true }, el('h2', {}, 'Running'), this.#list);

  constructor(account) {
    this.#account = account;
  }

  show(running) {
    this.node.hidden = running.length === 0;
    const keep = new Set(running.map((it) => it.deletionId));
    for (const [id, row] of this.#rows) {
      if (!keep.has(id)) {
        row.node.remove();
        this.#rows.delete(id);
      }
    }
    for (const it of running) {
      const row = this.#rows.get(it.deletionId) ?? this.#row(it);
      const totals = totalsOf(it.deletionId);
      const total = totals && sum(totals);
      const most = Math.max(1, it.processed, total ?? 0);
      row.bar.setAttribute('aria-valuenow', it.processed);
      row.bar.setAttribute('aria-valuemax', most);
      row.bar.classList.toggle('unknown', total === null);
      row.fill.style.transform = `scaleX(${total === null ? 1 : it.processed / most})`;
      setText(
        row.text,
        `${total === null ? count(it.processed, 'item') : `${number(it.processed)} of ${count(total, 'item')}`}${it.status === 'stalled' ? ', stalled' : `, started ${age(Date.parse(it.startedAt))}`}`,
      );
      row.node.classList.toggle('stalled', it.status === 'stalled');
    }
  }

  #row(it) {
    const name = it.campaignName || it.campaignId;
    const fill = el('div', { class: 'fill' });
    const bar = el(
      'div',
      { class: 'lane', role: 'progressbar', 'aria-label': plain(name), 'aria-valuemin': 0 },
      el('div', { class: 'track' }, fill),
    );
    const text = el('span', { class: 'value' });
    const node = el(
      'li',
      {},
      el('a', { href: to('deletions', it.deletionId, this.#account) }, shown(name)),
      bar,
      text,
    );
    const row = { node, bar, fill, text };
    this.#rows.set(it.deletionId, row);
    this.#list.append(node);
    return row;
  }
}

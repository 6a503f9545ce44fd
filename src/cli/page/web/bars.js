// The bars by kind: how many items of each kind there are, or are deleted.
import { el, setText } from './dom.js';
import { number } from './text.js';

const KINDS = [
  ['prospects', 'Prospects'],
  ['chats', 'Chats'],
  ['messages', 'Messages'],
  ['tasks', 'Tasks'],
  ['webhookEvents', 'Webhook events'],
  ['analytics', 'Analytics'],
];
/** Shown only when there are any. */
const RARE = [
  ['webhookDeliveries', 'Webhook deliveries'],
  ['other', 'Other'],
];

/** The counters of a summary, in the order in which they are shown. */
export const COUNTERS = [...KINDS, ...RARE].map(([counter]) => counter);

/** Keeps what a dry run has counted before a deletion, as long as the tab is open. */
export const keepTotals = (deletionId, counts) =>
  sessionStorage.setItem(`totals ${deletionId}`, JSON.stringify(counts));
/** What a dry run has counted before a deletion; `null` if this tab has made none, or an incomplete one. */
export const totalsOf = (deletionId) => JSON.parse(sessionStorage.getItem(`totals ${deletionId}`) ?? 'null');

export const sum = (counts) => Object.values(counts).reduce((all, value) => all + value, 0);

/** Bars that can be set to other counts. `role` is `meter` for what is, `progressbar` for what moves. */
export class Bars {
  #rows = new Map();
  #role;
  node = el('div', { class: 'bars' });

  constructor(role) {
    this.#role = role;
  }

  /** Shows counts; `totals` are those of the dry run, if they are known. */
  set(counts, totals) {
    const largest = Math.max(1, ...Object.values(totals ?? counts));
    for (const [kind, name] of [
      ...KINDS,
      ...RARE.filter(([rare]) => (counts[rare] ?? 0) + (totals?.[rare] ?? 0) > 0),
    ]) {
      const value = counts[kind] ?? 0;
      const most = totals ? Math.max(totals[kind] ?? 0, value) : largest;
      const row = this.#row(kind, name);
      row.bar.setAttribute('aria-valuenow', value);
      row.bar.setAttribute('aria-valuemax', Math.max(1, most));
      row.track.style.width = `${totals ? share(most, largest) : 100}%`;
      row.fill.style.transform = `scaleX(${most === 0 ? 0 : value / most})`;
      setText(
        row.value,
        totals && totals[kind] !== undefined ? `${number(value)} / ${number(most)}` : number(value),
      );
      row.node.classList.toggle('none', value === 0 && (totals?.[kind] ?? 0) === 0);
    }
  }

  #row(kind, name) {
    const known = this.#rows.get(kind);
    if (known) return known;
    const fill = el('div', { class: 'fill' });
    const track = el('div', { class: 'track' }, fill);
    const bar = el('div', { class: 'lane', role: this.#role, 'aria-label': name, 'aria-valuemin': 0 }, track);
    const value = el('span', { class: 'value' });
    const node = el('div', { class: 'kind' }, el('span', { class: 'name' }, name), bar, value);
    const row = { node, bar, track, fill, value };
    this.#rows.set(kind, row);
    this.node.append(node);
    return row;
  }
}

/** A share in per cent of which the smallest is still seen. */
const share = (part, whole) => (part === 0 ? 0 : Math.max(2, (part / whole) * 100));

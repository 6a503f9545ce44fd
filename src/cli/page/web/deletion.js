// One deletion: while it runs, how far it is and who works on it; afterwards, what it has deleted.
import { pause, said, send, state, to, wait } from './api.js';
import { Bars, sum, totalsOf } from './bars.js';
import { badge } from './campaigns.js';
import { alertBox, command, el, facts, setText, shown, time } from './dom.js';
import { receipt } from './receipt.js';
import { bytes, count, duration, isDeletionId, moment, number, quoted } from './text.js';

/** How many polls the rate is measured over. */
const MEASURED = 6;

export async function deletion(view) {
  const { main, signal, id } = view;
  view.heading.before(el('p', { class: 'back' }, el('a', { href: '#/deletions' }, 'All deletions')));
  if (!isDeletionId(id)) {
    main.append(
      alertBox('That is not the id of a deletion.', el('a', { href: '#/deletions' }, 'All deletions')),
    );
    return;
  }
  const account = view.account ?? state.account;
  const path = `/v1/deletions/${id}`;
  const part = new Part(totalsOf(id));
  const first = el('p', { class: 'note', role: 'log' }, 'Reading the deletion…');
  main.append(first);
  let measured = [];
  for (let isFirst = true; ;) {
    const answer = await send('GET', path, { signal, account });
    if (answer.status === 429 || answer.status >= 500) {
      const why = said(answer);
      part.fail(why);
      setText(first, why);
      await wait(pause(answer, answer.status === 429 ? 60 : 10), signal);
      continue;
    }
    part.fail('');
    first.remove();
    if (answer.status !== 200) {
      main.append(
        alertBox(
          said(answer),
          el(
            'p',
            {},
            state.session.mode === 'serve'
              ? 'It may belong to another account, or to an earlier run of the server, or its record has expired. '
              : 'It may belong to another account, or its record has expired. ',
            el('a', { href: '#/deletions' }, 'All deletions'),
          ),
        ),
      );
      return;
    }
    const it = answer.body;
    if (isFirst) {
      isFirst = false;
      state.last.deletionId = id;
      view.setTitle(it.campaignName || it.campaignId, shown(it.campaignName || it.campaignId));
      main.append(part.node);
    }
    const local = await send('GET', `/local/deletions/${id}`, { signal, account });
    measured = [...measured, [performance.now(), it.processed]].slice(-MEASURED);
    part.show(it, local.status === 200 ? local.body : null, rate(measured));
    if (it.status === 'succeeded') {
      part.finish(it, account, signal);
      return;
    }
    if (it.status === 'stalled') part.offer(() => resume(it, account, signal));
    await wait(pause(answer, 2), signal);
  }
}

/** Items a second over the last polls; `null` if that is not known. */
function rate(measured) {
  const [from, until] = [measured[0], measured.at(-1)];
  const seconds = (until[0] - from[0]) / 1_000;
  return seconds > 0.5 ? (until[1] - from[1]) / seconds : null;
}

/**
 * Sends the DELETE again: it resumes a deletion that has no worker. A campaign in `deleting` is attached to
 * before `If-Match` is looked at, so one that never matches begins no deletion of whatever is there by then.
 */
async function resume(it, account, signal) {
  const headers = { prefer: 'respond-async', 'if-match': '"resume"' };
  const answer = await send('DELETE', `/v1/campaigns/${encodeURIComponent(it.campaignId)}`, {
    signal,
    account,
    headers,
  });
  if (answer.status === 412 || answer.status === 404) return 'The campaign is no longer being deleted.';
  return answer.status < 300 ? null : said(answer);
}

class Part {
  #totals;
  #bars = new Bars('progressbar');
  #badge = el('p', { class: 'state' });
  #wrong = el('p', { class: 'wrong', role: 'alert', hidden: true });
  #total = el('p', { class: 'total' });
  #fill = el('div', { class: 'fill' });
  #speed = el('p', { class: 'note' });
  #worker = el('dl', { class: 'facts' });
  #stalled = el('div');
  #said = el('p', { class: 'unseen', role: 'log' });
  #about = el('div');
  #rest = el('div');
  #status = null;
  #overall = el('div', { class: 'track overall', 'aria-hidden': 'true' }, this.#fill);
  node = el(
    'div',
    {},
    this.#badge,
    this.#stalled,
    this.#wrong,
    el(
      'div',
      { class: 'pair' },
      el('section', { class: 'card' }, this.#total, this.#overall, this.#speed, this.#bars.node),
      el('section', { class: 'card' }, el('h2', {}, 'Details'), this.#about, this.#worker),
    ),
    this.#rest,
    this.#said,
  );

  constructor(totals) {
    this.#totals = totals;
  }

  /** Says why the state is not read; nothing once it is. */
  fail(why) {
    this.#wrong.hidden = why === '';
    setText(this.#wrong, why);
  }

  show(it, local, perSecond) {
    const isDone = it.status === 'succeeded';
    if (this.#status !== it.status) {
      this.#badge.replaceChildren(badge(it.status), ' ', el('span', { class: 'id' }, shown(it.campaignId)));
      if (this.#status !== null)
        setText(
          this.#said,
          isDone ? `Deleted: ${count(it.processed, 'item')}.` : `The deletion is ${it.status}.`,
        );
      this.#status = it.status;
      if (it.status !== 'stalled') this.#stalled.replaceChildren();
    }
    this.#bars.set(it.deletedItems, isDone ? null : this.#totals);
    const total = this.#totals && !isDone ? Math.max(sum(this.#totals), it.processed) : null;
    setText(
      this.#total,
      total !== null
        ? `${number(it.processed)} of ${count(total, 'item')} processed`
        : `${count(it.processed, 'item')} ${isDone ? 'deleted' : 'processed'}`,
    );
    this.#overall.hidden = total === null;
    if (total !== null) this.#fill.style.transform = `scaleX(${it.processed / Math.max(1, total)})`;
    this.#bars.node.classList.toggle('done', isDone);
    if (!this.#about.hasChildNodes() || isDone) this.#about.replaceChildren(about(it));
    setText(this.#speed, isDone ? took(it) : speed(total, it, perSecond));
    const rows = work(it, local);
    const kept = [...this.#worker.children];
    // In place: whoever reads this keeps the place.
    rows.forEach(([name, text], at) => {
      const row = kept[at] ?? this.#worker.appendChild(el('div', {}, el('dt'), el('dd')));
      setText(row.firstChild, name);
      setText(row.lastChild, text);
    });
    kept.slice(rows.length).forEach((row) => row.remove());
  }

  /** Says that nobody works on it, and offers to resume it. */
  offer(resumeIt) {
    if (this.#stalled.hasChildNodes()) return;
    const wrong = el('p', { class: 'wrong' });
    const button = el('button', { type: 'button', class: 'primary', click: go }, 'Resume deletion');
    async function go() {
      button.disabled = true;
      wrong.textContent = (await resumeIt().catch((error) => error.message)) ?? 'Resumed.';
      button.disabled = false;
    }
    this.#stalled.replaceChildren(
      alertBox(
        'No worker is active: the deletion is stalled.',
        el('p', {}, 'Deleted items are counted, and nothing is lost. The clean-up resumes it, or you can.'),
        button,
        wrong,
      ),
    );
  }

  finish(it, account, signal) {
    const { session } = state;
    const { archive } = it;
    const parts = [];
    if (archive) {
      const words = session.restore?.map((word) =>
        word.replace('{deletionId}', it.deletionId).replace('{accountId}', () => account ?? session.account),
      );
      const restore = words?.map(quoted).join(' ');
      parts.push(
        el(
          'section',
          {},
          el('h2', {}, 'Archive'),
          facts([
            ['Location', shown(archive.location)],
            ['Items', number(archive.items)],
            ['Size', bytes(archive.bytes)],
            ['Until', archive.expiresAt && time(archive.expiresAt, moment)],
          ]),
          restore && el('p', { class: 'note' }, 'To restore the campaign with everything in it, run:'),
          restore && command(restore),
        ),
      );
    }
    if (!archive)
      parts.push(
        el(
          'section',
          {},
          el('h2', {}, 'Archive'),
          el('p', { class: 'note' }, 'Not archived: it cannot be restored from here.'),
        ),
      );
    parts.push(receipt(it, account, signal));
    this.#rest.replaceChildren(...parts);
    this.#sayIfItIsThere(it, account, signal);
  }

  /** Says that a campaign with the same id is in the table, restored or new. */
  async #sayIfItIsThere(it, account, signal) {
    const answer = await send('GET', `/local/campaigns/${encodeURIComponent(it.campaignId)}`, { signal });
    if (answer.status !== 200) return;
    this.#stalled.replaceChildren(
      el(
        'p',
        { class: 'note' },
        'A campaign with this id is in the table again: ',
        el('a', { href: to('campaigns', it.campaignId, account) }, shown(answer.body.name || it.campaignId)),
      ),
    );
  }
}

/** What is known of a deletion from its start. */
const about = (it) =>
  facts([
    ['Campaign', shown(it.campaignId)],
    ['Deletion', shown(it.deletionId)],
    ['Requested by', shown(it.requestedBy)],
    ['Reason', it.reason && shown(it.reason)],
    ['Started', time(it.startedAt, moment)],
    ['Completed', it.completedAt && time(it.completedAt, moment)],
  ]);

const took = (it) =>
  `Took ${duration((Date.parse(it.completedAt) - Date.parse(it.startedAt)) / 1_000)}. Each item was counted once.`;

function speed(total, it, perSecond) {
  if (it.status === 'stalled') return `Last progress ${moment(Date.parse(it.lastProcessedAt))}`;
  if (total !== null && it.processed >= total)
    return 'All items are counted. Deleting the rest, then checking that nothing is left…';
  if (perSecond === null) return 'Measuring the rate…';
  const at = `${number(Math.round(perSecond))} items/s`;
  if (total === null) return `${at}; the total is unknown, because this tab has no complete dry run`;
  const left = total - it.processed;
  return perSecond > 0 && left > 0 ? `${at}, about ${duration(Math.max(1, left / perSecond))} left` : at;
}

/** Who works on it, and what was done. */
function work(it, local) {
  if (!local) return [];
  const { here } = local;
  const worker = {
    active: `Active (its lease ends in ${local.leaseLeftSeconds} s unless it is renewed)`,
    none: 'Between slices: the next worker takes over',
    stalled: 'None: the last lease has ended',
  }[local.worker];
  const rows =
    it.status === 'succeeded'
      ? []
      : [
          ['Worker', worker],
          ['Processed', 'Counted first, then deleted'],
        ];
  if (local.pass > 1)
    rows.push(['Passes', `${number(local.pass)}: items were written while others were deleted`]);
  if (local.ranges > 1) rows.push(['Ranges', `${number(local.ranges)} parts of the campaign at once`]);
  if (here) {
    rows.push(['Slices', `${number(here.slices)} completed by this process`]);
    rows.push([
      'Unprocessed writes',
      here.unprocessed === 0 ? 'None' : `${number(here.unprocessed)} were throttled and sent again`,
    ]);
  }
  return rows;
}

// One campaign: what would be deleted, why it may not be, and the form that deletes it.
import { chosen, retryAfter, said, send, state, to, wait } from './api.js';
import { Bars, sum } from './bars.js';
import { badge } from './campaigns.js';
import { alertBox, el, facts, field, select, setText, shown, time } from './dom.js';
import { age, count, isCampaignId, isTypable } from './text.js';

/** What to do about a refusal, by its code. */
const NEXT = {
  campaign_active: 'Pause it in your platform, then check again.',
  deletion_protected:
    'Somebody protected it on purpose. Switch deletionProtection off in your platform, then check again.',
  invalid_status:
    'Only draft, paused, completed, archived, ended, stopped and failed campaigns are deleted. Change its status in your platform, then check again.',
  forbidden: 'It belongs to another account: use a key of that account.',
  subscription_inactive: 'Activate the subscription of this key, or use another key.',
  validation_error: 'Choose a campaign from the list.',
  precondition_failed: 'Somebody has changed it since you looked. Check again before you delete it.',
  unavailable: 'The table is busy. Nothing was deleted; check again in a moment.',
  internal_error:
    'The terminal in which the server runs says why. Nothing is lost: check again, or repeat the deletion.',
};

export async function campaign(view) {
  const { main, signal, id } = view;
  view.setTitle(id, shown(id));
  view.heading.before(el('p', { class: 'back' }, el('a', { href: '#/campaigns' }, 'All campaigns')));
  if (!isCampaignId(id)) {
    main.append(
      alertBox(
        'The API does not accept this id.',
        el(
          'p',
          {},
          'Ids have 1 to 64 characters of A-Z a-z 0-9 . _ - and begin with a letter or digit. ',
          el('a', { href: '#/campaigns' }, 'All campaigns'),
        ),
      ),
    );
    return;
  }
  const body = el('div');
  main.append(body);
  for (;;) {
    body.replaceChildren(el('p', { class: 'note' }, 'Looking at the campaign…'));
    const known = await send('GET', `/local/campaigns/${encodeURIComponent(id)}`, { signal });
    const it = known.status === 200 ? known.body : null;
    const account = view.account ?? it?.accountId ?? state.account;
    if (it) view.setTitle(it.name || id, shown(it.name || id));
    if (it && state.session.choosesAccount) chosen(it.accountId);
    await look(view, body, it, account);
  }
}

/** Shows a campaign once. What it returns ends when one wants to check again. */
async function look({ signal, id }, body, it, account) {
  const path = `/v1/campaigns/${encodeURIComponent(id)}`;
  let lookAgain;
  const again = new Promise((resolve) => {
    lookAgain = resolve;
  });
  const about =
    it &&
    facts(
      [
        ['Id', shown(it.id)],
        ['Status', badge(it.status)],
        ['Owner', shown(it.accountId)],
        ['Last changed', time(it.updatedAt, age)],
        ['Protected', it.deletionProtection ? 'Yes' : 'No'],
      ],
      'row',
    );
  body.replaceChildren(
    ...[about, el('p', { class: 'note' }, 'Counting what would be deleted…')].filter(Boolean),
  );
  const dry = await send('DELETE', `${path}?validateOnly=true`, { signal, account });
  if (dry.status !== 200) {
    body.replaceChildren(...[about, refusal(dry, it, account, lookAgain)].filter(Boolean));
    if (dry.status === 429) waitFor(retryAfter(dry, 60), signal, lookAgain);
    return again;
  }
  const { deletionSummary: summary } = dry.body;
  const total = sum(summary.deletedItems);
  const bars = new Bars('meter');
  bars.set(summary.deletedItems);
  const isWhole = summary.complete !== false;
  const problem = el('div');
  if (!dry.headers.get('etag'))
    problem.append(
      el(
        'p',
        { class: 'note' },
        'It has no updatedAt, so the deletion cannot check that it has not changed since.',
      ),
    );
  const form = deletionForm({
    name: summary.campaignName,
    id,
    async submit({ reason, archive }, key) {
      const query = new URLSearchParams({
        ...(reason && { reason }),
        ...(archive && { archive }),
      }).toString();
      const headers = {
        'if-match': dry.headers.get('etag') ?? '*',
        'idempotency-key': key,
        prefer: 'respond-async',
      };
      const answer = await send('DELETE', query ? `${path}?${query}` : path, { signal, account, headers });
      if (answer.status !== 200 && answer.status !== 202) {
        form.remove();
        problem.replaceChildren(refusal(answer, it, account, lookAgain));
        if (answer.status === 429) waitFor(retryAfter(answer, 60), signal, lookAgain);
        return;
      }
      const { deletionId } = answer.body.deletionSummary;
      if (isWhole) sessionStorage.setItem(`totals ${deletionId}`, JSON.stringify(summary.deletedItems));
      location.hash = to('deletions', deletionId, account);
    },
  });
  body.replaceChildren(
    ...[about].filter(Boolean),
    problem,
    el(
      'div',
      { class: 'pair' },
      el(
        'section',
        { class: 'card' },
        el('h2', {}, 'What would be deleted'),
        el('p', { class: 'total' }, isWhole ? count(total, 'item') : `At least ${count(total, 'item')}`),
        isWhole
          ? null
          : el(
              'p',
              { class: 'note' },
              'Counting all of them takes longer than a request may. The deletion itself has no limit, and counts exactly.',
            ),
        bars.node,
      ),
      form,
    ),
  );
  return again;
}

/** Says why a campaign cannot be deleted, and what to do. */
function refusal(answer, it, account, lookAgain) {
  const code = answer.body?.error;
  const isRunning = it?.status === 'deleting' && it.deletionId;
  const next = [];
  if (isRunning && code !== 'forbidden')
    next.push(
      el(
        'p',
        {},
        'It is being deleted already. ',
        el('a', { href: to('deletions', it.deletionId, account) }, 'Watch the deletion'),
      ),
    );
  else if (it?.status === 'deleting' && code !== 'forbidden')
    next.push(
      el('p', {}, 'It has no deletion. Restart it from a terminal: campaigns delete, or the DELETE again.'),
    );
  else if (answer.status === 404)
    next.push(
      el('p', {}, 'It may be deleted already. ', el('a', { href: '#/deletions' }, 'Search the deletions')),
    );
  else if (answer.status === 429)
    next.push(
      el(
        'p',
        {},
        'This key has made too many requests. Checking again in ',
        el('span', { class: 'seconds' }, `${retryAfter(answer, 60)} s`),
        '.',
      ),
    );
  else next.push(el('p', {}, NEXT[code] ?? 'Check again, or ask whoever runs the server.'));
  if (answer.status === 409 && !isRunning)
    next.push(el('p', { class: 'note' }, 'What is in it is not counted while it cannot be deleted.'));
  if (!isRunning && code !== 'forbidden')
    next.push(el('button', { type: 'button', click: lookAgain }, 'Check again'));
  return alertBox(said(answer), ...next);
}

/** Looks again once the time has passed that a rate limit names. */
async function waitFor(seconds, signal, lookAgain) {
  for (let left = seconds; left > 0 && !signal.aborted; left -= 1) {
    const shownSeconds = document.querySelector('.seconds');
    if (shownSeconds) shownSeconds.textContent = `${left} s`;
    await wait(1_000, signal).catch(() => {});
  }
  lookAgain();
}

/** The form that deletes a campaign once its name is typed. */
function deletionForm({ name, id, submit }) {
  const isName = isTypable(name);
  const expected = (isName ? name : id).normalize('NFC');
  const typed = el('input', {
    type: 'text',
    autocomplete: 'off',
    autocapitalize: 'off',
    spellcheck: 'false',
    required: true,
  });
  const reason = el('input', {
    type: 'text',
    pattern: '[a-z0-9\\-]{1,40}',
    title: 'Up to 40 characters of a-z 0-9 and -',
    autocomplete: 'off',
    spellcheck: 'false',
    placeholder: 'erasure-request',
  });
  const { archive: kept } = state.session;
  const archive =
    kept &&
    select([
      ['', kept.mode === 'default' ? 'As configured: yes' : 'As configured: no'],
      ['true', 'Yes'],
      ['false', 'No'],
    ]);
  const button = el('button', { class: 'danger', disabled: true }, 'Delete campaign');
  const hint = isName
    ? 'The button is enabled once it matches.'
    : 'Its name cannot be typed as it is shown, so type its id.';
  const differs = el('p', { class: 'hint', role: 'log' });
  const key = crypto.randomUUID();
  typed.addEventListener('input', () => {
    button.disabled = typed.value.normalize('NFC') !== expected;
    setText(differs, typed.value && button.disabled ? 'Not the same yet. Capital letters count.' : '');
  });
  const send_ = async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    button.textContent = 'Deleting…';
    await submit({ reason: reason.value, archive: archive?.value }, key);
  };
  return el(
    'form',
    { class: 'delete card', submit: send_ },
    el('h2', {}, 'Delete it'),
    el(
      'p',
      {},
      'The campaign and everything in it is deleted, and cannot be restored',
      kept ? ' except from an archive.' : ': there is no archive here.',
    ),
    el('p', { class: 'expected' }, shown(expected)),
    field(`Type the ${isName ? 'name' : 'id'} to confirm`, typed, hint),
    differs,
    field(
      'Reason',
      reason,
      'Optional: a word such as erasure-request, of a-z 0-9 and -. It is kept in the audit trail, so nothing personal.',
    ),
    archive && field('Archive', archive),
    button,
  );
}

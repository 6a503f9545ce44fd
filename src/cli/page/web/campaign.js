// One campaign: what would be deleted, why it may not be, and the form that deletes it.
import { NoKey, chosen, retryAfter, said, send, state, to, wait } from './api.js';
import { Bars, keepTotals, sum } from './bars.js';
import { badge } from './campaigns.js';
import { alertBox, command, el, facts, field, fill, select, setText, shown, time } from './dom.js';
import { age, count, isCampaignId, isTypable, quoted } from './text.js';

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

/** What to do, and the attribute to set for it. The demo has no platform that would set it. */
const WITHOUT_PLATFORM = {
  campaign_active: ['pause it', 'campaignStatus', { S: 'paused' }],
  deletion_protected: ['switch its protection off', 'deletionProtection', { BOOL: false }],
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
  for (let isFirst = true; ; isFirst = false) {
    body.replaceChildren(el('p', { class: 'note' }, 'Looking at the campaign…'));
    // The button that began this is gone.
    if (!isFirst) view.heading.focus();
    const known = await send('GET', `/local/campaigns/${encodeURIComponent(id)}`, { signal });
    const it = known.status === 200 ? known.body : null;
    const account = view.account ?? it?.accountId ?? state.account;
    if (it) {
      view.setTitle(it.name || id, shown(it.name || id));
      state.last.id = id;
    }
    if (it && state.session.choosesAccount) chosen(it.accountId);
    await look(view, body, it, account);
  }
}

/** Shows a campaign once. What it returns ends when one wants to check again. */
async function look({ signal, id, heading }, body, it, account) {
  const path = `/v1/campaigns/${encodeURIComponent(id)}`;
  const ended = new AbortController();
  let end;
  const again = new Promise((resolve) => {
    end = resolve;
  });
  function lookAgain() {
    ended.abort();
    end();
  }
  function refused(answer) {
    const box = refusal(answer, it, account, lookAgain);
    if (answer.status === 429)
      countDown(box, retryAfter(answer, 60), AbortSignal.any([signal, ended.signal]), lookAgain);
    return box;
  }
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
  fill(body, about, el('p', { class: 'note' }, 'Counting what would be deleted…'));
  const dry = await send('DELETE', `${path}?validateOnly=true`, { signal, account });
  if (dry.status !== 200) {
    fill(body, about, refused(dry));
    return again;
  }
  const { deletionSummary: summary } = dry.body;
  const total = sum(summary.deletedItems);
  const bars = new Bars('meter');
  bars.set(summary.deletedItems);
  const isWhole = summary.complete !== false;
  const etag = dry.headers.get('etag');
  const form = deletionForm({
    name: summary.campaignName,
    id,
    async submit({ reason, archive }, key) {
      const query = new URLSearchParams({
        ...(reason && { reason }),
        ...(archive && { archive }),
      }).toString();
      const headers = {
        'if-match': etag ?? '*',
        'idempotency-key': key,
        prefer: 'respond-async',
      };
      const answer = await send('DELETE', query ? `${path}?${query}` : path, { signal, account, headers });
      if (answer.status !== 200 && answer.status !== 202) {
        // It may have changed, so what is shown of it may not be true any more.
        fill(body, refused(answer));
        heading.focus();
        return;
      }
      const { deletionId } = answer.body.deletionSummary;
      if (isWhole) keepTotals(deletionId, summary.deletedItems);
      location.hash = to('deletions', deletionId, account);
    },
  });
  fill(
    body,
    about,
    etag
      ? null
      : el(
          'p',
          { class: 'note' },
          'The campaign has no updatedAt, so the deletion cannot check whether it has changed since it was counted.',
        ),
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
  const isRunning = it?.status === 'deleting' && it.deletionId;
  return alertBox(
    said(answer),
    ...whatNext(answer, it, account),
    answer.status === 409 &&
      !isRunning &&
      el('p', { class: 'note' }, 'Its items are not counted while it cannot be deleted.'),
    !isRunning &&
      answer.body?.error !== 'forbidden' &&
      el('button', { type: 'button', click: lookAgain }, 'Check again'),
  );
}

function whatNext(answer, it, account) {
  const code = answer.body?.error;
  if (it?.status === 'deleting' && code !== 'forbidden') {
    if (!it.deletionId)
      return [
        el(
          'p',
          {},
          'Its status is deleting, but it has no deletionId. Run campaigns delete, or send the DELETE again.',
        ),
      ];
    const watch = el('a', { href: to('deletions', it.deletionId, account) }, 'Watch the deletion');
    return [el('p', {}, 'It is being deleted already. ', watch)];
  }
  if (answer.status === 404) {
    const search = el('a', { href: '#/deletions' }, 'Search the deletions');
    return [el('p', {}, 'It may be deleted already. ', search)];
  }
  if (answer.status === 429) {
    const seconds = el('span', { class: 'seconds' }, `${retryAfter(answer, 60)} s`);
    return [el('p', {}, 'This key has made too many requests. Checking again in ', seconds, '.')];
  }
  const isElsewhere = code === 'forbidden' && state.session.choosesAccount;
  if (state.session.mode === 'serve' && it && code in WITHOUT_PLATFORM) {
    const [todo, ...attribute] = WITHOUT_PLATFORM[code];
    return [
      el('p', {}, `The demo has no platform: to ${todo}, run this in a shell, then check again.`),
      command(change(it.id, ...attribute)),
    ];
  }
  return [
    el(
      'p',
      {},
      isElsewhere
        ? 'It belongs to another account: open it from the list of campaigns.'
        : (NEXT[code] ?? 'Check again, or ask whoever runs the server.'),
    ),
  ];
}

/** A line for a shell that sets an attribute of a campaign in the local table, as a platform would. */
function change(id, attribute, value) {
  const request = {
    TableName: state.session.table,
    Key: { PK: { S: `CAMPAIGN#${id}` }, SK: { S: 'CAMPAIGN' } },
    UpdateExpression: `SET ${attribute} = :it, updatedAt = :now`,
    ConditionExpression: 'attribute_exists(PK) AND campaignStatus <> :deleting',
    ExpressionAttributeValues: {
      ':it': value,
      ':now': { S: `${new Date().toISOString().slice(0, 19)}Z` },
      ':deleting': { S: 'deleting' },
    },
  };
  const words = [
    // The embedded DynamoDB requires a signature, but does not verify it.
    ...['curl', state.session.endpoint, '--aws-sigv4', 'aws:amz:local:dynamodb', '--user', 'local:local'],
    ...['-H', 'Content-Type: application/x-amz-json-1.0'],
    ...['-H', 'X-Amz-Target: DynamoDB_20120810.UpdateItem', '-d', JSON.stringify(request)],
  ];
  return words.map(quoted).join(' ');
}

/** Says how long a rate limit still holds, and looks again once it does not. */
async function countDown(box, seconds, signal, lookAgain) {
  const text = box.querySelector('.seconds');
  for (let left = seconds; left > 0; left -= 1) {
    text.textContent = `${left} s`;
    try {
      await wait(1_000, signal);
    } catch {
      return;
    }
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
    setText(differs, typed.value && button.disabled ? 'No match yet. Upper and lower case matter.' : '');
  });
  const send_ = async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    button.textContent = 'Deleting…';
    try {
      await submit({ reason: reason.value, archive: archive?.value }, key);
    } catch (error) {
      if (error instanceof NoKey || error.name === 'AbortError') throw error;
      button.disabled = false;
      button.textContent = 'Delete campaign';
      setText(differs, 'The answer could not be read. To repeat the same request, delete again.');
    }
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
      'Optional: up to 40 characters of a-z 0-9 and -. It is kept in the audit trail, so enter nothing personal.',
    ),
    archive && field('Archive', archive),
    button,
  );
}

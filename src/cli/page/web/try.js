// Tries an operation of the reference: its fields, the request, and the answer as it is.
import { sendOnce, state } from './api.js';
import { el, field, select } from './dom.js';
import { plain, plainLines } from './text.js';

export function tryIt(operation) {
  const part = el('div', { class: 'try' });
  const open = el('button', { type: 'button', click: show }, 'Try it');
  function show() {
    const opened = form(operation);
    open.replaceWith(opened);
    opened.querySelector('input, select, textarea, button').focus();
  }
  part.append(open);
  return part;
}

function form({ method, path, parameters, resolve, body }) {
  const account =
    state.session.choosesAccount &&
    el('input', {
      type: 'text',
      required: true,
      value: state.account ?? '',
      autocomplete: 'off',
      spellcheck: 'false',
    });
  const inputs = parameters.map((parameter) => [parameter, input(resolve(parameter.schema), parameter)]);
  const text = body && el('textarea', { rows: 5, spellcheck: 'false' }, body);
  const typed = el('input', { type: 'text', autocomplete: 'off', spellcheck: 'false' });
  const label =
    method === 'POST'
      ? 'Type all campaign ids, separated by spaces, to confirm'
      : 'Type the campaign id to confirm';
  const confirm = field(label, typed, 'This is not a dry run: it really deletes.');
  const button = el('button', { class: 'primary' }, 'Send');
  const said = el('div', { class: 'said', 'aria-live': 'polite' });
  const value = (name) => inputs.find(([it]) => it.name === name)?.[1].value ?? '';

  /** The id that has to be typed, or `null` if nothing would be deleted. */
  function dangerous() {
    if (method === 'DELETE') return value('validateOnly') === 'true' ? null : value('id');
    if (method !== 'POST') return null;
    try {
      const order = JSON.parse(text.value);
      return order.validateOnly === true ? null : (order.campaignIds ?? []).join(' ');
    } catch {
      return null;
    }
  }
  function check() {
    const id = dangerous();
    confirm.hidden = id === null;
    button.className = id === null ? 'primary' : 'danger';
    button.disabled = id !== null && (id === '' || typed.value !== id);
  }
  async function submit(event) {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    const query = new URLSearchParams();
    const headers = {};
    let filled = path;
    for (const [parameter, control] of inputs) {
      if (control.value === '') continue;
      if (parameter.in === 'path')
        filled = filled.replace(`{${parameter.name}}`, encodeURIComponent(control.value));
      else if (parameter.in === 'query') query.append(parameter.name, control.value);
      else headers[parameter.name] = control.value;
    }
    const target = query.size > 0 ? `${filled}?${query}` : filled;
    try {
      const answer = await sendOnce(method, target, {
        headers,
        body: text?.value,
        account: account ? account.value : null,
      });
      state.last.deletionId = answer.body?.deletionSummary?.deletionId ?? state.last.deletionId;
      const lines = [...answer.headers].map(([name, it]) => `${name}: ${it}`).join('\n');
      const shown = answer.body === null ? answer.text : JSON.stringify(answer.body, null, 2);
      said.replaceChildren(
        el('p', { class: 'strong' }, `${answer.status} for ${method} ${plain(target)}`),
        el('pre', { tabindex: 0 }, lines),
        el('pre', { tabindex: 0 }, plainLines(shown)),
      );
    } catch (error) {
      said.replaceChildren(
        el('p', { class: 'wrong' }, `Not sent, or the answer was lost: ${plain(error.message)}`),
      );
    }
    check();
  }

  for (const control of [...inputs.map(([, it]) => it), text, typed].filter(Boolean))
    control.addEventListener('input', check);
  const made = el(
    'form',
    { submit, class: 'narrow' },
    account && field('Account', account),
    inputs.map(([it, control]) => field(it.required ? `${it.name} (required)` : it.name, control)),
    text && field('Request body', text),
    confirm,
    button,
    said,
  );
  check();
  return made;
}

function input(schema, parameter) {
  if (schema.enum) {
    const choice = select([['', 'not sent'], ...schema.enum.map((it) => [it, String(it)])]);
    // A dry run, unless somebody decides otherwise.
    if (parameter.name === 'validateOnly') choice.value = 'true';
    return choice;
  }
  const isInPath = parameter.in === 'path';
  return el('input', {
    type: 'text',
    required: isInPath,
    value: isInPath && state.last[parameter.name],
    autocomplete: 'off',
    spellcheck: 'false',
  });
}

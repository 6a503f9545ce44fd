// Builds the document. Whatever others wrote becomes text here, never markup.
import { plain } from './text.js';

/**
 * Makes an element. Attributes that are functions are listeners, `true` sets an attribute without a
 * value, `false`, `null` and `undefined` leave it out. Children are nodes or text.
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...kept(children));
  return made;
}

const kept = (children) =>
  children.flat().filter((child) => child !== null && child !== undefined && child !== false);

/** Puts these children in the place of those that an element has. */
export const fill = (node, ...children) => node.replaceChildren(...kept(children));

/** Text that others wrote, apart from what is around it, and without control characters. */
export const shown = (text) => el('bdi', {}, plain(text));

/** Sets text only if it differs, so that nothing is announced or painted again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A time, as an age or as it is, with the whole in its title. */
export function time(text, how) {
  const at = Date.parse(text ?? '');
  if (Number.isNaN(at)) return shown(text ?? '');
  return el('time', { datetime: new Date(at).toISOString(), title: plain(text) }, how(at));
}

/** A list of names with their values; a value of `null` is left out. `kind` is `row` for one beside the other. */
export function facts(pairs, kind = '') {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '');
  return el(
    'dl',
    { class: `facts ${kind}` },
    rows.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))),
  );
}

/** A box that says what is wrong and what to do. */
export const alertBox = (title, ...body) =>
  el('div', { role: 'alert', class: 'alert' }, el('p', { class: 'strong' }, title), ...body);

/** A button that copies a text, and says so. */
export function copyButton(text) {
  const button = el('button', { type: 'button', class: 'small', click: copy }, 'Copy');
  async function copy() {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'Select and copy by hand';
    }
    setTimeout(() => setText(button, 'Copy'), 2_000);
  }
  return button;
}

/** A line for a shell, and a button that copies it, or what `copied` returns in its place. */
export const command = (line, copied = () => line) =>
  el('div', { class: 'command' }, el('code', {}, plain(line)), copyButton(copied));

/** Offers a text as a file. */
export function download(name, type, text) {
  const href = URL.createObjectURL(new Blob([text], { type }));
  const link = el('a', { href, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

/** A field with its label; `input` is the control. */
export function field(label, input, hint) {
  const id = `f${(field.count = (field.count ?? 0) + 1)}`;
  input.id = id;
  if (hint) input.setAttribute('aria-describedby', `${id}-hint`);
  return el(
    'div',
    { class: 'field' },
    el('label', { for: id }, label),
    input,
    hint && el('p', { class: 'hint', id: `${id}-hint` }, hint),
  );
}

/** A choice of `[value, text]`. */
export const select = (options, attributes = {}) =>
  el(
    'select',
    attributes,
    options.map(([value, text]) => el('option', { value }, text)),
  );

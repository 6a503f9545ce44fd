// Text: numbers, times, sizes, words for a shell, cells for a spreadsheet, and names that others wrote.

const CONTROL = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;
/** Controls, formats, surrogates, private and unassigned characters, and spaces other than one's own. */
const UNTYPABLE = /[\p{C}]|[^\P{Z} ]|^ | $| {2}/u;
const LONGEST_TYPED = 100;

/** Text without control characters, and without those that change the direction of text. */
export const plain = (text) => String(text).toWellFormed().replace(CONTROL, '\ufffd');

/** The same for text of several lines. */
export const plainLines = (text) => text.split('\n').map(plain).join('\n');

/** Whether a name can be typed as it is shown. */
export const isTypable = (name) => name.length > 0 && name.length <= LONGEST_TYPED && !UNTYPABLE.test(name);

const NUMBER = new Intl.NumberFormat('en-US');
export const number = (value) => NUMBER.format(value);
/** A number with its noun. */
export const count = (value, noun) => `${number(value)} ${noun}${value === 1 ? '' : 's'}`;

const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
];
/** Seconds as the two largest units: `3 min 20 s`. */
export function duration(seconds) {
  let left = Math.max(0, Math.round(seconds));
  const at = Math.max(
    0,
    UNITS.findIndex(([, size]) => left >= size),
  );
  if (left === 0) return 'less than 1 s';
  const parts = [];
  for (const [unit, size] of UNITS.slice(at, at + 2)) {
    const whole = Math.floor(left / size);
    left -= whole * size;
    if (whole > 0) parts.push(`${whole} ${unit}`);
  }
  return parts.join(' ');
}

const AGES = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
];
const AGE = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
/** A time in milliseconds as an age: `3 days ago`. */
export function age(at) {
  const seconds = (at - Date.now()) / 1_000;
  for (const [unit, size] of AGES)
    if (Math.abs(seconds) >= size) return AGE.format(Math.trunc(seconds / size), unit);
  return 'just now';
}

const MOMENT = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' });
/** A time in milliseconds as date and time here. */
export const moment = (at) => MOMENT.format(at);

/** Bytes: `1.2 MB`. */
export function bytes(value) {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let at = 0;
  let left = value;
  for (; left >= 1_000 && at < units.length - 1; at += 1) left /= 1_000;
  return `${at === 0 ? number(left) : left.toFixed(1)} ${units[at]}`;
}

/** A word for a POSIX shell. */
export const quoted = (word) =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;

const FORMULA = /[=+\-@\t\r＝＋－＠]/;
const SEPARATOR = /[;,|\t\r\n"]/;
/** A cell that a spreadsheet shows and does not run, by the rules of `campaigns audit --format csv`. */
function asText(cell) {
  const isNumber =
    cell !== '' &&
    (/^[\d\-/.: ]+$/.test(cell) || /^[+-]?(inf|infinity|nan|(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)$/i.test(cell));
  let text = isNumber && !FORMULA.test(cell[0]) ? "'" : '';
  let before = ';';
  for (const character of cell) {
    if (SEPARATOR.test(before) && FORMULA.test(character)) text += "'";
    text += character;
    before = character;
  }
  return text;
}

/** Rows as CSV (RFC 4180). */
export function csv(rows) {
  const cell = (value) => {
    const text = typeof value === 'number' ? String(value) : asText(value ?? '');
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(cell).join(',')}\r\n`).join('');
}

/** Whether a campaign's or a deletion's id is one that the API takes. */
export const isCampaignId = (id) => /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(id);
export const isDeletionId = (id) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id);

// The receipt of a deletion, verified here: nothing is shown of one that does not verify.
import { NoKey, said, send, state } from './api.js';
import { alertBox, command, download, el, facts, shown } from './dom.js';
import { plain, quoted } from './text.js';

const TYPE = 'deletion-receipt+jwt';
/** What the claims mean, by their names in the receipt. */
const NAMES = {
  iss: 'Issuer',
  jti: 'Deletion',
  sub: 'Campaign',
  iat: 'Signed',
  accountId: 'Account',
  requestedBy: 'Requested by',
  reason: 'Reason',
  startedAt: 'Started',
  completedAt: 'Completed',
  deletedItems: 'Deleted items',
  verifiedEmpty: 'Verified empty',
  passes: 'Passes',
  copies: 'Known copies',
};

export function receipt(it, account, signal) {
  const body = el('div');
  const part = el('section', {}, el('h2', {}, 'Receipt'), body);
  if (!state.session.receipts) {
    body.append(
      el(
        'p',
        { class: 'note' },
        state.session.mode === 'console'
          ? 'Receipts are not enabled: start the console with --receipt-key-ids and --receipt-issuer.'
          : 'Receipts are not enabled here.',
      ),
    );
    return part;
  }
  const button = el('button', { type: 'button', click: show }, 'Show receipt');
  body.append(
    el(
      'p',
      { class: 'note' },
      'A signed statement of what was deleted, for anyone who needs proof of the deletion.',
    ),
    button,
  );
  async function show() {
    button.disabled = true;
    try {
      const answer = await send('GET', `/v1/deletions/${it.deletionId}/receipt`, { signal, account });
      const keys = await send('GET', '/v1/jwks.json', { signal });
      const wrong = [answer, keys].find(({ status }) => status !== 200);
      if (wrong) {
        body.replaceChildren(alertBox(said(wrong), button));
        button.disabled = false;
        return;
      }
      const text = String(answer.body?.receipt ?? '');
      const file = `deletion-${it.deletionId}.jws`;
      const claims = await verify(text, keys.body?.keys ?? [], it.deletionId);
      const verified = el('p', { class: 'good', tabindex: '-1' }, 'Verified in this browser');
      body.replaceChildren(
        verified,
        el('p', { class: 'note' }, 'Signed by a key that this server publishes, and unchanged since.'),
        facts(
          Object.entries(claims).map(([name, value]) => [
            Object.hasOwn(NAMES, name) ? NAMES[name] : plain(name),
            shown(typeof value === 'object' ? listed(value) : when(name, value)),
          ]),
        ),
        el('details', {}, el('summary', {}, 'The signed text (JWS)'), el('pre', {}, plain(text))),
        el(
          'button',
          { type: 'button', click: () => download(file, 'application/jwt', text) },
          'Download receipt',
        ),
        el(
          'p',
          { class: 'note' },
          'To verify it elsewhere or later, keep the keys, too. In the folder of the download, run:',
        ),
        command(`curl -f -o jwks.json ${location.origin}/v1/jwks.json`),
        command(
          [state.session.program, 'receipt', 'verify', file, '--jwks', 'jwks.json'].map(quoted).join(' '),
        ),
      );
      verified.focus();
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof NoKey) throw error;
      body.replaceChildren(
        alertBox('The receipt could not be verified.', el('p', {}, plain(error.message)), button),
      );
      button.disabled = false;
    }
  }
  return part;
}

const listed = (value) =>
  Object.entries(value)
    .map(([name, it]) => `${name}: ${it ?? 'no end'}`)
    .join(', ');
const when = (name, value) => (name === 'iat' ? new Date(value * 1_000).toISOString() : String(value));

const json = (text) => JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(decode(text)));

function decode(text) {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) throw new Error('It is not a compact JWS.');
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (it) => it.charCodeAt(0));
}

function encode(bytes) {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}

/** The thumbprint of a key (RFC 7638). */
async function thumbprint({ crv, kty, x, y }) {
  const text = new TextEncoder().encode(JSON.stringify({ crv, kty, x, y }));
  return encode(new Uint8Array(await crypto.subtle.digest('SHA-256', text)));
}

/** The claims of a receipt of this deletion. Throws if it is none, or none of these keys has signed it. */
async function verify(text, keys, deletionId) {
  const [header, payload, signature, ...more] = text.split('.');
  if (!signature || more.length > 0) throw new Error('It is not a compact JWS.');
  const { alg, typ, kid } = json(header);
  if (alg !== 'ES256' || typ !== TYPE) throw new Error('It is not a receipt signed with ES256.');
  const jwk = keys.find((key) => key.kid === kid);
  if (!jwk) throw new Error('The server publishes no key with its id.');
  if ((await thumbprint(jwk)) !== kid) throw new Error('The id of the key is not its thumbprint.');
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  const key = await crypto.subtle.importKey(
    'jwk',
    { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y },
    algorithm,
    false,
    ['verify'],
  );
  const signed = new TextEncoder().encode(`${header}.${payload}`);
  const holds = await crypto.subtle.verify(
    { name: 'ECDSA', hash: 'SHA-256' },
    key,
    decode(signature),
    signed,
  );
  if (!holds) throw new Error('The signature does not match the text.');
  const claims = json(payload);
  if (claims.jti !== deletionId) throw new Error('It is the receipt of another deletion.');
  return claims;
}

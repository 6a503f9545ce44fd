// The reference: the OpenAPI document that the server serves, with calls to paste and to try.
import { currentKey, send, state } from './api.js';
import { alertBox, command, el, facts } from './dom.js';
import { plainLines, quoted } from './text.js';
import { tryIt } from './try.js';

export async function reference({ main, signal }) {
  const answer = await send('GET', '/v1/openapi.json', { signal });
  if (answer.status !== 200) {
    main.append(alertBox('The API description could not be read.'));
    return;
  }
  const resolve = resolver(answer.body);
  const { info, paths, components } = answer.body;
  const parts = [
    el('div', {}, prose(info.description)),
    el(
      'p',
      { class: 'note' },
      'As a file: ',
      el('a', { href: '/v1/openapi.json' }, 'openapi.json'),
      '. Copied commands contain the key of this page.',
    ),
  ];
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods))
      parts.push(described(method.toUpperCase(), path, operation, resolve));
  }
  parts.push(
    el(
      'section',
      {},
      el('h2', {}, 'Schemas'),
      Object.entries(components.schemas).map(([name, schema]) =>
        el(
          'details',
          { id: `schema-${name}` },
          el('summary', {}, el('code', {}, name)),
          properties(schema, resolve),
        ),
      ),
    ),
  );
  main.append(...parts);
}

/** Follows a reference inside of the document. */
function resolver(root) {
  return function resolve(it) {
    if (!it?.$ref) return it ?? {};
    return resolve(
      it.$ref
        .slice(2)
        .split('/')
        .reduce((at, part) => at?.[part.replaceAll('~1', '/').replaceAll('~0', '~')], root),
    );
  };
}

/** Text with code between backticks, in paragraphs. */
function prose(text = '') {
  return text.split(/\n{2,}/).map((part) =>
    el(
      'p',
      {},
      part.split('`').map((piece, at) => (at % 2 === 1 ? el('code', {}, piece) : piece)),
    ),
  );
}

function described(method, path, operation, resolve) {
  const parameters = (operation.parameters ?? []).map(resolve);
  const id = `${method}-${path}`.replaceAll(/[^A-Za-z]+/g, '-');
  const isPublic = operation.security?.length === 0;
  const line = (key) =>
    curl(
      method,
      path,
      parameters,
      operation.requestBody && example(resolve(operation.requestBody), resolve),
      isPublic ? null : key,
    );
  const title = el(
    'h2',
    { id },
    el('span', { class: `method m-${method}` }, method),
    ' ',
    el('code', {}, path),
  );
  return el(
    'section',
    { class: 'operation', 'aria-labelledby': id },
    title,
    el('p', { class: 'strong' }, operation.summary),
    prose(operation.description),
    command(line('…'), () => line(currentKey())),
    method !== 'GET' && el('p', { class: 'note' }, 'This is not a dry run: it really deletes.'),
    parameters.length > 0 &&
      el(
        'details',
        {},
        el('summary', {}, 'Parameters'),
        facts(
          parameters.map((it) => [
            el('code', {}, it.name),
            el(
              'div',
              {},
              el(
                'p',
                { class: 'note' },
                [it.in, it.required && 'required', constraint(resolve(it.schema))].filter(Boolean).join(', '),
              ),
              prose(it.description),
            ),
          ]),
        ),
      ),
    tryIt({
      method,
      path,
      parameters,
      resolve,
      body:
        operation.requestBody && JSON.stringify(example(resolve(operation.requestBody), resolve), null, 2),
    }),
    el(
      'details',
      {},
      el('summary', {}, 'Answers'),
      Object.entries(operation.responses).map(([status, of]) => answered(status, resolve(of), resolve)),
    ),
  );
}

function constraint(schema) {
  if (schema.enum) return schema.enum.join(' or ');
  const range =
    schema.minimum !== undefined && schema.maximum !== undefined && `${schema.minimum} to ${schema.maximum}`;
  return [schema.type, schema.format, range, schema.pattern].filter(Boolean).join(' ');
}

/** A body that the document gives as an example. */
function example(of, resolve) {
  const content = Object.values(of.content ?? {})[0];
  return content?.example ?? Object.values(content?.examples ?? {}).map(resolve)[0]?.value ?? {};
}

function answered(status, of, resolve) {
  const content = Object.values(of.content ?? {})[0];
  const examples = Object.values(content?.examples ?? {}).map(resolve);
  const names = [content?.schema, ...(content?.schema?.oneOf ?? [])]
    .map((it) => it?.$ref?.split('/').at(-1))
    .filter(Boolean);
  return el(
    'div',
    { class: 'answer' },
    el('p', { class: 'strong' }, status),
    prose(of.description),
    names.length > 0 && el('p', { class: 'note' }, 'Schema: ', el('code', {}, names.join(', '))),
    examples.map((it) => el('pre', { tabindex: 0 }, plainLines(JSON.stringify(it.value, null, 2)))),
  );
}

function properties(schema, resolve) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, it]) => {
    const of = resolve(it);
    return [
      el('code', {}, name),
      el(
        'div',
        {},
        el(
          'p',
          { class: 'note' },
          [constraint(of) || it.$ref?.split('/').at(-1), required.has(name) && 'required']
            .filter(Boolean)
            .join(', '),
        ),
        prose(of.description),
      ),
    ];
  });
  return el('div', {}, prose(schema.description), rows.length > 0 && facts(rows));
}

/** A line for a shell. */
function curl(method, path, parameters, body, key) {
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, name) => {
    // Never in a line that deletes: whoever pastes it may not look.
    const seen = method === 'GET' ? state.last[name] : null;
    return seen ?? parameters.find((it) => it.name === name)?.example ?? name.toUpperCase();
  });
  const parts = [
    'curl',
    method === 'GET' ? null : `-X ${method}`,
    `'${location.origin}${filled}'`,
    key && `-H 'Authorization: Bearer ${key}'`,
  ];
  if (key && state.session.choosesAccount)
    parts.push(`-H ${quoted(`Campaigns-Account: ${encodeURIComponent(state.account ?? 'ACCOUNT')}`)}`);
  if (body) parts.push(`-d ${quoted(JSON.stringify(body))}`);
  return parts.filter(Boolean).join(' ');
}

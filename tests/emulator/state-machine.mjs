// Executes the state machine of a template in an interpreter of the Amazon States Language, for
// `tests/emulator/emulator.py state-machine`, which decides what is executed and checks the result.
//
//   node tests/emulator/state-machine.mjs NODE_MODULES TEMPLATE
//
// NODE_MODULES has asl-validator, aws-local-stepfunctions and yaml. The other side talks in lines
// of JSON. The first line out is the definition, checked. Each line in is an execution:
//
//   definition, input, name   what is executed, under which name
//   drainUrl                  where the emulator takes events for drain
//   waits                     milliseconds of Wait states that do not wait as the definition says
//   jitter                    which part of its bound a wait before a retry takes, 0 to 1; null
//                             for a random one
//
// Before each call of a task a line {state, parameters} goes out. The answer is {error: null} to
// continue, or names an error that the call fails with. The execution ends with a line {events}.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

const [nodeModules, template] = process.argv.slice(2);
const require = createRequire(resolve(nodeModules, '-'));

// The one thing that the interpreter needs and Node.js has only from version 22 on.
Promise.withResolvers ??= function () {
  const parts = {};
  parts.promise = new this((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
};

const validate = require('asl-validator');
const { StateMachine } = require('aws-local-stepfunctions');
const { parseDocument, visit } = require('yaml');

const STATE_MACHINE_ARN = 'arn:aws:states:eu-central-1:123456789012:stateMachine:Deletions';
const SUBSTITUTES = {
  DrainFunctionArn: 'arn:aws:lambda:eu-central-1:123456789012:function:Drain',
  Partition: 'aws',
};

/** The definition of the template's state machine, as CloudFormation would create it. */
function readDefinition() {
  const document = parseDocument(readFileSync(template, 'utf8'));
  if (document.errors.length > 0) throw document.errors[0];
  const machine = document.getIn(['Resources', 'DeletionStateMachine', 'Properties'], true);
  const definition = machine.get('Definition', true);
  // Elsewhere a tag such as !Ref is read as the text after it, which nothing here looks at.
  visit(definition, (_, node) => {
    if (node?.tag?.startsWith('!')) throw new Error(`the definition has a tag ${node.tag}`);
  });
  const substitutions = machine.get('DefinitionSubstitutions', true).toJS(document);
  const text = JSON.stringify(definition.toJS(document));
  return JSON.parse(
    text.replace(/\$\{([^}]*)\}/g, (all, name) => {
      if (name in substitutions && name in SUBSTITUTES) return SUBSTITUTES[name];
      throw new Error(`the definition has ${all}, and nothing to put there`);
    }),
  );
}

/** The interpreter matches the name of what is thrown with ErrorEquals. */
function failure(name, message) {
  return Object.assign(new Error(message), { name });
}

/** What lambda:invoke does: an error of the function has the type that the function gives it. */
async function invoke(url, { FunctionName, Payload }) {
  if (FunctionName !== SUBSTITUTES.DrainFunctionArn) {
    throw failure('Lambda.ResourceNotFoundException', `there is no function ${FunctionName}`);
  }
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(Payload) });
  const text = await response.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    // The emulator says in plain text that the function was too slow.
    throw failure('Sandbox.Timedout', text);
  }
  if (answer.errorType) throw failure(answer.errorType, answer.errorMessage);
  return { StatusCode: response.status, Payload: answer };
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function say(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

async function hear() {
  const { done, value } = await lines.next();
  return done ? undefined : JSON.parse(value);
}

/** A handler for each task, by its resource: without one the interpreter would call AWS. */
function handlers(definition, drainUrl) {
  const resources = {
    'arn:aws:states:::lambda:invoke': (parameters) => invoke(drainUrl, parameters),
    'arn:aws:states:::states:startExecution': ({ Name }) => ({
      ExecutionArn: `${STATE_MACHINE_ARN.replace(':stateMachine:', ':execution:')}:${Name}`,
      StartDate: Date.now() / 1000,
    }),
  };
  const tasks = Object.entries(definition.States).filter(([, { Type }]) => Type === 'Task');
  return Object.fromEntries(
    tasks.map(([state, { Resource }]) => {
      const call = resources[Resource];
      if (!call) throw new Error(`${state} has an unknown resource ${Resource}`);
      return [
        state,
        async (parameters) => {
          say({ state, parameters });
          const { error } = await hear();
          if (error) throw failure(error, 'as the other side wants it');
          return call(parameters);
        },
      ];
    }),
  );
}

const { random } = Math;

async function execute({ definition, input, name, drainUrl, waits, jitter }) {
  // From here the interpreter draws the waits before retries, and whatever else is random.
  Math.random = jitter === null ? random : () => jitter;
  const { eventLogs, result } = new StateMachine(definition).run(input, {
    context: { Execution: { Name: name }, StateMachine: { Id: STATE_MACHINE_ARN } },
    overrides: {
      taskResourceLocalHandlers: handlers(definition, drainUrl),
      waitTimeOverrides: waits,
    },
  });
  // The last event says the same.
  result.catch(() => {});
  const events = [];
  for await (const event of eventLogs) events.push(event);
  say({ events });
}

const definition = readDefinition();
// A copy, since it adds to what it checks. The interpreter checks with a version of its own.
const { isValid, errorsText } = validate(structuredClone(definition));
if (!isValid) throw new Error(`the definition is not valid:\n${errorsText()}`);
say(definition);
for (let execution; (execution = await hear());) await execute(execution);

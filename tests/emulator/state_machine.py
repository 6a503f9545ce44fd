"""The mode `state-machine` of emulator.py: executions of the template's state machine over
the built `drain`, with a proxy in between that throttles, an interpreter in place of Step
Functions (state-machine.mjs), and workers that are killed."""

import argparse
import collections
import concurrent.futures
import contextlib
import copy
import dataclasses
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import uuid

from emulated import (
    ACCOUNT,
    ROOT,
    Deletion,
    api,
    campaign_item,
    claim,
    counted_before,
    embedded,
    event,
    expect,
    function,
    in_partition,
    invoke,
    progress,
    seed,
    status_of,
    stopped_after,
)
from proxy import Proxy, proxy_before


class Execution:
    """What an execution of the state machine has done, from the interpreter's events."""

    def __init__(self, events, calls):
        self.events = events
        self.calls = calls
        self.entered = [e["state"] for e in events if e["type"] == "StateEntered"]
        self.path = [state["name"] for state in self.entered]
        drained = [e["state"] for e in self.of_state("Drain") if e["type"] == "StateExited"]
        outputs = [state["output"].get("slice", {}) for state in drained]
        # What Drain selects of each answer.
        members = ("status", "moved", "waitSeconds")
        self.slices = [tuple(output.get(member) for member in members) for output in outputs]

    def check(self, expected_path, expected_error=None):
        """That it has gone this way, and succeeded or failed with this error."""
        end = self.events[-1]
        error = end.get("Error")
        how = f" that ended with {error} ({end['Cause']})" if error else ""
        both = itertools.zip_longest(self.path, expected_path)
        for nth, (state, expected) in enumerate(both, 1):
            expect(f"state {nth} of an execution{how}", state, expected)
        expect("the error", error, expected_error)

    def of_state(self, name):
        return [e for e in self.events if e.get("state", {}).get("name") == name]

    def inputs(self, name, member):
        """A member of the input of a state, at each time that it was entered."""
        return [state["input"][member] for state in self.entered if state["name"] == name]

    def waited(self):
        """How long each Pause was."""
        times = [e["timestamp"] / 1000 for e in self.of_state("Pause")]
        return [left - entered for entered, left in zip(times[::2], times[1::2])]

    def failures(self, name):
        """The errors of a state, and how long each was waited before the state was tried again."""
        of_state = self.of_state(name)
        return [
            (e["Error"], (after["timestamp"] - e["timestamp"]) / 1000)
            for e, after in zip(of_state, of_state[1:])
            if e["type"] == "StateFailed" and after["type"] == "StateRetried"
        ]


def path(*slices, end="Done"):
    """The states of an execution, by the state that each slice but the last leads to, if the last
    finishes the deletion; otherwise by that of each slice, and `end`, which comes after Enough."""
    states = ["Begin"]
    for after_look in slices:
        states += ["Drain", "Look", after_look, "Enough", "Pause"]
    return states + ["Drain", "Look", "Done"] if end == "Done" else states[:-1] + [end]


@dataclasses.dataclass
class World:
    """What the scenarios run in."""

    options: argparse.Namespace
    engine_url: str
    proxy: Proxy
    # The emulator that runs drain, and its URL.
    emulator: subprocess.Popen
    drain_url: str
    interpreter: subprocess.Popen
    definition: dict = None

    def hear(self):
        line = self.interpreter.stdout.readline()
        return json.loads(line) if line else sys.exit("the interpreter has ended")

    def execute(
        self,
        execution_input,
        name="execution",
        definition=None,
        waits=None,
        jitter=None,
        before=lambda task, nth: None,
    ):
        """Executes the state machine. `before` is called before each call of a task and may name
        an error to fail it with. `jitter` is the part of its bound that a wait before a retry
        takes, by default a random one."""
        execution = {
            "definition": definition or self.definition,
            "input": execution_input,
            "name": name,
            "drainUrl": self.drain_url,
            "waits": waits or {},
            "jitter": jitter,
        }
        print(json.dumps(execution), file=self.interpreter.stdin, flush=True)
        calls = collections.defaultdict(list)
        while "events" not in (heard := self.hear()):
            task = calls[heard["state"]]
            task.append(heard["parameters"])
            if len(task) > MOST_CALLS:
                sys.exit(f"{heard['state']} is called endlessly")
            error = before(heard["state"], len(task))
            print(json.dumps({"error": error}), file=self.interpreter.stdin, flush=True)
        for call in calls["Drain"]:
            expect("the payload of drain", call["Payload"], execution_input)
        return Execution(heard["events"], calls)

    def letting_through(self, batches):
        """To be called before each slice, which then deletes this many batches of 25."""

        def before(*_):
            self.proxy.let_through(deletes=batches)

        return before

    def claim(self, campaign_id, total):
        return claim(self.options, self.engine_url, campaign_id, total)

    def limited_to(self, slices):
        """The definition with another limit of slices."""
        definition = copy.deepcopy(self.definition)
        limit_of(definition)["NumericGreaterThanEquals"] = slices
        return definition

    @contextlib.contextmanager
    def killed_in_its_work(self, emulator, binary):
        """Ends the function's process once one batch of deletes has gone through and another has
        not: some of what it has counted is deleted then, and some not. Throttles nothing after."""

        def kill():
            deadline = time.monotonic() + 10
            while self.proxy.throttled == before:
                if time.monotonic() > deadline:
                    sys.exit("the function has not come to its second batch")
                time.sleep(0.002)
            os.kill(int(status_of(emulator, binary)["Pid"]), signal.SIGKILL)
            expect("batches that may go through", self.proxy.left["BatchWriteItem"], 0)
            self.proxy.let_through()

        before = self.proxy.throttled
        self.proxy.let_through(deletes=1)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            killed = pool.submit(kill)
            yield
            killed.result()


# What a slice may take. Two thirds of it are for deletes; with one second, the rest would be too
# little on a machine that is busy.
SLICE_SECONDS = 2
LEASE_SECONDS = 3
# How many times a call is repeated, by the definition.
RETRIES = 10
# No execution here calls a task this often, unless something is wrong.
MOST_CALLS = 40
MOST_SECONDS = 300
# For executions whose waits are looked at rather than waited for.
AT_ONCE = {"Pause": 0}


def slices_to_the_end(world):
    """from the start to an empty partition"""
    # The table takes 20 batches, which are at most 500 deletes, in the time of a slice.
    total = 2000
    deletion = world.claim("campaign_slices", total)
    execution = world.execute(deletion.input(), before=world.letting_through(20))
    world.proxy.let_through()
    calls = len(execution.calls["Drain"])
    execution.check(path(*["Moved"] * (calls - 1)))
    if calls < 3:
        sys.exit(f"{calls} slices are fewer than three")
    expect("the slices' numbers", execution.inputs("Enough", "slices"), list(range(1, calls)))
    expect("pauses", execution.inputs("Pause", "pause"), [0] * (calls - 1))
    slices = [("running", True, 0)] * (calls - 1) + [("succeeded", True, 0)]
    expect("the slices", execution.slices, slices)
    deletion.check_done(world.engine_url)
    return f"{total} children in {calls} slices to Done; counts as in the dry run, nothing left"


def another_worker(world):
    """another worker holds the lease"""
    campaign_id = "campaign_lease"
    total = 75
    lease = {"LEASE_SECONDS": str(LEASE_SECONDS)}
    seed(world.options, world.engine_url, campaign_id, total)
    with api(world.options, world.proxy.url, **lease) as (emulator, send):
        counts = counted_before(send, campaign_id, total)
        with world.killed_in_its_work(emulator, world.options.bootstrap):
            try:
                send(event("delete", campaign_id))
                sys.exit("the function that was to be killed has answered")
            except urllib.error.HTTPError as error:
                # The emulator's, when the process ends.
                expect("the answer of a killed function", error.code, 502)
        claimed_by = campaign_item(world.engine_url, campaign_id)["deletionId"]["S"]
        deletion = Deletion(campaign_id, claimed_by, counts)
        execution = world.execute(deletion.input())
    wait, waited = check_lease_was_waited_for(execution)
    deletion.check_done(world.engine_url)
    return (
        f"api killed in its work; {waited:.1f} s waited for waitSeconds {wait}, no idle slice, "
        "taken over; counts exact"
    )


def check_lease_was_waited_for(execution):
    """How long an execution had to wait for a lease, and has waited, which then has finished."""
    execution.check(path("Moved"))
    wait = execution.slices[0][-1]
    expect("the slices", execution.slices, [("running", False, wait), ("succeeded", True, 0)])
    if not 1 <= wait <= LEASE_SECONDS:
        sys.exit(f"waitSeconds {wait} for a lease of {LEASE_SECONDS} s")
    expect("idle slices", execution.inputs("Enough", "idle"), [0])
    expect("pause", execution.inputs("Pause", "pause"), [wait])
    [waited] = execution.waited()
    return wait, check_waited(waited, wait)


def check_waited(waited, seconds):
    # A timer may be some milliseconds early, and late on a machine that is busy.
    if not seconds - 0.01 <= waited < 2 * seconds:
        sys.exit(f"{waited} s were waited instead of {seconds}")
    return waited


def own_lease(world):
    """a slice cannot give its lease back"""
    deletion = world.claim("campaign_own_lease", 25)

    def throttle(_, nth):
        # The first slice counts, and the second takes the deletion over and can do no more.
        limits = [{"deletes": 0}, {"deletes": 0, "record_writes": 1}]
        world.proxy.let_through(**limits[nth - 1] if nth <= 2 else {})

    execution = world.execute(deletion.input(), before=throttle)
    execution.check(path("Moved", "Idle"))
    wait = execution.slices[1][-1]
    slices = [("running", True, 0), ("running", False, wait), ("succeeded", True, 0)]
    expect("the slices", execution.slices, slices)
    if not 1 <= wait <= LEASE_SECONDS:
        sys.exit(f"waitSeconds {wait} for a lease of {LEASE_SECONDS} s")
    expect("pauses", execution.inputs("Pause", "pause"), [0, wait + 1])
    waited = check_waited(execution.waited()[1], wait + 1)
    deletion.check_done(world.engine_url)
    return (
        f"an idle slice that leaves its lease: {waited:.1f} s waited for waitSeconds {wait} and a "
        "backoff of 1, taken over; counts exact"
    )


def nothing_moves(world):
    """nothing moves"""
    total = 75
    deletion = world.claim("campaign_throttled", total)

    def throttle(_, nth):
        # The fifth slice deletes one batch.
        world.proxy.let_through(deletes=1 if nth == 5 else 0)

    execution = world.execute(deletion.input(), waits=AT_ONCE, before=throttle)
    # The first slice counts, which is progress.
    slices = ["Moved"] + ["Idle"] * 3 + ["Moved"] + ["Idle"] * 8
    execution.check(path(*slices, end="NothingMoves"), "NothingMoves")
    pauses = execution.inputs("Pause", "pause")
    expect("pauses", pauses, [0, 1, 2, 4, 0, 1, 2, 4, 8, 16, 32, 60])
    numbers = execution.inputs("Enough", "slices")
    expect("the slices' numbers", numbers, list(range(1, len(slices) + 1)))
    # And the campaign item.
    left = in_partition(world.engine_url, deletion.campaign_id)
    expect("left in the partition", left, total - 25 + 1)
    now = progress(world.engine_url, deletion.id)
    expect("the record", now, ("running", deletion.counts))
    world.proxy.let_through()
    world.execute(deletion.input()).check(path())
    deletion.check_done(world.engine_url)
    return (
        "NothingMoves after 8 idle slices in a row (3 before one that moved do not count), pauses "
        "1 to 60 s; a new execution finishes; counts exact"
    )


def useless_to_repeat(world):
    """what no retry helps"""
    for deletion_id, error in (
        (str(uuid.uuid4()), "DeletionNotFound"),
        ("no-uuid", "InvalidPayload"),
    ):
        execution_input = {"accountId": ACCOUNT, "deletionId": deletion_id}
        execution = world.execute(execution_input, jitter=0)
        execution.check(["Begin", "Drain"], error)
        expect(f"calls after {error}", len(execution.calls["Drain"]), 1)
    return "DeletionNotFound and InvalidPayload fail the execution after one call"


def no_concurrency(world):
    """no concurrency is left"""
    deletion = world.claim("campaign_waiting", 25)
    refused = "Lambda.TooManyRequestsException"
    # More often than any other error is repeated.
    times = RETRIES + 2
    execution = world.execute(
        deletion.input(), waits=AT_ONCE, before=lambda _, nth: refused if nth <= times else None
    )
    states = ["Begin"] + ["Drain", "NoConcurrency", "Enough", "Pause"] * times
    execution.check(states + ["Drain", "Look", "Done"])
    pauses = execution.inputs("Pause", "pause")
    # States.MathRandom(45, 76): the interpreter may draw its end, too, and Step Functions not.
    expect("pauses of about a minute", [p for p in pauses if not 45 <= p <= 76], [])
    expect("pauses that differ", len(set(pauses)) > 1, True)
    deletion.check_done(world.engine_url)
    return f"refused {times} times in a row, about a minute after each; then Done; counts exact"


def failing_function(world):
    """the function fails"""
    deletion = world.claim("campaign_failing", 25)
    unavailable = "Lambda.ServiceException"
    # With a quarter of the bounds 2, 4 and 8 s.
    execution = world.execute(
        deletion.input(),
        jitter=0.25,
        before=lambda _, nth: unavailable if nth <= 3 else None,
    )
    execution.check(path())
    expect("calls", len(execution.calls["Drain"]), 4)
    failures = execution.failures("Drain")
    expect("errors", [error for error, _ in failures], [unavailable] * 3)
    for (_, waited), seconds in zip(failures, (0.5, 1, 2)):
        check_waited(waited, seconds)
    deletion.check_done(world.engine_url)

    for_ever = world.execute(deletion.input(), jitter=0, before=lambda *_: unavailable)
    for_ever.check(["Begin", "Drain"], unavailable)
    expect("calls", len(for_ever.calls["Drain"]), 1 + RETRIES)

    deletion = world.claim("campaign_killed", 75)
    with world.killed_in_its_work(world.emulator, world.options.drain):
        killed = world.execute(deletion.input(), jitter=0)
    expect("errors", [error for error, _ in killed.failures("Drain")], ["Runtime.ExitError"])
    wait, waited = check_lease_was_waited_for(killed)
    deletion.check_done(world.engine_url)
    return (
        "retried after 0.5, 1 and 2 s (a quarter of the bounds), then Done; failing always: "
        f"1 + {RETRIES} calls; killed in its work: retried, {waited:.1f} s waited for waitSeconds "
        f"{wait}, Done; counts exact"
    )


def many_slices(world):
    """more slices than one execution may have"""
    deletion = world.claim("campaign_many", 6 * 25)
    definition = world.limited_to(2)
    one_batch = world.letting_through(1)
    none = world.letting_through(0)

    def start_fails_with(error):
        def before(task, _):
            none()
            return error if task == "GoOn" else None

        return before

    def run(name, before, jitter=None):
        return world.execute(deletion.input(), name, definition, AT_ONCE, jitter, before)

    def continues_as(execution, name, slices):
        """Returns the name of the execution that continues this one, which has this name."""
        execution.check(path(*slices, end="GoOn") + ["Done"])
        expect("attempts to start the next", len(execution.calls["GoOn"]), 1)
        [start] = execution.calls["GoOn"]
        expect("what starts the next", sorted(start), ["Input", "Name", "StateMachineArn"])
        expect("its input", start["Input"], deletion.input())
        arn = start["StateMachineArn"]
        if ":stateMachine:" not in arn:
            sys.exit(f"{arn} is no state machine")
        next_name = start["Name"]
        if not re.fullmatch(rf"{deletion.id}-[A-Za-z0-9_-]+", next_name) or len(next_name) > 80:
            sys.exit(f"{next_name} is not a name for an execution of {deletion.id}")
        if next_name == name:
            sys.exit(f"{name} continues under its own name")
        return next_name

    # As src/deletion/hand_off.rs names it.
    first = f"{deletion.id}-4"
    second = continues_as(run(first, one_batch), first, ["Moved"] * 2)
    repeated = continues_as(run(first, none), first, ["Idle"] * 2)
    expect("the name, when the same execution runs again", repeated, second)
    another = continues_as(run(f"{deletion.id}-5", none), f"{deletion.id}-5", ["Idle"] * 2)
    if another == second:
        sys.exit(f"two executions continue as {second}")

    # The next one exists already, or it cannot be started.
    exists = run(first, start_fails_with("StepFunctions.ExecutionAlreadyExistsException"), 0)
    continues_as(exists, first, ["Idle"] * 2)
    limit_exceeded = "StepFunctions.ExecutionLimitExceededException"
    refused = run(first, start_fails_with(limit_exceeded), 0)
    refused.check(path("Idle", "Idle", end="GoOn"), limit_exceeded)
    expect("attempts to start the next", len(refused.calls["GoOn"]), 1 + RETRIES)

    third = continues_as(run(second, one_batch), second, ["Moved"] * 2)
    expect("three names in a chain", len({first, second, third}), 3)
    run(third, one_batch).check(path("Moved"))
    world.proxy.let_through()
    deletion.check_done(world.engine_url)
    return (
        f"limit 2: three executions in a chain, the later ones under names of {len(second)} "
        "characters, the same when repeated; counts exact; a next one that exists already is Done, "
        f"another error fails after 1 + {RETRIES} attempts"
    )


def limit_of(definition):
    """The rule that limits the slices of an execution."""
    [limit] = [
        rule for rule in definition["States"]["Enough"]["Choices"] if rule["Variable"] == "$.slices"
    ]
    return limit


def events_of(state):
    """The most events that a state adds to the history of an execution."""
    if state["Type"] != "Task":
        # Entered, exited.
        return 2
    # Entered, scheduled, started, succeeded, exited; scheduled, started, failed for each retry.
    # Every retrier counts its own attempts.
    return 5 + 3 * sum(retrier.get("MaxAttempts", 3) for retrier in state.get("Retry", []))


def most_events(states, name, goal, passed=frozenset()):
    """The most events from entering the state `name` until `goal` is entered, or, if that is None,
    until the end, with no state twice and none of `passed`; None if there is no such way."""
    state = states[name]
    ways_on = [state, *state.get("Choices", []), *state.get("Catch", [])]
    followers = {way["Next"] for way in ways_on if "Next" in way} | {state.get("Default")} - {None}
    passed = passed | {name}
    ways = [0] if not followers and goal is None else []
    for follower in followers:
        if follower == goal:
            ways.append(0)
        elif follower not in passed:
            ways.append(most_events(states, follower, goal, passed))
    known = [events for events in ways if events is not None]
    return events_of(state) + max(known) if known else None


def history(world):
    """the events of the longest execution"""
    states = world.definition["States"]
    for name in states.keys() - {"Drain"}:
        expect(f"a loop of {name} without Drain", most_events(states, name, name, {"Drain"}), None)
    uncounted = most_events(states, "Drain", "Drain", {"Moved", "Idle", "NoConcurrency"})
    expect("a loop without a count", uncounted, None)
    uncounted = most_events(states, "Drain", "Drain", {"Enough"})
    expect("a loop without the limit", uncounted, None)
    slices = limit_of(world.definition)["NumericGreaterThanEquals"]
    slice_events = most_events(states, "Drain", "Drain")
    begin = most_events(states, world.definition["StartAt"], "Drain")
    end = most_events(states, "Drain", None)
    # And two for the execution itself: started, and succeeded or failed.
    most = 1 + begin + slices * slice_events + end + 1
    if most >= 25_000:
        sys.exit(f"an execution may have {most} events, a history 25,000")
    return (
        f"a slice has {slice_events} events at most, {slices} slices {slices * slice_events:,}, "
        f"an execution {most:,} of 25,000"
    )


def state_machine(options):
    def too_long(*_):
        sys.exit(f"this is not over after {MOST_SECONDS} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(MOST_SECONDS)
    begun = time.monotonic()
    scenarios = (
        slices_to_the_end,
        another_worker,
        own_lease,
        nothing_moves,
        useless_to_repeat,
        no_concurrency,
        failing_function,
        many_slices,
        history,
    )
    with contextlib.ExitStack() as stack:
        engine_url = stack.enter_context(embedded(options))
        proxy = stack.enter_context(proxy_before(engine_url))
        variables = {
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(SLICE_SECONDS),
            "LEASE_SECONDS": str(LEASE_SECONDS),
        }
        drain = function(options, options.drain, proxy.url, **variables)
        emulator, drain_url = stack.enter_context(drain)
        script = ROOT / "tests/emulator/state-machine.mjs"
        interpreter = subprocess.Popen(
            ["node", script, options.node_modules, options.template],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.enter_context(stopped_after(interpreter))
        world = World(options, engine_url, proxy, emulator, drain_url, interpreter)
        world.definition = world.hear()
        # The first event starts the process, which is not to be part of a slice.
        expect("drain", invoke(drain_url, {}).get("errorType"), "InvalidPayload")
        for scenario in scenarios:
            print(f"  {scenario.__doc__}: ", end="", flush=True)
            print(scenario(world))
    signal.alarm(0)
    print(f"{len(scenarios)} scenarios passed in {time.monotonic() - begun:.0f} s")

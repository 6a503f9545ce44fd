#!/usr/bin/env python3
"""Runs the built functions under Amazon's Lambda Runtime Interface Emulator.

  .ci/emulator.py events         answer every file of events/ over the demo data
  .ci/emulator.py memory         resident memory of 100,000 children against that of 837
  .ci/emulator.py cold           time from process start to the first answer
  .ci/emulator.py state-machine  execute the template's state machine over `drain`
  .ci/emulator.py scale          delete 1,000,000 children in slices of `drain`

Every mode takes --bootstrap (the built `api`), --emulator (aws-lambda-rie) and --campaigns (the
command line, which makes the data). `events` takes --endpoint-url of an endpoint that runs
already; without it, and in the other modes, the embedded DynamoDB is started. `state-machine` and
`scale` take --drain (the built `drain`). `state-machine` needs Node.js, and --node-modules with
aws-local-stepfunctions, asl-validator and yaml. `memory` and `scale` take --items. Everything
listens on 127.0.0.1 and is stopped by its process id.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import copy
import dataclasses
import http.client
import http.server
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
EVENTS = ROOT / "events"
REFERENCE = {
    "prospects": 150,
    "chats": 150,
    "messages": 420,
    "tasks": 75,
    "webhookEvents": 12,
    "analytics": 30,
}
# The public reference's and this project's answers, by event.
EXPECTED = {
    "no-key": (401, "missing_api_key"),
    "malformed-key": (401, "invalid_api_key_format"),
    "active": (409, "campaign_active"),
    "not-found": (404, "not_found"),
    "foreign": (403, "forbidden"),
    "dry-run": (200, None),
    "respond-async": (202, None),
    "delete": (200, None),
    "wait": (404, "not_found"),
    "idempotent": (404, "not_found"),
    "list-deletions": (200, None),
    "get-deletion": (404, "not_found"),
}
MOST_MORE_MEMORY_KIB = 8 * 1024
ACCOUNT = "account_demo"
# No function of the template may run longer.
LONGEST_CALL_SECONDS = 330


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port, process):
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on 127.0.0.1:{port}")


@contextlib.contextmanager
def stopped_after(process):
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def embedded(options):
    port = free_port()
    serve = subprocess.Popen(
        [options.campaigns, "serve", "--port", "0", "--dynamodb-port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with stopped_after(serve):
        if not any("Ctrl-C stops" in line for line in serve.stdout):
            sys.exit("campaigns serve has not started")
        yield f"http://127.0.0.1:{port}"


def environment(endpoint_url, more):
    return {
        "PATH": os.environ["PATH"],
        "TABLE_NAME": "campaigns",
        "AWS_ENDPOINT_URL_DYNAMODB": endpoint_url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "29",
        **more,
    }


@contextlib.contextmanager
def function(options, binary, endpoint_url, **more):
    """The emulator that runs `binary`, and the URL that takes events for it."""
    port = free_port()
    emulator = subprocess.Popen(
        [
            options.emulator,
            "--log-level",
            "error",
            "--runtime-interface-emulator-address",
            f"127.0.0.1:{port}",
            "--runtime-api-address",
            f"127.0.0.1:{free_port()}",
            binary,
        ],
        env=environment(endpoint_url, more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with stopped_after(emulator):
        wait_for(port, emulator)
        yield emulator, f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"


@contextlib.contextmanager
def api(options, endpoint_url, **more):
    with function(options, options.bootstrap, endpoint_url, **more) as (emulator, url):
        yield emulator, lambda event: answer(url, event)


def invoke(url, event):
    """What the function answers, or the error that it fails with."""
    request = urllib.request.Request(url, json.dumps(event).encode())
    with urllib.request.urlopen(request, timeout=LONGEST_CALL_SECONDS) as response:
        answer = response.read()
    try:
        return json.loads(answer)
    except ValueError:
        # The emulator says in plain text that the function was too slow.
        sys.exit(answer.decode())


def answer(url, event):
    answer = invoke(url, event)
    if "statusCode" not in answer:
        sys.exit(f"the function failed: {answer}")
    return answer["statusCode"], json.loads(answer["body"])


def event(name, campaign_id=None):
    event = json.loads((EVENTS / f"{name}.json").read_text())
    if campaign_id:
        event["rawPath"] = f"/v1/campaigns/{campaign_id}"
        event["pathParameters"] = {"id": campaign_id}
    return event


def expect(what, got, expected):
    if got != expected:
        sys.exit(f"{what}: {got} instead of {expected}")


def check(what, got, expected):
    print(f"  {what}: {got}")
    expect(what, got, expected)


def seed(options, endpoint_url, campaign_id, total):
    command = [options.campaigns, "seed", campaign_id, "--total", str(total)]
    subprocess.run(
        command + ["--endpoint-url", endpoint_url], check=True, stdout=subprocess.DEVNULL
    )


def events(options):
    with contextlib.ExitStack() as stack:
        endpoint_url = options.endpoint_url or stack.enter_context(embedded(options))
        subprocess.run([options.campaigns, "demo", "--endpoint-url", endpoint_url], check=True)
        _, send = stack.enter_context(api(options, endpoint_url))
        for name, expected in EXPECTED.items():
            status, body = send(event(name))
            check(name, (status, body.get("error")), expected)
            for shown in body.get("deletions", []) + [body.get("deletionSummary", {})]:
                if status == 200 and shown:
                    check(f"{name}, counts", shown["deletedItems"], REFERENCE)
        check("delete, again", send(event("delete"))[0], 404)
    print(f"{len(EXPECTED)} events passed")


def descendants(pid):
    # A child belongs to the thread that started it.
    threads = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for children in threads for child in children.read_text().split()]
    return found + [pid for child in found for pid in descendants(child)]


def status_of(emulator, binary):
    """/proc/PID/status of the function's process."""
    name = pathlib.Path(binary).name
    for pid in descendants(emulator.pid):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        if fields["Name"].strip() == name:
            return fields
    sys.exit(f"no process {name} under the emulator")


def peak_kib(emulator, binary):
    return int(status_of(emulator, binary)["VmHWM"].split()[0])


def check_peaks(peaks):
    least, most = min(peaks), max(peaks)
    more = peaks[most] - peaks[least]
    print(f"{most} children take {more} KiB more memory than {least}")
    if more > MOST_MORE_MEMORY_KIB:
        sys.exit(f"that is more than {MOST_MORE_MEMORY_KIB} KiB")


def memory(options):
    peaks = {}
    with embedded(options) as endpoint_url:
        for total in (837, options.items or 100_000):
            campaign_id = f"campaign_{total}"
            seed(options, endpoint_url, campaign_id, total)
            with api(options, endpoint_url) as (emulator, send):
                _, dry_run = send(event("dry-run", campaign_id))
                begun = time.monotonic()
                requests = 1
                status, body = send(event("delete", campaign_id))
                while status == 202 and requests < 100:
                    requests += 1
                    status, body = send(event("delete", campaign_id))
                seconds = time.monotonic() - begun
                check(f"{total}, status", status, 200)
                counts = body["deletionSummary"]["deletedItems"]
                check(f"{total}, counts", counts, dry_run["deletionSummary"]["deletedItems"])
                check(f"{total}, counted", sum(counts.values()), total)
                peaks[total] = peak_kib(emulator, options.bootstrap)
                print(f"  {total}: {seconds:.1f} s, {requests} requests, peak {peaks[total]} KiB")
    check_peaks(peaks)


def cold(options):
    times = []
    # As it is deployed: with a second service to talk to.
    arn = "arn:aws:states:us-east-1:123456789012:stateMachine:Deletions"
    with embedded(options) as endpoint_url:
        for _ in range(options.runs):
            with api(options, endpoint_url, STATE_MACHINE_ARN=arn) as (_, send):
                # The emulator starts the function's process with the first event.
                begun = time.monotonic()
                status, _ = send(event("not-found"))
                times.append((time.monotonic() - begun) * 1000)
                if status != 404:
                    sys.exit(f"status {status} instead of 404")
    print(
        f"process start to first answer, {options.runs} runs: median "
        f"{statistics.median(times):.1f} ms, least {min(times):.1f} ms"
    )


def dynamodb(endpoint_url, operation, **request):
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": f"DynamoDB_20120810.{operation}",
        # Nobody checks the signature.
        "authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/"
        "aws4_request, SignedHeaders=host;x-amz-date, Signature=0",
        "x-amz-date": "20260101T000000Z",
    }
    body = json.dumps({"TableName": "campaigns", "ConsistentRead": True, **request})
    call = urllib.request.Request(endpoint_url, body.encode(), headers)
    with urllib.request.urlopen(call, timeout=10) as response:
        return json.load(response)


def item(endpoint_url, partition, sort_key):
    key = {"PK": {"S": partition}, "SK": {"S": sort_key}}
    return dynamodb(endpoint_url, "GetItem", Key=key).get("Item")


def campaign_item(endpoint_url, campaign_id):
    return item(endpoint_url, f"CAMPAIGN#{campaign_id}", "CAMPAIGN")


def in_partition(endpoint_url, campaign_id):
    """How many items the first page of a campaign's partition has."""
    page = dynamodb(
        endpoint_url,
        "Query",
        KeyConditionExpression="PK = :campaign",
        ExpressionAttributeValues={":campaign": {"S": f"CAMPAIGN#{campaign_id}"}},
    )
    return len(page["Items"])


def progress(endpoint_url, deletion_id):
    """The state of a deletion's record, and what is counted in it."""
    record = item(endpoint_url, f"ACCOUNT#{ACCOUNT}", f"DELETION#{deletion_id}")
    counted = record["counted"]["M"]
    return record["state"]["S"], {kind: int(count["N"]) for kind, count in counted.items()}


def in_proportion(total):
    """What `campaigns seed --total` puts: src/cli/seed.rs, `Children::in_proportion`."""
    whole = sum(REFERENCE.values())
    counts = {kind: count * total // whole for kind, count in REFERENCE.items()}
    counts["messages"] += total - sum(counts.values())
    return counts


@dataclasses.dataclass
class Deletion:
    """A deletion that a scenario is about, and what it has to count."""

    campaign_id: str
    id: str
    counts: dict

    def input(self):
        return {"accountId": ACCOUNT, "deletionId": self.id}

    def check_done(self, endpoint_url):
        """Everything is gone, and each item counted once."""
        campaign = campaign_item(endpoint_url, self.campaign_id)
        expect(f"{self.campaign_id}, the campaign item", campaign, None)
        left = in_partition(endpoint_url, self.campaign_id)
        expect(f"{self.campaign_id}, left in its partition", left, 0)
        now = progress(endpoint_url, self.id)
        expect(f"{self.campaign_id}, its record", now, ("succeeded", self.counts))


def counted_before(send, campaign_id, total):
    """What a dry run counts, or, where its time is over first, what was put."""
    _, body = send(event("dry-run", campaign_id))
    summary = body["deletionSummary"]
    put = in_proportion(total)
    if summary.get("complete", True):
        expect(f"{campaign_id}, dry run", summary["deletedItems"], put)
    return put


def claim(options, endpoint_url, campaign_id, total):
    """Seeds a campaign and claims it, without deleting anything of it."""
    seed(options, endpoint_url, campaign_id, total)
    with api(options, endpoint_url) as (_, send):
        counts = counted_before(send, campaign_id, total)
    with api(options, endpoint_url, INLINE_BUDGET_SECONDS="0") as (_, send):
        status, body = send(event("delete", campaign_id))
    expect(f"{campaign_id}, claim", status, 202)
    return Deletion(campaign_id, body["deletionSummary"]["deletionId"], counts)


def scale(options):
    peaks = {}
    with embedded(options) as endpoint_url:
        for total in (837, options.items or 1_000_000):
            deletion = claim(options, endpoint_url, f"campaign_{total}", total)
            timeout = {"AWS_LAMBDA_FUNCTION_TIMEOUT": str(options.slice_seconds)}
            with function(options, options.drain, endpoint_url, **timeout) as (emulator, url):
                begun = time.monotonic()
                slices = 0
                status = "running"
                while status == "running":
                    slices += 1
                    answer = invoke(url, deletion.input())
                    status = answer.get("status")
                    if status != "succeeded" and not answer.get("moved"):
                        sys.exit(f"slice {slices} has not moved: {answer}")
                seconds = time.monotonic() - begun
                peaks[total] = peak_kib(emulator, options.drain)
            deletion.check_done(endpoint_url)
            print(
                f"  {total}: {slices} slices, {seconds:.1f} s, {total / seconds:.0f} items a "
                f"second, peak {peaks[total]} KiB, counts as seeded"
            )
    check_peaks(peaks)


THROTTLED = {
    "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
    "message": "The test throttles this.",
}


class Proxy(http.server.ThreadingHTTPServer):
    """Hands requests on to the engine, and throttles deletes and writes of records."""

    # More connections than a window of batches.
    request_queue_size = 128

    def __init__(self, engine_url):
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.engine = urllib.parse.urlsplit(engine_url).netloc
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.lock = threading.Lock()
        # How many were throttled.
        self.throttled = 0
        self.let_through()

    def let_through(self, deletes=None, record_writes=None):
        """How many requests go through before the rest is throttled; None for all."""
        with self.lock:
            self.left = {"BatchWriteItem": deletes, "UpdateItem": record_writes}

    def lets_through(self, operation):
        with self.lock:
            left = self.left.get(operation)
            if left == 0:
                self.throttled += 1
                return False
            if left:
                self.left[operation] = left - 1
            return True

    def handle_error(self, request, client_address):
        # A client that was killed or did not wait for its answer.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class ProxyHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.engine = http.client.HTTPConnection(self.server.engine)

    def finish(self):
        self.engine.close()
        super().finish()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        _, operation = self.headers["x-amz-target"].split(".")
        if not self.server.lets_through(operation):
            self.answer(400, json.dumps(THROTTLED).encode())
            return
        self.engine.request("POST", "/", body, dict(self.headers))
        response = self.engine.getresponse()
        self.answer(response.status, response.read())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def proxy_before(engine_url):
    with Proxy(engine_url) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()


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
                sys.exit(f"{heard['state']} is called for ever")
            error = before(heard["state"], len(task))
            print(json.dumps({"error": error}), file=self.interpreter.stdin, flush=True)
        for call in calls["Drain"]:
            expect("the payload of drain", call["Payload"], execution_input)
        return Execution(heard["events"], calls)

    def letting_through(self, batches):
        """To be called before each slice, which then deletes so many batches of 25."""

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
        "retried after 0.5, 1 and 2 s (a quarter of the bounds), then Done; for ever: "
        f"1 + {RETRIES} calls; killed in its work: retried, {waited:.1f} s waited for waitSeconds "
        f"{wait}, Done; counts exact"
    )


def many_slices(world):
    """more slices than one execution may have"""
    deletion = world.claim("campaign_many", 6 * 25)
    definition = world.limited_to(2)
    one_batch = world.letting_through(1)
    none = world.letting_through(0)

    def go_on_fails_with(error):
        def before(task, _):
            none()
            return error if task == "GoOn" else None

        return before

    def run(name, before, jitter=None):
        return world.execute(deletion.input(), name, definition, AT_ONCE, jitter, before)

    def goes_on_as(execution, name, slices):
        """The name of the execution that goes on with this one, which has this name."""
        execution.check(path(*slices, end="GoOn") + ["Done"])
        expect("attempts to go on", len(execution.calls["GoOn"]), 1)
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
            sys.exit(f"{name} goes on under its own name")
        return next_name

    # As src/hand_off.rs names it.
    first = f"{deletion.id}-4"
    second = goes_on_as(run(first, one_batch), first, ["Moved"] * 2)
    repeated = goes_on_as(run(first, none), first, ["Idle"] * 2)
    expect("the name, when the same execution runs again", repeated, second)
    another = goes_on_as(run(f"{deletion.id}-5", none), f"{deletion.id}-5", ["Idle"] * 2)
    if another == second:
        sys.exit(f"two executions go on as {second}")

    # The next one exists already, or nobody can start it.
    exists = run(first, go_on_fails_with("StepFunctions.ExecutionAlreadyExistsException"), 0)
    goes_on_as(exists, first, ["Idle"] * 2)
    limit_exceeded = "StepFunctions.ExecutionLimitExceededException"
    refused = run(first, go_on_fails_with(limit_exceeded), 0)
    refused.check(path("Idle", "Idle", end="GoOn"), limit_exceeded)
    expect("attempts to go on", len(refused.calls["GoOn"]), 1 + RETRIES)

    third = goes_on_as(run(second, one_batch), second, ["Moved"] * 2)
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
    uncounted = most_events(states, "Drain", "Drain", {"Moved", "Idle"})
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
        script = ROOT / ".ci/state-machine.mjs"
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


def tools():
    """Where .ci/run puts what it installs."""
    default = pathlib.Path.home() / ".cache/campaigns-ci"
    return pathlib.Path(os.environ.get("CAMPAIGNS_CI_TOOLS", default))


def installed_emulator():
    """The emulator on PATH, or where .ci/run has put it."""
    found = tools().glob("venv/lib/*/site-packages/samcli/local/rapid/*-rie-x86_64")
    return shutil.which("aws-lambda-rie") or next(map(str, found), None)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    modes = {
        "events": events,
        "memory": memory,
        "cold": cold,
        "state-machine": state_machine,
        "scale": scale,
    }
    parser.add_argument("mode", choices=modes)
    parser.add_argument("--bootstrap", default=ROOT / "target/release/api")
    parser.add_argument("--drain", default=ROOT / "target/release/drain")
    parser.add_argument("--campaigns", default=ROOT / "target/debug/campaigns")
    parser.add_argument("--emulator", default=installed_emulator())
    parser.add_argument("--endpoint-url")
    parser.add_argument("--items", type=int)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--slice-seconds", type=int, default=30)
    parser.add_argument("--node-modules", default=tools() / "state-machine/node_modules")
    parser.add_argument("--template", default=ROOT / "template.yaml")
    options = parser.parse_args()
    if not options.emulator:
        sys.exit(
            "aws-lambda-rie is not there: `pip install aws-sam-cli` brings it "
            "(samcli/local/rapid/aws-lambda-rie-x86_64); name it with --emulator"
        )
    needed = [(options.bootstrap, "cargo functions"), (options.campaigns, "cargo build")]
    if options.mode in ("state-machine", "scale"):
        needed.append((options.drain, "cargo functions"))
    if options.mode == "state-machine":
        needed.append((options.node_modules, ".ci/run"))
    for made, command in needed:
        if not pathlib.Path(made).exists():
            sys.exit(f"{made} is not there: `{command}` makes it")
    options.bootstrap = str(pathlib.Path(options.bootstrap).resolve())
    options.drain = str(pathlib.Path(options.drain).resolve())
    modes[options.mode](options)


if __name__ == "__main__":
    main()

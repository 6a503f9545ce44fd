#!/usr/bin/env python3
"""Runs the built `api` under Amazon's Lambda Runtime Interface Emulator.

  .ci/emulator.py events    answer every file of events/ over the demo data
  .ci/emulator.py memory    resident memory of 100,000 children against that of 837
  .ci/emulator.py cold      time from process start to the first answer

Every mode takes --bootstrap (the built function), --emulator (aws-lambda-rie) and --campaigns (the
command line, which makes the data). `events` takes --endpoint-url of an endpoint that runs
already; without it, and in the other modes, the embedded DynamoDB is started. Everything listens
on 127.0.0.1 and is stopped by its process id.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

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
    "delete": (200, None),
}
MOST_MORE_MEMORY_KIB = 8 * 1024


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


def environment(endpoint_url):
    return {
        "PATH": os.environ["PATH"],
        "TABLE_NAME": "campaigns",
        "AWS_ENDPOINT_URL_DYNAMODB": endpoint_url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_LAMBDA_FUNCTION_NAME": "api",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "29",
    }


@contextlib.contextmanager
def function(options, endpoint_url):
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
            options.bootstrap,
        ],
        env=environment(endpoint_url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with stopped_after(emulator):
        wait_for(port, emulator)
        yield emulator, lambda event: invoke(port, event)


def invoke(port, event):
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    request = urllib.request.Request(url, json.dumps(event).encode())
    with urllib.request.urlopen(request, timeout=40) as response:
        answer = json.load(response)
    if "statusCode" not in answer:
        sys.exit(f"the function failed: {answer}")
    return answer["statusCode"], json.loads(answer["body"])


def event(name, campaign_id=None):
    event = json.loads((EVENTS / f"{name}.json").read_text())
    if campaign_id:
        event["rawPath"] = f"/v1/campaigns/{campaign_id}"
        event["pathParameters"] = {"id": campaign_id}
    return event


def check(what, got, expected):
    print(f"  {what}: {got}")
    if got != expected:
        sys.exit(f"{what}: {got} instead of {expected}")


def events(options):
    with contextlib.ExitStack() as stack:
        endpoint_url = options.endpoint_url or stack.enter_context(embedded(options))
        subprocess.run([options.campaigns, "demo", "--endpoint-url", endpoint_url], check=True)
        _, send = stack.enter_context(function(options, endpoint_url))
        for name, expected in EXPECTED.items():
            status, body = send(event(name))
            check(name, (status, body.get("error")), expected)
            if status == 200:
                check(f"{name}, counts", body["deletionSummary"]["deletedItems"], REFERENCE)
        check("delete, again", send(event("delete"))[0], 404)
    print(f"{len(EXPECTED)} events passed")


def descendants(pid):
    # A child belongs to the thread that started it.
    threads = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for children in threads for child in children.read_text().split()]
    return found + [pid for child in found for pid in descendants(child)]


def peak_kib(emulator, options):
    """VmHWM of the function's process, KiB."""
    name = pathlib.Path(options.bootstrap).name
    for pid in descendants(emulator.pid):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        if fields["Name"].strip() == name:
            return int(fields["VmHWM"].split()[0])
    sys.exit(f"no process {name} under the emulator")


def memory(options):
    peaks = {}
    with embedded(options) as endpoint_url:
        for total in (837, options.items):
            campaign_id = f"campaign_{total}"
            subprocess.run(
                [options.campaigns, "seed", campaign_id, "--total", str(total)]
                + ["--endpoint-url", endpoint_url],
                check=True,
            )
            with function(options, endpoint_url) as (emulator, send):
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
                peaks[total] = peak_kib(emulator, options)
                print(f"  {total}: {seconds:.1f} s, {requests} requests, peak {peaks[total]} KiB")
    more = peaks[options.items] - peaks[837]
    print(f"{options.items} children take {more} KiB more memory than 837")
    if more > MOST_MORE_MEMORY_KIB:
        sys.exit(f"that is more than {MOST_MORE_MEMORY_KIB} KiB")


def cold(options):
    times = []
    with embedded(options) as endpoint_url:
        for _ in range(options.runs):
            with function(options, endpoint_url) as (_, send):
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


def installed_emulator():
    """The emulator on PATH, or where .ci/run has put it."""
    tools = os.environ.get("CAMPAIGNS_CI_TOOLS", pathlib.Path.home() / ".cache/campaigns-ci")
    found = pathlib.Path(tools).glob("venv/lib/*/site-packages/samcli/local/rapid/*-rie-x86_64")
    return shutil.which("aws-lambda-rie") or next(map(str, found), None)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mode", choices=["events", "memory", "cold"])
    parser.add_argument("--bootstrap", default=ROOT / "target/release/api")
    parser.add_argument("--campaigns", default=ROOT / "target/debug/campaigns")
    parser.add_argument("--emulator", default=installed_emulator())
    parser.add_argument("--endpoint-url")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    if not options.emulator:
        sys.exit(
            "aws-lambda-rie is not there: `pip install aws-sam-cli` brings it "
            "(samcli/local/rapid/aws-lambda-rie-x86_64); name it with --emulator"
        )
    for built, command in (
        (options.bootstrap, "cargo functions"),
        (options.campaigns, "cargo build"),
    ):
        if not pathlib.Path(built).exists():
            sys.exit(f"{built} is not there: `{command}` makes it")
    options.bootstrap = str(pathlib.Path(options.bootstrap).resolve())
    {"events": events, "memory": memory, "cold": cold}[options.mode](options)


if __name__ == "__main__":
    main()

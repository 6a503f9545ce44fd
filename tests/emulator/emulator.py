#!/usr/bin/env python3
"""Runs the built functions under Amazon's Lambda Runtime Interface Emulator.

  tests/emulator/emulator.py events         answer every file of events/ over the demo data
  tests/emulator/emulator.py memory         resident memory of 100,000 children against that of 837, and
                                            with an archive against that without
  tests/emulator/emulator.py cold           time from process start to the first answer
  tests/emulator/emulator.py state-machine  execute the template's state machine over `drain`
  tests/emulator/emulator.py scale          delete 1,000,000 children in slices of `drain`
  tests/emulator/emulator.py versions       continue deletions that an older version has begun
  tests/emulator/emulator.py cleanup        schedule `cleanup` over 10,000 campaigns past retention

Every mode takes --bootstrap (the built `api`), --emulator (aws-lambda-rie) and --campaigns (the
command line, which makes the data). `events` takes --endpoint-url of an endpoint that runs
already; without it, and in the other modes, the embedded DynamoDB is started. `state-machine`, `scale`
and `versions` take --drain (the built `drain`), `cleanup` takes --cleanup. `state-machine` needs Node.js,
and --node-modules with aws-local-stepfunctions, asl-validator and yaml. `versions` takes --old, a folder
with `api` and `drain` of the version before ranges (commit 6b53b79), to let both take turns. `cold` takes
--runs, and from `cargo bench` --hello, --peers (a folder) and --json (a file for the result). `memory`,
`scale` and `cleanup` take --items. Everything listens on 127.0.0.1 and is stopped by its process id.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

from emulated import (
    ACCOUNT,
    REFERENCE,
    ROOT,
    answer,
    api,
    archive_in,
    call,
    check,
    check_peaks,
    claim,
    embedded,
    event,
    expect,
    function,
    invoke,
    peak_kib,
    seed,
)
from memory import memory
from state_machine import state_machine
from versions import versions

# The public reference's and this project's answers, by event.
EXPECTED = {
    "no-key": (401, "missing_api_key"),
    "malformed-key": (401, "invalid_api_key_format"),
    "active": (409, "campaign_active"),
    "not-found": (404, "not_found"),
    "foreign": (403, "forbidden"),
    "dry-run": (200, None),
    "delete-many": (200, None),
    "respond-async": (202, None),
    "delete": (200, None),
    "wait": (404, "not_found"),
    "idempotent": (404, "not_found"),
    "list-deletions": (200, None),
    "get-deletion": (404, "not_found"),
}


def events(options):
    with contextlib.ExitStack() as stack:
        endpoint_url = options.endpoint_url or stack.enter_context(embedded(options))
        subprocess.run([options.campaigns, "demo", "--endpoint-url", endpoint_url], check=True)
        _, send = stack.enter_context(api(options, endpoint_url))
        for name, expected in EXPECTED.items():
            status, body = send(event(name))
            check(name, (status, body.get("error")), expected)
            for shown in body.get("deletions", []) + [body.get("deletionSummary", {})]:
                if status == 200 and "deletedItems" in shown:
                    check(f"{name}, counts", shown["deletedItems"], REFERENCE)
        check("delete, again", send(event("delete"))[0], 404)
    print(f"{len(EXPECTED)} events passed")


WITH_A_BUCKET = "api, with a bucket"
MOST_WITH_A_BUCKET = 1.25


def cold(options):
    # As it is deployed: with a second service to talk to.
    arn = {"STATE_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:Deletions"}
    # Nothing is put before something is deleted.
    with_a_bucket = {**arn, **archive_in("https://s3.us-east-1.amazonaws.com")}
    subjects = {"api (this)": (options.bootstrap, arn), WITH_A_BUCKET: (options.bootstrap, with_a_bucket)}
    if options.peers:
        peers = options.peers.resolve()
        subjects["hello, lambda_http"] = (str(options.hello.resolve()), arn)
        subjects["Python, boto3"] = ([peers / "venv/bin/python", peers / "cold.py"], arn)
        subjects["Node SDK"] = ([shutil.which("node"), peers / "cold.mjs"], arn)
    times = {name: [] for name in subjects}
    with embedded(options) as endpoint_url:
        for _ in range(options.runs):
            for name, (command, variables) in subjects.items():
                with function(options, command, endpoint_url, **variables) as (_, url):
                    # The emulator starts the function's process with the first event.
                    begun = time.monotonic()
                    status, _ = answer(url, event("not-found"))
                    times[name].append((time.monotonic() - begun) * 1000)
                    expect(f"{name}, status", status, 404)
    medians = {name: statistics.median(of) for name, of in times.items()}
    print(f"process start to first answer, median and least of {options.runs}:")
    for name, of in times.items():
        print(f"  {name:<20} {medians[name]:>6.1f} ms {min(of):>6.1f} ms")
    # Interleaved, so what the machine does besides is in both.
    more = medians[WITH_A_BUCKET] / medians["api (this)"]
    print(f"with a bucket: {more:.3f} of the time without")
    if more > MOST_WITH_A_BUCKET:
        sys.exit(f"that is more than {MOST_WITH_A_BUCKET}")
    if options.json:
        options.json.write_text(json.dumps(medians))


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


LONG_AGO = "2026-01-01T00:00:00Z"
# How many of the campaigns one run deletes.
PER_RUN = 200


def completed(number):
    """A campaign item that is past any retention, and has nothing in it."""
    campaign_id = f"campaign_old_{number:06}"
    texts = {
        "PK": f"CAMPAIGN#{campaign_id}",
        "SK": "CAMPAIGN",
        "id": campaign_id,
        "name": "Q3 Enterprise Outreach",
        "accountId": ACCOUNT,
        "campaignStatus": "completed",
        "createdAt": LONG_AGO,
        "updatedAt": LONG_AGO,
    }
    return {name: {"S": text} for name, text in texts.items()}


def put_completed(endpoint_url, first, end):
    for number in range(first, end, 25):
        items = [completed(n) for n in range(number, min(number + 25, end))]
        writes = [{"PutRequest": {"Item": item}} for item in items]
        answer = call(endpoint_url, "BatchWriteItem", RequestItems={"campaigns": writes})
        expect("unprocessed writes", answer["UnprocessedItems"], {})


def cleanup(options):
    settings = {
        "LEASE_SECONDS": "1",
        "RETENTION_DAYS": "30",
        "RETENTION_STATUSES": "completed",
        "RETENTION_MODE": "enforce",
        "MAX_DELETE_SHARE_PERCENT": "100",
        "MAX_CAMPAIGNS_PER_RUN": str(PER_RUN),
    }
    with embedded(options) as endpoint_url:
        stalled = claim(options, endpoint_url, "campaign_stalled", 837)
        # It has no active worker for its lease and two lease lengths.
        time.sleep(3.5)
        peaks = {}
        put = deleted = 0
        for total in (PER_RUN, options.items or 10_000):
            put_completed(endpoint_url, put, put + total - (put - deleted))
            put += total - (put - deleted)
            guarded = {**settings, "MAX_DELETE_SHARE_PERCENT": "50"}
            with function(options, options.cleanup, endpoint_url, **guarded) as (_, url):
                run = invoke(url, event("schedule"))
                check(f"{total}, guarded, started", (run["guarded"], run["started"]), (True, []))
                check(f"{total}, resumed", run["resumed"], [] if deleted else [stalled.id])
            with function(options, options.cleanup, endpoint_url, **settings) as (emulator, url):
                report = invoke(url, event("cleanup-report"))
                check(f"{total}, reported", report["candidateCount"], total)
                expect(f"{total}, started by a report", report["started"], [])
                begun = time.monotonic()
                run = invoke(url, event("schedule"))
                seconds = time.monotonic() - begun
                expect(f"{total}, candidates", run["candidates"], report["candidates"])
                expect(f"{total}, started", len(run["started"]), min(PER_RUN, total))
                deleted += len(run["started"])
                peaks[total] = peak_kib(emulator, options.cleanup)
                print(
                    f"  {total} candidates: {len(run['started'])} deleted in {seconds:.2f} s, peak "
                    f"{peaks[total]} KiB"
                )
                refused = invoke(url, {"mode": "enforce"})
                check(f"{total}, refused", refused["errorType"], "InvalidEvent")
            if not deleted:
                sys.exit("nothing was deleted")
        stalled.check_done(endpoint_url)
        left = invoke_report(options, endpoint_url, settings)
        check("left for the next run", left, total - PER_RUN)
    check_peaks(peaks, "candidates")


def invoke_report(options, endpoint_url, settings):
    with function(options, options.cleanup, endpoint_url, **settings) as (_, url):
        return invoke(url, event("cleanup-report"))["candidateCount"]


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
        "versions": versions,
        "cleanup": cleanup,
    }
    parser.add_argument("mode", choices=modes)
    parser.add_argument("--bootstrap", default=ROOT / "target/release/api")
    parser.add_argument("--drain", default=ROOT / "target/release/drain")
    parser.add_argument("--cleanup", default=ROOT / "target/release/cleanup")
    parser.add_argument("--campaigns", default=ROOT / "target/debug/campaigns")
    parser.add_argument("--emulator", default=installed_emulator())
    parser.add_argument("--endpoint-url")
    parser.add_argument("--items", type=int)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--peers", type=pathlib.Path)
    parser.add_argument("--hello", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--old", type=pathlib.Path)
    parser.add_argument("--record", action="store_true")
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
    if options.mode in ("state-machine", "scale", "versions"):
        needed.append((options.drain, "cargo functions"))
    if options.mode == "cleanup":
        needed.append((options.cleanup, "cargo functions"))
    if options.mode == "state-machine":
        needed.append((options.node_modules, ".ci/run"))
    for made, command in needed:
        if not pathlib.Path(made).exists():
            sys.exit(f"{made} is not there: `{command}` makes it")
    options.bootstrap = str(pathlib.Path(options.bootstrap).resolve())
    options.drain = str(pathlib.Path(options.drain).resolve())
    options.cleanup = str(pathlib.Path(options.cleanup).resolve())
    modes[options.mode](options)


if __name__ == "__main__":
    main()

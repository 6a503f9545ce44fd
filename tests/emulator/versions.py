"""The mode `versions` of emulator.py: an upgrade in the middle of a deletion.

The version before ranges is not built here: it no longer changes, and neither does what it writes. Its
records are in records-before-ranges.json, as its own binaries wrote them, each with what was left of the
campaign; the built `drain` continues every one of them. What it reads is written down below (`old_reads`):
a record with several ranges must not be among it, or it would count by the marks of another range. With
--old, a folder with `api` and `drain` of that version, both versions work on the same deletions in turn.
--record writes the file anew, with them."""

import argparse
import contextlib
import json
import pathlib
import sys
import threading
import time

from emulated import ACCOUNT, Deletion, call, claim, embedded, expect, function, invoke, item, read
from proxy import proxy_before

RECORDS = pathlib.Path(__file__).with_name("records-before-ranges.json")

# The types of the attributes of a record, as the version before ranges has to find them, and of those
# that may be missing or NULL. It ignores all others.
READ = {
    **dict.fromkeys(("deletionId", "campaignId", "campaignName", "accountId", "requestedBy"), "S"),
    **dict.fromkeys(("previousStatus", "state", "startedAt", "updatedAt"), "S"),
    **dict.fromkeys(("pass", "version", "leaseUntil"), "N"),
    "counted": "M",
}
READ_IF_THERE = {"countedThrough": "S", "deletedThrough": "S", "owner": "S", "paidUntil": "N"}
# The kinds of items that it counts.
KINDS = {"prospects", "chats", "messages", "tasks", "webhookEvents", "webhookDeliveries", "analytics", "other"}


def old_reads(record):
    """Whether the version before ranges can read a record. It leaves alone what it cannot read."""
    there = {name: kind for name, kind in READ_IF_THERE.items() if "NULL" not in record.get(name, {"NULL": True})}
    has_types = all(kind in record.get(name, {}) for name, kind in (READ | there).items())
    return has_types and record["counted"]["M"].keys() <= KINDS


def partition(endpoint_url, campaign_id):
    """Everything in a campaign, in a page at most."""
    values = {":campaign": {"S": f"CAMPAIGN#{campaign_id}"}}
    page = read(endpoint_url, "Query", KeyConditionExpression="PK = :campaign", ExpressionAttributeValues=values)
    expect("one page", "LastEvaluatedKey" in page, False)
    return page["Items"]


def record_of(endpoint_url, deletion):
    return item(endpoint_url, f"ACCOUNT#{ACCOUNT}", f"DELETION#{deletion.id}")


def put(endpoint_url, items):
    for first in range(0, len(items), 25):
        writes = [{"PutRequest": {"Item": one}} for one in items[first : first + 25]]
        answer = call(endpoint_url, "BatchWriteItem", RequestItems={"campaigns": writes})
        expect("unprocessed writes", answer["UnprocessedItems"], {})


def child(campaign_id, sort_key):
    return {"PK": {"S": f"CAMPAIGN#{campaign_id}"}, "SK": {"S": sort_key}}


@contextlib.contextmanager
def worker(options, endpoint_url, seconds=60):
    """A `drain` whose invocations may take so long; what calls it for a deletion."""
    settings = {"LEASE_SECONDS": "1", "AWS_LAMBDA_FUNCTION_TIMEOUT": str(seconds)}
    with function(options, options.drain, endpoint_url, **settings) as (_, url):
        yield lambda deletion: invoke(url, deletion.input())


def finish(drain, deletion):
    """Calls a worker until the deletion has ended."""
    for _ in range(20):
        answer = drain(deletion)
        if answer.get("status") == "succeeded":
            return
        if "errorType" in answer:
            sys.exit(f"{deletion.campaign_id}: {answer}")
        time.sleep(answer["waitSeconds"])
    sys.exit(f"{deletion.campaign_id} has not ended: {answer}")


def replay(options, engine_url):
    """Continues each state that the version before ranges has left behind."""
    recorded = json.loads(RECORDS.read_text())
    deletion = Deletion(recorded["campaignId"], recorded["deletionId"], recorded["counts"])
    with worker(options, engine_url) as drain:
        for state in recorded["states"]:
            expect(f"{state['what']}: old_reads", old_reads(state["record"]), True)
            put(engine_url, [state["record"], *state["campaign"], *(child(deletion.campaign_id, key) for key in state["children"])])
            finish(drain, deletion)
            counts = {**deletion.counts, **state["counts"]}
            Deletion(deletion.campaign_id, deletion.id, counts).check_done(engine_url)
            print(f"  {state['what']}: {len(state['children'])} children left, finished, {sum(counts.values())} counted")


def split(options, engine_url, proxy, old):
    """Leaves a record with ranges to the version before them, and then finishes it."""
    deletion = claim(options, engine_url, "campaign_split", 6_000)
    proxy.let_through(deletes=60)
    with worker(options, proxy.url, seconds=6) as drain:
        left = drain(deletion)
    expect("after a slice that was throttled", (left.get("status"), left.get("moved")), ("running", True))
    record = record_of(engine_url, deletion)
    ranges = len(record.get("ranges", {"L": []})["L"])
    expect("it has ranges", ranges > 1, True)
    expect("a record with ranges: old_reads", old_reads(record), False)
    proxy.let_through()
    if old:
        time.sleep(left["waitSeconds"] + 1)
        with worker(old, proxy.url) as drain:
            answer = drain(deletion)
        expect("the older version", answer.get("errorType"), "CorruptRecord")
        expect("the record", record_of(engine_url, deletion), record)
    with worker(options, proxy.url) as drain:
        finish(drain, deletion)
    deletion.check_done(engine_url)
    finished = record_of(engine_url, deletion)
    expect("a finished record: old_reads", old_reads(finished), True)
    print(f"  a record with {ranges} ranges is not read by the older version, and the newer one finishes it")


def whole(options, engine_url, proxy, finisher):
    """A record without ranges goes from the newer version to the other, which continues it."""
    deletion = claim(options, engine_url, "campaign_whole", 300)
    expect("a new claim: old_reads", old_reads(record_of(engine_url, deletion)), True)
    proxy.let_through(deletes=4)
    with worker(options, proxy.url, seconds=5) as drain:
        left = drain(deletion)
    record = record_of(engine_url, deletion)
    expect("it has ranges", "ranges" in record, False)
    expect("a record without ranges: old_reads", old_reads(record), True)
    expect("everything is counted", sum(int(n["N"]) for n in record["counted"]["M"].values()), 300)
    proxy.let_through()
    time.sleep(left["waitSeconds"])
    with worker(finisher, proxy.url) as drain:
        finish(drain, deletion)
    deletion.check_done(engine_url)
    print("  a record without ranges is read by both, and counted once")


def turns(options, engine_url, proxy, old):
    """Both versions work on one deletion in turn, and each is throttled after a few batches."""
    # A page, which is not worth ranges.
    deletion = claim(options, engine_url, "campaign_turns", 900)
    taken = []
    while len(taken) < 40:
        name, side = [("newer", options), ("older", old)][len(taken) % 2]
        proxy.let_through(deletes=6)
        with worker(side, proxy.url, seconds=4) as drain:
            answer = drain(deletion)
        taken.append(name)
        if answer.get("status") == "succeeded":
            break
        expect(f"a slice of the {name} version", (answer.get("status"), answer.get("moved")), ("running", True))
        time.sleep(answer["waitSeconds"])
    deletion.check_done(engine_url)
    expect("both took more than one turn", min(map(taken.count, ("older", "newer"))) > 1, True)
    print(f"  {len(taken)} slices of both versions in turn, and everything counted once")


def record(options, old, engine_url, proxy):
    """Writes what the version before ranges leaves behind, at several moments of one deletion."""
    deletion = claim(old, engine_url, "campaign_60", 60)
    states = []

    def note(what, more=()):
        there = partition(engine_url, "campaign_60")
        campaign = [item for item in there if item["SK"]["S"] == "CAMPAIGN"]
        children = [item["SK"]["S"] for item in there if item["SK"]["S"] != "CAMPAIGN"]
        counts = {kind: deletion.counts.get(kind, 0) + 1 for kind in more}
        told = {"what": what, "counts": counts, "record": record_of(engine_url, deletion)}
        states.append({**told, "campaign": campaign, "children": children})

    @contextlib.contextmanager
    def throttled(deletes):
        """A slice in the background, once it is throttled."""
        proxy.let_through(deletes)
        before = proxy.throttled
        working = threading.Thread(target=drain, args=(deletion,))
        working.start()
        while proxy.throttled == before:
            time.sleep(0.05)
        time.sleep(1)
        yield
        working.join()

    note("claimed")
    with worker(old, proxy.url, seconds=6) as drain:
        with throttled(deletes=1):
            note("counted, partly deleted, not released")
        note("released in the middle of a pass")
        with throttled(deletes=0):
            # A writer without a fence adds an item behind what is read, which another pass finds.
            put(engine_url, [child("campaign_60", "ACTIVITY#0")])
            proxy.let_through(deletes=2)
        note("released in the second pass", ["analytics"])
        proxy.let_through()
        finish(drain, deletion)
    passes = [state["record"]["pass"]["N"] for state in states]
    expect("the passes", passes, ["1", "1", "1", "2"])
    note("succeeded", ["analytics"])
    told = {"campaignId": deletion.campaign_id, "deletionId": deletion.id, "counts": deletion.counts}
    # A state is a line.
    lines = ",\n".join(json.dumps(state, sort_keys=True) for state in states)
    RECORDS.write_text(json.dumps(told)[:-1] + f', "states": [\n{lines}\n]}}\n')
    print(f"  {len(states)} states in {RECORDS.name}")


def versions(options):
    old = None
    if options.old:
        binaries = {"bootstrap": str(options.old / "api"), "drain": str(options.old / "drain")}
        old = argparse.Namespace(**{**vars(options), **binaries})
    with embedded(options) as engine_url, proxy_before(engine_url) as proxy:
        if options.record:
            record(options, old, engine_url, proxy)
            return
        replay(options, engine_url)
        whole(options, engine_url, proxy, options)
        split(options, engine_url, proxy, old)
    if old:
        with embedded(options) as engine_url, proxy_before(engine_url) as proxy:
            whole(options, engine_url, proxy, old)
            turns(options, engine_url, proxy, old)

"""The mode `memory` of emulator.py: what a deletion takes in memory, however many items there are,
however large, in how many ranges, and what an archive adds to that."""

import base64
import contextlib
import itertools
import os
import sys
import time

from emulated import (
    ACCOUNT,
    api,
    archive_in,
    archiving,
    call,
    check,
    check_peaks,
    event,
    expect,
    peak_kib,
    seed,
)
from proxy import proxy_before

# How much more `api` may take with an archive than without.
MOST_FOR_AN_ARCHIVE_KIB = 40 * 1024
# The sizes of items, bytes; an item has 400 KB at most, with its names and keys.
SIZES = (300, 4_000, 40_000, 409_000)
LARGE = 1_200
# How many have short keys, so that a record may have 16 ranges (src/deletion/drain/splits.rs). How many
# it comes to depends on how fast the machine deletes.
SHORT = 120_000
LEAST_RANGES = 8


def put(endpoint_url, items):
    writes = [{"PutRequest": {"Item": item}} for item in items]
    answer = call(endpoint_url, "BatchWriteItem", RequestItems={"campaigns": writes})
    expect("unprocessed writes", answer["UnprocessedItems"], {})


def seed_children(endpoint_url, campaign_id, children):
    """Puts a campaign with these children, by sort key and text, a few at a time."""
    partition = {"S": f"CAMPAIGN#{campaign_id}"}
    campaign = {
        "id": campaign_id,
        "name": "Q4 Enterprise Outreach",
        "accountId": ACCOUNT,
        "campaignStatus": "paused",
        "updatedAt": "2026-01-02T03:04:05Z",
        "SK": "CAMPAIGN",
    }
    put(endpoint_url, [{"PK": partition, **{name: {"S": text} for name, text in campaign.items()}}])
    children = ({"PK": partition, "SK": {"S": key}, "text": {"S": text}} for key, text in children)
    while batch := list(itertools.islice(children, 25)):
        put(endpoint_url, batch)


def large():
    """Children of all sizes, which cannot be compressed."""
    for number, size in enumerate(itertools.islice(itertools.cycle(SIZES), LARGE)):
        yield f"MESSAGE#{number:06}", base64.b64encode(os.urandom(size * 3 // 4)).decode()


def with_short_keys():
    """Children whose keys are short enough for as many ranges as a record may have."""
    for kind in ("ANALYTICS", "CHAT", "MESSAGE", "PROSPECT", "TASK", "WEBHOOK"):
        for number in range(SHORT // 6):
            yield f"{kind}#{number:06}", "x" * 500


def delete(options, endpoint_url, campaign_id, total, variables):
    """Deletes a campaign of this many children; the peak of the function's memory."""
    with api(options, endpoint_url, **variables) as (emulator, send):
        begun = time.monotonic()
        requests = 1
        status, body = send(event("delete", campaign_id))
        while status == 202 and requests < 100:
            requests += 1
            status, body = send(event("delete", campaign_id))
        seconds = time.monotonic() - begun
        check(f"{campaign_id}, status", status, 200)
        summary = body["deletionSummary"]
        expect(f"{campaign_id}, counted", sum(summary["deletedItems"].values()), total)
        expect(f"{campaign_id}, archived", "archive" in summary, bool(variables))
        peak = peak_kib(emulator, options.bootstrap)
        print(f"  {campaign_id}: {seconds:.1f} s, {requests} requests, peak {peak} KiB")
        return peak


def memory(options):
    many = options.items or 100_000
    peaks = {}
    with archiving(options.campaigns) as (endpoint_url, s3_url, _):
        for how, variables in (("plain", {}), ("archived", archive_in(s3_url))):
            for what, total in (("few", 837), ("many", many), ("large", LARGE), ("ranges", SHORT)):
                campaign_id = f"campaign_{what}_{how}"
                if what in ("few", "many"):
                    seed(options, endpoint_url, campaign_id, total)
                else:
                    children = large() if what == "large" else with_short_keys()
                    seed_children(endpoint_url, campaign_id, children)
                with contextlib.ExitStack() as stack:
                    url = endpoint_url
                    if what == "ranges":
                        proxy = stack.enter_context(proxy_before(endpoint_url))
                        proxy.throttle_first(deletes=2)
                        url = proxy.url
                    peaks[what, how] = delete(options, url, campaign_id, total, variables)
                    if what == "ranges":
                        print(f"  {campaign_id}, ranges: {proxy.most_ranges}")
                        if proxy.most_ranges < LEAST_RANGES:
                            sys.exit(f"that is less than {LEAST_RANGES}")
    check_peaks({837: peaks["few", "plain"], many: peaks["many", "plain"]})
    for what in ("few", "many", "large", "ranges"):
        more = peaks[what, "archived"] - peaks[what, "plain"]
        print(f"{what}: {more} KiB more with an archive than without")
        if more > MOST_FOR_AN_ARCHIVE_KIB:
            sys.exit(f"that is more than {MOST_FOR_AN_ARCHIVE_KIB} KiB")

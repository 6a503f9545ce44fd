#!/usr/bin/env python3
"""Archives, imports and restores a campaign with items of every type. `campaigns serve --archive`
deletes it; moto's DynamoDB imports the objects as they are; `campaigns restore` puts them back. The
table before, the imported table and the restored one have to be the same, attribute by attribute.

    tests/emulator/archive.py --campaigns FILE [--items N] [--large N]
    tests/emulator/archive.py --campaigns FILE --items 100000 --large 2000 --no-import

The second one is the long form: some minutes, and a few GB of memory; without the import, since moto
would take hours. `--large` says how many of the items have up to 400 KB, as large as an item may be. Run with a Python that has moto[server].
Everything listens on 127.0.0.1 and is stopped by its process id."""

import argparse
import json
import os
import random
import subprocess
import sys
import time

os.environ.update(AWS_DEFAULT_REGION="us-east-1", AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local")

import boto3  # noqa: E402
from moto import mock_aws  # noqa: E402

from emulated import ACCOUNT, archiving  # noqa: E402

CAMPAIGN = "campaign_of_every_type"
PARTITION = f"CAMPAIGN#{CAMPAIGN}"
TABLE = "campaigns"
VALUES = {
    "empty": {"S": ""},
    "text": {"S": "ä🦀</b>\u202e"},
    "escaped": {"S": '\n"\\'},
    "long": {"N": "12345678901234567890123456789012345678"},
    "small": {"N": "-0.00000000000000000000000000000000000001"},
    "bytes": {"B": bytes([0, 255, 10, 13])},
    "none": {"B": b""},
    "null": {"NULL": True},
    "false": {"BOOL": False},
    "texts": {"SS": ["a", "b", "ä"]},
    "numbers": {"NS": ["-3", "1.5", "2"]},
    "blobs": {"BS": [b"\x00\x02", b"\x01"]},
    "nested": {"M": {"list": {"L": [{"S": ""}, {"N": "0"}, {"L": []}, {"M": {" ": {"NULL": True}}}]}}},
}


# moto's import reads a quote that is escaped in JSON as the end of a text, and takes no items of more
# than 405,000 bytes, which it counts in base64.
NOT_BY_MOTO = "escaped"
MOST_OF_MOTO = 400_000


def in_order(value):
    """A value with the values of every set in it in order."""
    if isinstance(value, dict):
        return {
            name: sorted(inner) if name in ("SS", "NS", "BS") else in_order(inner)
            for name, inner in value.items()
        }
    return [in_order(inner) for inner in value] if isinstance(value, list) else value


def partition(client, table):
    """The items of the campaign, by sort key."""
    pages = client.get_paginator("query").paginate(
        TableName=table,
        ConsistentRead=True,
        KeyConditionExpression="PK = :PK",
        ExpressionAttributeValues={":PK": {"S": PARTITION}},
    )
    return {item["SK"]["S"]: in_order(item) for page in pages for item in page["Items"]}


def expect_same(what, got, wanted):
    if got != wanted:
        differ = [key for key in sorted(got.keys() | wanted.keys()) if got.get(key) != wanted.get(key)]
        first = [(key, got.get(key), wanted.get(key)) for key in differ[:2]]
        sys.exit(f"{what} differs in {len(differ)} items, of {len(wanted)}: {first}")
    print(f"{what}: {len(got)} items, identical")


def expect_number(items, children):
    """There are as many items as were put, and the campaign."""
    if len(items) != children + 1:
        sys.exit(f"{len(items)} items instead of {children + 1}")
    large = sum(map(is_large, items.values()))
    print(f"{children} children, {large} of them of nearly 400 KB")


# The sizes of large items, bytes. One of 400 KB, with its keys and the attribute's name, is the largest
# that DynamoDB takes ("Service, account, and table quotas in Amazon DynamoDB").
SIZES = (5_000, 40_000, 100_000, 250_000, 400 * 1024 - 120)


def child(number, every):
    """An item; every so many of them, a large one, of bytes that cannot be compressed or of text."""
    name, value = list(VALUES.items())[number % len(VALUES)]
    if every and number % every == 0:
        at = number // every
        size = SIZES[at % len(SIZES)]
        chance = random.Random(number)
        if at % 2:
            name, value = "letters", {"S": "ä" * (size // 2)}
        else:
            name, value = "chance", {"B": chance.randbytes(size)}
    return {"PK": {"S": PARTITION}, "SK": {"S": f"MESSAGE#{number:08}#{name}"}, name: value}


def seed(client, items, large):
    client.put_item(
        TableName=TABLE,
        Item={
            "PK": {"S": PARTITION},
            "SK": {"S": "CAMPAIGN"},
            "id": {"S": CAMPAIGN},
            "name": {"S": "Every type"},
            "accountId": {"S": ACCOUNT},
            "campaignStatus": {"S": "paused"},
            "updatedAt": {"S": "2026-01-01T00:00:00Z"},
            **VALUES,
        },
    )
    every = items // large if large else 0
    for at in range(0, items, 25):
        numbers = range(at, min(at + 25, items))
        writes = [{"PutRequest": {"Item": child(number, every)}} for number in numbers]
        while writes:
            answer = client.batch_write_item(RequestItems={TABLE: writes})
            writes = answer["UnprocessedItems"].get(TABLE, [])


def is_large(item):
    """Whether an item is larger than moto takes."""
    texts = len(item.get("letters", {}).get("S", "").encode())
    return max(texts, len(item.get("chance", {}).get("B", b"")) * 4 // 3) > MOST_OF_MOTO


def by_moto(items):
    """These items as far as moto can import them."""
    return {
        key: {name: value for name, value in item.items() if name != NOT_BY_MOTO}
        for key, item in items.items()
        if not is_large(item)
    }


@mock_aws
def imported(folder, left_out):
    """What DynamoDB's import, as moto has it, makes of the objects in a folder."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="bucket")
    objects = sorted(folder.rglob("*.json.gz"))
    for file in objects:
        s3.put_object(Bucket="bucket", Key=f"data/{file.name}", Body=file.read_bytes())
    client = boto3.client("dynamodb")
    key = [("PK", "HASH"), ("SK", "RANGE")]
    started = client.import_table(
        S3BucketSource={"S3Bucket": "bucket", "S3KeyPrefix": "data/"},
        InputFormat="DYNAMODB_JSON",
        InputCompressionType="GZIP",
        TableCreationParameters={
            "TableName": "imported",
            "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name, _ in key],
            "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in key],
            "BillingMode": "PAY_PER_REQUEST",
        },
    )["ImportTableDescription"]
    while started["ImportStatus"] == "IN_PROGRESS":
        time.sleep(0.2)
        described = client.describe_import(ImportArn=started["ImportArn"])
        started = described["ImportTableDescription"]
    expected = "FAILED" if left_out else "COMPLETED"
    if (started["ImportStatus"], started.get("ErrorCount", 0)) != (expected, left_out):
        sys.exit(f"the import has {started['ImportStatus']}, with {left_out} items larger than moto takes: {started}")
    return partition(client, "imported"), len(objects)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--campaigns", required=True)
    parser.add_argument("--items", type=int, default=3_000)
    parser.add_argument("--large", type=int, default=30)
    parser.add_argument("--no-import", action="store_true")
    options = parser.parse_args()
    with archiving(options.campaigns) as (endpoint_url, s3_url, objects_in):
        client = boto3.client("dynamodb", endpoint_url=endpoint_url)

        def campaigns(*arguments):
            command = [options.campaigns, *arguments, "--endpoint-url", endpoint_url]
            command += ["--s3-endpoint-url", s3_url]
            return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

        seed(client, options.items, options.large)
        before = partition(client, TABLE)
        expect_number(before, options.items)
        begun = time.monotonic()
        deleted = campaigns("delete", CAMPAIGN, "--json", "--archive", "--archive-bucket", "archive")
        print(f"archived and deleted in {time.monotonic() - begun:.1f} s")
        expect_same("the table after", partition(client, TABLE), {})
        if not options.no_import:
            left_out = sum(map(is_large, before.values()))
            found, objects = imported(objects_in, left_out)
            expect_same(f"imported from {objects} objects", by_moto(found), by_moto(before))
            print(f"    not by moto: '{NOT_BY_MOTO}', and {left_out} items larger than it takes; instead: the restore below")
        begun = time.monotonic()
        deletion = json.loads(deleted)["deletionId"]
        campaigns("archive", "verify", deletion, "--account", ACCOUNT)
        campaigns("restore", deletion, "--account", ACCOUNT)
        print(f"verified and restored in {time.monotonic() - begun:.1f} s")
        expect_same("restored", partition(client, TABLE), before)


if __name__ == "__main__":
    main()

"""What the peers in Python share: the table, the keys of a campaign, their deletion, and the report."""

import contextlib
import json
import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from boto3.dynamodb.conditions import Key
from botocore.config import Config
from botocore.exceptions import ClientError


def table_name():
    return os.environ["TABLE_NAME"]


def campaign():
    return sys.argv[1]


def table():
    config = Config(max_pool_connections=32, retries={"mode": "standard", "max_attempts": 10})
    resource = boto3.resource(
        "dynamodb", endpoint_url=os.environ["AWS_ENDPOINT_URL_DYNAMODB"], config=config
    )
    found = resource.Table(table_name())
    # The first call, which loads what later ones need, is not measured.
    found.get_item(Key={"PK": "none", "SK": "none"})
    return found


def keys_of(found, campaign_id, kind=None):
    """The keys of a campaign in a table, or of its items of one kind."""
    condition = Key("PK").eq(f"CAMPAIGN#{campaign_id}")
    query = {
        "KeyConditionExpression": condition & Key("SK").begins_with(kind) if kind else condition,
        "ProjectionExpression": "PK, SK",
        "ConsistentRead": True,
    }
    while True:
        page = found.query(**query)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def batches(keys):
    batch = []
    for key in keys:
        batch.append(key)
        if len(batch) == 25:
            yield batch
            batch = []
    if batch:
        yield batch


def delete_batch(client, keys):
    """batch_write_item, with retries of unprocessed items and of throttling."""
    name = table_name()
    left = [{"DeleteRequest": {"Key": key}} for key in keys]
    attempt = 0
    while left:
        try:
            answer = client.batch_write_item(RequestItems={name: left})
            left = answer["UnprocessedItems"].get(name, [])
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in ("ProvisionedThroughputExceededException", "ThrottlingException"):
                raise
        if left:
            # Exponential backoff with full jitter.
            time.sleep(random.uniform(0, min(1, 0.05 * 2**attempt)))
            attempt += 1


def delete_in_threads(client, keys, threads):
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda batch: delete_batch(client, batch), batches(keys)):
            pass


@contextlib.contextmanager
def report(processes=None):
    """Prints the time, and the processor time of this process and of others."""
    begun, cpu = time.monotonic(), time.process_time()
    yield
    seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
    print(json.dumps({"seconds": seconds, "cpu": cpu + sum(processes or ())}))

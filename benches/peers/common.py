"""What the peers in Python share: the table, the keys of a campaign, and the report."""

import contextlib
import json
import os
import sys
import time

import boto3
from boto3.dynamodb.conditions import Key
from botocore.config import Config


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


def keys_of(campaign_id):
    query = {
        "KeyConditionExpression": Key("PK").eq(f"CAMPAIGN#{campaign_id}"),
        "ProjectionExpression": "PK, SK",
        "ConsistentRead": True,
    }
    found = table()
    while True:
        page = found.query(**query)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


@contextlib.contextmanager
def report():
    begun, cpu = time.monotonic(), time.process_time()
    yield
    seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
    print(json.dumps({"seconds": seconds, "cpu": cpu}))

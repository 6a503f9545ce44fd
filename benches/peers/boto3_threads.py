"""boto3's batch_write_item from 16 threads, with retries of unprocessed items and of throttling."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

from botocore.exceptions import ClientError
from common import campaign, keys_of, report, table, table_name

client = table().meta.client
name = table_name()


def delete(keys):
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


def batches():
    batch = []
    for key in keys_of(campaign()):
        batch.append(key)
        if len(batch) == 25:
            yield batch
            batch = []
    if batch:
        yield batch


with report():
    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(delete, batches()):
            pass

"""boto3's batch_write_item from 16 threads, with retries of unprocessed items and of throttling."""

from common import campaign, delete_in_threads, keys_of, report, table

found = table()

with report():
    delete_in_threads(found.meta.client, keys_of(found, campaign()), 16)

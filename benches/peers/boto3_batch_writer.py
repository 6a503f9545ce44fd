"""boto3's batch_writer, as its guide shows it: it sends unprocessed items again by itself."""

from common import campaign, keys_of, report, table

with report():
    with table().batch_writer() as batch:
        for key in keys_of(campaign()):
            batch.delete_item(Key=key)

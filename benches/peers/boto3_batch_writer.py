"""boto3's batch_writer, as its guide shows it: it sends unprocessed items again by itself."""

from common import campaign, keys_of, report, table

found = table()

with report():
    with found.batch_writer() as batch:
        for key in keys_of(found, campaign()):
            batch.delete_item(Key=key)

"""Many campaigns, one after the other: the keys of each, then boto3's batch_writer."""

import sys

from common import keys_of, table


def ids():
    with open(sys.argv[1], encoding="utf-8") as lines:
        return lines.read().split()


def delete(found, campaign_id):
    with found.batch_writer() as batch:
        for key in keys_of(found, campaign_id):
            batch.delete_item(Key=key)


if __name__ == "__main__":
    found = table()
    for campaign_id in ids():
        delete(found, campaign_id)

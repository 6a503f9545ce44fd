"""Many campaigns, four at a time: a client and a batch_writer for each."""

import threading
from concurrent.futures import ThreadPoolExecutor

from boto3_many import delete, ids
from common import table

local = threading.local()
# boto3's sessions are not made in several threads at once.
making = threading.Lock()


def delete_here(campaign_id):
    if not hasattr(local, "found"):
        with making:
            local.found = table()
    delete(local.found, campaign_id)


with ThreadPoolExecutor(4) as pool:
    for _ in pool.map(delete_here, ids()):
        pass

"""As boto3_threads.py, in a process for each kind of item: what one would do by hand to reach
several partitions at once."""

import multiprocessing
import time

from common import campaign, delete_in_threads, keys_of, report, table

KINDS = ["ACTIVITY#", "ANALYTICS#", "CHAT#", "DELIVERY#", "MESSAGE#", "PROSPECT#", "TASK#", "WEBHOOK#"]


def delete(at, ready, cpu):
    found = table()
    ready.wait()
    begun = time.process_time()
    delete_in_threads(found.meta.client, keys_of(found, campaign(), KINDS[at]), 16)
    cpu[at] = time.process_time() - begun


if __name__ == "__main__":
    ready = multiprocessing.Barrier(len(KINDS) + 1)
    cpu = multiprocessing.Array("d", len(KINDS))
    processes = [
        multiprocessing.Process(target=delete, args=(at, ready, cpu)) for at in range(len(KINDS))
    ]
    for process in processes:
        process.start()
    ready.wait()
    with report(cpu):
        for process in processes:
            process.join()
    assert all(process.exitcode == 0 for process in processes)

#!/usr/bin/env python3
"""Announces a finished deletion on moto's EventBridge. Two rules of a bus, which match by source, type
and account, send what they get to a queue each: the queue of the account's rule has to get the event
exactly as the OpenAPI document describes it, and the queue of another account's rule none. Then a bus
that does not exist: the event stays in the table, and a clean-up sends it to the bus that does.

    tests/emulator/events.py --campaigns FILE

Run with a Python that has moto[server] (which brings jsonschema). Everything listens on 127.0.0.1 and
is stopped by its process id."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

os.environ.update(AWS_DEFAULT_REGION="us-east-1", AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local")

import boto3  # noqa: E402
import jsonschema  # noqa: E402

from emulated import ACCOUNT, ROOT, embedded, free_port, in_proportion, stopped_after, wait_for  # noqa: E402

BUS = "campaign-events"


def schema():
    """The schema of the event, with what it refers to."""
    document = json.loads((ROOT / "src/http/openapi.json").read_text())
    content = document["webhooks"]["campaign.deleted"]["post"]["requestBody"]["content"]
    return {**content["application/json"]["schema"], "components": document["components"]}


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got}, not {wanted}")
    print(f"{what}: {wanted}", flush=True)


class Moto:
    """A bus with a rule for each account, and a queue for each rule."""

    def __init__(self, url):
        client = lambda service: boto3.client(service, endpoint_url=url)
        self.sqs, events = client("sqs"), client("events")
        events.create_event_bus(Name=BUS)
        self.queues = {}
        for account in (ACCOUNT, "account_of_another"):
            queue = self.sqs.create_queue(QueueName=account)["QueueUrl"]
            attributes = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
            pattern = {
                "source": ["campaigns"],
                "detail-type": ["campaign.deleted"],
                "detail": {"accountId": [account]},
            }
            events.put_rule(Name=account, EventBusName=BUS, EventPattern=json.dumps(pattern))
            target = {"Id": "queue", "Arn": attributes["Attributes"]["QueueArn"]}
            events.put_targets(Rule=account, EventBusName=BUS, Targets=[target])
            self.queues[account] = queue

    def received(self, account):
        """The events in the queue of an account, which are removed from it."""
        received = []
        while True:
            answer = self.sqs.receive_message(QueueUrl=self.queues[account], MaxNumberOfMessages=10)
            messages = answer.get("Messages", [])
            if not messages:
                return received
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.queues[account], ReceiptHandle=message["ReceiptHandle"])
                received.append(json.loads(message["Body"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--campaigns", required=True)
    options = parser.parse_args()
    port = free_port()
    server = pathlib.Path(sys.executable).parent / "moto_server"
    moto = subprocess.Popen(
        [server, "--host", "127.0.0.1", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    with stopped_after(moto), embedded(options) as endpoint:
        wait_for(port, moto)
        url = f"http://127.0.0.1:{port}"
        bus = Moto(url)

        def campaigns(*arguments):
            command = [options.campaigns, *arguments, "--endpoint-url", endpoint]
            environment = {**os.environ, "AWS_ENDPOINT_URL_EVENTBRIDGE": url}
            ran = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            return ran.stdout

        campaigns("seed", "campaign_7", "--total", "100")
        begun = time.monotonic()
        deletion = json.loads(campaigns("delete", "campaign_7", "--json", "--event-bus-name", BUS))
        print(f"deleted and announced in {time.monotonic() - begun:.1f} s")
        [event] = bus.received(ACCOUNT)
        jsonschema.Draft202012Validator(schema()).validate(event)
        expected = {
            "id": deletion["deletionId"],
            "campaignId": "campaign_7",
            "accountId": ACCOUNT,
            "deletionId": deletion["deletionId"],
            "requestedBy": "cli",
            "startedAt": deletion["startedAt"],
            "completedAt": deletion["completedAt"],
            "deletedItems": in_proportion(100),
        }
        expect("the event", event["detail"], expected)
        expect("its source and type", (event["source"], event["detail-type"]), ("campaigns", "campaign.deleted"))
        expect("for another account", bus.received("account_of_another"), [])

        campaigns("seed", "campaign_8", "--total", "100")
        deletion = json.loads(campaigns("delete", "campaign_8", "--json", "--event-bus-name", "elsewhere"))
        expect("the deletion without a bus", deletion["status"], "succeeded")
        expect("on the bus", bus.received(ACCOUNT), [])
        run = json.loads(campaigns("cleanup", "--mode", "enforce", "--json", "--event-bus-name", BUS))
        expect("the clean-up", run["events"], {"sent": 1, "unsent": 0})
        [event] = bus.received(ACCOUNT)
        expect("the event that it sent", event["detail"]["id"], deletion["deletionId"])
        run = json.loads(campaigns("cleanup", "--mode", "enforce", "--json", "--event-bus-name", BUS))
        expect("the next clean-up", run["events"], {"sent": 0, "unsent": 0})
        expect("on the bus", bus.received(ACCOUNT), [])


if __name__ == "__main__":
    main()

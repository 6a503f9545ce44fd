"""What the modes of emulator.py share: the emulator and the engine as processes, requests
to both, and deletions with the counts that they must have."""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
EVENTS = ROOT / "events"
REFERENCE = {
    "prospects": 150,
    "chats": 150,
    "messages": 420,
    "tasks": 75,
    "webhookEvents": 12,
    "analytics": 30,
}
MOST_MORE_MEMORY_KIB = 8 * 1024
ACCOUNT = "account_demo"
# No function of the template may run longer.
LONGEST_CALL_SECONDS = 330


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port, process):
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on 127.0.0.1:{port}")


@contextlib.contextmanager
def stopped_after(process):
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def serving(campaigns, *more):
    """`campaigns serve` on a free port of its own for the table; its process and the endpoint."""
    port = free_port()
    serve = subprocess.Popen(
        [campaigns, "serve", "--port", "0", "--dynamodb-port", str(port), *more],
        stdout=subprocess.PIPE,
        text=True,
    )
    if not any("Ctrl-C stops" in line for line in serve.stdout):
        sys.exit("campaigns serve has not started")
    return serve, f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def embedded(options):
    serve, endpoint_url = serving(options.campaigns)
    with stopped_after(serve):
        yield endpoint_url


@contextlib.contextmanager
def archiving(campaigns):
    """The same with an S3: the endpoint of the table, that of S3, and the directory of its bucket."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        serve, endpoint_url = serving(campaigns, "--archive", directory, "--s3-port", str(port))
        with stopped_after(serve):
            yield endpoint_url, f"http://127.0.0.1:{port}", pathlib.Path(directory) / "archive"


def archive_in(s3_url):
    """The variables of a function that archives."""
    return {"ARCHIVE_BUCKET": "archive", "AWS_ENDPOINT_URL_S3": s3_url}


def trust_store():
    """One file of certificates, as Amazon Linux has. Debian also has one file for each of them."""
    files = ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"]
    found = [file for file in files if pathlib.Path(file).exists()]
    return {"SSL_CERT_FILE": found[0]} if found else {}


def environment(variables):
    """What Lambda sets, or its like on this machine, and the variables of the function's own."""
    return {
        "PATH": os.environ["PATH"],
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "29",
        **trust_store(),
        **variables,
    }


@contextlib.contextmanager
def under_emulator(options, command, variables):
    """The emulator that runs `command`, and the URL that takes events for it."""
    port = free_port()
    emulator = subprocess.Popen(
        [
            options.emulator,
            "--log-level",
            "error",
            "--runtime-interface-emulator-address",
            f"127.0.0.1:{port}",
            "--runtime-api-address",
            f"127.0.0.1:{free_port()}",
            *([command] if isinstance(command, str) else command),
        ],
        env=environment(variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with stopped_after(emulator):
        wait_for(port, emulator)
        yield emulator, f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"


def function(options, command, endpoint_url, **more):
    """A function over the table `campaigns` of this endpoint."""
    table = {"TABLE_NAME": "campaigns", "AWS_ENDPOINT_URL_DYNAMODB": endpoint_url}
    return under_emulator(options, command, {**table, **more})


@contextlib.contextmanager
def api(options, endpoint_url, **more):
    with function(options, options.bootstrap, endpoint_url, **more) as (emulator, url):
        yield emulator, lambda event: answer(url, event)


def invoke(url, event):
    """What the function answers, or the error that it fails with."""
    request = urllib.request.Request(url, json.dumps(event).encode())
    with urllib.request.urlopen(request, timeout=LONGEST_CALL_SECONDS) as response:
        answer = response.read()
    try:
        return json.loads(answer)
    except ValueError:
        # The emulator says in plain text that the function was too slow.
        sys.exit(answer.decode())


def answer(url, event):
    answer = invoke(url, event)
    if "statusCode" not in answer:
        sys.exit(f"the function failed: {answer}")
    return answer["statusCode"], json.loads(answer["body"])


def event(name, campaign_id=None):
    event = json.loads((EVENTS / f"{name}.json").read_text())
    if campaign_id:
        event["rawPath"] = f"/v1/campaigns/{campaign_id}"
        event["pathParameters"] = {"id": campaign_id}
    return event


def expect(what, got, expected):
    if got != expected:
        sys.exit(f"{what}: {got} instead of {expected}")


def check(what, got, expected):
    print(f"  {what}: {got}")
    expect(what, got, expected)


def seed(options, endpoint_url, campaign_id, total):
    command = [options.campaigns, "seed", campaign_id, "--total", str(total)]
    subprocess.run(
        command + ["--endpoint-url", endpoint_url], check=True, stdout=subprocess.DEVNULL
    )


def descendants(pid):
    # A child belongs to the thread that started it.
    threads = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for children in threads for child in children.read_text().split()]
    return found + [pid for child in found for pid in descendants(child)]


def status_of(emulator, binary):
    """/proc/PID/status of the function's process."""
    name = pathlib.Path(binary).name
    for pid in descendants(emulator.pid):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        if fields["Name"].strip() == name:
            return fields
    sys.exit(f"no process {name} under the emulator")


def peak_kib(emulator, binary):
    return int(status_of(emulator, binary)["VmHWM"].split()[0])


def check_peaks(peaks, what="children"):
    least, most = min(peaks), max(peaks)
    more = peaks[most] - peaks[least]
    print(f"{most} {what} take {more} KiB more memory than {least}")
    if more > MOST_MORE_MEMORY_KIB:
        sys.exit(f"that is more than {MOST_MORE_MEMORY_KIB} KiB")


def call(endpoint_url, operation, **request):
    """One request to DynamoDB."""
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": f"DynamoDB_20120810.{operation}",
        # The emulator does not check the signature.
        "authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/"
        "aws4_request, SignedHeaders=host;x-amz-date, Signature=0",
        "x-amz-date": "20260101T000000Z",
    }
    asked = urllib.request.Request(endpoint_url, json.dumps(request).encode(), headers)
    with urllib.request.urlopen(asked, timeout=10) as response:
        return json.load(response)


def read(endpoint_url, operation, **request):
    """One strongly consistent read of the table."""
    return call(endpoint_url, operation, TableName="campaigns", ConsistentRead=True, **request)


def item(endpoint_url, partition, sort_key):
    key = {"PK": {"S": partition}, "SK": {"S": sort_key}}
    return read(endpoint_url, "GetItem", Key=key).get("Item")


def campaign_item(endpoint_url, campaign_id):
    return item(endpoint_url, f"CAMPAIGN#{campaign_id}", "CAMPAIGN")


def in_partition(endpoint_url, campaign_id):
    """How many items the first page of a campaign's partition has."""
    page = read(
        endpoint_url,
        "Query",
        KeyConditionExpression="PK = :campaign",
        ExpressionAttributeValues={":campaign": {"S": f"CAMPAIGN#{campaign_id}"}},
    )
    return len(page["Items"])


def progress(endpoint_url, deletion_id):
    """The state of a deletion's record, and what is counted in it."""
    record = item(endpoint_url, f"ACCOUNT#{ACCOUNT}", f"DELETION#{deletion_id}")
    counted = record["counted"]["M"]
    return record["state"]["S"], {kind: int(count["N"]) for kind, count in counted.items()}


def in_proportion(total):
    """What `campaigns seed --total` puts: src/cli/seed.rs, `Children::in_proportion`."""
    whole = sum(REFERENCE.values())
    counts = {kind: count * total // whole for kind, count in REFERENCE.items()}
    counts["messages"] += total - sum(counts.values())
    return counts


@dataclasses.dataclass
class Deletion:
    """A deletion that a scenario is about, and what it has to count."""

    campaign_id: str
    id: str
    counts: dict

    def input(self):
        return {"accountId": ACCOUNT, "deletionId": self.id}

    def check_done(self, endpoint_url):
        """Everything is gone, and each item counted once."""
        campaign = campaign_item(endpoint_url, self.campaign_id)
        expect(f"{self.campaign_id}, the campaign item", campaign, None)
        left = in_partition(endpoint_url, self.campaign_id)
        expect(f"{self.campaign_id}, left in its partition", left, 0)
        now = progress(endpoint_url, self.id)
        expect(f"{self.campaign_id}, its record", now, ("succeeded", self.counts))


def counted_before(send, campaign_id, total):
    """What a dry run counts, or, where its time is over first, what was put."""
    _, body = send(event("dry-run", campaign_id))
    summary = body["deletionSummary"]
    put = in_proportion(total)
    if summary.get("complete", True):
        expect(f"{campaign_id}, dry run", summary["deletedItems"], put)
    return put


def claim(options, endpoint_url, campaign_id, total):
    """Seeds a campaign and claims it, without deleting anything of it."""
    seed(options, endpoint_url, campaign_id, total)
    with api(options, endpoint_url) as (_, send):
        counts = counted_before(send, campaign_id, total)
    with api(options, endpoint_url, INLINE_BUDGET_SECONDS="0") as (_, send):
        status, body = send(event("delete", campaign_id))
    expect(f"{campaign_id}, claim", status, 202)
    return Deletion(campaign_id, body["deletionSummary"]["deletionId"], counts)

"""How rehearsal.py uses a stack: its functions under the emulator, over its table."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

from deployed import Deployed
from emulated import ACCOUNT, REFERENCE, answer, event, in_proportion, invoke, under_emulator
from gateway import gateway
from stack import expect

LEASE_SECONDS = 1
# The clean-up has something to do within seconds.
PARAMETERS = {
    "LeaseSeconds": str(LEASE_SECONDS),
    "RetentionDays": "30",
    "RetentionMode": "enforce",
    "MaxDeleteSharePercent": "100",
    "CorsOrigins": "https://a.example",
}
LONG_AGO = "2026-01-01T00:00:00Z"


def slices(url, given):
    """Calls the drain function until the deletion has ended."""
    for _ in range(10):
        result = invoke(url, given)
        if result.get("status") == "succeeded":
            return
        time.sleep(result.get("waitSeconds", LEASE_SECONDS))
    sys.exit(f"{given} has not ended: {result}")


class World:
    """The stack's functions under the emulator, over the stack's table."""

    def __init__(self, options, stack):
        self.options = options
        self.stack = stack

    def terminal(self, *arguments, table=None, codes=(0,)):
        """What the terminal prints about a table, by default the stack's."""
        command = [self.options.campaigns, *arguments, "--table-name", table or self.stack.table()]
        command += ["--endpoint-url", self.stack.url]
        services = {f"AWS_ENDPOINT_URL_{service}": self.stack.url for service in ("SFN", "LAMBDA", "EVENTBRIDGE")}
        ran = subprocess.run(command, env={**os.environ, **services}, capture_output=True, text=True)
        if ran.returncode not in codes:
            sys.exit(f"campaigns {' '.join(arguments)}: {ran.stderr}{ran.stdout}")
        return ran.stdout

    @contextlib.contextmanager
    def function(self, name):
        binary = {"ApiFunction": "api", "DrainFunction": "drain", "CleanupFunction": "cleanup"}[name]
        command = str(pathlib.Path(getattr(self.options, binary)).resolve())
        with under_emulator(self.options, command, self.stack.variables(name)) as (_, url):
            yield url

    def ask(self, *events):
        """What the api function answers to these events."""
        with self.function("ApiFunction") as url:
            return [answer(url, event) for event in events]

    def executions(self):
        """The inputs of the state machine's executions, by their names."""
        machines = self.stack.client("stepfunctions")
        listed = machines.list_executions(stateMachineArn=self.stack.id("DeletionStateMachine"))["executions"]
        inputs = {e["name"]: machines.describe_execution(executionArn=e["executionArn"])["input"] for e in listed}
        return {name: json.loads(text) for name, text in inputs.items()}

    def drain(self, deletion_id):
        """Calls the drain function as the newest execution of the deletion would."""
        # <deletionId>-<version of the release>
        inputs = {int(n.rsplit("-", 1)[1]): i for n, i in self.executions().items() if n.startswith(deletion_id)}
        expect(f"{deletion_id} was handed to the state machine", len(inputs) > 0, True)
        given = inputs[max(inputs)]
        expect("the execution's input", given, {"accountId": ACCOUNT, "deletionId": deletion_id})
        with self.function("DrainFunction") as url:
            slices(url, given)

    @contextlib.contextmanager
    def executing(self):
        """Executes in the background what is handed to the state machine from now on."""
        known = self.executions().keys()
        over = threading.Event()

        def execute(url):
            done = set(known)
            while not over.wait(0.2):
                for name, given in self.executions().items():
                    if name not in done:
                        done.add(name)
                        slices(url, given)

        with self.function("DrainFunction") as url:
            thread = threading.Thread(target=execute, args=(url,))
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()

    def check_done(self, campaign_id, deletion_id, counts):
        asked = event("get-deletion")
        asked["rawPath"] = f"/v1/deletions/{deletion_id}"
        asked["pathParameters"] = {"deletionId": deletion_id}
        [(status, body)] = self.ask(asked)
        shown = (status, body["status"], body["deletedItems"])
        expect(f"{campaign_id}, its record", shown, (200, "succeeded", counts))
        left = self.stack.client("dynamodb").query(
            TableName=self.stack.table(),
            KeyConditionExpression="PK = :campaign",
            ExpressionAttributeValues={":campaign": {"S": f"CAMPAIGN#{campaign_id}"}},
        )
        expect(f"{campaign_id}, what is left of it", left["Items"], [])


def table(world):
    """the table is one that the code would make"""
    world.terminal("demo", table="made-by-the-code")
    database = world.stack.client("dynamodb")

    def shape(name):
        described = database.describe_table(TableName=name)["Table"]
        members = ("IndexName", "KeySchema", "Projection")
        return {
            "keys": described["KeySchema"],
            "their types": sorted(described["AttributeDefinitions"], key=lambda a: a["AttributeName"]),
            "indexes": [{m: index[m] for m in members} for index in described["GlobalSecondaryIndexes"]],
            "billing": described["BillingModeSummary"]["BillingMode"],
        }

    expect("the table", shape(world.stack.table()), shape("made-by-the-code"))
    return world.stack.table()


def refusals(world):
    """the api function answers from the stack's table"""
    world.terminal("demo")
    expected = {"no-key": 401, "active": 409, "foreign": 403, "not-found": 404, "dry-run": 200}
    answers = world.ask(*(event(name) for name in expected))
    expect("statuses", [status for status, _ in answers], list(expected.values()))
    expect("the dry run", answers[-1][1]["deletionSummary"]["deletedItems"], REFERENCE)
    return ", ".join(f"{name} {status}" for name, status in expected.items())


def at_once(world):
    """a deletion within one request"""
    world.terminal("seed", "campaign_at_once", "--total", "300")
    [(status, body)] = world.ask(event("delete", "campaign_at_once"))
    expect("status", status, 200)
    summary = body["deletionSummary"]
    world.check_done("campaign_at_once", summary["deletionId"], in_proportion(300))
    return f"{sum(summary['deletedItems'].values())} items"


def handed_over(world):
    """a deletion that is handed to the state machine"""
    [(status, body)] = world.ask(event("respond-async"))
    expect("status", status, 202)
    deletion_id = body["deletionSummary"]["deletionId"]
    world.drain(deletion_id)
    world.check_done("campaign_123", deletion_id, REFERENCE)
    return f"{sum(REFERENCE.values())} items"


def several(world):
    """several campaigns by one request, each handed to the state machine"""
    ids = ["campaign_several_1", "campaign_several_2"]
    for campaign_id in ids:
        world.terminal("seed", campaign_id, "--total", "100")
    request = event("delete-many")
    request["body"] = json.dumps({"campaignIds": [*ids, "campaign_none"]})
    [(status, body)] = world.ask(request)
    expect("status", status, 200)
    *claimed, refused = body["deletions"]
    expect("the verdict on none", (refused["status"], refused["error"]), (404, "not_found"))
    for campaign_id, verdict in zip(ids, claimed, strict=True):
        expect("the verdict", (verdict["campaignId"], verdict["status"]), (campaign_id, 202))
        world.drain(verdict["deletionId"])
        world.check_done(campaign_id, verdict["deletionId"], in_proportion(100))
    return f"{len(ids)} campaigns"


def cleaned_up(world):
    """the clean-up resumes a stalled deletion, and deletes what is past retention"""
    world.terminal("seed", "campaign_stalled", "--total", "100")
    world.terminal("seed", "campaign_old", "--total", "50", "--status", "completed")
    world.stack.client("dynamodb").update_item(
        TableName=world.stack.table(),
        Key={"PK": {"S": "CAMPAIGN#campaign_old"}, "SK": {"S": "CAMPAIGN"}},
        UpdateExpression="SET updatedAt = :long_ago, completedAt = :long_ago",
        ExpressionAttributeValues={":long_ago": {"S": LONG_AGO}},
    )
    [(status, body)] = world.ask(event("respond-async", "campaign_stalled"))
    expect("status", status, 202)
    stalled = body["deletionSummary"]["deletionId"]
    # Its execution is never run: it is stalled after its lease and two lease lengths.
    time.sleep(3 * LEASE_SECONDS + 0.5)
    with world.function("CleanupFunction") as url:
        run = invoke(url, event("schedule"))
    expect("resumed", run.get("resumed"), [stalled])
    expect("past retention", run["candidates"], ["campaign_old"])
    [started] = run["started"]
    for campaign_id, deletion_id, total in (("campaign_stalled", stalled, 100), ("campaign_old", started, 50)):
        world.drain(deletion_id)
        world.check_done(campaign_id, deletion_id, in_proportion(total))
    return "1 stalled, 1 past retention"


def doctor(world):
    """campaigns doctor finds no fault"""
    stack = world.stack
    arguments = ["--state-machine-arn", stack.outputs["StateMachineArn"]]
    arguments += ["--api-function", stack.id("ApiFunction"), "--cleanup-rule", stack.outputs["CleanupRuleName"]]
    [api] = stack.of_types("AWS::ApiGatewayV2::Api")
    routes = stack.resolved[api]["Body"]["paths"]
    with contextlib.ExitStack() as running:
        function_url = running.enter_context(world.function("ApiFunction"))
        running.enter_context(world.executing())
        arguments += ["--api-url", running.enter_context(gateway(routes, function_url)), "--live"]
        # It fails if a check does, which is shown below.
        told = world.terminal("doctor", "--json", *arguments, codes=(0, 1))
    checks = json.loads(told)["checks"]
    wrong = [check for check in checks if check["status"] in ("failed", "warning")]
    expect("faults", wrong, [])
    for check in checks:
        if check["status"] != "ok":
            print(f"    {check['status']}: {check['name']}: {check['seen']}")
    ok = sum(check["status"] == "ok" for check in checks)
    return f"{ok} of {len(checks)} checks are ok"


# The doctor sees the table as the stack made it, and again with deletions in it.
USES = (doctor, table, refusals, at_once, handed_over, several, cleaned_up, doctor)


def succeeded(world):
    """The ids of the finished deletions, as the api function lists them."""
    [(status, body)] = world.ask(event("list-deletions"))
    expect("the status of the list", status, 200)
    return sorted(d["deletionId"] for d in body["deletions"] if d["status"] == "succeeded")


def removed(world):
    """the stack is deleted, its table stays, and another stack uses it"""
    before = succeeded(world)
    stack = world.stack
    stack.client("cloudformation").delete_stack(StackName=stack.name)
    expect("functions", stack.client("lambda").list_functions()["Functions"], [])
    expect("roles", stack.client("iam").list_roles()["Roles"], [])
    existing = Deployed(stack.url, "again", {"ExistingTableName": stack.table()})
    expect("its table is new", "Table" in existing.created, False)
    expect("the functions' table", existing.table(), stack.table())
    after = succeeded(World(world.options, existing))
    expect("the finished deletions", (after, len(after) >= 4), (before, True))
    return f"{existing.table()}, {len(after)} deletions in it"

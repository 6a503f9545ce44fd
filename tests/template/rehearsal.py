#!/usr/bin/env python3
"""Rehearses a deployment without an account. The template, as SAM translates it, is created by
moto's CloudFormation, and what was created is checked. Then the functions run under Amazon's Lambda
Runtime Interface Emulator, with exactly the variables that the stack gave them, over the stack's
table. In the end the stack is deleted, and a second one uses its table.

    tests/template/rehearsal.py --api FILE --drain FILE --cleanup FILE --emulator FILE --campaigns FILE

Run with a Python that has aws-sam-cli and moto[server]. What moto leaves out is printed with what
checks it instead; the rehearsal fails once moto no longer leaves it out. Everything listens on
127.0.0.1 and is stopped by its process id."""

import argparse
import ast
import json
import re
import sys
import time

from deployed import UNKNOWN_OUTPUTS, UNKNOWN_TYPES, Deployed, arns, moto
from stack import expect
from uses import PARAMETERS, USES, World, removed


def not_by_moto(what, instead, got, expected):
    """Names what moto leaves out of what it creates, and fails once it no longer does."""
    expect(f"{what}, which moto is said to leave out", got, expected)
    print(f"    not by moto: {what}; instead: {instead}")


def created(stack):
    """each resource is created, or named here"""
    unknown = set(stack.of_types(*UNKNOWN_TYPES))
    expect("created", sorted(stack.created), sorted(stack.wanted.keys() - unknown))
    for kind, instead in UNKNOWN_TYPES.items():
        names = stack.of_types(kind)
        if not names:
            sys.exit(f"the template has no {kind}: take it out of UNKNOWN_TYPES")
        print(f"    not by moto: {len(names)} {kind}; instead: {instead}")
    for output in UNKNOWN_OUTPUTS:
        print(f"    not by moto: the output {output}")
    return f"{len(stack.created)} of {len(stack.wanted)} resources"


def outputs(stack):
    """each output names what was created"""
    shown = {
        "TableName": "Table",
        "StateMachineArn": "DeletionStateMachine",
        "ApiFunctionName": "ApiFunction",
        "DrainFunctionName": "DrainFunction",
        "CleanupFunctionName": "CleanupFunction",
        "CleanupRuleName": "CleanupFunctionSchedule",
    }
    expect("the outputs", stack.outputs, {output: stack.id(name) for output, name in shown.items()})
    return ", ".join(sorted(stack.outputs))


def roles(stack):
    """each function and the state machine have a role that names what was created"""
    names = {arn: name for name, arn in arns(stack).items()}
    iam = stack.client("iam")
    allowed = {}
    for holder in stack.of_types("AWS::Lambda::Function", "AWS::StepFunctions::StateMachine"):
        role = f"{holder}Role"
        found = iam.get_role(RoleName=stack.id(role))["Role"]
        if holder == "DeletionStateMachine":
            machine = stack.client("stepfunctions").describe_state_machine(stateMachineArn=stack.id(holder))
            expect(f"the role of {holder}", machine["roleArn"], found["Arn"])
        else:
            expect(f"the role of {holder}", stack.configuration(holder)["Role"], found["Arn"])
        [policy] = iam.list_role_policies(RoleName=stack.id(role))["PolicyNames"]
        document = iam.get_role_policy(RoleName=stack.id(role), PolicyName=policy)["PolicyDocument"]
        # moto keeps the document as Python prints it.
        # moto leaves a None where CloudFormation leaves a statement out.
        said = [s["Resource"] for s in ast.literal_eval(document)["Statement"] if s]
        resources = {arn for some in said for arn in (some if isinstance(some, list) else [some])}
        allowed[holder] = sorted(names.get(arn, arn) for arn in resources - {"*"})
    expected = {
        "ApiFunction": ["ApiLog", "DeletionStateMachine", "Table"],
        "DrainFunction": ["DrainLog", "Table"],
        "CleanupFunction": ["CampaignsByStatus", "CleanupLog", "DeletionStateMachine", "FailedCleanups"]
        + ["Table", "Unfinished"],
        "DeletionStateMachine": ["DrainFunction"],
    }
    expect("what the roles name", allowed, expected)
    return f"{len(allowed)} roles"


def resolved(stack):
    """what moto has not created names what was created"""
    known = arns(stack)
    [more] = stack.of_types("AWS::IAM::RolePolicy")
    more = stack.resolved[more]
    expect("the role of the other policy", more["RoleName"], stack.id("DeletionStateMachineRole"))
    [statement] = more["PolicyDocument"]["Statement"]
    expect("what it allows", statement["Resource"], known["DeletionStateMachine"])
    [policy] = stack.of_types("AWS::SQS::QueuePolicy")
    [statement] = stack.resolved[policy]["PolicyDocument"]["Statement"]
    expect("the queue", statement["Resource"], known["UndeliveredCleanups"])
    source = {"ArnEquals": {"aws:SourceArn": known["CleanupFunctionSchedule"]}}
    expect("who may send to it", statement["Condition"], source)
    [config] = stack.of_types("AWS::Lambda::EventInvokeConfig")
    config = stack.resolved[config]
    expect("whose failures are sent", config["FunctionName"], stack.id("CleanupFunction"))
    destination = config["DestinationConfig"]["OnFailure"]["Destination"]
    expect("where failures are sent", destination, known["FailedCleanups"])
    [api] = stack.of_types("AWS::ApiGatewayV2::Api")
    methods = [m for path in stack.resolved[api]["Body"]["paths"].values() for m in path.values()]
    calls = sorted({method["x-amazon-apigateway-integration"]["uri"] for method in methods})
    invocations = f"functions/{known['ApiFunction']}/invocations"
    expect("what the routes call", calls, [f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/{invocations}"])
    [stage] = stack.of_types("AWS::ApiGatewayV2::Stage")
    stage = stack.resolved[stage]
    expect("where requests are logged", stage["AccessLogSettings"]["DestinationArn"], known["AccessLog"])
    expect("requests per second", stage["DefaultRouteSettings"]["ThrottlingRateLimit"], 100)
    ids = {resource.get("PhysicalResourceId") for resource in stack.created.values()}
    ids |= {known[queue].rsplit(":", 1)[1] for queue in stack.of_types("AWS::SQS::Queue")}
    watched = 0
    for alarm in stack.of_types("AWS::CloudWatch::Alarm"):
        for dimension in dimensions_of(stack.resolved[alarm]):
            if dimension["Name"] in ("FunctionName", "QueueName", "StateMachineArn", "TableName"):
                watched += 1
                expect(f"{alarm} watches what was created", dimension["Value"] in ids, True)
    return f"a policy, a queue's policy, a destination, {len(methods)} routes, {watched} dimensions of alarms"


def dimensions_of(alarm):
    metrics = [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m]
    return [dimension for metric in [alarm, *metrics] for dimension in metric.get("Dimensions", [])]


def recoverable(stack):
    """items expire, and the table can be recovered"""
    planned = stack.plan.resource("Table")
    database = stack.client("dynamodb")
    instead = "a request with the template's values"
    to_live = database.describe_time_to_live(TableName=stack.table())["TimeToLiveDescription"]
    not_by_moto("time to live", instead, to_live["TimeToLiveStatus"], "DISABLED")
    to_live = planned["TimeToLiveSpecification"]
    database.update_time_to_live(TableName=stack.table(), TimeToLiveSpecification=to_live)
    backups = database.describe_continuous_backups(TableName=stack.table())["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
    not_by_moto("point-in-time recovery", instead, recovery, "DISABLED")
    recovery = planned["PointInTimeRecoverySpecification"]
    recovery["RecoveryPeriodInDays"] = int(recovery["RecoveryPeriodInDays"])
    database.update_continuous_backups(TableName=stack.table(), PointInTimeRecoverySpecification=recovery)
    return f"by {to_live['AttributeName']}, for {recovery['RecoveryPeriodInDays']} days"


def functions(stack):
    """the functions have the template's settings"""
    for name in stack.of_types("AWS::Lambda::Function"):
        planned, made = stack.plan.resource(name), stack.configuration(name)
        for member in ("Runtime", "Handler", "Timeout", "Architectures"):
            expect(f"{name}, {member}", made[member], planned[member])
        expect(f"{name}, memory", made["MemorySize"], int(planned["MemorySize"]))
        variables = made["Environment"]["Variables"]
        expect(f"{name}, variables", sorted(variables), sorted(planned["Environment"]["Variables"]))
        expect(f"{name}, its table", variables.get("TABLE_NAME"), stack.table())
        expect(f"{name}, its lease", variables.get("LEASE_SECONDS"), PARAMETERS["LeaseSeconds"])
        for variable, value in variables.items():
            expect(f"{name}, {variable} is resolved", "${" in value or "None" in value, False)
        if "STATE_MACHINE_ARN" in variables:
            expect(f"{name}, its state machine", variables["STATE_MACHINE_ARN"], stack.id("DeletionStateMachine"))
        log = stack.resolved[name]["LoggingConfig"]["LogGroup"]
        expect(f"{name}, its log group", log, stack.id(f"{name.removesuffix('Function')}Log"))
    not_by_moto("the functions' log groups", "the names that moto resolves", "LoggingConfig" in made, False)
    tracing = made["TracingConfig"]["Mode"]
    not_by_moto("the functions' tracing", "tests/it/deploy/template.rs", tracing, "PassThrough")
    return "memory, time-out, variables"


def schedule(stack):
    """the schedule calls the clean-up, and undelivered events are kept"""
    known = arns(stack)
    planned = stack.plan.resource("CleanupFunctionSchedule")
    events = stack.client("events")
    rule = events.describe_rule(Name=stack.outputs["CleanupRuleName"])
    expect("its state", (rule["State"], rule["ScheduleExpression"]), (planned["State"], planned["ScheduleExpression"]))
    [target] = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    expect("what it calls", target["Arn"], known["CleanupFunction"])
    expect("where undelivered events go", target["DeadLetterConfig"]["Arn"], known["UndeliveredCleanups"])
    policy = stack.client("lambda").get_policy(FunctionName=stack.id("CleanupFunction"))["Policy"]
    [statement] = json.loads(policy)["Statement"]
    allowed = (statement["Principal"]["Service"], statement["Condition"]["ArnLike"]["AWS:SourceArn"])
    expect("who may call it", allowed, ("events.amazonaws.com", rule["Arn"]))
    for queue in stack.of_types("AWS::SQS::Queue"):
        made = stack.client("sqs").get_queue_attributes(QueueUrl=stack.id(queue), AttributeNames=["All"])
        planned = stack.plan.resource(queue)
        kept = made["Attributes"]["MessageRetentionPeriod"]
        expect(f"{queue}, retention", kept, str(planned["MessageRetentionPeriod"]))
        expect(f"{queue}, encryption", made["Attributes"]["SqsManagedSseEnabled"], "true")
    return f"{rule['ScheduleExpression']}, {rule['State']}"


def machine(stack):
    """the state machine calls the drain function"""
    known = arns(stack)
    planned = stack.plan.resource("DeletionStateMachine")
    made = stack.client("stepfunctions").describe_state_machine(stateMachineArn=stack.outputs["StateMachineArn"])
    text = made["definition"]
    substitutions = stack.resolved["DeletionStateMachine"]["DefinitionSubstitutions"]
    expect("substitutions", sorted(set(re.findall("[$]{([^}]*)}", text))), sorted(substitutions))
    for name, value in substitutions.items():
        text = text.replace(f"${{{name}}}", value)
    states = json.loads(text)["States"]
    called = states["Drain"]["Parameters"]["FunctionName"]
    expect("what it calls", called, known["DrainFunction"])
    tasks = sorted(s["Resource"] for s in states.values() if s["Type"] == "Task")
    expect("its tasks", tasks, ["arn:aws:states:::lambda:invoke", "arn:aws:states:::states:startExecution"])
    expect("its type", made["type"], planned["StateMachineType"])
    [destination] = stack.resolved["DeletionStateMachine"]["LoggingConfiguration"]["Destinations"]
    log = destination["CloudWatchLogsLogGroup"]["LogGroupArn"]
    expect("its log group", log, known["DeletionStateMachineLog"])
    not_by_moto("the definition's substitutions", "the values that moto resolves", "${" in made["definition"], True)
    logging, tracing = made["loggingConfiguration"]["level"], made["tracingConfiguration"]["enabled"]
    not_by_moto("the state machine's log group", "the ARN that moto resolves", logging, "OFF")
    not_by_moto("the state machine's tracing", "sam validate --lint", tracing, False)
    return f"{len(states)} states"


def logs(stack):
    """every log group expires"""
    for name in stack.of_types("AWS::Logs::LogGroup"):
        [group] = stack.client("logs").describe_log_groups(logGroupNamePrefix=stack.id(name))["logGroups"]
        expect(f"{name}, days", group.get("retentionInDays"), int(stack.plan.values["LogRetentionDays"]))
    return f"{len(stack.of_types('AWS::Logs::LogGroup'))} of them"


CHECKS = (created, outputs, roles, resolved, recoverable, functions, schedule, machine, logs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for file in ("api", "drain", "cleanup", "emulator", "campaigns"):
        parser.add_argument(f"--{file}", required=True)
    options = parser.parse_args()
    begun = time.monotonic()
    with moto() as url:
        stack = Deployed(url, "campaigns", PARAMETERS)
        for check in CHECKS:
            print(f"  {check.__doc__}: {check(stack)}", flush=True)
        world = World(options, stack)
        for use in USES:
            print(f"  {use.__doc__}: {use(world)}", flush=True)
        print(f"  {removed.__doc__}: {removed(world)}")
    print(f"rehearsed in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()

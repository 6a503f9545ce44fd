#!/usr/bin/env python3
"""Checks the template as CloudFormation gets it: translated by SAM's own translator.

    tests/template/translated.py [TEMPLATE]

Run with a Python that has aws-sam-translator and PyYAML (aws-sam-cli brings both). Each check
resolves the parameters and conditions that it is about; what the template says before it is
translated is checked by tests/it/deploy/template.rs."""

import json
import pathlib
import re
import sys
import tomllib

import yaml

from stack import ROOT, Loader, Stack, expect


def cors(path):
    """the browser's rules are whole, or not there"""
    name = "x-amazon-apigateway-cors"
    for origins in ("https://a.example", "https://a.example,https://b.example", "*"):
        api = Stack(path, CorsOrigins=origins).resource("HttpApi")["Body"]
        expect("members", sorted(api[name]), ["allowHeaders", "allowMethods", "allowOrigins", "exposeHeaders", "maxAge"])
        expect("origins", api[name]["allowOrigins"], origins.split(","))
        expect("methods", api[name]["allowMethods"], ["DELETE", "GET", "POST"])
        for header in ("authorization", "content-type", "traceparent"):
            expect(f"{header} may be sent", header in api[name]["allowHeaders"], True)
        expect("maximum age", api[name]["maxAge"], 600)
    expect("without origins", name in Stack(path).resource("HttpApi")["Body"], False)


def routes(path):
    """each route calls the function, with payload 2.0"""
    paths = Stack(path).resource("HttpApi")["Body"]["paths"]
    found = {(path, method) for path, methods in paths.items() for method in methods}
    expected = {
        ("/v1/campaigns/{id}", "delete"),
        ("/v1/deletions/{deletionId}", "get"),
        ("/v1/deletions/{deletionId}/receipt", "get"),
        ("/v1/jwks.json", "get"),
        ("/v1/deletions", "get"),
        ("/v1/deletions", "post"),
        ("/v1/openapi.json", "get"),
        ("$default", "x-amazon-apigateway-any-method"),
    }
    expect("routes", sorted(found), sorted(expected))
    for path, method in found:
        integration = paths[path][method]["x-amazon-apigateway-integration"]
        expect(f"the payload of {path}", integration["payloadFormatVersion"], "2.0")


def endpoints(path):
    """no endpoint is set, so that an account's rules (FIPS) choose it"""
    stack = Stack(path)
    for name, resource in stack.template["Resources"].items():
        if resource["Type"] != "AWS::Lambda::Function":
            continue
        variables = stack.resource(name)["Environment"]["Variables"]
        expect(f"the endpoint of {name}", variables["AWS_ENDPOINT_URL_DYNAMODB"], "")


def recovery(path):
    """the table is recoverable for as many days as are asked for"""
    for days in (None, "1", "7"):
        given = {"RecoveryPeriodInDays": days} if days else {}
        table = Stack(path, **given).resource("Table")
        expected = {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": days or "35"}
        expect("recovery", table["PointInTimeRecoverySpecification"], expected)


def boundary(path):
    """every role has the account's boundary"""
    arn = "arn:aws:iam::123456789012:policy/boundary"
    for given in ("", arn):
        stack = Stack(path, PermissionsBoundaryArn=given)
        roles = [n for n, r in stack.template["Resources"].items() if r["Type"] == "AWS::IAM::Role"]
        expect("roles", len(roles) >= 4, True)
        for role in roles:
            expect(role, stack.resource(role).get("PermissionsBoundary", ""), given)


def roles(path):
    """each role allows what is named here, and SAM adds nothing to it"""
    stack = Stack(path)
    for name in ("Api", "Drain", "Cleanup"):
        role = stack.resource(f"{name}FunctionRole")
        expect("managed policies", role.get("ManagedPolicyArns", []), [])
        [policy] = role["Policies"]
        said = {s["Sid"]: s for s in policy["PolicyDocument"]["Statement"]}
        anything = [sid for sid, s in said.items() if s["Resource"] == "*"]
        expect(f"{name} on everything", anything, ["WriteTraces"])
        traces = sorted(said["WriteTraces"]["Action"])
        expect("traces", traces, ["xray:PutTelemetryRecords", "xray:PutTraceSegments"])
        expect("logs", said["WriteLogs"]["Resource"], {"Fn::GetAtt": [f"{name}Log", "Arn"]})
        log_group = stack.resource(f"{name}Function")["LoggingConfig"]["LogGroup"]
        expect("the log group", log_group, {"Ref": f"{name}Log"})
        [statement] = role["AssumeRolePolicyDocument"]["Statement"]
        expect("who may take it", statement["Principal"], {"Service": "lambda.amazonaws.com"})
    failed = {"Fn::GetAtt": ["FailedCleanups", "Arn"]}
    expect("failed runs", said["ReportFailures"]["Resource"], failed)
    invoked = stack.template["Resources"].values()
    [config] = [r for r in invoked if r["Type"] == "AWS::Lambda::EventInvokeConfig"]
    sent = config["Properties"]["DestinationConfig"]["OnFailure"]["Destination"]
    expect("where failed runs go", sent, failed)


def xray(stack, name):
    """The rights on X-Ray that a role has."""
    statements = [s for policy in stack.resource(name)["Policies"] for s in policy["PolicyDocument"]["Statement"]]
    actions = [a for s in statements for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])]
    return [action for action in actions if action.startswith("xray:")]


def tracing(path):
    """traces are sent, or not, and then no role has a right to send any"""
    for value, mode, sends in (("ENABLED", "Active", True), ("DISABLED", "PassThrough", False)):
        stack = Stack(path, Tracing=value)
        of_type = lambda kind: [n for n, r in stack.template["Resources"].items() if r["Type"] == kind]
        functions = of_type("AWS::Lambda::Function")
        for function in functions:
            expect(f"{function} with {value}", stack.resource(function)["TracingConfig"], {"Mode": mode})
        machine = stack.resource("DeletionStateMachine")
        expect(f"the state machine with {value}", machine["TracingConfiguration"], {"Enabled": sends})
        rights = {role: bool(xray(stack, role)) for role in of_type("AWS::IAM::Role")}
        senders = [role for role, has in rights.items() if has]
        senders_expected = ["ApiFunctionRole", "CleanupFunctionRole", "DeletionStateMachineRole", "DrainFunctionRole"]
        expect(f"the roles that may send with {value}", sorted(senders), senders_expected if sends else [])
        expect("functions", len(functions), 3)


def routes_measured(path):
    """the gateway has metrics of each route, or of the API alone"""
    for value, measures in (("ENABLED", True), ("DISABLED", False)):
        stage = Stack(path, DetailedMetrics=value).resource("HttpApiApiGatewayDefaultStage")
        expect(f"with {value}", stage["DefaultRouteSettings"]["DetailedMetricsEnabled"], measures)
    resources = Stack(path).template["Resources"].values()
    watching = [json.dumps(r) for r in resources if r["Type"].startswith("AWS::CloudWatch::")]
    expect("what watches a route", [text for text in watching if '"Route"' in text or '"Resource"' in text], [])


TABLE_KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
# What the developer guide of DynamoDB says that it requires on a customer-managed key at a minimum, without
# CreateGrant, which is of whoever chooses the key; each by its name.
KEY_ACTIONS = ["Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"]


def table_key(path):
    """the table is encrypted with the key that is given, which the functions use through DynamoDB alone"""
    for given in ("", TABLE_KEY):
        for existing in ("", "existing"):
            stack = Stack(path, TableKeyArn=given, ExistingTableName=existing)
            roles = [name for name, r in stack.template["Resources"].items() if r["Type"] == "AWS::IAM::Role"]
            users = []
            for role in roles:
                policies = stack.resource(role)["Policies"]
                statements = [s for policy in policies for s in policy["PolicyDocument"]["Statement"]]
                for statement in (s for s in statements if "kms:" in json.dumps(s)):
                    users.append(role)
                    actions = [f"kms:{action}" for action in KEY_ACTIONS]
                    expect(f"what {role} may do", sorted(statement["Action"]), actions)
                    expect(f"the key of {role}", statement["Resource"], given)
                    [(operator, condition)] = statement["Condition"].items()
                    services = [value["Fn::Sub"] for value in condition["kms:ViaService"]]
                    of_dynamodb = [f"dynamodb.${{AWS::Region}}.{suffix}" for suffix in ("amazonaws.com", "${AWS::URLSuffix}")]
                    expect("through which service", (operator, list(condition), services), ("StringEquals", ["kms:ViaService"], of_dynamodb))
            functions = ["ApiFunctionRole", "CleanupFunctionRole", "DrainFunctionRole"]
            expect(f"who uses the key '{given}'", sorted(users), functions if given else [])
        specification = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": given}
        table = Stack(path, TableKeyArn=given).resource("Table")
        expect("the table's encryption", table.get("SSESpecification"), specification if given else None)
    pattern = Stack(path).template["Parameters"]["TableKeyArn"]["AllowedPattern"]
    govcloud, alias = TABLE_KEY.replace("aws:", "aws-us-gov:", 1), TABLE_KEY.replace("key/", "alias/")
    multi_region = TABLE_KEY.split("key/")[0] + "key/mrk-1234abcd12ab34cd56ef1234567890ab"
    for value, allowed in ((TABLE_KEY, True), (govcloud, True), (multi_region, True), (alias, False), ("alias/aws/dynamodb", False)):
        expect(f"the key '{value}' is allowed", bool(re.fullmatch(pattern, value)), allowed)


def archive(path):
    """the archive's bucket is private and expires, and the functions may put objects under the prefix alone"""
    for days, existing, bucket in (("0", "", None), ("30", "", {"Ref": "ArchiveBucket"}), ("0", "my-bucket", "my-bucket"), ("30", "my-bucket", "my-bucket")):
        stack = Stack(path, ArchiveDays=days, ExistingArchiveBucket=existing, ArchivePrefix="kept/")
        for name in ("Api", "Drain", "Cleanup"):
            [policy] = stack.resource(f"{name}FunctionRole")["Policies"]
            statements = [s for s in policy["PolicyDocument"]["Statement"] if "s3:" in json.dumps(s)]
            expect(f"{name} archives in {bucket}", len(statements), 1 if bucket else 0)
            for statement in statements:
                expect("what it may do", statement["Action"], "s3:PutObject")
                [text, names] = statement["Resource"]["Fn::Sub"]
                expect("where", text, "arn:${AWS::Partition}:s3:::${Bucket}/${ArchivePrefix}*")
                expect("in which bucket", names, {"Bucket": bucket})
            variables = stack.resource(f"{name}Function")["Environment"]["Variables"]
            said = [variables[f"ARCHIVE_{v}"] for v in ("BUCKET", "PREFIX", "MODE", "DAYS")]
            expect("its variables", said, [bucket or "", "kept/", "default", days])
        expect("a bucket is made", stack.holds("MakesArchive"), bucket == {"Ref": "ArchiveBucket"})
    made = stack.template["Resources"]["ArchiveBucket"]
    expect("it stays", (made["DeletionPolicy"], made["UpdateReplacePolicy"]), ("Retain", "Retain"))
    properties = Stack(path, ArchiveDays="30").resource("ArchiveBucket")
    expect("public access", set(properties["PublicAccessBlockConfiguration"].values()), {True})
    expect("owner", properties["OwnershipControls"]["Rules"], [{"ObjectOwnership": "BucketOwnerEnforced"}])
    [rule] = properties["LifecycleConfiguration"]["Rules"]
    expect("expiry", (rule.get("Prefix"), rule["ExpirationInDays"], rule["Status"]), (None, "30", "Enabled"))
    expect("versions", "VersioningConfiguration" in properties, False)
    [encryption] = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    expect("encryption", encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"], "AES256")
    [statement] = Stack(path, ArchiveDays="30").resource("ArchiveBucketPolicy")["PolicyDocument"]["Statement"]
    expect("without TLS", (statement["Effect"], statement["Principal"], statement["Action"]), ("Deny", "*", "s3:*"))
    expect("is without TLS", statement["Condition"], {"Bool": {"aws:SecureTransport": "false"}})


def events(path):
    """the functions may put events on the named bus alone, and keep them in the table alone"""
    bus = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${EventBusName}"
    kept = {"Api": [], "Drain": ["dynamodb:PutItem"], "Cleanup": ["dynamodb:DeleteItem"]}
    for given in ("", "default", "my.bus_1-a"):
        stack = Stack(path, EventBusName=given)
        for name, actions in kept.items():
            [policy] = stack.resource(f"{name}FunctionRole")["Policies"]
            said = {s["Sid"]: s for s in policy["PolicyDocument"]["Statement"]}
            expect(f"{name} sends to '{given}'", "SendEvents" in said, given != "")
            if given:
                expect("what it may do", sorted(said["SendEvents"]["Action"]), ["events:DescribeEventBus", "events:PutEvents"])
                expect("on which bus", said["SendEvents"]["Resource"], {"Fn::Sub": bus})
            keeps = [said["KeepEvents"]] if "KeepEvents" in said else []
            expect(f"{name} keeps events", [s["Action"] for s in keeps], actions if given else [])
            for statement in keeps:
                keys = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["ACCOUNT#*"]}}
                expect("of which items", statement["Condition"], keys)
            variables = stack.resource(f"{name}Function")["Environment"]["Variables"]
            expect("its variable", variables["EVENT_BUS_NAME"], given)
    allows = re.compile(stack.template["Parameters"]["EventBusName"]["AllowedPattern"]).fullmatch
    for value, allowed in (("", True), ("a" * 256, True), ("a" * 257, False), ("a/b", False), ("arn:aws:events", False)):
        expect(f"the bus '{value}' is allowed", bool(allows(value)), allowed)


def receipts(path):
    """api signs with the first key alone, publishes each, and the stack's own key outlives it"""
    arns = [f"arn:aws:kms:us-east-1:123456789012:key/{name}" for name in ("one", "two")]
    own = {"Fn::GetAtt": ["ReceiptKey", "Arn"]}
    for made, given, signs in (
        ("DISABLED", "", None),
        ("ENABLED", "", own),
        ("DISABLED", ",".join(arns), arns[0]),
        ("ENABLED", ",".join(arns), own),
    ):
        stack = Stack(path, MakeReceiptKey=made, ReceiptKeyArns=given)
        [policy] = stack.resource("ApiFunctionRole")["Policies"]
        said = {s["Sid"]: s for s in policy["PolicyDocument"]["Statement"]}
        expect(f"keys {made} and '{given}': it signs", "SignReceipts" in said, signs is not None)
        expect("the alarm is there", stack.holds(stack.template["Resources"]["ReceiptsNotSignedAlarm"]["Condition"]), signs is not None)
        if signs is None:
            expect("it publishes", "PublishKeys" in said, False)
            continue
        expect("what it may do", (said["SignReceipts"]["Action"], said["PublishKeys"]["Action"]), ("kms:Sign", "kms:GetPublicKey"))
        expect("how", said["SignReceipts"]["Condition"], {"StringEquals": {"kms:SigningAlgorithm": "ECDSA_SHA_256"}})
        variable = stack.resource("ApiFunction")["Environment"]["Variables"]["RECEIPT_KEY_IDS"]
        published = variable.split(",") if isinstance(variable, str) else {"Fn::Split": [",", variable]}
        expect("it publishes what the variable names", said["PublishKeys"]["Resource"], published)
    for name in ("Drain", "Cleanup"):
        [policy] = Stack(path, MakeReceiptKey="ENABLED").resource(f"{name}FunctionRole")["Policies"]
        kms = [s["Sid"] for s in policy["PolicyDocument"]["Statement"] if "kms:" in str(s["Action"])]
        expect(f"{name} uses keys", kms, [])
    key = Stack(path).template["Resources"]["ReceiptKey"]
    expect("the key stays", (key["DeletionPolicy"], key["UpdateReplacePolicy"]), ("Retain", "Retain"))
    expect("the key", (key["Properties"]["KeySpec"], key["Properties"]["KeyUsage"]), ("ECC_NIST_P256", "SIGN_VERIFY"))
    allows = re.compile(Stack(path).template["Parameters"]["ReceiptKeyArns"]["AllowedPattern"]).fullmatch
    many = ",".join(arns[:1] * 10)
    for value, allowed in (("", True), (",".join(arns), True), (many, False), (arns[0] + ",", False), ("alias/a", False)):
        expect(f"the keys '{value}' are allowed", bool(allows(value)), allowed)


# Of the API Gateway developer guide, "Monitor CloudWatch metrics for HTTP APIs".
METRICS_OF_A_ROUTE = ("4xx", "5xx", "Count", "IntegrationLatency", "Latency", "DataProcessed")
# In us-east-1, for a month, in cents.
OF_AN_ALARMS_METRIC, OF_A_METRIC, OF_A_DASHBOARD = 10, 30, 300


def standing(path):
    """docs/deploying.md counts what is billed without any traffic"""
    stack = Stack(path)
    there = {n: r for n, r in stack.template["Resources"].items() if "Condition" not in r or stack.holds(r["Condition"])}
    kinds = {name: resource["Type"] for name, resource in there.items()}
    alarms = [stack.resource(name) for name, kind in kinds.items() if kind == "AWS::CloudWatch::Alarm"]
    # "you incur a cost for each alarm-metric that's referenced in the metric math expression"
    # (CloudWatch's user guide, "CloudWatch billing and cost").
    watched = sum(len([m for m in a.get("Metrics", [{}]) if "Expression" not in m]) for a in alarms)
    dashboards = list(kinds.values()).count("AWS::CloudWatch::Dashboard")
    routes = sum(map(len, stack.resource("HttpApi")["Body"]["paths"].values()))
    of_routes = routes * len(METRICS_OF_A_ROUTE)
    # The one metric that a clean-up without anything to do writes: tests/it/deploy/metrics.rs.
    cents = watched * OF_AN_ALARMS_METRIC + dashboards * OF_A_DASHBOARD + OF_A_METRIC
    money = lambda cents: f"${cents / 100:.2f}"
    text = " ".join((ROOT / "docs/deploying.md").read_text().split())
    for said in (
        f"| {len(alarms)} alarms, on {watched} metrics | {money(watched * OF_AN_ALARMS_METRIC)} |",
        f"| {dashboards} dashboard | {money(dashboards * OF_A_DASHBOARD)} |",
        f"| **in all** | **{money(cents)}** |",
        f"{routes} routes times {len(METRICS_OF_A_ROUTE)} metrics are {of_routes}, {money(of_routes * OF_A_METRIC)} a month",
    ):
        expect(f"docs/deploying.md says '{said}'", said in text, True)
    billed_by_time = [n for n, kind in kinds.items() if kind in ("AWS::KMS::Key", "AWS::SecretsManager::Secret", "AWS::EC2::NatGateway", "AWS::EC2::VPCEndpoint")]
    expect("what is billed by its time", billed_by_time, [])
    for name, function in ((n, stack.resource(n)) for n, kind in kinds.items() if kind == "AWS::Lambda::Function"):
        expect(f"{name} is not billed while it waits", "ProvisionedConcurrencyConfig" in function, False)


def numbers(path):
    """a number is whole and within its range, or the deployment does not begin"""
    checked = 0
    for name, parameter in Stack(path).template["Parameters"].items():
        said = re.fullmatch("a whole number from ([0-9]+) to ([0-9]+)", parameter.get("ConstraintDescription", ""))
        if not said:
            continue
        checked += 1
        least, most = (int(bound) for bound in said.groups())
        # AllowedPattern has to match the whole value.
        allows = re.compile(parameter["AllowedPattern"]).fullmatch
        for number in range(most + 2_000):
            if bool(allows(str(number))) != (least <= number <= most):
                sys.exit(f"{name}: the pattern is wrong about {number}")
        for odd in ("", "0.5", "1.0", "-1", "1e3", " 5", "5 ", "many"):
            expect(f"{name} may be '{odd}'", bool(allows(odd)), False)
        expect(f"{name} may be its default", bool(allows(parameter["Default"])), True)
    expect("numbers", checked, 11)


def concurrency(path):
    """what is reserved is reserved, and nothing by default"""
    for function in ("Api", "Drain", "Cleanup"):
        given = {f"{function}ReservedConcurrency": "7"}
        properties = Stack(path, **given).resource(f"{function}Function")
        expect(function, properties["ReservedConcurrentExecutions"], "7")
        properties = Stack(path).resource(f"{function}Function")
        expect(function, "ReservedConcurrentExecutions" in properties, False)


def stop(path):
    """the clean-up is stopped by its schedule, never by a concurrency of 0"""
    template = Stack(path).template
    pattern = template["Parameters"]["CleanupReservedConcurrency"]["AllowedPattern"]
    for value, is_allowed in (("0", False), ("00", False), ("1", True), ("", True)):
        expect(f"a concurrency of '{value}'", bool(re.fullmatch(pattern, value)), is_allowed)
    for state in ("ENABLED", "DISABLED"):
        rule = Stack(path, CleanupScheduleState=state).resource("CleanupFunctionSchedule")
        expect("the schedule", rule["State"], state)
    expect("the output", template["Outputs"]["CleanupRuleName"]["Value"], {"Ref": "CleanupFunctionSchedule"})


def settings(path):
    """a build and a deployment take the same parameters, which the template has"""
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]
    with_parameters = [part for part in settings if "parameter_overrides" in settings[part]["parameters"]]
    expect("parts with parameters", with_parameters, ["global"])
    given = settings["global"]["parameters"]["parameter_overrides"]
    Stack(path, **dict(pair.split("=", 1) for pair in given))
    expect("rights that are acknowledged", settings["deploy"]["parameters"]["capabilities"], "CAPABILITY_IAM")
    resources = Stack(path).template["Resources"].values()
    roles = [r for r in resources if r["Type"] == "AWS::IAM::Role"]
    expect("roles with names of their own", [r for r in roles if "RoleName" in r["Properties"]], [])


# Of names, in characters. The longest name of a stack: CreateStack's StackName. What has no name
# of its own is named, and shortened, by CloudFormation.
LONGEST = {"StackName": 128, "LogGroupName": 512, "DashboardName": 255}


def names(path):
    """each name is within its limit, even in the stack with the longest name"""
    stack = Stack(path)
    found = 0
    for resource in stack.template["Resources"]:
        for name, value in stack.resource(resource).items():
            if not name.endswith("Name") or "AWS::StackName" not in json.dumps(value):
                continue
            found += 1
            expect(f"the limit of {name} is known", name in LONGEST, True)
            text = value["Fn::Sub"].replace("${AWS::StackName}", "s" * LONGEST["StackName"])
            expect(f"{name} of {resource} is resolved", "${" in text, False)
            expect(f"{name} of {resource} fits", len(text) <= LONGEST[name], True)
    expect("names", found >= 6, True)


# The developer guide of SAM, "AWS SAM template Metadata section properties"; without a URL of the
# project, which is not known here.
PUBLISHED = {
    "Name": "[a-zA-Z0-9-]{1,140}",
    "Description": "(?s).{1,256}",
    "Author": "(?=.{1,127}$)[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?",
    "SpdxLicenseId": "MIT",
    "LicenseUrl": ".+",
    "ReadmeUrl": ".+",
    "SemanticVersion": r"\d+\.\d+\.\d+",
}
LABEL = "[a-zA-Z0-9+_:/@-]{1,127}"


def published(path):
    """what is published says what it is, in the version of Cargo.toml"""
    said = yaml.load(path.read_text(), Loader)["Metadata"]["AWS::ServerlessRepo::Application"]
    labels = said.pop("Labels")
    expect("labels", len(labels) <= 10 and all(re.fullmatch(LABEL, label) for label in labels), True)
    expect("members", sorted(said), sorted(PUBLISHED))
    for member, pattern in PUBLISHED.items():
        expect(f"{member} is allowed", bool(re.fullmatch(pattern, said[member])), True)
    for member in ("LicenseUrl", "ReadmeUrl"):
        expect(f"{said[member]} is there", (ROOT / said[member]).is_file(), True)
    package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
    expect("the version", said["SemanticVersion"], package["version"])
    expect("the license", said["SpdxLicenseId"], package["license"])


def deployments(path):
    """a deployment moves an alias, which all callers call, and errors roll it back"""
    for preference in ("AllAtOnce", "Canary10Percent5Minutes"):
        stack = Stack(path, DeploymentPreference=preference)
        for function, alarms in (("Api", ["ApiErrorsAlarm", "HandOffsFailedAlarm"]), ("Drain", ["DrainErrorsAlarm"])):
            group = stack.resource(f"{function}FunctionDeploymentGroup")
            name = group["DeploymentConfigName"]["Fn::Sub"][1]["ConfigName"]
            expect(f"how {function} is deployed", name, preference)
            role = {"Fn::GetAtt": [f"{function}DeploymentRole", "Arn"]}
            expect("whose role", group["ServiceRoleArn"], role)
            watched = group["AlarmConfiguration"]
            expect("the alarms", [alarm["Name"]["Ref"] for alarm in watched["Alarms"]], alarms)
            expect("are watched", (watched["Enabled"], group["AutoRollbackConfiguration"]["Enabled"]), (True, True))
            alias = stack.resource(f"{function}FunctionAliaslive")
            expect("the alias", (alias["Name"], alias["FunctionName"]["Ref"]), ("live", f"{function}Function"))
    drain = {"Ref": "DrainFunctionAliaslive"}
    machine = stack.resource("DeletionStateMachine")["DefinitionSubstitutions"]
    expect("what the state machine calls", machine["DrainFunctionArn"], drain)
    policies = [p["PolicyDocument"]["Statement"] for p in stack.resource("DeletionStateMachineRole")["Policies"]]
    calls = [s["Resource"] for statements in policies for s in statements if s["Action"] == "lambda:InvokeFunction"]
    expect("what it may call", calls, [drain])
    for path_item in stack.resource("HttpApi")["Body"]["paths"].values():
        for method in path_item.values():
            uri = json.dumps(method["x-amazon-apigateway-integration"]["uri"])
            expect("a route calls the alias", "ApiFunctionAliaslive" in uri, True)


def references(path):
    """each reference names something"""
    template = Stack(path).template
    known = template["Resources"].keys() | template["Parameters"].keys()

    def look(value):
        if isinstance(value, list):
            for part in value:
                look(part)
        elif isinstance(value, dict):
            for name, part in value.items():
                if name == "Ref" and not part.startswith("AWS::"):
                    expect(f"{part} is there", part in known, True)
                if name == "Fn::GetAtt":
                    expect(f"{part[0]} is there", part[0] in template["Resources"], True)
                look(part)

    look(template["Resources"])
    look(template["Outputs"])


def main():
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "template.yaml"
    for check in (cors, routes, endpoints, recovery, roles, table_key, archive, events, receipts, tracing, routes_measured, standing, boundary, numbers, concurrency, stop, settings, names, published, deployments, references):
        check(path)
        print(f"  {check.__doc__}")


if __name__ == "__main__":
    main()

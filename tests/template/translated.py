#!/usr/bin/env python3
"""Checks the template as CloudFormation gets it: translated by SAM's own translator.

    tests/template/translated.py [TEMPLATE]

Run with a Python that has aws-sam-translator and PyYAML (aws-sam-cli brings both). Each check
resolves the parameters and conditions that it is about; what the template says before it is
translated is checked by tests/it/deploy/template.rs."""

import json
import logging
import os
import pathlib
import re
import sys
import tomllib

os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")

import yaml  # noqa: E402
from samtranslator.translator.transform import transform  # noqa: E402

# It warns of usage metrics that nobody publishes.
logging.getLogger("samtranslator").setLevel(logging.ERROR)

ROOT = pathlib.Path(__file__).resolve().parents[2]
NO_VALUE = {"Ref": "AWS::NoValue"}


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms."""


def intrinsic(loader, suffix, node):
    construct = {
        yaml.ScalarNode: loader.construct_scalar,
        yaml.SequenceNode: lambda n: loader.construct_sequence(n, deep=True),
        yaml.MappingNode: lambda n: loader.construct_mapping(n, deep=True),
    }
    value = construct[type(node)](node)
    if suffix == "Ref":
        return {"Ref": value}
    if suffix == "GetAtt":
        return {"Fn::GetAtt": value.split(".", 1)}
    return {f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", intrinsic)


class Policies:
    """Stands in for the managed policies that the translator would look up."""

    def load(self):
        return {}


def translated(path, parameters):
    """The template as SAM translates it, with packaged code. Parameters matter: CloudFormation
    hands them to SAM, which puts some of them in."""
    template = yaml.load(path.read_text(), Loader)
    unknown = parameters.keys() - template["Parameters"].keys()
    if unknown:
        sys.exit(f"the template has no parameter {unknown}")
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = {"Bucket": "bucket", "Key": "key"}
    return transform(template, dict(parameters), Policies())


class Stack:
    """A translated template with these parameters."""

    def __init__(self, path, **given):
        self.template = translated(path, given)
        declared = self.template["Parameters"].items()
        self.values = {name: str(p.get("Default", "")) for name, p in declared} | given

    def holds(self, condition):
        return self.resolve(self.template["Conditions"][condition])

    def resolve(self, value):
        """The value with parameters and conditions put in, and NoValue left out."""
        if isinstance(value, list):
            return [self.resolve(part) for part in value if part != NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name == "Ref" and argument in self.values:
                return self.values[argument]
            if name == "Condition" and isinstance(argument, str):
                return self.holds(argument)
            if name == "Fn::If":
                condition, yes, no = argument
                return self.resolve(yes if self.holds(condition) else no)
            if name == "Fn::Equals":
                one, other = self.resolve(argument)
                return one == other
            if name == "Fn::Not":
                return not self.resolve(argument)[0]
            if name == "Fn::Or":
                return any(self.resolve(argument))
            if name == "Fn::And":
                return all(self.resolve(argument))
            if name == "Fn::Split":
                separator, text = self.resolve(argument)
                return text.split(separator)
        resolved = {name: self.resolve(part) for name, part in value.items()}
        return {name: part for name, part in resolved.items() if part != NO_VALUE}

    def resource(self, name):
        return self.resolve(self.template["Resources"][name]["Properties"])


def expect(what, got, expected):
    if got != expected:
        sys.exit(f"{what}: {json.dumps(got, indent=1)}\nexpected: {json.dumps(expected, indent=1)}")


def cors(path):
    """the browser's rules are whole, or not there"""
    name = "x-amazon-apigateway-cors"
    for origins in ("https://a.example", "https://a.example,https://b.example", "*"):
        api = Stack(path, CorsOrigins=origins).resource("HttpApi")["Body"]
        expect("members", sorted(api[name]), ["allowHeaders", "allowMethods", "allowOrigins", "exposeHeaders", "maxAge"])
        expect("origins", api[name]["allowOrigins"], origins.split(","))
        expect("methods", api[name]["allowMethods"], ["DELETE", "GET"])
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
        ("/v1/deletions", "get"),
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
    expect("numbers", checked, 10)


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
    for check in (cors, routes, endpoints, recovery, roles, boundary, numbers, concurrency, stop, settings, names, published, deployments, references):
        check(path)
        print(f"  {check.__doc__}")


if __name__ == "__main__":
    main()

"""What rehearsal.py is about: a stack that moto (https://docs.getmoto.org) has created from the
template, as SAM translates it."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

# Where the terminal expects a table of this machine. The translator reads the Region, too.
os.environ.update(AWS_DEFAULT_REGION="us-east-1", AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local")

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402

from stack import ROOT, Stack, expect  # noqa: E402

sys.path.append(str(ROOT / "tests/emulator"))
from emulated import free_port, stopped_after, wait_for  # noqa: E402

# Types that moto's CloudFormation does not know, and what checks them instead; "below" is in
# rehearsal.py, on the properties as moto resolves them.
UNKNOWN_TYPES = {
    "AWS::ApiGatewayV2::Api": "its integrations below; routes and CORS in tests/template/translated.py",
    "AWS::ApiGatewayV2::Stage": "its limit and its log below",
    "AWS::CloudWatch::Alarm": "their dimensions below; their metrics in tests/it/deploy/metrics.rs",
    "AWS::CodeDeploy::Application": "cfn-lint in tests/template/combinations.py",
    "AWS::CodeDeploy::DeploymentGroup": "its alarms and its role in tests/template/translated.py",
    "AWS::IAM::RolePolicy": "its statement below",
    "AWS::Lambda::Alias": "who calls it in tests/template/translated.py",
    "AWS::Lambda::EventInvokeConfig": "its destination below",
    "AWS::SQS::QueuePolicy": "its statement below",
}
# An output that moto refuses, since it is of a type that it does not know.
UNKNOWN_OUTPUTS = {"ApiUrl"}


@contextlib.contextmanager
def moto():
    """The URL of a moto server."""
    port = free_port()
    # Beside this Python, in its environment.
    server = pathlib.Path(sys.executable).parent / "moto_server"
    process = subprocess.Popen(
        [server, "--host", "127.0.0.1", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    with stopped_after(process):
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"


class Deployed:
    """A stack that moto has created."""

    def __init__(self, url, name, parameters):
        self.url = url
        self.name = name
        self.plan = Stack(ROOT / "template.yaml", **parameters)
        self.template = self.plan.template
        declared = self.template["Resources"].items()
        aliases = {n: r["Properties"] for n, r in declared if r["Type"] == "AWS::Lambda::Alias"}
        # What an alias is to those who refer to it: its function's ARN and its name.
        self.aliases = {n: (p["FunctionName"]["Ref"], p["Name"]) for n, p in aliases.items()}
        self.wanted = {n: r for n, r in declared if "Condition" not in r or self.plan.holds(r["Condition"])}
        for output in UNKNOWN_OUTPUTS:
            del self.template["Outputs"][output]
        self.create(parameters)
        described = self.client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
        # moto describes what it has not created, without a name.
        self.created = {r["LogicalResourceId"]: r for r in described if "LogicalResourceId" in r}

    def client(self, service):
        config = Config(s3={"addressing_style": "path"})
        return boto3.client(service, endpoint_url=self.url, config=config)

    def create(self, parameters):
        sent = self.without_aliases(self.template)
        # moto also resolves what it does not create, or not as a whole, if an output has it.
        for name in self.of_types(*UNKNOWN_TYPES, "AWS::Lambda::Function", "AWS::StepFunctions::StateMachine"):
            if name in self.aliases:
                continue
            text = {"Fn::ToJsonString": sent["Resources"][name]["Properties"]}
            sent["Outputs"][f"Resolved{name}"] = {"Value": text}
        # As `sam deploy` does: the template is too long to be sent as it is.
        objects = self.client("s3")
        objects.create_bucket(Bucket="bucket")
        objects.put_object(Bucket="bucket", Key="key", Body=b"the code is started by the emulator")
        objects.put_object(Bucket="bucket", Key="template", Body=json.dumps(sent))
        formation = self.client("cloudformation")
        formation.create_stack(
            StackName=self.name,
            TemplateURL="https://s3.us-east-1.amazonaws.com/bucket/template",
            Parameters=[{"ParameterKey": n, "ParameterValue": v} for n, v in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        [stack] = formation.describe_stacks(StackName=self.name)["Stacks"]
        expect("the stack", stack["StackStatus"], "CREATE_COMPLETE")
        outputs = {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}
        resolved = [name for name in outputs if name.startswith("Resolved")]
        self.resolved = {n.removeprefix("Resolved"): json.loads(outputs.pop(n)) for n in resolved}
        self.outputs = outputs

    def without_aliases(self, value):
        """The value with each reference to an alias put in, since moto creates none: its ARN, but
        the function for a permission, which moto gives to that alone."""
        if isinstance(value, list):
            return [self.without_aliases(part) for part in value]
        if isinstance(value, str):
            for alias, (function, name) in self.aliases.items():
                value = value.replace(f"${{{alias}}}", f"${{{function}.Arn}}:{name}")
            return value
        if not isinstance(value, dict):
            return value
        if value.keys() == {"Ref"} and value["Ref"] in self.aliases:
            function, name = self.aliases[value["Ref"]]
            return {"Fn::Sub": f"${{{function}.Arn}}:{name}"}
        changed = {name: self.without_aliases(part) for name, part in value.items()}
        if value.get("Type") == "AWS::Lambda::Permission":
            alias = self.aliases.get(value["Properties"]["FunctionName"].get("Ref"))
            if alias:
                changed["Properties"]["FunctionName"] = {"Ref": alias[0]}
        return changed

    def of_types(self, *types):
        """The names of the resources of these types that the stack has to have."""
        return [name for name, resource in self.wanted.items() if resource["Type"] in types]

    def id(self, name):
        """The physical id of a resource."""
        return self.created[name]["PhysicalResourceId"]

    def table(self):
        return self.outputs["TableName"]

    def configuration(self, name):
        configuration = self.client("lambda").get_function_configuration(FunctionName=self.id(name))
        # CloudFormation makes text of a parameter that is a number where it puts it in; moto does not.
        variables = configuration["Environment"]["Variables"]
        variables.update({variable: str(value) for variable, value in variables.items()})
        return configuration

    def variables(self, name):
        """What Lambda would set for the function: the stack's variables, and the few of its own.
        The endpoints alone are this machine's."""
        configuration = self.configuration(name)
        own = {
            "AWS_LAMBDA_FUNCTION_NAME": configuration["FunctionName"],
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(configuration["Timeout"]),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration["MemorySize"]),
        }
        endpoints = {"AWS_ENDPOINT_URL_DYNAMODB": self.url, "AWS_ENDPOINT_URL_SFN": self.url}
        return {**own, **configuration["Environment"]["Variables"], **endpoints}


def arns(stack):
    """The ARNs of what was created, by the resource's name."""
    table = stack.client("dynamodb").describe_table(TableName=stack.table())["Table"]
    found = {"Table": table["TableArn"], "DeletionStateMachine": stack.id("DeletionStateMachine")}
    for index in table["GlobalSecondaryIndexes"]:
        found[index["IndexName"]] = f"{table['TableArn']}/index/{index['IndexName']}"
    aliases = {function: f":{name}" for function, name in stack.aliases.values()}
    for name in stack.of_types("AWS::Lambda::Function"):
        found[name] = stack.configuration(name)["FunctionArn"] + aliases.get(name, "")
    for name in stack.of_types("AWS::SQS::Queue"):
        asked = stack.client("sqs").get_queue_attributes(QueueUrl=stack.id(name), AttributeNames=["QueueArn"])
        found[name] = asked["Attributes"]["QueueArn"]
    for name in stack.of_types("AWS::Logs::LogGroup"):
        groups = stack.client("logs").describe_log_groups(logGroupNamePrefix=stack.id(name))["logGroups"]
        found[name] = groups[0]["logGroupArn"]
    for name in stack.of_types("AWS::Events::Rule"):
        found[name] = stack.client("events").describe_rule(Name=stack.id(name))["Arn"]
    return found

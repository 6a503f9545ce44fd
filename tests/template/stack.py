"""The template as CloudFormation gets it, translated by SAM's own translator, and its values
with parameters and conditions put in."""

import json
import logging
import os
import pathlib
import sys

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
            return [part for part in map(self.resolve, value) if part != NO_VALUE]
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
                if isinstance(text, str):
                    return text.split(separator)
            if name == "Fn::Select":
                index, parts = self.resolve(argument)
                if isinstance(parts, list):
                    return parts[int(index)]
        resolved = {name: self.resolve(part) for name, part in value.items()}
        return {name: part for name, part in resolved.items() if part != NO_VALUE}

    def resource(self, name):
        return self.resolve(self.template["Resources"][name]["Properties"])


def expect(what, got, expected):
    if got != expected:
        sys.exit(f"{what}: {json.dumps(got, indent=1)}\nexpected: {json.dumps(expected, indent=1)}")

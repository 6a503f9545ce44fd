#!/usr/bin/env python3
"""Checks the translated template in every combination of its conditions, and lints it for Regions
of three partitions.

    tests/template/combinations.py [TEMPLATE]

Run with a Python that has aws-sam-cli (it brings the translator and cfn-lint). In each combination,
whatever a resource or an output names has to be there. Conditions are CloudFormation's, so the template
is translated once for each value of what SAM itself decides by."""

import itertools
import json
import pathlib
import re
import subprocess
import sys
import tempfile

from stack import ROOT, Stack, expect

KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
# What makes each condition hold, and what does not.
SETTINGS = {
    "MakesTable": ("ExistingTableName", "", "existing"),
    "HasTableKey": ("TableKeyArn", KEY, ""),
    "SendsEvents": ("EventBusName", "bus", ""),
    "AllowsCors": ("CorsOrigins", "https://a.example", ""),
    "RunsCleanup": ("CleanupScheduleState", "ENABLED", "DISABLED"),
    "ReservesApi": ("ApiReservedConcurrency", "5", ""),
    "ReservesDrain": ("DrainReservedConcurrency", "5", ""),
    "ReservesCleanup": ("CleanupReservedConcurrency", "5", ""),
    "HasBoundary": ("PermissionsBoundaryArn", "arn:aws:iam::123456789012:policy/boundary", ""),
    "Traces": ("Tracing", "ENABLED", "DISABLED"),
    "MeasuresRoutes": ("DetailedMetrics", "ENABLED", "DISABLED"),
    "NotifiesAlarms": ("AlarmTopicArn", "arn:aws:sns:us-east-1:123456789012:alarms", ""),
}
# Two parameters each, and the conditions of both, with the values for which each holds.
OF_TWO = [
    (
        {"ExistingArchiveBucket": ("", "my-bucket"), "ArchiveDays": ("0", "30")},
        {
            "MakesArchive": {("", "30")},
            "Archives": {("", "30"), ("my-bucket", "0"), ("my-bucket", "30")},
        },
    ),
    (
        {"MakeReceiptKey": ("DISABLED", "ENABLED"), "ReceiptKeyArns": ("", KEY)},
        {
            "MakesReceiptKey": {("ENABLED", ""), ("ENABLED", KEY)},
            "HasReceiptKeys": {("DISABLED", KEY), ("ENABLED", KEY)},
            "SignsReceipts": {("DISABLED", KEY), ("ENABLED", ""), ("ENABLED", KEY)},
        },
    ),
]
CONDITIONS = [*SETTINGS, *(condition for _, conditions in OF_TWO for condition in conditions)]
# SAM puts this parameter in.
BY_SAM = ("DeploymentPreference", ("AllAtOnce", "Canary10Percent5Minutes"))
REGIONS = ("us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1")


def named(value):
    """The logical ids that a resolved value names."""
    if isinstance(value, list):
        for part in value:
            yield from named(part)
    elif isinstance(value, dict):
        for name, part in value.items():
            if name == "Ref" and not part.startswith("AWS::"):
                yield part
            elif name == "Fn::GetAtt":
                yield part[0] if isinstance(part, list) else part.split(".")[0]
            elif name == "Fn::Sub":
                text, variables = part if isinstance(part, list) else (part, {})
                ids = re.findall(r"\$\{([A-Za-z0-9]+)[.}]", text)
                yield from (id for id in ids if id not in variables)
                yield from named(variables)
            else:
                yield from named(part)


class Parts:
    """The resources and outputs of a stack. What each of them names depends on the conditions in it alone,
    so it is found once for each combination of those."""

    def __init__(self, stack):
        self.stack = stack
        self.parts = stack.template["Resources"] | stack.template["Outputs"]
        self.within = {name: [c for c in CONDITIONS if f'"{c}"' in json.dumps(p)] for name, p in self.parts.items()}
        self.found = {}

    def named_by(self, name, held):
        key = (name, *(held[condition] for condition in self.within[name]))
        if key not in self.found:
            part = self.parts[name]
            needs = part.get("DependsOn", [])
            body = self.stack.resolve({k: v for k, v in part.items() if k not in ("Condition", "DependsOn")})
            self.found[key] = {needs} if isinstance(needs, str) else set(needs)
            self.found[key].update(named(body))
        return self.found[key]

    def check(self, settings):
        self.stack.values |= settings
        held = {condition: self.stack.holds(condition) for condition in CONDITIONS}
        there = [n for n, part in self.parts.items() if "Condition" not in part or held[part["Condition"]]]
        resources = [name for name in there if name in self.stack.template["Resources"]]
        known = {*resources, *self.stack.values}
        for name in there:
            missing = self.named_by(name, held) - known
            expect(f"what {name} names and is not there with {settings}", sorted(missing), [])
        return len(resources)


def look_at(stack):
    expect("the conditions", sorted(CONDITIONS), sorted(stack.template["Conditions"]))
    expect("a condition of conditions", "Condition" in json.dumps(list(stack.template["Conditions"].values())), False)
    for condition, (parameter, on, off) in SETTINGS.items():
        for value, holds in ((on, True), (off, False)):
            stack.values[parameter] = value
            expect(f"{condition} with {parameter}={value}", stack.holds(condition), holds)
    for two, conditions in OF_TWO:
        for both in itertools.product(*two.values()):
            stack.values |= dict(zip(two, both))
            for condition, holds_for in conditions.items():
                expect(f"{condition} with {both}", stack.holds(condition), both in holds_for)
    parameters = [*(parameter for parameter, *_ in SETTINGS.values()), *(name for two, _ in OF_TWO for name in two)]
    values_of_each = [*(values for _, *values in SETTINGS.values()), *(values for two, _ in OF_TWO for values in two.values())]
    combinations = list(itertools.product(*values_of_each))
    parts = Parts(stack)
    sizes = {parts.check(dict(zip(parameters, values))) for values in combinations}
    print(f"  whatever is named is there, in {len(combinations)} combinations of {len(CONDITIONS)} conditions ({min(sizes)} to {max(sizes)} resources)")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(stack.template, file)
        file.flush()
        lint = pathlib.Path(sys.executable).parent / "cfn-lint"
        # W2001: a parameter that SAM puts in is no longer used. W1033, W1035: an empty list of keys, which
        # is never split, since each of its uses has a condition.
        lint = [lint, "--ignore-checks", "W2001", "W1033", "W1035", "--regions", *REGIONS]
        subprocess.run([*lint, "--", file.name], check=True)
    print(f"  cfn-lint finds nothing in the translated template, for {', '.join(REGIONS)}")


def main():
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "template.yaml"
    parameter, values = BY_SAM
    for value in values:
        print(f"  {parameter}={value}:")
        look_at(Stack(path, **{parameter: value}))


if __name__ == "__main__":
    main()

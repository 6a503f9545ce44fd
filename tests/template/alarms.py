#!/usr/bin/env python3
"""Tries each alarm of the translated template on made-up data: when it must fire, and when not.

    tests/template/alarms.py [TEMPLATE]

Run with a Python that has aws-sam-translator and PyYAML (aws-sam-cli brings both). A series has
the samples of each period, oldest first; an empty list is a period without data. A period is judged
as CloudWatch's user guide says ("Alarm evaluation", "Configuring how alarms treat missing data"),
but for one thing: CloudWatch looks back further for data when some is missing."""

import functools
import math
import pathlib
import sys

from stack import ROOT, Stack, expect

TOPIC = "arn:aws:sns:eu-central-1:123456789012:alarms"
NONE = []

# By alarm: what happens, the parameters, the samples by metric (or by metric and outcome), and the
# number of times that the alarm fires.
CASES = {
    "StalledDeletionsAlarm": [
        ("each run of an hour finds one", {}, {"StalledDeletions": [[1, 1, 2, 1]]}, 1),
        ("one run of an hour finds some, and resumes them", {}, {"StalledDeletions": [[0, 3, 0, 0]]}, 0),
        ("they are resumed an hour later", {}, {"StalledDeletions": [[1, 1, 1, 1], [1, 0, 0, 0], NONE]}, 1),
        ("failed runs say nothing", {}, {"StalledDeletions": [[0, 0], NONE, NONE]}, 0),
    ],
    "MassDeletionGuardedAlarm": [
        ("a run is guarded", {}, {"MassDeletionGuarded": [NONE, [1], NONE]}, 1),
        ("runs delete as usual", {}, {"MassDeletionGuarded": [NONE] * 12}, 0),
    ],
    "CleanupMissedAlarm": [
        ("no run for an hour", {}, {"Invocations": [[1] * 4, NONE, [1] * 4]}, 1),
        ("a run every 15 minutes", {}, {"Invocations": [[1] * 4] * 24}, 0),
        ("a run each night", {"CleanupExpectedWithinSeconds": "86400"}, {"Invocations": [[1]] * 14}, 0),
        ("a night without a run", {"CleanupExpectedWithinSeconds": "86400"}, {"Invocations": [[1], NONE, [1]]}, 1),
    ],
    "FailedCleanupsAlarm": [
        ("a message stays for 14 days", {}, {"NumberOfMessagesSent": [[1]] + [NONE] * 14 * 288}, 1),
        ("a second one arrives while the first is there", {}, {"NumberOfMessagesSent": [[1], NONE, NONE, [1], NONE]}, 2),
        ("nothing fails", {}, {"NumberOfMessagesSent": [[0]] * 288}, 0),
    ],
    "UndeliveredCleanupsAlarm": [
        ("a message stays for 14 days", {}, {"NumberOfMessagesSent": [[1]] + [NONE] * 14 * 288}, 1),
        ("everything is delivered", {}, {"NumberOfMessagesSent": [NONE] * 288}, 0),
    ],
    "CleanupErrorsAlarm": [
        ("a run fails", {}, {"Errors": [[0], [1], [0]]}, 1),
        ("every run succeeds", {}, {"Errors": [[0], NONE, NONE, [0]]}, 0),
    ],
    "DrainErrorsAlarm": [
        ("slices fail again and again", {}, {"Errors": [[0, 1, 1], [1, 1, 1], [0]]}, 1),
        ("a slice fails and is retried", {}, {"Errors": [[0, 1, 0], NONE, [0]]}, 0),
    ],
    "ApiErrorsAlarm": [
        ("a request is not answered", {}, {"Errors": [[0, 1, 0], [0]]}, 1),
        ("every request is answered", {}, {"Errors": [[0] * 500] * 12}, 0),
    ],
    "ServerErrorsAlarm": [
        ("callers get 5xx", {}, {"5xx": [[1] * 5, [0]]}, 1),
        ("one answer of a night is 503", {}, {"5xx": [[0] * 50, [1], [0]]}, 0),
    ],
    "ExecutionsFailedAlarm": [
        ("an execution fails", {}, {"ExecutionsFailed": [[1], NONE]}, 1),
        ("executions of a large deletion succeed", {}, {"ExecutionsFailed": [[0]] * 36}, 0),
    ],
    "HandOffsFailedAlarm": [
        ("a hand-off fails", {}, {"HandOffsFailed": [NONE, [1], NONE]}, 1),
        ("every hand-off works", {}, {"HandOffsFailed": [NONE] * 12}, 0),
    ],
    "CleanupHandOffsFailedAlarm": [
        ("the hand-offs of a run fail", {}, {"HandOffsFailed": [[3], NONE]}, 1),
        ("every hand-off works", {}, {"HandOffsFailed": [NONE] * 12}, 0),
    ],
    "ArchiveFailuresAlarm": [
        ("a slice cannot archive", {}, {"ArchiveFailures": [NONE, [1], NONE]}, 1),
        ("every slice archives", {}, {"ArchiveFailures": [NONE] * 12}, 0),
    ],
    "EventsRefusedAlarm": [
        ("a clean-up is refused an event", {}, {"EventsRefused": [NONE, [1], NONE]}, 1),
        ("every event is taken", {}, {"EventsRefused": [NONE] * 12}, 0),
    ],
    "UnsentEventsAlarm": [
        ("each run of an hour leaves one", {}, {"UnsentEvents": [[1, 1, 2, 1]]}, 1),
        ("the bus is throttled for a while", {}, {"UnsentEvents": [[0, 3, 0, 0]]}, 0),
        ("they are sent an hour later", {}, {"UnsentEvents": [[1, 1, 1, 1], [1, 0, 0, 0], NONE]}, 1),
    ],
    "ReceiptsNotSignedAlarm": [
        ("the key is disabled", {}, {"ReceiptsNotSigned": [NONE, [1], NONE]}, 1),
        ("every receipt is signed", {}, {"ReceiptsNotSigned": [NONE] * 12}, 0),
    ],
    "RateLimitFailedOpenAlarm": [
        ("no use is counted", {}, {"RateLimitFailedOpen": [[1] * 40, [1] * 40]}, 1),
        ("one use is not counted", {}, {"RateLimitFailedOpen": [[1], NONE, NONE]}, 0),
    ],
    "IndexThrottledAlarm": [
        ("the index is hot", {}, {"WriteThrottleEvents": [[4, 9], [20]]}, 1),
        ("a few writes in a burst", {}, {"WriteThrottleEvents": [[3], NONE]}, 0),
    ],
    "TableThrottledAlarm": [
        ("the account's limit", {}, {"WriteAccountLimitThrottleEvents": [[200], [150], [300], NONE]}, 1),
        ("the table's own maximum", {}, {"WriteMaxOnDemandThroughputThrottleEvents": [[100]] * 4}, 1),
        ("too little is provisioned", {}, {"WriteProvisionedThroughputThrottleEvents": [[900]] * 4}, 1),
        ("together", {}, {"WriteAccountLimitThrottleEvents": [[60]] * 3, "WriteMaxOnDemandThroughputThrottleEvents": [[60]] * 3}, 1),
        ("ten million items are deleted from a hot partition", {}, {"WriteThrottleEvents": [[9_000]] * 34, "WriteKeyRangeThroughputThrottleEvents": [[9_000]] * 34}, 0),
        ("five minutes of it", {}, {"WriteAccountLimitThrottleEvents": [[900], NONE, NONE]}, 0),
    ],
    "ApiThrottledAlarm": [
        ("requests are refused", {}, {"Throttles": [[0], [4, 8], [0]]}, 1),
        ("one is", {}, {"Throttles": [[1], [0]]}, 0),
    ],
    "DrainThrottledAlarm": [
        ("deletions wait for half an hour", {}, {"Throttles": [[2]] * 7 + [NONE]}, 1),
        ("retention begins more than are reserved, which then take turns", {}, {"Throttles": [[3], [2], [1], NONE, NONE]}, 0),
    ],
    "SlowAnswersAlarm": [
        ("answers take as long as the gateway waits", {}, {"Latency": [[40, 29_500]] * 3 + [NONE]}, 1),
        ("large deletions answer 202 after 20 seconds", {}, {"Latency": [[40, 20_200, 20_100]] * 12}, 0),
        ("one slow answer in a thousand", {}, {"Latency": [[40] * 999 + [29_800]] * 12}, 0),
    ],
    "RefusedCallersAlarm": [
        ("somebody guesses keys", {}, {("Requests", "invalid_api_key"): [[1] * 250, [1] * 400, NONE]}, 1),
        ("somebody guesses ids and keys", {}, {("Requests", "forbidden"): [[1] * 200], ("Requests", "invalid_api_key_format"): [[1] * 100]}, 1),
        ("a client has no key for a moment", {}, {("Requests", "missing_api_key"): [[1] * 20, NONE]}, 0),
        ("many requests succeed, or find nothing", {}, {("Requests", "deleted"): [[1] * 5_000], ("Requests", "not_found"): [[1] * 5_000]}, 0),
    ],
}


def statistic(name, samples):
    if not samples:
        return None
    if name.startswith("p"):
        return sorted(samples)[math.ceil(float(name[1:]) / 100 * len(samples)) - 1]
    return {"Sum": sum, "Minimum": min, "Maximum": max}[name](samples)


def values(alarm, series):
    """What the alarm compares in each period; None for missing data."""

    def of(metric, stat):
        outcome = [d["Value"] for d in metric["Dimensions"] if d["Name"] == "Outcome"]
        key = (metric["MetricName"], *outcome) if outcome else metric["MetricName"]
        samples = series.get(key, [])
        return [statistic(stat, at) for at in samples + [NONE] * (periods - len(samples))]

    periods = max(map(len, series.values()))
    if "Metrics" not in alarm:
        return of(alarm, alarm.get("Statistic") or alarm["ExtendedStatistic"])
    [expression] = [m["Expression"] for m in alarm["Metrics"] if m.get("ReturnData", True)]
    inputs = {m["Id"]: m["MetricStat"] for m in alarm["Metrics"] if "MetricStat" in m}
    expect("periods", {stat["Period"] for stat in inputs.values()}, {300})
    inputs = {name: of(stat["Metric"], stat["Stat"]) for name, stat in inputs.items()}
    known = {"__builtins__": {}, "FILL": lambda value, instead: instead if value is None else value}
    return [
        eval(expression, known, {name: at[period] for name, at in inputs.items()})
        for period in range(periods)
    ]


def states(alarm, series):
    """The alarm's state after each period: whether it is in alarm."""
    compare = {
        "GreaterThanOrEqualToThreshold": lambda value: value >= alarm["Threshold"],
        "LessThanThreshold": lambda value: value < alarm["Threshold"],
    }[alarm["ComparisonOperator"]]
    missing = alarm["TreatMissingData"]
    breaches = [(missing == "breaching") if v is None else compare(v) for v in values(alarm, series)]
    has_data = [v is not None for v in values(alarm, series)]
    periods, state = alarm["EvaluationPeriods"], False
    for at in range(len(breaches)):
        window = slice(max(0, at + 1 - periods), at + 1)
        if missing == "ignore" and not any(has_data[window]):
            yield state
            continue
        state = at + 1 >= periods and all(breaches[window])
        yield state


def fired(alarm, series):
    after = list(states(alarm, series))
    return sum(now and not before for before, now in zip([False, *after], after))


def main():
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "template.yaml"

    @functools.cache
    def stack_with(**parameters):
        return Stack(path, AlarmTopicArn=TOPIC, **parameters)

    stack = stack_with()
    resources = stack.template["Resources"].items()
    alarms = sorted(name for name, r in resources if r["Type"] == "AWS::CloudWatch::Alarm")
    expect("the alarms that are tried", sorted(CASES), alarms)
    for name, cases in CASES.items():
        alarm = stack.resource(name)
        for actions in ("AlarmActions", "OKActions"):
            expect(f"{actions} of {name}", alarm[actions], [TOPIC])
        times = [fires for *_, fires in cases]
        expect(f"{name} is tried both ways", (min(times) == 0, max(times) > 0), (True, True))
        for what, parameters, series, fires in cases:
            alarm = stack_with(**parameters).resource(name)
            expect(f"{name} when {what}: times that it fires", fired(alarm, series), fires)
    queue = stack.resource("FailedCleanupsAlarm")
    _, series, _ = CASES["FailedCleanupsAlarm"][0][1:]
    expect("an alarm of a queue ends", list(states(queue, series))[-1], False)
    quiet = stack_with(CleanupScheduleState="DISABLED")
    condition = quiet.template["Resources"]["CleanupMissedAlarm"]["Condition"]
    expect("a schedule that is off is missed", quiet.holds(condition), False)
    for name in ("EventsRefusedAlarm", "UnsentEventsAlarm"):
        condition = stack.template["Resources"][name]["Condition"]
        there = [stack_with(EventBusName=bus).holds(condition) for bus in ("", "bus")]
        expect(f"{name} is there without and with a bus", there, [False, True])
    condition = stack.template["Resources"]["ReceiptsNotSignedAlarm"]["Condition"]
    there = [stack_with(MakeReceiptKey=made).holds(condition) for made in ("DISABLED", "ENABLED")]
    expect("ReceiptsNotSignedAlarm is there without and with a key", there, [False, True])
    print(f"  {len(alarms)} alarms fire when they must and not when they must not, in {sum(map(len, CASES.values()))} cases")


if __name__ == "__main__":
    main()

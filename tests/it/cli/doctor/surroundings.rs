//! The state machine, the settings of `api`, and the schedule.

use serde_json::{Value, json};

use super::{Report, healthy};
use crate::harness::{World, front, step_functions::ARN};

/// The report with this service's stand-in, which answers everything with this.
async fn with(world: &World, variable: &str, status: u16, answer: Value, more: &[&str]) -> Report {
    let asks_for = match variable {
        "AWS_ENDPOINT_URL_LAMBDA" => "GET /2015-03-31/functions/stack-Api_1/configuration",
        "AWS_ENDPOINT_URL_EVENTBRIDGE" if more.contains(&"--event-bus-name") => {
            "POST / AWSEvents.DescribeEventBus events"
        }
        "AWS_ENDPOINT_URL_EVENTBRIDGE" => "POST / AWSEvents.DescribeRule Rule",
        _ => "POST / AWSStepFunctions.DescribeStateMachine",
    };
    let url = front::stand_in(move |asked, headers, body| {
        let operation = headers
            .get("x-amz-target")
            .map(|target| target.to_str().unwrap());
        let name = body["Name"].as_str();
        let words = [Some(asked), operation, name].into_iter().flatten();
        assert_eq!(words.collect::<Vec<_>>().join(" "), asks_for);
        assert!(
            headers["authorization"]
                .to_str()
                .unwrap()
                .starts_with("AWS4-HMAC-SHA256 ")
        );
        assert!(headers.contains_key("x-amz-date"));
        front::Answer::json(status, &answer)
    })
    .await;
    let endpoint = world.proxy.url();
    let table = [
        "--table-name",
        world.table.name(),
        "--endpoint-url",
        &endpoint,
    ];
    Report::with(&[&table, more].concat(), &[(variable, &url)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_machine_has_to_be_standard_and_active() {
    let world = healthy().await;
    let machine = |status: &str, kind: &str| {
        json!({"stateMachineArn": ARN, "name": "Deletions", "status": status, "type": kind,
            "definition": "{}", "roleArn": "arn:aws:iam::1:role/x", "creationDate": 1.0})
    };
    let error = |kind: &str| json!({"__type": kind, "message": "made by the stand-in"});
    for (status, answer, result, seen) in [
        (
            200,
            machine("ACTIVE", "STANDARD"),
            "ok",
            "Deletions, STANDARD, ACTIVE",
        ),
        (200, machine("ACTIVE", "EXPRESS"), "failed", "EXPRESS"),
        (200, machine("DELETING", "STANDARD"), "failed", "DELETING"),
        (
            400,
            error("StateMachineDoesNotExist"),
            "failed",
            "there is no",
        ),
        (
            400,
            error("AccessDeniedException"),
            "skipped",
            "AccessDeniedException",
        ),
    ] {
        let more = ["--state-machine-arn", ARN];
        let report = with(&world, "AWS_ENDPOINT_URL_SFN", status, answer, &more).await;
        report.assert("state-machine", result, seen);
    }
    let elsewhere = ARN.replace("us-east-1", "eu-west-1");
    let more = ["--state-machine-arn", elsewhere.as_str()];
    let report = with(&world, "AWS_ENDPOINT_URL_SFN", 200, json!({}), &more).await;
    report.assert("state-machine", "failed", "is in eu-west-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_without_its_state_machine_is_found() {
    let world = healthy().await;
    let table = world.table.name().to_owned();
    let function = |table: &str, arn: &str| {
        json!({"FunctionName": "api", "Environment": {"Variables": {
            "TABLE_NAME": table, "STATE_MACHINE_ARN": arn,
        }}})
    };
    let denied = json!({"__type": "AccessDeniedException", "Message": "made by the stand-in"});
    let missing = json!({"__type": "ResourceNotFoundException", "Message": "made by the stand-in"});
    for (status, answer, result, seen) in [
        (200, function(&table, ARN), "ok", ARN),
        (
            200,
            function(&table, ""),
            "failed",
            "STATE_MACHINE_ARN is not set",
        ),
        (200, function("other", ARN), "failed", "TABLE_NAME is other"),
        (403, denied, "skipped", "AccessDeniedException"),
        (404, missing, "failed", "there is no stack-Api_1"),
    ] {
        let more = ["--api-function", "stack-Api_1"];
        let report = with(&world, "AWS_ENDPOINT_URL_LAMBDA", status, answer, &more).await;
        report.assert("function-settings", result, seen);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_bus_that_is_missing_is_found() {
    let world = healthy().await;
    let arn = "arn:aws:events:us-east-1:123456789012:event-bus/events";
    let bus = json!({"Name": "events", "Arn": arn});
    let denied = json!({"__type": "AccessDeniedException", "message": "made by the stand-in"});
    let missing = json!({"__type": "ResourceNotFoundException", "message": "made by the stand-in"});
    for (status, answer, result, seen) in [
        (200, bus, "ok", arn),
        (400, denied, "skipped", "AccessDeniedException"),
        (400, missing, "failed", "there is no events"),
    ] {
        let more = ["--event-bus-name", "events"];
        let variable = "AWS_ENDPOINT_URL_EVENTBRIDGE";
        let report = with(&world, variable, status, answer, &more).await;
        report.assert("event-bus", result, seen);
    }
    let report = super::report(&world, &[]).await;
    report.assert("event-bus", "skipped", "no --event-bus-name");
    let other = json!({"FunctionName": "api", "Environment": {"Variables": {
        "TABLE_NAME": world.table.name(), "STATE_MACHINE_ARN": ARN, "EVENT_BUS_NAME": "",
    }}});
    let more = [
        "--api-function",
        "stack-Api_1",
        "--event-bus-name",
        "events",
    ];
    let report = with(&world, "AWS_ENDPOINT_URL_LAMBDA", 200, other, &more).await;
    report.assert(
        "function-settings",
        "failed",
        "EVENT_BUS_NAME is '', not events",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_is_disabled_is_found() {
    let world = healthy().await;
    let rule = |state: &str| json!({"Name": "Rule", "State": state, "ScheduleExpression": "rate(15 minutes)"});
    let denied = json!({"__type": "AccessDeniedException", "message": "made by the stand-in"});
    for (status, answer, result, seen) in [
        (200, rule("ENABLED"), "ok", "rate(15 minutes), ENABLED"),
        (200, rule("DISABLED"), "failed", "DISABLED"),
        (400, denied, "skipped", "AccessDeniedException"),
    ] {
        let more = ["--cleanup-rule", "Rule"];
        let report = with(
            &world,
            "AWS_ENDPOINT_URL_EVENTBRIDGE",
            status,
            answer,
            &more,
        )
        .await;
        report.assert("schedule", result, seen);
    }
}

//! The metrics that the functions write, and what watches them.

use std::collections::BTreeSet;

use campaigns::{
    cli::local_s3::BUCKET,
    config::{ArchiveMode, ArchiveSettings},
    metrics as named,
};
use serde_json::{Value, json};

use super::template::{drive, put, put_stalled, template};
use crate::harness::{
    ACCOUNT, World,
    bus::{self, BUS},
    delete_event, event,
    function::{Binary, log_lines, metrics},
    kms::{KEYS, Kms},
    proxy::{Action, access_denied, internal_error},
    step_functions::{ARN, Start, StepFunctions},
};

const OPERATING: &str = include_str!("../../../docs/operating.md");

fn archive_settings() -> ArchiveSettings {
    ArchiveSettings {
        bucket: BUCKET.to_owned(),
        prefix: "deletions/".to_owned(),
        mode: ArchiveMode::Default,
        days: None,
    }
}

/// What a built `drain` prints whose slice cannot archive; the next one can.
async fn archiving() -> String {
    let mut archiving = World::new().await;
    archiving.settings.archive = Some(archive_settings());
    let payload = put_stalled(&archiving, "campaign_1").await;
    let s3 = archiving.s3.url();
    let s3 = [("AWS_ENDPOINT_URL_S3", s3.as_str())];
    archiving.s3.policy(|_| access_denied());
    let slice = vec![payload];
    let (_, printed, _) = drive(Binary::Drain, &archiving, slice.clone(), &s3).await;
    assert!(printed.contains("AccessDenied (403)"), "{printed}");
    assert!(archiving.left("campaign_1").await.len() == 31);
    archiving.s3.pass();
    drive(Binary::Drain, &archiving, slice, &s3).await;
    assert!(archiving.left("campaign_1").await.is_empty());
    assert_eq!(archiving.s3.keys("").await.len(), 3);
    printed
}

/// What a built `api` and `cleanup` print while the bus takes no event, each with its reason;
/// and what the next clean-up prints, which sends them.
async fn announcing() -> String {
    let world = World::new().await;
    let url = world.bus.url();
    let more = [
        ("EVENT_BUS_NAME", BUS),
        ("AWS_ENDPOINT_URL_EVENTBRIDGE", url.as_str()),
    ];
    let mut all = String::new();
    for (id, fault, metric, level, why) in [
        (
            "campaign_1",
            bus::error("AccessDeniedException"),
            "EventsRefused",
            "ERROR",
            "AccessDeniedException (400): made by the fault layer",
        ),
        (
            "campaign_2",
            Action::Hang,
            "EventsUnanswered",
            "WARN",
            "no answer before the deadline",
        ),
    ] {
        put(&world, id, "paused").await;
        world.bus.policy(move |call| match call.operation {
            "PutEvents" => fault.clone(),
            _ => Action::Pass,
        });
        let events = vec![delete_event(id)];
        let (_, printed, _) = drive(Binary::Api, &world, events, &more).await;
        let said = metrics(&printed);
        assert!(said.contains(&(metric.to_owned(), json!(1))), "{printed}");
        let lines = log_lines(&printed);
        let line = lines.iter().find(|line| line["level"] == level).unwrap();
        let message = line["message"].as_str().unwrap();
        assert!(message.contains("could not send the event"), "{message}");
        assert!(message.contains(why), "{message}");
        assert!(line["deletion_id"].is_string());
        all += &printed;
    }
    world.bus.settle().await;
    world.bus.policy(|_| bus::error("AccessDeniedException"));
    for unsent in [2.0, 0.0] {
        let schedule = vec![event("schedule")];
        let (_, printed, _) = drive(Binary::Cleanup, &world, schedule, &more).await;
        let said = metrics(&printed);
        let expected = ("UnsentEvents".to_owned(), json!([unsent]));
        assert!(said.contains(&expected), "{printed}");
        all += &printed;
        world.bus.pass();
    }
    assert_eq!(world.bus.ids().len(), 2);
    all
}

/// What a built `api` prints whose key is disabled.
async fn signing() -> String {
    let world = World::new().await;
    let kms = Kms::start().await;
    let url = kms.url();
    let more = [
        ("RECEIPT_KEY_IDS", KEYS[0]),
        ("AWS_ENDPOINT_URL_KMS", url.as_str()),
    ];
    put(&world, "campaign_1", "paused").await;
    let id = world.delete("campaign_1").await.deletion_id();
    kms.policy(|_| bus::error("DisabledException"));
    let mut receipt = event("get-deletion");
    receipt["rawPath"] = format!("/v1/deletions/{id}/receipt").into();
    receipt["pathParameters"]["deletionId"] = id.into();
    let (_, printed, _) = drive(Binary::Api, &world, vec![receipt], &more).await;
    let said = metrics(&printed);
    assert!(
        said.contains(&("ReceiptsNotSigned".to_owned(), json!(1))),
        "{printed}"
    );
    assert!(printed.contains("DisabledException (400)"), "{printed}");
    printed
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_emitted_and_watched() {
    // What the functions emit, once in each way.
    let mut emitted = BTreeSet::new();
    let mut note = |printed: &str| {
        for (name, _) in metrics(printed) {
            emitted.insert(name.split(' ').next().unwrap().to_owned());
        }
    };
    let world = World::new().await;
    put(&world, "campaign_1", "paused").await;
    put(&world, "campaign_2", "paused").await;
    world.proxy.policy(|call| match (call.operation, call.nth) {
        // A batch is unprocessed, and the count of the second use fails.
        ("BatchWriteItem", 0) => Action::Unprocessed(3),
        ("UpdateItem", _)
            if call.body["UpdateExpression"] == "ADD #counter :one" && call.nth > 0 =>
        {
            internal_error()
        }
        _ => Action::Pass,
    });
    let refusing = StepFunctions::answering(&[Start::Refused]).await;
    let mut handed_on = delete_event("campaign_2");
    handed_on["headers"]["prefer"] = "respond-async".into();
    let events = vec![delete_event("campaign_1"), handed_on, event("active")];
    let state_machine = [
        ("STATE_MACHINE_ARN", ARN),
        ("AWS_ENDPOINT_URL_SFN", refusing.url.as_str()),
    ];
    let (_, printed, _) = drive(Binary::Api, &world, events, &state_machine).await;
    for (name, value) in [
        ("Requests deleted", 1),
        ("Requests remaining", 1),
        ("Requests not_found", 1),
        ("DeletionsFinished", 1),
        ("ItemsDeleted", 30),
        ("WriteUnitsConsumed", 30),
        ("DeletesSentAgain", 3),
        ("HandOffsFailed", 1),
        ("RateLimitFailedOpen", 1),
    ] {
        assert!(
            metrics(&printed).contains(&(name.to_owned(), json!(value))),
            "{name}: {printed}"
        );
    }
    note(&printed);
    world.proxy.pass();
    for number in 0..20 {
        put(&world, &format!("old_{number}"), "completed").await;
    }
    let retention = [("RETENTION_DAYS", "30")];
    let report = vec![event("cleanup-report")];
    note(&drive(Binary::Cleanup, &world, report, &retention).await.1);
    let payload =
        json!({"accountId": ACCOUNT, "deletionId": world.records().await[0]["deletionId"]});
    let (_, printed, _) = drive(Binary::Drain, &world, vec![payload], &[]).await;
    note(&printed);

    note(&(archiving().await + &announcing().await + &signing().await));

    // What the alarms and the dashboard watch.
    let template = template();
    let resources = template["Resources"].as_object().unwrap();
    let mut watched = BTreeSet::new();
    for alarm in resources
        .values()
        .filter(|r| r["Type"] == "AWS::CloudWatch::Alarm")
    {
        let properties = &alarm["Properties"];
        if properties["Namespace"] == named::NAMESPACE {
            assert_eq!(properties["Dimensions"][0]["Name"], named::FUNCTION_NAME);
            watched.insert(properties["MetricName"].as_str().unwrap().to_owned());
        }
    }
    let body = resources["Dashboard"]["Properties"]["DashboardBody"]["!Sub"][0]
        .as_str()
        .unwrap();
    let dashboard: Value = serde_json::from_str(body).unwrap();
    for widget in dashboard["widgets"].as_array().unwrap() {
        for shown in widget["properties"]["metrics"].as_array().unwrap() {
            match &shown[0] {
                Value::String(namespace) if namespace == named::NAMESPACE => {
                    assert_eq!(shown[2], named::FUNCTION_NAME);
                    watched.insert(shown[1].as_str().unwrap().to_owned());
                }
                Value::Object(computed) => {
                    let expression = computed["expression"].as_str().unwrap();
                    if let Some((_, name)) = expression.split_once("MetricName=\"") {
                        watched.insert(name.split('"').next().unwrap().to_owned());
                    }
                }
                _ => {}
            }
        }
    }
    let every: BTreeSet<String> = named::ALL.map(ToOwned::to_owned).into();
    assert_eq!(emitted, every);
    assert_eq!(watched, every);
    for name in named::ALL {
        assert!(
            OPERATING.contains(&format!("`{name}`")),
            "docs/operating.md does not describe {name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_with_nothing_to_do_writes_one_metric() {
    let world = World::new().await;
    let schedule = vec![event("schedule")];
    let (_, printed, _) = drive(Binary::Cleanup, &world, schedule, &[]).await;
    let written = metrics(&printed);
    assert_eq!(written, [("StalledDeletions".to_owned(), json!([0.0]))]);
}

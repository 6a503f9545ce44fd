//! Region, credentials, endpoint, clock, and the table's existence.

use campaigns::clock::now_seconds;
use hyper::StatusCode;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::{Report, healthy, report};
use crate::harness::{front, proxy::error};

/// The environment of a machine that knows nothing of AWS.
const NOTHING: [(&str, &str); 7] = [
    ("HOME", "/nonexistent"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_PROFILE", ""),
    ("AWS_REGION", ""),
    ("AWS_DEFAULT_REGION", ""),
    ("AWS_ACCESS_KEY_ID", ""),
    ("AWS_SECRET_ACCESS_KEY", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_not_set_is_named() {
    let report = Report::with(&[], &NOTHING).await;
    report.assert("region", "failed", "AWS_REGION is not set");
    report.assert("table", "skipped", "no request was sent");
    report.assert("keys", "skipped", "AWS_REGION is not set");
    report.assert("running-deletions", "skipped", "AWS_REGION is not set");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_missing_or_refused_are_named() {
    let variables = [&NOTHING[..], &[("AWS_REGION", "eu-central-1")]].concat();
    let missing = Report::with(&[], &variables).await;
    missing.assert("credentials", "failed", "no AWS credentials");
    let world = healthy().await;
    world
        .proxy
        .policy(|_| error(StatusCode::BAD_REQUEST, "UnrecognizedClientException"));
    let refused = report(&world, &[]).await;
    refused.assert("credentials", "failed", "UnrecognizedClientException");
    refused.assert("endpoint", "ok", "answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_does_not_answer_is_named() {
    let nobody = Report::of(&["--endpoint-url", "http://127.0.0.1:9"]).await;
    nobody.assert("endpoint", "failed", "nothing is listening");
    let broken = front::stand_in(|_, _, _| front::Answer::json(500, &serde_json::json!({}))).await;
    let broken = Report::once(&["--endpoint-url", &broken]).await;
    broken.assert("endpoint", "failed", "DescribeTable");
    broken.assert("credentials", "skipped", "no answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_an_hour_off_fails_and_a_minute_is_a_warning() {
    let world = healthy().await;
    for (seconds, status, seen) in [
        (3_600, "failed", "s behind the service's"),
        (-3_600, "failed", "s ahead of the service's"),
        (60, "warning", "s behind the service's"),
    ] {
        let date = OffsetDateTime::from_unix_timestamp(now_seconds() + seconds).unwrap();
        let date = date.format(&Rfc2822).unwrap().replace("+0000", "GMT");
        world.proxy.date(&date);
        let report = report(&world, &[]).await;
        report.assert("clock", status, seen);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_in_another_region_is_not_found_there() {
    let world = healthy().await;
    let url = world.proxy.url();
    let report = Report::of(&["--table-name", "elsewhere", "--endpoint-url", &url]).await;
    report.assert("table", "failed", "no table elsewhere in Region us-east-1");
    report.assert("keys", "skipped", "there is no such table");
    report.assert("running-deletions", "skipped", "there is no such table");
    report.assert(
        "point-in-time-recovery",
        "skipped",
        "there is no such table",
    );
    let live = ["--live", "--api-url", "http://127.0.0.1:9"];
    let absent = ["--table-name", "elsewhere", "--endpoint-url", &url];
    let report = Report::of(&[&absent[..], &live].concat()).await;
    report.assert("dry-run", "skipped", "");
    report.assert_without("removal");
}

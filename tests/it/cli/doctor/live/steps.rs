//! The steps of a run: each fails where it should, and leaves nothing.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicUsize, Ordering},
};

use hyper::StatusCode;
use serde_json::json;

use super::{
    super::{Report, gateway, healthy},
    Served,
};
use crate::harness::{
    front::{self, Answer},
    proxy::{Action, error},
};

/// The API of this world hands nothing off, as a function without its state machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_nobody_continues_is_found() {
    let mut world = healthy().await;
    world.rate_limit = NonZeroU32::new(1_000);
    let api = gateway::serve(&world).await;
    let before = world.dump().await;
    let url = world.proxy.url();
    let table = ["--table-name", world.table.name(), "--endpoint-url", &url];
    let live = ["--api-url", &api, "--live"];
    let report = Report::once(&[&table[..], &live].concat()).await;
    report.assert("progress", "ok", "");
    report.assert(
        "asynchronous-delete",
        "failed",
        "nobody continues the deletion",
    );
    let remedy = report.check("asynchronous-delete")["remedy"].to_string();
    assert!(remedy.contains("has no STATE_MACHINE_ARN"), "{remedy}");
    report.assert("removal", "ok", "");
    assert_eq!(world.dump().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_is_not_signed_is_found() {
    let served = Served::start().await;
    let api = served.serve.after("The API is at ");
    let api = api.trim_end_matches(',').to_owned();
    let url = served.world.proxy.url();
    for (status, error, expected, seen) in [
        (404, "not_found", "skipped", "receipts are not enabled"),
        (503, "unavailable", "failed", "503 unavailable"),
        (200, "none", "failed", "200 none"),
    ] {
        let answering = front::before(api.clone(), str::to_owned, move |asked, answer| {
            if asked.ends_with("/receipt") {
                *answer = Answer::json(status, &serde_json::json!({"error": error}));
            }
        });
        let answering = answering.await;
        let table = ["--table-name", "campaigns", "--endpoint-url", &url];
        let live = ["--api-url", &answering, "--live"];
        let report = Report::once(&[&table[..], &live].concat()).await;
        report.assert("asynchronous-delete", "ok", "");
        report.assert("receipt", expected, seen);
        report.assert("removal", "ok", "");
        served.assert_as_before(error).await;
    }
}

/// A step that fails takes everything away, and skips the steps after it.
#[tokio::test(flavor = "multi_thread")]
async fn each_step_can_fail_and_leaves_nothing() {
    type Change = fn(&str, &mut Answer);
    const FAULTS: [(&str, &str, Change); 6] = [
        ("dry-run", "no ETag", |_, answer| {
            answer.headers.remove("etag");
        }),
        ("if-match", "expected: 412", |_, answer| {
            if answer.status == 412 {
                *answer = json_answer(500);
            }
        }),
        ("active-campaign", "expected: 409", |_, answer| {
            if answer.status == 409 {
                *answer = json_answer(500);
            }
        }),
        ("delete", "0 of 60 children", |asked, answer| {
            let is_deletion = asked.starts_with("DELETE") && !asked.contains('?');
            if is_deletion && answer.status == 200 {
                *answer = json_answer(200);
            }
        }),
        ("replay", "again: 200", |_, answer| {
            answer.headers.remove("idempotent-replayed");
        }),
        ("progress", "without the deletion", |asked, answer| {
            if asked.starts_with("GET /v1/deletions?") {
                *answer = json_answer(200);
            }
        }),
    ];
    let served = Served::start().await;
    let api = served
        .serve
        .after("The API is at ")
        .trim_end_matches(',')
        .to_owned();
    let url = served.world.proxy.url();
    for (name, seen, change) in FAULTS {
        let front = front::before(api.clone(), str::to_owned, change).await;
        let table = ["--table-name", "campaigns", "--endpoint-url", &url];
        let live = ["--api-url", &front, "--live"];
        let report = Report::once(&[&table[..], &live].concat()).await;
        report.assert(name, "failed", seen);
        report.assert("asynchronous-delete", "skipped", "an earlier step failed");
        report.assert("removal", "ok", "");
        served.assert_as_before(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_has_changed_is_found() {
    let served = Served::start().await;
    let seen = AtomicUsize::new(0);
    served.world.proxy.policy(move |call| {
        let partition = call.body["ExpressionAttributeValues"][":PK"]["S"].as_str();
        let is_neighbour = partition
            .and_then(|partition| partition.strip_suffix(".x"))
            .is_some();
        // The second reading, after the deletion, finds nothing.
        if call.operation == "Query" && is_neighbour && seen.fetch_add(1, Ordering::SeqCst) == 1 {
            let nothing = json!({"Items": [], "Count": 0, "ScannedCount": 0});
            return Action::Answer(StatusCode::OK, nothing);
        }
        Action::Pass
    });
    let report = served.report().await;
    report.assert("neighbours", "failed", "was changed");
    report.assert("removal", "ok", "");
    served.assert_as_before("a changed neighbour").await;
}

fn json_answer(status: u16) -> Answer {
    Answer::json(status, &json!({}))
}

/// Rights that are missing while the campaigns are made.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_begin_leaves_nothing() {
    let served = Served::start().await;
    for operation in ["PutItem", "BatchWriteItem"] {
        served.world.proxy.policy(move |call| {
            let is_put = call.body["Item"]["PK"]["S"] == "DOCTOR" || operation == "BatchWriteItem";
            let is_delete = call.body.to_string().contains("DeleteRequest");
            if call.operation == operation && is_put && !is_delete {
                let denied = "AccessDeniedException";
                return error(StatusCode::BAD_REQUEST, denied);
            }
            Action::Pass
        });
        let report = served.report().await;
        report.assert("live-campaigns", "failed", "AccessDeniedException");
        report.assert("dry-run", "skipped", "");
        if operation == "PutItem" {
            report.assert_without("removal");
        } else {
            report.assert("removal", "ok", "");
        }
        served.assert_as_before(operation).await;
    }
    served.world.proxy.policy(|call| match call.operation {
        "DeleteItem" => error(StatusCode::BAD_REQUEST, "AccessDeniedException"),
        _ => Action::Pass,
    });
    let report = served.report().await;
    report.assert("removal", "failed", "AccessDeniedException");
    served.world.proxy.pass();
    served
        .report()
        .await
        .assert("leftovers", "ok", "1 earlier runs were killed");
    served.assert_as_before("removal that was refused").await;
}

//! What each campaign of a request is answered: what a DELETE of it alone is.

use std::time::{Duration, Instant};

use campaigns::{
    cli::local_s3::BUCKET,
    config::{ArchiveMode, ArchiveSettings},
};
use serde_json::{Value, json};

use super::{claimed_by, post, statuses, verdicts, world};
use crate::harness::{
    ACCOUNT, Reply, World, delete_event,
    function::{log_lines, metrics, run_api},
    proxy::{Action, error, is_claim, throttled},
    s,
    step_functions::{Start, StepFunctions},
    worlds::chats,
};

/// One campaign of each kind, and their ids in an order of their own.
async fn every_kind() -> (World, Vec<String>) {
    let world = World::new().await;
    let status = |status: &str| [("campaignStatus", s(status))];
    world.put_campaign("paused", &[]).await;
    world.put_children("paused", &["CHAT#1".to_owned()]).await;
    world.put_campaign("active", &status("active")).await;
    world
        .put_campaign("foreign", &[("accountId", s("other"))])
        .await;
    let protected = aws_sdk_dynamodb::types::AttributeValue::Bool(true);
    world
        .put_campaign("protected", &[("deletionProtection", protected)])
        .await;
    world.put_campaign("scheduled", &status("scheduled")).await;
    world
        .put_campaign("unreadable", &[("accountId", crate::harness::n(7))])
        .await;
    world.put_campaign("running", &[]).await;
    let mut running = delete_event("running");
    running["headers"]["prefer"] = "respond-async".into();
    assert_eq!(world.send(running).await.status, 202);
    let ids = [
        "active",
        "paused",
        "missing",
        "running",
        "foreign",
        "protected",
        "unreadable",
        "scheduled",
    ];
    (world, ids.map(ToOwned::to_owned).to_vec())
}

/// An answer without what is new in each: the ids of deletions and their times.
fn without_ids(mut body: Value) -> Value {
    let summary = &mut body["deletionSummary"];
    for name in ["deletionId", "startedAt"] {
        if summary[name].is_string() {
            summary[name] = "new".into();
        }
    }
    if body["deletionSummary"].is_null() {
        body.as_object_mut().unwrap().remove("deletionSummary");
    }
    body
}

/// What a DELETE of one campaign alone is answered, in the form of a verdict.
fn as_verdict(id: &str, reply: &Reply) -> Value {
    let mut expected = without_ids(reply.body.clone());
    expected["campaignId"] = id.into();
    expected["status"] = reply.status.into();
    if reply.status == 202 {
        expected["deletionId"] = "new".into();
        expected["location"] = "new".into();
    }
    if let Some(etag) = reply.headers.get("etag") {
        expected["etag"] = etag.as_str().into();
    }
    expected
}

#[tokio::test(flavor = "multi_thread")]
async fn each_campaign_is_answered_as_by_a_delete_of_it_alone() {
    let (world, ids) = every_kind().await;
    let (alone, _) = every_kind().await;
    let reply = world.send(post(&json!({ "campaignIds": ids }))).await;
    let judged = verdicts(&reply, &ids);
    assert_eq!(statuses(&judged), [409, 202, 404, 202, 403, 409, 500, 409]);
    for (id, mut judged) in ids.iter().zip(judged) {
        let mut event = delete_event(id);
        event["headers"]["prefer"] = "respond-async".into();
        let expected = as_verdict(id, &alone.send(event).await);
        if judged["status"] == 202 {
            let deletion_id = judged["deletionId"].clone();
            assert_eq!(judged["deletionSummary"]["deletionId"], deletion_id);
            let location = format!("/v1/deletions/{}", deletion_id.as_str().unwrap());
            assert_eq!(judged["location"], location);
            judged["deletionId"] = "new".into();
            judged["location"] = "new".into();
        }
        assert_eq!(without_ids(judged), expected);
    }
    // What was claimed is deleted, and nothing else is touched.
    assert_eq!(world.delete_until_done("paused").await.status, 200);
    world.assert_gone("paused", &chats(1)).await;
    for id in ["active", "foreign", "protected", "unreadable", "scheduled"] {
        assert_eq!(world.left(id).await, ["CAMPAIGN"], "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_many_writes_nothing() {
    let (world, ids) = every_kind().await;
    let before = world.dump().await;
    world.proxy.pass();
    let mut event = post(&json!({ "campaignIds": ids, "validateOnly": true }));
    event["headers"]["idempotency-key"] = "k".into();
    let judged = verdicts(&world.send(event).await, &ids);
    assert_eq!(statuses(&judged), [409, 200, 404, 409, 403, 409, 500, 409]);
    assert_eq!(world.dump().await, before);
    for exchange in world.proxy.exchanges() {
        assert!(
            matches!(exchange.operation.as_str(), "GetItem" | "Query"),
            "{exchange:?}"
        );
    }
    for (id, judged) in ids.iter().zip(judged) {
        let mut event = delete_event(id);
        event["rawQueryString"] = "validateOnly=true".into();
        let expected = as_verdict(id, &world.send(event).await);
        assert_eq!(judged, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_campaign_leaves_others_time_to_be_counted() {
    let (world, ids) = world(40).await;
    let world = world.inline_budget(3_000);
    let more: Vec<_> = (0..100).map(|n| format!("TASK#{n:03}")).collect();
    world.put_children(&ids[3], &more).await;
    world.proxy.page_limit(5);
    world.proxy.policy(|call| {
        let partition = call.body["ExpressionAttributeValues"].to_string();
        match call.operation {
            "Query" if partition.contains("CAMPAIGN#campaign_3\"") => {
                Action::Delay(Duration::from_millis(150))
            }
            _ => Action::Pass,
        }
    });
    let begun = Instant::now();
    let event = post(&json!({ "campaignIds": ids, "validateOnly": true }));
    let judged = verdicts(&world.send(event).await, &ids);
    assert!(begun.elapsed() < Duration::from_millis(3_500));
    for (at, one) in judged.iter().enumerate() {
        let summary = &one["deletionSummary"];
        assert_eq!(one["status"], 200, "{one}");
        assert_eq!(summary["complete"] == false, at == 3, "{one}");
        if at != 3 {
            assert_eq!(summary["deletedItems"], chats(1));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_campaign_that_fails_does_not_fail_the_others() {
    let refused = error(hyper::StatusCode::BAD_REQUEST, "AccessDeniedException");
    for (action, status, code) in [
        (throttled(), 503, "unavailable"),
        (Action::LoseRequest, 500, "internal_error"),
        (refused, 500, "internal_error"),
    ] {
        let (world, ids) = world(20).await;
        let world = world.inline_budget(5_000);
        world.proxy.policy(move |call| {
            if is_claim(call) && claimed_by(call).as_deref() == Some("campaign_7") {
                action.clone()
            } else {
                Action::Pass
            }
        });
        let reply = world.send(post(&json!({ "campaignIds": ids }))).await;
        let judged = verdicts(&reply, &ids);
        let mut expected = vec![202; 20];
        expected[7] = status;
        assert_eq!(statuses(&judged), expected);
        assert_eq!(judged[7]["error"], code);
        let told = judged[7]["requestId"].as_str() == Some(reply.headers["x-request-id"].as_str());
        assert_eq!(told, status == 500, "{}", judged[7]);
        assert!(!reply.text.contains("fault layer"), "{}", reply.text);
        assert_eq!(world.records().await.len(), 19);
        // It is tried again, and the others are running.
        world.proxy.pass();
        let again = world.send(post(&json!({ "campaignIds": ids }))).await;
        assert_eq!(statuses(&verdicts(&again, &ids)), [202; 20]);
        assert_eq!(world.records().await.len(), 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_time_does_not_reach_is_unavailable() {
    for slow in ["TransactWriteItems", "GetItem"] {
        let (world, ids) = world(100).await;
        let mut world = world.inline_budget(2_000);
        world.proxy.policy(move |call| match call.operation {
            operation if operation == slow => Action::Delay(Duration::from_millis(400)),
            _ => Action::Pass,
        });
        let begun = Instant::now();
        let reply = world.send(post(&json!({ "campaignIds": ids }))).await;
        let elapsed = begun.elapsed();
        assert!(elapsed < Duration::from_millis(2_500), "{elapsed:?}");
        let judged = verdicts(&reply, &ids);
        let claimed: Vec<_> = judged.iter().filter(|one| one["status"] == 202).collect();
        assert!((16..=64).contains(&claimed.len()), "{}", claimed.len());
        // In their order, and the others are not claimed.
        assert!(judged[..16].iter().all(|one| one["status"] == 202));
        for one in &judged {
            if one["status"] != 202 {
                let told = (one["status"].as_i64(), one["error"].as_str());
                assert_eq!(told, (Some(503), Some("unavailable")), "{one}");
            }
        }
        assert_eq!(world.records().await.len(), claimed.len());
        world.proxy.pass();
        world.inline_budget = Duration::from_secs(20);
        let again = world.send(post(&json!({ "campaignIds": ids }))).await;
        assert_eq!(statuses(&verdicts(&again, &ids)), [202; 100]);
        assert_eq!(world.records().await.len(), 100);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_hangs_delays_no_answer_past_the_budget() {
    for operation in ["GetItem", "TransactWriteItems", "UpdateItem"] {
        let (world, ids) = world(40).await;
        let world = world.inline_budget(2_000);
        world.proxy.policy(move |call| {
            let is_key = call.body["Key"]["PK"]["S"].as_str();
            let is_key = is_key.is_some_and(|key| key.starts_with("APIKEY#"));
            if call.operation == operation && !is_key {
                Action::Hang
            } else {
                Action::Pass
            }
        });
        let begun = Instant::now();
        let reply = world.send(post(&json!({ "campaignIds": ids }))).await;
        let elapsed = begun.elapsed();
        assert!(elapsed < Duration::from_millis(2_600), "{elapsed:?}");
        let judged = statuses(&verdicts(&reply, &ids));
        let expected = |at: usize| match operation {
            // It is not read, so it is not claimed.
            "GetItem" => 503,
            // The claims are applied, and a look shows it; the releases are not answered.
            _ if at < 16 => 202,
            _ => 503,
        };
        for (at, status) in judged.into_iter().enumerate() {
            assert_eq!(status, expected(at), "{operation}: {at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_claim_is_handed_to_the_state_machine() {
    let (mut world, mut ids) = world(30).await;
    let step_functions = StepFunctions::answering(&[Start::Refused, Start::Started]).await;
    world.hand_off = step_functions.hand_off.clone();
    ids.push("missing".to_owned());
    let reply = world.send(post(&json!({ "campaignIds": ids }))).await;
    let judged = verdicts(&reply, &ids);
    // One start is refused, which the caller does not see: the clean-up finds it.
    assert_eq!(statuses(&judged[..30]), [202; 30]);
    let mut started: Vec<_> = step_functions
        .asked()
        .iter()
        .map(|asked| {
            let input: Value = serde_json::from_str(asked["input"].as_str().unwrap()).unwrap();
            assert_eq!(input["accountId"], ACCOUNT);
            input["deletionId"].as_str().unwrap().to_owned()
        })
        .collect();
    let mut claimed: Vec<_> = judged[..30]
        .iter()
        .map(|one| one["deletionId"].as_str().unwrap().to_owned())
        .collect();
    started.sort_unstable();
    claimed.sort_unstable();
    assert_eq!(started, claimed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_is_asked_for_once_and_holds_for_each() {
    let (mut world, ids) = world(3).await;
    world.settings.archive = Some(ArchiveSettings {
        bucket: BUCKET.to_owned(),
        prefix: "deletions/".to_owned(),
        mode: ArchiveMode::Request,
        days: None,
    });
    let body =
        |archive: bool| json!({ "campaignIds": ids, "archive": archive, "validateOnly": true });
    for archive in [true, false] {
        let reply = world.send(post(&body(archive))).await;
        for one in verdicts(&reply, &ids) {
            assert_eq!(one["deletionSummary"]["wouldArchive"], archive);
        }
    }
    // A bucket that cannot be written to refuses them, one by one, and claims none.
    world.s3.policy(|_| crate::harness::proxy::access_denied());
    let body = json!({ "campaignIds": ids, "archive": true });
    let refused = world.send(post(&body)).await;
    assert_eq!(statuses(&verdicts(&refused, &ids)), [500; 3]);
    assert!(world.records().await.is_empty());
    world.s3.pass();
    let reply = world.send(post(&body)).await;
    for one in verdicts(&reply, &ids) {
        let location = one["deletionSummary"]["archive"]["location"]
            .as_str()
            .unwrap();
        assert!(location.ends_with(&format!("{}/", one["deletionId"].as_str().unwrap())));
    }
    assert_eq!(world.s3.keys("").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_counts_the_verdicts_in_one_line_without_names() {
    let (world, ids) = every_kind().await;
    let events = vec![post(&json!({ "campaignIds": ids }))];
    let (_, log) = run_api(&world, events, &[("RUST_LOG", "trace")]).await;
    let lines = log_lines(&log);
    assert_eq!(lines.len(), 1, "{log}");
    let line = &lines[0];
    let counted: Value = serde_json::from_str(line["verdicts"].as_str().unwrap()).unwrap();
    let expected = json!({
        "attached": 1, "campaign_active": 1, "deletion_protected": 1, "forbidden": 1,
        "internal_error": 1, "invalid_status": 1, "not_found": 1, "remaining": 1,
    });
    assert_eq!((&line["outcome"], &counted), (&json!("many"), &expected));
    assert_eq!(
        (&line["level"], &line["status"]),
        (&json!("ERROR"), &json!(200))
    );
    let cause = line["cause"].as_str().unwrap();
    assert!(cause.contains("accountId"), "{cause}");
    assert!(!log.contains("Q4 Enterprise Outreach"), "{log}");
    // Each counts as a request of its own, so that who guesses ids is noticed.
    let written = metrics(&log);
    for (outcome, count) in expected.as_object().unwrap() {
        let metric = (format!("Requests {outcome}"), count.clone());
        assert!(written.contains(&metric), "{outcome}: {written:?}");
    }
    assert!(!written.iter().any(|(name, _)| name == "Requests many"));
}

//! Campaigns past retention: which they are, and that each is deleted once, if it
//! still is what the index has shown.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::AttributeValue;
use campaigns::{
    clock::{now_rfc3339, now_seconds, rfc3339},
    config::{Mode, days},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    harness::proxy::{Action, is_claim, throttled},
    harness::step_functions::{Start, StepFunctions, end_lease},
    harness::{ACCOUNT, World, campaign, event, s},
};

const DAY: i64 = 86_400;

/// A world in which campaigns of 30 days are past retention.
async fn world() -> World {
    let mut world = World::new().await;
    world.retention.age = days(30);
    world
}

fn ago(days: i64) -> AttributeValue {
    s(&rfc3339(now_seconds() - days * DAY))
}

/// A completed campaign that was changed, and so completed, this many days ago,
/// with two chats.
async fn put(world: &World, id: &str, age: i64, more: &[(&str, AttributeValue)]) {
    let mut attributes = vec![("campaignStatus", s("completed")), ("updatedAt", ago(age))];
    attributes.extend_from_slice(more);
    world.put_campaign(id, &attributes).await;
    world
        .put_children(id, &["CHAT#1".to_owned(), "CHAT#2".to_owned()])
        .await;
}

async fn report(world: &World) -> Value {
    let runs = Duration::from_mins(1);
    world
        .cleanup_for(event("cleanup-report"), runs)
        .await
        .unwrap()
}

/// The campaigns of the deletion records, in the order of their claims.
async fn deleted(world: &World) -> Vec<String> {
    let records = world.records().await;
    for record in &records {
        assert_eq!(record["requestedBy"], "retention");
        assert_eq!(record["state"], "succeeded");
        assert_eq!(record["counted"]["chats"], 2);
        let id = record["campaignId"].as_str().unwrap();
        assert!(world.left(id).await.is_empty(), "{id}");
    }
    records
        .iter()
        .map(|record| record["campaignId"].as_str().unwrap().to_owned())
        .collect()
}

fn skipped(summary: &Value) -> Vec<(String, String)> {
    let skipped = summary["skipped"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    skipped
        .map(|skipped| (text(&skipped["campaignId"]), text(&skipped["reason"])))
        .collect()
}

fn changed(id: &str) -> Vec<(String, String)> {
    vec![(id.to_owned(), "changed".to_owned())]
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_is_off_until_it_is_given_days() {
    let mut world = world().await;
    put(&world, "old", 4_000, &[]).await;
    world.retention.age = days(0);
    let before = world.dump().await;
    let summary = world.cleanup().await;
    assert_eq!(
        (&summary["campaignCount"], &summary["candidates"]),
        (&json!(0), &json!([]))
    );
    assert_eq!(world.dump().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_writes_nothing_and_lists_the_candidates() {
    let mut world = world().await;
    put(&world, "older", 90, &[]).await;
    put(&world, "oldest", 100, &[("campaignStatus", s("archived"))]).await;
    put(&world, "old", 31, &[]).await;
    put(&world, "young", 29, &[]).await;
    put(&world, "completed_long_ago", 1, &[("completedAt", ago(95))]).await;
    put(
        &world,
        "completed_today",
        95,
        &[("completedAt", s(&now_rfc3339()))],
    )
    .await;
    put(&world, "paused", 99, &[("campaignStatus", s("paused"))]).await;
    put(&world, "active", 99, &[("campaignStatus", s("active"))]).await;
    put(
        &world,
        "kept",
        99,
        &[("deletionProtection", AttributeValue::Bool(true))],
    )
    .await;
    put(
        &world,
        "unprotected",
        40,
        &[("deletionProtection", AttributeValue::Bool(false))],
    )
    .await;
    let before = world.dump().await;
    let reported = report(&world).await;
    assert_eq!(
        reported,
        json!({
            "mode": "report", "resumed": [], "campaignCount": 8, "candidateCount": 5,
            "candidates": ["oldest", "completed_long_ago", "older", "unprotected", "old"],
            "started": [], "skipped": [{"campaignId": "kept", "reason": "protected"}],
            "skippedCount": 1, "guarded": false,
        })
    );
    world.retention.mode = Mode::Report;
    assert_eq!(world.cleanup().await, reported);
    assert_eq!(world.dump().await, before);
    world.retention.mode = Mode::Enforce;
    let enforced = world.cleanup().await;
    assert_eq!(enforced["started"].as_array().unwrap().len(), 5);
    for member in [
        "campaignCount",
        "candidateCount",
        "candidates",
        "skipped",
        "guarded",
    ] {
        assert_eq!(enforced[member], reported[member], "{member}");
    }
    assert_eq!(json!(deleted(&world).await), reported["candidates"]);
    let records = world.records().await;
    assert_eq!(records[0]["previousStatus"], "archived");
    // A second run finds nothing, and nothing else was touched.
    assert_eq!(world.cleanup().await["candidateCount"], 0);
    let after = world.dump().await;
    for ((pk, sk), item) in &before {
        let id = pk.strip_prefix("CAMPAIGN#").unwrap_or_default();
        let is_candidate = reported["candidates"]
            .as_array()
            .unwrap()
            .contains(&json!(id));
        let kept = (!is_candidate).then_some(item);
        assert_eq!(after.get(&(pk.clone(), sk.clone())), kept, "{pk} {sk}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_take_the_oldest_unprotected_campaigns_first() {
    let mut world = world().await;
    world.retention.max_campaigns_per_run = 2;
    for number in 0..5 {
        put(&world, &format!("c{number}"), 90 - number, &[]).await;
        let protected = ("deletionProtection", AttributeValue::Bool(true));
        put(&world, &format!("p{number}"), 190 - number, &[protected]).await;
    }
    let mut expected = Vec::new();
    for run in [["c0", "c1"].as_slice(), &["c2", "c3"], &["c4"], &[]] {
        let summary = world.cleanup().await;
        assert_eq!(summary["candidateCount"], 5 - expected.len());
        expected.extend(run.iter().map(|id| (*id).to_owned()));
        assert_eq!(summary["started"].as_array().unwrap().len(), run.len());
        assert_eq!(deleted(&world).await, expected);
        let protected: Vec<_> = (0..5)
            .map(|n| (format!("p{n}"), "protected".to_owned()))
            .collect();
        assert_eq!(skipped(&summary), protected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_the_share_deletes_nothing_and_says_so() {
    let mut world = world().await;
    for number in 0..11 {
        put(&world, &format!("old_{number}"), 90, &[]).await;
    }
    for number in 0..9 {
        put(&world, &format!("young_{number}"), 1, &[]).await;
    }
    world.retention.max_delete_share_percent = 54;
    let before = world.dump().await;
    for summary in [world.cleanup().await, report(&world).await] {
        assert_eq!(
            (&summary["guarded"], &summary["candidateCount"]),
            (&json!(true), &json!(11))
        );
        assert_eq!(summary["started"], json!([]));
        assert_eq!(world.dump().await, before);
    }
    world.retention.max_delete_share_percent = 55;
    let summary = world.cleanup().await;
    assert_eq!(summary["guarded"], false);
    assert_eq!(deleted(&world).await.len(), 11);
}

/// What happens to `old` between the listing and the claim of it, and what the
/// campaign item has to be after a run.
async fn between_listing_and_claim(attribute: &str, value: Option<AttributeValue>) {
    let world = world().await;
    put(&world, "old", 90, &[]).await;
    put(&world, "next", 80, &[]).await;
    let claim = world.proxy.pause_at(is_claim);
    let change = async {
        claim.reached().await;
        let request = world.table.client().update_item();
        let request = request
            .table_name(world.table.name())
            .key("PK", s("CAMPAIGN#old"))
            .key("SK", s("CAMPAIGN"))
            .expression_attribute_names("#attribute", attribute);
        let request = match value {
            Some(value) => request
                .update_expression("SET #attribute = :value")
                .expression_attribute_values(":value", value),
            None => request.update_expression("REMOVE #attribute"),
        };
        request.send().await.unwrap();
        let changed = world.dump().await;
        claim.resume();
        changed
    };
    let (summary, changed_to) = tokio::join!(world.cleanup(), change);
    assert_eq!(skipped(&summary), changed("old"), "{attribute}");
    assert_eq!(deleted(&world).await, ["next"]);
    for sort_key in ["CAMPAIGN", "CHAT#1", "CHAT#2"] {
        let key = ("CAMPAIGN#old".to_owned(), sort_key.to_owned());
        assert_eq!(
            world.dump().await.get(&key),
            changed_to.get(&key),
            "{attribute}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_changes_between_listing_and_claim_survives() {
    for (attribute, value) in [
        ("campaignStatus", Some(s("active"))),
        // Deletable, but by somebody who asks for it.
        ("campaignStatus", Some(s("paused"))),
        ("deletionProtection", Some(AttributeValue::Bool(true))),
        ("updatedAt", Some(s("2026-05-05T05:05:05Z"))),
        ("accountId", Some(s("account_2"))),
        (
            "deletionId",
            Some(s("0190a8c2-b5c2-7e3f-8000-000000000000")),
        ),
    ] {
        Box::pin(between_listing_and_claim(attribute, value)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_somebody_else_deletes_meanwhile_is_theirs() {
    let world = world().await;
    put(&world, "old", 90, &[]).await;
    let claim = world.proxy.pause_at(is_claim);
    let delete = async {
        claim.reached().await;
        assert_eq!(world.delete("old").await.status, 200);
        claim.resume();
    };
    let (summary, ()) = tokio::join!(world.cleanup(), delete);
    assert_eq!(skipped(&summary), changed("old"));
    let records = world.records().await;
    assert_eq!(
        (records.len(), &records[0]["requestedBy"]),
        (1, &json!("key_demo"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn outdated_entries_of_the_index_are_skipped() {
    let world = world().await;
    put(&world, "old", 90, &[]).await;
    let entry = |id: &str| {
        json!({
            "PK": {"S": format!("CAMPAIGN#{id}")}, "SK": {"S": "CAMPAIGN"},
            "campaignStatus": {"S": "completed"}, "updatedAt": {"S": "2026-01-02T03:04:05Z"},
            "accountId": {"S": ACCOUNT}, "name": {"S": "Q4 Enterprise Outreach"},
        })
    };
    let mut timeless = entry("timeless");
    timeless["updatedAt"] = json!({"S": "soon"});
    let mut unowned = entry("unowned");
    unowned["accountId"] = json!({"N": "7"});
    // `gone` is, and `old` has been touched since.
    let items = json!([entry("gone"), entry("old"), timeless, unowned]);
    world.proxy.policy(move |call| {
        let values = &call.body["ExpressionAttributeValues"];
        if call.operation == "Query" && values[":status"]["S"] == "completed" {
            let body = json!({"Items": items, "Count": 4, "ScannedCount": 4});
            return Action::Answer(hyper::StatusCode::OK, body);
        }
        Action::Pass
    });
    let before = world.dump().await;
    let summary = world.cleanup().await;
    let reasons = [
        ("unowned", "corrupt"),
        ("timeless", "unreadableTime"),
        ("gone", "changed"),
        ("old", "changed"),
    ];
    assert_eq!(
        skipped(&summary),
        reasons.map(|(id, why)| (id.to_owned(), why.to_owned()))
    );
    assert_eq!(summary["started"], json!([]));
    assert_eq!(world.dump().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_delivered_twice_deletes_each_campaign_once() {
    let world = world().await;
    let ids: BTreeSet<String> = (0..12).map(|number| format!("old_{number:02}")).collect();
    for id in &ids {
        put(&world, id, 90, &[]).await;
    }
    world.proxy.policy(|call| match call.operation {
        "BatchWriteItem" => Action::Delay(Duration::from_millis(30)),
        _ => Action::Pass,
    });
    let (one, other) = tokio::join!(world.cleanup(), world.cleanup());
    let again = world.cleanup().await;
    assert_eq!(again["started"], json!([]));
    let started = |summary: &Value| summary["started"].as_array().unwrap().len();
    assert_eq!(started(&one) + started(&other), ids.len());
    let skipped = |summary: &Value| summary["skippedCount"].as_u64().unwrap();
    assert!(skipped(&one) + skipped(&other) > 0, "they were not at once");
    let records = deleted(&world).await;
    assert_eq!(records.len(), ids.len());
    assert_eq!(records.into_iter().collect::<BTreeSet<_>>(), ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_is_continued_by_the_next() {
    let world = world().await.lease(100);
    for number in 0..6 {
        put(&world, &format!("old_{number}"), 90, &[]).await;
    }
    let dead = Arc::new(Notify::new());
    let dying = dead.clone();
    world.proxy.policy(move |call| match call.operation {
        "BatchWriteItem" if call.nth == 2 => {
            dying.notify_one();
            Action::LoseAnswer
        }
        _ => Action::Pass,
    });
    tokio::select! {
        summary = world.cleanup() => panic!("{summary}"),
        () = dead.notified() => {}
    }
    world.proxy.settle().await;
    world.proxy.pass();
    let half_done = world.records().await;
    assert_eq!(half_done.len(), 3);
    tokio::time::sleep(world.settings.lease * 3 + Duration::from_millis(10)).await;
    let summary = world.cleanup().await;
    let stalled = half_done
        .iter()
        .find(|record| record["state"] == "running")
        .unwrap();
    assert_eq!(summary["resumed"], json!([stalled["deletionId"]]));
    assert_eq!(summary["started"].as_array().unwrap().len(), 3);
    assert_eq!(deleted(&world).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_running_deletions_includes_earlier_runs() {
    let mut world = world().await;
    let step_functions = StepFunctions::answering(&[Start::Started]).await;
    world.hand_off = step_functions.hand_off.clone();
    world.retention.max_running = 3;
    for number in 0..7 {
        put(&world, &format!("old_{number}"), 90 - number, &[]).await;
    }
    // A deletion that somebody asked for does not count.
    world.put_campaign("asked", &[]).await;
    let mut asked = crate::harness::delete_event("asked");
    asked["headers"]["prefer"] = "respond-async".into();
    assert_eq!(world.send(asked).await.status, 202);
    let short = Duration::from_secs(3);
    let first = world.cleanup_for(event("schedule"), short).await.unwrap();
    assert_eq!(first["started"].as_array().unwrap().len(), 3);
    let second = world.cleanup_for(event("schedule"), short).await.unwrap();
    assert_eq!(
        (&second["started"], &second["candidateCount"]),
        (&json!([]), &json!(4))
    );
    // Once one is done, another starts, within the same run.
    let drain = |id: Value| {
        let of = json!({"accountId": ACCOUNT, "deletionId": id});
        world.drain(of, Duration::from_secs(10))
    };
    let third = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        drain(first["started"][1].clone()).await.unwrap();
    };
    let runs = Duration::from_secs(6);
    let (third, ()) = tokio::join!(world.cleanup_for(event("schedule"), runs), third);
    assert_eq!(third.unwrap()["started"].as_array().unwrap().len(), 1);
    let running = |state: &str, records: &[Value]| {
        let of_retention = records
            .iter()
            .filter(|record| record["requestedBy"] == "retention");
        of_retention
            .filter(|record| record["state"] == state)
            .count()
    };
    let records = world.records().await;
    assert_eq!(
        (running("running", &records), running("succeeded", &records)),
        (3, 1)
    );
    // The asked one, and four of retention; every start by its record's version.
    assert_eq!(step_functions.asked().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_no_longer_than_its_time_for_others_to_end() {
    let mut world = world().await;
    let step_functions = StepFunctions::answering(&[Start::Started]).await;
    world.hand_off = step_functions.hand_off.clone();
    world.retention.max_running = 1;
    put(&world, "old_1", 90, &[]).await;
    put(&world, "old_2", 90, &[]).await;
    let begun = Instant::now();
    let run = world
        .cleanup_for(event("schedule"), Duration::from_secs(3))
        .await;
    assert_eq!(run.unwrap()["started"].as_array().unwrap().len(), 1);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_without_an_answer_is_found_by_a_later_run() {
    let world = world().await;
    put(&world, "old_1", 90, &[]).await;
    put(&world, "old_2", 80, &[]).await;
    world.proxy.policy(|call| {
        if is_claim(call) || call.operation == "GetItem" {
            throttled()
        } else {
            Action::Pass
        }
    });
    let before = world.dump().await;
    let run = world
        .cleanup_for(event("schedule"), Duration::from_secs(3))
        .await
        .unwrap();
    assert_eq!(
        skipped(&run),
        [("old_1".to_owned(), "unavailable".to_owned())]
    );
    assert_eq!(world.dump().await, before);
    // The claim stands, unknown to its sender.
    world.proxy.policy(|call| {
        if is_claim(call) {
            Action::LoseAnswer
        } else if call.operation == "GetItem" {
            throttled()
        } else {
            Action::Pass
        }
    });
    let run = world
        .cleanup_for(event("schedule"), Duration::from_secs(3))
        .await
        .unwrap();
    world.proxy.settle().await;
    world.proxy.pass();
    let records = world.records().await;
    assert_eq!((records.len(), &run["started"]), (1, &json!([])));
    let id = records[0]["deletionId"].as_str().unwrap();
    end_lease(&world, id, 0).await;
    assert_eq!(world.cleanup().await["resumed"], json!([id]));
    assert_eq!(deleted(&world).await, ["old_1", "old_2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_finished_records_expire_and_only_if_set() {
    let mut world = world().await.inline_budget(0);
    world.settings.audit_retention = days(7);
    put(&world, "old", 90, &[]).await;
    world.put_campaign("asked", &[]).await;
    assert_eq!(world.delete("asked").await.status, 202);
    world.cleanup().await;
    for record in world.records().await {
        let expires = record["ttlAt"].as_i64();
        if record["campaignId"] == "old" {
            let left = expires.unwrap() - now_seconds();
            assert!((7 * DAY - 60..=7 * DAY).contains(&left), "{left}");
        } else {
            assert_eq!((expires, &record["state"]), (None, &json!("running")));
        }
    }
    world.settings.audit_retention = None;
    put(&world, "kept", 90, &[]).await;
    world.cleanup().await;
    let records = world.records().await;
    let kept = records
        .iter()
        .find(|record| record["campaignId"] == "kept")
        .unwrap();
    assert_eq!(
        (&kept["ttlAt"], &kept["state"]),
        (&Value::Null, &json!("succeeded"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_candidates_are_deleted_run_by_run() {
    const CANDIDATES: usize = 10_000;
    let mut world = world().await;
    let items = (0..CANDIDATES).map(|number| {
        let updated = rfc3339(now_seconds() - 100 * DAY + i64::try_from(number).unwrap());
        let attributes = [
            ("campaignStatus", s("completed")),
            ("updatedAt", s(&updated)),
        ];
        campaign(&format!("old_{number:05}"), &attributes)
    });
    world.put_all(items.collect()).await;
    world.proxy.page_limit(2_500);
    world.retention.max_campaigns_per_run = 20;
    for run in 0..3 {
        let begun = Instant::now();
        let summary = world.cleanup().await;
        let took = begun.elapsed();
        println!("run {run}: 10,000 candidates looked at, 20 deleted in {took:?}");
        assert_eq!(summary["candidateCount"], CANDIDATES - run * 20);
        assert_eq!(summary["candidates"].as_array().unwrap().len(), 100);
        assert_eq!(summary["candidates"][0], format!("old_{:05}", run * 20));
        assert_eq!(summary["started"].as_array().unwrap().len(), 20);
        assert!(summary.to_string().len() < 10_000);
    }
    let records = world.records().await;
    let ids: Vec<_> = records
        .iter()
        .map(|record| record["campaignId"].clone())
        .collect();
    let oldest: Vec<_> = (0..60)
        .map(|number| json!(format!("old_{number:05}")))
        .collect();
    assert_eq!(ids, oldest);
}

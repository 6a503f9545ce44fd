//! What a deletion deletes, counts and answers.

use std::time::Duration;

use campaigns::{cli::seed::REFERENCE, clock::now_seconds};
use serde_json::json;

use crate::{
    harness::proxy::{Action, serial_round_trips, throttled},
    harness::{ACCOUNT, KEY_ID, World, delete_event, event, reference_counts, s, set_id},
};

/// Every kind of child, and unknown kinds.
fn mixed() -> Vec<String> {
    [
        "ACTIVITY#1",
        "ANALYTICS#1",
        "CAMPAIGN#shadow",
        "CAMPAIGN ",
        "CAMPAIGNS",
        "CHAT#1",
        "DELIVERY#1",
        "DELIVERY#2",
        "MESSAGE#1#2026-01-01T00:00:00Z#1",
        "PROSPECT",
        "PROSPECT#1",
        "TASK#1",
        "WEBHOOK#1",
        "a",
        "ÿ\u{10ffff}",
        "!",
    ]
    .map(ToOwned::to_owned)
    .to_vec()
}

fn mixed_counts() -> serde_json::Value {
    json!({
        "prospects": 1, "chats": 1, "messages": 1, "tasks": 1, "webhookEvents": 1,
        "analytics": 2, "webhookDeliveries": 2, "other": 7,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_campaign_of_the_reference_is_deleted_with_its_counts() {
    let world = World::new().await;
    world.seed("campaign_123", REFERENCE).await;
    let begun = now_seconds();
    let reply = world.send(event("delete")).await;
    let deletion_id = reply.deletion_id();
    let deleted_at = reply.body["deletionSummary"]["deletedAt"].as_str().unwrap();
    assert_eq!(
        (reply.status, reply.text.clone()),
        (
            200,
            format!(
                "{{\"message\":\"Campaign deleted successfully\",\"deletionSummary\":{{\
                 \"campaignId\":\"campaign_123\",\"campaignName\":\"Q4 Enterprise Outreach\",\
                 \"deletionId\":\"{deletion_id}\",\"deletedItems\":{{\"prospects\":150,\
                 \"chats\":150,\"messages\":420,\"tasks\":75,\"webhookEvents\":12,\
                 \"analytics\":30}},\"deletedAt\":\"{deleted_at}\"}}}}"
            )
        )
    );
    assert_eq!(reply.headers["x-request-id"], "JKJaXmPLvHcESHA=");
    assert!(deleted_at.ends_with('Z') && deleted_at.len() == 20);
    world.assert_gone("campaign_123", &reference_counts()).await;
    let records = world.records().await;
    let record = &records[0];
    for (name, expected) in [
        ("deletionId", json!(deletion_id)),
        ("accountId", json!(ACCOUNT)),
        ("requestedBy", json!(KEY_ID)),
        ("previousStatus", json!("paused")),
        ("campaignName", json!("Q4 Enterprise Outreach")),
        ("completedAt", json!(deleted_at)),
        ("pass", json!(1)),
        ("PK", json!("ACCOUNT#account_demo")),
        ("SK", json!(format!("DELETION#{deletion_id}"))),
    ] {
        assert_eq!(record[name], expected, "{name}");
    }
    let lease_end = record["leaseUntil"].as_i64().unwrap();
    assert!((begun * 1000..begun * 1000 + 60_000).contains(&lease_end));
    // Once more: it is gone.
    world.delete("campaign_123").await.assert(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_child_is_deleted_and_no_neighbour_is_touched() {
    let world = World::new().await;
    let neighbours = ["campaign_1", "campaign_1230", "campaign_12", "Campaign_123"];
    for id in neighbours.into_iter().chain(["campaign_123"]) {
        world.put_campaign(id, &[]).await;
        world.put_children(id, &mixed()).await;
    }
    let mut expected = world.dump().await;
    expected.retain(|(pk, _), _| pk != "CAMPAIGN#campaign_123");
    let reply = world.delete("campaign_123").await;
    assert_eq!(
        (reply.status, reply.deleted_items()),
        (200, &mixed_counts())
    );
    world.assert_gone("campaign_123", &mixed_counts()).await;
    let mut left = world.dump().await;
    left.retain(|(pk, sk), _| !(pk.starts_with("ACCOUNT#") && sk.starts_with("DELETION#")));
    assert_eq!(left, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_campaign_is_deleted_with_all_six_counters_at_zero() {
    let world = World::new().await;
    world.put_campaign("campaign_1", &[]).await;
    let reply = world.delete("campaign_1").await;
    let zero = json!({
        "prospects": 0, "chats": 0, "messages": 0, "tasks": 0, "webhookEvents": 0, "analytics": 0,
    });
    assert_eq!((reply.status, reply.deleted_items()), (200, &zero));
    world.assert_gone("campaign_1", &zero).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_size_give_the_same_counts() {
    for limit in [1, 2, 3, 7, 16, 17, 18] {
        let world = World::new().await;
        world.proxy.page_limit(limit);
        world.put_campaign("campaign_1", &[]).await;
        world.put_children("campaign_1", &mixed()).await;
        let reply = world.delete("campaign_1").await;
        assert_eq!(
            (reply.status, reply.deleted_items()),
            (200, &mixed_counts())
        );
        world.assert_gone("campaign_1", &mixed_counts()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_campaign_item_goes_last() {
    let world = World::new().await;
    world.seed("campaign_123", REFERENCE).await;
    world.delete("campaign_123").await;
    let exchanges = world.proxy.exchanges();
    let finish = exchanges
        .iter()
        .position(|call| !call.body["TransactItems"][0]["Delete"].is_null());
    assert_eq!(finish, Some(exchanges.len() - 1));
    for exchange in exchanges
        .iter()
        .filter(|call| call.operation == "BatchWriteItem")
    {
        let writes = exchange.body["RequestItems"][world.table.name()]
            .as_array()
            .unwrap();
        assert!(writes.len() <= 25);
        for write in writes {
            assert_ne!(write["DeleteRequest"]["Key"]["SK"]["S"], "CAMPAIGN");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_takes_seven_serial_round_trips() {
    let world = World::new().await;
    world.seed("campaign_123", REFERENCE).await;
    // Long enough that requests which are sent together overlap.
    world
        .proxy
        .policy(|_| Action::Delay(Duration::from_millis(300)));
    assert_eq!(world.delete("campaign_123").await.status, 200);
    let trips = serial_round_trips(&world.proxy.exchanges());
    assert_eq!(trips, 7, "{:#?}", operations(&world));
}

fn operations(world: &World) -> Vec<String> {
    let exchanges = world.proxy.exchanges();
    exchanges.into_iter().map(|call| call.operation).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_counted_before_it_is_deleted() {
    let world = World::new().await;
    world.proxy.page_limit(10);
    world.put_campaign("campaign_1", &[]).await;
    let children: Vec<_> = (0..60).map(|n| format!("CHAT#{n:03}")).collect();
    world.put_children("campaign_1", &children).await;
    // Long enough that a delete which is sent too early shows.
    world.proxy.policy(|call| match call.operation {
        "UpdateItem" => Action::Delay(Duration::from_millis(60)),
        _ => Action::Pass,
    });
    assert_eq!(world.delete("campaign_1").await.status, 200);
    let exchanges = world.proxy.exchanges();
    let counts: Vec<_> = exchanges
        .iter()
        .filter(|call| call.operation == "UpdateItem")
        .map(|call| {
            let mark = &call.body["ExpressionAttributeValues"][":countedThrough"]["S"];
            (mark.as_str().unwrap(), call.ended)
        })
        .collect();
    let mut deletes = 0;
    for batch in &exchanges {
        let writes = &batch.body["RequestItems"][world.table.name()];
        for write in writes.as_array().unwrap_or(&Vec::new()) {
            deletes += 1;
            let key = write["DeleteRequest"]["Key"]["SK"]["S"].as_str().unwrap();
            let (_, counted_at) = counts.iter().find(|(mark, _)| *mark >= key).unwrap();
            assert!(
                batch.begun >= *counted_at,
                "{key} is deleted before it is counted"
            );
        }
    }
    assert_eq!(deletes, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_counts_everything_and_writes_nothing() {
    let world = World::new().await;
    world.proxy.page_limit(5);
    world.put_campaign("campaign_123", &[]).await;
    world.put_children("campaign_123", &mixed()).await;
    let before = world.dump().await;
    let reply = world.send(event("dry-run")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.body,
        json!({
            "message": "Campaign can be deleted",
            "validateOnly": true,
            "deletionSummary": {
                "campaignId": "campaign_123",
                "campaignName": "Q4 Enterprise Outreach",
                "deletedItems": mixed_counts(),
            },
        })
    );
    assert_eq!(reply.headers["etag"], "\"2026-01-02T03:04:05Z\"");
    assert_eq!(world.dump().await, before);
    let mut operations = operations(&world);
    operations.dedup();
    assert_eq!(operations, ["GetItem", "Query"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_out_of_time_is_not_complete() {
    for action in [Action::Hang, throttled()] {
        let world = World::new().await.inline_budget(1_000);
        world.proxy.page_limit(1);
        world.put_campaign("campaign_1", &[]).await;
        world.put_children("campaign_1", &mixed()).await;
        world
            .proxy
            .policy(move |call| match (call.operation, call.nth) {
                ("Query", 3..) => action.clone(),
                _ => Action::Pass,
            });
        let mut dry_run = event("dry-run");
        set_id(&mut dry_run, "campaign_1");
        let begun = std::time::Instant::now();
        let reply = world.send(dry_run).await;
        assert!(begun.elapsed() < Duration::from_millis(1_500));
        assert_eq!(reply.status, 200);
        let summary = &reply.body["deletionSummary"];
        assert_eq!(summary["complete"], false);
        assert_eq!(summary["deletedItems"]["other"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_a_busy_table_is_503() {
    let world = World::new().await.inline_budget(1_000);
    world.put_campaign("campaign_1", &[]).await;
    world.proxy.policy(|call| match call.operation {
        "Query" => throttled(),
        _ => Action::Pass,
    });
    let mut dry_run = event("dry-run");
    set_id(&mut dry_run, "campaign_1");
    world.send(dry_run).await.assert(503, "unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_before_the_path_is_allowed_for_and_kept_in_location() {
    let world = World::new().await.inline_budget(0);
    world.put_campaign("campaign_1", &[]).await;
    let mut delete = delete_event("campaign_1");
    delete["rawPath"] = "/prod/v1/campaigns/campaign_1".into();
    delete["requestContext"]["stage"] = "prod".into();
    let reply = world.send(delete).await;
    assert_eq!(reply.status, 202);
    assert_eq!(
        reply.headers["location"],
        format!("/prod/v1/deletions/{}", reply.deletion_id())
    );
}

/// Deletes a campaign into which a writer gets these items past the fence, before the
/// empty read.
async fn delete_with_stragglers(world: &World, stragglers: &[String]) {
    world.put_campaign("campaign_1", &[]).await;
    let first = ["CHAT#5".to_owned()];
    world.put_children("campaign_1", &first).await;
    let batch = world.proxy.pause_at_nth("BatchWriteItem", 0);
    let straggle = async {
        batch.reached().await;
        world.put_children("campaign_1", stragglers).await;
        batch.resume();
    };
    let (reply, ()) = tokio::join!(Box::pin(world.delete("campaign_1")), Box::pin(straggle));
    assert_eq!(
        (reply.status, &reply.deleted_items()["chats"]),
        (200, &json!(1 + stragglers.len()))
    );
    assert!(world.left("campaign_1").await.is_empty());
    assert_eq!(world.records().await[0]["pass"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_straggler_is_counted_and_deleted_by_another_pass() {
    let world = World::new().await;
    delete_with_stragglers(&world, &["CHAT#1".to_owned()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stragglers_of_several_pages_take_one_more_pass() {
    let world = World::new().await;
    world.proxy.page_limit(2);
    let stragglers: Vec<_> = (1..5).map(|number| format!("CHAT#{number}")).collect();
    delete_with_stragglers(&world, &stragglers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_deletes_at_once_make_one_deletion() {
    let world = World::new().await;
    world.seed("campaign_123", REFERENCE).await;
    let replies = tokio::join!(
        world.delete("campaign_123"),
        world.delete("campaign_123"),
        world.delete("campaign_123"),
    );
    let statuses = [replies.0.status, replies.1.status, replies.2.status];
    let done = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(done, 1, "{statuses:?}");
    assert!(
        statuses
            .iter()
            .all(|status| [200, 202, 404].contains(status)),
        "{statuses:?}"
    );
    world.assert_gone("campaign_123", &reference_counts()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_is_refused_is_not_read() {
    let world = World::new().await;
    for status in ["active", "scheduled"] {
        world
            .put_campaign("campaign_1", &[("campaignStatus", s(status))])
            .await;
        world.proxy.pass();
        assert_eq!(world.delete("campaign_1").await.status, 409);
        assert!(!operations(&world).contains(&"Query".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_has_a_second_of_its_own() {
    let world = World::new().await.inline_budget(0);
    world.put_campaign("campaign_1", &[]).await;
    let children = ["CHAT#1".to_owned(), "TASK#1".to_owned()];
    world.put_children("campaign_1", &children).await;
    let mut event = delete_event("campaign_1");
    event["rawQueryString"] = "validateOnly=true".into();
    let reply = world.send(event).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.deleted_items()["chats"], 1, "{reply:?}");
    assert!(reply.body["deletionSummary"].get("complete").is_none());
}

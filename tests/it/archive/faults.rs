//! S3 fails in every way: no item is deleted that is not in an acknowledged object, counts are
//! exact, and the archive is complete in the end. (Workers that die: `deaths.rs`.)

use std::{collections::BTreeMap, time::Duration};

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{archived, archiving, only_deletion, partition, read};
use crate::harness::{
    World, delete_event,
    proxy::{Action, Call, Object, access_denied, expired_token, slow_down},
    send,
};

const CHILDREN: u64 = 23;

async fn world() -> World {
    let world = archiving(30).await;
    world.proxy.page_limit(8);
    world.put_campaign("campaign_1", &[]).await;
    let children: Vec<_> = (0..CHILDREN).map(|n| format!("TASK#{n:05}")).collect();
    world.put_children("campaign_1", &children).await;
    world
}

fn counts() -> Value {
    json!({
        "prospects": 0, "chats": 0, "messages": 0, "tasks": CHILDREN, "webhookEvents": 0,
        "analytics": 0,
    })
}

/// The keys of the items in all objects so far, the manifest aside.
async fn archived_keys(world: &World) -> Vec<String> {
    let mut keys = Vec::new();
    for key in world.s3.keys("").await {
        let object = world.s3.object(&key).await.unwrap();
        if !key.ends_with("/manifest.json") {
            let items = campaigns::archive::read_lines(&object.bytes[..]);
            keys.extend(items.map(|item| item.unwrap()["SK"].as_s().unwrap().clone()));
        }
    }
    keys
}

/// Asserts that whatever is gone from the table is in an object.
pub(super) async fn assert_nothing_is_lost(world: &World, before: impl Iterator<Item = &String>) {
    // First the table: what is archived meanwhile only adds.
    let left = world.left("campaign_1").await;
    let archived = archived_keys(world).await;
    for key in before.filter(|key| !left.contains(*key)) {
        assert!(archived.contains(key), "{key} is deleted and not archived");
    }
}

/// Asserts that the deletion is finished, and its archive exactly what was there before.
async fn assert_archived(world: &World, before: &BTreeMap<String, Value>) {
    world.assert_gone("campaign_1", &counts()).await;
    assert_same(world, before).await;
}

/// Asserts that the only archive has exactly what was there before.
pub(super) async fn assert_same(world: &World, before: &BTreeMap<String, Value>) {
    let contents = read(world, &only_deletion(world).await).await.unwrap();
    contents.check_complete().unwrap();
    assert_eq!(&archived(&contents).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_archive_that_passes_delays_the_deletion_only() {
    for fault in [
        slow_down(),
        expired_token(),
        Action::LoseRequest,
        Action::LoseAnswer,
        Action::HalfRequest,
        Action::Delay(Duration::from_millis(60)),
        Action::Late(Duration::from_millis(20)),
    ] {
        let world = world().await;
        let before = partition(&world, "campaign_1").await;
        // Every other put.
        world.s3.policy(move |call| match call.number % 2 {
            0 => fault.clone(),
            _ => Action::Pass,
        });
        let mut reply = world.delete_until_done("campaign_1").await;
        while [500, 503].contains(&reply.status) {
            reply = world.delete_until_done("campaign_1").await;
        }
        assert!([200, 404].contains(&reply.status), "{reply:?}");
        world.s3.settle().await;
        assert_archived(&world, &before).await;
    }
}

/// Something in between that answers in the place of S3 is not taken for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_one_of_s3_acknowledges_nothing() {
    let world = world().await.inline_budget(1_000);
    let before = partition(&world, "campaign_1").await;
    world
        .s3
        .policy(|_| Action::Answer(StatusCode::OK, json!({})));
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 503, "{}", reply.text);
    assert_eq!(partition(&world, "campaign_1").await, before);
    world.s3.pass();
    let world = world.inline_budget(20_000);
    assert_eq!(world.delete_until_done("campaign_1").await.status, 200);
    assert_archived(&world, &before).await;
}

/// A page with a few stragglers, read in a second pass, overlaps every other page.
#[tokio::test(flavor = "multi_thread")]
async fn stragglers_of_a_second_pass_are_archived_once() {
    let world = world().await;
    let before = partition(&world, "campaign_1").await;
    let pause = world
        .proxy
        .pause_at(|call| call.operation == "BatchWriteItem" && call.nth == 2);
    let api = world.api().await;
    let deleting = tokio::spawn(async move { send(&api, delete_event("campaign_1")).await });
    pause.reached().await;
    // A writer without the fence, before and behind everything.
    let stragglers = ["A#1".to_owned(), "Z#1".to_owned()];
    world.put_children("campaign_1", &stragglers).await;
    pause.resume();
    assert_eq!(deleting.await.unwrap().status, 200);
    let contents = read(&world, &only_deletion(&world).await).await.unwrap();
    contents.check_complete().unwrap();
    let archived = archived(&contents).await;
    assert_eq!(archived.len(), before.len() + 2);
    assert!(archived.contains_key("A#1") && archived.contains_key("Z#1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_while_the_archive_fails() {
    let pages_only = |call: &Call<'_, Object>| !call.path.ends_with("campaign.json.gz");
    for fault in [access_denied(), slow_down(), Action::LoseRequest] {
        let world = world().await.inline_budget(1_000);
        let before = partition(&world, "campaign_1").await;
        // Before the claim, it refuses the request, and nothing is claimed.
        let failing = fault.clone();
        world.s3.policy(move |_| failing.clone());
        let reply = world.delete("campaign_1").await;
        assert!([500, 503].contains(&reply.status), "{}", reply.text);
        assert_eq!(partition(&world, "campaign_1").await, before);
        assert!(world.records().await.is_empty());
        // After it, the deletion waits.
        world.s3.policy(move |call| {
            if pages_only(call) {
                fault.clone()
            } else {
                Action::Pass
            }
        });
        let reply = world.delete("campaign_1").await;
        assert_eq!(reply.status, 202, "{}", reply.text);
        assert_eq!(world.left("campaign_1").await.len(), before.len());
        assert_eq!(archived_keys(&world).await, ["CAMPAIGN"]);
        world.s3.pass();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let world = world.inline_budget(20_000);
        let reply = world.delete_until_done("campaign_1").await;
        assert_eq!(reply.status, 200);
        assert_archived(&world, &before).await;
    }
}

/// The lease is renewed while S3 takes longer than the lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_archive_does_not_cost_the_lease() {
    let world = world().await.lease(1_000);
    let before = partition(&world, "campaign_1").await;
    let slow = Duration::from_millis(1_500);
    world.s3.policy(move |call| match call.path {
        path if path.ends_with("campaign.json.gz") || path.ends_with("manifest.json") => {
            Action::Delay(slow)
        }
        _ => Action::Pass,
    });
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let owners: std::collections::BTreeSet<_> = world
        .proxy
        .exchanges()
        .iter()
        .filter_map(|call| {
            let values = call.body["ExpressionAttributeValues"].as_object()?;
            values.get(":writer").map(ToString::to_string)
        })
        .collect();
    assert_eq!(owners.len(), 1, "{owners:?}");
    assert_archived(&world, &before).await;
}

/// Reading goes on while a page is archived, counting and deleting do not.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_page_is_read_while_one_is_archived() {
    let world = world().await.lease(30_000);
    let before = partition(&world, "campaign_1").await;
    let pause = world.s3.pause_at(|call| call.nth == 1);
    let api = world.api().await;
    let deleting = tokio::spawn(async move { send(&api, delete_event("campaign_1")).await });
    pause.reached().await;
    let sent = |operation: &str| {
        let exchanges = world.proxy.exchanges();
        exchanges
            .iter()
            .filter(|it| it.operation == operation)
            .count()
    };
    let begun = std::time::Instant::now();
    while sent("Query") < 2 {
        assert!(begun.elapsed() < Duration::from_secs(5), "nothing is read");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    // A page behind it may be archived by now: it waits for the one before it.
    assert_eq!((sent("UpdateItem"), sent("BatchWriteItem")), (0, 0));
    pause.resume();
    assert_eq!(deleting.await.unwrap().status, 200);
    assert_archived(&world, &before).await;
}

/// A page that a worker of a lost lease archives late adds an object and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_upload_of_a_lost_lease_changes_nothing() {
    let world = world().await;
    let before = partition(&world, "campaign_1").await;
    let pause = world.s3.pause_at(|call| call.nth == 1);
    let api = world.api().await;
    let first = tokio::spawn(async move { send(&api, delete_event("campaign_1")).await });
    pause.reached().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let reply = world.delete_until_done("campaign_1").await;
    assert!([200, 404].contains(&reply.status), "{reply:?}");
    pause.resume();
    assert!([200, 202].contains(&first.await.unwrap().status));
    world.s3.settle().await;
    assert_archived(&world, &before).await;
}

//! Leases, claims under way, and resuming where another worker stopped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    harness::proxy::{Action, is_claim, is_progress},
    harness::worlds::{chats, world},
    harness::{ACCOUNT, Dump, KEY_ID, Reply, World, delete_event, n, s},
};

const DELETION: &str = "0190a8c2-b5c2-7e3f-8000-000000000000";

async fn put_deleting(world: &World, id: &str, deletion_id: &str) {
    let deleting = ("campaignStatus", s("deleting"));
    let claimed = ("deletionId", s(deletion_id));
    world.put_campaign(id, &[deleting, claimed]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_deletion_is_attached_to_and_nothing_is_written() {
    // One page: while it is deleted, its worker writes nothing either.
    let world = world(8).await;
    let gate = Arc::new(Notify::new());
    let started = gate.clone();
    world
        .proxy
        .policy(move |call| match (call.operation, call.nth) {
            ("BatchWriteItem", 0) => {
                started.notify_one();
                Action::Delay(Duration::from_millis(700))
            }
            _ => Action::Pass,
        });
    let attached = async {
        gate.notified().await;
        let before = world.records().await;
        let reply = world.delete("campaign_1").await;
        assert_eq!(world.records().await, before);
        reply
    };
    let (first, second) = tokio::join!(world.delete("campaign_1"), attached);
    assert_eq!((first.status, second.status), (200, 202));
    assert_eq!(first.deletion_id(), second.deletion_id());
    assert!(second.deleted_items()["chats"].as_u64() > Some(0));
    world.assert_gone("campaign_1", &chats(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attaching_comes_before_protection_and_if_match() {
    let world = world(3).await.inline_budget(0);
    assert_eq!(world.delete("campaign_1").await.status, 202);
    let client = world.table.client();
    client
        .update_item()
        .table_name(world.table.name())
        .key("PK", s("CAMPAIGN#campaign_1"))
        .key("SK", s("CAMPAIGN"))
        .update_expression("SET deletionProtection = :true")
        .expression_attribute_values(":true", AttributeValue::Bool(true))
        .send()
        .await
        .unwrap();
    let mut event = delete_event("campaign_1");
    event["headers"]["if-match"] = "\"another\"".into();
    assert_eq!(world.send(event).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_taken_over_when_its_lease_has_ended() {
    let world = world(50).await.lease(400);
    let died = Arc::new(Notify::new());
    let dying = died.clone();
    world
        .proxy
        .policy(move |call| match (call.operation, call.nth) {
            ("BatchWriteItem", 2..) => {
                dying.notify_one();
                Action::Hang
            }
            _ => Action::Pass,
        });
    let api = world.api().await;
    let worker =
        tokio::spawn(async move { crate::harness::send(&api, delete_event("campaign_1")).await });
    died.notified().await;
    worker.abort();
    world.proxy.pass();
    // While the lease lasts it is somebody else's.
    let early = world.delete("campaign_1").await;
    assert_eq!(early.status, 202);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let reply = world.delete("campaign_1").await;
    assert_eq!(
        (reply.status, reply.deletion_id()),
        (200, early.deletion_id())
    );
    world.assert_gone("campaign_1", &chats(50)).await;
}

/// A takeover that arrives when another worker has taken over and works.
async fn too_late(world: &World, late: impl AsyncFnOnce() -> Value) -> (Value, Reply) {
    world.proxy.pass();
    let late_write = world.proxy.pause_at_nth("UpdateItem", 0);
    let first_batch = world.proxy.pause_at_nth("BatchWriteItem", 0);
    let late = async {
        let answer = late().await;
        first_batch.resume();
        answer
    };
    let first = async {
        late_write.reached().await;
        let releasing = async {
            first_batch.reached().await;
            late_write.resume();
        };
        tokio::join!(Box::pin(world.delete("campaign_1")), releasing).0
    };
    tokio::join!(late, first)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_that_is_too_late_attaches_to_the_first_one() {
    for by_drain in [false, true] {
        let world = world(8).await.inline_budget(0);
        let id = world.delete("campaign_1").await.deletion_id();
        let world = world.inline_budget(20_000);
        let (late, first) = too_late(&world, async || {
            if by_drain {
                let payload = json!({"accountId": ACCOUNT, "deletionId": id});
                let slice = world.drain(payload, Duration::from_secs(10)).await.unwrap();
                json!([slice.status, slice.held_by_another, slice.deletion_id])
            } else {
                let reply = Box::pin(world.delete("campaign_1")).await;
                json!([reply.status, reply.deletion_id()])
            }
        })
        .await;
        let expected = if by_drain {
            json!(["running", true, id])
        } else {
            json!([202, id])
        };
        assert_eq!((late, first.status), (expected, 200));
        world.assert_gone("campaign_1", &chats(8)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_is_renewed_while_a_page_takes_long() {
    let world = world(8).await.lease(600);
    let batch = world.proxy.pause_at_nth("BatchWriteItem", 0);
    let meddler = async {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(1_500) {
            tokio::time::sleep(Duration::from_millis(150)).await;
            assert_eq!(world.delete("campaign_1").await.status, 202);
        }
        batch.resume();
    };
    let (reply, ()) = tokio::join!(world.delete("campaign_1"), meddler);
    assert_eq!(reply.status, 200);
    world.assert_gone("campaign_1", &chats(8)).await;
    let owners: std::collections::BTreeSet<_> = world
        .proxy
        .exchanges()
        .iter()
        .filter(|call| call.operation == "UpdateItem")
        .map(|call| call.body["ExpressionAttributeValues"][":writer"]["S"].to_string())
        .collect();
    assert_eq!(owners.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_lease_answers_what_the_record_says() {
    let world = world(60).await.lease(100);
    let sleeping = Arc::new(Notify::new());
    let asleep = sleeping.clone();
    // The first worker's second count-ahead is on the way for long.
    let sleeps = AtomicBool::new(false);
    world.proxy.policy(move |call| {
        if is_progress(call) && call.nth >= 1 && !sleeps.swap(true, Ordering::SeqCst) {
            asleep.notify_one();
            return Action::Delay(Duration::from_millis(1_500));
        }
        Action::Pass
    });
    let rival = async {
        sleeping.notified().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let reply = world.delete("campaign_1").await;
        assert_eq!(reply.status, 200);
        world.dump().await
    };
    let (first, done) = tokio::join!(world.delete("campaign_1"), rival);
    // The deletion is complete, and the slow worker says so.
    assert_eq!((first.status, first.deleted_items()), (200, &chats(60)));
    world.assert_gone("campaign_1", &chats(60)).await;
    assert_eq!(world.dump().await, done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_recognises_only_its_own_write_of_a_version() {
    let world = world(60).await.lease(100);
    let repeating = Arc::new(Notify::new());
    let repeats = repeating.clone();
    // The first worker's count-ahead is lost, and its repetition arrives when
    // the second worker's takeover has made the version that it means to make.
    world
        .proxy
        .policy(move |call| match (call.operation, call.nth) {
            ("UpdateItem", 0) => Action::LoseRequest,
            ("UpdateItem", 1) => {
                repeats.notify_one();
                Action::Delay(Duration::from_millis(700))
            }
            ("UpdateItem", 3) => Action::Delay(Duration::from_millis(1_200)),
            _ => Action::Pass,
        });
    let rival = async {
        repeating.notified().await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        world.delete("campaign_1").await
    };
    let (first, second) = tokio::join!(world.delete("campaign_1"), rival);
    assert_eq!((first.status, second.status), (202, 200));
    world.assert_gone("campaign_1", &chats(60)).await;
    let exchanges = world.proxy.exchanges();
    let counted = exchanges
        .iter()
        .filter(|call| call.operation == "UpdateItem")
        .filter(|call| !call.body["ExpressionAttributeValues"][":counts"].is_null())
        // The refused one is the first.
        .nth(1)
        .unwrap();
    for call in &exchanges {
        assert!(call.operation != "BatchWriteItem" || call.begun >= counted.ended);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_whose_record_is_gone_is_claimed_under_its_id() {
    let world = world(12).await;
    put_deleting(&world, "campaign_1", DELETION).await;
    let reply = world.delete("campaign_1").await;
    assert_eq!(
        (reply.status, reply.deletion_id().as_str()),
        (200, DELETION)
    );
    world.assert_gone("campaign_1", &chats(12)).await;
    let version = world.records().await[0]["version"].as_i64().unwrap();
    assert!(version > 1_700_000_000_000, "{version}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_in_deleting_without_a_deletion_is_claimed_again() {
    let world = world(12).await;
    let deleting = ("campaignStatus", s("deleting"));
    world.put_campaign("campaign_1", &[deleting]).await;
    assert_eq!(world.delete("campaign_1").await.status, 200);
    world.assert_gone("campaign_1", &chats(12)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_names_a_foreign_deletion_is_claimed_again() {
    let mut world = world(4).await;
    world.inline_budget = Duration::ZERO;
    let others = world.delete("campaign_1").await.deletion_id();
    world.inline_budget = Duration::from_secs(20);
    // The platform copies the item into another campaign.
    put_deleting(&world, "campaign_2", &others).await;
    let reply = world.delete("campaign_2").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body["deletionSummary"]["campaignId"], "campaign_2");
    assert_ne!(reply.deletion_id(), others);
    world.assert_gone("campaign_2", &chats(0)).await;
    assert_eq!(world.left("campaign_1").await.len(), 5);
    assert_eq!(world.delete("campaign_1").await.deletion_id(), others);
    world.assert_gone("campaign_1", &chats(4)).await;
}

/// The answer to a DELETE of `campaign_1` while whose first claim is on its way
/// the platform puts the campaign with this attribute, and the table after that.
async fn changed_meanwhile(
    world: &World,
    event: Value,
    attribute: (&str, AttributeValue),
) -> (Reply, Dump) {
    let claim = world.proxy.pause_at(is_claim);
    let changing = async {
        claim.reached().await;
        world.put_campaign("campaign_1", &[attribute]).await;
        let dump = world.dump().await;
        claim.resume();
        dump
    };
    tokio::join!(Box::pin(world.send(event)), changing)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_resumed_between_read_and_claim_stays() {
    let protected = ("deletionProtection", AttributeValue::Bool(true));
    for (attribute, code) in [
        (protected, "deletion_protected"),
        (("campaignStatus", s("active")), "campaign_active"),
    ] {
        let world = world(5).await;
        let event = delete_event("campaign_1");
        let (reply, before) = changed_meanwhile(&world, event, attribute).await;
        reply.assert(409, code);
        assert_eq!(world.dump().await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_changed_between_read_and_claim_is_read_again() {
    let world = world(5).await;
    let touched = || ("updatedAt", s("2026-02-02T00:00:00Z"));
    let mut event = delete_event("campaign_1");
    let (reply, _) = changed_meanwhile(&world, event.clone(), touched()).await;
    assert_eq!(reply.status, 200);
    // The same with If-Match: what was reviewed is not there any more.
    world.put_campaign("campaign_1", &[]).await;
    event["headers"]["if-match"] = "\"2026-01-02T03:04:05Z\"".into();
    let (reply, before) = changed_meanwhile(&world, event, touched()).await;
    reply.assert(412, "precondition_failed");
    assert_eq!(world.dump().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_put_back_in_deleting_is_deleted_again() {
    let world = world(3).await.inline_budget(0);
    let first = world.delete("campaign_1").await.deletion_id();
    let world = world.inline_budget(20_000);
    assert_eq!(world.delete("campaign_1").await.status, 200);
    // A writer without a fence writes what it has read before.
    put_deleting(&world, "campaign_1", &first).await;
    let again = world.delete("campaign_1").await;
    assert_eq!((again.status, again.deleted_items()), (200, &chats(0)));
    assert_ne!(again.deletion_id(), first);
    assert!(world.left("campaign_1").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_replaced_meanwhile_stays_and_is_recorded() {
    let world = world(3).await.inline_budget(0);
    assert_eq!(world.delete("campaign_1").await.status, 202);
    let world = world.inline_budget(20_000);
    let replaced = Arc::new(tokio::sync::Semaphore::new(0));
    let gate = replaced.clone();
    world.proxy.policy(move |call| {
        if call.operation == "BatchWriteItem" {
            gate.add_permits(1);
            return Action::Delay(Duration::from_millis(300));
        }
        Action::Pass
    });
    let replace = async {
        replaced.acquire().await.unwrap().forget();
        world
            .put_campaign("campaign_1", &[("name", s("Back"))])
            .await;
    };
    let (reply, ()) = tokio::join!(world.delete("campaign_1"), replace);
    assert_eq!((reply.status, reply.deleted_items()), (200, &chats(3)));
    assert_eq!(world.left("campaign_1").await, ["CAMPAIGN"]);
    let record = &world.records().await[0];
    assert_eq!(record["state"], "succeeded");
    assert_eq!(record["campaignReplaced"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_newer_version_is_not_resumed() {
    let world = world(5).await;
    put_deleting(&world, "campaign_1", DELETION).await;
    let counted = AttributeValue::M([("unheardOf".to_owned(), n(3))].into_iter().collect());
    let now = s("2026-01-01T00:00:00Z");
    world
        .put(crate::harness::item(&[
            ("PK", s(&format!("ACCOUNT#{ACCOUNT}"))),
            ("SK", s(&format!("DELETION#{DELETION}"))),
            ("deletionId", s(DELETION)),
            ("campaignId", s("campaign_1")),
            ("campaignName", s("Q4")),
            ("accountId", s(ACCOUNT)),
            ("requestedBy", s(KEY_ID)),
            ("previousStatus", s("paused")),
            ("state", s("running")),
            ("startedAt", now.clone()),
            ("updatedAt", now),
            ("counted", counted),
            ("pass", n(1)),
            ("version", n(3)),
            ("leaseUntil", n(0)),
        ]))
        .await;
    let before = world.dump().await;
    world
        .delete("campaign_1")
        .await
        .assert(500, "internal_error");
    assert_eq!(world.dump().await, before);
}

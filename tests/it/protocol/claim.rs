//! Claims that are refused, unanswered, or not the first.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::json;

use crate::harness::{
    ACCOUNT, delete_event, n,
    proxy::{Action, is_claim, throttled},
    s,
    step_functions::{claimed, end_lease},
    worlds::{chats, world},
};

const DELETION: &str = "0190a8c2-b5c2-7e3f-8000-000000000000";

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_keeps_changing_is_503_after_a_backoff() {
    let world = world(3).await.inline_budget(2_000);
    let changes = AtomicU32::new(0);
    world.proxy.policy(move |call| {
        if !is_claim(call) {
            return Action::Pass;
        }
        let change = changes.fetch_add(1, Ordering::SeqCst);
        let text = |text: &str| json!({ "S": text });
        let now = json!({
            "PK": text("CAMPAIGN#campaign_1"), "SK": text("CAMPAIGN"), "id": text("campaign_1"),
            "name": text("Q4"), "accountId": text(ACCOUNT), "campaignStatus": text("paused"),
            "updatedAt": text(&format!("change {change}")),
        });
        let body = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "message": "Transaction cancelled",
            "CancellationReasons": [
                {"Code": "ConditionalCheckFailed", "Message": "", "Item": now},
                {"Code": "None"},
            ],
        });
        Action::Answer(hyper::StatusCode::BAD_REQUEST, body)
    });
    let reply = world.delete("campaign_1").await;
    reply.assert(503, "unavailable");
    let claims = world.proxy.exchanges();
    let claims = claims
        .iter()
        .filter(|call| call.operation == "TransactWriteItems");
    assert!((3..40).contains(&claims.count()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unanswered_claim_under_a_reused_id_needs_its_record() {
    let world = world(3).await.inline_budget(1_500);
    let deleting = [
        ("campaignStatus", s("deleting")),
        ("deletionId", s(DELETION)),
    ];
    world.put_campaign("campaign_1", &deleting).await;
    // The claim never arrives, so the campaign names the deletion without a record.
    world.proxy.policy(|call| {
        if is_claim(call) {
            Action::LoseRequest
        } else {
            Action::Pass
        }
    });
    let reply = world.delete("campaign_1").await;
    assert!(reply.status >= 500, "{reply:?}");
    assert!(world.records().await.is_empty());
    // Where it did arrive, it stands.
    let world = world.inline_budget(20_000);
    world.proxy.policy(|call| {
        if is_claim(call) {
            Action::LoseAnswer
        } else {
            Action::Pass
        }
    });
    let reply = world.delete_until_done("campaign_1").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    world.assert_gone("campaign_1", &chats(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_requests_with_one_key_is_a_replay() {
    let world = world(3).await;
    let event = || {
        let mut event = delete_event("campaign_1");
        event["headers"]["idempotency-key"] = "k".into();
        event["headers"]["prefer"] = "respond-async".into();
        event
    };
    // The second has looked for the key, and not yet at the campaign.
    let read = world.proxy.pause_at(|call| {
        call.operation == "GetItem" && call.body["Key"]["PK"]["S"] == "CAMPAIGN#campaign_1"
    });
    let second = world.send(event());
    let first = async {
        read.reached().await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let first = world.send(event()).await;
        read.resume();
        first
    };
    let (second, first) = tokio::join!(Box::pin(second), Box::pin(first));
    assert_eq!((first.status, second.status), (202, 202));
    assert_eq!(first.deletion_id(), second.deletion_id());
    assert_eq!(first.headers.get("idempotent-replayed"), None);
    assert_eq!(second.headers["idempotent-replayed"], "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_that_loses_to_a_late_release_is_tried_again() {
    let world = world(5).await;
    let id = claimed(&world).await;
    end_lease(&world, &id, 0).await;
    let takeover = world.proxy.pause_at_nth("UpdateItem", 0);
    let release = async {
        takeover.reached().await;
        // As a dead worker's release, which arrives late.
        let request = world.table.client().update_item();
        request
            .table_name(world.table.name())
            .key("PK", s(&format!("ACCOUNT#{ACCOUNT}")))
            .key("SK", s(&format!("DELETION#{id}")))
            .update_expression("SET #version = #version + :one, leaseUntil = :now")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":now", n(1))
            .send()
            .await
            .unwrap();
        takeover.resume();
    };
    let (reply, ()) = tokio::join!(Box::pin(world.delete("campaign_1")), release);
    assert_eq!(reply.status, 200, "{reply:?}");
    world.assert_gone("campaign_1", &chats(5)).await;
}

/// A campaign item of exactly DynamoDB's limit, 409,600 bytes, by one attribute.
fn largest_campaign(attribute: &str) -> crate::harness::Item {
    let mut campaign = crate::harness::campaign("campaign_1", &[(attribute, s(""))]);
    let size = |item: &crate::harness::Item| -> usize {
        let bytes = |(name, value): (&String, &aws_sdk_dynamodb::types::AttributeValue)| {
            name.len() + value.as_s().map_or(1, String::len)
        };
        item.iter().map(bytes).sum()
    };
    let left = 400 * 1_024 - size(&campaign);
    campaign.insert(attribute.to_owned(), s(&"x".repeat(left)));
    campaign
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_at_the_size_limit_is_deleted_as_its_dry_run_says() {
    for attribute in ["template", "a name of.others#1", "name"] {
        let world = world(3).await;
        world.put(largest_campaign(attribute)).await;
        let mut dry_run = delete_event("campaign_1");
        dry_run["rawQueryString"] = "validateOnly=true".into();
        assert_eq!(world.send(dry_run).await.status, 200);
        let reply = world.delete("campaign_1").await;
        assert_eq!(reply.status, 200, "{attribute}: {}", reply.body["error"]);
        world.assert_gone("campaign_1", &chats(3)).await;
        // A claim that removes nothing was refused, then one that does, and the finish.
        let transactions = world.proxy.exchanges();
        let transactions = transactions
            .iter()
            .filter(|call| call.operation == "TransactWriteItems");
        // Other bytes need another token, or DynamoDB refuses them.
        let tokens: BTreeSet<_> = transactions
            .map(|call| call.body["ClientRequestToken"].to_string())
            .collect();
        assert_eq!(tokens.len(), 3, "{attribute}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn making_room_for_a_mark_may_fail_and_be_unanswered() {
    let world = world(3).await.inline_budget(4_000);
    world.put(largest_campaign("template")).await;
    let before = world.dump().await;
    // The read of what can be removed is throttled: nothing is claimed.
    world.proxy.policy(|call| match (call.operation, call.nth) {
        ("GetItem", 0 | 1) => Action::Pass,
        ("GetItem", _) => throttled(),
        _ => Action::Pass,
    });
    let reply = world.delete("campaign_1").await;
    reply.assert(503, "unavailable");
    assert_eq!(world.dump().await, before);
    // The claim that removes attributes is applied, and its answer is lost.
    let world = world.inline_budget(20_000);
    world.proxy.policy(|call| match (call.operation, call.nth) {
        ("TransactWriteItems", 1) => Action::LoseAnswer,
        _ => Action::Pass,
    });
    assert_eq!(world.delete("campaign_1").await.status, 200);
    world.assert_gone("campaign_1", &chats(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_stays_too_large_is_refused_once() {
    let world = world(1).await;
    world.put(largest_campaign("template")).await;
    world.proxy.policy(|call| {
        if !is_claim(call) {
            return Action::Pass;
        }
        let too_large = "Item size to update has exceeded the maximum allowed size";
        let body = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "message": "Transaction cancelled [ValidationError, None]",
            "CancellationReasons": [{"Code": "ValidationError", "Message": too_large}, {"Code": "None"}],
        });
        Action::Answer(hyper::StatusCode::BAD_REQUEST, body)
    });
    world
        .delete("campaign_1")
        .await
        .assert(500, "internal_error");
    let claims = world.proxy.exchanges();
    let claims = claims
        .iter()
        .filter(|call| call.operation == "TransactWriteItems");
    // One that removes nothing, and one that removes what is largest.
    assert_eq!(claims.count(), 2);
    assert_eq!(world.left("campaign_1").await.len(), 2);
    assert!(world.records().await.is_empty());
}

//! Lost answers and late arrivals of each write of the protocol: a write is
//! applied once, by whoever still holds the deletion, or not at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    harness::proxy::{
        Action, Call, is_claim, is_finish, is_progress, transaction_conflict,
        transaction_in_progress,
    },
    harness::{Reply, World, delete_event, send},
};

const CHILDREN: u64 = 45;

async fn world() -> World {
    let world = World::new().await.lease(300);
    world.proxy.page_limit(10);
    world.put_campaign("campaign_1", &[]).await;
    let children: Vec<_> = (0..CHILDREN).map(|n| format!("CHAT#{n:05}")).collect();
    world.put_children("campaign_1", &children).await;
    world
}

fn counts() -> Value {
    json!({
        "prospects": 0, "chats": CHILDREN, "messages": 0, "tasks": 0, "webhookEvents": 0,
        "analytics": 0,
    })
}

/// The first call that `is` gets `action`, everything else goes through.
fn once(
    is: fn(&Call<'_>) -> bool,
    action: Action,
) -> impl Fn(&mut Call<'_>) -> Action + Send + Sync + 'static {
    let done = AtomicBool::new(false);
    move |call| {
        if is(call) && !done.swap(true, Ordering::SeqCst) {
            action.clone()
        } else {
            Action::Pass
        }
    }
}

async fn exact_after(world: &World, reply: &Reply) {
    assert_eq!(
        (reply.status, reply.deleted_items()),
        (200, &counts()),
        "{reply:?}"
    );
    world.assert_gone("campaign_1", &counts()).await;
    let before = world.dump().await;
    world.proxy.settle().await;
    assert_eq!(
        world.dump().await,
        before,
        "a late write has changed something"
    );
}

/// One delete in which the answer of one write is lost: it is repeated, and
/// recognised as done.
async fn lost(is: fn(&Call<'_>) -> bool) {
    let world = world().await;
    world.proxy.policy(once(is, Action::LoseAnswer));
    let reply = world.delete("campaign_1").await;
    exact_after(&world, &reply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_was_lost_is_recognised() {
    lost(is_claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_of_a_count_ahead_counts_once() {
    lost(is_progress).await;
    lost(|call| is_progress(call) && call.nth >= 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finish_whose_answer_was_lost_is_recognised() {
    lost(is_finish).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_of_a_batch_deletes_once() {
    lost(|call| call.operation == "BatchWriteItem").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_whose_answer_was_lost_is_recognised() {
    let mut world = world().await;
    world.inline_budget = Duration::ZERO;
    assert_eq!(world.delete("campaign_1").await.status, 202);
    world.inline_budget = Duration::from_secs(20);
    world.proxy.policy(once(
        |call| call.operation == "UpdateItem",
        Action::LoseAnswer,
    ));
    let reply = world.delete("campaign_1").await;
    exact_after(&world, &reply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_of_a_release_leaves_the_deletion_free() {
    let mut world = world().await;
    world.inline_budget = Duration::ZERO;
    world.settings.lease = Duration::from_secs(30);
    world.proxy.policy(once(
        |call| call.operation == "UpdateItem",
        Action::LoseAnswer,
    ));
    assert_eq!(world.delete("campaign_1").await.status, 202);
    world.inline_budget = Duration::from_secs(20);
    let reply = world.delete("campaign_1").await;
    exact_after(&world, &reply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_conflict_was_with_itself_is_recognised() {
    let world = world().await;
    // The first attempt is on the way, the second meets it in conflict, and the
    // look that follows finds the campaign claimed: by this worker.
    world.proxy.policy(|call| match (is_claim(call), call.nth) {
        (true, 0) => Action::LoseAnswer,
        (true, 1) => transaction_conflict(),
        _ => Action::Pass,
    });
    let reply = world.delete("campaign_1").await;
    exact_after(&world, &reply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicting_transactions_are_repeated_with_the_same_bytes() {
    for action in [transaction_conflict(), transaction_in_progress()] {
        let world = world().await;
        world
            .proxy
            .policy(move |call| match (call.operation, call.nth) {
                ("TransactWriteItems", 0 | 1 | 3 | 4) => action.clone(),
                _ => Action::Pass,
            });
        let reply = world.delete("campaign_1").await;
        exact_after(&world, &reply).await;
        let exchanges = world.proxy.exchanges();
        let transactions: Vec<_> = exchanges
            .iter()
            .filter(|call| call.operation == "TransactWriteItems")
            .map(|call| &call.body)
            .collect();
        assert_eq!(transactions.len(), 6);
        for same in [&transactions[..3], &transactions[3..]] {
            assert_eq!(same[0], same[1]);
            assert_eq!(same[1], same[2]);
        }
    }
}

/// A write of a first worker is kept on the network, the worker dies, and the
/// write arrives when a second worker is in the middle of its work, or done.
/// `claimed_before`: the first worker, too, takes over what another has left.
async fn arrives_late(claimed_before: bool, is: fn(&Call<'_>) -> bool) {
    for in_the_middle in [true, false] {
        let mut world = world().await;
        if claimed_before {
            world.inline_budget = Duration::ZERO;
            assert_eq!(world.delete("campaign_1").await.status, 202);
            world.inline_budget = Duration::from_secs(20);
        }
        let arrive = Arc::new(Notify::new());
        let dying = Arc::new(Notify::new());
        let kept = AtomicBool::new(false);
        let (late, died) = (arrive.clone(), dying.clone());
        world.proxy.policy(move |call| {
            if kept.load(Ordering::SeqCst) {
                return Action::LoseRequest;
            }
            if !is(call) {
                return Action::Pass;
            }
            kept.store(true, Ordering::SeqCst);
            died.notify_one();
            Action::LateUntil(late.clone())
        });
        let api = world.api().await;
        let first = tokio::spawn(async move { send(&api, delete_event("campaign_1")).await });
        dying.notified().await;
        first.abort();
        tokio::time::sleep(world.settings.lease + Duration::from_millis(50)).await;
        let late = arrive.clone();
        world.proxy.policy(move |call| {
            if in_the_middle && call.operation == "BatchWriteItem" && call.nth == 1 {
                late.notify_one();
                return Action::Delay(Duration::from_millis(150));
            }
            Action::Pass
        });
        let reply = world.delete("campaign_1").await;
        assert_eq!(
            (reply.status, reply.deleted_items()),
            (200, &counts()),
            "{reply:?}"
        );
        let before = world.dump().await;
        arrive.notify_one();
        world.proxy.settle().await;
        assert_eq!(
            world.dump().await,
            before,
            "a late write has changed something"
        );
        world.assert_gone("campaign_1", &counts()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_claim_changes_nothing() {
    arrives_late(false, is_claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_count_ahead_changes_nothing() {
    arrives_late(false, is_progress).await;
    arrives_late(false, |call| is_progress(call) && call.nth >= 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_takeover_changes_nothing() {
    arrives_late(true, |call| {
        call.operation == "UpdateItem" && !is_progress(call)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_batch_deletes_nothing_that_is_not_counted() {
    arrives_late(false, |call| {
        call.operation == "BatchWriteItem" && call.nth == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_and_repeated_count_ahead_changes_nothing() {
    let world = world().await;
    let arrive = Arc::new(Notify::new());
    world.proxy.policy(once(
        |call| is_progress(call) && call.nth >= 1,
        Action::LateUntil(arrive.clone()),
    ));
    let reply = world.delete("campaign_1").await;
    arrive.notify_one();
    exact_after(&world, &reply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_finish_that_its_sender_has_repeated_changes_nothing() {
    let world = world().await;
    let arrive = Arc::new(Notify::new());
    world
        .proxy
        .policy(once(is_finish, Action::LateUntil(arrive.clone())));
    let reply = world.delete("campaign_1").await;
    // The platform makes a new campaign of the same id before it arrives.
    world.put_campaign("campaign_1", &[]).await;
    let before = world.dump().await;
    arrive.notify_one();
    world.proxy.settle().await;
    assert_eq!((reply.status, reply.deleted_items()), (200, &counts()));
    assert_eq!(world.dump().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_finish_of_a_dead_worker_finishes_only_what_is_empty() {
    let world = world().await;
    let arrive = Arc::new(Notify::new());
    let dying = Arc::new(Notify::new());
    let (late, died) = (arrive.clone(), dying.clone());
    world.proxy.policy(move |call| {
        match (is_finish(call), call.nth) {
            // The claim was the first transaction.
            (true, 1) => {
                died.notify_one();
                Action::LateUntil(late.clone())
            }
            (true, _) => Action::LoseRequest,
            (false, _) => Action::Pass,
        }
    });
    let api = world.api().await;
    let first = tokio::spawn(async move { send(&api, delete_event("campaign_1")).await });
    dying.notified().await;
    first.abort();
    arrive.notify_one();
    world.proxy.settle().await;
    world.assert_gone("campaign_1", &counts()).await;
    world.proxy.pass();
    world.delete("campaign_1").await.assert(404, "not_found");
}

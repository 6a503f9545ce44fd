//! The claims of one request: several at a time, repeated, lost, and by two callers at once.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::{claimed_by, keyed, post, statuses, verdicts, world};
use crate::harness::{
    World, delete_event,
    proxy::{Action, is_claim, most_at_once},
    s,
};

/// The deletion of each verdict.
fn deletions(verdicts: &[Value]) -> Vec<String> {
    let ids = verdicts
        .iter()
        .map(|one| one["deletionId"].as_str().unwrap());
    ids.map(ToOwned::to_owned).collect()
}

fn replayed(verdicts: &[Value]) -> Vec<bool> {
    let replayed = verdicts.iter().map(|one| one["idempotentReplayed"] == true);
    replayed.collect()
}

/// Asserts that there is one deletion for each of these campaigns.
async fn assert_one_each(world: &World, ids: &[String]) {
    let records = world.records().await;
    let claimed: BTreeSet<_> = records
        .iter()
        .map(|record| record["campaignId"].as_str())
        .collect();
    assert_eq!((records.len(), claimed.len()), (ids.len(), ids.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_answers_the_same_and_tries_refusals_again() {
    let (world, mut ids) = world(3).await;
    world
        .put_campaign("campaign_1", &[("campaignStatus", s("active"))])
        .await;
    ids.push("campaign_late".to_owned());
    let first = verdicts(&world.send(keyed(&ids, "k")).await, &ids);
    assert_eq!(statuses(&first), [202, 409, 202, 404]);
    assert_eq!(replayed(&first), [false; 4]);
    // What was refused is there now.
    world.put_campaign("campaign_1", &[]).await;
    world.put_campaign("campaign_late", &[]).await;
    let second = verdicts(&world.send(keyed(&ids, "\"k\"")).await, &ids);
    assert_eq!(statuses(&second), [202; 4]);
    assert_eq!(replayed(&second), [true, false, true, false]);
    assert_eq!(second[0]["deletionId"], first[0]["deletionId"]);
    assert_eq!(second[2]["deletionId"], first[2]["deletionId"]);
    // A part of them, in another order, with others: each campaign has its own key.
    world.put_campaign("campaign_5", &[]).await;
    let some = ["campaign_2", "campaign_5", "campaign_0"].map(ToOwned::to_owned);
    let third = verdicts(&world.send(keyed(&some, "k")).await, &some);
    assert_eq!(replayed(&third), [true, false, true]);
    assert_eq!(third[0]["deletionId"], first[2]["deletionId"]);
    // Once they are deleted, too.
    for id in &ids {
        assert_eq!(world.delete_until_done(id).await.status, 200);
    }
    let done = verdicts(&world.send(keyed(&ids, "k")).await, &ids);
    assert_eq!(statuses(&done), [200; 4]);
    assert_eq!(replayed(&done), [true; 4]);
    assert_eq!(deletions(&done), deletions(&second));
    assert_eq!(done[0]["message"], "Campaign deleted successfully");
    // Another key is another request.
    let other = verdicts(&world.send(keyed(&ids, "k-2")).await, &ids);
    assert_eq!(statuses(&other), [404; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_is_kept_in_each_record() {
    let (world, ids) = world(3).await;
    let body = json!({ "campaignIds": ids, "reason": "erasure-request" });
    verdicts(&world.send(post(&body)).await, &ids);
    let records = world.records().await;
    assert_eq!(records.len(), 3);
    assert!(
        records
            .iter()
            .all(|record| record["reason"] == "erasure-request")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_delete_is_not_the_key_of_many() {
    let (world, ids) = world(2).await;
    let claimed = verdicts(&world.send(keyed(&ids, "k")).await, &ids);
    let single = |id: &str| {
        let mut event = delete_event(id);
        event["headers"]["idempotency-key"] = "k".into();
        event
    };
    // It attaches and finishes, and is no repetition; its own key is for its own campaign.
    let alone = world.send(single("campaign_0")).await;
    assert_eq!(
        (alone.status, &alone.deletion_id()),
        (200, &deletions(&claimed)[0])
    );
    assert!(!alone.headers.contains_key("idempotent-replayed"));
    let reused = world.send(single("campaign_1")).await;
    reused.assert(422, "idempotency_key_reused");
    let again = world.send(single("campaign_0")).await;
    assert_eq!(again.headers["idempotent-replayed"], "true");
    // Nor does the key of a DELETE stand in the way of many.
    let both = verdicts(&world.send(keyed(&ids, "k")).await, &ids);
    assert_eq!(statuses(&both), [200, 202]);
    assert_eq!(replayed(&both), [true, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_of_a_claim_claims_once() {
    for action in [Action::LoseAnswer, Action::HalfAnswer] {
        for key in [None, Some("k")] {
            let (world, ids) = world(20).await;
            let seen = std::sync::Mutex::new(BTreeSet::new());
            let action = action.clone();
            world.proxy.policy(move |call| {
                let is_first = is_claim(call) && seen.lock().unwrap().insert(claimed_by(call));
                if is_first {
                    action.clone()
                } else {
                    Action::Pass
                }
            });
            let event = || match key {
                Some(key) => keyed(&ids, key),
                None => post(&json!({ "campaignIds": ids })),
            };
            let first = verdicts(&world.send(event()).await, &ids);
            assert_eq!(statuses(&first), [202; 20]);
            assert_one_each(&world, &ids).await;
            let again = verdicts(&world.send(event()).await, &ids);
            assert_eq!(deletions(&again), deletions(&first));
            assert_eq!(replayed(&again), [key.is_some(); 20]);
            assert_one_each(&world, &ids).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_dies_is_repeated_with_its_key() {
    let (world, ids) = world(40).await;
    // The function is gone when some claims are applied: their answers never arrive.
    let pause = world
        .proxy
        .pause_at(|call| is_claim(call) && call.nth == 20);
    let api = world.api().await;
    let event = keyed(&ids, "k");
    let dying = tokio::spawn(async move { crate::harness::send(&api, event).await });
    pause.reached().await;
    dying.abort();
    let _ = dying.await;
    world.proxy.pass();
    world.proxy.settle().await;
    let before = world.records().await.len();
    assert!((1..40).contains(&before), "{before}");
    let again = verdicts(&world.send(keyed(&ids, "k")).await, &ids);
    assert_eq!(statuses(&again), [202; 40]);
    assert_one_each(&world, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_callers_at_once_begin_one_deletion_of_each() {
    for (one, other) in [("k", "k"), ("k", "k-2")] {
        let (world, ids) = world(30).await;
        let backwards: Vec<_> = ids.iter().rev().cloned().collect();
        let first = Box::pin(world.send(keyed(&ids, one)));
        let second = Box::pin(world.send(keyed(&backwards, other)));
        let (first, second) = tokio::join!(first, second);
        let first = verdicts(&first, &ids);
        let mut second = verdicts(&second, &backwards);
        second.reverse();
        assert_eq!(statuses(&first), [202; 30]);
        assert_eq!(statuses(&second), [202; 30]);
        assert_eq!(deletions(&first), deletions(&second));
        assert_one_each(&world, &ids).await;
        // With one key, exactly one of the two is the first for each campaign.
        for (first, second) in replayed(&first).into_iter().zip(replayed(&second)) {
            assert_eq!(first ^ second, one == other);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_claims_of_two_accounts_do_not_meet() {
    const OTHER: &str = "other_other_other_other_other_other_0123";
    let (world, ids) = world(2).await;
    world
        .put_key(OTHER, &[("accountId", s("account_other"))])
        .await;
    let mut theirs = keyed(&ids, "k");
    theirs["headers"]["authorization"] = format!("Bearer {OTHER}").into();
    let refused = verdicts(&world.send(theirs.clone()).await, &ids);
    assert_eq!(statuses(&refused), [403, 403]);
    let ours = verdicts(&world.send(keyed(&ids, "k")).await, &ids);
    assert_eq!(
        (statuses(&ours), replayed(&ours)),
        (vec![202, 202], vec![false, false])
    );
    let refused = verdicts(&world.send(theirs).await, &ids);
    assert_eq!(statuses(&refused), [403, 403]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_sixteen_are_claimed_at_once() {
    let (world, ids) = world(100).await;
    let sixteen = Arc::new(Barrier::new(16));
    world
        .proxy
        .policy(move |call| match (call.operation, call.nth) {
            ("TransactWriteItems", ..16) => Action::Together(sixteen.clone()),
            _ => Action::Pass,
        });
    let reply = world.send(post(&json!({ "campaignIds": ids }))).await;
    assert_eq!(statuses(&verdicts(&reply, &ids)), [202; 100]);
    let exchanges = world.proxy.exchanges();
    assert_eq!(most_at_once(&exchanges, "TransactWriteItems"), 16);
    assert_one_each(&world, &ids).await;
}

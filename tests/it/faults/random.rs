//! Faults, singly and mixed, drawn from many seeds: nothing is lost, nothing
//! counted twice, and the table is empty or the error clear.

use std::{
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    harness::World,
    harness::proxy::{
        Action, Call, internal_error, throttled, transaction_conflict, transaction_in_progress,
    },
};

/// Seeds for each kind of fault; more with `FAULT_SEEDS`.
const SEEDS: u64 = 3;
const CHATS: u64 = 60;
const MESSAGES: u64 = 35;

fn counts() -> Value {
    json!({
        "prospects": 0, "chats": CHATS, "messages": MESSAGES, "tasks": 0, "webhookEvents": 0,
        "analytics": 0, "other": 1,
    })
}

async fn world() -> World {
    let world = World::new().await.lease(60).inline_budget(400);
    world.proxy.page_limit(10);
    world.put_campaign("campaign_1", &[]).await;
    world.put_campaign("campaign_10", &[]).await;
    let mut children: Vec<_> = (0..CHATS).map(|n| format!("CHAT#{n:05}")).collect();
    children.extend((0..MESSAGES).map(|n| format!("MESSAGE#1#{n:05}#1")));
    children.push("CAMPAIGN#shadow".to_owned());
    world.put_children("campaign_1", &children).await;
    world.put_children("campaign_10", &children).await;
    world
}

/// Draws by what a request is rather than by when it comes, so that a seed
/// brings the same faults back.
fn drawn(seed: u64, call: &Call<'_>) -> fastrand::Rng {
    let mut hasher = std::hash::DefaultHasher::new();
    (seed, call.operation, call.nth).hash(&mut hasher);
    fastrand::Rng::with_seed(hasher.finish())
}

/// Deletes `campaign_1` while about one in `one_in` requests meets a fault.
async fn survives(
    seed: u64,
    one_in: u32,
    fault: fn(&mut fastrand::Rng, &Call<'_>) -> Option<Action>,
) -> usize {
    let world = world().await;
    // Every other deletion is announced, on a bus that fails, too.
    let is_announced = seed % 2 == 1;
    let world = if is_announced {
        world.announcing()
    } else {
        world
    };
    world
        .bus
        .policy(move |call| match drawn(seed, call).u8(0..4) {
            0 => Action::LoseRequest,
            1 => Action::LoseAnswer,
            _ => Action::Pass,
        });
    let mut neighbour = world.dump().await;
    neighbour.retain(|(pk, _), _| pk == "CAMPAIGN#campaign_10");
    let met = Arc::new(AtomicUsize::new(0));
    let meets = met.clone();
    world.proxy.policy(move |call| {
        let mut rng = drawn(seed, call);
        if rng.u32(0..one_in) > 0 {
            return Action::Pass;
        }
        let fault = fault(&mut rng, call);
        meets.fetch_add(usize::from(fault.is_some()), Ordering::SeqCst);
        fault.unwrap_or(Action::Pass)
    });
    let mut answers = Vec::new();
    let reply = loop {
        let reply = world.delete("campaign_1").await;
        answers.push(reply.status);
        match reply.status {
            // 404: the answer that said 200 was a worker's that had lost.
            200 | 404 => break reply,
            202 | 500 | 503 => {}
            _ => panic!("seed {seed}: {reply:?}"),
        }
        assert!(answers.len() < 200, "seed {seed} does not end: {answers:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    if reply.status == 200 {
        assert_eq!(reply.deleted_items(), &counts(), "seed {seed}");
    }
    world.proxy.settle().await;
    world.assert_gone("campaign_1", &counts()).await;
    let mut left = world.dump().await;
    left.retain(|(pk, _), _| pk == "CAMPAIGN#campaign_10");
    assert_eq!(left, neighbour, "seed {seed}");
    if is_announced {
        world.proxy.pass();
        world.bus.pass();
        world.cleanup().await;
        let id = world.records().await[0]["deletionId"].clone();
        assert_eq!(world.bus.ids(), [id], "seed {seed}");
        assert!(world.unsent_events().await.is_empty(), "seed {seed}");
    }
    met.load(Ordering::SeqCst)
}

async fn from_many_seeds(one_in: u32, fault: fn(&mut fastrand::Rng, &Call<'_>) -> Option<Action>) {
    let mut met = 0;
    for seed in 0..seeds() {
        met += survives(seed, one_in, fault).await;
    }
    assert!(met > 0, "no request has met a fault");
}

fn seeds() -> u64 {
    std::env::var("FAULT_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap())
}

fn milliseconds(rng: &mut fastrand::Rng, most: u64) -> Duration {
    Duration::from_millis(rng.u64(0..most))
}

fn unprocessed(rng: &mut fastrand::Rng, call: &Call<'_>) -> Option<Action> {
    (call.operation == "BatchWriteItem").then(|| Action::Unprocessed(rng.usize(1..=25)))
}

fn conflict(rng: &mut fastrand::Rng, call: &Call<'_>) -> Option<Action> {
    (call.operation == "TransactWriteItems").then(|| {
        if rng.bool() {
            transaction_conflict()
        } else {
            transaction_in_progress()
        }
    })
}

fn late(rng: &mut fastrand::Rng, call: &Call<'_>) -> Option<Action> {
    let write = !["GetItem", "Query"].contains(&call.operation);
    write.then(|| Action::Late(milliseconds(rng, 600)))
}

#[tokio::test(flavor = "multi_thread")]
async fn unprocessed_writes_lose_nothing() {
    from_many_seeds(2, unprocessed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_loses_nothing() {
    from_many_seeds(3, |_, _| Some(throttled())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicting_transactions_lose_nothing() {
    from_many_seeds(2, conflict).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_errors_lose_nothing() {
    from_many_seeds(3, |_, _| Some(internal_error())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_requests_and_lost_answers_lose_nothing_and_count_once() {
    from_many_seeds(3, |_, _| Some(Action::LoseRequest)).await;
    from_many_seeds(3, |_, _| Some(Action::LoseAnswer)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_arrive_late_change_nothing() {
    from_many_seeds(4, late).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn latency_beyond_the_lease_loses_nothing() {
    from_many_seeds(4, |rng, _| Some(Action::Delay(milliseconds(rng, 200)))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_at_once_lose_nothing_and_count_once() {
    from_many_seeds(3, |rng, call| match rng.u8(0..8) {
        0 => unprocessed(rng, call),
        1 => Some(throttled()),
        2 => conflict(rng, call),
        3 => Some(internal_error()),
        4 => Some(Action::LoseRequest),
        5 => Some(Action::LoseAnswer),
        6 => late(rng, call),
        _ => Some(Action::Delay(milliseconds(rng, 150))),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_callers_at_once_under_all_faults_make_one_deletion() {
    for seed in 0..seeds() {
        let world = world().await;
        world.proxy.policy(move |call| {
            let mut rng = drawn(seed, call);
            match rng.u8(0..16) {
                0 => Action::LoseAnswer,
                1 => late(&mut rng, call).unwrap_or(Action::Pass),
                2 => Action::Delay(milliseconds(&mut rng, 200)),
                3 => unprocessed(&mut rng, call).unwrap_or(Action::Pass),
                _ => Action::Pass,
            }
        });
        let caller = async || {
            for _ in 0..200 {
                let reply = world.delete("campaign_1").await;
                if [200, 404].contains(&reply.status) {
                    return;
                }
                assert!([202, 500].contains(&reply.status), "seed {seed}: {reply:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            panic!("seed {seed} does not end");
        };
        tokio::join!(caller(), caller());
        world.proxy.settle().await;
        world.assert_gone("campaign_1", &counts()).await;
    }
}

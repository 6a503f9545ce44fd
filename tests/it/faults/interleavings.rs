//! Slices, crashes and stragglers in any order, over partitions of any kinds,
//! sizes and page boundaries: the counts are those of what was there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    harness::proxy::Action,
    harness::{ACCOUNT, World, delete_event, item, s, send},
};

/// How many interleavings are drawn; more with `INTERLEAVINGS`.
const CASES: u32 = 24;
const KINDS: [(&str, &str); 9] = [
    ("PROSPECT#", "prospects"),
    ("CHAT#", "chats"),
    ("MESSAGE#", "messages"),
    ("TASK#", "tasks"),
    ("WEBHOOK#", "webhookEvents"),
    ("ANALYTICS#", "analytics"),
    ("ACTIVITY#", "analytics"),
    ("DELIVERY#", "webhookDeliveries"),
    ("A-kind-of-tomorrow#", "other"),
];

/// A child: its kind, its place among the others, and its size, bytes.
type Child = (usize, u16, usize);

/// What comes next.
#[derive(Clone, Debug)]
enum Step {
    /// A DELETE with so little time, milliseconds, that it may not finish.
    Delete(u64),
    /// A slice with so little time, milliseconds.
    Drain(u64),
    /// A worker dies at this request, before it is sent or after it is applied.
    Crash(usize, bool),
    /// This request is lost for its sender and arrives after this many
    /// milliseconds.
    Straggler(usize, u64),
    /// The answer of this request is lost.
    LostAnswer(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u64..400).prop_map(Step::Delete),
        (0_u64..400).prop_map(Step::Drain),
        (0_usize..16, any::<bool>()).prop_map(|(at, applied)| Step::Crash(at, applied)),
        (0_usize..16, 0_u64..80).prop_map(|(at, after)| Step::Straggler(at, after)),
        (0_usize..16).prop_map(Step::LostAnswer),
    ]
}

async fn put(world: &World, children: &[Child]) -> Value {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for name in [
        "prospects",
        "chats",
        "messages",
        "tasks",
        "webhookEvents",
        "analytics",
    ] {
        counts.insert(name, 0);
    }
    let mut seen = std::collections::BTreeSet::new();
    for (kind, place, size) in children {
        let (prefix, counter) = KINDS[*kind];
        let sort_key = format!("{prefix}{place}");
        if seen.insert(sort_key.clone()) {
            *counts.entry(counter).or_default() += 1;
        }
        let child = [
            ("PK", s("CAMPAIGN#campaign_1")),
            ("SK", s(&sort_key)),
            ("text", s(&"x".repeat(*size))),
        ];
        world.put(item(&child)).await;
    }
    json!(counts)
}

async fn holds(children: Vec<Child>, page: u64, steps: Vec<Step>) -> World {
    let mut world = World::new().await.lease(40);
    world.proxy.page_limit(page);
    // In the order in which they were drawn, and so in none.
    let counts = put(&world, &children).await;
    world.put_campaign("campaign_1", &[]).await;
    for step in steps {
        match step {
            Step::Delete(milliseconds) => {
                world.proxy.pass();
                world.inline_budget = Duration::from_millis(milliseconds);
                world.delete("campaign_1").await;
            }
            Step::Drain(milliseconds) => {
                world.proxy.pass();
                drain(&world, Duration::from_millis(milliseconds + 260)).await;
            }
            Step::Crash(at, applied) => crash(&world, at, applied).await,
            Step::Straggler(at, after) => {
                once(&world, at, Action::Late(Duration::from_millis(after)));
                world.inline_budget = Duration::from_millis(400);
                world.delete("campaign_1").await;
            }
            Step::LostAnswer(at) => {
                once(&world, at, Action::LoseAnswer);
                drain(&world, Duration::from_millis(700)).await;
            }
        }
    }
    world.proxy.pass();
    world.inline_budget = Duration::from_secs(20);
    let reply = world.delete_until_done("campaign_1").await;
    assert!(matches!(reply.status, 200 | 404), "{reply:?}");
    world.assert_gone("campaign_1", &counts).await;
    let before = world.dump().await;
    world.proxy.settle().await;
    assert_eq!(
        world.dump().await,
        before,
        "a late write has changed something"
    );
    world
}

/// One slice of what was claimed, if anything was.
async fn drain(world: &World, runs: Duration) {
    if let Some(record) = world.records().await.first() {
        let payload = json!({"accountId": ACCOUNT, "deletionId": record["deletionId"]});
        // A slice may fail while the table gives no answer.
        let _ = world.drain(payload, runs).await;
    }
}

fn once(world: &World, at: usize, action: Action) {
    world.proxy.policy(move |call| {
        if call.number == at {
            action.clone()
        } else {
            Action::Pass
        }
    });
}

async fn crash(world: &World, at: usize, applied: bool) {
    let dead = Arc::new(Notify::new());
    let dying = dead.clone();
    world.proxy.policy(move |call| {
        if call.number < at {
            return Action::Pass;
        }
        dying.notify_one();
        if applied && call.number == at {
            Action::LoseAnswer
        } else {
            Action::LoseRequest
        }
    });
    let api = world.api().await;
    let mut worker = tokio::spawn(async move { send(&api, delete_event("campaign_1")).await });
    tokio::select! {
        done = &mut worker => drop(done.unwrap()),
        () = dead.notified() => {
            worker.abort();
            // Err: it was cancelled, or it was just done.
            let _ = worker.await;
            world.proxy.settle().await;
        }
    }
}

#[test]
fn every_interleaving_gives_the_same_counts() {
    let cases = std::env::var("INTERLEAVINGS")
        .ok()
        .map_or(CASES, |cases| cases.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let drawn = (
        vec((0..KINDS.len(), any::<u16>(), 0_usize..3_000), 0..50),
        1_u64..14,
        vec(step(), 0..7),
    );
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        // Each try to shrink is a whole deletion.
        max_shrink_iters: 60,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&drawn, |(children, page, steps)| {
            runtime.block_on(async { drop(Box::pin(holds(children, page, steps)).await) });
            Ok(())
        })
        .unwrap();
}

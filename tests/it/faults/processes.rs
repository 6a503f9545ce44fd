//! The built functions as processes, over an engine in another process: killed
//! with SIGKILL at every request boundary, and stopped for longer than a lease.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    harness::function::{Answer, Binary, Function},
    harness::proxy::Action,
    harness::terminal::Serve,
    harness::worlds::{chats, world},
    harness::{ACCOUNT, World, delete_event, endpoint, event},
};

const CHILDREN: u64 = 23;
/// The shortest lease there is; and campaigns in `paused` are past retention.
const SETTINGS: [(&str, &str); 4] = [
    ("LEASE_SECONDS", "1"),
    ("RETENTION_DAYS", "30"),
    ("RETENTION_STATUSES", "paused"),
    ("RETENTION_MODE", "enforce"),
];
/// How many worlds are at work at the same time: they mostly wait for leases.
const AT_ONCE: usize = 6;

/// Where a process is killed.
#[derive(Clone, Copy, Debug)]
struct Point {
    /// At this request, counted from 0.
    boundary: usize,
    /// When the request is applied and not answered, or before it is sent.
    applied: bool,
}

/// Several pages of several kinds.
async fn seeded(url: &str) -> World {
    let world = World::at(url.to_owned()).await.lease(1_000);
    world.proxy.page_limit(8);
    world.put_campaign("campaign_1", &[]).await;
    let kinds = ["CHAT#", "TASK#", "odd#"];
    let key = |n: u64| format!("{}{n:05}", kinds[usize::try_from(n).unwrap() % kinds.len()]);
    let children: Vec<_> = (0..CHILDREN).map(key).collect();
    world.put_children("campaign_1", &children).await;
    world
}

fn counts() -> Value {
    json!({
        "prospects": 0, "chats": 8, "messages": 0, "tasks": 8, "webhookEvents": 0, "analytics": 0,
        "other": 7,
    })
}

/// Runs a function until it answers, or dies at `point`; its answer if it does.
async fn run(binary: Binary, world: &World, event: Value, point: Option<Point>) -> Option<Answer> {
    let dead = Arc::new(Notify::new());
    let dying = dead.clone();
    let never = Arc::new(Notify::new());
    world.proxy.policy(move |call| {
        let Some(point) = point.filter(|point| call.number >= point.boundary) else {
            return Action::Pass;
        };
        if call.number == point.boundary {
            dying.notify_one();
            if point.applied {
                return Action::Hang;
            }
        }
        // What it sends from here on, until it is killed, does not arrive.
        Action::Wait(never.clone())
    });
    let function = Function::start(binary, world, vec![event], &SETTINGS).await;
    let answer = tokio::select! {
        answers = function.answers(1) => answers.into_iter().next(),
        () = dead.notified() => {
            // Sent by now, and applied if it is to be.
            world.proxy.settle().await;
            function.kill();
            None
        }
    };
    let left = world.left("campaign_1").await;
    assert!(
        left.is_empty() || left.contains(&"CAMPAIGN".to_owned()),
        "{point:?}: the campaign item went before {left:?}"
    );
    answer
}

/// The payload of `drain` for the world's deletion, if one is claimed.
async fn payload(world: &World) -> Option<Value> {
    let records = world.records().await;
    let record = records.first()?;
    Some(json!({"accountId": ACCOUNT, "deletionId": record["deletionId"]}))
}

/// Kills at `first`, then twice more at drawn points while resuming, and lets
/// the next ones finish; how many processes have died.
async fn killed_at(url: &str, binary: Binary, first: Point, deaths: &AtomicUsize) -> bool {
    let world = seeded(url).await;
    if matches!(binary, Binary::Drain) {
        let mut event = delete_event("campaign_1");
        event["headers"]["prefer"] = "respond-async".into();
        assert_eq!(world.send(event).await.status, 202);
    }
    let event = match binary {
        Binary::Api => delete_event("campaign_1"),
        Binary::Drain => payload(&world).await.unwrap(),
        Binary::Cleanup => event("schedule"),
    };
    let died = run(binary, &world, event, Some(first)).await.is_none();
    let seed = u64::try_from(first.boundary * 4).unwrap() + u64::from(first.applied);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut drawn: Vec<Point> = (0..2)
        .map(|_| Point {
            boundary: random.usize(0..14),
            applied: random.bool(),
        })
        .collect();
    deaths.fetch_add(usize::from(died), Ordering::Relaxed);
    for _ in 0..30 {
        // A dead one's lease.
        tokio::time::sleep(Duration::from_millis(1_050)).await;
        let point = drawn.pop();
        let answer = match payload(&world).await {
            Some(payload) => run(Binary::Drain, &world, payload, point).await,
            None => run(Binary::Api, &world, delete_event("campaign_1"), point).await,
        };
        match answer {
            None => drop(deaths.fetch_add(1, Ordering::Relaxed)),
            Some(Answer::Response(response)) => {
                if response["status"] == "succeeded" || response["statusCode"] == 200 {
                    break;
                }
            }
            Some(Answer::Error(error)) => panic!("{first:?}: {error}"),
        }
    }
    world.assert_gone("campaign_1", &counts()).await;
    died
}

/// Kills `binary` at every boundary it has, in both ways.
async fn killed_everywhere(binary: Binary, at_least: usize) {
    // Another process: `campaigns serve`, or the endpoint that was named.
    let serve = endpoint().is_none().then(|| Serve::start(&[]));
    let url = serve
        .as_ref()
        .map_or_else(|| endpoint().unwrap(), Serve::endpoint_url);
    let (url, deaths) = (url.as_str(), &AtomicUsize::new(0));
    // Beyond the last boundary, no process dies.
    let points = (0..at_least + 8)
        .flat_map(|boundary| [false, true].map(|applied| Point { boundary, applied }));
    let tried: Vec<(Point, bool)> = stream::iter(points)
        .map(|point| async move { (point, killed_at(url, binary, point, deaths).await) })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let hit = tried.iter().filter(|(_, died)| *died).count();
    println!(
        "{binary:?}: {} kill points tried, {hit} hit; with those while resuming, {} processes died",
        tried.len(),
        deaths.load(Ordering::Relaxed)
    );
    assert!(hit >= 2 * at_least, "only {hit} points were hit");
    // Every boundary was tried: beyond some point, no process dies.
    let last = tried.iter().map(|(point, _)| point.boundary).max().unwrap();
    let survived = tried
        .iter()
        .any(|(point, died)| point.boundary == last && !died);
    assert!(survived, "there are more boundaries than {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn api_may_be_killed_at_any_request_boundary() {
    // Key and campaign, claim, four pages, three count-aheads, three batches, the
    // empty read, the finish.
    killed_everywhere(Binary::Api, 14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_may_be_killed_at_any_request_boundary() {
    // The record, the takeover, and the same from the first page on.
    killed_everywhere(Binary::Drain, 13).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cleanup_may_be_killed_at_any_request_boundary() {
    // The campaigns in `deleting`, those in `paused`, the claim, and the same.
    killed_everywhere(Binary::Cleanup, 14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_paused_past_its_lease_changes_nothing() {
    for binary in [Binary::Api, Binary::Drain, Binary::Cleanup] {
        let world = world(60).await.lease(1_000);
        let event = match binary {
            Binary::Api => delete_event("campaign_1"),
            Binary::Drain => {
                let mut asynchronous = delete_event("campaign_1");
                asynchronous["headers"]["prefer"] = "respond-async".into();
                assert_eq!(world.send(asynchronous).await.status, 202);
                payload(&world).await.unwrap()
            }
            Binary::Cleanup => event("schedule"),
        };
        let batch = world.proxy.pause_at_nth("BatchWriteItem", 2);
        let function = Function::start(binary, &world, vec![event], &SETTINGS).await;
        batch.reached().await;
        function.signal("STOP");
        tokio::time::sleep(Duration::from_millis(1_400)).await;
        assert_eq!(world.records().await[0]["state"], "running");
        let payload = payload(&world).await.unwrap();
        let slice = world.drain(payload, Duration::from_secs(10)).await.unwrap();
        assert_eq!((slice.status, slice.processed), ("succeeded", 60));
        world.assert_gone("campaign_1", &chats(60)).await;
        // What it had sent arrives now.
        batch.resume();
        let done = world.dump().await;
        function.signal("CONT");
        let answers = function.answers(1).await;
        // It answers what the record says.
        let Answer::Response(response) = &answers[0] else {
            panic!("{answers:?}");
        };
        match binary {
            Binary::Api => assert_eq!(response["statusCode"], 200),
            Binary::Drain => assert_eq!(response["status"], "succeeded"),
            Binary::Cleanup => {
                let id = &world.records().await[0]["deletionId"];
                assert_eq!(response["started"], json!([id]));
            }
        }
        world.proxy.settle().await;
        assert_eq!(world.dump().await, done);
    }
}

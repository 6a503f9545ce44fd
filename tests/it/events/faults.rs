//! The bus fails in every way, and workers die at every request: each finished deletion is
//! announced in the end, and no answer waits for it longer than it may.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::StatusCode;
use serde_json::json;
use tokio::sync::Notify;

use super::{assert_announced, finished, put_unsent, world};
use crate::harness::{
    World,
    bus::{error, refused_entry},
    delete_event,
    proxy::Action,
    send,
    worlds::chats,
};

/// Which of the two endpoints a worker dies at.
#[derive(Clone, Copy, Debug)]
enum At {
    Table,
    Bus,
}

/// Whether a worker died: it does at its `boundary`-th request, if it gets there.
async fn dies_at(at: At, boundary: usize, applied: bool) -> bool {
    let world = world(13, 30).await;
    let dead = Arc::new(Notify::new());
    let dying = dead.clone();
    let fate = move |number: usize| {
        if number < boundary {
            return Action::Pass;
        }
        dying.notify_one();
        if applied && number == boundary {
            Action::LoseAnswer
        } else {
            Action::LoseRequest
        }
    };
    match at {
        At::Table => world.proxy.policy(move |call| fate(call.number)),
        At::Bus => world.bus.policy(move |call| fate(call.number)),
    }
    let api = world.api().await;
    let mut worker =
        tokio::spawn(async move { send(&api, delete_event("campaign_1")).await.status });
    let died = tokio::select! {
        status = &mut worker => {
            assert_eq!(status.unwrap(), 200);
            false
        }
        () = dead.notified() => {
            worker.abort();
            assert!(worker.await.is_err());
            world.proxy.settle().await;
            world.bus.settle().await;
            true
        }
    };
    let ids = finished(&world).await;
    assert!(world.bus.ids().is_empty() || world.bus.ids() == ids);
    // What is finished is announced, or will be.
    let unsent = world.unsent_events().await.len();
    assert!(
        unsent == ids.len() || world.bus.ids() == ids,
        "{at:?} {boundary}"
    );
    world.proxy.pass();
    world.bus.pass();
    tokio::time::sleep(world.settings.lease + Duration::from_millis(5)).await;
    let reply = world.delete_until_done("campaign_1").await;
    assert!([200, 404].contains(&reply.status), "{reply:?}");
    world.assert_gone("campaign_1", &chats(13)).await;
    world.cleanup().await;
    assert_announced(&world, &finished(&world).await).await;
    assert!(world.bus.taken().len() <= 2);
    died
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_at_any_request_of_finish_and_event() {
    // The bus, and its event; what a deletion of two pages asks of the table, the finish and the
    // removal of the event included.
    for (at, least) in [(At::Bus, 2), (At::Table, 11)] {
        for applied in [false, true] {
            let mut boundary = 0;
            while Box::pin(dies_at(at, boundary, applied)).await {
                boundary += 1;
            }
            assert!(boundary >= least, "only {boundary} boundaries of {at:?}");
        }
    }
}

/// A clean-up may die as well, at any of its requests.
#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_may_die_at_any_request_of_an_event() {
    for (at, least) in [(At::Bus, 2), (At::Table, 3)] {
        for applied in [false, true] {
            let mut boundary = 0;
            loop {
                let world = World::new().await.announcing();
                let id = put_unsent(&world, 1).await;
                let dead = Arc::new(Notify::new());
                let dying = dead.clone();
                let fate = move |number: usize| match number.cmp(&boundary) {
                    std::cmp::Ordering::Less => Action::Pass,
                    std::cmp::Ordering::Equal if applied => {
                        dying.notify_one();
                        Action::LoseAnswer
                    }
                    _ => {
                        dying.notify_one();
                        Action::LoseRequest
                    }
                };
                match at {
                    At::Table => world.proxy.policy(move |call| fate(call.number)),
                    At::Bus => world.bus.policy(move |call| fate(call.number)),
                }
                let died = tokio::select! {
                    _ = world.cleanup() => false,
                    () = dead.notified() => true,
                };
                world.proxy.settle().await;
                world.bus.settle().await;
                world.proxy.pass();
                world.bus.pass();
                world.cleanup().await;
                assert_announced(&world, &[id]).await;
                if !died {
                    break;
                }
                boundary += 1;
            }
            assert!(boundary >= least, "only {boundary} boundaries of {at:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_bus_that_passes_delays_the_event_only() {
    for fault in [
        error("ThrottlingException"),
        refused_entry("ThrottlingException"),
        refused_entry("InternalFailure"),
        error("ExpiredTokenException"),
        Action::Answer(StatusCode::INTERNAL_SERVER_ERROR, json!({})),
        Action::Answer(StatusCode::OK, json!({})),
        Action::LoseRequest,
        Action::LoseAnswer,
        Action::HalfRequest,
        Action::HalfAnswer,
        Action::Delay(Duration::from_millis(60)),
        Action::Late(Duration::from_millis(20)),
    ] {
        let world = world(3, 30_000).await;
        // Every other request.
        world.bus.policy(move |call| match call.number % 2 {
            0 => fault.clone(),
            _ => Action::Pass,
        });
        let reply = world.delete("campaign_1").await;
        assert_eq!(reply.status, 200);
        world.bus.settle().await;
        world.cleanup().await;
        assert_announced(&world, &[reply.deletion_id()]).await;
    }
}

/// What a bus may do for longer than an answer waits, and whether it is for good.
fn lasting() -> Vec<(Action, bool)> {
    vec![
        (Action::Hang, false),
        (Action::LoseRequest, false),
        (error("ThrottlingException"), false),
        (refused_entry("ThrottlingException"), false),
        (refused_entry("InternalFailure"), false),
        (
            Action::Answer(StatusCode::SERVICE_UNAVAILABLE, json!({})),
            false,
        ),
        (Action::Answer(StatusCode::OK, json!({})), false),
        (error("AccessDeniedException"), true),
        (refused_entry("NotAuthorizedForSourceException"), true),
        (error("ResourceNotFoundException"), true),
        (error("ValidationException"), true),
        (refused_entry("MalformedDetail"), true),
        (error("UnrecognizedClientException"), true),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_takes_nothing_delays_no_answer() {
    for (number, (fault, is_for_good)) in lasting().into_iter().enumerate() {
        for operation in ["PutEvents", "DescribeEventBus"] {
            // Without the right to look at a bus, it is taken for granted.
            if operation == "DescribeEventBus" && number == 7 {
                continue;
            }
            let world = world(3, 30_000).await;
            let failing = fault.clone();
            world.bus.policy(move |call| {
                if call.operation == operation {
                    failing.clone()
                } else {
                    Action::Pass
                }
            });
            let reply = world.delete("campaign_1").await;
            let answered = Instant::now();
            assert_eq!(reply.status, 200, "{number} {operation}");
            let mut exchanges = world.proxy.exchanges().into_iter();
            let finish = exchanges.rfind(|call| call.operation == "TransactWriteItems");
            let elapsed = answered - finish.unwrap().ended;
            // A second, and what a busy machine adds.
            assert!(
                elapsed < Duration::from_secs(2),
                "{number} {operation}: {elapsed:?}"
            );
            assert_eq!(world.unsent_events().await.len(), 1, "{number} {operation}");
            if is_for_good {
                let run = world.cleanup().await;
                assert_eq!(run["events"], json!({"sent": 0, "unsent": 1}), "{number}");
                assert_eq!(world.unsent_events().await.len(), 1);
            }
            world.bus.settle().await;
            world.bus.pass();
            let run = world.cleanup().await;
            assert_eq!(run["events"], json!({"sent": 1, "unsent": 0}), "{number}");
            assert_announced(&world, &[reply.deletion_id()]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_counts_as_sent_to_a_bus_that_does_not_exist() {
    let mut world = world(3, 30_000).await;
    world.settings.event_bus = Some("elsewhere".to_owned());
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 200);
    assert_eq!(world.bus.asked("DescribeEventBus"), 1);
    // It would have been acknowledged.
    assert_eq!(world.bus.asked("PutEvents"), 0);
    assert_eq!(world.unsent_events().await.len(), 1);
    let world = world.announcing();
    world.cleanup().await;
    assert_announced(&world, &[reply.deletion_id()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_may_not_be_looked_at_gets_events() {
    let world = world(3, 30_000).await;
    world.bus.policy(|call| match call.operation {
        "DescribeEventBus" => error("AccessDeniedException"),
        _ => Action::Pass,
    });
    let reply = world.delete("campaign_1").await;
    assert_announced(&world, &[reply.deletion_id()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_event_does_not_hold_up_the_others() {
    let world = World::new().await.announcing();
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(put_unsent(&world, number).await);
    }
    let refused: Vec<_> = ids.drain(..5).collect();
    world.bus.policy(|call| {
        let is_refused = |number: u32| {
            let detail = call.body["Entries"][0]["Detail"]
                .as_str()
                .unwrap_or_default();
            detail.contains(&format!("\"campaign_{number}\""))
        };
        if (0..5).any(is_refused) {
            error("ValidationException")
        } else {
            Action::Pass
        }
    });
    for sent in [15, 0] {
        let run = world.cleanup().await;
        assert_eq!(run["events"], json!({"sent": sent, "unsent": 5}));
    }
    ids.sort();
    assert_eq!(world.bus.ids(), ids);
    assert_eq!(world.unsent_events().await.len(), 5);
    world.bus.pass();
    world.cleanup().await;
    ids.extend(refused);
    assert_announced(&world, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_gives_a_bus_that_takes_nothing_up_soon() {
    let world = World::new().await.announcing();
    for number in 0..60 {
        put_unsent(&world, number).await;
    }
    // Up to 16 events are on their way when it does.
    for (fault, most) in [(error("AccessDeniedException"), 17), (Action::Hang, 64)] {
        world.bus.policy(move |_| fault.clone());
        let begun = Instant::now();
        let run = world.cleanup().await;
        assert_eq!(run["events"], json!({"sent": 0, "unsent": 60}));
        assert!(begun.elapsed() < Duration::from_secs(8));
        assert!(world.bus.exchanges().len() <= most);
    }
}

/// The table fails after the event was sent: it is sent again, under the same id.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_removed_is_sent_again() {
    let world = world(3, 30_000).await;
    world.proxy.policy(|call| match call.operation {
        "DeleteItem" => Action::LoseRequest,
        _ => Action::Pass,
    });
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 200);
    assert_eq!(world.unsent_events().await.len(), 1);
    world.proxy.pass();
    world.cleanup().await;
    assert_announced(&world, &[reply.deletion_id()]).await;
    assert_eq!(world.bus.taken().len(), 2);
}

/// An event that cannot be read does not hold up the others, and stays.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_event_stays_and_the_others_are_sent() {
    use crate::harness::{ACCOUNT, item, s};
    let world = World::new().await.announcing();
    let odd = |sort_key: &str| {
        item(&[
            ("PK", s(&format!("ACCOUNT#{ACCOUNT}"))),
            ("SK", s(sort_key)),
            ("unfinished", s("event")),
            ("startedAt", s("2020-01-01T00:00:00Z")),
        ])
    };
    world
        .put_all(vec![
            odd("EVENT#0190a8c2-b5c2-7e3f-8000-999999999999"),
            odd("EVENT#1"),
        ])
        .await;
    let id = put_unsent(&world, 1).await;
    let run = world.cleanup().await;
    assert_eq!(run["events"], json!({"sent": 1, "unsent": 1}));
    assert_eq!(world.bus.ids(), [id]);
    assert_eq!(world.unsent_events().await.len(), 2);
}

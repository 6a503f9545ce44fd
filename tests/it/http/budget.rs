//! No request overruns its budget, whatever the table does, and what it leaves
//! is resumed.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crate::{
    harness::proxy::{
        Action, error, internal_error, is_claim, throttled, transaction_conflict,
        transaction_in_progress,
    },
    harness::worlds::{chats, world},
    harness::{Reply, World, delete_event, send},
};

/// A DELETE of `campaign_1`, whose handler has to answer within the budget.
async fn timed(world: &World, budget: Duration) -> Reply {
    let api = world.api().await;
    let begun = Instant::now();
    let reply = send(&api, delete_event("campaign_1")).await;
    let elapsed = begun.elapsed();
    // The timer's own lag, on a machine that does other things.
    assert!(elapsed < budget + Duration::from_millis(500), "{elapsed:?}");
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_table_is_503_and_other_failures_are_500() {
    let world = world(5).await.inline_budget(2_000);
    let before = world.dump().await;
    for (action, status, code) in [
        (throttled(), 503, "unavailable"),
        (transaction_in_progress(), 503, "unavailable"),
        (internal_error(), 500, "internal_error"),
        (Action::LoseRequest, 500, "internal_error"),
        (
            error(hyper::StatusCode::BAD_REQUEST, "AccessDeniedException"),
            500,
            "internal_error",
        ),
    ] {
        for operation in ["GetItem", "TransactWriteItems"] {
            let action = action.clone();
            world.proxy.policy(move |call| {
                if call.operation == operation {
                    action.clone()
                } else {
                    Action::Pass
                }
            });
            let reply = timed(&world, Duration::from_secs(2)).await;
            reply.assert(status, code);
            let retry_after = reply.headers.get("retry-after").map(String::as_str);
            assert_eq!(retry_after, (status == 503).then_some("2"));
            assert!(!reply.text.contains("fault layer"), "{}", reply.text);
            assert_eq!(world.dump().await, before);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_claim_the_answer_is_202_never_an_error() {
    for operation in ["Query", "UpdateItem", "BatchWriteItem"] {
        for action in [
            error(hyper::StatusCode::BAD_REQUEST, "AccessDeniedException"),
            throttled(),
            internal_error(),
            Action::LoseRequest,
        ] {
            let world = world(5).await.inline_budget(1_500).lease(200);
            world.proxy.policy(move |call| {
                if call.operation == operation {
                    action.clone()
                } else {
                    Action::Pass
                }
            });
            let reply = world.delete("campaign_1").await;
            assert_eq!(reply.status, 202, "{operation}: {reply:?}");
            assert_eq!(world.left("campaign_1").await.len(), 6);
            world.proxy.pass();
            tokio::time::sleep(Duration::from_millis(250)).await;
            let world = world.inline_budget(20_000);
            assert_eq!(world.delete("campaign_1").await.status, 200, "{operation}");
            world.assert_gone("campaign_1", &chats(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_hangs_delays_no_answer_past_the_budget() {
    for operation in [
        "GetItem",
        "TransactWriteItems",
        "Query",
        "UpdateItem",
        "BatchWriteItem",
    ] {
        let world = world(5).await.inline_budget(2_500);
        world.proxy.policy(move |call| {
            if call.operation == operation {
                Action::Hang
            } else {
                Action::Pass
            }
        });
        let reply = timed(&world, Duration::from_millis(2_500)).await;
        // The claim is applied, and a look shows it.
        let expected = if operation == "GetItem" { 500 } else { 202 };
        assert_eq!(reply.status, expected, "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_ends_answers_202_and_the_next_delete_resumes() {
    let world = world(100).await.inline_budget(3_000);
    world.proxy.policy(|call| match call.operation {
        "BatchWriteItem" => Action::Delay(Duration::from_millis(600)),
        _ => Action::Pass,
    });
    let first = timed(&world, Duration::from_secs(3)).await;
    assert_eq!(first.status, 202, "{first:?}");
    assert_eq!(first.body["message"], "Campaign deletion in progress");
    assert_eq!(first.headers["retry-after"], "2");
    let deletion_id = first.deletion_id();
    assert_eq!(
        first.headers["location"],
        format!("/v1/deletions/{deletion_id}")
    );
    let summary = first.body["deletionSummary"].as_object().unwrap();
    assert!(summary.contains_key("startedAt") && !summary.contains_key("deletedAt"));
    let counted = first.deleted_items()["chats"].as_u64().unwrap();
    assert!((10..100).contains(&counted), "{counted}");
    // The lease is 30 s long, and released: no request has to wait for it.
    world.proxy.pass();
    let second = world.delete("campaign_1").await;
    assert_eq!((second.status, second.deletion_id()), (200, deletion_id));
    world.assert_gone("campaign_1", &chats(100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_inline_budget_claims_and_answers_202() {
    let mut world = world(5).await.inline_budget(0);
    let reply = world.delete("campaign_1").await;
    assert_eq!((reply.status, reply.deleted_items()), (202, &chats(0)));
    assert_eq!(world.left("campaign_1").await.len(), 6);
    world.inline_budget = Duration::from_secs(20);
    assert_eq!(world.delete("campaign_1").await.status, 200);
    world.assert_gone("campaign_1", &chats(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_stay_unprocessed_stop_the_slice() {
    let world = world(30).await.inline_budget(1_000);
    world.proxy.policy(|call| match call.operation {
        "BatchWriteItem" => Action::Unprocessed(7),
        _ => Action::Pass,
    });
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 202);
    assert!(world.left("campaign_1").await.len() > 7);
    world.proxy.pass();
    assert_eq!(world.delete("campaign_1").await.status, 200);
    world.assert_gone("campaign_1", &chats(30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unprocessed_writes_are_sent_again_until_they_succeed() {
    let world = world(200).await;
    let batches = AtomicUsize::new(0);
    world.proxy.policy(move |call| {
        // Every other batch: half of it back, or all of it throttled.
        let nth = batches.fetch_add(
            usize::from(call.operation == "BatchWriteItem"),
            Ordering::SeqCst,
        );
        match (call.operation, nth % 4) {
            ("BatchWriteItem", 0) => Action::Unprocessed(6),
            ("BatchWriteItem", 2) => throttled(),
            _ => Action::Pass,
        }
    });
    assert_eq!(world.delete("campaign_1").await.status, 200);
    world.assert_gone("campaign_1", &chats(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counted_page_is_deleted_while_the_next_one_cannot_be_read() {
    let world = world(30).await.inline_budget(1_000);
    world.proxy.policy(|call| match (call.operation, call.nth) {
        ("Query", 1..) => throttled(),
        _ => Action::Pass,
    });
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 202);
    // The first page's ten items, the campaign item sorting among them.
    assert_eq!(world.left("campaign_1").await.len(), 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_key_is_refused_without_waiting_for_the_campaign() {
    let world = world(1).await;
    world.proxy.policy(|call| {
        let campaign = call.body["Key"]["SK"]["S"] == "CAMPAIGN";
        if campaign { Action::Hang } else { Action::Pass }
    });
    let mut event = delete_event("campaign_1");
    event["headers"]["authorization"] = format!("Bearer {}", "z".repeat(40)).into();
    let begun = Instant::now();
    world.send(event).await.assert(401, "invalid_api_key");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_stands_is_no_error_when_reads_fail() {
    // The campaign that is looked at, or the record behind it.
    for partition in ["CAMPAIGN#", "ACCOUNT#"] {
        let world = world(5).await.inline_budget(2_000);
        let begun = Instant::now();
        world.proxy.policy(move |call| {
            let is_look = call.operation == "GetItem"
                && call.nth >= 2
                && call.body["Key"]["PK"]["S"]
                    .as_str()
                    .is_some_and(|pk| pk.starts_with(partition));
            match (is_claim(call), call.nth) {
                (true, 0) => Action::LoseAnswer,
                (true, _) => transaction_conflict(),
                // Until after the time in which a claim is made.
                _ if is_look && begun.elapsed() < Duration::from_millis(1_600) => throttled(),
                _ => Action::Pass,
            }
        });
        let reply = timed(&world, Duration::from_secs(2)).await;
        // Never an error; and done, if the time was enough after all.
        assert!(matches!(reply.status, 200 | 202), "{reply:?}");
        world.proxy.pass();
        if reply.status == 202 {
            let done = world.delete_until_done("campaign_1").await;
            assert_eq!(
                (done.status, done.deletion_id()),
                (200, reply.deletion_id())
            );
        }
        world.assert_gone("campaign_1", &chats(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_out_of_time_at_once_is_not_complete() {
    let mut event = delete_event("campaign_1");
    event["rawQueryString"] = "validateOnly=true".into();
    // Without an inline budget it has a second, too.
    for (milliseconds, action) in [(0, Action::Hang), (1_000, Action::Hang)] {
        let world = world(5).await.inline_budget(milliseconds);
        world.proxy.policy(move |call| match call.operation {
            "Query" => action.clone(),
            _ => Action::Pass,
        });
        let reply = world.send(event.clone()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.deleted_items(), &chats(0));
        assert_eq!(reply.body["deletionSummary"]["complete"], false);
    }
}

//! `drain`, slice after slice, and the hand-off to whoever calls it.

use std::time::{Duration, Instant};

use campaigns::{clock::now_ms, deletion::Slice};
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::{
    harness::proxy::{Action, error, is_finish, throttled},
    harness::step_functions::{ARN, Start, StepFunctions, claimed, end_lease},
    harness::worlds::{chats, world},
    harness::{ACCOUNT, delete_event, s, send},
};

const LONG: Duration = Duration::from_secs(10);
/// Long enough that the quarter for the release is enough on a machine that answers late.
const SHORT: Duration = Duration::from_secs(3);

fn payload(deletion_id: &str) -> Value {
    json!({"accountId": ACCOUNT, "deletionId": deletion_id})
}

fn running(id: &str, processed: u64, moved: bool, wait_seconds: u64) -> Slice {
    Slice {
        deletion_id: id.to_owned(),
        campaign_id: "campaign_1".to_owned(),
        status: "running",
        processed,
        moved,
        held_by_another: wait_seconds > 0,
        wait_seconds,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_continue_until_the_campaign_is_gone() {
    // Twenty pages: a slice has time for six at most.
    let world = world(200).await;
    let id = claimed(&world).await;
    world.proxy.policy(|call| match call.operation {
        "BatchWriteItem" => Action::Delay(Duration::from_millis(600)),
        _ => Action::Pass,
    });
    let mut slices = 0;
    let mut processed = 0;
    loop {
        let mut more = payload(&id);
        more["waitSeconds"] = json!("ignored");
        let slice = world.drain(more, SHORT).await.unwrap();
        slices += 1;
        assert!(slice.processed >= processed);
        processed = slice.processed;
        if slice.status == "succeeded" {
            break;
        }
        assert_eq!(slice, running(&id, processed, true, 0));
    }
    assert!(slices > 2, "{slices}");
    world.assert_gone("campaign_1", &chats(200)).await;
    let before = world.dump().await;
    let again = world.drain(payload(&id), LONG).await.unwrap();
    assert_eq!(
        (again.status, again.processed, again.wait_seconds),
        ("succeeded", 200, 0)
    );
    assert_eq!(world.dump().await, before);
    let answer = serde_json::to_value(&again).unwrap();
    assert_eq!(
        answer,
        json!({
            "deletionId": id, "campaignId": "campaign_1", "status": "succeeded", "processed": 200,
            "moved": true, "heldByAnother": false, "waitSeconds": 0,
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unexpired_lease_is_waited_for_without_a_write() {
    let world = world(8).await;
    let batch = world.proxy.pause_at_nth("BatchWriteItem", 0);
    let second = async {
        batch.reached().await;
        let before = world.records().await;
        let id = before[0]["deletionId"].as_str().unwrap();
        let slice = world.drain(payload(id), LONG).await.unwrap();
        assert!((20..=30).contains(&slice.wait_seconds), "{slice:?}");
        assert_eq!(slice, running(id, 8, false, slice.wait_seconds));
        assert_eq!(world.records().await, before);
        batch.resume();
    };
    let (first, ()) = tokio::join!(Box::pin(world.delete("campaign_1")), second);
    assert_eq!(first.status, 200);
    world.assert_gone("campaign_1", &chats(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreleased_lease_is_not_another_workers() {
    let world = world(8).await.lease(3_000);
    let id = claimed(&world).await;
    // Every finish is refused, as if the role did not allow it.
    world.proxy.policy(|call| {
        if is_finish(call) {
            error(StatusCode::BAD_REQUEST, "AccessDeniedException")
        } else {
            Action::Pass
        }
    });
    let slice = world.drain(payload(&id), LONG).await.unwrap();
    assert!((1..=3).contains(&slice.wait_seconds), "{slice:?}");
    assert!(!slice.held_by_another && slice.moved);
    tokio::time::sleep(Duration::from_millis(3_050)).await;
    let slice = world.drain(payload(&id), LONG).await.unwrap();
    assert!(!slice.held_by_another && !slice.moved && slice.wait_seconds > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_without_progress_says_so_and_releases() {
    let world = world(8).await;
    let id = claimed(&world).await;
    for (operation, first, then) in [
        ("Query", (0, false), (0, false)),
        // The first slice counts ahead; what is counted is no progress again.
        ("BatchWriteItem", (8, true), (8, false)),
    ] {
        world.proxy.policy(move |call| {
            if call.operation == operation {
                throttled()
            } else {
                Action::Pass
            }
        });
        for (processed, moved) in [first, then] {
            let slice = world.drain(payload(&id), SHORT).await;
            assert_eq!(
                slice.unwrap(),
                running(&id, processed, moved, 0),
                "{operation}"
            );
        }
    }
    world.proxy.pass();
    let slice = world.drain(payload(&id), LONG).await.unwrap();
    assert_eq!((slice.status, slice.processed), ("succeeded", 8));
    world.assert_gone("campaign_1", &chats(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_that_a_retry_cannot_fix_have_their_own_types() {
    let world = world(3).await;
    let id = claimed(&world).await;
    let before = world.dump().await;
    let unknown = "0190a8c2-b5c2-7e3f-8000-000000000000";
    for (payload, error_type) in [
        (json!({}), "InvalidPayload"),
        (json!({"accountId": ACCOUNT}), "InvalidPayload"),
        (json!({"deletionId": id}), "InvalidPayload"),
        (payload("DELETION#1"), "InvalidPayload"),
        (json!([payload(&id)]), "InvalidPayload"),
        (payload(unknown), "DeletionNotFound"),
        (
            json!({"accountId": "account_2", "deletionId": id}),
            "DeletionNotFound",
        ),
    ] {
        let error = world.drain(payload.clone(), LONG).await.unwrap_err();
        assert_eq!(error["errorType"], error_type, "{payload}");
        assert_eq!(world.dump().await, before);
    }
    world.proxy.policy(|_| throttled());
    let error = world
        .drain(payload(&id), Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(error["errorType"], "TableUnavailable");
    world.proxy.pass();
    let record = [
        ("PK", s(&format!("ACCOUNT#{ACCOUNT}"))),
        ("SK", s(&format!("DELETION#{unknown}"))),
        ("deletionId", s(&id)),
    ];
    world.put(crate::harness::item(&record)).await;
    let error = world.drain(payload(unknown), LONG).await.unwrap_err();
    assert_eq!(error["errorType"], "CorruptRecord");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_whose_campaign_item_is_gone_is_finished() {
    let world = world(5).await;
    let id = claimed(&world).await;
    world
        .table
        .client()
        .delete_item()
        .table_name(world.table.name())
        .key("PK", s("CAMPAIGN#campaign_1"))
        .key("SK", s("CAMPAIGN"))
        .send()
        .await
        .unwrap();
    let slice = world.drain(payload(&id), LONG).await.unwrap();
    assert_eq!((slice.status, slice.processed), ("succeeded", 5));
    world.assert_gone("campaign_1", &chats(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_off_is_named_by_the_version_of_the_release() {
    let mut world = world(5).await;
    let step_functions = StepFunctions::answering(&[Start::Started]).await;
    world.hand_off = step_functions.hand_off.clone();
    world.proxy.policy(|call| match call.operation {
        "BatchWriteItem" => Action::Delay(2 * SHORT),
        _ => Action::Pass,
    });
    world.inline_budget = SHORT;
    let mut names = Vec::new();
    for _ in 0..3 {
        let reply = world.delete("campaign_1").await;
        assert_eq!(reply.status, 202);
        let id = reply.deletion_id();
        let record = &world.records().await[0];
        let version = &record["version"];
        let asked = step_functions.asked();
        let last = asked.last().unwrap();
        assert_eq!(last["stateMachineArn"], ARN);
        assert_eq!(last["name"], format!("{id}-{version}"));
        let input: Value = serde_json::from_str(last["input"].as_str().unwrap()).unwrap();
        assert_eq!(input, payload(&id));
        // It is released already: the first slice need not wait.
        let lease_until = record["leaseUntil"].as_i64().unwrap();
        assert!(lease_until <= campaigns::clock::now_ms());
        names.push(last["name"].to_string());
    }
    names.dedup();
    assert_eq!(names.len(), 3);
    // A request without time to work does not hand off again what was just released.
    let before = world.records().await;
    claimed(&world).await;
    assert_eq!(world.records().await, before);
    assert_eq!(step_functions.asked().len(), 3);
    // A finished deletion is not handed off.
    world.proxy.pass();
    world.inline_budget = LONG;
    assert_eq!(world.delete("campaign_1").await.status, 200);
    assert_eq!(step_functions.asked().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_off_without_a_release_has_the_last_version_written() {
    let mut world = world(5).await.inline_budget(4_000);
    let step_functions = StepFunctions::answering(&[Start::Started]).await;
    world.hand_off = step_functions.hand_off.clone();
    // The claim's; or, where the takeover has no answer, that of what it was to take over.
    for (version, action) in [(1, throttled()), (2, Action::Hang)] {
        world.proxy.policy(move |call| match call.operation {
            "UpdateItem" => action.clone(),
            _ => Action::Pass,
        });
        let reply = world.delete("campaign_1").await;
        assert_eq!(reply.status, 202);
        let asked = step_functions.asked();
        let last = &asked.last().unwrap()["name"];
        assert_eq!(*last, format!("{}-{version}", reply.deletion_id()));
        end_lease(&world, &reply.deletion_id(), now_ms()).await;
    }
    assert_eq!(step_functions.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_answer_was_lost_is_sent_again_unchanged() {
    let mut world = world(5).await;
    let step_functions =
        StepFunctions::answering(&[Start::Broken, Start::Broken, Start::AlreadyExists]).await;
    world.hand_off = step_functions.hand_off.clone();
    claimed(&world).await;
    let asked = step_functions.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|request| *request == asked[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_hand_off_is_no_error_and_keeps_to_the_budget() {
    for answer in [Start::Refused, Start::Broken, Start::Hang] {
        let mut world = world(5).await.inline_budget(4_000);
        let step_functions = StepFunctions::answering(&[answer]).await;
        world.hand_off = step_functions.hand_off.clone();
        world.proxy.policy(|call| match call.operation {
            "BatchWriteItem" => Action::Delay(Duration::from_secs(6)),
            _ => Action::Pass,
        });
        let api = world.api().await;
        let begun = Instant::now();
        let reply = send(&api, delete_event("campaign_1")).await;
        let elapsed = begun.elapsed();
        assert_eq!(reply.status, 202);
        assert!(elapsed < Duration::from_millis(4_500), "{elapsed:?}");
        assert!(!step_functions.asked().is_empty());
        world.proxy.pass();
        let slice = world
            .drain(payload(&reply.deletion_id()), LONG)
            .await
            .unwrap();
        assert_eq!(slice.status, "succeeded");
        world.assert_gone("campaign_1", &chats(5)).await;
    }
}

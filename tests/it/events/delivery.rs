//! What an event says, when it is sent, and that nothing is spent without a bus.

use std::{sync::Arc, time::Duration};

use campaigns::{cli::local_s3::BUCKET, config::ArchiveMode, config::ArchiveSettings};
use serde_json::{Value, json};

use super::{assert_announced, finished, put_unsent, world};
use crate::harness::{
    ACCOUNT, KEY_ID, World, event,
    proxy::{Action, Exchange, is_finish},
    s,
    step_functions::{claimed, end_lease},
    worlds::chats,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_deletion_is_announced_once_and_whole() {
    let world = world(3, 30_000).await;
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 200);
    let id = reply.deletion_id();
    let record = &world.records().await[0];
    let expected = json!({
        "id": id,
        "campaignId": "campaign_1",
        "accountId": ACCOUNT,
        "deletionId": id,
        "requestedBy": KEY_ID,
        "startedAt": record["startedAt"],
        "completedAt": reply.body["deletionSummary"]["deletedAt"],
        "deletedItems": chats(3),
    });
    assert_eq!(world.bus.taken(), [expected]);
    assert_announced(&world, &[id]).await;
    // Put, removed, and looked at once: the bus, its event.
    assert_eq!(world.bus.exchanges().len(), 2);
    let run = world.cleanup().await;
    assert_eq!(run["events"], json!({"sent": 0, "unsent": 0}));
    assert_eq!(world.bus.taken().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_has_the_reason_that_was_given() {
    let world = world(3, 30_000).await;
    let mut event = crate::harness::delete_event("campaign_1");
    event["rawQueryString"] = "reason=erasure-request".into();
    event["queryStringParameters"] = json!({"reason": "erasure-request"});
    assert_eq!(world.send(event).await.status, 200);
    let taken = world.bus.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0]["reason"], "erasure-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_bus_no_request_is_made_or_grows() {
    let mut world = world(3, 30_000).await;
    put_unsent(&world, 1).await;
    world.settings.event_bus = None;
    world.proxy.pass();
    assert_eq!(world.delete("campaign_1").await.status, 200);
    let exchanges = world.proxy.exchanges();
    let last = exchanges.last().unwrap();
    // The finish is the last request, and has two parts.
    let parts = last.body["TransactItems"].as_array().unwrap();
    assert_eq!(
        (last.operation.as_str(), parts.len()),
        ("TransactWriteItems", 2)
    );
    let run = world.cleanup().await;
    assert!(run.get("events").is_none(), "{run}");
    for call in world.proxy.exchanges() {
        assert!(
            !call.body.to_string().contains("\"event\""),
            "{}",
            call.body
        );
    }
    assert!(world.bus.exchanges().is_empty());
    // One that is left from before stays.
    assert_eq!(world.unsent_events().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_bus_costs_one_removal_and_two_requests() {
    let world = world(3, 30_000).await;
    world.proxy.pass();
    assert_eq!(world.delete("campaign_1").await.status, 200);
    let exchanges = world.proxy.exchanges();
    let operations: Vec<_> = exchanges.iter().map(|call| &call.operation[..]).collect();
    let [.., finish, removal] = &operations[..] else {
        panic!("{operations:?}");
    };
    assert_eq!((*finish, *removal), ("TransactWriteItems", "DeleteItem"));
    let finish = &exchanges[exchanges.len() - 2].body["TransactItems"];
    let put = &finish[2]["Put"]["Item"];
    assert_eq!(put["unfinished"], json!({"S": "event"}));
    assert!(put["startedAt"]["S"].is_string());
    // The bus was seen: the next event goes to it at once.
    let api = world.api().await;
    for id in ["campaign_2", "campaign_3"] {
        world.put_campaign(id, &[]).await;
        let event = crate::harness::delete_event(id);
        assert_eq!(crate::harness::send(&api, event).await.status, 200);
    }
    assert_eq!(world.bus.asked("DescribeEventBus"), 2);
    assert_eq!(world.bus.asked("PutEvents"), 3);
}

/// What a deletion consumes of the table, in write units.
async fn consumed(world: &World) -> f64 {
    world.proxy.policy(|call| {
        call.body["ReturnConsumedCapacity"] = "TOTAL".into();
        Action::Pass
    });
    assert_eq!(world.delete("campaign_1").await.status, 200);
    let units = |call: &Exchange| {
        let answer: Value = serde_json::from_slice(&call.answer).unwrap();
        let said = &answer["ConsumedCapacity"];
        let tables = said.as_array().cloned().unwrap_or(vec![said.clone()]);
        let units = tables
            .iter()
            .map(|table| table["CapacityUnits"].as_f64().unwrap());
        units.sum::<f64>()
    };
    let exchanges = world.proxy.exchanges();
    let writes = exchanges
        .iter()
        .filter(|call| !["Query", "GetItem"].contains(&&*call.operation));
    writes.map(units).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_costs_a_few_write_units() {
    let with = consumed(&world(3, 30_000).await).await;
    let mut without = world(3, 30_000).await;
    without.settings.event_bus = None;
    let without = consumed(&without).await;
    let more = with - without;
    println!("{with} write units with an event, {without} without");
    // Five by the guide, and by the embedded engine; DynamoDB Local counts two.
    assert!((2.0..=5.0).contains(&more), "{more}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_finish_sends_the_same_bytes() {
    let world = world(3, 30_000).await;
    let sent = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = sent.clone();
    world.proxy.policy(move |call| {
        if !is_finish(call) {
            return Action::Pass;
        }
        let mut seen = seen.lock().unwrap();
        seen.push(call.body.clone());
        match seen.len() {
            1 => Action::LoseAnswer,
            2 => Action::LoseRequest,
            _ => Action::Pass,
        }
    });
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 200);
    let sent = sent.lock().unwrap().clone();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|body| *body == sent[0]));
    assert_announced(&world, &[reply.deletion_id()]).await;
    assert_eq!(world.bus.taken().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_campaign_is_announced_as_replaced() {
    let world = world(3, 30_000).await.inline_budget(0);
    assert_eq!(world.delete("campaign_1").await.status, 202);
    let world = world.inline_budget(20_000);
    let pause = world.proxy.pause_at(is_finish);
    let api = world.api().await;
    let event = crate::harness::delete_event("campaign_1");
    let deleting = tokio::spawn(async move { crate::harness::send(&api, event).await });
    pause.reached().await;
    world
        .put_campaign("campaign_1", &[("name", s("Back"))])
        .await;
    pause.resume();
    let reply = deleting.await.unwrap();
    assert_eq!((reply.status, reply.deleted_items()), (200, &chats(3)));
    assert_eq!(world.left("campaign_1").await, ["CAMPAIGN"]);
    assert_eq!(world.records().await[0]["campaignReplaced"], true);
    let taken = world.bus.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0]["campaignReplaced"], true);
    assert_announced(&world, &[reply.deletion_id()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_deletion_says_where_its_archive_is() {
    let mut world = world(3, 30_000).await;
    world.settings.archive = Some(ArchiveSettings {
        bucket: BUCKET.to_owned(),
        prefix: "deletions/".to_owned(),
        mode: ArchiveMode::Default,
        days: Some(30),
    });
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 200);
    let taken = world.bus.taken();
    assert_eq!(taken.len(), 1);
    let shown = &reply.body["deletionSummary"]["archive"];
    assert!(shown["expiresAt"].is_string(), "{shown}");
    assert_eq!(&taken[0]["archive"], shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_and_clean_up_announce_what_they_finish() {
    let world = world(3, 30_000).await;
    let id = claimed(&world).await;
    let payload = json!({"accountId": ACCOUNT, "deletionId": id});
    let slice = world.drain(payload, Duration::from_secs(20)).await.unwrap();
    let slice = serde_json::to_value(slice).unwrap();
    assert_eq!(slice["status"], "succeeded");
    assert_announced(&world, std::slice::from_ref(&id)).await;
    // Stalled, and drained in place.
    world.put_campaign("campaign_1", &[]).await;
    let stalled = claimed(&world).await;
    end_lease(&world, &stalled, 0).await;
    world.cleanup().await;
    assert_announced(&world, &[id, stalled]).await;
    assert_eq!(world.bus.taken().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_is_not_finished_is_not_announced() {
    let world = world(25, 30_000).await.inline_budget(400);
    world.proxy.policy(|call| match call.operation {
        "BatchWriteItem" => Action::Delay(Duration::from_millis(300)),
        _ => Action::Pass,
    });
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 202);
    world.cleanup().await;
    assert_eq!(world.bus.ids(), finished(&world).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_deletions_do_not_see_events() {
    let world = world(3, 30_000).await;
    assert_eq!(world.delete("campaign_1").await.status, 200);
    let before = world.send(event("list-deletions")).await.body;
    world.bus.policy(|_| Action::LoseRequest);
    for number in 0..3 {
        put_unsent(&world, number).await;
    }
    let after = world.send(event("list-deletions")).await.body;
    let ids = |body: &Value| body["deletions"].as_array().unwrap().len();
    // The three records, and no event.
    assert_eq!((ids(&before), ids(&after)), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clean_up_sends_the_oldest_events_first() {
    let world = World::new().await.announcing();
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(put_unsent(&world, number).await);
    }
    // The first ones are taken, and every one after them is throttled.
    let taken = std::sync::atomic::AtomicUsize::new(0);
    world.bus.policy(move |call| {
        let is_put = call.operation == "PutEvents";
        if is_put && taken.fetch_add(1, std::sync::atomic::Ordering::SeqCst) >= 10 {
            crate::harness::bus::error("ThrottlingException")
        } else {
            Action::Pass
        }
    });
    let run = world.cleanup_for(event("schedule"), Duration::from_secs(20));
    let run = run.await.unwrap();
    // Some of those that were on their way when it gave up may be among the ten.
    let sent = run["events"]["sent"].as_u64().unwrap();
    assert!((1..=10).contains(&sent), "{run}");
    assert_eq!(run["events"]["unsent"], 40 - sent);
    // Up to 16 are on their way at once.
    assert!(world.bus.ids().iter().all(|id| ids[..16].contains(id)));
    world.bus.pass();
    let run = world.cleanup().await;
    assert_eq!(run["events"]["unsent"], 0, "{run}");
    assert_announced(&world, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_counts_events_and_sends_none() {
    let world = World::new().await.announcing();
    for number in 0..3 {
        put_unsent(&world, number).await;
    }
    let runs = Duration::from_secs(20);
    let report = world.cleanup_for(event("cleanup-report"), runs).await;
    assert_eq!(report.unwrap()["events"], json!({"sent": 0, "unsent": 3}));
    assert!(world.bus.exchanges().is_empty());
    assert_eq!(world.unsent_events().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clean_ups_at_once_send_every_event() {
    let world = World::new().await.announcing();
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(put_unsent(&world, number).await);
    }
    // On a busy machine a run may have too little time for some; the next ones send them.
    for round in 0.. {
        let (one, other) = tokio::join!(world.cleanup(), world.cleanup());
        if [&one, &other].map(|run| &run["events"]["unsent"]) == [0, 0] {
            break;
        }
        assert!(round < 10, "{one} {other}");
    }
    assert_announced(&world, &ids).await;
}

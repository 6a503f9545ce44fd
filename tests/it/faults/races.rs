//! Several at once: callers, and a writer who does not look at the fence.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::Value;

use crate::{
    harness::World,
    harness::proxy::Action,
    harness::worlds::{chats, world},
};

#[tokio::test(flavor = "multi_thread")]
async fn three_deletes_at_once_leave_one_exact_record() {
    for delay in [0, 3, 10, 30] {
        let world = world(60).await;
        world.proxy.policy(move |call| match call.operation {
            "TransactWriteItems" | "BatchWriteItem" => Action::Delay(Duration::from_millis(delay)),
            _ => Action::Pass,
        });
        let (first, second, third) = tokio::join!(
            world.delete("campaign_1"),
            world.delete("campaign_1"),
            world.delete("campaign_1"),
        );
        let mut statuses = [first.status, second.status, third.status];
        statuses.sort_unstable();
        assert_eq!(statuses[0], 200);
        assert!(
            statuses[1..]
                .iter()
                .all(|status| matches!(status, 202 | 404)),
            "{statuses:?}"
        );
        world.assert_gone("campaign_1", &chats(60)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfenced_item_is_counted_or_still_there() {
    let world = Arc::new(world(60).await);
    world.proxy.policy(|call| match call.operation {
        "BatchWriteItem" => Action::Delay(Duration::from_millis(20)),
        _ => Action::Pass,
    });
    let stop = Arc::new(AtomicBool::new(false));
    let (target, stopped) = (world.clone(), stop.clone());
    let writer = tokio::spawn(async move {
        let mut random = fastrand::Rng::with_seed(7);
        let mut written = 0_u64;
        while !stopped.load(Ordering::SeqCst) {
            // Anywhere among, before and after what is there.
            let place = random.u32(0..90);
            let key = format!("CHAT#{place:05}#unfenced_{written}");
            target.put_children("campaign_1", &[key]).await;
            written += 1;
            // A writer that never pauses keeps a deletion from its end.
            if written.is_multiple_of(40) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        written
    });
    let reply = world.delete("campaign_1").await;
    // It writes on when the campaign is gone.
    tokio::time::sleep(Duration::from_millis(400)).await;
    stop.store(true, Ordering::SeqCst);
    let written = writer.await.unwrap();
    assert_eq!(reply.status, 200);
    let counted = reply.deleted_items()["chats"].as_u64().unwrap();
    let left = u64::try_from(world.left("campaign_1").await.len()).unwrap();
    assert!(counted > 60 && left > 0, "{counted} counted, {left} left");
    assert_eq!(counted + left, 60 + written);
    // They had to come in more than one pass.
    let record: &Value = &world.records().await[0];
    assert!(record["pass"].as_u64() > Some(1), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_drains_of_one_deletion_take_turns_and_count_once() {
    let mut world: World = world(60).await.inline_budget(0);
    let id = world.delete("campaign_1").await.deletion_id();
    world = world.lease(200);
    let payload = serde_json::json!({"accountId": crate::harness::ACCOUNT, "deletionId": id});
    world.proxy.policy(|call| match call.operation {
        "BatchWriteItem" => Action::Delay(Duration::from_millis(60)),
        _ => Action::Pass,
    });
    let slices = async |milliseconds| {
        for _ in 0..200 {
            // One that comes too late to read the record fails, and is repeated.
            let slice = world.drain(payload.clone(), Duration::from_millis(milliseconds));
            match slice.await {
                Ok(slice) if slice.status == "succeeded" => return slice.processed,
                _ => {}
            }
        }
        panic!("it does not end");
    };
    assert_eq!(tokio::join!(slices(400), slices(500)), (60, 60));
    world.assert_gone("campaign_1", &chats(60)).await;
    let exchanges = world.proxy.exchanges();
    let owners: std::collections::BTreeSet<_> = exchanges
        .iter()
        .filter(|call| call.operation == "UpdateItem")
        .map(|call| call.body["ExpressionAttributeValues"][":writer"]["S"].to_string())
        .collect();
    assert!(owners.len() > 1, "{owners:?}");
}

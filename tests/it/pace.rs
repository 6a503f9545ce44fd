//! The pace of a deletion, by what the engine says that it has consumed. (With
//! an injected clock, and to within 5 %: `src/deletion/pace.rs`.)

use std::{num::NonZeroU32, time::Duration};

use serde_json::json;

use crate::{
    harness::{World, item, s},
    proxy::Action,
};

/// The sizes of items, bytes, each some hundreds of items in a row or mixed.
const SIZES: [usize; 4] = [300, 10_000, 1_500, 4_000];

/// Puts so many items of these sizes; the write units that deleting them takes: a
/// unit for each started KB.
async fn put(world: &World, id: &str, each: usize) -> f64 {
    let mut units = 0;
    let mut items = Vec::new();
    for number in 0..each * SIZES.len() {
        // The first half in blocks, the second mixed.
        let kind = if number < each * 2 {
            number / (each / 2)
        } else {
            number
        };
        let size = SIZES[kind % SIZES.len()];
        let (partition, sort_key) = (format!("CAMPAIGN#{id}"), format!("MESSAGE#{number:06}"));
        let keys = "PK".len() + partition.len() + "SK".len() + sort_key.len();
        let text = "x".repeat(size - keys - "text".len());
        units += size.div_ceil(1_024);
        items.push(item(&[
            ("PK", s(&partition)),
            ("SK", s(&sort_key)),
            ("text", s(&text)),
        ]));
    }
    world.put_all(items).await;
    world
        .put_campaign(id, &[("campaignStatus", s("completed"))])
        .await;
    f64::from(u32::try_from(units).unwrap())
}

/// The time from the first batch of deletes to the last, seconds.
fn took(world: &World) -> f64 {
    let exchanges = world.proxy.exchanges();
    let batches = exchanges
        .iter()
        .filter(|exchange| exchange.operation == "BatchWriteItem");
    let begun = batches.clone().map(|batch| batch.begun).min().unwrap();
    let ended = batches.map(|batch| batch.ended).max().unwrap();
    (ended - begun).as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_consumes_no_more_than_its_pace_and_about_as_much() {
    const LIMIT: u32 = 2_000;
    let mut world = World::new().await;
    world.settings.pace = NonZeroU32::new(LIMIT);
    let units = put(&world, "campaign_1", 600).await;
    world.proxy.pass();
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.deleted_items()["messages"], 2_400);
    let rate = units / took(&world);
    println!("{units} write units at {rate:.0} a second of {LIMIT}");
    // The last batch is not waited for, and time that was not used counts for a
    // tenth of a second. How far below it stays is the machine's.
    assert!(rate < f64::from(LIMIT) * 1.05, "{rate}");
    assert!(rate > f64::from(LIMIT) * 0.8, "{rate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_has_a_pace_of_its_own_wherever_it_is_drained() {
    const SLOW: u32 = 400;
    let mut world = World::new().await;
    world.settings.retention_pace = NonZeroU32::new(SLOW);
    world.retention.age = campaigns::config::days(30);
    let units = put(&world, "campaign_1", 40).await;
    put(&world, "campaign_2", 40).await;
    // Somebody asks for this one: as fast as it goes.
    world.proxy.pass();
    assert_eq!(world.delete("campaign_2").await.status, 200);
    let fast = units / took(&world);
    // Retention claims the other, and dies; `drain` goes on at retention's pace.
    world.proxy.policy(|call| match call.operation {
        "BatchWriteItem" => Action::LoseRequest,
        _ => Action::Pass,
    });
    let run = world
        .cleanup_for(crate::harness::event("schedule"), Duration::from_secs(2))
        .await;
    let id = run.unwrap()["started"][0].clone();
    world.proxy.pass();
    let of = json!({"accountId": crate::harness::ACCOUNT, "deletionId": id});
    let slice = world.drain(of, Duration::from_secs(20)).await.unwrap();
    assert_eq!((slice.status, slice.processed), ("succeeded", 160));
    let slow = units / took(&world);
    println!("asked for: {fast:.0} units a second; by retention: {slow:.0} of {SLOW}");
    assert!(slow < f64::from(SLOW) * 1.3, "{slow}");
    assert!(fast > slow * 2.0, "{fast} {slow}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_deletion_keeps_its_lease_and_its_budget() {
    let mut world = World::new().await.lease(300).inline_budget(2_000);
    world.settings.pace = NonZeroU32::new(50);
    let units = put(&world, "campaign_1", 30).await;
    let begun = std::time::Instant::now();
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 202);
    assert!(
        begun.elapsed() < Duration::from_millis(2_100),
        "{:?}",
        begun.elapsed()
    );
    let left = world.left("campaign_1").await.len();
    assert!(left > 60, "{left} left of 120, with {units} units");
    world.settings.pace = None;
    let id = reply.deletion_id();
    let of = json!({"accountId": crate::harness::ACCOUNT, "deletionId": id});
    let slice = world.drain(of, Duration::from_secs(20)).await.unwrap();
    assert_eq!((slice.status, slice.processed), ("succeeded", 120));
}

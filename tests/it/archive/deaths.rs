//! Workers die at every request to the table and to the archive, with one range and with
//! several: every deleted item is in the archive, counts are exact, and what is restored is what
//! was there.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    archiving,
    faults::{assert_nothing_is_lost, assert_same},
    only_deletion, partition,
    restore::restore,
};
use crate::harness::{
    World,
    dying::{At, Death},
    proxy::{Action, Call, throttled},
    terminal::stdout,
};

/// A campaign and what is in it.
struct Layout {
    children: Vec<String>,
    counts: Value,
    page: u64,
    /// What the table does besides.
    table: fn(&mut Call<'_>) -> Action,
}

/// A few pages in one range.
fn one_range() -> Layout {
    Layout {
        children: (0..23).map(|n| format!("TASK#{n:05}")).collect(),
        counts: json!({
            "prospects": 0, "chats": 0, "messages": 0, "tasks": 23, "webhookEvents": 0,
            "analytics": 0,
        }),
        page: 8,
        table: |_| Action::Pass,
    }
}

/// Two pages of each of four kinds: the first batch finds the table busy, so the pass is split.
fn several_ranges() -> Layout {
    let kinds = ["CHAT", "MESSAGE", "PROSPECT", "TASK"];
    let of = |kind| (0..4).map(move |n| format!("{kind}#{n:05}"));
    Layout {
        children: kinds.into_iter().flat_map(of).collect(),
        counts: json!({
            "prospects": 4, "chats": 4, "messages": 4, "tasks": 4, "webhookEvents": 0,
            "analytics": 0,
        }),
        page: 2,
        table: |call| match (call.operation, call.nth) {
            ("BatchWriteItem", 0) => throttled(),
            _ => Action::Pass,
        },
    }
}

async fn world(layout: &Layout) -> World {
    let world = archiving(30).await;
    world.proxy.page_limit(layout.page);
    world.put_campaign("campaign_1", &[]).await;
    world.put_children("campaign_1", &layout.children).await;
    world
}

/// The most ranges that a write of the record had.
fn ranges(world: &World) -> usize {
    let exchanges = world.proxy.exchanges();
    let writes = exchanges
        .iter()
        .map(|call| &call.body["ExpressionAttributeValues"][":ranges"]["L"]);
    let ranges = writes.filter_map(|ranges| ranges.as_array().map(Vec::len));
    ranges.max().unwrap_or(0)
}

/// Whether a worker died, and how many ranges it had. In every case, the next one completes
/// the deletion, and at some of the boundaries the campaign is restored.
async fn dies_at(layout: &Layout, death: Death) -> (bool, usize) {
    let world = world(layout).await;
    let before = partition(&world, "campaign_1").await;
    let died = world.dies(death, layout.table).await;
    let ranges = ranges(&world);
    assert_nothing_is_lost(&world, before.keys()).await;
    world.proxy.pass();
    world.s3.pass();
    let reply = world.delete_until_done("campaign_1").await;
    assert!([200, 404].contains(&reply.status), "{death:?}: {reply:?}");
    world.assert_gone("campaign_1", &layout.counts).await;
    assert_same(&world, &before).await;
    if death.boundary.is_multiple_of(4) {
        assert_restored(&world, &before).await;
    }
    (died, ranges)
}

async fn assert_restored(world: &World, before: &BTreeMap<String, Value>) {
    let id = only_deletion(world).await;
    stdout(&restore(world, &id, &[]).await);
    assert_eq!(&partition(world, "campaign_1").await, before);
}

/// Lets workers die at every boundary of both endpoints, of which there have to be this many.
/// Returns the most ranges that one of them had.
async fn at_every_boundary(layout: &Layout, least: [(At, usize); 2]) -> usize {
    let mut most = 0;
    for (at, least) in least {
        for applied in [false, true] {
            let mut boundary = 0;
            loop {
                let death = Death {
                    at,
                    boundary,
                    applied,
                };
                let (died, ranges) = Box::pin(dies_at(layout, death)).await;
                most = most.max(ranges);
                if !died {
                    break;
                }
                boundary += 1;
            }
            assert!(boundary >= least, "only {boundary} boundaries of {at:?}");
        }
    }
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_at_any_request_to_table_or_archive() {
    // The campaign, three pages, and the manifest; and what a deletion asks of the table, with
    // the campaign item read once more.
    let least = [(At::Archive, 5), (At::Table, 15)];
    at_every_boundary(&one_range(), least).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_several_ranges_may_die_at_any_request() {
    // The same with eight pages.
    let least = [(At::Archive, 10), (At::Table, 20)];
    let ranges = at_every_boundary(&several_ranges(), least).await;
    assert!(ranges > 1, "no worker has had several ranges");
}

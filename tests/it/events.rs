//! The event `campaign.deleted`: every finished deletion is announced at least once, under one
//! id, and no unfinished one ever is, whatever fails.

mod delivery;
mod faults;
mod terminal;

use serde_json::Value;

use crate::harness::{ACCOUNT, World, item, s};

/// `campaign_1` with this many chats, in pages of ten items, with leases of this many
/// milliseconds, and a bus.
async fn world(chats: u64, lease: u64) -> World {
    let world = crate::harness::worlds::world(chats).await;
    world.lease(lease).announcing()
}

/// Asserts that these deletions, and no others, are announced, and nothing is left to send.
async fn assert_announced(world: &World, deletions: &[String]) {
    let mut expected = deletions.to_vec();
    expected.sort();
    assert_eq!(world.bus.ids(), expected);
    let unsent = world.unsent_events().await;
    assert!(unsent.is_empty(), "{unsent:?}");
    // Every repetition is the same.
    let taken = world.bus.taken();
    for detail in &taken {
        let first = taken.iter().find(|first| first["id"] == detail["id"]);
        assert_eq!(first, Some(detail));
    }
}

/// The ids of the finished deletions.
async fn finished(world: &World) -> Vec<String> {
    let records = world.records().await;
    let finished = records
        .iter()
        .filter(|record| record["state"] == "succeeded");
    let id = |record: &Value| record["deletionId"].as_str().unwrap().to_owned();
    finished.map(id).collect()
}

/// Puts the unsent event of a deletion that is finished, and its record.
async fn put_unsent(world: &World, number: u32) -> String {
    let id = format!("0190a8c2-b5c2-7e3f-8000-{number:012}");
    let started_at = format!("2026-01-01T00:{:02}:{:02}Z", number / 60, number % 60);
    let completed_at = "2026-01-02T00:00:00Z";
    let campaign = format!("campaign_{number}");
    let partition = format!("ACCOUNT#{ACCOUNT}");
    let counts = "{\"prospects\":0,\"chats\":0,\"messages\":0,\"tasks\":0,\
                  \"webhookEvents\":0,\"analytics\":0}";
    let detail = format!(
        "{{\"id\":\"{id}\",\"campaignId\":\"{campaign}\",\"accountId\":\"{ACCOUNT}\",\
         \"deletionId\":\"{id}\",\"requestedBy\":\"cli\",\"startedAt\":\"{started_at}\",\
         \"completedAt\":\"{completed_at}\",\"deletedItems\":{counts}}}"
    );
    let number = |number: &str| aws_sdk_dynamodb::types::AttributeValue::N(number.to_owned());
    let empty = aws_sdk_dynamodb::types::AttributeValue::M([].into());
    let record = item(&[
        ("PK", s(&partition)),
        ("SK", s(&format!("DELETION#{id}"))),
        ("deletionId", s(&id)),
        ("campaignId", s(&campaign)),
        ("campaignName", s("")),
        ("accountId", s(ACCOUNT)),
        ("requestedBy", s("cli")),
        ("previousStatus", s("paused")),
        ("state", s("succeeded")),
        ("startedAt", s(&started_at)),
        ("updatedAt", s(completed_at)),
        ("completedAt", s(completed_at)),
        ("counted", empty),
        ("pass", number("1")),
        ("version", number("3")),
        ("leaseUntil", number("0")),
    ]);
    let event = item(&[
        ("PK", s(&partition)),
        ("SK", s(&format!("EVENT#{id}"))),
        ("unfinished", s("event")),
        ("startedAt", s(&started_at)),
        ("detail", s(&detail)),
    ]);
    world.put_all(vec![record, event]).await;
    id
}

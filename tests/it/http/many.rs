//! Several campaigns in one request: each is judged by itself, and a malformed request claims
//! none.

mod claims;
mod order;
mod verdicts;

use serde_json::{Value, json};

use crate::harness::{Reply, World, event, proxy::Call};

/// The event of a request with this body.
fn post(body: &Value) -> Value {
    raw(&body.to_string())
}

/// The same, with a body that may be anything.
fn raw(body: &str) -> Value {
    let mut event = event("delete-many");
    event["body"] = body.into();
    event
}

/// The event of a request for these campaigns, with an idempotency key.
fn keyed(ids: &[String], key: &str) -> Value {
    let mut event = post(&json!({ "campaignIds": ids }));
    event["headers"]["idempotency-key"] = key.into();
    event
}

fn named(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("campaign_{n}")).collect()
}

/// A world with this many paused campaigns of one chat, and their ids.
async fn world(count: usize) -> (World, Vec<String>) {
    let world = World::new().await;
    let ids = named(count);
    for id in &ids {
        world.put_campaign(id, &[]).await;
        world.put_children(id, &["CHAT#1".to_owned()]).await;
    }
    (world, ids)
}

/// The verdicts of an answer, which have to be on these campaigns, in this order.
#[track_caller]
fn verdicts(reply: &Reply, ids: &[String]) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{reply:?}");
    let verdicts = reply.body["deletions"].as_array().unwrap().clone();
    let judged: Vec<_> = verdicts.iter().map(|one| &one["campaignId"]).collect();
    assert_eq!(judged, ids.iter().collect::<Vec<_>>(), "{reply:?}");
    verdicts
}

fn statuses(verdicts: &[Value]) -> Vec<i64> {
    let statuses = verdicts.iter().map(|one| one["status"].as_i64().unwrap());
    statuses.collect()
}

/// The campaign that a claim is for.
fn claimed_by(call: &Call<'_>) -> Option<String> {
    let mark = &call.body["TransactItems"][0]["Update"];
    let partition = mark["Key"]["PK"]["S"].as_str()?;
    Some(partition.strip_prefix("CAMPAIGN#")?.to_owned())
}

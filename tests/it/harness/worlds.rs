//! Worlds with one campaign, as many tests need them.

use serde_json::{Value, json};

use super::World;

pub(crate) fn chats(count: u64) -> Value {
    json!({
        "prospects": 0, "chats": count, "messages": 0, "tasks": 0, "webhookEvents": 0,
        "analytics": 0,
    })
}

/// `campaign_1` with this many chats, in pages of ten items.
pub(crate) async fn world(count: u64) -> World {
    let world = World::new().await;
    world.proxy.page_limit(10);
    world.put_campaign("campaign_1", &[]).await;
    let children: Vec<_> = (0..count).map(|n| format!("CHAT#{n:05}")).collect();
    world.put_children("campaign_1", &children).await;
    world
}

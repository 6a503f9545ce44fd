//! A worker dies at every request boundary of a deletion of several pages,
//! before the request is sent and after it is applied; the next one resumes and
//! the counts are exact.

use serde_json::json;

use crate::harness::{
    World,
    dying::{At, Death},
    proxy::Action,
};

const CHILDREN: u64 = 23;

async fn world() -> World {
    let world = World::new().await.lease(30);
    world.proxy.page_limit(8);
    world.put_campaign("campaign_1", &[]).await;
    let children: Vec<_> = (0..CHILDREN).map(|n| format!("TASK#{n:05}")).collect();
    world.put_children("campaign_1", &children).await;
    world
}

/// Whether a worker died: it does at its `boundary`-th request, if it gets there.
async fn dies_at(boundary: usize, applied: bool) -> bool {
    let world = world().await;
    let at = At::Table;
    let death = Death {
        at,
        boundary,
        applied,
    };
    let died = world.dies(death, |_| Action::Pass).await;
    world.proxy.pass();
    let reply = world.delete_until_done("campaign_1").await;
    let counts = json!({
        "prospects": 0, "chats": 0, "messages": 0, "tasks": CHILDREN, "webhookEvents": 0,
        "analytics": 0,
    });
    assert!([200, 404].contains(&reply.status), "{boundary}: {reply:?}");
    world.assert_gone("campaign_1", &counts).await;
    died
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_at_any_request_boundary() {
    for applied in [false, true] {
        let mut boundary = 0;
        while dies_at(boundary, applied).await {
            boundary += 1;
        }
        // Key and campaign, claim, four pages, three count-aheads, three
        // batches, the empty read, the finish.
        assert!(boundary >= 14, "only {boundary} boundaries");
    }
}

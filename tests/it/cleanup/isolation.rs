//! One campaign's trouble is its own: it is named, and the others go their way.

use aws_sdk_dynamodb::types::AttributeValue;
use campaigns::{
    clock::{now_ms, now_seconds, rfc3339},
    config::days,
};
use serde_json::{Value, json};

use crate::harness::{
    World, n,
    proxy::{Action, error, is_claim},
    s,
    step_functions::end_lease,
};

/// Puts a completed campaign that is long past retention.
async fn put_old(world: &World, id: &str, attributes: &[(&str, AttributeValue)]) {
    let long_ago = s(&rfc3339(now_seconds() - 90 * 86_400));
    let old = [("campaignStatus", s("completed")), ("updatedAt", long_ago)];
    let all: Vec<_> = old.into_iter().chain(attributes.to_vec()).collect();
    world.put_campaign(id, &all).await;
    world.put_children(id, &["CHAT#1".to_owned()]).await;
}

async fn retention() -> World {
    let mut world = World::new().await;
    world.retention.age = days(30);
    world
}

/// A campaign whose deletion is stalled; returns the deletion's id.
async fn stall(world: &World, id: &str, attributes: &[(&str, AttributeValue)]) -> String {
    world.put_campaign(id, attributes).await;
    world.put_children(id, &["CHAT#1".to_owned()]).await;
    let mut event = crate::harness::delete_event(id);
    event["headers"]["prefer"] = "respond-async".into();
    let reply = world.send(event).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let deletion = reply.deletion_id();
    end_lease(world, &deletion, now_ms() - 3_600_000).await;
    deletion
}

fn partition(call_body: &Value, operation: &str) -> String {
    let key = match operation {
        "GetItem" => &call_body["Key"]["PK"]["S"],
        _ => &call_body["TransactItems"][0]["Update"]["Key"]["PK"]["S"],
    };
    key.as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_with_odd_attributes_is_found_again() {
    let odd: [&[(&str, AttributeValue)]; 4] = [
        &[("completedAt", AttributeValue::Null(true))],
        &[("completedAt", n(7)), ("name", n(7))],
        &[("deletionProtection", AttributeValue::Null(true))],
        &[("name", AttributeValue::Null(true))],
    ];
    let world = World::new().await;
    for (number, attributes) in odd.into_iter().enumerate() {
        let id = format!("campaign_{number}");
        let deletion = stall(&world, &id, attributes).await;
        let summary = world.cleanup().await;
        assert_eq!(summary["resumed"], json!([deletion]), "{attributes:?}");
        assert!(world.left(&id).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_campaign_is_named_with_its_attribute() {
    let world = retention().await;
    put_old(&world, "unowned", &[("accountId", n(7))]).await;
    let deleting = [("campaignStatus", s("deleting")), ("accountId", n(7))];
    world.put_campaign("stuck", &deleting).await;
    put_old(&world, "old", &[]).await;
    let summary = world.cleanup().await;
    let unreadable =
        |id: &str| json!({"campaignId": id, "reason": "corrupt", "attribute": "accountId"});
    assert_eq!(
        summary["skipped"],
        json!([unreadable("stuck"), unreadable("unowned")])
    );
    assert_eq!(summary["started"].as_array().unwrap().len(), 1);
    assert!(world.left("old").await.is_empty());
    assert_eq!(world.left("unowned").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_cannot_be_claimed_does_not_stop_retention() {
    let world = retention().await;
    for id in ["old_1", "old_2", "old_3"] {
        put_old(&world, id, &[]).await;
    }
    world.proxy.policy(|call| {
        if is_claim(call) && partition(call.body, "TransactWriteItems") == "CAMPAIGN#old_1" {
            return error(hyper::StatusCode::BAD_REQUEST, "ValidationException");
        }
        Action::Pass
    });
    let summary = world.cleanup().await;
    assert_eq!(
        summary["skipped"],
        json!([{"campaignId": "old_1", "reason": "refused"}])
    );
    assert_eq!(summary["started"].as_array().unwrap().len(), 2);
    assert_eq!(world.left("old_1").await.len(), 2);
    assert!(world.left("old_3").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_does_not_stop_the_run() {
    let world = retention().await;
    let broken = stall(&world, "broken", &[]).await;
    let stalled = stall(&world, "stalled", &[]).await;
    put_old(&world, "old", &[]).await;
    world.proxy.policy(move |call| {
        let is_broken = call.body["Key"]["SK"]["S"] == json!(format!("DELETION#{broken}"));
        if call.operation == "GetItem" && is_broken {
            return error(hyper::StatusCode::BAD_REQUEST, "AccessDeniedException");
        }
        Action::Pass
    });
    let summary = world.cleanup().await;
    assert_eq!(
        summary["skipped"],
        json!([{"campaignId": "broken", "reason": "refused"}])
    );
    assert_eq!(summary["resumed"], json!([stalled]));
    assert_eq!(summary["started"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_id_that_is_no_uuid_is_a_campaign_without_one() {
    let world = World::new().await;
    for (number, text) in ["DELETION#1", "x"].into_iter().enumerate() {
        let id = format!("campaign_{number}");
        let deleting = [("campaignStatus", s("deleting")), ("deletionId", s(text))];
        world.put_campaign(&id, &deleting).await;
    }
    let summary = world.cleanup().await;
    assert_eq!(summary["skippedCount"], 2, "{summary}");
    assert_eq!(summary["skipped"][0]["reason"], "noDeletion");
    for id in ["campaign_0", "campaign_1"] {
        assert_eq!(world.delete(id).await.status, 200);
        assert!(world.left(id).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_without_deletion_ids_hides_no_stalled_deletion() {
    let world = World::new().await;
    let deletion = stall(&world, "campaign_1", &[]).await;
    let entry = json!({
        "PK": s_json("CAMPAIGN#campaign_1"), "SK": s_json("CAMPAIGN"),
        "campaignStatus": s_json("deleting"), "updatedAt": s_json("2026-01-02T03:04:05Z"),
        "accountId": s_json(crate::harness::ACCOUNT),
    });
    world.proxy.policy(move |call| {
        if call.operation == "Query" && call.body["IndexName"] == "CampaignsByStatus" {
            let body = json!({"Items": [entry], "Count": 1, "ScannedCount": 1});
            return Action::Answer(hyper::StatusCode::OK, body);
        }
        Action::Pass
    });
    assert_eq!(world.cleanup().await["resumed"], json!([deletion]));
    assert!(world.left("campaign_1").await.is_empty());
}

fn s_json(text: &str) -> Value {
    json!({ "S": text })
}

/// What an unfenced writer, or the platform's time to live, does to a campaign item
/// while the worker of its deletion is dead.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_without_its_campaign_item_is_found_by_its_record() {
    let world = World::new().await;
    for (number, replaced) in [None, Some("paused"), Some("active")]
        .into_iter()
        .enumerate()
    {
        let id = format!("campaign_{number}");
        let deletion = stall(&world, &id, &[]).await;
        let key =
            campaigns::table::keys::campaign(&campaigns::campaign::CampaignId::parse(&id).unwrap());
        let gone = world.table.client().delete_item();
        let gone = gone.table_name(world.table.name());
        gone.set_key(Some(key.attributes())).send().await.unwrap();
        if let Some(status) = replaced {
            let status = ("campaignStatus", s(status));
            world.put_campaign(&id, &[status]).await;
        }
        let report = world
            .cleanup_for(
                json!({"mode": "report"}),
                std::time::Duration::from_secs(20),
            )
            .await
            .unwrap();
        assert_eq!(
            report["skipped"],
            json!([{"campaignId": id, "reason": "stalled"}])
        );
        let summary = world.cleanup().await;
        assert_eq!(summary["resumed"], json!([deletion]), "{replaced:?}");
        let left = world.left(&id).await;
        assert_eq!(
            left,
            if replaced.is_some() {
                vec!["CAMPAIGN"]
            } else {
                vec![]
            }
        );
        let records = world.records().await;
        let record = records
            .iter()
            .find(|record| record["deletionId"] == json!(deletion));
        let record = record.unwrap();
        assert_eq!(record["state"], "succeeded");
        assert!(record.get("unfinished").is_none(), "{record}");
        assert_eq!(world.cleanup().await["resumed"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_the_index_of_running_deletions_works() {
    let world = World::new().await;
    let deletion = stall(&world, "campaign_1", &[]).await;
    world.proxy.policy(|call| {
        if call.body["IndexName"] == "Unfinished" {
            return error(hyper::StatusCode::BAD_REQUEST, "ValidationException");
        }
        Action::Pass
    });
    assert_eq!(world.cleanup().await["resumed"], json!([deletion]));
    assert!(world.left("campaign_1").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_index_of_running_deletions_costs_no_summary() {
    let world = World::new().await;
    let deletion = stall(&world, "campaign_1", &[]).await;
    world.proxy.policy(|call| {
        if call.body["IndexName"] == "Unfinished" {
            return Action::Hang;
        }
        Action::Pass
    });
    let summary = world
        .cleanup_for(
            crate::harness::event("schedule"),
            std::time::Duration::from_secs(3),
        )
        .await
        .unwrap();
    assert_eq!(summary["resumed"], json!([deletion]));
}

/// The key of a running deletion whose campaign item is gone, and a copy of that item
/// under another key, which still names the deletion.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_marked_campaign_does_not_hide_its_deletion() {
    let world = World::new().await;
    let deletion = stall(&world, "campaign_1", &[]).await;
    let gone = world.table.client().delete_item();
    let gone = gone.table_name(world.table.name());
    let gone = gone.key("PK", s("CAMPAIGN#campaign_1"));
    gone.key("SK", s("CAMPAIGN")).send().await.unwrap();
    let copied = [
        ("campaignStatus", s("deleting")),
        ("deletionId", s(&deletion)),
    ];
    world.put_campaign("a_copy", &copied).await;
    let summary = world.cleanup().await;
    assert_eq!(summary["resumed"], json!([deletion]), "{summary}");
    assert_eq!(
        summary["skipped"],
        json!([{"campaignId": "a_copy", "reason": "noDeletion"}])
    );
    assert!(world.left("campaign_1").await.is_empty());
    assert_eq!(world.left("a_copy").await, ["CAMPAIGN"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_in_a_campaign_is_not_the_campaign() {
    let world = retention().await;
    let now = ("updatedAt", s(&rfc3339(now_seconds())));
    let completed = [("campaignStatus", s("completed")), now];
    world.put_campaign("campaign_1", &completed).await;
    let mut task = crate::harness::campaign("campaign_1", &[("campaignStatus", s("completed"))]);
    task.insert("SK".to_owned(), s("TASK#1"));
    task.insert("completedAt".to_owned(), s("2020-01-01T00:00:00Z"));
    world.put(task).await;
    let summary = world.cleanup().await;
    assert_eq!(summary["started"], json!([]), "{summary}");
    assert_eq!(
        summary["skipped"],
        json!([{"campaignId": "campaign_1", "reason": "corrupt", "attribute": "SK"}])
    );
    assert_eq!(world.left("campaign_1").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_contradicts_the_key_changes_no_verdict() {
    let world = retention().await;
    for id in ["campaign_1", "campaign_2"] {
        put_old(&world, id, &[("id", s("another"))]).await;
    }
    assert_eq!(world.delete("campaign_1").await.status, 200);
    let summary = world.cleanup().await;
    assert_eq!(summary["started"].as_array().unwrap().len(), 1, "{summary}");
    assert!(world.left("campaign_2").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_with_impossible_numbers_stops_nothing() {
    let world = World::new().await;
    for (number, (attribute, value)) in [
        ("version", AttributeValue::N(u64::MAX.to_string())),
        ("pass", AttributeValue::N(u64::MAX.to_string())),
        (
            "counted",
            AttributeValue::M(
                [("chats".to_owned(), AttributeValue::N(u64::MAX.to_string()))].into(),
            ),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let deletion = stall(&world, &format!("campaign_{number}"), &[]).await;
        let key = format!("ACCOUNT#{}", crate::harness::ACCOUNT);
        let update = world
            .table
            .client()
            .update_item()
            .table_name(world.table.name());
        let update = update
            .key("PK", s(&key))
            .key("SK", s(&format!("DELETION#{deletion}")));
        let update = update.update_expression("SET #name = :value");
        let update = update.expression_attribute_names("#name", attribute);
        update
            .expression_attribute_values(":value", value)
            .send()
            .await
            .unwrap();
    }
    let last = stall(&world, "campaign_9", &[]).await;
    let summary = world.cleanup().await;
    assert_eq!(summary["resumed"], json!([last]), "{summary}");
    let named: Vec<_> = summary["skipped"].as_array().unwrap().iter().collect();
    for attribute in ["version", "pass", "counted"] {
        assert!(
            named
                .iter()
                .any(|skipped| skipped["attribute"] == attribute),
            "{summary}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_no_clock_ends_keeps_nobody_away() {
    let world = World::new().await;
    let deletion = stall(&world, "campaign_1", &[]).await;
    end_lease(&world, &deletion, i64::MAX).await;
    let summary = world.cleanup().await;
    assert_eq!(summary["resumed"], json!([deletion]), "{summary}");
}

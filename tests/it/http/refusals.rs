//! Which campaigns may not be deleted, and what a refusal leaves: everything.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;

use crate::harness::{Reply, World, delete_event, event, n, s};

/// Sends a DELETE that has to change nothing.
async fn unchanged(world: &World, id: &str) -> Reply {
    let before = world.dump().await;
    let reply = world.delete(id).await;
    assert_eq!(world.dump().await, before);
    let mut dry_run = delete_event(id);
    dry_run["rawQueryString"] = "validateOnly=true".into();
    let dry = world.send(dry_run).await;
    assert_eq!(
        (dry.status, &dry.body["error"], &dry.body["message"]),
        (reply.status, &reply.body["error"], &reply.body["message"])
    );
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn an_active_campaign_is_refused_and_nothing_is_deleted() {
    let world = World::new().await;
    let active = ("campaignStatus", s("active"));
    world.put_campaign("campaign_active", &[active]).await;
    world
        .put_children("campaign_active", &["CHAT#1".to_owned()])
        .await;
    let before = world.dump().await;
    let reply = world.send(event("active")).await;
    assert_eq!(reply.status, 409);
    assert_eq!(
        reply.body,
        json!({
            "error": "campaign_active",
            "message": "Cannot delete active campaign. Please pause the campaign first.",
            "currentStatus": "active",
        })
    );
    assert_eq!(world.dump().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_campaign_is_not_found() {
    let world = World::new().await;
    let reply = world.send(event("not-found")).await;
    assert_eq!(
        (reply.status, reply.text.as_str()),
        (
            404,
            r#"{"error":"not_found","message":"Campaign not found"}"#
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn children_without_a_campaign_are_not_a_campaign() {
    let world = World::new().await;
    world
        .put_children("campaign_1", &["CHAT#1".to_owned()])
        .await;
    unchanged(&world, "campaign_1")
        .await
        .assert(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_campaign_is_refused_whatever_its_status() {
    let world = World::new().await;
    for status in ["paused", "active", "deleting", "strange"] {
        world
            .put_campaign(
                "campaign_foreign",
                &[
                    ("accountId", s("account_other")),
                    ("campaignStatus", s(status)),
                    ("deletionId", s("0190a8c2-b5c2-7e3f-8000-000000000000")),
                    ("deletionProtection", AttributeValue::Bool(true)),
                ],
            )
            .await;
        let reply = unchanged(&world, "campaign_foreign").await;
        assert_eq!(
            (reply.status, reply.text.as_str()),
            (
                403,
                r#"{"error":"forbidden","message":"You do not have access to this campaign"}"#
            )
        );
        world.send(event("foreign")).await.assert(403, "forbidden");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_campaign_is_refused() {
    let world = World::new().await;
    let protected = ("deletionProtection", AttributeValue::Bool(true));
    world.put_campaign("campaign_1", &[protected]).await;
    let reply = unchanged(&world, "campaign_1").await;
    reply.assert(409, "deletion_protected");
    assert_eq!(reply.body.get("currentStatus"), None);
    let unprotected = ("deletionProtection", AttributeValue::Bool(false));
    world.put_campaign("campaign_1", &[unprotected]).await;
    assert_eq!(world.delete("campaign_1").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_not_known_is_refused_never_deleted() {
    let world = World::new().await;
    for status in ["scheduled", "Paused", "ACTIVE"] {
        world
            .put_campaign("campaign_1", &[("campaignStatus", s(status))])
            .await;
        let reply = unchanged(&world, "campaign_1").await;
        reply.assert(409, "invalid_status");
        assert_eq!(reply.body["currentStatus"], status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_deletable_status_is_deleted() {
    let world = World::new().await;
    for status in campaigns::campaign::DELETABLE {
        let id = format!("campaign_{status}");
        world
            .put_campaign(&id, &[("campaignStatus", s(status))])
            .await;
        assert_eq!(world.delete(&id).await.status, 200, "{status}");
        assert!(world.left(&id).await.is_empty());
    }
    let records = world.records().await;
    assert_eq!(records.len(), campaigns::campaign::DELETABLE.len());
    for record in records {
        let previous = record["previousStatus"].as_str().unwrap();
        assert_eq!(record["campaignId"], format!("campaign_{previous}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_is_being_deleted_cannot_be_previewed() {
    let world = World::new().await;
    world
        .put_campaign(
            "campaign_1",
            &[
                ("campaignStatus", s("deleting")),
                ("deletionId", s("0190a8c2-b5c2-7e3f-8000-000000000000")),
            ],
        )
        .await;
    let mut dry_run = event("dry-run");
    crate::harness::set_id(&mut dry_run, "campaign_1");
    let reply = world.send(dry_run).await;
    reply.assert(409, "invalid_status");
    assert_eq!(reply.body["currentStatus"], "deleting");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_without_a_readable_owner_is_500() {
    let world = World::new().await;
    for (name, value) in [
        ("accountId", AttributeValue::Bool(true)),
        ("accountId", AttributeValue::Null(true)),
        ("accountId", s(" ")),
    ] {
        world.put_campaign("campaign_1", &[(name, value)]).await;
        let mut dry_run = delete_event("campaign_1");
        dry_run["rawQueryString"] = "validateOnly=true".into();
        for event in [delete_event("campaign_1"), dry_run] {
            let reply = world.send(event).await;
            reply.assert(500, "internal_error");
            assert_eq!(reply.body["message"], "An internal error occurred");
            assert_eq!(reply.body["requestId"].as_str(), Some("JKJaXmPLvHcESHA="));
            assert_eq!(reply.body.as_object().unwrap().len(), 3);
        }
        assert_eq!(world.left("campaign_1").await, ["CAMPAIGN"], "{name}");
        assert!(world.records().await.is_empty());
    }
}

/// Attributes that a deletion does not need, as other programs write them.
fn odd() -> Vec<(&'static str, Option<AttributeValue>)> {
    let values = || {
        [
            None,
            Some(AttributeValue::Null(true)),
            Some(n(3)),
            Some(AttributeValue::M(std::collections::HashMap::new())),
        ]
    };
    ["id", "name", "createdAt", "completedAt", "deletionId"]
        .into_iter()
        .flat_map(|name| values().map(|value| (name, value)))
        // The index takes no other type of its own keys.
        .chain([
            ("updatedAt", None),
            ("deletionProtection", Some(AttributeValue::Null(true))),
            ("deletionId", Some(s("DELETION#1"))),
            ("updatedAt", Some(s("2026-01-01 00:00:00Z"))),
        ])
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_that_a_deletion_does_not_need_never_stop_it() {
    let world = World::new().await;
    for (number, (name, value)) in odd().into_iter().enumerate() {
        let id = format!("campaign_{number}");
        let mut campaign = crate::harness::campaign(&id, &[]);
        campaign.remove(name);
        campaign.extend(value.clone().map(|value| (name.to_owned(), value)));
        world.put(campaign).await;
        world.put_children(&id, &["CHAT#1".to_owned()]).await;
        let mut dry_run = delete_event(&id);
        dry_run["rawQueryString"] = "validateOnly=true".into();
        let previewed = world.send(dry_run).await;
        assert_eq!(previewed.status, 200, "{name} {value:?}: {previewed:?}");
        // The etag that the server sends matches, where it sends one.
        let mut delete = delete_event(&id);
        if let Some(etag) = previewed.headers.get("etag") {
            delete["headers"]["if-match"] = etag.as_str().into();
        }
        let deleted = world.send(delete).await;
        assert_eq!(deleted.status, 200, "{name} {value:?}: {deleted:?}");
        assert_eq!(deleted.deleted_items()["chats"], 1);
        assert!(world.left(&id).await.is_empty(), "{name} {value:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_as_deletable_is_refused() {
    let world = World::new().await;
    world.put_campaign("campaign_1", &[]).await;
    remove(&world, "campaign_1", "campaignStatus").await;
    world
        .delete("campaign_1")
        .await
        .assert(409, "invalid_status");
    for value in [s("false"), n(0), s("true")] {
        world
            .put_campaign("campaign_2", &[("deletionProtection", value)])
            .await;
        let reply = world.delete("campaign_2").await;
        reply.assert(409, "deletion_protected");
    }
    assert!(world.records().await.is_empty());
}

async fn remove(world: &World, id: &str, attribute: &str) {
    world
        .table
        .client()
        .update_item()
        .table_name(world.table.name())
        .key("PK", s(&format!("CAMPAIGN#{id}")))
        .key("SK", s("CAMPAIGN"))
        .update_expression("REMOVE #a")
        .expression_attribute_names("#a", attribute)
        .send()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_does_not_exist_is_an_internal_error() {
    let world = World::new().await;
    let client = world.table.client();
    client
        .delete_table()
        .table_name(world.table.name())
        .send()
        .await
        .unwrap();
    let reply = world.delete("campaign_1").await;
    reply.assert(500, "internal_error");
    assert!(!reply.text.contains("Resource"), "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn if_match_deletes_only_the_reviewed_state() {
    let world = World::new().await;
    world.put_campaign("campaign_1", &[]).await;
    let mut delete = delete_event("campaign_1");
    for stale in ["\"2026-01-02T03:04:06Z\"", "W/\"2026-01-02T03:04:05Z\""] {
        delete["headers"]["if-match"] = stale.into();
        let before = world.dump().await;
        world
            .send(delete.clone())
            .await
            .assert(412, "precondition_failed");
        assert_eq!(world.dump().await, before);
    }
    let mut dry_run = delete.clone();
    dry_run["rawQueryString"] = "validateOnly=true".into();
    world
        .send(dry_run.clone())
        .await
        .assert(412, "precondition_failed");
    dry_run["headers"]["if-match"] = "*".into();
    let etag = world.send(dry_run).await.headers["etag"].clone();
    assert_eq!(etag, "\"2026-01-02T03:04:05Z\"");
    delete["headers"]["if-match"] = format!("\"other\", {etag}").into();
    assert_eq!(world.send(delete).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn protection_and_status_come_before_if_match() {
    let world = World::new().await;
    let active = ("campaignStatus", s("active"));
    world.put_campaign("campaign_1", &[active]).await;
    let mut delete = delete_event("campaign_1");
    delete["headers"]["if-match"] = "\"stale\"".into();
    world
        .send(delete.clone())
        .await
        .assert(409, "campaign_active");
    let protected = ("deletionProtection", AttributeValue::Bool(true));
    world.put_campaign("campaign_1", &[protected]).await;
    world.send(delete).await.assert(409, "deletion_protected");
}

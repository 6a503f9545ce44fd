//! What is in the table.

use aws_sdk_dynamodb::types::AttributeValue;
use campaigns::clock::now_ms;

use super::{healthy, report};
use crate::harness::{
    ACCOUNT, KEY_ID, World, item, n, s,
    step_functions::{claimed, end_lease},
};

/// A claimed campaign whose worker has been silent for this long.
async fn stalled(minutes: i64) -> (World, String) {
    let world = healthy().await;
    world.put_campaign("campaign_1", &[]).await;
    world
        .put_children("campaign_1", &["TASK#1".to_owned()])
        .await;
    let id = claimed(&world).await;
    end_lease(&world, &id, now_ms() - minutes * 60_000).await;
    (world, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_deletion_is_a_warning_and_a_forgotten_one_fails() {
    let (world, id) = stalled(5).await;
    let lately = report(&world, &[]).await;
    lately.assert("running-deletions", "warning", &format!("1 stalled: {id}"));
    lately.assert("clean-up", "ok", "");
    end_lease(&world, &id, now_ms() - 3_600_000).await;
    let forgotten = report(&world, &[]).await;
    forgotten.assert("clean-up", "failed", &id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_a_writer_has_marked_is_named() {
    let world = healthy().await;
    world
        .put_campaign("campaign_9", &[("campaignStatus", s("deleting"))])
        .await;
    let report = report(&world, &[]).await;
    report.assert("running-deletions", "warning", "for example campaign_9");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named() {
    let (world, id) = stalled(0).await;
    world
        .put_campaign("campaign_2", &[("accountId", n(7))])
        .await;
    let key = "abcdefghijklmnopqrstuvwxyzABCDEFGH0123_-";
    let expires = ("expiresAt", s("never"));
    world
        .put_key(key, &[("keyId", s("key_odd")), expires])
        .await;
    world
        .table
        .client()
        .update_item()
        .table_name(world.table.name())
        .key("PK", s(&format!("ACCOUNT#{ACCOUNT}")))
        .key("SK", s(&format!("DELETION#{id}")))
        .update_expression("SET version = :text")
        .expression_attribute_values(":text", s("one"))
        .send()
        .await
        .unwrap();
    let report = report(&world, &[]).await;
    report.assert("campaigns", "failed", "campaign_2");
    report.assert("running-deletions", "failed", "version");
    report.assert("stored-campaigns", "failed", "CAMPAIGN#campaign_2");
    report.assert("stored-keys", "failed", "key_odd");
    report.assert("stored-records", "failed", &format!("DELETION#{id}"));
    let keys = report.check("stored-keys")["seen"].as_str().unwrap();
    assert!(
        keys.starts_with("1 of all") && !keys.contains(KEY_ID),
        "{keys}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_beginning_of_a_large_table_is_scanned() {
    let world = healthy().await;
    let text = AttributeValue::S("x".repeat(390_000));
    let large = (0..100).map(|number| {
        let sort_key = s(&format!("CHAT#{number}"));
        item(&[
            ("PK", s("CAMPAIGN#large")),
            ("SK", sort_key),
            ("text", text.clone()),
        ])
    });
    for item in large {
        world.put(item).await;
    }
    let report = report(&world, &[]).await;
    report.assert("stored-keys", "ok", "of the first");
}

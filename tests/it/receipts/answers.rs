//! Who gets a receipt, of what, and what it says.

use campaigns::config::ReceiptSettings;
use serde_json::json;
use uuid::Uuid;

use super::{KEYS, Kms, assert_holds, deleted, keys, receipt_of, signing};
use crate::harness::{
    ACCOUNT, delete_event, s, send,
    worlds::{chats, world},
};

/// A key of another account.
const OTHER: &str = "another-key_of-another-account_012345678";

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_says_what_was_deleted() {
    let world = world(25).await;
    let kms = Kms::start().await;
    let api = signing(&world, &kms, &KEYS[..1]).await;
    let mut event = delete_event("campaign_1");
    event["rawQueryString"] = "reason=erasure-request".into();
    let id = world.send(event).await.deletion_id();
    let reply = send(&api, receipt_of(&id.to_uppercase())).await;
    assert_holds(&api, &reply).await;
    let claims = &reply.body["claims"];
    let record = &world.records().await[0];
    let domain = receipt_of(&id)["requestContext"]["domainName"].clone();
    assert_eq!(
        claims["iss"],
        format!("https://{}", domain.as_str().unwrap())
    );
    assert_eq!(claims["jti"], id);
    assert_eq!(claims["sub"], "campaign_1");
    assert_eq!(claims["accountId"], ACCOUNT);
    assert_eq!(claims["requestedBy"], "key_demo");
    assert_eq!(claims["reason"], "erasure-request");
    assert_eq!(claims["deletedItems"], chats(25));
    assert_eq!(claims["startedAt"], record["startedAt"]);
    assert_eq!(claims["completedAt"], record["completedAt"]);
    assert_eq!(claims["passes"], record["pass"]);
    assert_eq!(claims["copies"], json!({"others": "not known"}));
    assert!(!reply.body.to_string().contains("campaignName"));
    // The key is read once in a process, and each receipt is signed for itself.
    assert_holds(&api, &send(&api, receipt_of(&id)).await).await;
    assert_eq!((kms.asked("GetPublicKey"), kms.asked("Sign")), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn issuer_and_recovery_are_those_of_the_settings() {
    let world = world(1).await;
    let kms = Kms::start().await;
    let settings = ReceiptSettings {
        key_ids: Vec::new(),
        issuer: Some("https://deletions.example.com".to_owned()),
        pitr_days: Some(35),
    };
    let receipts = campaigns::receipts::Receipts::by_kms(
        vec![KEYS[0].to_owned()],
        &campaigns::sdk::on_this_machine(&kms.url()),
    );
    let api = world.api().await.giving_receipts(receipts, settings);
    let id = deleted(&world).await;
    let reply = send(&api, receipt_of(&id)).await;
    assert_eq!(reply.body["claims"]["iss"], "https://deletions.example.com");
    let until = &reply.body["claims"]["copies"]["pointInTimeRecoveryUntil"];
    assert!(until.as_str() > reply.body["claims"]["completedAt"].as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_finished_deletion_of_ones_own_has_a_receipt() {
    let world = world(5).await.inline_budget(0);
    let kms = Kms::start().await;
    let api = signing(&world, &kms, &KEYS[..1]).await;
    let running = world.delete("campaign_1").await;
    assert_eq!(running.status, 202);
    let running = running.deletion_id();
    send(&api, receipt_of(&running))
        .await
        .assert(409, "deletion_running");
    let unknown = Uuid::new_v4().to_string();
    send(&api, receipt_of(&unknown))
        .await
        .assert(404, "not_found");
    send(&api, receipt_of("no-uuid"))
        .await
        .assert(400, "validation_error");
    let mut queried = receipt_of(&running);
    queried["rawQueryString"] = "format=pdf".into();
    send(&api, queried).await.assert(400, "validation_error");
    world
        .put_key(OTHER, &[("accountId", s("account_of_another"))])
        .await;
    let mut foreign = receipt_of(&running);
    foreign["headers"]["authorization"] = format!("Bearer {OTHER}").into();
    send(&api, foreign).await.assert(404, "not_found");
    let mut nobody = receipt_of(&running);
    nobody["headers"]
        .as_object_mut()
        .unwrap()
        .remove("authorization");
    send(&api, nobody).await.assert(401, "missing_api_key");
    assert!(kms.exchanges().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_there_are_no_receipts() {
    let world = world(5).await;
    let id = deleted(&world).await;
    for event in [receipt_of(&id), keys()] {
        let reply = world.send(event).await;
        reply.assert(404, "not_found");
        assert_eq!(reply.body["message"], "Receipts are not enabled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_found_with_and_without_a_matched_route() {
    let world = world(5).await;
    let kms = Kms::start().await;
    let api = signing(&world, &kms, &KEYS[..1]).await;
    let id = deleted(&world).await;
    let mut unmatched = receipt_of(&id);
    unmatched["routeKey"] = "$default".into();
    unmatched.as_object_mut().unwrap().remove("pathParameters");
    assert_holds(&api, &send(&api, unmatched.clone()).await).await;
    for (path, status) in [
        (format!("/v1/deletions/{id}/receipt/"), 404),
        (format!("/v1/deletions/{id}/receipts"), 404),
        (format!("/v1/deletions/{id}/receipt/receipt"), 404),
        ("/v1/deletions/receipt".to_owned(), 400),
        ("/v1/deletions//receipt".to_owned(), 400),
    ] {
        unmatched["rawPath"] = path.clone().into();
        unmatched["requestContext"]["http"]["path"] = path.clone().into();
        let reply = send(&api, unmatched.clone()).await;
        assert_eq!(reply.status, status, "{path}: {reply:?}");
    }
    let mut posted = receipt_of(&id);
    posted["requestContext"]["http"]["method"] = "POST".into();
    send(&api, posted).await.assert(405, "method_not_allowed");
}

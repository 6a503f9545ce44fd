//! Receipts of finished deletions: signed by KMS or by a local key, or not given.

mod answers;
mod signing;
mod terminal;

use campaigns::{config::ReceiptSettings, http::Api, receipts::Receipts, sdk};
use serde_json::{Value, json};

use crate::harness::{
    Reply, World, event,
    kms::{KEYS, Kms},
    send,
};

/// The handler of a new function instance whose receipts the first of these keys signs.
async fn signing(world: &World, kms: &Kms, keys: &[&str]) -> Api {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    let receipts = Receipts::by_kms(keys, &sdk::on_this_machine(&kms.url()));
    let api = world.api().await;
    api.giving_receipts(receipts, ReceiptSettings::default())
}

fn receipt_of(deletion_id: &str) -> Value {
    let mut event = event("get-deletion");
    let path = format!("/v1/deletions/{deletion_id}/receipt");
    event["rawPath"] = path.clone().into();
    event["requestContext"]["http"]["path"] = path.into();
    event["routeKey"] = "GET /v1/deletions/{deletionId}/receipt".into();
    event["pathParameters"]["deletionId"] = deletion_id.into();
    event
}

fn keys() -> Value {
    let mut event = event("no-key");
    event["rawPath"] = "/v1/jwks.json".into();
    event["requestContext"]["http"]["path"] = "/v1/jwks.json".into();
    event["requestContext"]["http"]["method"] = "GET".into();
    event.as_object_mut().unwrap().remove("pathParameters");
    event
}

/// Deletes `campaign_1`; its deletion.
async fn deleted(world: &World) -> String {
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 200);
    reply.deletion_id()
}

/// Asserts that a receipt is signed by a published key and says what the answer does.
async fn assert_holds(api: &Api, reply: &Reply) {
    assert_eq!(reply.status, 200, "{reply:?}");
    let published = send(api, keys()).await;
    assert_eq!(published.status, 200, "{published:?}");
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(published.body).unwrap();
    let receipt = reply.body["receipt"].as_str().unwrap();
    let header = jsonwebtoken::decode_header(receipt).unwrap();
    assert_eq!(header.typ.as_deref(), Some("deletion-receipt+jwt"));
    // The first key signs.
    assert_eq!(header.kid, set.keys[0].common.key_id);
    let key = jsonwebtoken::DecodingKey::from_jwk(&set.keys[0]).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    let token = jsonwebtoken::decode::<Value>(receipt, &key, &validation).unwrap();
    assert_eq!(token.claims, reply.body["claims"]);
    assert_eq!(token.claims["verifiedEmpty"], json!(true));
}

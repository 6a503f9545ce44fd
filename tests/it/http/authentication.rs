//! Who may call.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::harness::{KEY, World, delete_event, event, n, s};

async fn refused(world: &World, authorization: Option<&str>, status: i64, error: &str) {
    let mut event = delete_event("campaign_1");
    let headers = event["headers"].as_object_mut().unwrap();
    headers.remove("authorization");
    if let Some(authorization) = authorization {
        headers.insert("authorization".to_owned(), authorization.into());
    }
    let before = world.dump().await;
    let reply = world.send(event).await;
    reply.assert(status, error);
    assert_eq!(
        reply.headers.get("www-authenticate").map(String::as_str),
        (status == 401).then_some("Bearer"),
    );
    assert_eq!(world.dump().await, before, "{authorization:?}");
}

async fn world() -> World {
    let world = World::new().await;
    world.put_campaign("campaign_1", &[]).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_key_is_refused() {
    let world = world().await;
    for header in [None, Some(""), Some("  ")] {
        refused(&world, header, 401, "missing_api_key").await;
    }
    let reply = world.send(event("no-key")).await;
    reply.assert(401, "missing_api_key");
    assert_eq!(reply.body["message"], "No API key was provided");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_key_is_refused_without_asking_the_table() {
    let world = world().await;
    let short = format!("Bearer {}", &KEY[1..]);
    let long = format!("Bearer {KEY}x");
    let basic = format!("Basic {KEY}");
    let spaced = format!("Bearer {} {}", &KEY[..20], &KEY[21..]);
    let umlaut = format!("Bearer {}ü", &KEY[2..]);
    let bare = KEY;
    for header in [
        &short, &long, &basic, &spaced, &umlaut, "Bearer", "Bearer ", bare,
    ] {
        refused(&world, Some(header), 401, "invalid_api_key_format").await;
    }
    let reply = world.send(event("malformed-key")).await;
    assert_eq!(reply.body["message"], "The API key format is invalid");
    assert!(world.proxy.exchanges().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_a_revoked_and_an_expired_key_are_refused_alike() {
    let world = world().await;
    let unknown = "b".repeat(40);
    let revoked = "c".repeat(40);
    let expired = "d".repeat(40);
    world.put_key(&revoked, &[("state", s("revoked"))]).await;
    world
        .put_key(&expired, &[("expiresAt", n(1_700_000_000))])
        .await;
    for key in [unknown, revoked, expired] {
        refused(
            &world,
            Some(&format!("Bearer {key}")),
            401,
            "invalid_api_key",
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scheme_of_a_key_is_case_insensitive() {
    let world = world().await;
    let key = "e".repeat(40);
    world
        .put_key(&key, &[("expiresAt", n(32_503_680_000))])
        .await;
    let mut event = delete_event("campaign_1");
    event["headers"]["authorization"] = format!("bearer {key}").into();
    assert_eq!(world.send(event).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inactive_subscription_is_refused_before_the_scope() {
    let world = world().await;
    let key = "f".repeat(40);
    let other = AttributeValue::Ss(vec!["deletions:read".to_owned()]);
    world
        .put_key(&key, &[("subscription", s("past_due")), ("scopes", other)])
        .await;
    refused(
        &world,
        Some(&format!("Bearer {key}")),
        403,
        "subscription_inactive",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_the_scope_is_refused() {
    let world = world().await;
    let key = "g".repeat(40);
    let other = AttributeValue::Ss(vec!["deletions:read".to_owned()]);
    world.put_key(&key, &[("scopes", other)]).await;
    let mut event = delete_event("campaign_1");
    event["headers"]["authorization"] = format!("Bearer {key}").into();
    let reply = world.send(event).await;
    reply.assert(403, "forbidden");
    assert_eq!(
        reply.body["message"],
        "The API key doesn't have permissions to perform the request"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn authentication_then_validation_then_the_campaign() {
    let world = world().await;
    let mut event = delete_event("campaign_1#x");
    event["headers"]["authorization"] = format!("Bearer {}", "z".repeat(40)).into();
    world.send(event).await.assert(401, "invalid_api_key");
    let mut event = delete_event("campaign_missing");
    event["rawQueryString"] = "validateonly=true".into();
    world.send(event).await.assert(400, "validation_error");
    // Unknown routes come before everything.
    let mut event = delete_event("campaign_1");
    event["headers"] = json!({});
    event["rawPath"] = "/v1/prospects".into();
    event["pathParameters"] = Value::Null;
    world.send(event).await.assert(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_item_of_another_form_is_a_refusal() {
    use aws_sdk_dynamodb::types::AttributeValue;

    use crate::harness::{n, s};

    for limit in [None, std::num::NonZeroU32::new(60)] {
        let mut world = world().await;
        world.rate_limit = limit;
        let odd: [(&str, AttributeValue); 4] = [
            ("scopes", AttributeValue::L(vec![s("campaigns:delete")])),
            ("expiresAt", s("2027-01-01T00:00:00Z")),
            ("expiresAt", n_text("1.5")),
            ("subscription", n(1)),
        ];
        for attribute in odd {
            world.put_key(KEY, std::slice::from_ref(&attribute)).await;
            let reply = world.delete("campaign_1").await;
            reply.assert(401, "invalid_api_key");
        }
    }
}

fn n_text(number: &str) -> aws_sdk_dynamodb::types::AttributeValue {
    aws_sdk_dynamodb::types::AttributeValue::N(number.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scheme_may_be_followed_by_several_spaces() {
    let world = world().await;
    let mut event = crate::harness::delete_event("none");
    event["headers"]["authorization"] = format!("Bearer   {KEY}").into();
    world.send(event).await.assert(404, "not_found");
}

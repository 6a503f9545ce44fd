//! What a request for several campaigns may look like. Whatever is malformed claims nothing.

use std::num::NonZeroU32;

use aws_sdk_dynamodb::types::AttributeValue;
use base64::{Engine, prelude::BASE64_STANDARD};
use campaigns::cli::gateway;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, body::Bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};

use super::{named, post, raw, statuses, verdicts, world};
use crate::harness::{KEY, World, s};

/// A request that is answered 400, and of which nothing is written.
async fn malformed(world: &World, event: Value, why: &str) {
    let before = world.dump().await;
    let shown: String = event.to_string().chars().take(500).collect();
    world.proxy.pass();
    let reply = world.send(event).await;
    reply.assert(400, "validation_error");
    let said = reply.body["message"].as_str().unwrap();
    assert!(said.contains(why), "{said}: {shown}");
    assert_eq!(world.dump().await, before, "{shown}");
    // Not even a campaign was looked at.
    let asked = world.proxy.exchanges();
    assert_eq!(asked.len(), 1, "{shown}");
}

/// Bodies that are refused, and why.
const MALFORMED: &[(&str, &str)] = &[
    ("", "must be a JSON object"),
    (" ", "must be a JSON object"),
    ("campaign_0", "must be a JSON object"),
    ("null", "must be a JSON object"),
    ("[\"campaign_0\"]", "must be a JSON object"),
    ("\"campaign_0\"", "must be a JSON object"),
    (
        "{\"campaignIds\": [\"campaign_0\"]",
        "must be a JSON object",
    ),
    (
        "{\"campaignIds\": [\"campaign_0\"]} {}",
        "must be a JSON object",
    ),
    (
        "{\"campaignIds\": [\"campaign_0\",]}",
        "must be a JSON object",
    ),
    ("{campaignIds: [\"campaign_0\"]}", "must be a JSON object"),
    (
        "\u{feff}{\"campaignIds\": [\"campaign_0\"]}",
        "must be a JSON object",
    ),
    ("campaignIds=campaign_0", "must be a JSON object"),
    ("{}", "1 to 100 campaign ids"),
    ("{\"validateOnly\": true}", "1 to 100 campaign ids"),
    ("{\"campaignIds\": []}", "1 to 100 campaign ids"),
    ("{\"campaignIds\": null}", "1 to 100 campaign ids"),
    ("{\"campaignIds\": \"campaign_0\"}", "1 to 100 campaign ids"),
    (
        "{\"campaignIds\": {\"0\": \"campaign_0\"}}",
        "1 to 100 campaign ids",
    ),
    (
        "{\"campaignIds\": [\"campaign_0\", 7]}",
        "'campaignIds[1]': it must be text",
    ),
    ("{\"campaignIds\": [null]}", "it must be text"),
    ("{\"campaignIds\": [[\"campaign_0\"]]}", "it must be text"),
    (
        "{\"campaignIds\": [\"campaign_0\", \"\"]}",
        "'campaignIds[1]': The campaign id is empty",
    ),
    (
        "{\"campaignIds\": [\"campaign_0#x\"]}",
        "may contain letters, digits",
    ),
    (
        "{\"campaignIds\": [\"../campaign_0\"]}",
        "may contain letters",
    ),
    (
        "{\"campaignIds\": [\"campaign_0\\u0000\"]}",
        "may contain letters",
    ),
    (
        "{\"campaignIds\": [\"campaign_0\", \"campaign_1\", \"campaign_0\"]}",
        "'campaignIds[2]': it repeats 'campaignIds[0]'",
    ),
    (
        "{\"campaignIds\": [\"a\", \"\\u0061\"]}",
        "it repeats 'campaignIds[0]'",
    ),
    (
        "{\"campaignIds\": [\"campaign_0\"], \"campaignIds\": [\"campaign_1\"]}",
        "'campaignIds' is given more than once",
    ),
    (
        "{\"campaignIds\": [\"campaign_0\"], \"validateOnly\": true, \"validateOnly\": false}",
        "'validateOnly' is given more than once",
    ),
    (
        "{\"campaignIds\": [\"campaign_0\"], \"dryRun\": true}",
        "Unknown member in the body",
    ),
    (
        "{\"campaignids\": [\"campaign_0\"]}",
        "Unknown member in the body",
    ),
    (
        "{\"campaignIds\": [\"campaign_0\"], \"validateOnly\": \"true\"}",
        "'validateOnly' must be true or false",
    ),
    (
        "{\"campaignIds\": [\"campaign_0\"], \"validateOnly\": null}",
        "'validateOnly' must be true or false",
    ),
    (
        "{\"campaignIds\": [\"campaign_0\"], \"reason\": \"For Jane Doe\"}",
        "reason",
    ),
    (
        "{\"campaignIds\": [\"campaign_0\"], \"reason\": null}",
        "'reason' must be text",
    ),
    (
        "{\"campaignIds\": [\"campaign_0\"], \"archive\": 1}",
        "'archive' must be true or false",
    ),
    (
        "{\"campaignIds\": [\"campaign_0\"], \"archive\": true}",
        "There is no archive here",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_body_is_refused_and_nothing_is_claimed() {
    let (world, ids) = world(2).await;
    let many = named(101);
    let padding = " ".repeat(65_536);
    let nested = format!("{{\"campaignIds\": {}1", "[".repeat(20_000));
    let made = [
        (nested.as_str(), "must be a JSON object"),
        (
            &json!({ "campaignIds": many }).to_string(),
            "1 to 100 campaign ids",
        ),
        (
            &format!("{{\"campaignIds\": [\"campaign_0\"]{padding}}}"),
            "longer than 65536 bytes",
        ),
    ];
    for (body, why) in MALFORMED.iter().copied().chain(made) {
        malformed(&world, raw(body), why).await;
        let mut encoded = raw(&BASE64_STANDARD.encode(body));
        encoded["isBase64Encoded"] = true.into();
        malformed(&world, encoded, why).await;
    }
    let mut none = raw("");
    none.as_object_mut().unwrap().remove("body");
    malformed(&world, none, "must be a JSON object").await;
    let mut no_text = raw(&BASE64_STANDARD.encode(b"{\"campaignIds\": [\"a\xff\"]}"));
    no_text["isBase64Encoded"] = true.into();
    malformed(&world, no_text, "must be a JSON object").await;
    // A body that is as long as a body may be, and the campaigns are still there.
    let longest = format!("{{\"campaignIds\": [\"{}\"]", ids[0]);
    let longest = format!("{longest}{}}}", &padding[longest.len() + 1..]);
    let taken = verdicts(&world.send(raw(&longest)).await, &ids[..1]);
    assert_eq!(statuses(&taken), [202]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_or_query_that_is_not_for_many_is_refused() {
    let (world, ids) = world(1).await;
    let body = json!({ "campaignIds": ids });
    let long = "k".repeat(256);
    for (name, value, why) in [
        ("if-match", "*", "If-Match header is for one campaign"),
        ("if-match", "\"x\"", "If-Match header is for one campaign"),
        ("idempotency-key", "", "Idempotency-Key"),
        ("idempotency-key", &long, "Idempotency-Key"),
    ] {
        let mut event = post(&body);
        event["headers"][name] = value.into();
        malformed(&world, event, why).await;
    }
    for query in ["validateOnly=true", "archive=false", "x"] {
        let mut event = post(&body);
        event["rawQueryString"] = query.into();
        malformed(&world, event, "none is known here").await;
    }
    // What is not understood may be ignored here (RFC 7240): it is always asynchronous.
    let mut event = post(&body);
    event["headers"]["prefer"] = "wait=20".into();
    assert_eq!(statuses(&verdicts(&world.send(event).await, &ids)), [202]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_is_checked_before_the_body() {
    let (mut world, ids) = world(1).await;
    world.rate_limit = NonZeroU32::new(60);
    let by = |key: Option<&str>| {
        let mut event = raw("no JSON");
        let headers = event["headers"].as_object_mut().unwrap();
        match key {
            Some(key) => headers.insert("authorization".to_owned(), format!("Bearer {key}").into()),
            None => headers.remove("authorization"),
        };
        event
    };
    world.send(by(None)).await.assert(401, "missing_api_key");
    world
        .send(by(Some("short")))
        .await
        .assert(401, "invalid_api_key_format");
    let unknown = "unknown_unknown_unknown_unknown_unknown_";
    world
        .send(by(Some(unknown)))
        .await
        .assert(401, "invalid_api_key");
    let scopes = ("scopes", AttributeValue::Ss(vec!["deletions:read".into()]));
    world.put_key(KEY, &[scopes]).await;
    world.send(by(Some(KEY))).await.assert(403, "forbidden");
    world
        .put_key(KEY, &[("subscription", s("cancelled"))])
        .await;
    world
        .send(by(Some(KEY)))
        .await
        .assert(403, "subscription_inactive");
    world.put_key(KEY, &[]).await;
    world
        .send(by(Some(KEY)))
        .await
        .assert(400, "validation_error");
    // Its limit is its own, and 100 campaigns are one request.
    let reply = world.send(post(&json!({ "campaignIds": ids }))).await;
    assert_eq!(
        reply.headers["ratelimit-policy"],
        "\"delete-campaigns\";q=60;w=60"
    );
    world.rate_limit = NonZeroU32::new(1);
    let reply = world.send(post(&json!({ "campaignIds": ids }))).await;
    reply.assert(429, "rate_limit_exceeded");
    assert_ne!(world.delete("campaign_none").await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_route_is_for_get_and_post_alone() {
    let (world, ids) = world(1).await;
    for method in ["PUT", "PATCH", "DELETE"] {
        let mut event = post(&json!({ "campaignIds": ids }));
        event["requestContext"]["http"]["method"] = method.into();
        let reply = world.send(event).await;
        reply.assert(405, "method_not_allowed");
        assert_eq!(reply.headers["allow"], "GET, POST");
    }
    assert!(world.records().await.is_empty());
}

/// What a local gateway over this world answers to a body, by status and body.
async fn through_the_gateway(world: &World, body: Bytes) -> (u16, Value) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/deletions", listener.local_addr().unwrap());
    let serving = tokio::spawn(gateway::serve(listener, world.api().await, None));
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::builder()
        .method(Method::POST)
        .uri(url)
        .header("authorization", format!("Bearer {KEY}"))
        .body(Full::from(body))
        .unwrap();
    let response = client.request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serving.abort();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_ten_megabytes_does_not_reach_the_function() {
    let (world, ids) = world(1).await;
    let body = json!({ "campaignIds": ids }).to_string();
    let padded = |length: usize| Bytes::from(format!("{body}{}", " ".repeat(length)));
    let megabyte = 1024 * 1024;
    let over = through_the_gateway(&world, padded(10 * megabyte)).await;
    assert_eq!(over, (413, json!({"message": "Payload Too Large"})));
    assert!(world.proxy.exchanges().is_empty());
    let (status, refused) = through_the_gateway(&world, padded(9 * megabyte)).await;
    assert_eq!(
        (status, &refused["error"]),
        (400, &json!("validation_error"))
    );
    let bytes = Bytes::from_static(b"\xff\xfe");
    assert_eq!(through_the_gateway(&world, bytes).await.0, 400);
    let claims = world.proxy.exchanges().into_iter();
    let mut claims = claims.filter(|exchange| exchange.operation == "TransactWriteItems");
    assert!(claims.next().is_none() && world.records().await.is_empty());
    let (status, taken) = through_the_gateway(&world, body.into()).await;
    assert_eq!(
        (status, &taken["deletions"][0]["status"]),
        (200, &json!(202))
    );
}

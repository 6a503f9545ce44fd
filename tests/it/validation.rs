//! What a request may look like. Whatever is malformed deletes nothing.

use campaigns::lambda;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};

use crate::harness::{World, delete_event, event};

/// `campaign_1`, its neighbours, and one child in each.
async fn world() -> World {
    let world = World::new().await;
    for id in ["campaign_1", "campaign_10", "campaign"] {
        world.put_campaign(id, &[]).await;
        world.put_children(id, &["CHAT#1".to_owned()]).await;
    }
    world
}

async fn refused(world: &World, event: Value, status: i64, error: &str) {
    let before = world.dump().await;
    let shown = event.to_string();
    let reply = world.send(event).await;
    assert_eq!(
        (reply.status, reply.body["error"].as_str()),
        (status, Some(error)),
        "{shown}"
    );
    assert_eq!(world.dump().await, before, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_none_are_refused_decoded_or_not() {
    let world = world().await;
    let long = "a".repeat(65);
    for id in [
        "",
        &long,
        "campaign_1#x",
        "campaign_1#",
        "campaign_1?validateOnly=false",
        "campaign_1/",
        "campaign_1/x",
        "campaign_1%23x",
        "campaign_1%2Fx",
        "campaign_1%00",
        "campaign_1\0",
        "..",
        "../campaign_1",
        "x/v1/campaigns/campaign_1",
        ".campaign_1",
        "kampagne_ü",
        "campaign_1 ",
    ] {
        refused(&world, delete_event(id), 400, "validation_error").await;
        // The same from `$default`, where no parameter was matched.
        let mut raw = delete_event(id);
        raw.as_object_mut().unwrap().remove("pathParameters");
        let (status, error) = if id.contains('/') {
            (404, "not_found")
        } else {
            (400, "validation_error")
        };
        refused(&world, raw, status, error).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn query_parameters_that_are_not_understood_never_delete() {
    let world = world().await;
    for query in [
        "dry_run=true",
        "validateonly=true",
        "validateOnly=TRUE",
        "validateOnly=",
        "validateOnly",
        "validateOnly=1",
        "validateOnly=true&validateOnly=true",
        "validateOnly=false&validateOnly=true",
        "validateOnly=false&x",
        "=",
        "%00",
        "a|b\"<>",
    ] {
        let mut event = delete_event("campaign_1");
        event["rawQueryString"] = query.into();
        refused(&world, event, 400, "validation_error").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_if_match_never_deletes() {
    let world = world().await;
    for value in [
        "",
        "2026-01-02T03:04:05Z",
        "\"open",
        "*,\"a\"",
        "\"a\" \"b\"",
        "\"ü\"",
    ] {
        let mut event = delete_event("campaign_1");
        event["headers"]["if-match"] = value.into();
        refused(&world, event, 400, "validation_error").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_methods_are_answered_before_authentication() {
    let world = world().await;
    for path in [
        "/",
        "/v1/campaigns",
        "/v2/campaigns/campaign_1",
        "/v1/campaignscampaign_1",
    ] {
        let mut event = delete_event("campaign_1");
        event["headers"] = json!({});
        event["rawPath"] = path.into();
        event.as_object_mut().unwrap().remove("pathParameters");
        refused(&world, event, 404, "not_found").await;
    }
    for method in ["GET", "POST", "PUT", "PATCH", "HEAD", "OPTIONS"] {
        let mut event = delete_event("campaign_1");
        event["headers"] = json!({});
        event["requestContext"]["http"]["method"] = method.into();
        let reply = world.send(event.clone()).await;
        assert_eq!(reply.headers["allow"], "DELETE");
        refused(&world, event, 405, "method_not_allowed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_ignored() {
    let world = world().await;
    let mut event = delete_event("campaign_1");
    event["body"] = "{not json".into();
    assert_eq!(world.send(event).await.status, 200);
    let mut event = delete_event("campaign_10");
    event["body"] = "/w==".into();
    event["isBase64Encoded"] = true.into();
    assert_eq!(world.send(event).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_no_http_api_event_is_an_error_and_nothing_is_done() {
    let world = world().await;
    let before = world.dump().await;
    let rest = json!({
        "version": "1.0",
        "resource": "/v1/campaigns/{id}",
        "path": "/v1/campaigns/campaign_1",
        "httpMethod": "DELETE",
        "headers": delete_event("campaign_1")["headers"],
        "pathParameters": {"id": "campaign_1"},
        "requestContext": {"resourcePath": "/v1/campaigns/{id}", "httpMethod": "DELETE"},
    });
    let scheduled = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
    for event in [
        rest,
        scheduled,
        json!({}),
        json!([]),
        json!("x"),
        Value::Null,
    ] {
        let api = world.api().await;
        let event = LambdaEvent::new(event, Context::default());
        let error = lambda::handle(&api, event).await.unwrap_err();
        assert!(error.to_string().contains("payload format 2.0"));
    }
    assert_eq!(world.dump().await, before);
    assert!(world.proxy.exchanges().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_by_hand_that_has_only_the_parsed_query_is_a_dry_run_too() {
    let world = world().await;
    let mut event = event("dry-run");
    crate::harness::set_id(&mut event, "campaign_1");
    event.as_object_mut().unwrap().remove("rawQueryString");
    let before = world.dump().await;
    let reply = world.send(event).await;
    assert_eq!(
        (reply.status, &reply.body["validateOnly"]),
        (200, &json!(true))
    );
    assert_eq!(world.dump().await, before);
}

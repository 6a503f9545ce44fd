//! What a request may look like. Whatever is malformed deletes nothing.

use campaigns::lambda;
use lambda_runtime::{Context, LambdaEvent};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use crate::harness::{World, delete_event, event, s};

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
async fn malformed_ids_are_refused_decoded_or_not() {
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
async fn an_event_of_another_form_is_an_error() {
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
    let mut valueless = event("dry-run");
    valueless.as_object_mut().unwrap().remove("rawQueryString");
    valueless["queryStringParameters"] = json!({"validateOnly": []});
    for event in [
        rest,
        scheduled,
        valueless,
        json!({}),
        json!([]),
        json!("x"),
        Value::Null,
    ] {
        let api = world.api().await;
        let event = LambdaEvent::new(event, Context::default());
        let error = lambda::handle_http(&api, event).await.unwrap_err();
        assert!(error.to_string().contains("payload format 2.0"));
    }
    assert_eq!(world.dump().await, before);
    assert!(world.proxy.exchanges().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_may_be_in_the_parsed_query_alone() {
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

#[tokio::test(flavor = "multi_thread")]
async fn too_long_values_are_refused_with_a_clear_error() {
    let world = world().await;
    let mut query = delete_event("campaign_1");
    query["rawQueryString"] = format!("validateOnly=true&x={}", "y".repeat(1_024)).into();
    let mut events = vec![("The query is longer than 1024 bytes", query)];
    for (name, message) in [
        ("prefer", "The prefer header is longer than 4096 bytes"),
        ("if-match", "The if-match header is longer than 4096 bytes"),
        (
            "idempotency-key",
            "The idempotency-key header is longer than 4096 bytes",
        ),
    ] {
        let mut event = delete_event("campaign_1");
        event["headers"][name] = format!("\"{}\"", "x".repeat(4_096)).into();
        events.push((message, event));
    }
    for (message, event) in events {
        let reply = world.send(event.clone()).await;
        assert_eq!(reply.body["message"], message);
        refused(&world, event, 400, "validation_error").await;
    }
}

/// A place in an event, and what stands there instead: nothing, something like
/// what was there, or anything.
fn mutation() -> impl Strategy<Value = (usize, Option<Value>)> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,80}".prop_map(Value::from),
        "/?(v1/)?(campaigns|deletions)/\\PC{0,20}".prop_map(Value::from),
        "(validateOnly|limit|after|x)=\\PC{0,20}(&validateOnly=(true|false))?"
            .prop_map(Value::from),
        "(GET|DELETE|PUT|TRACE|delete)".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-zA-Z-]{0,12}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    });
    (0_usize..60, proptest::option::of(value))
}

/// The pointers to everything in an event.
fn places(value: &Value, at: &str, places: &mut Vec<String>) {
    for (name, inner) in value.as_object().into_iter().flatten() {
        let place = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        places.push(place.clone());
        self::places(inner, &place, places);
    }
}

#[test]
fn any_event_is_answered_and_no_neighbour_is_ever_touched() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (world, before) = runtime.block_on(async {
        let world = World::new().await;
        // None of them can be deleted by its own name.
        for id in ["campaign_1", "campaign_10", "campaign"] {
            world
                .put_campaign(id, &[("campaignStatus", s("active"))])
                .await;
            world.put_children(id, &["CHAT#1".to_owned()]).await;
        }
        let before = world.dump().await;
        (world, before)
    });
    let api = runtime.block_on(world.api());
    let mut runner = TestRunner::new(Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    });
    let mutations = proptest::collection::vec(mutation(), 1..5);
    let checked = runner.run(&mutations, |mutations| {
        let mut event = event("dry-run");
        event["rawPath"] = "/v1/campaigns/campaign_1".into();
        for (at, value) in mutations {
            let mut all = Vec::new();
            places(&event, "", &mut all);
            let Some(place) = all.get(at % all.len().max(1)) else {
                continue;
            };
            let (parent, name) = place.rsplit_once('/').unwrap();
            let name = name.replace("~1", "/").replace("~0", "~");
            let parent = event.pointer_mut(parent).unwrap();
            match value {
                Some(value) => parent[name.as_str()] = value,
                None => drop(parent.as_object_mut().unwrap().remove(&name)),
            }
        }
        let answer = runtime.block_on(lambda::handle_http(
            &api,
            LambdaEvent::new(event.clone(), Context::default()),
        ));
        // An event that is not an HTTP request has no caller to answer.
        if let Ok(answer) = answer {
            let answer = serde_json::to_value(answer).unwrap();
            let status = answer["statusCode"].as_i64().unwrap();
            prop_assert!((200..500).contains(&status), "{event}: {answer}");
            let body = answer["body"].as_str().unwrap();
            prop_assert!(serde_json::from_str::<Value>(body).is_ok(), "{body}");
        }
        Ok(())
    });
    checked.unwrap();
    assert_eq!(runtime.block_on(world.dump()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_asks_for_a_dry_run_deletes_nothing() {
    let world = World::new().await;
    world.put_campaign("campaign_1", &[]).await;
    let deep = format!(
        r#"{{"dryRun": true, "x": {}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    for (body, is_encoded) in [
        (r#"{"validateOnly": true}"#, false),
        (r#"{"dryRun": false, "more": 1}"#, false),
        ("eyJ2YWxpZGF0ZU9ubHkiOiB0cnVlfQ==", true),
        // What other parsers take for an object.
        ("\u{feff}{\"dryRun\": true}", false),
        (" \n{\"dryRun\": true, \"x\": 1e999}", false),
        (r#"{"validateOnly": true, "x": "\ud800"}"#, false),
        (deep.as_str(), false),
    ] {
        let mut event = delete_event("campaign_1");
        event["body"] = body.into();
        event["isBase64Encoded"] = is_encoded.into();
        let reply = world.send(event).await;
        reply.assert(400, "validation_error");
        assert!(reply.text.contains("?validateOnly=true"), "{reply:?}");
        assert_eq!(world.left("campaign_1").await, ["CAMPAIGN"]);
    }
    for (number, body) in [
        "",
        "{",
        "[\"validateOnly\"]",
        "{\"why\": 1}",
        "validateOnly",
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("campaign_{number}");
        world.put_campaign(&id, &[]).await;
        let mut event = delete_event(&id);
        event["body"] = body.into();
        assert_eq!(world.send(event).await.status, 200, "{body}");
    }
}

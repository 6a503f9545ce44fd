//! How often a key may call.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{Client, config::timeout::TimeoutConfig, types::AttributeValue};
use campaigns::{
    clock::now_seconds,
    deletion::{Deletions, HandOff},
    http::Api,
    rate_limit::{Counter, LimitedRoute},
    table::Table,
};
use serde_json::{Value, json};

use crate::{
    harness::proxy::{Action, Call, internal_error, serial_round_trips, throttled},
    harness::{ACCOUNT, KEY, Reply, World, delete_event, event, item, n, s, send},
};

async fn world(limit: u32) -> World {
    let mut world = World::new().await;
    world.rate_limit = NonZeroU32::new(limit);
    world
}

/// Waits for a minute that has this many seconds left.
async fn within_a_minute(seconds: u64) {
    let left = Counter::at(LimitedRoute::DeleteCampaign, now_seconds()).resets_in;
    if left < seconds {
        tokio::time::sleep(Duration::from_secs(left)).await;
    }
}

fn is_count(call: &Call<'_>) -> bool {
    let key = call.body["Key"]["PK"]["S"].as_str().unwrap_or_default();
    call.operation == "UpdateItem" && key.starts_with("APIKEY#")
}

fn assert_limited(reply: &Reply) {
    reply.assert(429, "rate_limit_exceeded");
    assert_eq!(
        reply.body["message"],
        "Too many requests hit the API too quickly"
    );
    let wait: u64 = reply.headers["retry-after"].parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
}

/// The attributes of the key's item that are counters.
async fn counters(world: &World) -> Vec<(String, Value)> {
    let dump = world.dump().await;
    let keys = dump
        .into_iter()
        .filter(|((pk, _), _)| pk.starts_with("APIKEY#"));
    let attributes = keys.flat_map(|(_, item)| item.as_object().unwrap().clone());
    attributes
        .filter(|(name, _)| name.starts_with("rate#"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_at_once_exactly_the_limit_passes() {
    const REQUESTS: usize = 300;
    const LIMIT: usize = 137;
    let world = world(u32::try_from(LIMIT).unwrap()).await;
    within_a_minute(40).await;
    // A busy machine takes longer for all of them than one request may wait.
    let patient = world.table.client().config().to_builder();
    let patient = patient
        .timeout_config(TimeoutConfig::disabled())
        // The one of the configuration has timeouts of its own.
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    let table = Table::new(Client::from_conf(patient), world.table.name().to_owned())
        .first_count(world.inline_budget);
    let mut requests = tokio::task::JoinSet::new();
    // As many instances of the function as there would be.
    for _ in 0..20 {
        let deletions = Deletions::new(table.clone(), world.settings.clone(), HandOff::None);
        let api = Api::new(
            table.clone(),
            deletions,
            world.inline_budget,
            world.rate_limit,
        );
        for _ in 0..REQUESTS / 20 {
            let api = api.clone();
            requests.spawn(async move { send(&api, delete_event("campaign_1")).await });
        }
    }
    let (mut passed, mut limited) = (0, 0);
    while let Some(reply) = requests.join_next().await {
        let reply = reply.unwrap();
        if reply.status == 404 {
            passed += 1;
        } else {
            assert_limited(&reply);
            limited += 1;
        }
    }
    assert_eq!((passed, limited), (LIMIT, REQUESTS - LIMIT));
    let [(_, count)] = counters(&world).await.try_into().unwrap();
    assert_eq!(count, REQUESTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_and_key_has_its_own_limit_in_headers() {
    let world = world(2).await;
    let other = "other_other_other_other_other_other_0123";
    world.put_key(other, &[]).await;
    within_a_minute(20).await;
    for left in ["1", "0"] {
        let reply = world.delete("campaign_1").await;
        reply.assert(404, "not_found");
        assert_eq!(
            reply.headers["ratelimit-policy"],
            "\"delete-campaign\";q=2;w=60"
        );
        let said = &reply.headers["ratelimit"];
        let (said, resets_in) = said.split_once(";t=").unwrap();
        assert_eq!(said, format!("\"delete-campaign\";r={left}"));
        assert!((1..=60).contains(&resets_in.parse::<u64>().unwrap()));
    }
    let limited = world.delete("campaign_1").await;
    assert_limited(&limited);
    assert!(limited.headers["ratelimit"].starts_with("\"delete-campaign\";r=0;t="));
    for (name, policy, status) in [
        ("list-deletions", "\"list-deletions\";q=2;w=60", 200),
        ("get-deletion", "\"get-deletion\";q=2;w=60", 404),
    ] {
        let reply = world.send(event(name)).await;
        assert_eq!(
            (reply.status, reply.headers["ratelimit-policy"].as_str()),
            (status, policy)
        );
    }
    let mut theirs = delete_event("campaign_1");
    theirs["headers"]["authorization"] = format!("Bearer {other}").into();
    world.send(theirs).await.assert(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_comes_after_the_subscription_before_the_scope() {
    let world = world(1).await;
    within_a_minute(20).await;
    world
        .put_key(KEY, &[("subscription", s("cancelled"))])
        .await;
    for _ in 0..3 {
        let reply = world.delete("campaign_1").await;
        reply.assert(403, "subscription_inactive");
        assert!(reply.headers.contains_key("ratelimit"));
    }
    world
        .put_key(
            KEY,
            &[(
                "scopes",
                aws_sdk_dynamodb::types::AttributeValue::Ss(vec!["none".into()]),
            )],
        )
        .await;
    world.delete("campaign_1").await.assert(403, "forbidden");
    assert_limited(&world.delete("campaign_1").await);
    // An unknown caller has no limit, and is told of none.
    world.put_key(KEY, &[("state", s("revoked"))]).await;
    let mut malformed = delete_event("campaign_1");
    malformed["headers"]["authorization"] = "Bearer short".into();
    let mut unknown_route = delete_event("campaign_1");
    unknown_route["rawPath"] = "/v2/campaigns/campaign_1".into();
    for (event, status) in [
        (delete_event("campaign_1"), 401),
        (malformed, 401),
        (unknown_route, 404),
    ] {
        let reply = world.send(event).await;
        assert_eq!(reply.status, status);
        assert!(!reply.headers.contains_key("ratelimit"), "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guessed_key_creates_nothing() {
    let world = world(60).await;
    let before = world.dump().await;
    let mut guessed = delete_event("campaign_1");
    guessed["headers"]["authorization"] = format!("Bearer {}", "g".repeat(40)).into();
    world.send(guessed).await.assert(401, "invalid_api_key");
    assert_eq!(world.dump().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_minute_adds_no_round_trip() {
    let mut world = world(60).await;
    world.put_campaign("campaign_1", &[]).await;
    world
        .put_children("campaign_1", &["CHAT#1".to_owned()])
        .await;
    world.rate_limit = None;
    world
        .proxy
        .policy(|_| Action::Delay(Duration::from_millis(20)));
    assert_eq!(world.delete("campaign_1").await.status, 200);
    let without = serial_round_trips(&world.proxy.exchanges());

    world.rate_limit = NonZeroU32::new(60);
    world.put_campaign("campaign_1", &[]).await;
    world
        .put_children("campaign_1", &["CHAT#1".to_owned()])
        .await;
    within_a_minute(20).await;
    let at = |seconds_ago: i64| {
        let counter = Counter::at(LimitedRoute::DeleteCampaign, now_seconds() - seconds_ago);
        counter.attribute()
    };
    let (now, last) = (at(0), at(60));
    // Full ones, of a minute ago, of some minutes ago and of long ago.
    let (over, long_over) = (at(300), at(86_400));
    let counters_before = [
        (last.as_str(), n(60)),
        (over.as_str(), n(60)),
        (long_over.as_str(), n(60)),
    ];
    world.put_key(KEY, &counters_before).await;
    world
        .proxy
        .policy(|_| Action::Delay(Duration::from_millis(20)));
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 200);
    assert!(reply.headers["ratelimit"].starts_with("\"delete-campaign\";r=59;"));
    assert_eq!(serial_round_trips(&world.proxy.exchanges()), without);
    let mut left = counters(&world).await;
    left.sort_by_key(|(name, _)| name.clone());
    assert_eq!(left, [(last, json!(60)), (now, json!(1))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_nothing_but_the_counter() {
    let world = world(60).await;
    world.put_campaign("campaign_1", &[]).await;
    let before = world.dump().await;
    let mut dry_run = event("dry-run");
    crate::harness::set_id(&mut dry_run, "campaign_1");
    assert_eq!(world.send(dry_run).await.status, 200);
    let mut after = world.dump().await;
    for ((pk, _), item) in &mut after {
        if pk.starts_with("APIKEY#") {
            item.as_object_mut()
                .unwrap()
                .retain(|name, _| !name.starts_with("rate#"));
        }
    }
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_table_is_503_and_not_429() {
    let world = world(60).await;
    world.put_campaign("campaign_1", &[]).await;
    world.proxy.policy(|call| {
        if is_count(call) {
            throttled()
        } else {
            Action::Pass
        }
    });
    let before = world.dump().await;
    let reply = world.delete("campaign_1").await;
    reply.assert(503, "unavailable");
    assert_eq!(reply.headers["retry-after"], "2");
    // Who is refused is told so, though nothing can be counted.
    let mut unknown = delete_event("campaign_1");
    unknown["headers"]["authorization"] = format!("Bearer {}", "g".repeat(40)).into();
    world.send(unknown).await.assert(401, "invalid_api_key");
    assert_eq!(world.dump().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_count_is_repeated_until_it_is_counted() {
    let world = world(60).await;
    world.proxy.policy(|call| {
        if is_count(call) && call.nth < 3 {
            throttled()
        } else {
            Action::Pass
        }
    });
    world.delete("campaign_1").await.assert(404, "not_found");
    assert_eq!(counters(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_without_an_answer_is_repeated_once() {
    let world = world(60).await;
    world.proxy.policy(|call| match call.nth {
        0 if is_count(call) => Action::LoseRequest,
        _ => Action::Pass,
    });
    let reply = world.delete("campaign_1").await;
    reply.assert(404, "not_found");
    assert!(reply.headers["ratelimit"].contains(";r=59;"), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_that_cannot_be_counted_is_let_through() {
    for action in [
        internal_error(),
        Action::LoseAnswer,
        Action::LoseRequest,
        Action::Hang,
    ] {
        let world = world(1).await;
        for id in ["campaign_1", "campaign_2"] {
            world.put_campaign(id, &[]).await;
        }
        world.proxy.policy(move |call| {
            if is_count(call) {
                action.clone()
            } else {
                Action::Pass
            }
        });
        for id in ["campaign_1", "campaign_2"] {
            let begun = Instant::now();
            let reply = world.delete(id).await;
            assert_eq!(reply.status, 200);
            assert!(!reply.headers.contains_key("ratelimit"));
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "{:?}",
                begun.elapsed()
            );
        }
        // A caller without a key is still refused.
        let mut guessed = delete_event("campaign_1");
        guessed["headers"]["authorization"] = format!("Bearer {}", "g".repeat(40)).into();
        world.send(guessed).await.assert(401, "invalid_api_key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_counters_are_removed_by_a_later_request() {
    let is_removal = |call: &Call<'_>| {
        let update = call.body["UpdateExpression"].as_str();
        update.is_some_and(|update| update.starts_with("REMOVE"))
    };
    let over = Counter::at(LimitedRoute::DeleteCampaign, now_seconds() - 600).attribute();
    for action in [
        internal_error(),
        throttled(),
        Action::LoseRequest,
        Action::Hang,
    ] {
        let world = world(60).await;
        world.put_key(KEY, &[(over.as_str(), n(60))]).await;
        let is_applied = matches!(action, Action::Hang);
        world.proxy.policy(move |call| {
            if is_removal(call) {
                action.clone()
            } else {
                Action::Pass
            }
        });
        let begun = Instant::now();
        world.delete("campaign_1").await.assert(404, "not_found");
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?}",
            begun.elapsed()
        );
        let left = counters(&world).await.iter().any(|(name, _)| *name == over);
        assert_eq!(left, !is_applied);
        world.proxy.pass();
        world.delete("campaign_1").await.assert(404, "not_found");
        assert!(!counters(&world).await.iter().any(|(name, _)| *name == over));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_caller_does_not_close_the_reads_connection() {
    let world = world(60).await;
    world.put_key(KEY, &[("state", s("revoked"))]).await;
    world.proxy.policy(|call| match call.operation {
        "GetItem" => Action::Delay(Duration::from_millis(20)),
        _ => Action::Pass,
    });
    world
        .delete("campaign_1")
        .await
        .assert(401, "invalid_api_key");
    // The read that was begun has been answered.
    let exchanges = world.proxy.exchanges();
    assert!(exchanges.iter().any(|call| call.operation == "GetItem"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_the_scope_reads_a_bounded_part_of_the_history() {
    let world = world(60).await;
    let scopes = AttributeValue::Ss(vec!["campaigns:delete".to_owned()]);
    world.put_key(KEY, &[("scopes", scopes)]).await;
    let others = (0..1_300).map(|number| {
        item(&[
            ("PK", s(&format!("ACCOUNT#{ACCOUNT}"))),
            (
                "SK",
                s(&format!("DELETION#0190a8c2-b5c2-7e3f-8000-{number:012}")),
            ),
            ("requestedBy", s("key_other")),
        ])
    });
    world.put_all(others.collect()).await;
    world.proxy.pass();
    let mut list = event("list-deletions");
    list["rawQueryString"] = "".into();
    list["queryStringParameters"] = Value::Null;
    let reply = world.send(list).await;
    assert_eq!((reply.status, &reply.body["deletions"]), (200, &json!([])));
    assert_eq!(
        reply.body["after"], "0190a8c2-b5c2-7e3f-8000-000000000300",
        "{reply:?}"
    );
    let queries = world.proxy.exchanges();
    let queries = queries.iter().filter(|call| call.operation == "Query");
    assert_eq!(queries.count(), 5);
}

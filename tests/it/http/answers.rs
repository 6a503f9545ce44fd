//! When a request has to be answered before, or after, the deletion is done:
//! `Prefer`, `Idempotency-Key`, and reading deletions.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    harness::proxy::{Action, Call, is_claim, throttled},
    harness::worlds::{chats, world},
    harness::{ACCOUNT, KEY, Reply, World, delete_event, event, item, n, s, send},
};

const OTHER_KEY: &str = "another-key_of-the-account_0123456789ABC";

fn with(id: &str, header: &str, value: &str) -> Value {
    let mut event = delete_event(id);
    event["headers"][header] = value.into();
    event
}

fn get(id: &str) -> Value {
    let mut event = event("get-deletion");
    let path = format!("/v1/deletions/{id}");
    event["rawPath"] = path.clone().into();
    event["requestContext"]["http"]["path"] = path.into();
    event["pathParameters"]["deletionId"] = id.into();
    event
}

fn list(query: &str) -> Value {
    let mut event = event("list-deletions");
    event["rawQueryString"] = query.into();
    event["queryStringParameters"] = json!({});
    event
}

fn by(mut event: Value, key: &str) -> Value {
    event["headers"]["authorization"] = format!("Bearer {key}").into();
    event
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.get(name).map(String::as_str)
}

async fn world_with_another_key() -> World {
    let world = world(5).await;
    let scopes = aws_sdk_dynamodb::types::AttributeValue::Ss(vec!["campaigns:delete".into()]);
    world
        .put_key(OTHER_KEY, &[("keyId", s("key_other")), ("scopes", scopes)])
        .await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn respond_async_claims_deletes_nothing_and_says_where_to_look() {
    for prefer in ["respond-async", "wait=0"] {
        let world = world(5).await;
        let reply = world.send(with("campaign_1", "prefer", prefer)).await;
        assert_eq!(reply.status, 202);
        assert_eq!(header(&reply, "preference-applied"), Some(prefer));
        assert_eq!(header(&reply, "retry-after"), Some("2"));
        let id = reply.deletion_id();
        let location = format!("/v1/deletions/{id}");
        assert_eq!(header(&reply, "location"), Some(location.as_str()));
        assert!(reply.body["deletionSummary"]["startedAt"].is_string());
        assert!(reply.body["deletionSummary"]["deletedAt"].is_null());
        assert_eq!(world.left("campaign_1").await.len(), 6);
        let shown = world.send(get(&id)).await;
        assert_eq!(
            (shown.status, &shown.body["status"]),
            (200, &"running".into())
        );
        assert_eq!(header(&shown, "retry-after"), Some("2"));
        assert_eq!(world.delete("campaign_1").await.status, 200);
        world.assert_gone("campaign_1", &chats(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_is_how_long_the_request_works_and_is_capped() {
    let world = world(40).await.inline_budget(3_000);
    world.proxy.policy(|call| match call.operation {
        "BatchWriteItem" => Action::Delay(Duration::from_millis(700)),
        _ => Action::Pass,
    });
    let api = world.api().await;
    let begun = Instant::now();
    let reply = send(&api, with("campaign_1", "prefer", "wait=1")).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(reply.status, 202);
    assert_eq!(header(&reply, "preference-applied"), Some("wait=1"));
    world.proxy.pass();
    let huge = with(
        "campaign_1",
        "prefer",
        "foo, wait=99999999999999999999; bar",
    );
    let reply = world.send(huge).await;
    assert_eq!(reply.status, 200);
    assert_eq!(header(&reply, "preference-applied"), Some("wait=3"));
    world.assert_gone("campaign_1", &chats(40)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_headers_are_refused_and_unknown_preferences_ignored() {
    let world = world(5).await;
    let before = world.dump().await;
    let long = "k".repeat(256);
    for (name, value) in [
        ("prefer", "wait=abc"),
        ("prefer", "wait=-1"),
        ("prefer", "respond-async, wait"),
        ("idempotency-key", ""),
        ("idempotency-key", long.as_str()),
        ("idempotency-key", "schlüssel"),
        ("idempotency-key", "a\tb"),
        ("idempotency-key", "\"open"),
    ] {
        let reply = world.send(with("campaign_1", name, value)).await;
        reply.assert(400, "validation_error");
        assert_eq!(world.dump().await, before, "{name}: {value}");
    }
    let reply = world
        .send(with("campaign_1", "prefer", "handling=strict"))
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(header(&reply, "preference-applied"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gets_the_answer_of_its_deletion() {
    let world = world(5).await;
    let keyed = || with("campaign_1", "idempotency-key", "k-1");
    let mut asynchronous = keyed();
    asynchronous["headers"]["prefer"] = "respond-async".into();
    let first = world.send(asynchronous.clone()).await;
    assert_eq!(
        (first.status, header(&first, "idempotent-replayed")),
        (202, None)
    );
    let again = world.send(asynchronous).await;
    assert_eq!(again.status, 202);
    assert_eq!(header(&again, "idempotent-replayed"), Some("true"));
    assert_eq!(again.deletion_id(), first.deletion_id());
    // A repetition resumes what has no active worker.
    for _ in 0..3 {
        let done = world.send(keyed()).await;
        assert_eq!((done.status, done.deleted_items()), (200, &chats(5)));
        assert_eq!(header(&done, "idempotent-replayed"), Some("true"));
        assert_eq!(done.deletion_id(), first.deletion_id());
    }
    world.assert_gone("campaign_1", &chats(5)).await;
    // Without the key it is gone; quoted, the key is the same.
    world.delete("campaign_1").await.assert(404, "not_found");
    let quoted = with("campaign_1", "idempotency-key", "\"k-1\"");
    assert_eq!(world.send(quoted).await.status, 200);
    // Even a new campaign of the same id is not deleted by a repetition.
    world.put_campaign("campaign_1", &[]).await;
    let replayed = world.send(keyed()).await;
    assert_eq!(replayed.deletion_id(), first.deletion_id());
    assert_eq!(world.left("campaign_1").await, ["CAMPAIGN"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_belongs_to_one_account_and_campaign() {
    let world = world(5).await;
    world.put_campaign("campaign_2", &[]).await;
    let first = world.send(with("campaign_1", "idempotency-key", "k")).await;
    assert_eq!(first.status, 200);
    let before = world.dump().await;
    let reused = world.send(with("campaign_2", "idempotency-key", "k")).await;
    reused.assert(422, "idempotency_key_reused");
    assert_eq!(world.dump().await, before);
    // Another account's keys are its own.
    world
        .put_key(OTHER_KEY, &[("accountId", s("account_2"))])
        .await;
    world
        .put_campaign("campaign_2", &[("accountId", s("account_2"))])
        .await;
    let others = by(with("campaign_2", "idempotency-key", "k"), OTHER_KEY);
    let others = world.send(others).await;
    assert_eq!(
        (others.status, header(&others, "idempotent-replayed")),
        (200, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_runs_and_refusals_spend_no_key() {
    let world = world(5).await;
    let mut dry = with("campaign_1", "idempotency-key", "k");
    dry["rawQueryString"] = "validateOnly=true".into();
    let before = world.dump().await;
    assert_eq!(world.send(dry).await.status, 200);
    assert_eq!(world.dump().await, before);
    world
        .put_campaign("campaign_1", &[("campaignStatus", s("active"))])
        .await;
    let keyed = || with("campaign_1", "idempotency-key", "k");
    world.send(keyed()).await.assert(409, "campaign_active");
    world.put_campaign("campaign_1", &[]).await;
    let reply = world.send(keyed()).await;
    assert_eq!(
        (reply.status, header(&reply, "idempotent-replayed")),
        (200, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_idempotency_key_counts_as_absent() {
    let world = world(5).await;
    world.put_campaign("campaign_2", &[]).await;
    let reply = world.send(with("campaign_1", "idempotency-key", "k")).await;
    let dump = world.dump().await;
    let (key, kept) = dump
        .iter()
        .find(|((_, sk), _)| sk.starts_with("IDEMPOTENCY#"))
        .unwrap();
    let now = campaigns::clock::now_seconds();
    let ttl_at = kept["ttlAt"].as_i64().unwrap();
    assert!((now + 86_390..=now + 86_400).contains(&ttl_at));
    assert_eq!(kept["deletionId"], reply.deletion_id());
    assert_eq!(key.1.len(), "IDEMPOTENCY#".len() + 64);
    world
        .put(item(&[
            ("PK", s(&key.0)),
            ("SK", s(&key.1)),
            ("deletionId", s(&reply.deletion_id())),
            ("campaignId", s("campaign_1")),
            ("ttlAt", n(now)),
        ]))
        .await;
    let later = world.send(with("campaign_2", "idempotency-key", "k")).await;
    assert_eq!(
        (later.status, header(&later, "idempotent-replayed")),
        (200, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_attaches_stores_its_key_too() {
    let world = world(5).await;
    let first = world
        .send(with("campaign_1", "prefer", "respond-async"))
        .await;
    let keyed = || with("campaign_1", "idempotency-key", "k");
    let mut attaching = keyed();
    attaching["headers"]["prefer"] = "respond-async".into();
    let attached = world.send(attaching).await;
    assert_eq!(
        (attached.status, header(&attached, "idempotent-replayed")),
        (202, None)
    );
    assert_eq!(world.delete("campaign_1").await.status, 200);
    let done = world.send(keyed()).await;
    assert_eq!(
        (done.status, done.deletion_id()),
        (200, first.deletion_id())
    );
    assert_eq!(header(&done, "idempotent-replayed"), Some("true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_requests_with_one_key_at_once_one_claims() {
    // The second claim arrives when the first has taken the key and is done, for
    // another campaign and for the same.
    for (other, expected) in [
        ("campaign_2", (422, None)),
        ("campaign_1", (200, Some("true"))),
    ] {
        let world = world(5).await;
        world.put_campaign("campaign_2", &[]).await;
        let claim = world.proxy.pause_at(is_claim);
        let rival = async {
            claim.reached().await;
            let reply = world.send(with("campaign_1", "idempotency-key", "k")).await;
            claim.resume();
            reply
        };
        let slow = Box::pin(world.send(with(other, "idempotency-key", "k")));
        let (slow, rival) = tokio::join!(slow, Box::pin(rival));
        assert_eq!(
            (slow.status, header(&slow, "idempotent-replayed")),
            expected
        );
        assert_eq!(
            (rival.status, header(&rival, "idempotent-replayed")),
            (200, None)
        );
        world.assert_gone("campaign_1", &chats(5)).await;
        assert_eq!(world.left("campaign_2").await, ["CAMPAIGN"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_idempotency_key_of_an_attaching_request_is_stored() {
    let world = world(5).await;
    world.put_campaign("campaign_2", &[]).await;
    world
        .send(with("campaign_1", "prefer", "respond-async"))
        .await;
    // Its answer is lost.
    world.proxy.policy(|call| match (call.operation, call.nth) {
        ("PutItem", 0) => Action::LoseAnswer,
        _ => Action::Pass,
    });
    let mut attaching = with("campaign_1", "idempotency-key", "k");
    attaching["headers"]["prefer"] = "respond-async".into();
    assert_eq!(world.send(attaching.clone()).await.status, 202);
    // Taken between the look at the key and the put, by a claim.
    attaching["headers"]["idempotency-key"] = "k-2".into();
    world.proxy.pass();
    let put = world.proxy.pause_at_nth("PutItem", 0);
    let taking = async {
        put.reached().await;
        let reply = world
            .send(with("campaign_2", "idempotency-key", "k-2"))
            .await;
        assert_eq!(reply.status, 200);
        put.resume();
    };
    let attaching = Box::pin(world.send(attaching));
    let (attaching, ()) = tokio::join!(attaching, Box::pin(taking));
    attaching.assert(422, "idempotency_key_reused");
    assert_eq!(world.left("campaign_1").await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_with_a_key_whose_answer_was_lost_is_recognised() {
    let world = world(5).await;
    world.proxy.policy(|call| {
        if is_claim(call) && call.nth == 0 {
            Action::LoseAnswer
        } else {
            Action::Pass
        }
    });
    let reply = world.send(with("campaign_1", "idempotency-key", "k")).await;
    assert_eq!(
        (reply.status, header(&reply, "idempotent-replayed")),
        (200, None)
    );
    world.assert_gone("campaign_1", &chats(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_shown_as_the_contract_says() {
    let world = world(5).await.lease(100);
    let running = world
        .send(with("campaign_1", "prefer", "respond-async"))
        .await;
    let id = running.deletion_id();
    tokio::time::sleep(Duration::from_millis(350)).await;
    let stalled = world.send(get(&id)).await;
    assert_eq!(stalled.body["status"], "stalled");
    assert_eq!(header(&stalled, "retry-after"), Some("2"));
    assert_eq!(world.delete("campaign_1").await.status, 200);
    let shown = world.send(get(&id.to_uppercase())).await;
    assert_eq!((shown.status, header(&shown, "retry-after")), (200, None));
    let members: Vec<_> = shown.body.as_object().unwrap().keys().collect();
    let mut expected = vec![
        "deletionId",
        "campaignId",
        "campaignName",
        "status",
        "processed",
        "deletedItems",
        "requestedBy",
        "startedAt",
        "lastProcessedAt",
        "completedAt",
    ];
    expected.sort_unstable();
    assert_eq!(members, expected);
    assert_eq!(shown.body["deletionId"], id);
    assert_eq!(shown.body["campaignId"], "campaign_1");
    assert_eq!(shown.body["status"], "succeeded");
    assert_eq!(shown.body["processed"], 5);
    assert_eq!(shown.body["deletedItems"], chats(5));
    assert_eq!(shown.body["requestedBy"], "key_demo");
    assert_eq!(stalled.body["completedAt"], Value::Null);
    assert!(shown.body["completedAt"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_the_first_request_is_kept() {
    let world = world(5).await;
    for (reason, has_deletion) in [
        ("Jane Doe", false),
        ("erasure-request", true),
        ("other", true),
    ] {
        let mut event = with("campaign_1", "prefer", "respond-async");
        event["rawQueryString"] = json!(format!("reason={}", reason.replace(' ', "%20")));
        let reply = world.send(event).await;
        assert_eq!(
            reply.status,
            if has_deletion { 202 } else { 400 },
            "{reason}"
        );
        let listed = world.send(list("")).await;
        let reasons: Vec<_> = (listed.body["deletions"].as_array().unwrap().iter())
            .map(|deletion| deletion["reason"].clone())
            .collect();
        let expected = vec![json!("erasure-request"); usize::from(has_deletion)];
        assert_eq!(reasons, expected, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_is_unknown_foreign_or_no_uuid_is_not_shown() {
    let world = world_with_another_key().await;
    let id = world.delete("campaign_1").await.deletion_id();
    let unknown = get("0190a8c2-b5c2-7e3f-8000-000000000000");
    world.send(unknown.clone()).await.assert(404, "not_found");
    for malformed in ["x", "", "0190a8c2b5c27e3f8000000000000000", "..", "a#b"] {
        world
            .send(get(malformed))
            .await
            .assert(400, "validation_error");
    }
    let mut queried = get(&id);
    queried["rawQueryString"] = "x=1".into();
    world.send(queried).await.assert(400, "validation_error");
    world.put_key(KEY, &[("accountId", s("account_2"))]).await;
    world.send(get(&id)).await.assert(404, "not_found");
    // Without the scope, what the key has requested and nothing else.
    world.put_campaign("campaign_2", &[]).await;
    let own = world.send(by(delete_event("campaign_2"), OTHER_KEY)).await;
    assert_eq!(
        world
            .send(by(get(&own.deletion_id()), OTHER_KEY))
            .await
            .status,
        200
    );
    for event in [get(&id), unknown, get("x")] {
        world
            .send(by(event, OTHER_KEY))
            .await
            .assert(403, "forbidden");
    }
    let mut unauthenticated = get(&id);
    unauthenticated["headers"]
        .as_object_mut()
        .unwrap()
        .remove("authorization");
    world
        .send(unauthenticated)
        .await
        .assert(401, "missing_api_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_are_listed_newest_first_page_by_page() {
    let world = world_with_another_key().await;
    let mut ids = Vec::new();
    for number in 0..7 {
        let campaign = format!("campaign_l{number}");
        world.put_campaign(&campaign, &[]).await;
        let key = if number % 3 == 0 { OTHER_KEY } else { KEY };
        let reply = world.send(by(delete_event(&campaign), key)).await;
        ids.push(reply.deletion_id());
        // Ids of one millisecond are in no order.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    ids.reverse();
    let listed = |reply: &Reply| -> Vec<String> {
        assert_eq!(reply.status, 200, "{reply:?}");
        let deletions = reply.body["deletions"].as_array().unwrap();
        let id = |deletion: &Value| deletion["deletionId"].as_str().unwrap().to_owned();
        deletions.iter().map(id).collect()
    };
    let all = world.send(list("")).await;
    assert_eq!(
        (listed(&all), &all.body["after"]),
        (ids.clone(), &Value::Null)
    );
    let mut found = Vec::new();
    let mut query = "limit=3".to_owned();
    let mut pages = 0;
    loop {
        let page = world.send(list(&query)).await;
        found.extend(listed(&page));
        pages += 1;
        match page.body["after"].as_str() {
            Some(after) => query = format!("limit=3&after={after}"),
            None => break,
        }
    }
    assert_eq!((found, pages), (ids.clone(), 3));
    // Exactly as many as there are: nothing comes after.
    let exact = world.send(list("limit=7")).await;
    assert_eq!(exact.body["after"], Value::Null);
    // Without the scope: its own.
    let own = world.send(by(list("limit=2"), OTHER_KEY)).await;
    assert_eq!(listed(&own), [ids[0].clone(), ids[3].clone()]);
    let after = own.body["after"].as_str().unwrap();
    let rest = world
        .send(by(list(&format!("after={after}")), OTHER_KEY))
        .await;
    assert_eq!(listed(&rest), [ids[6].clone()]);
    assert_eq!(rest.body["after"], Value::Null);
    // Another account's id is a place in time and shows nothing of it.
    world.put_key(KEY, &[("accountId", s("account_2"))]).await;
    let others = world.send(list(&format!("after={}", ids[0]))).await;
    assert_eq!(
        (listed(&others), &others.body["after"]),
        (vec![], &Value::Null)
    );
    for query in [
        "limit=0",
        "limit=101",
        "limit=x",
        "after=x",
        "x=1",
        "limit=1&limit=1",
    ] {
        world
            .send(list(query))
            .await
            .assert(400, "validation_error");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_hides_no_other() {
    let world = world(5).await;
    let newer = "0190a8c2-b5c2-7e3f-8000-000000000000";
    let unreadable = [
        ("PK", s(&format!("ACCOUNT#{ACCOUNT}"))),
        ("SK", s(&format!("DELETION#{newer}"))),
        ("deletionId", s(newer)),
    ];
    world.put(item(&unreadable)).await;
    let id = world.delete("campaign_1").await.deletion_id();
    for query in ["", "limit=1", "limit=2"] {
        let listed = world.send(list(query)).await;
        assert_eq!(
            listed.body["deletions"].as_array().map(Vec::len),
            Some(1),
            "{listed:?}"
        );
        assert_eq!(listed.body["deletions"][0]["deletionId"], id);
        assert_eq!(listed.body["after"], Value::Null, "{query}");
    }
    world.send(get(newer)).await.assert(500, "internal_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_without_a_record_is_claimed_with_the_same_key() {
    let world = world(5).await;
    let mut asynchronous = with("campaign_1", "idempotency-key", "k");
    asynchronous["headers"]["prefer"] = "respond-async".into();
    let id = world.send(asynchronous).await.deletion_id();
    world
        .table
        .client()
        .delete_item()
        .table_name(world.table.name())
        .key("PK", s(&format!("ACCOUNT#{ACCOUNT}")))
        .key("SK", s(&format!("DELETION#{id}")))
        .send()
        .await
        .unwrap();
    let reply = world.send(with("campaign_1", "idempotency-key", "k")).await;
    assert_eq!((reply.status, reply.deletion_id()), (200, id));
    assert_eq!(header(&reply, "idempotent-replayed"), None);
    world.assert_gone("campaign_1", &chats(5)).await;
}

#[test]
fn the_payload_of_drain_in_events_names_both_ids() {
    let payload = event("drain");
    assert_eq!(payload["accountId"], json!(ACCOUNT));
    assert!(
        payload["deletionId"]
            .as_str()
            .is_some_and(|id| id.len() == 36)
    );
}

fn is_of_a_key(call: &Call<'_>) -> bool {
    let partition = call.body["Key"]["PK"]["S"].as_str();
    partition.is_some_and(|partition| partition.starts_with("APIKEY#"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reading_and_no_repetition_takes_longer_than_the_budget() {
    let keyed = || with("campaign_1", "idempotency-key", "k");
    let mut asynchronous = keyed();
    asynchronous["headers"]["prefer"] = "respond-async".into();
    let waiting = with("campaign_1", "prefer", "wait=1");
    for (event, operation, statuses) in [
        (None, "GetItem", [500, 503]),
        (Some(list("")), "Query", [500, 503]),
        // The table hangs as the deletion is resumed.
        (Some(keyed()), "UpdateItem", [202, 202]),
        (Some(keyed()), "GetItem", [500, 503]),
        // A key that attaches cannot be stored; this request has claimed nothing.
        (
            Some(with("campaign_1", "idempotency-key", "k-2")),
            "PutItem",
            [500, 503],
        ),
        // `Prefer` bounds the reading of the campaign, too.
        (Some(waiting), "GetItem", [500, 503]),
    ] {
        for (action, status) in [(Action::Hang, statuses[0]), (throttled(), statuses[1])] {
            let mut world = world(5).await.inline_budget(2_000);
            let id = world.send(asynchronous.clone()).await.deletion_id();
            let event = event.clone().unwrap_or_else(|| get(&id));
            if event["headers"]["prefer"] == "wait=1" {
                world = world.inline_budget(20_000);
            }
            world.proxy.policy(move |call| {
                // The caller's key can be read.
                if call.operation == operation && !is_of_a_key(call) {
                    action.clone()
                } else {
                    Action::Pass
                }
            });
            let api = world.api().await;
            let begun = Instant::now();
            let reply = send(&api, event).await;
            let elapsed = begun.elapsed();
            assert_eq!(reply.status, status, "{operation}: {reply:?}");
            assert!(elapsed < Duration::from_millis(2_500), "{elapsed:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_the_folder_is_answered_as_its_name_says() {
    let mut expected = vec![
        ("active", 409),
        ("decoded-hash", 400),
        ("delete", 200),
        ("delete-many", 200),
        ("dry-run", 200),
        ("foreign", 403),
        ("get-deletion", 404),
        ("idempotent", 200),
        ("list-deletions", 200),
        ("malformed-key", 401),
        ("mapped", 200),
        ("no-key", 401),
        ("not-found", 404),
        ("respond-async", 202),
        ("unknown-route", 404),
        ("wait", 200),
    ];
    for (name, status) in &expected {
        let world = World::new().await;
        world.put_campaign("campaign_123", &[]).await;
        let active = ("campaignStatus", s("active"));
        world.put_campaign("campaign_active", &[active]).await;
        let foreign = ("accountId", s("account_other"));
        world.put_campaign("campaign_foreign", &[foreign]).await;
        assert_eq!(world.send(event(name)).await.status, *status, "{name}");
    }
    // Payloads of the other functions, and what `sam local` is told.
    expected
        .extend(["drain", "schedule", "scheduler", "cleanup-report", "env"].map(|name| (name, 0)));
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name());
    for file in files.map(|file| file.into_string().unwrap()) {
        if let Some(name) = file.strip_suffix(".json") {
            assert!(expected.iter().any(|(known, _)| *known == name), "{file}");
        }
    }
}

/// The ids of every page of an account's deletions.
async fn every_page(world: &World) -> (Vec<String>, Vec<String>) {
    let mut ids = Vec::new();
    let mut unreadable = Vec::new();
    let mut after = None::<String>;
    for _ in 0..20 {
        let mut event = event("list-deletions");
        let query = after.map_or_else(
            || "limit=1".to_owned(),
            |after| format!("limit=1&after={after}"),
        );
        event["rawQueryString"] = query.into();
        let reply = world.send(event).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let missing = reply.body["unreadable"].as_array().into_iter().flatten();
        unreadable.extend(missing.map(|id| id.as_str().unwrap().to_owned()));
        let page = reply.body["deletions"].as_array().unwrap();
        ids.extend(
            page.iter()
                .map(|one| one["deletionId"].as_str().unwrap().to_owned()),
        );
        after = reply.body["after"].as_str().map(str::to_owned);
        if after.is_none() {
            return (ids, unreadable);
        }
    }
    panic!("the pages do not end: {ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_under_another_key_does_not_turn_the_pages_back() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for number in 0..4 {
        let id = format!("campaign_{number}");
        world.put_campaign(&id, &[]).await;
        ids.push(world.delete(&id).await.deletion_id());
    }
    let account = s(&format!("ACCOUNT#{}", crate::harness::ACCOUNT));
    let item = world
        .table
        .client()
        .get_item()
        .table_name(world.table.name());
    let item = item
        .key("PK", account)
        .key("SK", s(&format!("DELETION#{}", ids[1])));
    let mut item = item.send().await.unwrap().item.unwrap();
    // One whose attribute names a newer deletion than its key, and one under no id.
    item.insert(
        "deletionId".to_owned(),
        s("01ffffff-0000-7000-8000-000000000000"),
    );
    world.put(item.clone()).await;
    item.insert("SK".to_owned(), s("DELETION#0-odd"));
    world.put(item.clone()).await;
    item.insert("SK".to_owned(), s("DELETION#zz-odd"));
    world.put(item).await;
    let (readable, unreadable) = every_page(&world).await;
    assert_eq!(readable, [&ids[3], &ids[2], &ids[0]].map(Clone::clone));
    assert_eq!(unreadable, ["zz-odd", &ids[1], "0-odd"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_not_locked_by_its_item() {
    let world = World::new().await;
    let keyed = |id: &str| with(id, "idempotency-key", "k");
    world.put_campaign("campaign_1", &[]).await;
    let first = world.send(keyed("campaign_1")).await;
    assert_eq!(first.status, 200);
    // The record is gone, and the campaign is there again.
    let account = s(&format!("ACCOUNT#{}", crate::harness::ACCOUNT));
    let gone = world
        .table
        .client()
        .delete_item()
        .table_name(world.table.name());
    let gone = gone.key("PK", account.clone());
    gone.key("SK", s(&format!("DELETION#{}", first.deletion_id())))
        .send()
        .await
        .unwrap();
    world.put_campaign("campaign_1", &[]).await;
    let second = world.send(keyed("campaign_1")).await;
    assert_eq!(second.status, 200, "{second:?}");
    assert_ne!(second.deletion_id(), first.deletion_id());
    let replayed = world.send(keyed("campaign_1")).await;
    assert_eq!(replayed.deletion_id(), second.deletion_id());

    // Items as other programs write them.
    let hash = campaigns::idempotency::IdempotencyKey::new("k")
        .unwrap()
        .hash()
        .to_owned();
    for (ttl, campaign, status) in [
        (
            Some(n(1)),
            aws_sdk_dynamodb::types::AttributeValue::Null(true),
            200,
        ),
        (None, s("campaign_2"), 422),
        (Some(s("soon")), s("campaign_2"), 422),
        (
            Some(n(i64::from(u32::MAX))),
            aws_sdk_dynamodb::types::AttributeValue::Null(true),
            422,
        ),
    ] {
        world.put_campaign("campaign_2", &[]).await;
        let mut item = crate::harness::item(&[
            ("PK", account.clone()),
            ("SK", s(&format!("IDEMPOTENCY#{hash}"))),
            ("deletionId", s("01ffffff-0000-7000-8000-000000000000")),
            ("campaignId", campaign),
        ]);
        item.extend(ttl.map(|ttl| ("ttlAt".to_owned(), ttl)));
        world.put(item).await;
        let reply = world.send(keyed("campaign_2")).await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
}

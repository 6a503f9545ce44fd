//! What is between the caller and the functions.

use std::num::NonZeroU32;

use aws_sdk_dynamodb::types::AttributeValue;
use campaigns::cli::gateway;
use hyper::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;

use super::{Report, healthy};
use crate::harness::{
    KEY, World, front, n,
    proxy::{Action, error},
    s,
};

/// The names of the checks that need a key.
const KEYED: [&str; 7] = [
    "key",
    "api-table",
    "encoded-hash",
    "encoded-slash",
    "decoded-once",
    "malformed-query",
    "rate-limit",
];

async fn limited() -> World {
    let mut world = healthy().await;
    world.rate_limit = NonZeroU32::new(1_000);
    world
}

/// Serves the API over a world, as the gateway does.
pub(super) async fn serve(world: &World) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(gateway::serve(listener, world.api().await, None));
    url
}

async fn report(world: &World, api: &str, key: &str) -> Report {
    super::report(world, &["--api-url", api, "--key", key]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_changes_nothing_has_no_fault() {
    let world = limited().await;
    let api = serve(&world).await;
    let whole = report(&world, &format!("{api}/"), KEY).await;
    whole.assert_healthy();
    for name in ["tls", "api", "missing-key", "unknown-route"]
        .iter()
        .chain(&KEYED)
    {
        whole.assert(name, "ok", "");
    }
    let keyless = super::report(&world, &["--api-url", &api]).await;
    keyless.assert("missing-key", "ok", "WWW-Authenticate");
    for name in KEYED {
        keyless.assert(name, "skipped", "no --key");
    }
    super::report(&world, &[])
        .await
        .assert("tls", "skipped", "no --api-url");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_receipts_are_looked_for() {
    let world = limited().await;
    let api = serve(&world).await;
    let without = report(&world, &api, KEY).await;
    without.assert("receipt-keys", "skipped", "receipts are not enabled");
    for (status, body, expected, seen) in [
        (200, json!({"keys": [{}, {}]}), "ok", "2 published"),
        (200, json!({"keys": []}), "failed", "200"),
        (
            503,
            json!({"error": "unavailable"}),
            "failed",
            "503 unavailable",
        ),
    ] {
        let answering = front::before(api.clone(), str::to_owned, move |asked, answer| {
            if asked.ends_with("/v1/jwks.json") {
                *answer = front::Answer::json(status, &body);
            }
        });
        let found = report(&world, &answering.await, KEY).await;
        found.assert("receipt-keys", expected, seen);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_sent_over_plain_http_to_another_machine() {
    let world = healthy().await;
    let report = report(&world, "http://api.example.com", KEY).await;
    report.assert("tls", "failed", "plain HTTP");
    report.assert("key", "skipped", "the API was not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_not_this_one_is_found() {
    let world = limited().await;
    let api = serve(&world).await;
    let wrong = report(&world, &format!("{api}/nowhere"), KEY).await;
    wrong.assert("api", "failed", "404");
    let nobody = report(&world, "http://127.0.0.1:9", KEY).await;
    nobody.assert("api", "failed", "refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_www_authenticate_is_shown() {
    const REMAPPED: &str = "x-amzn-remapped-www-authenticate";
    let world = limited().await;
    let api = serve(&world).await;
    let renaming = front::before(api.clone(), str::to_owned, |_, answer| {
        if let Some(value) = answer.headers.remove("www-authenticate") {
            answer.headers.insert(REMAPPED, value);
        }
    });
    let renamed = report(&world, &renaming.await, KEY).await;
    renamed.assert("missing-key", "warning", REMAPPED);
    let dropping = front::before(api.clone(), str::to_owned, |_, answer| {
        answer.headers.remove("www-authenticate");
    });
    let dropped = report(&world, &dropping.await, KEY).await;
    dropped.assert("missing-key", "failed", "without WWW-Authenticate");
    let authorizing = front::before(api, str::to_owned, |_, answer| {
        if answer.status == 401 {
            *answer = front::Answer::json(403, &json!({"message": "Forbidden"}));
        }
    });
    let authorized = report(&world, &authorizing.await, KEY).await;
    authorized.assert("missing-key", "failed", "403 (Forbidden)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_a_default_route_is_found() {
    let world = limited().await;
    let front = front::before(serve(&world).await, str::to_owned, |asked, answer| {
        if asked == "GET /v1/doctor" {
            *answer = front::Answer::json(404, &json!({"message": "Not Found"}));
        }
    });
    let report = report(&world, &front.await, KEY).await;
    report.assert("unknown-route", "failed", "404 (Not Found)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_a_scope_is_found() {
    let world = limited().await;
    let api = serve(&world).await;
    let scope = |scope: &str| ("scopes", AttributeValue::Ss(vec![scope.to_owned()]));
    for (has, lacks) in [
        ("campaigns:delete", "deletions:read"),
        ("deletions:read", "campaigns:delete"),
    ] {
        world.put_key(KEY, &[scope(has)]).await;
        let report = report(&world, &api, KEY).await;
        report.assert("key", "failed", &format!("lacks the scope {lacks}"));
    }
    let revoked = ("state", s("revoked"));
    for (attribute, seen) in [
        (revoked, "revoked"),
        (
            ("subscription", s("cancelled")),
            "its subscription cancelled",
        ),
        (("expiresAt", n(1)), "invalid_api_key"),
    ] {
        world.put_key(KEY, &[attribute]).await;
        let report = report(&world, &api, KEY).await;
        report.assert("key", "failed", seen);
        report.assert("encoded-hash", "skipped", "the key is refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_over_another_table_is_found() {
    let (world, other) = (limited().await, limited().await);
    let api = serve(&other).await;
    let absent = "abcdefghijklmnopqrstuvwxyzABCDEFGH0123_-";
    other.put_key(absent, &[]).await;
    let known = report(&world, &api, absent).await;
    known.assert(
        "api-table",
        "failed",
        "the API knows the key, and campaigns-",
    );
    let there = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefgh0123_-";
    world.put_key(there, &[]).await;
    let unknown = report(&world, &api, there).await;
    unknown.assert("api-table", "failed", "the API does not know it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_that_is_off_is_found() {
    let world = healthy().await;
    let off = report(&world, &serve(&world).await, KEY).await;
    off.assert("rate-limit", "failed", "off");
    let mut world = healthy().await;
    world.rate_limit = NonZeroU32::new(1);
    let (api, url) = (serve(&world).await, world.proxy.url());
    let table = ["--table-name", world.table.name(), "--endpoint-url", &url];
    let keyed = ["--api-url", &api, "--key", KEY];
    let tight = Report::once(&[&table[..], &keyed].concat()).await;
    tight.assert("rate-limit", "ok", "q=1;w=60");
    // All but one, or two if a minute ends in between.
    let limited = ["encoded-hash", "encoded-slash"].map(|name| tight.check(name).to_string());
    let is_limited = |check: &String| check.contains("429") && check.contains("skipped");
    assert!(limited.iter().any(is_limited), "{limited:?}");
}

/// What a path decodes to, encoded as a proxy sends it on.
fn decoded(path: &str) -> String {
    path.replace("%25", "%")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_decodes_twice_or_never_is_found() {
    let world = limited().await;
    let api = serve(&world).await;
    let twice = front::before(api.clone(), decoded, |_, _| {}).await;
    let found = report(&world, &twice, KEY).await;
    found.assert("decoded-once", "failed", "decoded twice");
    let never = front::before(api, |path| path.replace('%', "%25"), |_, _| {}).await;
    let found = report(&world, &never, KEY).await;
    found.assert("decoded-once", "failed", "was not decoded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cuts_ids_or_queries_is_found() {
    let world = limited().await;
    let api = serve(&world).await;
    for (name, encoded) in [("encoded-hash", "%23"), ("encoded-slash", "%2F")] {
        let cutting = move |path: &str| match path.split_once(encoded) {
            Some((before, _)) => format!("{before}?validateOnly=true"),
            None => path.to_owned(),
        };
        let front = front::before(api.clone(), cutting, |_, _| {}).await;
        let found = report(&world, &front, KEY).await;
        found.assert(name, "failed", "the id was cut at the character");
    }
    let dropping = |path: &str| path.split('?').next().unwrap().to_owned();
    let front = front::before(api, dropping, |_, _| {}).await;
    let found = report(&world, &front, KEY).await;
    found.assert("malformed-query", "failed", "was a real DELETE");
    assert!(world.records().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_lacks_rights_is_found() {
    let world = limited().await;
    let api = serve(&world).await;
    world.proxy.policy(|call| match call.operation {
        "GetItem" => error(StatusCode::BAD_REQUEST, "AccessDeniedException"),
        _ => Action::Pass,
    });
    let report = report(&world, &api, KEY).await;
    report.assert("key", "failed", "500 internal_error");
    let remedy = report.check("key")["remedy"].as_str().unwrap();
    assert!(remedy.contains("its role may lack GetItem"), "{remedy}");
}

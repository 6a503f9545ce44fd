//! The page of the local server, `/local/`, and `campaigns console`, over HTTP as a browser or
//! another program calls them.

use http_body_util::{BodyExt, Empty};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::terminal::{Serve, fails, run, stdout};

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    #[track_caller]
    fn assert(&self, status: u16, error: &str) {
        let said = self.json();
        assert_eq!(
            (self.status.as_u16(), &said["error"]),
            (status, &json!(error)),
            "{said}"
        );
    }
}

async fn send(method: Method, url: &str, headers: &[(&str, &str)]) -> Answer {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<hyper::body::Bytes>::new()).unwrap();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status,
        headers: head.headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// The address and the key that a server has printed.
fn opened(serve: &Serve) -> (String, String) {
    let address = serve.after("Open ");
    let (url, key) = address.split_once("/#key=").unwrap();
    (url.to_owned(), format!("Bearer {key}"))
}

/// A console over the table of `serve`.
fn console(serve: &Serve, arguments: &[&str]) -> Serve {
    let endpoint = serve.endpoint_url();
    let at = ["console", "--port", "0", "--endpoint-url", &endpoint];
    Serve::start_command(&[&at[..], arguments].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_its_files_are_served_under_its_policy() {
    let serve = Serve::start(&[]);
    let (url, _) = opened(&serve);
    let page = send(Method::GET, &format!("{url}/"), &[]).await;
    assert_eq!(page.status, 200);
    let mut paths = vec!["/".to_owned()];
    for (at, _) in page.text.match_indices("\"/page/") {
        let path = page.text[at + 1..].split('"').next().unwrap();
        paths.push(path.to_owned());
    }
    assert!(paths.len() > 3, "{paths:?}");
    for path in paths {
        let file = send(Method::GET, &format!("{url}{path}"), &[]).await;
        assert_eq!(file.status, 200, "{path}");
        let header = |name: &str| file.headers[name].to_str().unwrap();
        let policy = header("content-security-policy");
        assert!(
            policy.starts_with(
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                 img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
            ),
            "{policy}"
        );
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        let head = send(Method::HEAD, &format!("{url}{path}"), &[]).await;
        assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
        let posted = send(Method::POST, &format!("{url}{path}"), &[]).await;
        posted.assert(405, "method_not_allowed");
        assert_eq!(posted.headers["allow"], "GET, HEAD");
    }
    for path in ["/page/", "/page/x.js", "/page/../Cargo.toml", "/index.html"] {
        let none = send(Method::GET, &format!("{url}{path}"), &[]).await;
        none.assert(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_and_origins_are_refused_on_every_path() {
    let serve = Serve::start(&[]);
    let (url, key) = opened(&serve);
    let own = url.as_str();
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/page/style.css"),
        (Method::GET, "/local/campaigns"),
        (Method::GET, "/v1/deletions"),
        (Method::POST, "/v1/deletions"),
        (Method::DELETE, "/v1/campaigns/campaign_123"),
        (Method::OPTIONS, "/v1/campaigns/campaign_123"),
    ] {
        let url = format!("{url}{path}");
        let with = |name, value| [("authorization", key.as_str()), (name, value)];
        let host = send(method.clone(), &url, &with("host", "evil.example")).await;
        host.assert(421, "misdirected_request");
        for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
            let foreign = send(method.clone(), &url, &with("origin", origin)).await;
            foreign.assert(403, "forbidden");
            assert!(!foreign.headers.contains_key("access-control-allow-origin"));
        }
        let site = send(method.clone(), &url, &with("sec-fetch-site", "cross-site")).await;
        site.assert(403, "forbidden");
    }
    let own = [("authorization", key.as_str()), ("origin", own)];
    let listed = send(Method::GET, &format!("{url}/local/campaigns"), &own).await;
    assert_eq!(listed.status, 200);
    let dry_run = format!("{url}/v1/campaigns/campaign_123?validateOnly=true");
    assert_eq!(send(Method::DELETE, &dry_run, &own).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn local_routes_want_a_key_and_read_only() {
    let serve = Serve::start(&[]);
    let (url, key) = opened(&serve);
    for path in ["session", "campaigns", "deletions/x"] {
        let url = format!("{url}/local/{path}");
        send(Method::GET, &url, &[])
            .await
            .assert(401, "missing_api_key");
        let short = [("authorization", "Bearer x")];
        send(Method::GET, &url, &short)
            .await
            .assert(401, "invalid_api_key_format");
        let unknown = format!("Bearer {}", "x".repeat(40));
        let unknown = send(Method::GET, &url, &[("authorization", &unknown)]).await;
        unknown.assert(401, "invalid_api_key");
        assert_eq!(unknown.headers["www-authenticate"], "Bearer");
        let with_key = [("authorization", key.as_str())];
        for method in [Method::POST, Method::DELETE, Method::PUT] {
            let refused = send(method, &url, &with_key).await;
            refused.assert(405, "method_not_allowed");
        }
    }
    let with_key = [("authorization", key.as_str())];
    let get = async |path: &str| send(Method::GET, &format!("{url}/local/{path}"), &with_key).await;
    get("x").await.assert(404, "not_found");
    get("deletions/x").await.assert(404, "not_found");
    let unknown = format!("deletions/{}", Uuid::now_v7());
    get(&unknown).await.assert(404, "not_found");
    let session = get("session").await.json();
    assert_eq!(session["mode"], "serve");
    assert_eq!(session["account"], "account_demo");
    assert_eq!(session["endpoint"], serve.endpoint_url());
    assert_eq!(
        (&session["archive"], &session["restore"]),
        (&Value::Null, &Value::Null)
    );
    let ids = |listed: Value| -> Vec<String> {
        let listed = listed["campaigns"].as_array().unwrap().iter();
        listed
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut all = ids(get("campaigns").await.json());
    all.sort();
    let expected = [
        "campaign_123",
        "campaign_active",
        "campaign_foreign",
        "campaign_protected",
    ];
    assert_eq!(all, expected);
    assert_eq!(
        ids(get("campaigns?status=active").await.json()),
        ["campaign_active"]
    );
    assert!(ids(get("campaigns?status=none").await.json()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_deletion_says_what_its_slices_did() {
    let serve = Serve::start(&[]);
    let (url, key) = opened(&serve);
    let with_key = [("authorization", key.as_str())];
    let deleted = format!("{url}/v1/campaigns/campaign_123");
    let deleted = send(Method::DELETE, &deleted, &with_key).await.json();
    let id = deleted["deletionSummary"]["deletionId"].as_str().unwrap();
    let said = send(
        Method::GET,
        &format!("{url}/local/deletions/{id}"),
        &with_key,
    )
    .await
    .json();
    assert_eq!(said["state"], "succeeded");
    assert_eq!(
        (&said["worker"], &said["leaseLeftSeconds"]),
        (&json!("none"), &json!(0))
    );
    assert_eq!(said["previousStatus"], "paused");
    assert_eq!(
        (&said["here"]["slices"], &said["here"]["deleted"]),
        (&json!(1), &json!(837))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_deletes_for_the_account_that_is_named() {
    let serve = Serve::start(&[]);
    let (_, table_key) = opened(&serve);
    let console = console(&serve, &[]);
    let (url, token) = opened(&console);
    let listed = format!("{url}/local/campaigns");
    send(Method::GET, &listed, &[("authorization", &table_key)])
        .await
        .assert(401, "invalid_api_key");
    let plain = [("authorization", token.as_str())];
    let all = send(Method::GET, &listed, &plain).await.json();
    assert_eq!(all["campaigns"].as_array().unwrap().len(), 4);
    let campaign = |id: &str| format!("{url}/v1/campaigns/{id}");
    let unnamed = send(Method::DELETE, &campaign("campaign_foreign"), &plain).await;
    unnamed.assert(400, "validation_error");
    let demo = [plain[0], ("campaigns-account", "account_demo")];
    let other = [plain[0], ("campaigns-account", "account_other")];
    let foreign = send(Method::DELETE, &campaign("campaign_foreign"), &demo).await;
    foreign.assert(403, "forbidden");
    let active = send(Method::DELETE, &campaign("campaign_active"), &demo).await;
    active.assert(409, "campaign_active");
    let deleted = send(Method::DELETE, &campaign("campaign_foreign"), &other).await;
    assert_eq!(deleted.status, 200);
    let history = send(Method::GET, &format!("{url}/v1/deletions"), &other)
        .await
        .json();
    let deletion = &history["deletions"][0];
    assert_eq!(
        (&deletion["campaignId"], &deletion["requestedBy"]),
        (&json!("campaign_foreign"), &json!("cli"))
    );
    let id = deletion["deletionId"].as_str().unwrap();
    let local = format!("{url}/local/deletions/{id}");
    assert_eq!(send(Method::GET, &local, &other).await.status, 200);
    send(Method::GET, &local, &demo)
        .await
        .assert(404, "not_found");
    send(Method::GET, &local, &plain)
        .await
        .assert(400, "validation_error");
    let receipt = format!("{url}/v1/deletions/{id}/receipt");
    send(Method::GET, &receipt, &other)
        .await
        .assert(404, "not_found");
    // Nothing of a key is in the table: the operator needs none.
    let keys = [
        "key",
        "list",
        "--account",
        "account_other",
        "--endpoint-url",
    ];
    let keys = stdout(&run(&[&keys[..], &[&serve.endpoint_url()]].concat()));
    assert_eq!(keys.lines().count(), 1, "{keys}");
    let session = send(Method::GET, &format!("{url}/local/session"), &plain)
        .await
        .json();
    assert_eq!(
        (&session["mode"], &session["choosesAccount"]),
        (&json!("console"), &json!(true))
    );
    assert!(
        console
            .interrupt()
            .starts_with("Stopped. The clean-up resumes")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_of_one_account_acts_for_no_other() {
    let serve = Serve::start(&[]);
    let console = console(&serve, &["--account", "account_demo"]);
    let (url, token) = opened(&console);
    let other = [
        ("authorization", token.as_str()),
        ("campaigns-account", "account_other"),
    ];
    let foreign = format!("{url}/v1/campaigns/campaign_foreign");
    send(Method::DELETE, &foreign, &other)
        .await
        .assert(403, "forbidden");
    let listed = send(Method::GET, &format!("{url}/local/campaigns"), &other)
        .await
        .json();
    let listed = listed["campaigns"].as_array().unwrap();
    assert!(
        listed.iter().all(|it| it["accountId"] == "account_demo"),
        "{listed:?}"
    );
    assert_eq!(listed.len(), 3);
}

#[test]
fn a_console_over_another_machine_asks_first() {
    let elsewhere = [
        "console",
        "--port",
        "0",
        "--endpoint-url",
        "http://dynamodb.invalid:8000",
    ];
    fails(
        &run(&elsewhere),
        1,
        "pass --yes to let a browser on this machine delete campaigns",
    );
    let keys = [
        "console",
        "--receipt-key-ids",
        "1234",
        "--endpoint-url",
        "http://127.0.0.1:1",
    ];
    let output = run(&keys);
    assert_eq!(output.status.code(), Some(2));
}

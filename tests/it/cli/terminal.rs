//! The command line, as a process.

use std::{
    io::Write,
    path::PathBuf,
    process::{Output, Stdio},
};

use serde_json::{Value, json};
use uuid::Uuid;

use campaigns::{campaign::CampaignId, cli::gateway, table::keys};

use crate::{
    harness::function::signal,
    harness::proxy::Action,
    harness::step_functions::{ARN, Start, StepFunctions},
    harness::terminal::{PROGRAM, Serve, command, delete, fails, run, stdout},
    harness::{KEY, World, item, reference_counts, s},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_lines_do_what_they_say() {
    let serve = Serve::start(&[]);
    let (status, dry_run) = serve.paste("Show what would be deleted").await;
    assert_eq!((status, &dry_run["validateOnly"]), (200, &json!(true)));
    let counts = |body: &Value| body["deletionSummary"]["deletedItems"].clone();
    assert_eq!(counts(&dry_run), reference_counts());
    let (status, deleted) = serve.paste("Delete \"Q4").await;
    assert_eq!((status, counts(&deleted)), (200, reference_counts()));
    assert_eq!(deleted["message"], "Campaign deleted successfully");
    let (status, refused) = serve.paste("Refused").await;
    assert_eq!(
        (status, &refused["error"]),
        (409, &json!("campaign_active"))
    );
    // The key of `events/` is there, too.
    let url = format!(
        "{}/v1/campaigns/campaign_",
        serve.after("The API is at ").trim_end_matches(',')
    );
    let bearer = format!("Bearer {KEY}");
    for (id, status, error) in [
        ("protected", 409, "deletion_protected"),
        ("foreign", 403, "forbidden"),
        ("123", 404, "not_found"),
        ("foreign%23x", 400, "validation_error"),
        ("foreign%2F..%2Fcampaign_protected", 400, "validation_error"),
        ("foreign%252F", 400, "validation_error"),
        ("foreign/x", 404, "not_found"),
        ("foreign?validateonly=true", 400, "validation_error"),
    ] {
        let (answered, body) = delete(&format!("{url}{id}"), &bearer).await;
        assert_eq!(
            (answered, body["error"].as_str()),
            (status, Some(error)),
            "{id}"
        );
    }
    assert_eq!(serve.interrupt(), "Stopped.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seeded_campaign_is_deleted_with_an_issued_key() {
    let serve = Serve::start(&[]);
    let endpoint = serve.endpoint_url();
    let at = ["--endpoint-url", endpoint.as_str()];
    let seeded = run(&[
        &["seed", "big", "--total", "1000", "--account", "account_7"],
        &at[..],
    ]
    .concat());
    assert!(stdout(&seeded).starts_with("campaign big (paused) of account account_7: 1000 items"));
    fails(
        &run(&[&["seed", "big"], &at[..]].concat()),
        1,
        "campaign big exists already",
    );
    let listed = stdout(&run(&[
        &["list", "--account", "account_7", "--json"],
        &at[..],
    ]
    .concat()));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (listed[0]["id"].as_str(), listed.as_array().unwrap().len()),
        (Some("big"), 1)
    );
    let active = stdout(&run(&[&["list", "--status", "active"], &at[..]].concat()));
    assert!(
        active.contains("campaign_active") && !active.contains("campaign_123"),
        "{active}"
    );

    let issue = [
        &["key", "issue", "--account", "account_7", "--json"],
        &at[..],
    ]
    .concat();
    let issued: Value = serde_json::from_str(&stdout(&run(&issue))).unwrap();
    let (key, key_id) = (
        issued["key"].as_str().unwrap(),
        issued["keyId"].as_str().unwrap(),
    );
    assert_eq!(key.len(), 40);
    let list = [&["key", "list", "--account", "account_7"], &at[..]].concat();
    let keys = stdout(&run(&list));
    assert!(
        keys.contains(key_id) && keys.contains("active") && !keys.contains(key),
        "{keys}"
    );
    let url = format!(
        "{}/v1/campaigns/big",
        serve.after("The API is at ").trim_end_matches(',')
    );
    let bearer = format!("Bearer {key}");
    let (status, body) = delete(&format!("{url}?validateOnly=true"), &bearer).await;
    assert_eq!(status, 200, "{body}");
    let (status, body) = delete(&url, &bearer).await;
    assert_eq!(status, 200, "{body}");
    let counts = body["deletionSummary"]["deletedItems"].as_object().unwrap();
    let total: u64 = counts.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(total, 1_000);
    let revoke = [&["key", "revoke", key_id], &at[..]].concat();
    assert_eq!(stdout(&run(&revoke)), format!("key {key_id} is revoked\n"));
    let (status, body) = delete(&url, &bearer).await;
    assert_eq!(
        (status, body["error"].as_str()),
        (401, Some("invalid_api_key"))
    );
    fails(
        &run(&[&["key", "revoke", "key_0"], &at[..]].concat()),
        1,
        "there is no key key_0",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_options_of_seed_and_key_take_effect() {
    let serve = Serve::start(&[]);
    let endpoint = serve.endpoint_url();
    let at = ["--endpoint-url", endpoint.as_str()];
    let seed = "seed mixed --account account_7 --name Mixed --status archived --prospects 1 --chats 2 \
                --messages 3 --tasks 4 --webhook-events 5 --analytics 6 --activities 1 \
                --webhook-deliveries 8 --others 9";
    let seed: Vec<_> = seed.split_whitespace().chain(at).collect();
    assert!(stdout(&run(&seed)).starts_with("campaign mixed (archived) of account account_7: 39"));
    let listed = stdout(&run(&[&["list", "--status", "archived"], &at[..]].concat()));
    assert!(listed.contains("Mixed"), "{listed}");
    let protected = ["seed", "kept", "--protected", "--account", "account_7"];
    stdout(&run(&[&protected, &at[..]].concat()));
    let bearer = async |more: &str| {
        let issue = format!("key issue --account account_7 {more}");
        let issue: Vec<_> = issue.split_whitespace().chain(at).collect();
        let printed = stdout(&run(&issue));
        assert_eq!(printed.trim_end().len(), 40, "nothing but the key");
        format!("Bearer {}", printed.trim_end())
    };
    let api = serve
        .after("The API is at ")
        .trim_end_matches(',')
        .to_owned();
    let reader = bearer("--scope deletions:read").await;
    let url = format!("{api}/v1/campaigns/mixed");
    assert_eq!(delete(&url, &reader).await.1["error"], "forbidden");
    let deleter = bearer("--scope campaigns:delete --expires-in-days 1").await;
    let keys = stdout(&run(&[
        &["key", "list", "--account", "account_7", "--json"],
        &at[..],
    ]
    .concat()));
    let keys: Value = serde_json::from_str(&keys).unwrap();
    assert_eq!(keys[0]["expiresAt"], Value::Null);
    assert!(keys[1]["expiresAt"].as_str() > Some("2026-"));
    let kept = delete(&format!("{api}/v1/campaigns/kept"), &deleter).await;
    assert_eq!(kept.1["error"], "deletion_protected");
    let (status, body) = delete(&url, &deleter).await;
    let counts = json!({
        "prospects": 1, "chats": 2, "messages": 3, "tasks": 4, "webhookEvents": 5, "analytics": 7,
        "webhookDeliveries": 8, "other": 9,
    });
    assert_eq!(
        (status, &body["deletionSummary"]["deletedItems"]),
        (200, &counts)
    );
}

#[test]
fn a_terminal_deletes_a_campaign_and_shows_its_deletion() {
    let serve = Serve::start(&[]);
    let url = serve.endpoint_url();
    let at = |arguments: &[&str]| run(&[arguments, &["--endpoint-url", &url]].concat());
    let json = |output: &Output| -> Value { serde_json::from_str(&stdout(output)).unwrap() };
    let dry = json(&at(&["delete", "campaign_123", "--dry-run", "--json"]));
    assert_eq!(
        (&dry["deletedItems"], &dry["complete"]),
        (&reference_counts(), &json!(true))
    );
    let dry = stdout(&at(&["delete", "campaign_123", "--dry-run"]));
    assert!(
        dry.contains("can be deleted, with 837 items: 150 prospects"),
        "{dry}"
    );
    fails(
        &at(&["delete", "campaign_active"]),
        1,
        "Please pause the campaign first",
    );
    fails(
        &at(&["delete", "campaign_protected"]),
        1,
        "protected from deletion",
    );
    fails(&at(&["delete", "nobody"]), 1, "there is no campaign nobody");
    // Claimed and left, shown, and resumed.
    let claimed = json(&at(&["delete", "campaign_123", "--no-wait", "--json"]));
    assert_eq!(claimed["accountId"], "account_demo");
    let id = claimed["deletionId"].as_str().unwrap();
    let running = json(&at(&["status", "--json"]));
    assert_eq!(running[0]["deletionId"], id);
    for by in ["campaign_123", id] {
        let shown = json(&at(&["status", by, "--json"]));
        assert_eq!(
            (&shown["status"], &shown["processed"]),
            (&json!("running"), &json!(0))
        );
    }
    let again = stdout(&at(&["delete", "campaign_123", "--no-wait"]));
    let how = format!(
        "resume it with: {PROGRAM} delete campaign_123 --table-name campaigns \
         --endpoint-url {url}"
    );
    assert!(again.contains(&how), "{again}");
    let done = json(&at(&["delete", "campaign_123", "--json"]));
    assert_eq!(
        (&done["deletionId"], &done["status"]),
        (&json!(id), &json!("succeeded"))
    );
    assert_eq!(done["deletedItems"], reference_counts());
    assert_eq!(done["requestedBy"], "cli");
    fails(&at(&["delete", "campaign_123"]), 1, "there is no campaign");
    assert_eq!(json(&at(&["status", "--json"])), json!([]));
    fails(&at(&["status", "campaign_123"]), 1, "use --account");
    let account = ["--account", "account_demo"];
    for by in [&["campaign_123"][..], &[id], &[]] {
        let shown = stdout(&at(&[&["status"], by, &account[..]].concat()));
        assert!(shown.contains("succeeded") && shown.contains(id), "{shown}");
    }
    fails(
        &at(&["status", "nobody", "--account", "account_demo"]),
        1,
        "has no deletion that matches",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_wait_leaves_the_work_to_the_state_machine() {
    let serve = Serve::start(&[]);
    let url = serve.endpoint_url();
    for (answer, how) in [
        (Start::Started, "the state machine continues it"),
        // An earlier attempt, whose answer was lost, has started it.
        (Start::AlreadyExists, "the state machine continues it"),
        (Start::Refused, "campaigns delete campaign_"),
    ] {
        let step_functions = StepFunctions::answering(&[answer]).await;
        let campaign = format!("campaign_{}", Uuid::new_v4().simple());
        stdout(&run(&[
            "seed",
            &campaign,
            "--chats",
            "3",
            "--endpoint-url",
            &url,
        ]));
        let mut delete = command();
        delete
            .args(["delete", &campaign, "--no-wait", "--endpoint-url", &url])
            .args(["--state-machine-arn", ARN])
            .env("AWS_ENDPOINT_URL_SFN", &step_functions.url)
            .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "local")])
            .env("AWS_SECRET_ACCESS_KEY", "local");
        let said = stdout(&delete.output().unwrap());
        assert!(said.contains(how), "{said}");
        assert_eq!(step_functions.asked().len(), 1);
    }
    let bad = run(&[
        "delete",
        "campaign_123",
        "--no-wait",
        "--state-machine-arn",
        "drain",
        "--endpoint-url",
        &url,
    ]);
    fails(&bad, 2, "STATE_MACHINE_ARN is 'drain'");
}

#[test]
fn an_interrupted_deletion_says_how_to_resume_it() {
    let serve = Serve::start(&[]);
    let url = serve.endpoint_url();
    let at = ["--endpoint-url", &url, "--lease-seconds", "1"];
    stdout(&run(&["seed", "big", "--total", "20000", at[0], at[1]]));
    let mut child = command()
        .args(["delete", "big"])
        .args(at)
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let processed = || {
        let shown = run(&["status", "big", "--json", at[0], at[1]]);
        let shown: Option<Value> = serde_json::from_slice(&shown.stdout).ok();
        shown.and_then(|shown| shown["processed"].as_u64())
    };
    while processed().unwrap_or(0) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    }
    signal(child.id(), "INT");
    let output = child.wait_with_output().unwrap();
    fails(&output, 1, "Stopped. Progress of deletion ");
    fails(
        &output,
        1,
        &format!(
            "to resume: {PROGRAM} delete big --table-name campaigns \
         --endpoint-url {url}"
        ),
    );
    let left = processed().unwrap();
    assert!(left < 20_000, "it was too fast to be interrupted");
    let done = stdout(&run(&[&["delete", "big", "--json"], &at[..]].concat()));
    let done: Value = serde_json::from_str(&done).unwrap();
    assert_eq!(
        (&done["status"], &done["processed"]),
        (&json!("succeeded"), &json!(20_000))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_server_finishes_the_rest_of_a_request() {
    let serve = Serve::start(&["--inline-budget-seconds", "0"]);
    let (status, body) = serve.paste("Delete \"Q4").await;
    assert_eq!(status, 202);
    let id = body["deletionSummary"]["deletionId"].as_str().unwrap();
    let url = serve.endpoint_url();
    let shown = || {
        let account = [
            "--account",
            "account_demo",
            "--json",
            "--endpoint-url",
            &url,
        ];
        let shown = stdout(&run(&[&["status", id], &account[..]].concat()));
        serde_json::from_str::<Value>(&shown).unwrap()
    };
    let begun = std::time::Instant::now();
    while shown()["status"] != "succeeded" {
        assert!(begun.elapsed().as_secs() < 20, "{}", shown());
    }
    assert_eq!(shown()["deletedItems"], reference_counts());
    assert_eq!(serve.paste("Delete \"Q4").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_file_keeps_what_is_deleted_deleted() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.db", Uuid::new_v4()));
    let data = ["--data", file.to_str().unwrap()];
    let serve = Serve::start(&data);
    assert_eq!(serve.paste("Delete \"Q4").await.0, 200);
    serve.interrupt();
    let serve = Serve::start(&data);
    assert_eq!(serve.paste("Delete \"Q4").await.0, 404);
    assert_eq!(serve.paste("Refused").await.0, 409);
    serve.interrupt();
    std::fs::remove_file(file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_server_resumes_what_a_stop_has_interrupted() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(Uuid::new_v4().to_string());
    std::fs::create_dir(&directory).unwrap();
    // A name that means memory to the engine is a file all the same.
    let arguments = [
        "--data",
        ":memory:",
        "--lease-seconds",
        "1",
        "--inline-budget-seconds",
        "0",
    ];
    let paced = [&arguments[..], &["--max-write-units-per-second", "1"]].concat();
    let serve = Serve::start_in(&directory, &paced);
    let (status, body) = serve.paste("Delete \"Q4").await;
    assert_eq!(status, 202);
    let id = body["deletionSummary"]["deletionId"]
        .as_str()
        .unwrap()
        .to_owned();
    // Killed in the middle.
    drop(serve);
    let serve = Serve::start_in(&directory, &arguments);
    let url = serve.endpoint_url();
    let begun = std::time::Instant::now();
    loop {
        let account = [
            "--account",
            "account_demo",
            "--json",
            "--endpoint-url",
            &url,
        ];
        let shown = stdout(&run(&[&["status", &id], &account[..]].concat()));
        let shown: Value = serde_json::from_str(&shown).unwrap();
        if shown["status"] == "succeeded" {
            assert_eq!(shown["deletedItems"], reference_counts());
            break;
        }
        assert!(begun.elapsed().as_secs() < 30, "{shown}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    serve.interrupt();
    std::fs::remove_dir_all(directory).unwrap();
}

#[cfg(unix)]
#[test]
fn a_data_file_whose_name_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let file = std::ffi::OsStr::from_bytes(b"data-\xff.db");
    let ports = ["--port", "0", "--dynamodb-port", "0"];
    let output = command()
        .arg("serve")
        .args(ports)
        .arg("--data")
        .arg(file)
        .output()
        .unwrap();
    fails(&output, 1, "its name must be UTF-8 text");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_server_answers_who_sends_no_more() {
    let serve = Serve::start(&[]);
    let address = serve
        .after("The API is at http://")
        .trim_end_matches(',')
        .to_owned();
    let said = |head: &str| {
        let mut caller = std::net::TcpStream::connect(&address).unwrap();
        write!(caller, "{head}connection: close\r\n\r\n").unwrap();
        caller.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut caller, &mut answer).unwrap();
        answer.to_lowercase()
    };
    let answer = said("GET /v1/openapi.json HTTP/1.1\r\nhost: 127.0.0.1\r\n");
    assert!(answer.starts_with("http/1.1 200 "), "{answer}");
    // What the gateway says by itself is JSON, too.
    let long = format!("x-long: {}\r\n", "a".repeat(11_000));
    let answer = said(&format!(
        "GET /v1/openapi.json HTTP/1.1\r\nhost: 127.0.0.1\r\n{long}"
    ));
    assert!(answer.starts_with("http/1.1 431 "), "{answer}");
    assert!(
        answer.contains("content-type: application/json"),
        "{answer}"
    );
}

#[test]
fn a_failed_start_is_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&["serve", "--port", &port]);
    fails(&output, 1, &format!("cannot listen on 127.0.0.1:{port}"));
    fails(&output, 1, "choose another port with --port");
    let output = run(&["serve", "--port", "0", "--dynamodb-port", &port]);
    fails(&output, 1, "choose another port with --dynamodb-port");
    let unreadable = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = run(&[
        "serve",
        "--port",
        "0",
        "--dynamodb-port",
        "0",
        "--data",
        unreadable,
    ]);
    fails(&output, 1, &format!("cannot keep data in {unreadable}"));
}

#[test]
fn another_endpoint_is_written_to_after_a_confirmation_only() {
    let endpoint = ["--endpoint-url", "http://dynamodb.example"];
    for arguments in [
        vec!["seed", "campaign_1"],
        vec!["key", "issue", "--account", "account_1"],
        vec!["key", "revoke", "key_1"],
    ] {
        let output = run(&[&arguments, &endpoint[..]].concat());
        fails(&output, 1, "pass --yes");
    }
    // The campaign is looked at first, so that the question can name it. This
    // address is this machine's, and not known as such.
    let serve = Serve::start(&[]);
    let elsewhere = serve.endpoint_url().replace("127.0.0.1", "0.0.0.0");
    let mut delete = command();
    delete
        .args(["delete", "campaign_123", "--endpoint-url", &elsewhere])
        .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "local")])
        .env("AWS_SECRET_ACCESS_KEY", "local");
    let output = delete.output().unwrap();
    fails(
        &output,
        1,
        "to delete campaign campaign_123 \"Q4 Enterprise Outreach\" of account",
    );
    fails(&output, 1, "pass --yes");
    let there = run(&[
        "list",
        "--status",
        "paused",
        "--endpoint-url",
        &serve.endpoint_url(),
    ]);
    assert!(stdout(&there).contains("campaign_123"));
    fails(
        &run(&[&["demo"], &endpoint[..]].concat()),
        1,
        "it may only be put on this machine",
    );
}

#[test]
fn wrong_usage_is_exit_code_2_and_help_has_examples() {
    for arguments in [
        vec!["seed", "a#b"],
        vec!["seed"],
        vec!["seed", "a", "--total", "1", "--chats", "1"],
        vec!["purge"],
        vec!["key", "issue", "--account", "a", "--scope", "everything"],
        vec!["key", "issue", "--account", "a", "--expires-in-days", "0"],
        vec!["serve", "--lease-seconds", "0"],
        vec!["serve", "--port", "70000"],
        vec!["delete", "a#b"],
        vec!["delete"],
        vec!["delete", "a", "--dry-run", "--no-wait"],
    ] {
        assert_eq!(run(&arguments).status.code(), Some(2), "{arguments:?}");
    }
    for arguments in [
        vec!["--help"],
        vec!["seed", "--help"],
        vec!["key", "--help"],
        vec!["delete", "--help"],
        vec!["status", "--help"],
    ] {
        assert!(
            stdout(&run(&arguments)).contains("Example"),
            "{arguments:?}"
        );
    }
    assert!(stdout(&run(&["--version"])).starts_with("campaigns 0."));
    let mut bad = command();
    let output = bad.env("LEASE_SECONDS", "soon").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("soon"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_writes_once_when_the_answer_is_lost() {
    let world = World::new().await;
    let table = world.proxied_table().await;
    let table = &table;
    let lose = |operation: &'static str| {
        world.proxy.policy(move |call| match call.nth {
            0 if call.operation == operation => Action::LoseAnswer,
            _ => Action::Pass,
        });
    };
    let soon = || tokio::time::Instant::now() + std::time::Duration::from_secs(5);
    let key = keys::child(&CampaignId::parse("campaign_1").unwrap(), "CHAT#1");
    let item = item(&[("text", s("x"))]);
    lose("PutItem");
    assert!(
        table
            .put_new(key.clone(), item.clone(), soon())
            .await
            .unwrap()
    );
    let other = crate::harness::item(&[("text", s("y"))]);
    assert!(!table.put_new(key.clone(), other, soon()).await.unwrap());
    let mut in_batch = item.clone();
    in_batch.extend(keys::child(&CampaignId::parse("campaign_1").unwrap(), "CHAT#2").attributes());
    lose("BatchWriteItem");
    table.put_batch(vec![in_batch], soon()).await.unwrap();
    assert_eq!(world.left("campaign_1").await, ["CHAT#1", "CHAT#2"]);
    let listed = table
        .scan_keys(std::time::Duration::from_secs(5))
        .await
        .unwrap();
    lose("UpdateItem");
    assert!(
        table
            .revoke_key(listed[0].key.clone(), soon())
            .await
            .unwrap()
    );
    world.proxy.pass();
    world
        .delete("campaign_1")
        .await
        .assert(401, "invalid_api_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_server_survives_a_caller_that_disconnects() {
    let world = crate::harness::worlds::world(30).await;
    world.proxy.policy(|call| match call.operation {
        "BatchWriteItem" => Action::Delay(std::time::Duration::from_millis(200)),
        _ => Action::Pass,
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(gateway::serve(listener, world.api().await, None));
    let mut caller = std::net::TcpStream::connect(address).unwrap();
    write!(
        caller,
        "DELETE /v1/campaigns/campaign_1 HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n\r\n"
    )
    .unwrap();
    while world.records().await.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    drop(caller);
    let begun = std::time::Instant::now();
    while !world.left("campaign_1").await.is_empty() {
        assert!(begun.elapsed().as_secs() < 20);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world
        .assert_gone("campaign_1", &crate::harness::worlds::chats(30))
        .await;
    serving.abort();
}

//! Where the output of commands goes, and what it may say.

use std::{
    fs::File,
    process::{Output, Stdio},
};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;

use crate::{
    harness::proxy::Action,
    harness::terminal::{command, fails, run, stdout},
    harness::{ACCOUNT, KEY, KEY_ID, World, delete_event, n, s},
};

fn at<'a>(world: &'a World, url: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    let mut all = arguments.to_vec();
    all.extend(["--table-name", world.table.name(), "--endpoint-url", url]);
    all
}

/// A command of each kind that prints something.
const COMMANDS: [&[&str]; 17] = [
    &["list"],
    &["list", "--json"],
    &["status"],
    &["status", "--json"],
    &["audit", "--account", ACCOUNT],
    &["audit", "--account", ACCOUNT, "--format", "csv"],
    &["audit", "--account", ACCOUNT, "--format", "jsonl"],
    &["key", "list", "--account", ACCOUNT],
    &["cleanup"],
    &["cleanup", "--json"],
    &["doctor"],
    &["doctor", "--json"],
    &["delete", "campaign_1", "--dry-run"],
    &["delete", "campaign_1", "--dry-run", "--json"],
    &["delete", "campaign_1"],
    &["delete", "campaign_1", "campaign_3"],
    &["delete", "campaign_1", "campaign_3", "--json"],
];

#[tokio::test(flavor = "multi_thread")]
async fn no_command_panics_when_nobody_reads_its_output() {
    let world = World::new().await;
    world.put_campaign("campaign_1", &[]).await;
    assert_eq!(world.delete("campaign_1").await.status, 200);
    world.put_campaign("campaign_1", &[]).await;
    let deleting = [("campaignStatus", s("deleting")), ("deletionId", s("x"))];
    world.put_campaign("campaign_2", &deleting).await;
    let url = world.proxy.url();
    let full = || Stdio::from(File::create("/dev/full").unwrap());
    // The reader is gone before anything is written.
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    for arguments in COMMANDS {
        let code = |out: Stdio, err: Stdio| {
            let mut command = command();
            command.args(at(&world, &url, arguments));
            command.stdout(out).stderr(err).status().unwrap().code()
        };
        assert_eq!(code(full(), full()), Some(1), "{arguments:?}");
        world.put_campaign("campaign_1", &[]).await;
        let unread = code(closed(), closed());
        assert!(matches!(unread, Some(0 | 1)), "{arguments:?}: {unread:?}");
        world.put_campaign("campaign_1", &[]).await;
        // Whoever closes a pipe, as `head` does, has enough.
        assert_eq!(code(closed(), Stdio::null()), unread, "{arguments:?}");
        world.put_campaign("campaign_1", &[]).await;
    }
    for arguments in [
        &["--help"][..],
        &["delete", "--help"],
        &["list", "--nonsense"],
    ] {
        for out in [full, closed] {
            let status = command()
                .args(arguments)
                .stdout(out())
                .stderr(out())
                .status();
            assert!(
                matches!(status.unwrap().code(), Some(0 | 2)),
                "{arguments:?}"
            );
        }
    }
    let ports = ["serve", "--port", "0", "--dynamodb-port", "0"];
    let status = command().args(ports).stdout(full()).stderr(full()).status();
    assert_eq!(status.unwrap().code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_campaign_makes_a_list_incomplete() {
    let world = World::new().await;
    world.put_campaign("campaign_1", &[]).await;
    world
        .put_campaign("campaign_2", &[("accountId", n(7))])
        .await;
    let url = world.proxy.url();
    for more in [&[][..], &["--json"]] {
        let list = [&["list"], more].concat();
        let output = run(&at(&world, &url, &list));
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("campaign_2") && said.contains("accountId"),
            "{said}"
        );
        assert!(
            said.ends_with("the list is incomplete: 1 campaigns cannot be read\n"),
            "{said}"
        );
        assert!(String::from_utf8_lossy(&output.stdout).contains("campaign_1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_one_account_leaves_out_what_others_wrote() {
    let world = World::new().await;
    world.put_campaign("campaign_1", &[]).await;
    // Its id is no id.
    world
        .put_campaign("campaign 2", &[("accountId", s("account_2"))])
        .await;
    let url = world.proxy.url();
    let listed = |account: &str| run(&at(&world, &url, &["list", "--account", account]));
    let named = |account: &str| String::from_utf8(listed(account).stderr).unwrap();
    assert!(stdout(&listed(ACCOUNT)).contains("campaign_1"));
    assert_eq!(named(ACCOUNT), "");
    assert!(named("account_2").contains("campaign 2"));
    // Nobody can tell whose this one is.
    world
        .put_campaign("campaign_3", &[("accountId", n(7))])
        .await;
    assert!(named(ACCOUNT).contains("campaign_3"));
    assert_eq!(listed(ACCOUNT).status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_does_not_exist_is_not_an_empty_list() {
    let world = World::new().await;
    world
        .put_campaign("campaign_1", &[("campaignStatus", s("scheduled"))])
        .await;
    let url = world.proxy.url();
    let listed = |status: &str| run(&at(&world, &url, &["list", "--status", status]));
    fails(
        &listed("pasued"),
        1,
        "no campaign has status 'pasued'; known statuses: active, deleting, draft, paused, ",
    );
    // A known one may be empty, and one of the platform's own is listed.
    assert_eq!(stdout(&listed("paused")).lines().count(), 1);
    assert!(stdout(&listed("scheduled")).contains("campaign_1"));
}

/// A key's item as another program may write it, and the attribute that is odd.
fn odd_keys() -> Vec<(&'static str, Vec<(&'static str, AttributeValue)>)> {
    let scopes = vec![s("campaigns:delete")];
    vec![
        ("scopes", vec![("scopes", AttributeValue::L(scopes))]),
        ("expiresAt", vec![("expiresAt", s("2026-12-31T00:00:00Z"))]),
        (
            "expiresAt",
            vec![("expiresAt", AttributeValue::N("1.5".to_owned()))],
        ),
        // Milliseconds: seconds of the year 58,000, and never meant so.
        ("expiresAt", vec![("expiresAt", n(1_795_564_800_000))]),
        (
            "subscription",
            vec![("subscription", AttributeValue::Null(true))],
        ),
        ("state", vec![("state", n(1))]),
        ("keyId", vec![("keyId", AttributeValue::Null(true))]),
        ("accountId", vec![("accountId", s(" "))]),
    ]
}

fn keys_of(output: &Output) -> Vec<Value> {
    serde_json::from_str(&stdout(output)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_as_designed_is_listed_and_revoked() {
    for (attribute, odd) in odd_keys() {
        let world = World::new().await;
        let url = world.proxy.url();
        world.put_key(KEY, &odd).await;
        let reply = world.send(delete_event("campaign_1")).await;
        reply.assert(401, "invalid_api_key");
        let list = ["key", "list", "--account", ACCOUNT];
        let is_anybodys = attribute == "accountId";
        let listed = run(&at(&world, &url, &[&list[..], &["--json"]].concat()));
        let keys = keys_of(&listed);
        assert_eq!(keys.len(), usize::from(!is_anybodys), "{odd:?}");
        let refused = if is_anybodys {
            // Its account is blank, which no list can name.
            KEY_ID.to_owned()
        } else {
            let why = keys[0]["refused"].as_str().unwrap();
            assert!(why.contains(attribute), "{why}");
            keys[0]["keyId"].as_str().unwrap().to_owned()
        };
        if !is_anybodys {
            let table = run(&at(&world, &url, &list));
            assert!(stdout(&table).contains("unreadable"), "{odd:?}");
            let said = String::from_utf8_lossy(&table.stderr).into_owned();
            assert!(said.contains(attribute), "{said}");
        }
        let revoked = run(&at(&world, &url, &["key", "revoke", &refused]));
        assert_eq!(stdout(&revoked), format!("key {refused} is revoked\n"));
        let hash = campaigns::auth::ApiKey::new(KEY).unwrap().hash();
        let item = world
            .table
            .client()
            .get_item()
            .table_name(world.table.name());
        let item = item
            .key("PK", s(&format!("APIKEY#{hash}")))
            .key("SK", s("APIKEY"));
        let item = item.send().await.unwrap().item.unwrap();
        assert_eq!(item["state"], s("revoked"), "{odd:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_item_of_a_key_id_is_revoked() {
    let world = World::new().await;
    let url = world.proxy.url();
    let other = "a".repeat(40);
    world.put_key(&other, &[]).await;
    let id = KEY_ID;
    let revoked = run(&at(&world, &url, &["key", "revoke", id]));
    assert_eq!(
        stdout(&revoked),
        format!("key {id} is revoked, in all 2 items with this id\n")
    );
    for key in [KEY, &other] {
        let mut event = delete_event("campaign_1");
        event["headers"]["authorization"] = format!("Bearer {key}").into();
        world.send(event).await.assert(401, "invalid_api_key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_expires_within_a_hundred_years() {
    let world = World::new().await;
    let url = world.proxy.url();
    let issue = |days: &'static str| {
        let issue = [
            "key",
            "issue",
            "--account",
            "a",
            "--json",
            "--expires-in-days",
            days,
        ];
        run(&at(&world, &url, &issue))
    };
    for days in ["0", "36501", "3000000", "1.5"] {
        fails(&issue(days), 2, "--expires-in-days");
    }
    let issued: Value = serde_json::from_str(&stdout(&issue("36500"))).unwrap();
    let at = issued["expiresAt"].as_str().unwrap();
    assert!(at.starts_with("21"), "{at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_is_not_an_answer() {
    for operation in [
        "Query",
        "BatchWriteItem",
        "TransactWriteItems",
        "UpdateItem",
    ] {
        let world = World::new().await;
        world.put_campaign("campaign_1", &[]).await;
        let keys: Vec<_> = (0..60).map(|number| format!("CHAT#{number:03}")).collect();
        world.put_children("campaign_1", &keys).await;
        world.proxy.policy(move |call| {
            if call.operation == operation && call.nth % 2 == 0 {
                Action::Answer(hyper::StatusCode::OK, serde_json::json!({}))
            } else {
                Action::Pass
            }
        });
        let reply = world.delete("campaign_1").await;
        assert_eq!(reply.status, 200, "{operation}: {}", reply.body);
        assert_eq!(reply.deleted_items()["chats"], 60, "{operation}");
        world
            .assert_gone("campaign_1", &crate::harness::worlds::chats(60))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_others_is_plain_in_every_remark() {
    let world = World::new().await;
    let record = crate::harness::item(&[
        ("PK", s("ACCOUNT#account_r")),
        ("SK", s("DELETION#b\u{1b}[31mRED\n\u{202e}\u{61c}\u{2028}x")),
    ]);
    world.put(record).await;
    let url = world.proxy.url();
    for arguments in [
        &["status", "--account", "account_r"][..],
        &["status", "x", "--account", "account_r"],
        &["audit", "--account", "account_r"],
    ] {
        let output = run(&at(&world, &url, arguments));
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let odd = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{61c}\u{2028}".contains(c);
        assert!(said.contains("RED") && !said.contains(odd), "{said:?}");
        assert!(
            said.lines().all(|line| line.starts_with("campaigns: ")),
            "{said:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_not_allowed_is_named_with_what_is() {
    let world = World::new().await;
    let url = world.proxy.url();
    let nothing = world.dump().await;
    for (arguments, code, expected) in [
        (
            &["seed", "x", "--status", "", "--total", "30"][..],
            2,
            "--status",
        ),
        (
            &["seed", "x", "--total", "-1"],
            2,
            "'-1' for '--total <N>': -1 is not in 0..=1000000000",
        ),
        (
            &["seed", "x", "--prospects", "18446744073709551615"],
            2,
            "--prospects",
        ),
        (
            &["cleanup", "--retention-days", "-1"],
            2,
            "RETENTION_DAYS is '-1'; allowed: ",
        ),
        (
            &["cleanup", "--retention-days", "soon"],
            2,
            "RETENTION_DAYS is 'soon'; allowed: ",
        ),
        (
            &["delete", "x", "--max-write-units-per-second", "-1"],
            2,
            "is not in 0..=1000000",
        ),
        (
            &["delete", "x", "--state-machine-arn", "foo"],
            2,
            "STATE_MACHINE_ARN is 'foo'",
        ),
        (
            &[
                "audit",
                "--account",
                "a",
                "--since",
                "2026-11-02",
                "--until",
                "2026-11-01",
            ],
            1,
            "--since is later than --until",
        ),
    ] {
        fails(&run(&at(&world, &url, arguments)), code, expected);
    }
    assert_eq!(world.dump().await, nothing);
    let mut list = command();
    list.args(at(&world, &url, &["list"]));
    let listed = list.env("TOKIO_WORKER_THREADS", "0").output().unwrap();
    assert!(listed.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_mark_is_not_a_second_deletion() {
    let world = World::new().await.inline_budget(0);
    world.put_campaign("campaign_1", &[]).await;
    let deletion = world.delete("campaign_1").await.deletion_id();
    let copied = [
        ("campaignStatus", s("deleting")),
        ("deletionId", s(&deletion)),
    ];
    world.put_campaign("campaign_2", &copied).await;
    let url = world.proxy.url();
    let output = run(&at(&world, &url, &["status", "--json"]));
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(
        said.contains("campaign campaign_2 has status `deleting` but no"),
        "{said}"
    );
    let shown: Vec<Value> = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(shown.len(), 1, "{shown:?}");
    let output = run(&at(&world, &url, &["status", "campaign_2"]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("no running deletion matches campaign_2"),
        "{said}"
    );
}

#[test]
fn a_data_file_has_one_server() {
    let file = std::env::temp_dir().join(format!("campaigns-{}.db", uuid::Uuid::new_v4()));
    let data = ["--data", file.to_str().unwrap()];
    let serve = crate::harness::terminal::Serve::start(&data);
    let other = [&["serve", "--port", "0", "--dynamodb-port", "0"], &data[..]].concat();
    fails(&run(&other), 1, "is in use by another `campaigns serve`");
    serve.interrupt();
    std::fs::remove_file(file).unwrap();
}

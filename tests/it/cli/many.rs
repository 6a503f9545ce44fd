//! Several campaigns by one command of the terminal.

use std::{
    collections::BTreeMap,
    io::Write,
    path::PathBuf,
    process::{Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::{
    harness::World,
    harness::function::signal,
    harness::proxy::{Action, Exchange, error, is_claim, most_at_once},
    harness::step_functions::{ARN, Start, StepFunctions},
    harness::terminal::{PROGRAM, command, fails, stdout},
    harness::worlds::chats,
    harness::{ACCOUNT, s},
};

/// A world with campaigns of three chats each.
async fn world(ids: &[&str]) -> World {
    let world = World::new().await;
    for id in ids {
        world.put_campaign(id, &[]).await;
        let children: Vec<_> = (0..3).map(|n| format!("CHAT#{n}")).collect();
        world.put_children(id, &children).await;
    }
    world
}

/// Runs a command on the table of this world, with this on its standard input.
fn delete_with(world: &World, url: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command()
        .arg("delete")
        .args(arguments)
        .args(["--table-name", world.table.name(), "--endpoint-url", url])
        .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "local")])
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Err: it does not read all of it.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn delete(world: &World, arguments: &[&str]) -> Output {
    delete_with(world, &world.proxy.url(), arguments, b"")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The lines of JSON that a command has printed, by campaign.
fn by_campaign(output: &Output) -> BTreeMap<String, Value> {
    let printed = text(&output.stdout);
    let lines = printed.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["campaignId"].as_str().unwrap().to_owned(), line)
    });
    lines.collect()
}

/// A file of the test's own.
fn file(content: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(Uuid::new_v4().to_string());
    std::fs::write(&path, content).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn several_campaigns_are_listed_and_deleted_but_the_refused() {
    let world = world(&["campaign_1", "campaign_2"]).await;
    world
        .put_campaign("campaign_3", &[("campaignStatus", s("active"))])
        .await;
    let ids = ["campaign_2", "campaign_3", "campaign_4", "campaign_1"];
    let output = delete(&world, &ids);
    fails(
        &output,
        1,
        "2 of 4 campaigns cannot be deleted: 1 campaign_active, 1 not_found",
    );
    let printed = text(&output.stdout);
    let (listed, done) = printed
        .split_once("2 of 4 campaigns can be deleted")
        .unwrap();
    // In the order given, with what is in them.
    let rows: Vec<Vec<_>> = listed
        .lines()
        .map(|row| row.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["CAMPAIGN", "ITEMS", "VERDICT", "ACCOUNT", "NAME"]);
    assert_eq!(rows[1][..4], ["campaign_2", "3", "deletable", ACCOUNT]);
    assert_eq!(rows[2], ["campaign_3", "campaign_active"]);
    assert_eq!(rows[3], ["campaign_4", "not_found"]);
    assert_eq!(rows[4][..3], ["campaign_1", "3", "deletable"]);
    assert!(
        done.contains(", with 6 items; 2 are refused: "),
        "{printed}"
    );
    assert_eq!(done.matches("deleted    3").count(), 0, "{printed}");
    for id in ["campaign_1", "campaign_2"] {
        let row = done.lines().find(|row| row.starts_with(id)).unwrap();
        let row: Vec<_> = row.split_whitespace().collect();
        assert_eq!(row[1..3], ["deleted", "3"], "{printed}");
        world.assert_gone(id, &chats(3)).await;
    }
    assert!(printed.ends_with("2 of 2 campaigns deleted\n"), "{printed}");
    assert_eq!(world.left("campaign_3").await, ["CAMPAIGN"]);
    // With nothing that can be deleted, nothing is asked or written.
    world.proxy.pass();
    fails(
        &delete(&world, &["campaign_3", "campaign_4"]),
        1,
        "2 of 2 campaigns cannot",
    );
    let asked = world.proxy.exchanges();
    assert!(asked.iter().all(|exchange| exchange.operation == "GetItem"));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_a_line_for_each_campaign() {
    let world = world(&["campaign_1", "campaign_2", "campaign_3"]).await;
    world
        .put_campaign("campaign_2", &[("campaignStatus", s("active"))])
        .await;
    let ids = ["campaign_1", "campaign_2", "campaign_3", "--json"];
    let before = world.dump().await;
    let output = delete(&world, &[&ids[..], &["--dry-run"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let lines = by_campaign(&output);
    assert_eq!(lines["campaign_1"]["status"], "deletable");
    assert_eq!(lines["campaign_1"]["deletedItems"], chats(3));
    assert_eq!(lines["campaign_2"]["status"], "refused");
    assert_eq!(world.dump().await, before);
    let output = delete(
        &world,
        &[&ids[..], &["--reason", "erasure-request"]].concat(),
    );
    fails(
        &output,
        1,
        "1 of 3 campaigns cannot be deleted: 1 campaign_active",
    );
    let lines = by_campaign(&output);
    assert_eq!(lines.len(), 3);
    for id in ["campaign_1", "campaign_3"] {
        let line = &lines[id];
        assert_eq!(line["status"], "succeeded");
        assert_eq!(line["processed"], 3);
        assert_eq!(line["requestedBy"], "cli");
        assert_eq!(line["reason"], "erasure-request");
        world.assert_gone(id, &chats(3)).await;
    }
    let refused = &lines["campaign_2"];
    assert_eq!(refused["error"], "campaign_active");
    assert!(
        refused["message"].as_str().unwrap().contains("pause"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_question_names_how_many_are_deleted() {
    let world = world(&["campaign_1", "campaign_2", "campaign_3"]).await;
    world
        .put_campaign("campaign_2", &[("campaignStatus", s("active"))])
        .await;
    let elsewhere = world.proxy.url().replace("127.0.0.1", "0.0.0.0");
    let ids = ["campaign_1", "campaign_2", "campaign_3"];
    let output = delete_with(&world, &elsewhere, &ids, b"y\n");
    fails(
        &output,
        1,
        "pass --yes to delete 2 campaigns and everything in them in table",
    );
    assert!(text(&output.stdout).contains("2 of 3 campaigns can be deleted"));
    let from = ["--from", "-", "--json"];
    let output = delete_with(&world, &elsewhere, &from, b"campaign_1\n");
    fails(&output, 1, "pass --yes to delete 1 campaigns");
    assert!(world.records().await.is_empty());
    let yes = [&ids[..], &["--yes"]].concat();
    let output = delete_with(&world, &elsewhere, &yes, b"");
    fails(&output, 1, "1 of 3 campaigns cannot be deleted");
    assert_eq!(world.records().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_read_from_a_file_or_standard_input() {
    const LINES: &[u8] =
        b"\xef\xbb\xbf# of today\r\ncampaign_1\r\n\r\n  campaign_2  \r\ncampaign_1";
    for from_file in [true, false] {
        let world = world(&["campaign_1", "campaign_2"]).await;
        let path = file(LINES);
        let output = if from_file {
            delete(&world, &["--from", path.to_str().unwrap(), "--json"])
        } else {
            let url = world.proxy.url();
            delete_with(&world, &url, &["--from", "-", "--json"], LINES)
        };
        stdout(&output);
        let said = text(&output.stderr);
        assert_eq!(said, "campaigns: 1 repeated ids are taken once\n");
        assert_eq!(by_campaign(&output).len(), 2);
        for id in ["campaign_1", "campaign_2"] {
            world.assert_gone(id, &chats(3)).await;
        }
        std::fs::remove_file(path).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_malformed_line_deletes_nothing() {
    let world = world(&["campaign_1"]).await;
    let mut large = "campaign_1\n# many\n".repeat(50_000);
    large.push_str("campaign_1#\r\n");
    for (content, why) in [
        (
            large.as_str(),
            "malformed lines (line 100001: The campaign id may contain",
        ),
        ("campaign_1\n\ncampaign 2\n", "(line 3: "),
        ("id,name\ncampaign_1,Q4\n", "line 1: The campaign id"),
        ("# none\n\n", "names no campaign"),
        ("", "names no campaign"),
    ] {
        let path = file(content.as_bytes());
        let output = delete(&world, &["--from", path.to_str().unwrap()]);
        fails(&output, 1, why);
        fails(&output, 1, path.to_str().unwrap());
        std::fs::remove_file(path).unwrap();
    }
    fails(
        &delete(&world, &["--from", "/nowhere"]),
        1,
        "/nowhere cannot be read: ",
    );
    assert!(world.proxy.exchanges().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_hundred_thousand_lines_is_read_whole() {
    let world = world(&["campaign_1", "campaign_2"]).await;
    let lines = "campaign_2\r\ncampaign_1\r\n".repeat(50_000);
    let url = world.proxy.url();
    let begun = Instant::now();
    let output = delete_with(&world, &url, &["--from", "-"], lines.as_bytes());
    let printed = stdout(&output);
    assert!(printed.contains("2 of 2 campaigns deleted"), "{printed}");
    assert!(text(&output.stderr).contains("99998 repeated ids are taken once"));
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_one_table_under_one_header() {
    let world = world(&["campaign_1"]).await;
    let lines: Vec<_> = (0..250).map(|n| format!("missing_{n}\n")).collect();
    let url = world.proxy.url();
    let lines = format!("{}campaign_1\n", lines.concat());
    let output = delete_with(&world, &url, &["--from", "-"], lines.as_bytes());
    fails(
        &output,
        1,
        "250 of 251 campaigns cannot be deleted: 250 not_found",
    );
    let printed = text(&output.stdout);
    assert_eq!(printed.matches("VERDICT").count(), 1);
    assert_eq!(printed.matches("not_found").count(), 251);
    let listed: Vec<_> = printed.lines().skip(1).take(250).collect();
    let ids: Vec<_> = (0..250).map(|n| format!("missing_{n}")).collect();
    let first = |row: &&str| row.split_whitespace().next().unwrap().to_owned();
    assert_eq!(listed.iter().map(first).collect::<Vec<_>>(), ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn campaigns_are_selected_by_status_and_age() {
    let ids = ["old", "completed", "recent", "paused", "theirs", "changed"];
    let world = world(&ids).await;
    let now = campaigns::clock::now_rfc3339();
    let completed = ("campaignStatus", s("completed"));
    let long_ago = ("updatedAt", s("2025-01-01T00:00:00Z"));
    for (id, attributes) in [
        ("old", vec![completed.clone(), long_ago.clone()]),
        // Completed lately, whatever has changed since.
        (
            "completed",
            vec![
                completed.clone(),
                long_ago.clone(),
                ("completedAt", s(&now)),
            ],
        ),
        ("recent", vec![completed.clone(), ("updatedAt", s(&now))]),
        ("paused", vec![long_ago.clone()]),
        (
            "theirs",
            vec![
                completed.clone(),
                long_ago.clone(),
                ("accountId", s("other")),
            ],
        ),
        ("changed", vec![completed.clone(), long_ago.clone()]),
    ] {
        world.put_campaign(id, &attributes).await;
    }
    let select = [
        "--status",
        "completed",
        "--older-than",
        "90d",
        "--account",
        ACCOUNT,
    ];
    // One changes after it is listed: it is not deleted, though it could be.
    let pause = world.proxy.pause_at(|call| {
        call.operation == "GetItem" && call.body["Key"]["PK"]["S"] == "CAMPAIGN#changed"
    });
    let changing = async {
        pause.reached().await;
        world
            .put_campaign(
                "changed",
                &[completed, ("updatedAt", s("2025-02-01T00:00:00Z"))],
            )
            .await;
        pause.resume();
    };
    let (url, name) = (world.proxy.url(), world.table.name().to_owned());
    let deleting = tokio::task::spawn_blocking(move || {
        let at = ["--table-name", &name, "--endpoint-url", &url];
        command()
            .arg("delete")
            .args(select)
            .args(at)
            .output()
            .unwrap()
    });
    let (output, ()) = tokio::join!(deleting, changing);
    let output = output.unwrap();
    fails(
        &output,
        1,
        "1 of 2 campaigns cannot be deleted: 1 precondition_failed",
    );
    world.assert_gone("old", &chats(3)).await;
    for id in &ids[1..] {
        assert!(
            world.left(id).await.contains(&"CAMPAIGN".to_owned()),
            "{id}"
        );
    }
    // None that is older is no failure.
    let none = delete(&world, &["--status", "completed", "--older-than", "9000d"]);
    assert_eq!(
        (stdout(&none), none.status.code()),
        (String::new(), Some(0))
    );
    assert!(text(&none.stderr).contains("no campaign has this status and is that old"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_command_says_how_to_resume() {
    let ids = ["a", "b", "c", "d", "e", "f"];
    let world = world(&ids).await;
    let more: Vec<_> = (3..40).map(|n| format!("CHAT#{n}")).collect();
    for id in ids {
        world.put_children(id, &more).await;
    }
    world.proxy.page_limit(10);
    // One is done, three do not get far, and the claim of the fifth never arrives.
    world.proxy.policy(|call| {
        let names = |id: &str| call.body.to_string().contains(&format!("CAMPAIGN#{id}\""));
        let is_first = names("a");
        match call.operation {
            _ if is_claim(call) && names("e") => Action::LoseRequest,
            "BatchWriteItem" if !is_first => Action::Delay(Duration::from_secs(3)),
            _ => Action::Pass,
        }
    });
    let url = world.proxy.url();
    let child = command()
        .arg("delete")
        .args(ids)
        .args(["--json", "--at-once", "4", "--lease-seconds", "1"])
        .args(["--table-name", world.table.name(), "--endpoint-url", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while world.records().await.len() < 4 || !world.left("a").await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    signal(child.id(), "INT");
    let output = child.wait_with_output().unwrap();
    fails(
        &output,
        1,
        &format!("Stopped. Progress of 3 deletions is saved; to resume: {PROGRAM} delete b c d --"),
    );
    fails(
        &output,
        1,
        "(2 campaigns were not begun, as far as is known: repeat the command",
    );
    let options = format!("--endpoint-url {url} --lease-seconds 1 (2 campaigns");
    fails(&output, 1, &options);
    assert_eq!(by_campaign(&output)["a"]["status"], "succeeded");
    world.proxy.pass();
    // The command that it names, and then its own again.
    let said = text(&output.stderr);
    let (_, again) = said.split_once("campaigns delete ").unwrap();
    let (again, _) = again.split_once(" (").unwrap();
    let again: Vec<_> = again.split_whitespace().collect();
    let resumed = command().arg("delete").args(&again).output().unwrap();
    let printed = stdout(&resumed);
    assert_eq!(printed.matches("resumable").count(), 3, "{printed}");
    assert!(printed.ends_with("3 of 3 campaigns deleted\n"), "{printed}");
    let rest = delete(&world, &ids);
    fails(&rest, 1, "4 of 6 campaigns cannot be deleted: 4 not_found");
    for id in ids {
        world.assert_gone(id, &chats(40)).await;
    }
}

/// It is not known which are claimed, so none is named to be resumed.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_command_ends_though_the_table_hangs() {
    let world = world(&["a", "b"]).await;
    world.proxy.policy(|call| match call.operation {
        "BatchWriteItem" => Action::Hang,
        _ => Action::Pass,
    });
    let url = world.proxy.url();
    let child = command()
        .args(["delete", "a", "b", "--json", "--endpoint-url", &url])
        .args(["--table-name", world.table.name()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while world.records().await.len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.proxy.policy(|_| Action::Hang);
    signal(child.id(), "INT");
    let begun = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10));
    let what = "Stopped. (2 campaigns were not begun, as far as is known";
    fails(&output, 1, what);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_deletion_that_fails_does_not_stop_the_others() {
    let world = world(&["campaign_1", "campaign_2", "campaign_3"]).await;
    world.proxy.policy(|call| {
        let is_second = call.body.to_string().contains("CAMPAIGN#campaign_2\"");
        if is_claim(call) && is_second {
            error(hyper::StatusCode::BAD_REQUEST, "AccessDeniedException")
        } else {
            Action::Pass
        }
    });
    let ids = ["campaign_1", "campaign_2", "campaign_3"];
    let output = delete(&world, &ids);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("campaigns: campaign campaign_2: the table refused"),
        "{said}"
    );
    assert!(
        said.ends_with("1 of 3 campaigns cannot be deleted: 1 failed\n"),
        "{said}"
    );
    assert!(text(&output.stdout).ends_with("2 of 3 campaigns deleted, 1 not\n"));
    let output = delete(&world, &[&ids[1..2], &["missing", "--json"]].concat());
    let lines = by_campaign(&output);
    assert_eq!(lines["campaign_2"]["status"], "failed");
    assert_eq!(lines["missing"]["status"], "refused");
    assert_eq!(world.left("campaign_2").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_always_fails_is_not_asked_for_each() {
    let world = world(&["campaign_1"]).await;
    world
        .proxy
        .policy(|_| error(hyper::StatusCode::BAD_REQUEST, "AccessDeniedException"));
    let lines: Vec<_> = (0..1_000).map(|n| format!("campaign_{n}\n")).collect();
    let lines = lines.concat();
    let url = world.proxy.url();
    for (more, why) in [
        (
            "--json",
            "stopped after 10 failures in a row; 990 campaigns",
        ),
        ("--dry-run", "AccessDenied"),
    ] {
        let from = ["--from", "-", more, "--yes"];
        let output = delete_with(&world, &url, &from, lines.as_bytes());
        fails(&output, 1, why);
    }
    assert!(world.proxy.exchanges().len() < 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_deletions_run_at_once_than_allowed() {
    let ids = ["a", "b", "c", "d", "e", "f", "g"];
    for (at_once, expected) in [("1", 1), ("3", 3)] {
        let world = world(&ids).await;
        let together = Arc::new(Barrier::new(expected));
        world.proxy.policy(move |call| match call.operation {
            "TransactWriteItems" if call.nth < expected => Action::Together(together.clone()),
            _ => Action::Pass,
        });
        stdout(&delete(
            &world,
            &[&ids[..], &["--at-once", at_once]].concat(),
        ));
        let exchanges = world.proxy.exchanges();
        let of = |exchange: &&Exchange| exchange.operation == "TransactWriteItems";
        assert_eq!(exchanges.iter().filter(of).count(), 14);
        assert_eq!(most_at_once(&exchanges, "TransactWriteItems"), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_of_a_hundred_children_takes_ten_requests() {
    let world = world(&[]).await;
    let ids: Vec<_> = (0..10).map(|n| format!("campaign_{n}")).collect();
    for id in &ids {
        world.put_campaign(id, &[]).await;
        let children: Vec<_> = (0..100).map(|n| format!("CHAT#{n:03}")).collect();
        world.put_children(id, &children).await;
    }
    world.proxy.pass();
    let lines = ids.join("\n");
    let url = world.proxy.url();
    stdout(&delete_with(
        &world,
        &url,
        &["--from", "-", "--json"],
        lines.as_bytes(),
    ));
    let mut asked = BTreeMap::new();
    for exchange in world.proxy.exchanges() {
        *asked.entry(exchange.operation).or_insert(0) += 1;
    }
    // The campaign, the claim, a page and the empty one, its count, its deletes, the finish.
    let expected = [
        ("BatchWriteItem", 40),
        ("GetItem", 10),
        ("Query", 20),
        ("TransactWriteItems", 20),
        ("UpdateItem", 10),
    ];
    let expected = expected.map(|(operation, count)| (operation.to_owned(), count));
    assert_eq!(asked, BTreeMap::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_wait_claims_all_of_them_for_the_state_machine() {
    let world = world(&["campaign_1", "campaign_2"]).await;
    let step_functions = StepFunctions::answering(&[Start::Started, Start::Refused]).await;
    let output = command()
        .args([
            "delete",
            "campaign_1",
            "campaign_2",
            "--no-wait",
            "--at-once",
            "1",
        ])
        .args([
            "--table-name",
            world.table.name(),
            "--endpoint-url",
            &world.proxy.url(),
        ])
        .args(["--state-machine-arn", ARN])
        .env("AWS_ENDPOINT_URL_SFN", &step_functions.url)
        .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "local")])
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .output()
        .unwrap();
    let printed = stdout(&output);
    assert!(
        printed.contains("handed over") && printed.contains("claimed  "),
        "{printed}"
    );
    assert!(printed.ends_with("2 of 2 campaigns claimed\n"), "{printed}");
    assert_eq!(step_functions.asked().len(), 2);
    for id in ["campaign_1", "campaign_2"] {
        assert_eq!(world.left(id).await.len(), 4);
    }
    // What was left is resumed by the same command without it.
    let output = delete(&world, &["campaign_1", "campaign_2"]);
    let printed = stdout(&output);
    assert_eq!(printed.matches("resumable").count(), 2, "{printed}");
    for id in ["campaign_1", "campaign_2"] {
        world.assert_gone(id, &chats(3)).await;
    }
}

#[test]
fn what_is_to_be_deleted_is_said_in_one_way() {
    for arguments in [
        &["--from"][..],
        &["--from", "ids", "campaign_1"],
        &["--from", "ids", "--status", "paused", "--older-than", "1d"],
        &["--status", "paused"],
        &["--status", "paused", "--older-than", "1d", "campaign_1"],
        &["--status", "active", "--older-than", "1d"],
        &["--status", "pasued", "--older-than", "1d"],
        &["--status", "paused", "--older-than", "90"],
        &["--status", "paused", "--older-than", "0d"],
        &["--older-than", "90d"],
        &["campaign_1", "--account", "account_1"],
        &["campaign_1", "campaign_2", "--at-once", "0"],
        &["campaign_1", "campaign_2", "--at-once", "17"],
        &["campaign_1", "a#b"],
    ] {
        let output = command().arg("delete").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

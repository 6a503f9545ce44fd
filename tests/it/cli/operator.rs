//! What an operator does from a terminal: the clean-up, and the audit trail.

use std::collections::BTreeSet;

use campaigns::clock::{now_ms, now_seconds, rfc3339};
use serde_json::{Value, json};

use crate::{
    harness::step_functions::{ARN, Start, StepFunctions, end_lease},
    harness::terminal::{command, fails, run, stdout},
    harness::{World, delete_event, item, n, s},
};

const LONG_AGO: &str = "2026-01-02T03:04:05Z";

/// A campaign that was completed long ago, with this many chats.
async fn put_old(world: &World, id: &str, chats: usize) {
    let completed = ("campaignStatus", s("completed"));
    world
        .put_campaign(id, &[completed, ("completedAt", s(LONG_AGO))])
        .await;
    let chats: Vec<_> = (0..chats)
        .map(|number| format!("CHAT#{number:05}"))
        .collect();
    world.put_children(id, &chats).await;
}

/// A claimed campaign without an active worker.
async fn put_stalled(world: &World, id: &str) -> String {
    world.put_campaign(id, &[]).await;
    world.put_children(id, &["TASK#1".to_owned()]).await;
    let mut event = delete_event(id);
    event["headers"]["prefer"] = "respond-async".into();
    let deletion_id = world.send(event).await.deletion_id();
    end_lease(world, &deletion_id, now_ms() - 3_600_000).await;
    deletion_id
}

fn at<'a>(world: &'a World, url: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    let mut all = arguments.to_vec();
    all.extend(["--table-name", world.table.name(), "--endpoint-url", url]);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_is_shown_before_it_is_done() {
    let world = World::new().await;
    put_old(&world, "old_1", 3).await;
    put_old(&world, "old_2", 0).await;
    put_stalled(&world, "campaign_1").await;
    let url = world.proxy.url();
    let before = world.dump().await;
    let report = ["cleanup", "--retention-days", "30", "--counts"];
    let shown = stdout(&run(&at(&world, &url, &report)));
    for expected in [
        "SINCE",
        LONG_AGO,
        "3: 3 chats",
        "0: nothing",
        "2 of 2 campaigns are past retention and can be deleted; this run would delete 2",
        "campaign campaign_1 is skipped: stalled",
    ] {
        assert!(shown.contains(expected), "{shown}");
    }
    let json = ["cleanup", "--retention-days", "30", "--json"];
    let said: Value = serde_json::from_str(&stdout(&run(&at(&world, &url, &json)))).unwrap();
    assert_eq!(said["candidates"], json!(["old_1", "old_2"]));
    // Nothing is past retention unless days are given.
    let nothing = stdout(&run(&at(&world, &url, &["cleanup"])));
    assert!(nothing.contains("0 of 0 campaigns"), "{nothing}");
    assert_eq!(world.dump().await, before);

    let enforce = ["cleanup", "--mode", "enforce", "--retention-days", "30"];
    let elsewhere = url.replace("127.0.0.1", "0.0.0.0");
    let unconfirmed = command()
        .args(at(&world, &elsewhere, &enforce))
        .envs([
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
        ])
        .output()
        .unwrap();
    fails(
        &unconfirmed,
        1,
        "resume 1 stalled deletions, and delete 2 campaigns",
    );
    assert_eq!(world.dump().await, before);

    let done = stdout(&run(&at(&world, &url, &enforce)));
    assert!(
        done.contains("1 deletions resumed, 2 started, 0 campaigns skipped"),
        "{done}"
    );
    let records = world.records().await;
    assert_eq!(records.len(), 3);
    for record in &records {
        assert_eq!(record["state"], "succeeded");
        assert!(
            world
                .left(record["campaignId"].as_str().unwrap())
                .await
                .is_empty()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_stops_retention_but_not_stalled_deletions() {
    let world = World::new().await;
    for number in 0..20 {
        put_old(&world, &format!("old_{number}"), 0).await;
    }
    let url = world.proxy.url();
    let enforce = ["cleanup", "--mode", "enforce", "--retention-days", "30"];
    let before = world.dump().await;
    fails(
        &run(&at(&world, &url, &enforce)),
        1,
        "guarded: more campaigns are past retention",
    );
    assert_eq!(world.dump().await, before);
    put_stalled(&world, "campaign_1").await;
    fails(
        &run(&at(&world, &url, &enforce)),
        1,
        "guarded: more campaigns are past retention",
    );
    let records = world.records().await;
    assert_eq!(
        (records.len(), &records[0]["campaignId"]),
        (1, &json!("campaign_1"))
    );
    assert_eq!(records[0]["state"], "succeeded");
    let all = [
        &enforce[..],
        &["--max-delete-share-percent", "100", "--json"],
    ]
    .concat();
    let said: Value = serde_json::from_str(&stdout(&run(&at(&world, &url, &all)))).unwrap();
    assert_eq!(said["started"].as_array().unwrap().len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_hands_off_to_the_named_state_machine() {
    let world = World::new().await;
    let id = put_stalled(&world, "campaign_1").await;
    let step_functions = StepFunctions::answering(&[Start::Started]).await;
    let enforce = ["cleanup", "--mode", "enforce", "--state-machine-arn", ARN];
    let output = command()
        .args(at(&world, &world.proxy.url(), &enforce))
        .envs([
            ("AWS_ENDPOINT_URL_SFN", step_functions.url.as_str()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
        ])
        .output();
    stdout(&output.unwrap());
    let asked = step_functions.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0]["name"].as_str().unwrap().starts_with(&id));
    assert_eq!(world.left("campaign_1").await, ["CAMPAIGN", "TASK#1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_settings_of_a_clean_up_are_named() {
    let world = World::new().await;
    let url = world.proxy.url();
    for (option, value, variable) in [
        ("--retention-days", "soon", "RETENTION_DAYS"),
        (
            "--retention-statuses",
            "completed,active",
            "RETENTION_STATUSES",
        ),
        ("--max-campaigns-per-run", "0", "MAX_CAMPAIGNS_PER_RUN"),
    ] {
        let output = run(&at(&world, &url, &["cleanup", option, value]));
        fails(&output, 2, &format!("{variable} is '{value}'; allowed: "));
    }
    for arguments in [["--mode", "delete"], ["--max-write-units-per-second", "-1"]] {
        let output = run(&at(&world, &url, &[&["cleanup"][..], &arguments].concat()));
        assert_eq!(output.status.code(), Some(2));
    }
}

/// Puts records of deletions that were started a minute after another, N
/// that the table gives them in several pages.
async fn put_records(world: &World, account: &str, count: i64) {
    let records = (0..count).map(|number| {
        let id = format!("0190a8c2-b5c2-7e3f-8000-{number:012}");
        let started = rfc3339(now_seconds() - (count - number) * 60);
        let counted = item(&[("chats", n(number))]);
        item(&[
            ("PK", s(&format!("ACCOUNT#{account}"))),
            ("SK", s(&format!("DELETION#{id}"))),
            ("deletionId", s(&id)),
            ("campaignId", s(&format!("campaign_{number}"))),
            ("campaignName", s("For Jane Doe")),
            ("accountId", s(account)),
            ("requestedBy", s("=cmd()")),
            ("previousStatus", s("paused")),
            ("state", s("succeeded")),
            ("startedAt", s(&started)),
            ("updatedAt", s(&started)),
            ("completedAt", s(&started)),
            (
                "counted",
                aws_sdk_dynamodb::types::AttributeValue::M(counted),
            ),
            ("pass", n(1)),
            ("version", n(2)),
            ("leaseUntil", n(0)),
        ])
    });
    world.put_all(records.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_of_an_account_is_exported_whole() {
    const RECORDS: i64 = 1_300;
    let world = World::new().await;
    put_records(&world, "account_7", RECORDS).await;
    put_records(&world, "account_70", 3).await;
    let url = world.proxy.url();
    let audit = |more: &[&str]| {
        let all = [&["audit", "--account", "account_7"], more].concat();
        stdout(&run(&at(&world, &url, &all)))
    };
    let jsonl = audit(&["--format", "jsonl"]);
    let entries: Vec<Value> = jsonl
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(entries.len(), usize::try_from(RECORDS).unwrap());
    let ids: BTreeSet<_> = entries
        .iter()
        .map(|entry| entry["deletionId"].to_string())
        .collect();
    assert_eq!(ids.len(), entries.len());
    assert_eq!(
        entries[0]["campaignId"],
        format!("campaign_{}", RECORDS - 1)
    );
    assert_eq!(entries[0]["deletedItems"]["chats"], RECORDS - 1);
    assert!(
        entries
            .iter()
            .all(|entry| entry["accountId"] == "account_7")
    );

    let csv = audit(&["--format", "csv"]);
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), entries.len() + 1);
    assert!(
        lines[0].starts_with("deletionId,accountId,campaignId,requestedBy,"),
        "{}",
        lines[0]
    );
    assert!(lines[1].contains(",'=cmd(),"), "{}", lines[1]);
    for text in [&jsonl, &csv, &audit(&[])] {
        assert!(!text.contains("Jane"));
    }

    let count = |more: &[&str]| {
        audit(&[&["--format", "jsonl"], more].concat())
            .lines()
            .count()
    };
    let ten_minutes_ago = now_seconds() - 600;
    let young = count(&["--since", &rfc3339(ten_minutes_ago)]);
    assert!((8..=10).contains(&young), "{young}");
    assert_eq!(
        count(&["--until", &rfc3339(ten_minutes_ago - 1)]) + young,
        entries.len()
    );
    assert_eq!(count(&["--since", "2999-01-01"]), 0);
    assert_eq!(
        count(&["--since", "2020-01-01", "--until", "2999-12-31"]),
        entries.len()
    );
    let output = run(&at(
        &world,
        &url,
        &["audit", "--account", "a", "--since", "soon"],
    ));
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_misses_a_record_fails_and_names_it() {
    const ID: &str = "0190a8c2-b5c2-7e3f-8000-000000000000";
    let world = World::new().await;
    put_records(&world, "account_7", 2).await;
    let newer = item(&[
        ("PK", s("ACCOUNT#account_7")),
        ("SK", s(&format!("DELETION#{ID}"))),
        ("state", s("paused")),
    ]);
    world.put(newer).await;
    let url = world.proxy.url();
    for format in ["jsonl", "csv", "table"] {
        let audit = ["audit", "--account", "account_7", "--format", format];
        let output = run(&at(&world, &url, &audit));
        fails(&output, 1, ID);
        // What can be read is there all the same.
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("campaign_1"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_the_rest_when_one_deletion_is_unreadable() {
    const ID: &str = "0190a8c2-b5c2-7e3f-8000-000000000000";
    let mut world = World::new().await;
    world = world.inline_budget(0);
    for id in ["campaign_1", "campaign_2"] {
        world.put_campaign(id, &[]).await;
        assert_eq!(world.delete(id).await.status, 202);
    }
    // One whose campaign item is gone, and one whose record cannot be read.
    let partition = s("CAMPAIGN#campaign_2");
    let gone = world.table.client().delete_item();
    let gone = gone.table_name(world.table.name());
    let gone = gone.key("PK", partition).key("SK", s("CAMPAIGN"));
    gone.send().await.unwrap();
    let deleting = [("campaignStatus", s("deleting")), ("deletionId", s(ID))];
    world.put_campaign("campaign_3", &deleting).await;
    let corrupt = item(&[
        ("PK", s(&format!("ACCOUNT#{}", crate::harness::ACCOUNT))),
        ("SK", s(&format!("DELETION#{ID}"))),
        ("deletionId", s(ID)),
    ]);
    world.put(corrupt).await;
    let url = world.proxy.url();
    let output = run(&at(&world, &url, &["status", "--json"]));
    // Whoever reads the list learns from the exit code that it is not whole.
    assert_eq!(output.status.code(), Some(1));
    let shown: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let shown: BTreeSet<_> = shown
        .iter()
        .map(|one| one["campaignId"].to_string())
        .collect();
    assert_eq!(
        shown,
        ["\"campaign_1\"", "\"campaign_2\""]
            .map(str::to_owned)
            .into()
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("campaign_3"), "{said}");
    assert!(
        said.ends_with("the list is incomplete: 1 deletions cannot be read\n"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_with_nothing_to_do_prints_one_document() {
    let world = World::new().await;
    let url = world.proxy.url();
    for mode in ["report", "enforce"] {
        let cleanup = ["cleanup", "--mode", mode, "--json", "--yes"];
        let said = stdout(&run(&at(&world, &url, &cleanup)));
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(
            (&said["mode"], &said["started"]),
            (&json!(mode), &json!([]))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_shown_is_revoked() {
    let world = World::new().await;
    let url = world.proxy.url();
    for more in [&[][..], &["--json"]] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let issue = [&["key", "issue", "--account", "account_7"], more].concat();
        let status = command()
            .args(at(&world, &url, &issue))
            .stdout(full)
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(1));
    }
    let list = ["key", "list", "--account", "account_7", "--json"];
    let keys = stdout(&run(&at(&world, &url, &list)));
    let keys: Vec<Value> = serde_json::from_str(&keys).unwrap();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key["state"] == "revoked"), "{keys:?}");
}

//! The `api` binary itself: what it logs, and what it does with what it cannot
//! start with or answer.

use campaigns::cli::{local_s3::BUCKET, seed::REFERENCE};
use serde_json::{Value, json};

use crate::{
    harness::bus::BUS,
    harness::function::{Answer, Binary, Function, log_lines, run_api, start},
    harness::{KEY, KEY_ID, World, event, n, reference_counts, s},
};

const SECRET: &str = "personal-data-of-a-prospect";
const OPERATING: &str = include_str!("../../../docs/operating.md");

fn line_of<'a>(lines: &'a [Value], outcome: &str) -> &'a Value {
    let mut found = lines.iter().filter(|line| line["outcome"] == outcome);
    let line = found
        .next()
        .unwrap_or_else(|| panic!("{outcome} is not in {lines:#?}"));
    assert!(found.next().is_none(), "{outcome} is there twice");
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_line_without_keys_names_or_items() {
    let world = World::new().await;
    world.seed("campaign_123", REFERENCE).await;
    let active = ("campaignStatus", s("active"));
    world.put_campaign("campaign_active", &[active]).await;
    world
        .put_campaign("campaign_foreign", &[("accountId", s("other"))])
        .await;
    world
        .put_campaign(
            "campaign_missing",
            &[
                ("deletionProtection", s(SECRET)),
                ("name", s(SECRET)),
                ("accountId", n(1)),
            ],
        )
        .await;
    let rest = json!({"version": "1.0", "headers": {"authorization": format!("Bearer {KEY}")}});
    let mistyped = json!({"headers": format!("Bearer {KEY}")});
    let names = [
        "no-key",
        "malformed-key",
        "active",
        "foreign",
        "not-found",
        "dry-run",
        "delete",
    ];
    let mut events: Vec<_> = names.map(event).to_vec();
    events[6]["headers"]["idempotency-key"] = SECRET.into();
    events.extend([rest, mistyped, event("delete")]);
    let (s3, bus) = (world.s3.url(), world.bus.url());
    let more = [
        ("RUST_LOG", "trace"),
        ("ARCHIVE_BUCKET", BUCKET),
        ("AWS_ENDPOINT_URL_S3", &s3),
        ("EVENT_BUS_NAME", BUS),
        ("AWS_ENDPOINT_URL_EVENTBRIDGE", &bus),
    ];
    let (answers, log) = run_api(&world, events, &more).await;
    // The deletion has put every item into its archive, and was announced.
    assert_eq!(world.s3.keys("").await.len(), 3);
    assert_eq!(world.bus.taken().len(), 1);
    let statuses: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Answer::Response(response) => response["statusCode"].as_i64().unwrap(),
            Answer::Error(error) => {
                assert_eq!(error["errorType"], "NotAnHttpEvent");
                0
            }
        })
        .collect();
    assert_eq!(statuses, [401, 401, 409, 403, 500, 200, 200, 0, 0, 404]);

    for secret in [
        KEY,
        SECRET,
        "Q4 Enterprise Outreach",
        "xxxxxxxxxx",
        "too-short",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
    let lines = log_lines(&log);
    assert_eq!(lines.len(), 10);
    let deleted = line_of(&lines, "deleted");
    for (name, expected) in [
        ("level", json!("INFO")),
        ("request_id", json!("JKJaXmPLvHcESHA=")),
        ("key_id", json!(KEY_ID)),
        ("campaign_id", json!("campaign_123")),
        ("status", json!(200)),
        ("items", json!(837)),
    ] {
        assert_eq!(deleted[name], expected, "{name}");
    }
    let counts: Value = serde_json::from_str(deleted["counts"].as_str().unwrap()).unwrap();
    assert_eq!(counts, reference_counts());
    assert!(deleted["elapsed_ms"].is_u64());
    let records = world.records().await;
    assert_eq!(deleted["deletion_id"], records[0]["deletionId"]);
    let internal = line_of(&lines, "internal_error");
    assert_eq!(internal["level"], "ERROR");
    let cause = internal["cause"].as_str().unwrap();
    assert!(cause.contains("accountId"), "{cause}");
    assert_eq!(line_of(&lines, "previewed")["items"], 837);
    for outcome in [
        "missing_api_key",
        "invalid_api_key_format",
        "campaign_active",
        "forbidden",
    ] {
        line_of(&lines, outcome);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_that_stops_says_how_many_deletes_it_leaves() {
    let world = World::new().await;
    world.put_campaign("campaign_123", &[]).await;
    let children: Vec<_> = (0..30).map(|n| format!("CHAT#{n}")).collect();
    world.put_children("campaign_123", &children).await;
    // Two pages are counted, and nothing is deleted.
    world.proxy.page_limit(10);
    world.proxy.policy(|call| match call.operation {
        "BatchWriteItem" => crate::harness::proxy::Action::Unprocessed(25),
        _ => crate::harness::proxy::Action::Pass,
    });
    // Enough for a slow engine to take the release.
    let budget = [("INLINE_BUDGET_SECONDS", "3")];
    let (_, log) = run_api(&world, vec![event("delete")], &budget).await;
    let lines = log_lines(&log);
    let deleted = 30 - (world.left("campaign_123").await.len() - 1);
    let counted = world.records().await[0]["counted"]["chats"]
        .as_u64()
        .unwrap();
    let left = counted - u64::try_from(deleted).unwrap();
    assert!(left > 10, "{left}");
    assert_eq!(lines[0]["unacknowledged"], left);
    let message = lines[0]["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("{left} deletes unacknowledged")),
        "{message}"
    );
    line_of(&lines, "remaining");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_that_only_runs_out_of_time_logs_no_warning() {
    let world = World::new().await;
    world.put_campaign("campaign_123", &[]).await;
    let budget = [("INLINE_BUDGET_SECONDS", "0")];
    let (answers, log) = run_api(&world, vec![event("delete")], &budget).await;
    assert!(matches!(&answers[0], Answer::Response(answer) if answer["statusCode"] == 202));
    let warnings = log_lines(&log);
    let warnings = warnings.iter().filter(|line| line["level"] != "INFO");
    assert_eq!(warnings.collect::<Vec<_>>(), Vec::<&Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_setting_stops_the_start_with_its_name() {
    for (environment, expected) in [
        (vec![], "TABLE_NAME is not set"),
        (vec![("TABLE_NAME", "x")], "TABLE_NAME is 'x'"),
        (
            vec![("TABLE_NAME", "campaigns"), ("LEASE_SECONDS", "soon")],
            "LEASE_SECONDS is 'soon'; allowed: a whole number from 1 to 3600",
        ),
        (
            vec![("TABLE_NAME", "campaigns"), ("INLINE_BUDGET_SECONDS", "30")],
            "INLINE_BUDGET_SECONDS is '30'; allowed: a whole number from 0 to 29",
        ),
        (
            vec![("TABLE_NAME", "campaigns"), ("STATE_MACHINE_ARN", "drain")],
            "STATE_MACHINE_ARN is 'drain'",
        ),
        (vec![("TABLE_NAME", "")], "TABLE_NAME is not set; allowed: "),
    ] {
        for binary in [Binary::Api, Binary::Drain] {
            let is_its_own = ["INLINE_BUDGET_SECONDS", "STATE_MACHINE_ARN"]
                .iter()
                .any(|variable| expected.starts_with(variable));
            if is_its_own && matches!(binary, Binary::Drain) {
                continue;
            }
            let child = start(binary, &environment, &[]);
            let output = child.wait_with_output().unwrap();
            assert!(!output.status.success());
            let message = String::from_utf8(output.stderr).unwrap();
            assert!(message.contains(expected), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_is_one_line_without_names_or_items() {
    let world = World::new().await;
    world.seed("campaign_123", REFERENCE).await;
    let mut claiming = event("delete");
    claiming["headers"]["prefer"] = "respond-async".into();
    let id = world.send(claiming).await.deletion_id();
    let payload = json!({"accountId": crate::harness::ACCOUNT, "deletionId": id});
    let unknown = event("drain");
    let malformed = json!({"accountId": SECRET});
    let events = vec![unknown, malformed, payload];
    let environment = [("RUST_LOG", "trace")];
    let function = Function::start(Binary::Drain, &world, events, &environment).await;
    let answers = function.answers(3).await;
    for (answer, error_type) in answers.iter().zip(["DeletionNotFound", "InvalidPayload"]) {
        let Answer::Error(error) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(error["errorType"], error_type);
    }
    assert!(matches!(&answers[2], Answer::Response(slice) if slice["processed"] == 837));
    let log = function.kill();
    for secret in [SECRET, "Q4 Enterprise Outreach", "xxxxxxxxxx"] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
    let lines = log_lines(&log);
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2]["deletion_id"], id);
    assert_eq!(
        (&lines[2]["items"], &lines[2]["status"]),
        (&json!(837), &json!("succeeded"))
    );
}

/// A field of a line, as Logs Insights names it.
fn field<'a>(line: &'a Value, name: &str) -> &'a Value {
    name.split('.').fold(line, |value, part| &value[part])
}

/// Whether a line fulfils a condition of a `filter`: of the few forms that the
/// page's queries have.
fn fulfils(line: &Value, condition: &str) -> bool {
    if let Some(name) = condition.strip_prefix("ispresent(") {
        return !field(line, name.trim_end_matches(')')).is_null();
    }
    if let Some((name, text)) = condition.split_once(" = ") {
        return field(line, name) == text.trim_matches('"');
    }
    let (name, number) = condition.split_once(" > ").unwrap();
    let number: f64 = number.parse().unwrap();
    field(line, name)
        .as_f64()
        .is_some_and(|value| value > number)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_log_query_of_the_docs_finds_its_lines() {
    let mut world = World::new().await;
    world.put_campaign("campaign_123", &[]).await;
    world
        .put_children("campaign_123", &["CHAT#1".to_owned()])
        .await;
    let corrupt = ("accountId", n(1));
    world.put_campaign("campaign_missing", &[corrupt]).await;
    let events = vec![event("delete"), event("not-found")];
    let (_, mut printed) = run_api(&world, events, &[]).await;
    world = world.inline_budget(0);
    world.put_campaign("campaign_1", &[]).await;
    let claimed = world.delete("campaign_1").await.deletion_id();
    crate::harness::step_functions::end_lease(&world, &claimed, 0).await;
    let schedule = vec![event("schedule")];
    let function = Function::start(Binary::Cleanup, &world, schedule, &[]).await;
    function.answers(1).await;
    printed += &function.kill();
    let lines = log_lines(&printed);
    let done = world.records().await;
    let done = done
        .iter()
        .find(|record| record["campaignId"] == "campaign_123")
        .unwrap();
    let mut tried = 0;
    for block in OPERATING.split("```text logs-insights:").skip(1) {
        let (name, query) = block.split_once('\n').unwrap();
        let (query, _) = query.split_once("```").unwrap();
        let query = query
            .replace("DELETION_ID", done["deletionId"].as_str().unwrap())
            // What takes this long takes a test too long.
            .replace("elapsed_ms > 5000", "elapsed_ms > 0");
        let mut found: Vec<&Value> = lines.iter().collect();
        for command in query.lines() {
            let command = command.trim_start_matches("| ");
            if let Some(conditions) = command.strip_prefix("filter ") {
                let fulfils_all =
                    |line: &Value| conditions.split(" and ").all(|c| fulfils(line, c));
                found.retain(|line| fulfils_all(line));
                assert!(!found.is_empty(), "{name} finds nothing in {lines:#?}");
            } else if let Some(fields) = command.strip_prefix("fields ") {
                for name_of in fields.split(", ").filter(|name| !name.starts_with('@')) {
                    let is_there = found.iter().any(|line| !field(line, name_of).is_null());
                    assert!(is_there, "{name}: no line has {name_of}: {found:#?}");
                }
            } else {
                assert!(
                    command.starts_with("sort ") || command.starts_with("limit "),
                    "{command}"
                );
            }
        }
        tried += 1;
    }
    assert_eq!(tried, 4);
}

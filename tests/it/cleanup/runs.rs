//! The scheduled clean-up resumes deletions without an active worker, and no
//! other.

use std::{sync::Arc, time::Duration};

use campaigns::{clock::now_ms, config::Mode};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    harness::function::{Answer, Binary, Function, metrics, start},
    harness::proxy::{Action, is_progress, throttled},
    harness::step_functions::{Start, StepFunctions, claimed, end_lease},
    harness::worlds::{chats, world},
    harness::{ACCOUNT, World, event, s},
};

const LONG_AGO: i64 = 3_600_000;
const REPORT: &str = "cleanup-report";
const SECRET: &str = "personal-data-of-a-prospect";

/// `campaign_1` with this many chats, of which some are deleted by a worker that
/// nothing is heard of any more.
async fn stalled(count: u64) -> (World, String) {
    let world = world(count).await;
    let id = claimed(&world).await;
    world.proxy.policy(|call| match call.operation {
        "BatchWriteItem" if call.nth > 0 => Action::LoseRequest,
        _ => Action::Pass,
    });
    let of = json!({"accountId": ACCOUNT, "deletionId": id});
    let all = world.left("campaign_1").await.len();
    let some_are_deleted = async {
        while world.left("campaign_1").await.len() == all {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let slice = Box::pin(world.drain(of, Duration::from_mins(1)));
    tokio::select! {
        slice = slice => panic!("it ends: {slice:?}"),
        () = some_are_deleted => {}
    }
    assert!(world.left("campaign_1").await.len() > 1);
    world.proxy.pass();
    end_lease(&world, &id, now_ms() - LONG_AGO).await;
    (world, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_deletion_is_finished_with_exact_counts() {
    let (world, id) = stalled(45).await;
    let summary = world.cleanup().await;
    assert_eq!(
        summary,
        json!({
            "mode": "enforce", "resumed": [id], "campaignCount": 0, "candidateCount": 0,
            "candidates": [], "started": [], "skipped": [], "skippedCount": 0, "guarded": false,
        })
    );
    world.assert_gone("campaign_1", &chats(45)).await;
    let before = world.dump().await;
    assert_eq!(world.cleanup().await["resumed"], json!([]));
    assert_eq!(world.dump().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_does_what_one_run_could_not() {
    // Twenty pages: a run has time for six at most.
    let (world, id) = stalled(200).await;
    world.proxy.policy(|call| match call.operation {
        "BatchWriteItem" => Action::Delay(Duration::from_millis(250)),
        _ => Action::Pass,
    });
    let mut runs = 0;
    while !world.left("campaign_1").await.is_empty() {
        let run = world.cleanup_for(event("schedule"), Duration::from_secs(1));
        assert_eq!(run.await.unwrap()["resumed"], json!([id]));
        runs += 1;
        if world.records().await[0]["state"] == "running" {
            end_lease(&world, &id, now_ms() - LONG_AGO).await;
        }
    }
    assert!(runs > 2, "{runs}");
    world.assert_gone("campaign_1", &chats(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_whose_worker_is_alive_is_left_alone() {
    let world = world(8).await;
    let batch = world.proxy.pause_at_nth("BatchWriteItem", 0);
    let look = async {
        batch.reached().await;
        let before = world.dump().await;
        let summary = world.cleanup().await;
        assert_eq!(summary["resumed"], json!([]));
        assert_eq!(summary["skippedCount"], 0);
        assert_eq!(world.dump().await, before);
        batch.resume();
    };
    let (reply, ()) = tokio::join!(world.delete("campaign_1"), look);
    assert_eq!(reply.status, 200);
    world.assert_gone("campaign_1", &chats(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_stalled_after_two_lease_lengths() {
    let world = world(8).await;
    let id = claimed(&world).await;
    let lease = i64::try_from(world.settings.lease.as_millis()).unwrap();
    end_lease(&world, &id, now_ms() - 2 * lease + 5_000).await;
    let before = world.dump().await;
    assert_eq!(world.cleanup().await["resumed"], json!([]));
    assert_eq!(world.dump().await, before);
    end_lease(&world, &id, now_ms() - 2 * lease - 1).await;
    assert_eq!(world.cleanup().await["resumed"], json!([id]));
    world.assert_gone("campaign_1", &chats(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_state_machine_it_is_taken_over_and_handed_off() {
    let (mut world, id) = stalled(45).await;
    let step_functions = StepFunctions::answering(&[Start::Refused, Start::Started]).await;
    world.hand_off = step_functions.hand_off.clone();
    let before = world.left("campaign_1").await;
    // The first start fails: the next run finds it again.
    for run in 0..2 {
        assert_eq!(world.cleanup().await["resumed"], json!([id]));
        let version = world.records().await[0]["version"].clone();
        assert_eq!(
            step_functions.asked()[run]["name"],
            format!("{id}-{version}")
        );
        assert_eq!(world.left("campaign_1").await, before);
        assert_eq!(world.cleanup().await["resumed"], json!([]), "just released");
        end_lease(&world, &id, now_ms() - LONG_AGO).await;
    }
    assert_eq!(step_functions.asked().len(), 2);
    let of = json!({"accountId": ACCOUNT, "deletionId": id});
    let slice = world.drain(of, Duration::from_secs(10)).await.unwrap();
    assert_eq!(slice.status, "succeeded");
    world.assert_gone("campaign_1", &chats(45)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clean_ups_at_once_resume_it_once() {
    let (world, id) = stalled(45).await;
    world
        .proxy
        .policy(|_| Action::Delay(Duration::from_millis(20)));
    let (one, other) = tokio::join!(world.cleanup(), world.cleanup());
    let mut resumed = one["resumed"].as_array().unwrap().clone();
    resumed.extend(other["resumed"].as_array().unwrap().clone());
    assert_eq!(resumed, [json!(id)]);
    world.assert_gone("campaign_1", &chats(45)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clean_up_claims_a_campaign_without_a_record_again() {
    let world = world(8).await;
    let id = claimed(&world).await;
    let delete = world.table.client().delete_item();
    delete
        .table_name(world.table.name())
        .key("PK", s(&format!("ACCOUNT#{ACCOUNT}")))
        .key("SK", s(&format!("DELETION#{id}")))
        .send()
        .await
        .unwrap();
    assert_eq!(world.cleanup().await["resumed"], json!([id]));
    world.assert_gone("campaign_1", &chats(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_without_a_deletion_is_named_and_skipped() {
    let world = world(8).await;
    // Done, and an unfenced writer has brought the campaign back as it was.
    assert_eq!(world.delete("campaign_1").await.status, 200);
    let id = world.records().await[0]["deletionId"].clone();
    let deleting = ("campaignStatus", s("deleting"));
    let claimed = ("deletionId", s(id.as_str().unwrap()));
    world
        .put_campaign("campaign_1", &[deleting.clone(), claimed.clone()])
        .await;
    world
        .put_campaign("campaign_2", std::slice::from_ref(&deleting))
        .await;
    // Another campaign's deletion, which runs.
    world.put_campaign("campaign_3", &[]).await;
    let mut respond_async = crate::harness::delete_event("campaign_3");
    respond_async["headers"]["prefer"] = "respond-async".into();
    let other = world.send(respond_async).await.deletion_id();
    world
        .put_campaign("campaign_4", &[deleting, ("deletionId", s(&other))])
        .await;
    let before = world.dump().await;
    let summary = world.cleanup().await;
    assert_eq!(summary["resumed"], json!([]));
    let mut skipped = summary["skipped"].as_array().unwrap().clone();
    skipped.sort_by_key(|skipped| skipped["campaignId"].to_string());
    let left = |id: &str| json!({"campaignId": id, "reason": "noDeletion"});
    assert_eq!(
        skipped,
        ["campaign_1", "campaign_2", "campaign_4"].map(left)
    );
    assert_eq!(world.dump().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn outdated_entries_of_the_index_are_not_errors() {
    let (world, id) = stalled(15).await;
    let entry = |campaign: &str, deletion: &str| {
        json!({
            "PK": {"S": format!("CAMPAIGN#{campaign}")}, "SK": {"S": "CAMPAIGN"},
            "campaignStatus": {"S": "deleting"}, "updatedAt": {"S": "2026-01-02T03:04:05Z"},
            "accountId": {"S": ACCOUNT}, "name": {"S": "Q4"}, "deletionId": {"S": deletion},
        })
    };
    let gone = "0190a8c2-b5c2-7e3f-8000-000000000000";
    let mut unreadable = entry("campaign_1", &id);
    unreadable["deletionId"] = json!({"N": "1"});
    let items = json!([
        entry("gone", gone),
        unreadable,
        entry("a/b", gone),
        entry("campaign_2", gone),
        entry("campaign_1", &id),
    ]);
    world.put_campaign("campaign_2", &[]).await;
    world.proxy.policy(move |call| {
        if call.operation == "Query" && call.body["IndexName"] == "CampaignsByStatus" {
            let body = json!({"Items": items, "Count": 5, "ScannedCount": 5});
            return Action::Answer(hyper::StatusCode::OK, body);
        }
        Action::Pass
    });
    let summary = world.cleanup().await;
    // Shown twice, once without a readable deletion, and resumed by the first.
    assert_eq!(summary["resumed"][0], json!(id));
    let unreadable = json!({"campaignId": "a/b", "reason": "corrupt", "attribute": "PK"});
    assert_eq!(
        (&summary["skipped"], &summary["skippedCount"]),
        (&json!([unreadable]), &json!(1))
    );
    world.assert_gone("campaign_1", &chats(15)).await;
    assert_eq!(world.left("campaign_2").await, ["CAMPAIGN"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_resumes_nothing_and_names_stalled_deletions() {
    let (mut world, id) = stalled(15).await;
    let before = world.dump().await;
    let report = world.cleanup_for(event(REPORT), Duration::from_secs(10));
    let report = report.await.unwrap();
    assert_eq!(
        (&report["mode"], &report["resumed"]),
        (&json!("report"), &json!([]))
    );
    let stands_still = json!([{"campaignId": "campaign_1", "reason": "stalled"}]);
    assert_eq!(report["skipped"], stands_still);
    assert_eq!(world.dump().await, before);
    // The mode of retention is not the mode of the run.
    world.retention.mode = Mode::Report;
    assert_eq!(world.cleanup().await["resumed"], json!([id]));
    world.assert_gone("campaign_1", &chats(15)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_events_are_refused_and_nothing_is_done() {
    let (world, _) = stalled(15).await;
    let before = world.dump().await;
    for event in [
        json!({}),
        json!({"mode": "enforce"}),
        json!({"source": "aws.s3"}),
        json!(7),
    ] {
        let refused = world.cleanup_for(event, Duration::from_secs(10)).await;
        let error = refused.unwrap_err();
        assert_eq!(error["errorType"], "InvalidEvent");
        assert!(
            error["errorMessage"]
                .as_str()
                .unwrap()
                .contains("scheduled event")
        );
    }
    assert_eq!(world.dump().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_does_not_answer_is_an_error_in_time() {
    let (world, id) = stalled(15).await;
    world.proxy.policy(|_| throttled());
    let begun = std::time::Instant::now();
    let run = world
        .cleanup_for(event("schedule"), Duration::from_secs(2))
        .await;
    assert_eq!(run.unwrap_err()["errorType"], "TableUnavailable");
    assert!(begun.elapsed() < Duration::from_secs(2));
    // A takeover without an answer may stand; whatever became of it, the next
    // run that finds the deletion stalled resumes it.
    world.proxy.policy(|call| match call.operation {
        "UpdateItem" if !is_progress(call) => Action::LoseAnswer,
        _ => Action::Pass,
    });
    let run = world
        .cleanup_for(event("schedule"), Duration::from_secs(2))
        .await;
    assert_eq!(run.unwrap()["resumed"], json!([id]));
    world.proxy.pass();
    end_lease(&world, &id, now_ms() - LONG_AGO).await;
    assert_eq!(world.cleanup().await["resumed"], json!([id]));
    world.assert_gone("campaign_1", &chats(15)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_function_resumes_after_a_killed_worker() {
    let mut world = World::new().await;
    world.put_campaign("campaign_1", &[]).await;
    let children: Vec<_> = (0..45).map(|n| format!("CHAT#{n:05}")).collect();
    world.put_children("campaign_1", &children).await;
    world = world.lease(1_000);
    let killed = Arc::new(Notify::new());
    let reached = killed.clone();
    world.proxy.policy(move |call| match call.operation {
        "BatchWriteItem" => {
            reached.notify_one();
            Action::Hang
        }
        _ => Action::Pass,
    });
    let delete = vec![crate::harness::delete_event("campaign_1")];
    let lease = [("LEASE_SECONDS", "1")];
    let worker = Function::start(Binary::Api, &world, delete, &lease).await;
    killed.notified().await;
    worker.signal("KILL");
    drop(worker);
    world.proxy.settle().await;
    world.proxy.pass();
    let id = world.records().await[0]["deletionId"].clone();
    // Lease, and two lease lengths.
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    // A campaign of twenty is past retention, and so are all others.
    for number in 0..20 {
        let completed = ("campaignStatus", s("completed"));
        world
            .put_campaign(&format!("old_{number}"), &[completed])
            .await;
    }
    let environment = [
        ("LEASE_SECONDS", "1"),
        ("RETENTION_DAYS", "30"),
        ("RETENTION_MODE", "enforce"),
        ("RUST_LOG", "trace"),
    ];
    // One that cannot be read, and an event with something in it.
    let unreadable = ("deletionProtection", s(SECRET));
    let completed = ("campaignStatus", s("completed"));
    let attributes = [unreadable, completed, ("name", s(SECRET))];
    world.put_campaign("unreadable", &attributes).await;
    let malformed = json!({"mode": "enforce", "name": SECRET});
    let events = vec![event("schedule"), malformed, event(REPORT)];
    let function = Function::start(Binary::Cleanup, &world, events, &environment).await;
    let answers = function.answers(3).await;
    let printed = function.kill();
    let [
        Answer::Response(run),
        Answer::Error(refused),
        Answer::Response(report),
    ] = &answers[..]
    else {
        panic!("{answers:?}");
    };
    assert_eq!(run["resumed"], json!([id]));
    assert_eq!(
        (&run["guarded"], &run["candidateCount"]),
        (&json!(true), &json!(20))
    );
    assert_eq!(run["started"], json!([]));
    assert_eq!(refused["errorType"], "InvalidEvent");
    assert_eq!(report["mode"], "report");
    world.assert_gone("campaign_1", &chats(45)).await;
    for secret in [SECRET, "Q4 Enterprise Outreach", "CHAT#"] {
        assert!(
            !printed.contains(secret),
            "{secret} is in the log:\n{printed}"
        );
    }
    let expected = [
        // Once for each run that found out, and not for the one that failed.
        ("StalledDeletions", json!([1.0])),
        ("MassDeletionGuarded", json!(1)),
        ("StalledDeletions", json!([0.0])),
        ("MassDeletionGuarded", json!(1)),
    ];
    let found = metrics(&printed);
    assert!(found.contains(&("DeletionsFinished".to_owned(), json!(1))));
    let is_ours = |(name, _): &(String, Value)| expected.iter().any(|(ours, _)| ours == name);
    let mut found: Vec<_> = found.into_iter().filter(is_ours).collect();
    let mut expected = expected
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
    for metrics in [&mut found, &mut expected] {
        metrics.sort_by_key(|metric| format!("{metric:?}"));
    }
    assert_eq!(found, expected, "{printed}");
}

#[test]
fn a_bad_setting_stops_the_start_with_its_name() {
    for (variable, value) in [
        ("RETENTION_DAYS", "-1"),
        ("RETENTION_DAYS", "soon"),
        ("RETENTION_MODE", "delete"),
        ("RETENTION_STATUSES", "completed,active"),
        ("MAX_CAMPAIGNS_PER_RUN", "0"),
        ("MAX_RUNNING_CLEANUPS", "many"),
        ("MAX_DELETE_SHARE_PERCENT", "101"),
        ("MAX_WRITE_UNITS_PER_SECOND", "-5"),
        ("AUDIT_RETENTION_DAYS", "ever"),
        ("TABLE_NAME", "a b"),
    ] {
        let mut child = start(
            Binary::Cleanup,
            &[("TABLE_NAME", "campaigns")],
            &[(variable, value)],
        );
        let mut stderr = child.stderr.take().unwrap();
        let status = child.wait().unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
        assert!(!status.success());
        let expected = format!("cleanup: {variable} is '{value}'; allowed: ");
        assert!(said.starts_with(&expected), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_kinds_of_schedule_start_the_same_run() {
    let world = World::new().await;
    let mut runs = Vec::new();
    for name in ["schedule", "scheduler"] {
        runs.push(
            world
                .cleanup_for(event(name), Duration::from_mins(1))
                .await
                .unwrap(),
        );
    }
    assert_eq!(runs[0]["mode"], "enforce");
    assert_eq!(runs[0], runs[1]);
}

//! Archives whose deletions are not finished, have lost a race or their record, or were those of
//! another table: what the terminal says of them, and what it restores.

use std::{fs, process::Command, sync::Arc, time::Duration};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, Select,
};
use campaigns::{cli::local_s3::BUCKET, config::ArchiveMode};
use serde_json::json;
use tokio::sync::Notify;

use super::{
    archived, archiving, only_deletion, partition, read,
    restore::{deleted, restore, run},
    settings,
};
use crate::harness::{
    ACCOUNT, World, campaign, delete_event,
    proxy::{Action, is_claim, is_finish},
    s, send,
    terminal::{Serve, command, fails, stdout},
};

async fn with_children(lease: u64) -> World {
    let world = archiving(lease).await;
    world.put_campaign("campaign_1", &[]).await;
    let children: Vec<_> = (0..9).map(|n| format!("TASK#{n:05}")).collect();
    world.put_children("campaign_1", &children).await;
    world
}

async fn list(world: &World) -> String {
    let of = ["archive", "list", "--account", ACCOUNT];
    stdout(&run(world, &[&of[..], &["--archive-bucket", BUCKET]].concat()).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_whole_once_its_deletion_is_finished() {
    let world = with_children(30_000).await;
    let pause = world.proxy.pause_at(is_finish);
    let api = world.api().await;
    let deleting = tokio::spawn(async move { send(&api, delete_event("campaign_1")).await });
    pause.reached().await;
    // The manifest is there already.
    assert_eq!(world.s3.keys("").await.len(), 3);
    assert!(list(&world).await.contains("(running)"));
    pause.resume();
    let id = deleting.await.unwrap().deletion_id();
    let listed = list(&world).await;
    assert!(listed.contains(&id) && listed.contains("campaign_1"));
    world
        .s3
        .remove(&format!("deletions/{ACCOUNT}/{id}/manifest.json"));
    assert!(list(&world).await.contains("(not whole)"));
}

/// The campaign changes between the first claim and its answer: what was archived for that
/// claim stays, without a deletion; the next claim archives the campaign as it is now.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_loses_a_race_leaves_one_object() {
    let world = with_children(30_000).await;
    let pause = world.proxy.pause_at(is_claim);
    let api = world.api().await;
    let deleting = tokio::spawn(async move { send(&api, delete_event("campaign_1")).await });
    pause.reached().await;
    let renamed = [("name", s("Q1")), ("updatedAt", s("2026-02-02T00:00:00Z"))];
    world.put(campaign("campaign_1", &renamed)).await;
    let before = partition(&world, "campaign_1").await;
    pause.resume();
    let id = deleting.await.unwrap().deletion_id();
    let contents = read(&world, &id).await.unwrap();
    assert_eq!(archived(&contents).await, before);
    let of_the_other = |key: &String| !key.contains(&id);
    let mut left = world.s3.keys("").await;
    left.retain(of_the_other);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].ends_with("/data/campaign.json.gz"));
    assert!(list(&world).await.contains("(no deletion)"));
}

/// A worker that has lost its lease puts its manifest after the one with the final counts: the
/// record has them.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_manifest_does_not_lower_what_has_to_be_there() {
    let world = with_children(30).await;
    let arrive = Arc::new(Notify::new());
    let (late, is_lost) = (arrive.clone(), Arc::new(Notify::new()));
    let lost = is_lost.clone();
    world.s3.policy(move |call| {
        if !call.path.ends_with("manifest.json") {
            return Action::Pass;
        }
        lost.notify_one();
        Action::LateUntil(late.clone())
    });
    let api = world.api().await;
    let worker = tokio::spawn(async move { send(&api, delete_event("campaign_1")).await });
    is_lost.notified().await;
    worker.abort();
    assert!(worker.await.is_err());
    world.s3.pass();
    // A writer without the fence.
    world
        .put_children("campaign_1", &["TASK#late".to_owned()])
        .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.delete_until_done("campaign_1").await.status, 200);
    arrive.notify_one();
    world.s3.settle().await;
    let id = only_deletion(&world).await;
    assert_eq!(read(&world, &id).await.unwrap().manifest.items, 9);
    let verify = ["archive", "verify", &id, "--account", ACCOUNT];
    let verified = stdout(&run(&world, &verify).await);
    assert!(verified.contains("is whole: 10 items"), "{verified}");
    let keys = world.s3.keys("").await;
    for key in keys.iter().filter(|key| key.ends_with(".json.gz")) {
        let object = world.s3.object(key).await.unwrap();
        let mut items = campaigns::archive::read_lines(&object.bytes[..]);
        if items.any(|item| item.unwrap()["SK"] == s("TASK#late")) {
            world.s3.remove(key);
        }
    }
    let message = "the archive has 9 items, and the deletion has counted 10";
    fails(&run(&world, &verify).await, 1, message);
    fails(&restore(&world, &id, &[]).await, 1, message);
}

/// What the request asked for is lost together with the record, so the mode decides.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_whose_record_is_lost_archives_by_the_mode() {
    for (mode, query, is_archived) in [
        (ArchiveMode::Default, "archive=false", true),
        (ArchiveMode::Request, "archive=true", false),
    ] {
        let mut world = with_children(30).await;
        world.settings.archive = Some(settings(mode));
        let mut event = delete_event("campaign_1");
        event["rawQueryString"] = query.into();
        event["headers"]["prefer"] = "respond-async".into();
        let id = world.send(event).await.deletion_id();
        let delete = world.table.client().delete_item();
        let delete = delete
            .table_name(world.table.name())
            .key("PK", s(&format!("ACCOUNT#{ACCOUNT}")))
            .key("SK", s(&format!("DELETION#{id}")));
        delete.send().await.unwrap();
        let reply = world.delete_until_done("campaign_1").await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let archive = &reply.body["deletionSummary"]["archive"];
        assert_eq!(archive.is_object(), is_archived, "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_table_has_to_be_asked_for() {
    let (world, before, id) = deleted().await;
    let mut other = archiving(30).await;
    other.s3 = world.s3;
    let bucket = ["--archive-bucket", BUCKET];
    let refused = restore(&other, &id, &bucket).await;
    fails(&refused, 1, "--into-another-table restores it there");
    assert!(partition(&other, "campaign_1").await.is_empty());
    let into = [&bucket[..], &["--into-another-table"]].concat();
    stdout(&restore(&other, &id, &into).await);
    assert_eq!(partition(&other, "campaign_1").await, before);
}

/// Nothing is put into a table whose keys have other names.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_other_keys_is_refused() {
    let (world, _, id) = deleted().await;
    let client = world.table.client();
    let name = format!("other-{}", uuid::Uuid::new_v4().simple());
    let mut create = client
        .create_table()
        .table_name(&name)
        .billing_mode(BillingMode::PayPerRequest);
    for (attribute, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
        let key = KeySchemaElement::builder()
            .attribute_name(attribute)
            .key_type(kind);
        let definition = AttributeDefinition::builder()
            .attribute_name(attribute)
            .attribute_type(ScalarAttributeType::S);
        create = create
            .key_schema(key.build().unwrap())
            .attribute_definitions(definition.build().unwrap());
    }
    create.send().await.unwrap();
    let mut command = command();
    command.args(["restore", &id, "--account", ACCOUNT, "--into-another-table"]);
    command.args(["--archive-bucket", BUCKET, "--table-name", &name]);
    command.args(["--endpoint-url", &world.proxy.url()]);
    command.args(["--s3-endpoint-url", &world.s3.url()]);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    fails(&output, 1, "ValidationException");
    let left = client.scan().table_name(&name).send().await.unwrap();
    assert_eq!(left.count(), 0);
}

/// A dry run says what would become of the items, in the terminal as over HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_whether_it_would_archive() {
    let world = with_children(30_000).await;
    let dry_run = ["delete", "campaign_1", "--dry-run"];
    let bucket = ["--archive-bucket", BUCKET];
    for (more, expected, value) in [
        (&[][..], "9 tasks", json!(null)),
        (
            &bucket[..],
            "all of it would be archived first",
            json!(true),
        ),
        (
            &[&bucket[..], &["--archive=false"]].concat(),
            "none of it would be archived",
            json!(false),
        ),
    ] {
        let shown = stdout(&run(&world, &[&dry_run[..], more].concat()).await);
        assert!(shown.trim_end().ends_with(expected), "{shown}");
        let shown = stdout(&run(&world, &[&dry_run[..], more, &["--json"]].concat()).await);
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["wouldArchive"], value);
    }
    assert!(world.s3.keys("").await.is_empty());
}

/// `serve` archives in the S3 that it serves, and takes no other bucket.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_while_the_disk_of_serve_is_full() {
    for option in [
        "--archive-bucket=other",
        "--s3-endpoint-url=http://127.0.0.1:1",
    ] {
        let output = crate::harness::terminal::run(&["serve", option]);
        fails(&output, 2, "unexpected argument");
    }
    let directory = std::env::temp_dir().join(format!("campaigns-{}", uuid::Uuid::new_v4()));
    // No file may grow beyond 16 blocks of 512 or 1,024 bytes, as the shell has it: the
    // campaign item has fewer bytes, and its children more.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\""]);
    let archive = ["--archive", directory.to_str().unwrap(), "--s3-port", "0"];
    let budget = ["--inline-budget-seconds", "2"];
    let serve = Serve::start_by(limited, &[&archive[..], &budget].concat());
    let (status, body) = serve.paste("Delete \"Q4 Enterprise Outreach\"").await;
    assert_eq!(status, 202, "{body}");
    assert_eq!(body["deletionSummary"]["deletedItems"]["messages"], 0);
    let world = World::at(serve.endpoint_url()).await;
    let query = world.table.client().query().table_name("campaigns");
    let left = query
        .key_condition_expression("PK = :PK")
        .expression_attribute_values(":PK", s("CAMPAIGN#campaign_123"))
        .select(Select::Count)
        .send()
        .await
        .unwrap();
    assert_eq!(left.count(), 838);
    drop(serve);
    fs::remove_dir_all(directory).unwrap();
}

//! `campaigns restore` and `campaigns archive`, as processes over the fault layers.

use std::process::Output;

use campaigns::cli::local_s3::BUCKET;

use super::{archiving, odd_campaign, of_every_type, partition};
use crate::harness::{
    ACCOUNT, World, delete_event, item,
    proxy::{Action, slow_down, throttled},
    s,
    terminal::{command, fails, stdout},
};

/// Runs a command on an archive. In a thread of its own: the fault layers are in this process.
pub(super) async fn run(world: &World, arguments: &[&str]) -> Output {
    let mut command = command();
    command.args(arguments);
    command.args(["--table-name", world.table.name()]);
    command.args(["--endpoint-url", &world.proxy.url()]);
    command.args(["--s3-endpoint-url", &world.s3.url()]);
    let output = tokio::task::spawn_blocking(move || command.output());
    output.await.unwrap().unwrap()
}

pub(super) async fn restore(world: &World, id: &str, more: &[&str]) -> Output {
    let mut arguments = vec!["restore", id, "--account", ACCOUNT];
    arguments.extend(more);
    run(world, &arguments).await
}

/// A world, what its campaign was, and the deletion that has archived it.
pub(super) async fn deleted() -> (
    World,
    std::collections::BTreeMap<String, serde_json::Value>,
    String,
) {
    let world = archiving(30).await;
    world.proxy.page_limit(9);
    world.put(odd_campaign("campaign_1")).await;
    world.put_all(of_every_type("campaign_1")).await;
    let children: Vec<_> = (0..60).map(|n| format!("TASK#{n:05}")).collect();
    world.put_children("campaign_1", &children).await;
    let before = partition(&world, "campaign_1").await;
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 200);
    let id = reply.deletion_id();
    (world, before, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_campaign_is_what_was_deleted() {
    let (world, before, id) = deleted().await;
    let shown = stdout(&restore(&world, &id, &["--dry-run"]).await);
    assert!(shown.contains("73 items and the campaign item"), "{shown}");
    assert!(world.left("campaign_1").await.is_empty());
    let shown = stdout(&restore(&world, &id, &[]).await);
    assert!(shown.contains("73 items put, 0 there already"), "{shown}");
    assert_eq!(partition(&world, "campaign_1").await, before);
    let shown = stdout(&restore(&world, &id, &[]).await);
    assert!(shown.contains("restored already"), "{shown}");
    // And deleted again.
    assert_eq!(world.delete("campaign_1").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_another_id_only_keys_and_id_change() {
    let (world, before, id) = deleted().await;
    let arguments = ["--as", "campaign_2", "--status", "archived"];
    stdout(&restore(&world, &id, &arguments).await);
    assert!(partition(&world, "campaign_1").await.is_empty());
    let mut after = partition(&world, "campaign_2").await;
    for item in after.values_mut() {
        assert_eq!(item["PK"]["S"], "CAMPAIGN#campaign_2");
        item["PK"]["S"] = "CAMPAIGN#campaign_1".into();
    }
    let campaign = after.get_mut("CAMPAIGN").unwrap();
    assert_eq!(campaign["id"]["S"], "campaign_2");
    assert_eq!(campaign["campaignStatus"]["S"], "archived");
    campaign["id"]["S"] = "campaign_1".into();
    campaign["campaignStatus"] = before["CAMPAIGN"]["campaignStatus"].clone();
    assert_eq!(after, before);
}

/// An item that the table returns unprocessed or throttled is put again; a restore that is
/// killed anywhere is completed by the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_may_be_killed_at_any_write() {
    let (world, before, id) = deleted().await;
    for boundary in 0..5 {
        let pause = world.proxy.pause_at(move |call| {
            call.operation == "BatchWriteItem" && call.nth == boundary
                || call.operation == "PutItem"
        });
        let mut command = command();
        command.args(["restore", &id, "--account", ACCOUNT]);
        command.args(["--table-name", world.table.name()]);
        command.args(["--endpoint-url", &world.proxy.url()]);
        command.args(["--s3-endpoint-url", &world.s3.url()]);
        let mut child = command.spawn().unwrap();
        pause.reached().await;
        child.kill().unwrap();
        pause.resume();
        child.wait().unwrap();
        world.proxy.settle().await;
        world.proxy.pass();
        stdout(&restore(&world, &id, &[]).await);
        assert_eq!(partition(&world, "campaign_1").await, before, "{boundary}");
        remove_all(&world, &before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_bucket_name_is_no_bucket() {
    let world = archiving(30).await;
    world.put_campaign("campaign_1", &[]).await;
    for bucket in [&["--archive-bucket", ""][..], &[]] {
        let arguments = [&["delete", "campaign_1", "--archive"], bucket].concat();
        let output = run(&world, &arguments).await;
        assert!(!output.status.success());
        assert_eq!(world.left("campaign_1").await, ["CAMPAIGN"]);
    }
}

/// Removes a campaign without a deletion.
async fn remove_all(world: &World, items: &std::collections::BTreeMap<String, serde_json::Value>) {
    for key in items.keys() {
        let key = item(&[("PK", s("CAMPAIGN#campaign_1")), ("SK", s(key))]);
        let delete = world.table.client().delete_item();
        let delete = delete.table_name(world.table.name()).set_key(Some(key));
        delete.send().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unprocessed_and_throttled_items_are_put_again() {
    let (world, before, id) = deleted().await;
    world
        .proxy
        .policy(|call| match (call.operation, call.nth % 3) {
            ("BatchWriteItem", 0) => Action::Unprocessed(5),
            ("BatchWriteItem", 1) => throttled(),
            _ => Action::Pass,
        });
    stdout(&restore(&world, &id, &[]).await);
    assert_eq!(partition(&world, "campaign_1").await, before);
}

/// S3 breaks off in the middle of an object, loses requests, and asks to slow down.
#[tokio::test(flavor = "multi_thread")]
async fn objects_that_break_off_are_read_again() {
    let (world, before, id) = deleted().await;
    world.s3.policy(|call| match call.number % 4 {
        0 => Action::HalfAnswer,
        1 => Action::LoseRequest,
        2 => slow_down(),
        _ => Action::Pass,
    });
    stdout(&restore(&world, &id, &[]).await);
    assert_eq!(partition(&world, "campaign_1").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_put_is_never_written_over_by_itself() {
    let (world, before, id) = deleted().await;
    let other = item(&[
        ("PK", s("CAMPAIGN#campaign_1")),
        ("SK", s("TASK#00007")),
        ("theirs", s("yes")),
    ]);
    world.put(other).await;
    fails(
        &restore(&world, &id, &[]).await,
        1,
        "TASK#00007 exists and differs",
    );
    let there = &partition(&world, "campaign_1").await["TASK#00007"];
    assert_eq!(there["theirs"]["S"], "yes");
    stdout(&restore(&world, &id, &["--overwrite"]).await);
    assert_eq!(partition(&world, "campaign_1").await, before);
    // A campaign that is there stays, whatever is asked.
    remove_all(&world, &before).await;
    world
        .put_campaign("campaign_1", &[("name", s("new"))])
        .await;
    for more in [&[][..], &["--overwrite"]] {
        fails(
            &restore(&world, &id, more).await,
            1,
            "there is a campaign campaign_1",
        );
    }
    assert_eq!(world.left("campaign_1").await, ["CAMPAIGN"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_campaign_is_never_active() {
    let world = archiving(30).await;
    world.put_campaign("campaign_1", &[]).await;
    assert_eq!(world.delete("campaign_1").await.status, 200);
    let id = super::only_deletion(&world).await;
    for status in ["active", "deleting", ""] {
        let output = restore(&world, &id, &["--status", status]).await;
        fails(&output, 2, "never active");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_whole_archive_of_ones_own_is_restored() {
    let (world, _, id) = deleted().await;
    // Another account's, an unknown one, one that was not archived, one that is running.
    let foreign = ["restore", &id, "--account", "account_2"];
    fails(&run(&world, &foreign).await, 1, "has no deletion");
    let unknown = "01a20dfe-2b71-7508-a7a9-83af90943fe4";
    fails(&restore(&world, unknown, &[]).await, 1, "has no deletion");
    world.put_campaign("campaign_2", &[]).await;
    let mut event = delete_event("campaign_2");
    event["rawQueryString"] = "archive=false".into();
    let other = world.send(event).await.deletion_id();
    fails(&restore(&world, &other, &[]).await, 1, "was not archived");
    world.put_campaign("campaign_3", &[]).await;
    let mut event = delete_event("campaign_3");
    event["headers"]["prefer"] = "respond-async".into();
    let running = world.send(event).await.deletion_id();
    fails(&restore(&world, &running, &[]).await, 1, "still running");
    // Objects that are missing, changed, cut, or another deletion's.
    let objects = world.s3.keys(&format!("deletions/{ACCOUNT}/{id}/")).await;
    let page = objects
        .iter()
        .find(|key| key.ends_with("-1.json.gz"))
        .unwrap();
    let manifest = objects
        .iter()
        .find(|key| key.ends_with("manifest.json"))
        .unwrap();
    let whole = world.s3.object(page).await.unwrap().bytes;
    let put = async |key: &str, bytes: &[u8]| world.s3.replace(key, bytes).await;
    for (key, bytes, message) in [
        (page, &whole[..whole.len() / 2], "not whole"),
        (page, b"not gzip", "not whole"),
        (manifest, b"{}", "no manifest of a known format"),
    ] {
        let kept = world.s3.object(key).await.unwrap();
        put(key, bytes).await;
        for command in ["restore", "verify"] {
            let mut arguments = vec![command, &id, "--account", ACCOUNT];
            if command == "verify" {
                arguments.insert(0, "archive");
            }
            fails(&run(&world, &arguments).await, 1, message);
        }
        put(key, &kept.bytes).await;
        stdout(&run(&world, &["archive", "verify", &id, "--account", ACCOUNT]).await);
    }
    world.s3.damage(page);
    fails(
        &restore(&world, &id, &[]).await,
        1,
        "do not match its checksum",
    );
    world.s3.remove(page);
    fails(
        &restore(&world, &id, &[]).await,
        1,
        "the archive has 64 items",
    );
    world.s3.remove(manifest);
    fails(&restore(&world, &id, &[]).await, 1, "has no manifest.json");
    assert!(world.left("campaign_1").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_listed_shown_and_verified() {
    let (world, before, id) = deleted().await;
    let of = ["--account", ACCOUNT];
    let bucket = ["--archive-bucket", BUCKET];
    let list = [&["archive", "list"][..], &of, &bucket].concat();
    let listed = stdout(&run(&world, &list).await);
    assert!(
        listed.contains(&id) && listed.contains("campaign_1"),
        "{listed}"
    );
    let show = [&["archive", "show", &id][..], &of].concat();
    let shown = stdout(&run(&world, &show).await);
    assert!(shown.contains("73 items"), "{shown}");
    let items = [&["archive", "show", &id, "--items"][..], &of].concat();
    let items = stdout(&run(&world, &items).await);
    assert_eq!(items.lines().count(), before.len());
    let verify = [&["archive", "verify", &id][..], &of].concat();
    let verified = stdout(&run(&world, &verify).await);
    assert!(verified.contains("is whole: 73 items"), "{verified}");
}

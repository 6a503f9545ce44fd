//! What a deletion archives, and when it does.

use std::time::Duration;

use campaigns::config::ArchiveMode;
use serde_json::json;

use super::{
    archived, archiving, get, odd_campaign, of_every_type, only_deletion, partition, read, settings,
};
use crate::harness::{World, delete_event, proxy::Action, proxy::is_finish, s};

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_deleted_is_archived_as_it_was() {
    let world = archiving(30_000).await;
    world.put(odd_campaign("campaign_1")).await;
    world.put_all(of_every_type("campaign_1")).await;
    world.put_campaign("campaign_10", &[]).await;
    let before = partition(&world, "campaign_1").await;
    let reply = world.delete("campaign_1").await;
    assert_eq!(reply.status, 200);
    let archive = &reply.body["deletionSummary"]["archive"];
    let id = reply.deletion_id();
    let contents = read(&world, &id).await.unwrap();
    contents.check_complete().unwrap();
    assert_eq!(archived(&contents).await, before);
    assert_eq!(
        archive["location"],
        format!("s3://archive/deletions/{}/{id}/", crate::harness::ACCOUNT)
    );
    assert_eq!(archive["items"], before.len() - 1);
    assert!(archive["expiresAt"].is_string());
    // The record's bytes are those of the objects, and of the manifest.
    let record = &world.records().await[0];
    assert_eq!(record["archived"]["objects"], 3);
    assert_eq!(archive["bytes"], record["archived"]["bytes"]);
    assert!(archive["bytes"].as_u64().unwrap() > contents.bytes);
    assert_eq!(contents.manifest.table, world.table.name());
    assert_eq!(contents.manifest.items, before.len() as u64 - 1);
    let view = world.send(get(&id)).await;
    assert_eq!(&view.body["archive"], archive);
    assert_eq!(world.left("campaign_10").await, ["CAMPAIGN"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_query_and_the_mode_decide_whether_a_deletion_archives() {
    for (mode, query, is_archived) in [
        (ArchiveMode::Default, "", true),
        (ArchiveMode::Default, "archive=true", true),
        (ArchiveMode::Default, "archive=false", false),
        (ArchiveMode::Request, "", false),
        (ArchiveMode::Request, "archive=true", true),
        (ArchiveMode::Request, "archive=false", false),
    ] {
        let mut world = World::new().await;
        world.settings.archive = Some(settings(mode));
        world.put_campaign("campaign_1", &[]).await;
        world
            .put_children("campaign_1", &["TASK#1".to_owned()])
            .await;
        let mut event = delete_event("campaign_1");
        event["rawQueryString"] = format!("validateOnly=true&{query}")
            .trim_end_matches('&')
            .into();
        let preview = world.send(event.clone()).await;
        let would_archive = &preview.body["deletionSummary"]["wouldArchive"];
        assert_eq!(would_archive, &json!(is_archived), "{mode:?} {query}");
        assert_eq!(world.s3.keys("").await, Vec::<String>::new());
        event["rawQueryString"] = query.into();
        let reply = world.send(event).await;
        assert_eq!(reply.status, 200);
        let archive = &reply.body["deletionSummary"]["archive"];
        assert_eq!(archive.is_object(), is_archived, "{mode:?} {query}");
        let objects = world.s3.keys("").await;
        assert_eq!(
            objects.len(),
            if is_archived { 3 } else { 0 },
            "{objects:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_not_there_cannot_be_asked_for() {
    let world = World::new().await;
    world.put_campaign("campaign_1", &[]).await;
    for query in [
        "archive=true",
        "archive=yes",
        "archive=",
        "archive=true&archive=true",
        "validateOnly=true&archive=true",
    ] {
        let mut event = delete_event("campaign_1");
        event["rawQueryString"] = query.into();
        world.send(event).await.assert(400, "validation_error");
    }
    let mut event = delete_event("campaign_1");
    event["rawQueryString"] = "archive=false&validateOnly=true".into();
    let preview = world.send(event).await;
    assert_eq!(preview.status, 200);
    assert!(preview.body["deletionSummary"]["wouldArchive"].is_null());
}

/// The claim changes more of these than its status: what they were is not to be seen
/// afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_archived_as_it_was_before_its_claim() {
    let large = "x".repeat(409_000);
    let mut without_a_time = odd_campaign("campaign_1");
    without_a_time.remove("updatedAt");
    let mut of_a_deletion = odd_campaign("campaign_1");
    of_a_deletion.insert("deletionId".to_owned(), s("earlier"));
    let mut close_to_the_limit = odd_campaign("campaign_1");
    close_to_the_limit.insert("notes".to_owned(), s(&large));
    for campaign in [without_a_time, of_a_deletion, close_to_the_limit] {
        let world = archiving(30_000).await;
        world.put(campaign).await;
        world
            .put_children("campaign_1", &["TASK#1".to_owned()])
            .await;
        let before = partition(&world, "campaign_1").await;
        let reply = world.delete("campaign_1").await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let contents = read(&world, &reply.deletion_id()).await.unwrap();
        assert_eq!(archived(&contents).await, before);
        let record = &world.records().await[0];
        assert_eq!(record["archived"]["objects"], 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_archive_nothing_of_it_is_stored_or_asked() {
    let world = World::new().await;
    world.put_campaign("campaign_1", &[]).await;
    world
        .put_children("campaign_1", &["TASK#1".to_owned()])
        .await;
    assert_eq!(world.delete("campaign_1").await.status, 200);
    let record = &world.records().await[0];
    assert!(record["archive"].is_null() && record["archived"].is_null());
    assert!(world.s3.exchanges().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_archives_by_the_mode() {
    for (mode, objects) in [(ArchiveMode::Default, 3), (ArchiveMode::Request, 0)] {
        let mut world = World::new().await;
        world.settings.archive = Some(settings(mode));
        world.retention.age = Some(Duration::from_hours(24));
        let old = ("completedAt", s("2024-01-01T00:00:00Z"));
        let status = ("campaignStatus", s("completed"));
        world.put_campaign("campaign_1", &[status, old]).await;
        world
            .put_children("campaign_1", &["TASK#1".to_owned()])
            .await;
        let summary = world.cleanup().await;
        assert_eq!(summary["started"].as_array().unwrap().len(), 1, "{summary}");
        assert!(world.left("campaign_1").await.is_empty());
        assert_eq!(world.s3.keys("").await.len(), objects);
    }
}

/// The promise is the record's: a worker without access to S3, or with another bucket in its
/// settings, neither deletes unarchived nor archives elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn every_worker_archives_where_the_record_says() {
    let mut world = archiving(30).await;
    world.put_campaign("campaign_1", &[]).await;
    let children: Vec<_> = (0..40).map(|n| format!("TASK#{n:05}")).collect();
    world.put_children("campaign_1", &children).await;
    let before = partition(&world, "campaign_1").await;
    let mut event = delete_event("campaign_1");
    event["headers"]["prefer"] = "respond-async".into();
    assert_eq!(world.send(event).await.status, 202);
    let id = only_deletion(&world).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Without S3.
    world.has_s3 = false;
    assert_eq!(world.delete("campaign_1").await.status, 202);
    assert_eq!(world.left("campaign_1").await.len(), before.len());
    assert_eq!(world.s3.keys("").await.len(), 1);
    // With another bucket, and without an archive.
    world.has_s3 = true;
    world.settings.archive = None;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let reply = world.delete_until_done("campaign_1").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let contents = read(&world, &id).await.unwrap();
    contents.check_complete().unwrap();
    let mut archived = archived(&contents).await;
    assert_eq!(archived.remove("CAMPAIGN"), before.get("CAMPAIGN").cloned());
    assert_eq!(archived.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_knows_of_no_archive_cannot_read_the_record() {
    let world = archiving(30_000).await;
    world.put_campaign("campaign_1", &[]).await;
    world
        .put_children("campaign_1", &["TASK#1".to_owned()])
        .await;
    let mut event = delete_event("campaign_1");
    event["headers"]["prefer"] = "respond-async".into();
    assert_eq!(world.send(event).await.status, 202);
    // It expects text there, from the claim on.
    assert_eq!(world.records().await[0]["countedThrough"], json!(true));
    let done = world.delete_until_done("campaign_1").await;
    assert_eq!(done.status, 200);
    let record = &world.records().await[0];
    assert!(
        record["countedThrough"].is_null() && record["ranges"].is_null(),
        "{record:#}"
    );
}

/// An archive of a deletion whose finish failed has a manifest; the next worker puts it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_put_again_by_whoever_finishes() {
    let world = archiving(30).await;
    world.put_campaign("campaign_1", &[]).await;
    world
        .put_children("campaign_1", &["TASK#1".to_owned()])
        .await;
    world.proxy.policy(|call| {
        if is_finish(call) {
            Action::LoseRequest
        } else {
            Action::Pass
        }
    });
    let mut world = world.inline_budget(1_000);
    assert_eq!(world.delete("campaign_1").await.status, 202);
    let id = only_deletion(&world).await;
    // On a busy machine the first request may end before its manifest.
    for _ in 0..20 {
        if read(&world, &id).await.is_ok() {
            break;
        }
        assert_eq!(world.delete("campaign_1").await.status, 202);
    }
    assert!(read(&world, &id).await.is_ok());
    world.proxy.pass();
    world = world.inline_budget(20_000);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.delete_until_done("campaign_1").await.status, 200);
    read(&world, &id).await.unwrap().check_complete().unwrap();
}

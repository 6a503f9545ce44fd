//! The archive: everything that is deleted is in it, whatever fails, and a restore brings back
//! exactly that.

mod conditions;
mod deaths;
mod deletion;
mod faults;
mod manifests;
mod restore;

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use campaigns::{
    archive::{ArchiveStore, BadArchive, Contents, Folder},
    campaign::CampaignId,
    cli::local_s3::BUCKET,
    config::{ArchiveMode, ArchiveSettings},
    record, sdk,
    table::item::Item,
};
use serde_json::Value;
use tokio::time::Instant;

use crate::harness::{ACCOUNT, World, campaign, event, item, s};

const PREFIX: &str = "deletions/";

fn number(text: &str) -> AttributeValue {
    AttributeValue::N(text.to_owned())
}

/// A GET of a deletion.
fn get(id: &str) -> Value {
    let mut event = event("get-deletion");
    let path = format!("/v1/deletions/{id}");
    event["rawPath"] = path.clone().into();
    event["requestContext"]["http"]["path"] = path.into();
    event["pathParameters"]["deletionId"] = id.into();
    event
}

/// The settings of an archive in the test's bucket.
fn settings(mode: ArchiveMode) -> ArchiveSettings {
    ArchiveSettings {
        bucket: BUCKET.to_owned(),
        prefix: PREFIX.to_owned(),
        mode,
        days: Some(30),
    }
}

/// A world whose deletions archive, with leases of this many milliseconds.
async fn archiving(lease: u64) -> World {
    let mut world = World::new().await.lease(lease);
    world.settings.archive = Some(settings(ArchiveMode::Default));
    world
}

/// Children with every type of attribute, and what is odd in each.
fn of_every_type(campaign: &str) -> Vec<Item> {
    let texts = |all: &[&str]| {
        all.iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    let values = [
        ("empty", s("")),
        ("text", s("\u{0}\n\"\\ä🦀</b>\u{202e}")),
        ("long", number("12345678901234567890123456789012345678")),
        ("small", number("-0.00000000000000000000000000000000000001")),
        (
            "large",
            number("9.9999999999999999999999999999999999999E+125"),
        ),
        ("bytes", AttributeValue::B(Blob::new([0, 255, 10, 13]))),
        ("none", AttributeValue::B(Blob::new([]))),
        ("null", AttributeValue::Null(true)),
        ("false", AttributeValue::Bool(false)),
        ("texts", AttributeValue::Ss(texts(&["b", "a", "ä"]))),
        ("numbers", AttributeValue::Ns(texts(&["2", "1.5", "-3"]))),
        (
            "blobs",
            AttributeValue::Bs(vec![Blob::new([1]), Blob::new([0, 2])]),
        ),
        (
            "nested",
            AttributeValue::M(
                [(
                    "list".to_owned(),
                    AttributeValue::L(vec![
                        s(""),
                        number("0"),
                        AttributeValue::L(Vec::new()),
                        AttributeValue::M([(" ".to_owned(), AttributeValue::Null(true))].into()),
                    ]),
                )]
                .into(),
            ),
        ),
    ];
    let partition = s(&format!("CAMPAIGN#{campaign}"));
    let child = |(at, (name, value)): (usize, (&str, AttributeValue))| {
        let key = s(&format!("MESSAGE#{at:03}#{name}"));
        item(&[("PK", partition.clone()), ("SK", key), (name, value)])
    };
    values.into_iter().enumerate().map(child).collect()
}

/// A campaign item with attributes of its own.
fn odd_campaign(id: &str) -> Item {
    campaign(
        id,
        &[
            ("tags", AttributeValue::Ss(vec!["b".into(), "a".into()])),
            ("budget", number("1234567890.1234567890123456789")),
            ("completedAt", AttributeValue::Null(true)),
        ],
    )
}

/// An item in DynamoDB-JSON, attribute by attribute; the values of a set are in order.
fn exact(item: &Item) -> Value {
    fn in_order(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, inner) in members {
                    match inner {
                        Value::Array(set) if ["SS", "NS", "BS"].contains(&name.as_str()) => {
                            set.sort_by_key(ToString::to_string);
                        }
                        inner => in_order(inner),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(in_order),
            _ => {}
        }
    }
    let line = campaigns::archive::write_line(item).unwrap();
    let mut line: Value = serde_json::from_str(&line).unwrap();
    in_order(&mut line);
    line["Item"].take()
}

/// What a campaign's partition has, by sort key.
async fn partition(world: &World, id: &str) -> BTreeMap<String, Value> {
    let id = CampaignId::parse(id).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut found = BTreeMap::new();
    let mut put = |item: &Item| {
        found.insert(item["SK"].as_s().unwrap().clone(), exact(item));
    };
    let campaign = world.table.campaign_item(&id, deadline).await.unwrap();
    campaign.iter().for_each(&mut put);
    let mut after = None;
    loop {
        let read = world
            .table
            .page_of_items(&id, after.as_deref(), None, deadline);
        let (page, items) = read.await.unwrap();
        items.iter().for_each(&mut put);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// Where the archive of a deletion is, without faults in between.
fn folder(world: &World, deletion_id: &str) -> Folder {
    Folder {
        store: ArchiveStore::new(sdk::on_this_machine(&world.s3.endpoint_url())),
        bucket: BUCKET.to_owned(),
        prefix: record::folder(PREFIX, ACCOUNT, deletion_id),
    }
}

/// Reads an archive and checks each object of it.
async fn read(world: &World, deletion_id: &str) -> Result<Contents, BadArchive> {
    folder(world, deletion_id).read(|_| {}).await
}

/// What an archive has, by sort key: the campaign item, too.
async fn archived(contents: &Contents) -> BTreeMap<String, Value> {
    let found = Mutex::new(BTreeMap::new());
    let put = |item: &Item| {
        let key = item["SK"].as_s().unwrap().clone();
        let before = found.lock().unwrap().insert(key.clone(), exact(item));
        assert_eq!(before, None, "{key} is there twice");
    };
    contents.campaign.iter().for_each(put);
    for page in 0..contents.pages() {
        contents.page(page).await.unwrap().iter().for_each(put);
    }
    found.into_inner().unwrap()
}

/// The id of the only deletion.
async fn only_deletion(world: &World) -> String {
    let records = world.records().await;
    assert_eq!(records.len(), 1, "{records:#?}");
    records[0]["deletionId"].as_str().unwrap().to_owned()
}

//! The objects of an archive: their keys, and what they say of themselves.

use serde::{Deserialize, Serialize};

use super::lines::{Unwritable, write_lines};
use crate::{
    counts::Counts,
    record::{Archived, Record},
    table::item::Item,
};

/// The name of the object that says that an archive is whole.
pub const MANIFEST: &str = "manifest.json";

/// An object to be put. The same one can be put any number of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key in the bucket.
    pub key: String,
    /// Its bytes.
    pub body: Vec<u8>,
    /// How many items are in it; `None` for the manifest.
    pub items: Option<usize>,
    /// The version of the record under which its items were read. Where an item is in two
    /// objects, the one with the higher version was read later.
    pub record_version: u64,
}

impl Object {
    /// Returns the object of these items.
    ///
    /// # Errors
    /// [`Unwritable`].
    pub fn of_items(key: String, items: &[Item], record_version: u64) -> Result<Self, Unwritable> {
        Ok(Self {
            key,
            body: write_lines(items)?,
            items: Some(items.len()),
            record_version,
        })
    }

    /// Returns the object that says that the archive of a deletion is whole.
    #[must_use]
    pub fn manifest(folder: &str, table: &str, record: &Record, archived: Archived) -> Self {
        let manifest = Manifest {
            format: FORMAT,
            deletion_id: record.deletion_id.clone(),
            campaign_id: record.campaign_id.to_string(),
            account_id: record.account_id.clone(),
            table: table.to_owned(),
            items: record.progress.counted.total(),
            deleted_items: record.progress.counted.clone(),
            passes: record.progress.pass,
            objects: archived.objects,
            bytes: archived.bytes,
        };
        Self {
            key: manifest_key(folder),
            // Err: never, since every member is text or a number.
            body: serde_json::to_vec_pretty(&manifest).unwrap_or_default(),
            items: None,
            record_version: record.version,
        }
    }
}

/// The only format so far.
const FORMAT: u32 = 1;

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The format of the archive: 1.
    pub format: u32,
    /// The deletion.
    pub deletion_id: String,
    /// Its campaign.
    pub campaign_id: String,
    /// The account that owned it.
    pub account_id: String,
    /// The table that everything was in.
    pub table: String,
    /// How many items were deleted, without the campaign item.
    pub items: u64,
    /// The same, by kind.
    pub deleted_items: Counts,
    /// How often the partition was read from its start.
    pub passes: u64,
    /// How many objects were put before this one. Workers that follow each other may have put
    /// more than the record shows.
    pub objects: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

/// Returns the key of the manifest.
#[must_use]
pub fn manifest_key(folder: &str) -> String {
    format!("{folder}{MANIFEST}")
}

/// Returns what the keys of all items begin with: the prefix for an import.
#[must_use]
pub fn data_folder(folder: &str) -> String {
    format!("{folder}data/")
}

/// Returns the key of the campaign item.
#[must_use]
pub fn campaign_key(folder: &str) -> String {
    format!("{}campaign.json.gz", data_folder(folder))
}

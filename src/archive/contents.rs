//! What an archive holds: the union of its objects by key. After a takeover some items are in
//! two objects, and the one that was read later counts.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Duration, Instant};

use super::{
    ArchiveError, ArchiveStore, MANIFEST, Manifest, campaign_key, data_folder, lines::read_lines,
    manifest_key,
};
use crate::{
    counts::CAMPAIGN_SORT_KEY,
    table::{item::Item, keys},
};

/// How many objects are read at once.
const AT_ONCE: usize = 8;
/// How long reading one object may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum BadArchive {
    /// It could not be read.
    #[error(transparent)]
    Store(#[from] ArchiveError),
    /// The deletion has not finished.
    #[error("the archive has no {MANIFEST}, so it is not whole: its deletion has not finished")]
    NoManifest,
    /// An object is not what its name says.
    #[error("{key}: {why}")]
    Object {
        /// Its key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// Not every item that was deleted is there.
    #[error("the archive has {found} items, and the deletion has counted {counted}")]
    Incomplete {
        /// How many are there.
        found: u64,
        /// How many were deleted.
        counted: u64,
    },
}

/// A page of the archive, as far as it is kept in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    key: String,
    first: String,
    last: String,
    items: u64,
    /// The version of the record and the page's number: of two pages with the same item, the
    /// one that is higher was read later.
    read_at: (u64, u64),
}

/// An archive that was read once, with every object as it should be.
#[derive(Debug)]
pub struct Contents {
    /// Its manifest.
    pub manifest: Manifest,
    /// The campaign item; `None` if the deletion has not deleted one.
    pub campaign: Option<Item>,
    /// How many different items it has, without the campaign item.
    pub items: u64,
    /// How many bytes its objects have.
    pub bytes: u64,
    folder: Folder,
    pages: Vec<Page>,
    /// Of each page that was not the last to be read: the keys that a later one has.
    superseded: BTreeMap<usize, BTreeSet<String>>,
}

/// Where an archive is.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The store that reads it.
    pub store: ArchiveStore,
    /// Its bucket.
    pub bucket: String,
    /// What its keys begin with.
    pub prefix: String,
}

impl Folder {
    /// Reads the manifest; `None` if there is none.
    ///
    /// # Errors
    /// [`BadArchive`].
    pub async fn manifest(&self) -> Result<Option<Manifest>, BadArchive> {
        let key = manifest_key(&self.prefix);
        let Some((body, ..)) = self.get(&key).await? else {
            return Ok(None);
        };
        let read = serde_json::from_slice(&body).ok();
        let read = read.filter(|manifest: &Manifest| manifest.format == 1);
        read.map(Some)
            .ok_or_else(|| bad(&key, "it is no manifest of a known format"))
    }

    /// Reads the whole archive and checks every object: its checksum, its number of items, and
    /// every line. `progress` is told the items of each object.
    ///
    /// # Errors
    /// [`BadArchive`] for the first thing that is wrong.
    pub async fn read(self, progress: impl Fn(u64) + Sync) -> Result<Contents, BadArchive> {
        let manifest = self.manifest().await?.ok_or(BadArchive::NoManifest)?;
        let data = data_folder(&self.prefix);
        let deadline = Instant::now() + PATIENCE;
        let mut all = self.store.keys(&self.bucket, &data, deadline).await?;
        let campaign_key = campaign_key(&self.prefix);
        all.retain(|key| *key != campaign_key);
        let campaign = self.campaign(&campaign_key, &manifest).await?;
        let mut bytes = 0;
        let reading = stream::iter(all).map(|key| self.page(key, &manifest));
        let mut reading = reading.buffer_unordered(AT_ONCE);
        let mut pages = Vec::new();
        while let Some((page, size)) = reading.try_next().await? {
            progress(page.items);
            bytes += size;
            pages.push(page);
        }
        drop(reading);
        pages.sort_by(|one, other| one.first.cmp(&other.first));
        let superseded = self.superseded(&pages, &manifest).await?;
        let twice: u64 = superseded.values().map(|keys| keys.len() as u64).sum();
        let items = pages.iter().map(|page| page.items).sum::<u64>() - twice;
        Ok(Contents {
            manifest,
            campaign,
            items,
            bytes,
            folder: self,
            pages,
            superseded,
        })
    }

    async fn get(
        &self,
        key: &str,
    ) -> Result<Option<(Vec<u8>, Option<usize>, Option<u64>)>, BadArchive> {
        let read = self.store.get(&self.bucket, key, Instant::now() + PATIENCE);
        let read = read.await?;
        Ok(read.map(|read| (read.body, read.items, read.record_version)))
    }

    /// Reads the items of an object, with the version of the record under which they were
    /// read, and their size.
    async fn items(
        &self,
        key: &str,
        manifest: &Manifest,
    ) -> Result<(Vec<Item>, u64, u64), BadArchive> {
        let found = self.items_if_there(key, manifest).await?;
        found.ok_or_else(|| bad(key, "it is missing"))
    }

    /// The same; `None` if there is no such object.
    async fn items_if_there(
        &self,
        key: &str,
        manifest: &Manifest,
    ) -> Result<Option<(Vec<Item>, u64, u64)>, BadArchive> {
        let Some((body, said, version)) = self.get(key).await? else {
            return Ok(None);
        };
        let size = body.len() as u64;
        let items: Result<Vec<Item>, _> = read_lines(&body[..]).collect();
        let items = items.map_err(|error| bad(key, &error.to_string()))?;
        if said != Some(items.len()) {
            return Err(bad(key, "it has another number of items than it says"));
        }
        let version = version.ok_or_else(|| bad(key, "it names no version of the record"))?;
        let partition = format!("{}{}", keys::CAMPAIGN_PREFIX, manifest.campaign_id);
        let is_of_the_campaign = |item: &Item| text(item, keys::PK) == Some(&partition);
        if !items.iter().all(is_of_the_campaign) {
            return Err(bad(key, "it has items of another campaign"));
        }
        Ok(Some((items, version, size)))
    }

    async fn campaign(&self, key: &str, manifest: &Manifest) -> Result<Option<Item>, BadArchive> {
        let Some((mut items, ..)) = self.items_if_there(key, manifest).await? else {
            return Ok(None);
        };
        match (items.pop(), items.is_empty()) {
            (Some(item), true) if text(&item, keys::SK) == Some(CAMPAIGN_SORT_KEY) => {
                Ok(Some(item))
            }
            _ => Err(bad(key, "it is not one campaign item")),
        }
    }

    async fn page(&self, key: String, manifest: &Manifest) -> Result<(Page, u64), BadArchive> {
        let (items, version, size) = self.items(&key, manifest).await?;
        let sort_keys = sort_keys(&key, &items)?;
        let (Some(first), Some(last)) = (sort_keys.first(), sort_keys.last()) else {
            return Err(bad(&key, "it is empty"));
        };
        let number = key
            .strip_suffix(".json.gz")
            .and_then(|name| name.rsplit_once('-'))
            .and_then(|(_, number)| number.parse().ok());
        let number = number.ok_or_else(|| bad(&key, "its name has no number"))?;
        let page = Page {
            first: (*first).to_owned(),
            last: (*last).to_owned(),
            items: items.len() as u64,
            read_at: (version, number),
            key,
        };
        Ok((page, size))
    }

    /// Reads the sort keys of a page.
    async fn sort_keys_of(
        &self,
        at: usize,
        pages: &[Page],
        manifest: &Manifest,
    ) -> Result<(usize, BTreeSet<String>), BadArchive> {
        let Some(page) = pages.get(at) else {
            return Ok((at, BTreeSet::new()));
        };
        let (items, ..) = self.items(&page.key, manifest).await?;
        let keys = sort_keys(&page.key, &items)?.into_iter();
        Ok((at, keys.map(ToOwned::to_owned).collect()))
    }

    /// Finds the items that a later page has, too. `pages` are in the order of their first
    /// keys.
    async fn superseded(
        &self,
        pages: &[Page],
        manifest: &Manifest,
    ) -> Result<BTreeMap<usize, BTreeSet<String>>, BadArchive> {
        let mut overlapping = BTreeMap::<usize, Vec<usize>>::new();
        let mut open = Vec::<usize>::new();
        for (at, page) in pages.iter().enumerate() {
            open.retain(|other| {
                pages
                    .get(*other)
                    .is_some_and(|other| other.last >= page.first)
            });
            for other in &open {
                let is_later = pages.get(*other).is_some_and(|o| o.read_at > page.read_at);
                let (earlier, later) = if is_later { (at, *other) } else { (*other, at) };
                overlapping.entry(earlier).or_default().push(later);
            }
            open.push(at);
        }
        let later: BTreeSet<usize> = overlapping.values().flatten().copied().collect();
        let later = stream::iter(later).map(|at| self.sort_keys_of(at, pages, manifest));
        let later = later.buffer_unordered(AT_ONCE).try_collect();
        let later: BTreeMap<usize, BTreeSet<String>> = later.await?;
        // A page with a few keys from all over overlaps every other one and has none of theirs.
        let shared = overlapping.into_iter().filter_map(|(at, others)| {
            let page = pages.get(at)?;
            let bounds = page.first.clone()..=page.last.clone();
            let keys = others.iter().filter_map(|other| later.get(other));
            let keys: BTreeSet<&String> =
                keys.flat_map(|keys| keys.range(bounds.clone())).collect();
            (!keys.is_empty()).then_some((at, keys))
        });
        let shared = stream::iter(shared).map(async |(at, keys)| {
            let (_, own) = self.sort_keys_of(at, pages, manifest).await?;
            let twice = own.into_iter().filter(|key| keys.contains(key));
            Ok::<_, BadArchive>((at, twice.collect::<BTreeSet<String>>()))
        });
        let superseded = shared.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(superseded)
    }
}

impl Contents {
    /// Checks that there are as many items as the deletion has counted.
    ///
    /// There may be more: an item that was archived, and that another program deleted first.
    /// An item that another program put again during the deletion was counted twice and is
    /// here once: then this fails although nothing is missing.
    ///
    /// # Errors
    /// [`BadArchive::Incomplete`].
    pub fn check_complete(&self) -> Result<(), BadArchive> {
        self.check_has(self.manifest.items)
    }

    /// Checks the same for this number of items: what the deletion's record has counted, where
    /// there is one. A worker that has lost its lease may put its manifest late, in place of the
    /// one with the final counts.
    ///
    /// # Errors
    /// [`BadArchive::Incomplete`].
    pub fn check_has(&self, counted: u64) -> Result<(), BadArchive> {
        let found = self.items;
        if found < counted {
            return Err(BadArchive::Incomplete { found, counted });
        }
        Ok(())
    }

    /// Returns how many pages there are.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Returns how many objects have items.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.pages.len() + usize::from(self.campaign.is_some())
    }

    /// Returns the numbers of all pages in an order that takes them from all over the sort
    /// key in turn: one ascending stream stays on one partition of the table.
    #[must_use]
    pub fn spread(&self) -> Vec<usize> {
        let parts = SPREAD.min(self.pages.len()).max(1);
        let length = self.pages.len().div_ceil(parts);
        let order = (0..length).flat_map(|step| (0..parts).map(move |part| part * length + step));
        order.filter(|at| *at < self.pages.len()).collect()
    }

    /// Reads the items of a page that no later page has.
    ///
    /// # Errors
    /// [`BadArchive`].
    pub async fn page(&self, number: usize) -> Result<Vec<Item>, BadArchive> {
        let Some(page) = self.pages.get(number) else {
            return Ok(Vec::new());
        };
        let (mut items, ..) = self.folder.items(&page.key, &self.manifest).await?;
        if let Some(superseded) = self.superseded.get(&number) {
            items.retain(|item| text(item, keys::SK).is_none_or(|key| !superseded.contains(key)));
        }
        Ok(items)
    }
}

/// How many places of the sort key are written to in turn.
const SPREAD: usize = 16;

fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    let value = item.get(name)?.as_s().ok()?;
    Some(value)
}

/// Returns the sort keys of a page, which has to have them in order.
fn sort_keys<'a>(key: &str, items: &'a [Item]) -> Result<Vec<&'a str>, BadArchive> {
    let keys: Option<Vec<&str>> = items.iter().map(|item| text(item, keys::SK)).collect();
    let keys = keys.ok_or_else(|| bad(key, "an item has no sort key"))?;
    if keys.is_sorted_by(|one, other| one < other) {
        Ok(keys)
    } else {
        Err(bad(key, "its items are not in the order of their keys"))
    }
}

fn bad(key: &str, why: &str) -> BadArchive {
    BadArchive::Object {
        key: key.to_owned(),
        why: why.to_owned(),
    }
}

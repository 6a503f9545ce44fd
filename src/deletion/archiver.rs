//! Archives what a worker reads: a page is read whole, and put into an object, before it can
//! be counted, and so before any of it is deleted.
//!
//! The name of a page's object has the worker's lease in it, so no two workers write the same
//! one, and a late upload of a worker that is gone adds an object and changes none.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::error::WorkError;
use crate::{
    archive::{ArchiveError, ArchiveStore, Object, Unwritable, campaign_key, data_folder},
    campaign::CampaignId,
    metrics,
    record::{Archive, Archived, Record},
    sdk::Cause,
    table::{Page, Table, TableError, item::Item},
};

/// How many pages are read, compressed and uploaded at a time, by all lanes together. A page
/// has 1 MB at most, and a few times that while its items are in memory.
const PAGES_AT_A_TIME: usize = 4;

/// How much was put into the archive, by this worker and those before it. The archiver knows
/// it, and the lease writes it with every write of the record.
#[derive(Clone, Debug)]
pub(super) struct ArchivedSoFar(Arc<Mutex<Archived>>);

impl ArchivedSoFar {
    /// Returns what a record shows.
    pub(super) fn of(record: &Record) -> Self {
        let archived = record.archive.as_ref().map(|archive| archive.archived);
        Self(Arc::new(Mutex::new(archived.unwrap_or_default())))
    }

    /// Returns how much it is.
    pub(super) fn get(&self) -> Archived {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, bytes: usize) {
        let mut archived = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        archived.objects += 1;
        archived.bytes += bytes as u64;
    }
}

/// The items of a page that is to be put.
pub(super) struct Whole {
    items: Vec<Item>,
    number: u64,
    /// Kept until it is put.
    _slot: Option<OwnedSemaphorePermit>,
}

/// Puts what one worker reads into the archive of its deletion.
#[derive(Clone, Debug)]
pub(super) struct Archiver {
    store: ArchiveStore,
    bucket: String,
    /// The folder of the deletion.
    folder: String,
    /// The worker's lease.
    owner: String,
    /// The version of the record when the lease began.
    record_version: u64,
    /// The number of the last page.
    pages: Arc<AtomicU64>,
    archived: ArchivedSoFar,
    slots: Arc<Semaphore>,
}

impl Archiver {
    /// Returns the archiver of a worker that holds this record; `None` if the deletion does
    /// not archive.
    pub(super) fn of(
        store: &ArchiveStore,
        record: &Record,
        archived: ArchivedSoFar,
    ) -> Option<Self> {
        let archive = record.archive.as_ref()?;
        Some(Self {
            store: store.clone(),
            bucket: archive.bucket.clone(),
            folder: archive.folder(&record.account_id, &record.deletion_id),
            owner: record.owner.clone().unwrap_or_default(),
            record_version: record.version,
            pages: Arc::default(),
            archived,
            slots: Arc::new(Semaphore::new(PAGES_AT_A_TIME)),
        })
    }

    /// Reads one page as [`Table::page`] does, with its items.
    pub(super) async fn read(
        &self,
        table: &Table,
        campaign: &CampaignId,
        after: Option<&str>,
        through: Option<&str>,
        deadline: Instant,
    ) -> Result<(Page, Whole), WorkError> {
        // Err: never, since it is not closed.
        let slot = self.slots.clone().acquire_owned().await.ok();
        if Instant::now() >= deadline {
            return Err(TableError::NoAnswer(Cause::deadline("Query")).into());
        }
        // Before the page is read: where an item is in two objects of one lease, the one
        // with the higher number was read later.
        let number = self.pages.fetch_add(1, Ordering::Relaxed);
        let read = table.page_of_items(campaign, after, through, deadline);
        let (page, items) = read.await?;
        let whole = Whole {
            items,
            number,
            _slot: slot,
        };
        Ok((page, whole))
    }

    /// Puts the items of a page, if there are any.
    pub(super) async fn put_page(&self, page: Whole, deadline: Instant) -> Result<(), WorkError> {
        let Whole {
            items,
            number,
            _slot,
        } = page;
        if items.is_empty() {
            return Ok(());
        }
        let folder = data_folder(&self.folder);
        let key = format!("{folder}{}-{number}.json.gz", self.owner);
        let version = self.record_version;
        // In a thread of its own: compressing takes as long as several answers of the table.
        let object = tokio::task::spawn_blocking(move || Object::of_items(key, &items, version));
        let object = object.await.unwrap_or(Err(Unwritable));
        let object = object.map_err(ArchiveError::from)?;
        Ok(self.put(object, deadline).await?)
    }

    /// Puts the manifest: everything is archived and deleted.
    pub(super) async fn finish(
        &self,
        table: &str,
        record: &Record,
        deadline: Instant,
    ) -> Result<(), ArchiveError> {
        let manifest = Object::manifest(&self.folder, table, record, self.archived.get());
        self.put(manifest, deadline).await
    }

    async fn put(&self, object: Object, deadline: Instant) -> Result<(), ArchiveError> {
        let bytes = object.body.len();
        self.store.put(&self.bucket, &object, deadline).await?;
        self.archived.add(bytes);
        Ok(())
    }
}

/// Archives a campaign item as it is before its claim, which changes it. Returns what was
/// archived: nothing if the item is gone, as the claim will find. A campaign whose record was
/// lost is claimed again under its id: then the object that is there is the original.
pub(super) async fn before_the_claim(
    store: &ArchiveStore,
    table: &Table,
    record: &Record,
    archive: &Archive,
    deadline: Instant,
) -> Result<Archived, WorkError> {
    let item = table.campaign_item(&record.campaign_id, deadline).await?;
    let Some(item) = item else {
        return Ok(Archived::default());
    };
    let folder = archive.folder(&record.account_id, &record.deletion_id);
    let object = Object::of_items(campaign_key(&folder), &[item], record.version);
    let object = object.map_err(ArchiveError::from)?;
    let bytes = object.body.len() as u64;
    let put = store.put_new(&archive.bucket, &object, deadline).await;
    put.inspect_err(|_| metrics::archive_failed())?;
    Ok(Archived { objects: 1, bytes })
}

//! Reads a range of a partition ahead of the deletes, in the background: as many pages as it
//! is asked for, and no more.

use std::sync::Arc;

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use super::{archiver::Archiver, error::WorkError};
use crate::{
    campaign::CampaignId,
    record::Range,
    table::{Page, Table, TableError},
};

/// The pages of a range, in order. Dropping it stops the reading.
pub(super) struct ReadAhead {
    pages: mpsc::UnboundedReceiver<Result<Page, WorkError>>,
    /// One for each page that may be read.
    permits: Arc<Semaphore>,
    /// How many pages were asked for and not taken.
    asked: usize,
    /// The last key that belongs to the range; `None` for the end of the partition.
    through: watch::Sender<Option<String>>,
    at_the_end: bool,
    _task: JoinSet<()>,
}

impl ReadAhead {
    /// Starts to read a range where its marks say. With an archiver, a page is archived before
    /// it can be taken.
    pub(super) fn start(
        table: &Table,
        campaign: &CampaignId,
        range: &Range,
        archiver: Option<Archiver>,
        deadline: Instant,
    ) -> Self {
        let (sender, pages) = mpsc::unbounded_channel();
        let (table, campaign) = (table.clone(), campaign.clone());
        let mut after = range.start().map(ToOwned::to_owned);
        let (through, bound) = watch::channel(range.through.clone());
        let permits = Arc::new(Semaphore::new(0));
        let permitted = permits.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            // Err: never, since nobody closes it.
            while let Ok(permit) = permitted.acquire().await {
                permit.forget();
                let through = bound.borrow().clone();
                let (from, to) = (after.as_deref(), through.as_deref());
                let page = if to.is_some() && from >= to {
                    Ok(Page::default())
                } else if let Some(archiver) = &archiver {
                    archiver.page(&table, &campaign, from, to, deadline).await
                } else {
                    let page = table.page(&campaign, from, to, deadline).await;
                    page.map_err(WorkError::from)
                };
                after = page.as_ref().ok().and_then(|page| page.next.clone());
                if sender.send(page).is_err() || after.is_none() {
                    return;
                }
            }
        });
        Self {
            pages,
            permits,
            asked: 0,
            through,
            at_the_end: false,
            _task: task,
        }
    }

    /// Asks for one more page.
    pub(super) fn ask(&mut self) {
        self.asked += 1;
        self.permits.add_permits(1);
    }

    /// Returns how many pages were asked for and not taken.
    pub(super) fn asked(&self) -> usize {
        self.asked
    }

    /// Reads no further than to this key. What was read beyond it is dropped.
    pub(super) fn end_at(&self, through: String) {
        self.through.send_replace(Some(through));
    }

    /// Returns whether everything was read and taken.
    pub(super) fn is_at_the_end(&self) -> bool {
        self.at_the_end
    }

    /// Returns the next page that has children in it, which is asked for if none was; `None` at the
    /// end of the range. Only a page without a next one is the end: a read that broke off must not pass for
    /// an empty partition. (Nothing is lost if it is not awaited to its end.)
    pub(super) async fn next(&mut self) -> Result<Option<Page>, WorkError> {
        while !self.at_the_end {
            if self.asked == 0 {
                self.ask();
            }
            let mut page = self
                .pages
                .recv()
                .await
                .ok_or(TableError::ReadingBrokeOff)??;
            if let Some(through) = &*self.through.borrow() {
                page.sort_keys.retain(|key| key <= through);
                page.next = page.next.filter(|next| next < through);
            }
            self.at_the_end = page.next.is_none();
            self.asked -= 1;
            if !page.sort_keys.is_empty() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
impl ReadAhead {
    /// Returns a reader that has read these pages.
    pub(super) fn of(pages: Vec<Page>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let asked = pages.len();
        for page in pages {
            sender.send(Ok(page)).unwrap();
        }
        Self {
            pages: receiver,
            permits: Arc::new(Semaphore::new(0)),
            asked,
            through: watch::channel(None).0,
            at_the_end: false,
            _task: JoinSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(sort_keys: &[&str], next: Option<&str>) -> Page {
        Page {
            sort_keys: sort_keys.iter().map(|key| (*key).to_owned()).collect(),
            next: next.map(ToOwned::to_owned),
        }
    }

    #[tokio::test]
    async fn pages_without_children_are_skipped() {
        let mut reader = ReadAhead::of(vec![
            page(&[], Some("CAMPAIGN")),
            page(&["CHAT#1"], Some("CHAT#1")),
            page(&[], None),
        ]);
        assert_eq!(reader.next().await.unwrap().unwrap().sort_keys, ["CHAT#1"]);
        assert!(reader.next().await.unwrap().is_none());
        assert!(reader.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_interrupted_read_is_not_the_end_of_the_partition() {
        for pages in [vec![], vec![page(&[], Some("CAMPAIGN"))]] {
            let error = ReadAhead::of(pages).next().await.unwrap_err();
            let is_broken_off = WorkError::Table(TableError::ReadingBrokeOff);
            assert_eq!(error.to_string(), is_broken_off.to_string());
        }
    }

    #[tokio::test]
    async fn what_was_read_beyond_the_range_is_dropped() {
        let pages = || {
            vec![
                page(&["A", "B"], Some("B")),
                page(&["C", "D"], Some("D")),
                page(&["E"], None),
            ]
        };
        for (through, taken) in [("C", 3), ("B", 2), ("CC", 3), ("D", 4), ("F", 5)] {
            let mut reader = ReadAhead::of(pages());
            let first = reader.next().await.unwrap().unwrap();
            reader.end_at(through.to_owned());
            let mut keys = first.sort_keys;
            while let Some(page) = reader.next().await.unwrap() {
                keys.extend(page.sort_keys);
            }
            assert_eq!(keys.len(), taken, "{through}");
            assert!(reader.is_at_the_end());
        }
    }
}

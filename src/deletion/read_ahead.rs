//! Reads a range of a partition ahead of the deletes, in the background: as many pages as it is
//! asked for, and no more. Where the deletion archives, a page is put into the archive first.

use std::sync::Arc;

use futures_util::{
    FutureExt,
    future::{BoxFuture, OptionFuture, ready},
    stream::{FuturesOrdered, StreamExt},
};
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

/// How many pages may be on their way between the table and whoever takes them, where they are
/// archived: reading and archiving one after the other takes longer than deleting a page may.
const AT_ONCE: usize = 2;

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

/// A page that was read, once it is archived.
type Archived = BoxFuture<'static, Result<Page, WorkError>>;

/// Where the pages come from.
#[derive(Clone)]
struct Source {
    table: Table,
    campaign: CampaignId,
    archiver: Option<Archiver>,
    through: watch::Receiver<Option<String>>,
    deadline: Instant,
}

impl Source {
    /// Reads the page that begins after a key. Returns it as it will be archived, and where the
    /// next one begins, if there is one.
    async fn read(self, after: Option<String>) -> (Archived, Option<String>) {
        let through = self.through.borrow().clone();
        let (from, to) = (after.as_deref(), through.as_deref());
        if to.is_some() && from >= to {
            return (ready(Ok(Page::default())).boxed(), None);
        }
        let (table, campaign, deadline) = (&self.table, &self.campaign, self.deadline);
        let Some(archiver) = self.archiver.clone() else {
            let page = table.page(campaign, from, to, deadline).await;
            let next = page.as_ref().ok().and_then(|page| page.next.clone());
            return (ready(page.map_err(WorkError::from)).boxed(), next);
        };
        match archiver.read(table, campaign, from, to, deadline).await {
            Ok((page, items)) => {
                let next = page.next.clone();
                let put = async move { archiver.put_page(items, deadline).await.map(|()| page) };
                (put.boxed(), next)
            }
            Err(error) => (ready(Err(error)).boxed(), None),
        }
    }

    /// Reads a page for each permit, and hands the pages on in order, each once it is archived,
    /// until the last one or nobody takes them.
    async fn hand_on(
        self,
        after: Option<String>,
        permits: Arc<Semaphore>,
        pages: mpsc::UnboundedSender<Result<Page, WorkError>>,
    ) {
        let most = if self.archiver.is_some() { AT_ONCE } else { 1 };
        let mut next = Some(after);
        let mut reading = None;
        let mut archiving = FuturesOrdered::new();
        loop {
            let may_read = reading.is_none() && next.is_some() && archiving.len() < most;
            tokio::select! {
                // Err: never, since nobody closes it.
                Ok(permit) = permits.acquire(), if may_read => {
                    permit.forget();
                    reading = next.take().map(|after| self.clone().read(after).boxed());
                }
                Some((page, then)) = OptionFuture::from(reading.as_mut()) => {
                    reading = None;
                    next = then.map(Some);
                    archiving.push_back(page);
                }
                Some(page) = archiving.next() => {
                    if Result::is_err(&page) {
                        (next, reading) = (None, None);
                    }
                    if pages.send(page).is_err() {
                        return;
                    }
                }
                else => return,
            }
        }
    }
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
        let (through, bound) = watch::channel(range.through.clone());
        let permits = Arc::new(Semaphore::new(0));
        let source = Source {
            table: table.clone(),
            campaign: campaign.clone(),
            archiver,
            through: bound,
            deadline,
        };
        let after = range.start().map(ToOwned::to_owned);
        let mut task = JoinSet::new();
        task.spawn(source.hand_on(after, permits.clone(), sender));
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

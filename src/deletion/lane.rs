//! A lane: a range of the partition on its way through a pass. A page is read, then counted
//! in the record, then deleted; the range's marks follow.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{archiver::Archiver, error::WorkError, read_ahead::ReadAhead};
use crate::{
    campaign::CampaignId,
    record::Range,
    table::{PAGE_LIMIT, Page, Table},
};

/// A key that is counted.
struct Open {
    sort_key: String,
    is_acknowledged: bool,
}

/// A range in the hands of a worker.
pub(super) struct Lane {
    /// Distinguishes the lanes of a slice.
    id: usize,
    range: Range,
    pages: ReadAhead,
    /// The page that will be counted next.
    ahead: Option<Page>,
    /// Whether the write that is on its way counts it.
    is_counting: bool,
    /// What is counted and comes after the mark of what is deleted, in order.
    open: VecDeque<Open>,
    /// Of these, the keys whose deletes are to be sent.
    waiting: VecDeque<String>,
    /// How many keys the last page that was counted has.
    last_page: usize,
    /// How many keys the largest page has that was read.
    largest_page: usize,
    /// The last key that was read.
    read_through: Option<String>,
    /// About how many keys are left to read, if that is known.
    unread: Option<f64>,
    /// Batches that it may send ahead of the others, or owes them.
    credit: f64,
}

/// The most keys that a range is taken to have: a page whose keys are much alike tells little.
const MOST_UNREAD: f64 = 1e7;

/// The most batches that a lane is owed by the others, or owes them, while pages wait to be counted.
const MOST_CREDIT: f64 = 4.0;

/// How many pages a lane reads while its last one waits to be counted.
const PAGES_AHEAD: usize = 3;
/// The same, if there are several lanes: each is so much slower.
const PAGES_AHEAD_OF_SEVERAL: usize = 1;

/// Asks for the next pages, of the lane that holds least first, but for no more keys than can be
/// deleted in the time that is left: the next worker reads, and pays for, the rest again.
#[expect(clippy::cast_precision_loss, reason = "there are a few pages at most")]
pub(super) fn read_on(lanes: &mut [Lane], can_delete: f64) {
    let most = match lanes {
        [_] => PAGES_AHEAD,
        _ => PAGES_AHEAD_OF_SEVERAL,
    };
    // Before there is one, a page may be of any size.
    let page = match lanes.iter().map(|lane| lane.largest_page).max() {
        None | Some(0) => PAGE_LIMIT.into(),
        Some(largest) => largest,
    };
    let mut held: usize = lanes.iter().map(|lane| lane.held(page)).sum();
    while held == 0 || (held + page / 2) as f64 <= can_delete {
        let reading = lanes.iter_mut().filter(|lane| lane.may_ask(most));
        let Some(lane) = reading.min_by_key(|lane| lane.held(page)) else {
            return;
        };
        lane.pages.ask();
        held += page;
    }
}

impl Lane {
    /// Returns a lane that continues where the marks of a range say.
    pub(super) fn start(
        id: usize,
        range: Range,
        table: &Table,
        campaign: &CampaignId,
        archiver: Option<Archiver>,
        deadline: Instant,
    ) -> Self {
        let pages = ReadAhead::start(table, campaign, &range, archiver, deadline);
        Self::of(id, pages, range)
    }

    /// Returns a lane of these pages.
    pub(super) fn of(id: usize, pages: ReadAhead, range: Range) -> Self {
        Self {
            id,
            pages,
            range,
            ahead: None,
            is_counting: false,
            open: VecDeque::new(),
            waiting: VecDeque::new(),
            last_page: 0,
            largest_page: 0,
            read_through: None,
            unread: None,
            credit: 0.0,
        }
    }

    pub(super) fn id(&self) -> usize {
        self.id
    }
    pub(super) fn range(&self) -> &Range {
        &self.range
    }

    // --- reading

    /// Returns how many keys are read, or are about to be, and not deleted, if each page that
    /// was asked for has `page` keys.
    fn held(&self, page: usize) -> usize {
        let ahead = self.ahead.as_ref().map_or(0, |page| page.sort_keys.len());
        self.open.len() + ahead + self.pages.asked() * page
    }

    fn may_ask(&self, most: usize) -> bool {
        !self.pages.is_at_the_end() && self.pages.asked() < most
    }

    /// Returns whether a page was asked for and there is room for it.
    pub(super) fn wants_a_page(&self) -> bool {
        self.ahead.is_none() && !self.pages.is_at_the_end() && self.pages.asked() > 0
    }

    /// Reads the next page; returns the lane's id, and whether there was one.
    pub(super) async fn read(&mut self) -> (usize, Result<bool, WorkError>) {
        let page = self.pages.next().await;
        let has_page = page.map(|page| {
            if let Some(page) = &page {
                self.largest_page = self.largest_page.max(page.sort_keys.len());
                self.read_through = page.sort_keys.last().cloned();
            }
            self.ahead = page;
            self.ahead.is_some()
        });
        (self.id, has_page)
    }

    /// Returns whether anything was read.
    pub(super) fn has_read(&self) -> bool {
        self.read_through.is_some()
    }

    /// Returns whether the last page is read.
    pub(super) fn is_read(&self) -> bool {
        self.pages.is_at_the_end()
    }

    /// Returns whether everything that was found in the range is deleted.
    pub(super) fn is_done(&self) -> bool {
        self.is_read() && self.ahead.is_none() && self.open.is_empty()
    }

    // --- counting

    /// Returns the page that may be counted now: there is one, and of what is counted, only
    /// the last page is not deleted yet.
    pub(super) fn page_to_count(&self) -> Option<&[String]> {
        let is_its_turn = self.open.len() <= self.last_page && !self.is_counting;
        let page = self.ahead.as_ref().filter(|_| is_its_turn)?;
        Some(&page.sort_keys)
    }

    /// Notes that the write that is on its way counts the page.
    pub(super) fn count(&mut self) {
        self.is_counting = true;
    }

    /// Returns whether the write that is on its way counts the page.
    pub(super) fn is_counting(&self) -> bool {
        self.is_counting
    }

    /// Notes that the write that counted the page was applied.
    pub(super) fn counted(&mut self) {
        if std::mem::take(&mut self.is_counting) {
            self.open();
        }
    }

    /// Lets the page that is counted be deleted.
    pub(super) fn open(&mut self) {
        let Some(page) = self.ahead.take() else {
            return;
        };
        self.range.counted_through = page
            .sort_keys
            .last()
            .cloned()
            .max(self.range.counted_through.take());
        self.last_page = page.sort_keys.len();
        self.open.extend(page.sort_keys.iter().map(|sort_key| Open {
            sort_key: sort_key.clone(),
            is_acknowledged: false,
        }));
        self.waiting.extend(page.sort_keys);
    }

    // --- deleting

    /// Returns whether there are deletes to send.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns up to N keys whose deletes are to be sent now.
    pub(super) fn take(&mut self, most: usize) -> Vec<String> {
        let most = most.min(self.waiting.len());
        self.waiting.drain(..most).collect()
    }

    /// Returns about how many keys are left to delete, if that is known.
    #[expect(clippy::cast_precision_loss, reason = "there are a few pages at most")]
    pub(super) fn left(&self) -> Option<f64> {
        let ahead = self.ahead.as_ref().map_or(0, |page| page.sort_keys.len());
        let held = (ahead + self.open.len()) as f64;
        self.unread.map(|unread| unread + held)
    }

    /// Returns the batches that it may send ahead of the others.
    pub(super) fn credit(&self) -> f64 {
        self.credit
    }

    /// Adds to the batches that it may send, or takes off one that it has sent.
    pub(super) fn add_credit(&mut self, batches: f64) {
        self.credit = (self.credit + batches).clamp(-MOST_CREDIT, MOST_CREDIT);
    }

    /// Notes the answer to a batch: which of its deletes are acknowledged. The others come
    /// next.
    pub(super) fn answered(&mut self, sent: &[String], unprocessed: Vec<String>) {
        for sort_key in sent.iter().filter(|key| !unprocessed.contains(key)) {
            let at = self
                .open
                .binary_search_by(|open| open.sort_key.as_str().cmp(sort_key));
            if let Some(open) = at.ok().and_then(|at| self.open.get_mut(at)) {
                open.is_acknowledged = true;
            }
        }
        while let Some(first) = self.open.pop_front_if(|open| open.is_acknowledged) {
            self.range.deleted_through = Some(first.sort_key);
        }
        for sort_key in unprocessed.into_iter().rev() {
            self.waiting.push_front(sort_key);
        }
    }

    /// Returns how many deletes of counted keys are not acknowledged.
    pub(super) fn unacknowledged(&self) -> usize {
        let open = self.open.iter();
        open.filter(|open| !open.is_acknowledged).count()
    }

    // --- splitting and joining

    /// Returns the last key that is read or counted: what may be cut off begins after it.
    pub(super) fn reached(&self) -> Option<&str> {
        let counted = self.range.counted_through.as_deref();
        self.read_through
            .as_deref()
            .max(counted)
            .max(self.range.start())
    }

    /// Returns the page that waits to be counted.
    pub(super) fn page(&self) -> Option<&[String]> {
        self.ahead.as_ref().map(|page| page.sort_keys.as_slice())
    }

    /// Notes about how many keys are left to read, if that is known.
    pub(super) fn set_unread(&mut self, keys: Option<f64>) {
        self.unread = keys.map(|keys| keys.min(MOST_UNREAD));
    }

    /// Cuts the range at a key within it, and returns the part after it; `None` if something at
    /// or after the key is counted or read: its marks would be in another range.
    pub(super) fn split_off(&mut self, at: String) -> Option<Range> {
        let is_within = self.range.through.as_ref().is_none_or(|end| at < *end);
        if !is_within || self.reached() >= Some(&at) {
            return None;
        }
        self.pages.end_at(at.clone());
        Some(self.range.split_off(at))
    }

    /// Takes in the range before this one, which is done.
    pub(super) fn take_in(&mut self, done: &Self) {
        self.range.take_in(&done.range);
    }
}

#[cfg(test)]
mod tests;

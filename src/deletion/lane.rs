//! A lane: a range of the partition on its way through a pass. A page is read, then counted
//! in the record, then deleted; the range's marks follow.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{archiver::Archiver, error::WorkError, read_ahead::ReadAhead};
use crate::{
    campaign::CampaignId,
    record::Range,
    table::{Page, Table},
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
    /// How many keys are left to read, as far as that can be told.
    unread: f64,
    /// Batches that it may send ahead of the others, or owes them.
    credit: f64,
}

/// The most keys that a range is taken to have: a page whose keys are too much alike tells nothing.
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
    let page = lanes.iter().map(|lane| lane.largest_page).max();
    let page = page.unwrap_or(0);
    let mut held: usize = lanes.iter().map(|lane| lane.held(page)).sum();
    while held == 0 || (held + page / 2) as f64 <= can_delete {
        let reading = lanes.iter_mut().filter(|lane| lane.may_ask(most));
        let Some(lane) = reading.min_by_key(|lane| lane.held(page)) else {
            return;
        };
        lane.pages.ask();
        held += page.max(1);
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
            unread: 0.0,
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

    /// Returns how much of all work is here: about how many keys are left.
    #[expect(clippy::cast_precision_loss, reason = "there are a few pages at most")]
    pub(super) fn weight(&self) -> f64 {
        let ahead = self.ahead.as_ref().map_or(0, |page| page.sort_keys.len());
        self.unread + (ahead + self.open.len()) as f64
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

    /// Notes about how many keys are left to read.
    pub(super) fn set_unread(&mut self, keys: f64) {
        self.unread = keys.min(MOST_UNREAD);
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
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lane_is_cut_after_what_was_read_and_before_its_end() {
        let page = Page {
            sort_keys: ["C", "F"].map(ToOwned::to_owned).into(),
            next: Some("F".to_owned()),
        };
        // As after a takeover: more is counted than was read.
        for (counted, last) in [(None, "F"), (Some("H"), "H")] {
            let range = Range {
                counted_through: counted.map(ToOwned::to_owned),
                through: Some("X".to_owned()),
                ..Range::default()
            };
            let mut lane = Lane::of(1, ReadAhead::of(vec![page.clone()]), range.clone());
            assert!(lane.read().await.1.unwrap());
            // The end, and what is in the range after it.
            for at in ["A", "C", last, "X", "Z"] {
                assert_eq!(lane.split_off(at.to_owned()), None, "{at}");
                assert_eq!(lane.range(), &range);
            }
            let second = lane.split_off(format!("{last}~")).unwrap();
            assert_eq!(second.start(), Some(format!("{last}~").as_str()));
            assert_eq!(lane.range().through, second.after);
        }
    }

    #[tokio::test]
    async fn lanes_read_no_more_than_can_be_deleted() {
        let keys = |n: usize| (0..n).map(|key| format!("{key:03}")).collect();
        let lane = |id, n| {
            let page = Page {
                sort_keys: keys(n),
                next: Some("999".to_owned()),
            };
            Lane::of(id, ReadAhead::of(vec![page]), Range::default())
        };
        for (can_delete, asked) in [
            (f64::INFINITY, [1, 1, 1]),
            (0.0, [0, 0, 0]),
            // 190 are held; a page of 100 more is as near to 240 as none.
            (240.0, [0, 1, 0]),
            (339.0, [0, 1, 0]),
            (340.0, [0, 1, 1]),
            (440.0, [1, 1, 1]),
        ] {
            let mut lanes = [lane(1, 100), lane(2, 30), lane(3, 60)];
            for lane in &mut lanes {
                assert!(lane.read().await.1.unwrap());
            }
            read_on(&mut lanes, can_delete);
            assert_eq!(lanes.map(|lane| lane.pages.asked()), asked, "{can_delete}");
        }
        // Whoever holds nothing has to read, to find out that nothing is left.
        let mut lanes = [Lane::of(1, ReadAhead::of(Vec::new()), Range::default())];
        read_on(&mut lanes, 0.0);
        assert_eq!(lanes[0].pages.asked(), 1);
        read_on(&mut lanes, f64::INFINITY);
        assert_eq!(lanes[0].pages.asked(), PAGES_AHEAD);
        // So has whoever has deleted all that it held.
        let mut lanes = [lane(1, 100)];
        assert!(lanes[0].read().await.1.unwrap());
        lanes[0].open();
        let all = lanes[0].take(100);
        lanes[0].answered(&all, Vec::new());
        read_on(&mut lanes, 0.0);
        assert_eq!(lanes[0].pages.asked(), 1);
    }

    #[tokio::test]
    async fn the_mark_follows_what_is_acknowledged_without_a_gap() {
        let page = Page {
            sort_keys: ["A", "B", "C", "D"].map(ToOwned::to_owned).into(),
            next: None,
        };
        let mut lane = Lane::of(1, ReadAhead::of(vec![page]), Range::default());
        assert!(lane.read().await.1.unwrap());
        lane.open();
        let (first, second) = (lane.take(2), lane.take(2));
        lane.answered(&second, Vec::new());
        assert_eq!(
            (
                lane.range().deleted_through.as_deref(),
                lane.unacknowledged()
            ),
            (None, 2)
        );
        lane.answered(&first, vec!["B".to_owned()]);
        assert_eq!(lane.range().deleted_through.as_deref(), Some("A"));
        assert_eq!(lane.take(9), ["B"]);
        lane.answered(&["B".to_owned()], Vec::new());
        assert_eq!(lane.range().deleted_through.as_deref(), Some("D"));
        assert!(lane.is_done());
    }
}

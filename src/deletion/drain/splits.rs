//! When a pass is split, and where. There has to be a reason: several pages, and a table
//! that takes no more. First borders are the kinds of items; then, again and again, the range
//! that has most left is cut in half, until there are as many as a record may have.

use std::collections::BTreeMap;

use futures_util::future::{BoxFuture, OptionFuture};
use tokio::time::{Duration, Instant};

use super::border::{self, Cut};
use crate::{
    campaign::CampaignId,
    counts,
    deletion::lane::Lane,
    table::{Table, TableError},
};

/// The most ranges of a record.
const MOST_RANGES: usize = 16;
/// How many bytes of a record the ranges may take when a pass is cut, each with four keys as
/// long as the longest. Keys that are longer and come later may take more: that costs write
/// units, and nothing else.
const MOST_BYTES: usize = 4_096;
const KEYS_OF_A_RANGE: usize = 4;
/// What a range takes beside its keys: names and types.
const BYTES_OF_A_RANGE: usize = 64;
/// How many pages a pass has to have before it is split.
const PAGES_BEFORE: u64 = 2;
/// How many pages have to be left in a range that is cut.
const PAGES_LEFT: f64 = 3.0;
/// How often a pass may be cut, beside once for every four pages: a cut at which nothing
/// is found costs a read unit.
const CUTS: u64 = 32;
/// How long finding out the last key may take.
const LOOK: Duration = Duration::from_secs(5);
/// How many pages are read before it is tried again, if that has failed.
const PAGES_AFTER_A_FAILURE: u64 = 4;

/// The last key of a lane, by the lane's id; `None` if there is no key in it.
pub(super) type Looked = (usize, Result<Option<String>, TableError>);

/// The splits of a pass.
#[derive(Default)]
pub(super) struct Splits<'a> {
    /// How often it was cut.
    cuts: u64,
    /// Whether it was split by kind.
    by_kind: bool,
    /// The longest key that was read, bytes.
    longest_key: usize,
    /// The last key of each lane that was looked at, by the lane's id.
    last_keys: BTreeMap<usize, Option<String>>,
    /// Where each lane would be cut, since its last page was read.
    next_cuts: BTreeMap<usize, Cut>,
    /// A look for the last key of a lane.
    looking: Option<BoxFuture<'a, Looked>>,
    /// How many pages have to be read before it looks.
    look_from: u64,
    /// The lane of which the last look failed, which comes after the others.
    failed: Option<usize>,
}

impl<'a> Splits<'a> {
    /// Returns which range to cut, and where, if one is to be cut now. Otherwise it may
    /// begin to look for a last key.
    pub(super) fn next(
        &mut self,
        lanes: &[Lane],
        pages: u64,
        table: &'a Table,
        campaign: &CampaignId,
    ) -> Option<(usize, String)> {
        if pages < PAGES_BEFORE {
            return None;
        }
        let has_room = lanes.len() < most_ranges(self.longest_key);
        let may_cut = has_room && self.cuts < CUTS + pages / 4;
        if may_cut && !self.by_kind {
            if let Some(cut) = next_kind(lanes) {
                return Some(cut);
            }
            self.by_kind = true;
        }
        let unread = || lanes.iter().enumerate().filter(|(_, lane)| !lane.is_read());
        // Also where nothing is cut any more: what is left in a lane decides its share. A
        // worker that takes over begins with many lanes, and knows the end of none.
        let is_known = |lane: &Lane| self.last_keys.contains_key(&lane.id());
        if pages >= self.look_from
            && let Some((_, lane)) = unread()
                .filter(|(_, lane)| !is_known(lane))
                .min_by_key(|(_, lane)| self.failed == Some(lane.id()))
        {
            self.look_for(lane, table, campaign);
            return None;
        }
        // The one that has most left can be told only once each has read something: a half
        // that was just cut off is often the largest.
        if !may_cut || unread().any(|(_, lane)| !lane.has_read()) {
            return None;
        }
        let cuts = unread().filter_map(|(at, lane)| {
            let cut = self.next_cuts.get(&lane.id())?;
            is_worth_it(cut, lane).then_some((at, cut))
        });
        // A cut whose size is unknown comes last.
        let left = |cut: &Cut| cut.left.unwrap_or(0.0);
        let most = cuts.max_by(|(_, a), (_, b)| left(a).total_cmp(&left(b)));
        most.map(|(at, cut)| (at, cut.at.clone()))
    }

    /// Notes that a lane was cut at a border, and which lane has its second part.
    pub(super) fn cut(&mut self, first: &mut Lane, second: &mut Lane, border: String) {
        self.cuts += 1;
        let half = first.left().map(|left| left / 2.0);
        first.set_unread(half);
        second.set_unread(half);
        // The last key of the first part is the border, as far as that matters.
        match self.last_keys.insert(first.id(), Some(border)) {
            Some(last) => _ = self.last_keys.insert(second.id(), last),
            None => _ = self.last_keys.remove(&first.id()),
        }
        self.measure(first);
    }

    /// Notes that a lane has read a page.
    pub(super) fn read(&mut self, lane: &mut Lane) {
        let longest = lane.page().into_iter().flatten().map(String::len).max();
        self.longest_key = self.longest_key.max(longest.unwrap_or(0));
        self.measure(lane);
    }

    /// Finds out how much is left in a lane, and where to cut it.
    fn measure(&mut self, lane: &mut Lane) {
        // The last one may be in what was read since.
        self.next_cuts.remove(&lane.id());
        if lane.is_read() {
            lane.set_unread(Some(0.0));
            return;
        }
        let Some(Some(last)) = self.last_keys.get(&lane.id()) else {
            return;
        };
        if let Some(cut) = cut(lane, last) {
            lane.set_unread(cut.left);
            self.next_cuts.insert(lane.id(), cut);
        }
    }

    /// Looks for the last key of a lane, unless it looks for another one.
    fn look_for(&mut self, lane: &Lane, table: &'a Table, campaign: &CampaignId) {
        if self.looking.is_some() {
            return;
        }
        let (id, through) = (lane.id(), lane.range().through.clone());
        let campaign = campaign.clone();
        let deadline = Instant::now() + LOOK;
        self.looking = Some(Box::pin(async move {
            let last = table
                .last_key(&campaign, through.as_deref(), deadline)
                .await;
            (id, last)
        }));
    }

    /// Awaits the last key of a lane; `None` if nobody looks for one.
    pub(super) async fn look(&mut self) -> Option<Looked> {
        OptionFuture::from(self.looking.as_mut()).await
    }

    /// Notes the last key of a lane, once `pages` were read. The lane may have been cut since it
    /// was looked at.
    pub(super) fn looked(&mut self, (lane, last): Looked, pages: u64, lanes: &mut [Lane]) {
        self.looking = None;
        let Ok(last) = last else {
            self.look_from = pages + PAGES_AFTER_A_FAILURE;
            self.failed = Some(lane);
            return;
        };
        let Some(lane) = lanes.iter_mut().find(|other| other.id() == lane) else {
            return;
        };
        let end = lane.range().through.clone();
        let last = last.map(|last| match end {
            Some(end) => end.min(last),
            None => last,
        });
        self.last_keys.insert(lane.id(), last);
        self.measure(lane);
    }
}

/// Returns how many ranges a record may have, by the longest key.
fn most_ranges(longest_key: usize) -> usize {
    (MOST_BYTES / (BYTES_OF_A_RANGE + KEYS_OF_A_RANGE * longest_key)).clamp(1, MOST_RANGES)
}

/// Returns the first border of a kind that is ahead of the last lane.
fn next_kind(lanes: &[Lane]) -> Option<(usize, String)> {
    let at = lanes.len().checked_sub(1)?;
    let last = lanes.get(at)?;
    let border = counts::first_keys()
        .into_iter()
        .find(|key| last.reached().is_some_and(|reached| reached < *key))?;
    (!last.is_read()).then(|| (at, border.to_owned()))
}

/// Returns the cut of a lane after the page that it has read.
fn cut(lane: &Lane, last: &str) -> Option<Cut> {
    let (page, reached) = (lane.page()?, lane.reached()?);
    border::cut(reached, last, page)
}

/// Returns whether enough is left in a lane for another one.
#[expect(clippy::cast_precision_loss, reason = "a page has at most 1,000 keys")]
fn is_worth_it(cut: &Cut, lane: &Lane) -> bool {
    let page = lane.page().map_or(0, <[String]>::len);
    let least = PAGES_LEFT * page as f64;
    page > 0 && cut.left.is_none_or(|left| left >= least)
}

#[cfg(test)]
mod tests;

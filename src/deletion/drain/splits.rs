//! When a pass is split, and where. There has to be a reason: several pages, and a table
//! that takes no more. First borders are the kinds of items; then, again and again, the range
//! that has most left is cut in half, until there are as many as a record may have.

use std::collections::BTreeMap;

use futures_util::future::{BoxFuture, OptionFuture};
use tokio::time::{Duration, Instant};

use super::border::{Cut, Scale};
use crate::{campaign::CampaignId, counts, deletion::lane::Lane, table::Table};

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

/// The splits of a pass.
#[derive(Default)]
pub(super) struct Splits<'a> {
    /// How often it was cut.
    cuts: u64,
    /// Whether it was split by kind.
    by_kind: bool,
    /// The longest key that was read, bytes.
    longest_key: usize,
    /// The last key of each lane, by the lane's id; `None` if it cannot be found out.
    last_keys: BTreeMap<usize, Option<String>>,
    /// Where each lane would be cut, since its last page was read.
    next_cuts: BTreeMap<usize, Cut>,
    /// A look for the last key of a lane.
    looking: Option<BoxFuture<'a, (usize, Option<String>)>>,
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
        if let Some((_, lane)) = unread().find(|(_, lane)| !is_known(lane)) {
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
        let most = cuts.max_by(|(_, a), (_, b)| a.left.total_cmp(&b.left));
        most.map(|(at, cut)| (at, cut.at.clone()))
    }

    /// Notes that a lane was cut at a border, and which lane has its second part.
    pub(super) fn cut(&mut self, first: &mut Lane, second: &mut Lane, border: String) {
        self.cuts += 1;
        let half = first.weight() / 2.0;
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
            lane.set_unread(0.0);
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
            (id, last.ok().flatten())
        }));
    }

    /// Awaits the last key of a lane; `None` if nobody looks for one.
    pub(super) async fn look(&mut self) -> Option<(usize, Option<String>)> {
        OptionFuture::from(self.looking.as_mut()).await
    }

    /// Notes the last key of a lane.
    pub(super) fn looked(&mut self, lane: usize, last: Option<String>, lanes: &mut [Lane]) {
        self.looking = None;
        self.last_keys.insert(lane, last);
        if let Some(lane) = lanes.iter_mut().find(|other| other.id() == lane) {
            self.measure(lane);
        }
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
    Scale::new(page.first()?, last, page).cut(reached, last, page)
}

/// Returns whether enough is left in a lane for another one.
#[expect(clippy::cast_precision_loss, reason = "a page has at most 1,000 keys")]
fn is_worth_it(cut: &Cut, lane: &Lane) -> bool {
    let page = lane.page().map_or(0, <[String]>::len);
    page > 0 && cut.left >= PAGES_LEFT * page as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{deletion::read_ahead::ReadAhead, record::Range, table::Page};

    #[test]
    fn long_keys_leave_room_for_fewer_ranges() {
        for (longest_key, ranges) in [(0, 16), (46, 16), (60, 13), (200, 4), (1_024, 1)] {
            assert_eq!(most_ranges(longest_key), ranges, "{longest_key}");
        }
    }

    /// A partition in memory, and the lanes over it.
    struct Pass<'a> {
        keys: &'a [String],
        page: usize,
        lanes: Vec<Lane>,
        splits: Splits<'a>,
        begun: usize,
        found: u64,
        counted: BTreeMap<String, u32>,
    }

    impl<'a> Pass<'a> {
        /// Returns a pass over these keys, in pages of this many.
        fn over(keys: &'a [String], page: usize) -> Self {
            Self {
                keys,
                page,
                lanes: Vec::new(),
                splits: Splits::default(),
                begun: 0,
                found: 0,
                counted: BTreeMap::new(),
            }
        }

        fn lane(&mut self, range: Range) -> Lane {
            let within = self.keys.iter().filter(|key| {
                let after = range.start().is_none_or(|after| key.as_str() > after);
                after && range.through.as_ref().is_none_or(|through| *key <= through)
            });
            let within: Vec<String> = within.cloned().collect();
            let chunks = within.chunks(self.page).map(<[String]>::to_vec);
            let mut pages: Vec<Page> = chunks
                .map(|sort_keys| Page {
                    next: sort_keys.last().cloned(),
                    sort_keys,
                })
                .collect();
            pages.push(Page::default());
            self.begun += 1;
            Lane::of(self.begun, ReadAhead::of(pages), range)
        }

        /// Cuts while something is to be cut; what a lane's last key is, is known at once.
        fn split(&mut self, table: &'static Table, campaign: &CampaignId) {
            loop {
                let next = self.splits.next(&self.lanes, self.found, table, campaign);
                if self.splits.looking.take().is_some() {
                    let is_looked_for = |lane: &&Lane| {
                        !lane.is_read() && !self.splits.last_keys.contains_key(&lane.id())
                    };
                    let lane = self.lanes.iter().find(is_looked_for).unwrap();
                    let through = lane.range().through.clone();
                    let reaches = |key: &&String| through.as_ref().is_none_or(|end| *key <= end);
                    let last = self.keys.iter().rfind(reaches).cloned();
                    self.splits.looked(lane.id(), last, &mut self.lanes);
                }
                let Some((at, border)) = next else { return };
                let first = &mut self.lanes[at];
                let reached = first.reached().map(ToOwned::to_owned);
                let second = first.split_off(border.clone());
                let second = second.unwrap_or_else(|| panic!("{border:?} after {reached:?}"));
                let mut second = self.lane(second);
                self.splits.cut(&mut self.lanes[at], &mut second, border);
                self.lanes.insert(at + 1, second);
            }
        }

        /// Counts and deletes what a lane has read.
        fn delete(&mut self, at: usize) {
            let lane = &mut self.lanes[at];
            for key in lane.page_to_count().into_iter().flatten() {
                *self.counted.entry(key.clone()).or_default() += 1;
            }
            lane.count();
            lane.counted();
            let sent = lane.take(usize::MAX);
            lane.answered(&sent, Vec::new());
            if lane.is_done() && at + 1 < self.lanes.len() {
                let done = self.lanes.remove(at);
                self.lanes[at].take_in(&done);
            }
        }
    }

    /// Keys in clusters, as those of messages are: by chat, and in it by time.
    fn clustered(rng: &mut fastrand::Rng) -> Vec<String> {
        let mut keys = Vec::new();
        for _ in 0..40 {
            let chat = format!("{:08x}-{:04x}", rng.u32(..), rng.u16(..));
            for _ in 0..rng.usize(1..400) {
                let at = rng.u32(1_700_000_000..1_800_000_000);
                keys.push(format!("MESSAGE#{chat}#{at}#{:08x}", rng.u32(..)));
            }
        }
        keys.sort();
        keys.dedup();
        keys
    }

    /// A table that is not called.
    fn no_table() -> &'static Table {
        let sdk = aws_sdk_dynamodb::Config::builder()
            .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
            .build();
        let client = aws_sdk_dynamodb::Client::from_conf(sdk);
        Box::leak(Box::new(Table::new(client, "none".to_owned())))
    }

    #[tokio::test]
    async fn a_takeover_of_as_many_ranges_as_possible_finds_out_what_is_left() {
        let keys: Vec<String> = (0..8_000).map(|n| format!("CHAT#{n:05}")).collect();
        let (table, campaign) = (no_table(), CampaignId::parse("campaign_1").unwrap());
        let mut pass = Pass::over(&keys, 10);
        pass.found = PAGES_BEFORE;
        // The last one has as much as all others together.
        let mut rest = Range::default();
        for border in 1..MOST_RANGES {
            let second = rest.split_off(format!("CHAT#{:05}", border * 250));
            let lane = pass.lane(std::mem::replace(&mut rest, second));
            pass.lanes.push(lane);
        }
        let last = pass.lane(rest);
        pass.lanes.push(last);
        for lane in &mut pass.lanes {
            lane.read().await.1.unwrap();
            pass.splits.read(lane);
        }
        for _ in 0..MOST_RANGES {
            pass.split(table, &campaign);
        }
        assert_eq!(pass.lanes.len(), MOST_RANGES);
        let weights: Vec<f64> = pass.lanes.iter().map(Lane::weight).collect();
        let (last, others) = weights.split_last().unwrap();
        assert!(*last > 2_000.0, "{weights:?}");
        let is_as_much = |other: &f64| (100.0..900.0).contains(other);
        assert!(others.iter().all(is_as_much), "{weights:?}");
    }

    #[tokio::test]
    async fn nothing_is_cut_before_every_range_has_read_something() {
        let keys: Vec<String> = (0..4_000).map(|n| format!("CHAT#{n:05}")).collect();
        let (table, campaign) = (no_table(), CampaignId::parse("campaign_1").unwrap());
        let mut pass = Pass::over(&keys, 10);
        pass.found = PAGES_BEFORE;
        // The second has nine times as much as the first.
        let mut first = Range::default();
        let second = first.split_off("CHAT#00399".to_owned());
        for range in [first, second] {
            let lane = pass.lane(range);
            pass.lanes.push(lane);
        }
        pass.splits.by_kind = true;
        for lane in &pass.lanes {
            let last = lane.range().through.as_ref().or(keys.last());
            pass.splits.last_keys.insert(lane.id(), last.cloned());
        }
        pass.lanes[0].read().await.1.unwrap();
        pass.splits.read(&mut pass.lanes[0]);
        let next = pass.splits.next(&pass.lanes, pass.found, table, &campaign);
        assert_eq!(next, None);
        pass.lanes[1].read().await.1.unwrap();
        pass.splits.read(&mut pass.lanes[1]);
        let next = pass.splits.next(&pass.lanes, pass.found, table, &campaign);
        assert_eq!(next.unwrap().0, 1);
    }

    #[tokio::test]
    async fn clustered_keys_are_cut_only_after_what_was_read() {
        let (table, campaign) = (no_table(), CampaignId::parse("campaign_1").unwrap());
        let mut cuts = 0;
        for (seed, page) in (0..90).zip([20, 100, 250].into_iter().cycle()) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let keys = clustered(&mut rng);
            let mut pass = Pass::over(&keys, page);
            let whole = pass.lane(Range::default());
            pass.lanes.push(whole);
            while !pass.lanes.iter().all(Lane::is_done) {
                let at = rng.usize(0..pass.lanes.len());
                if pass.lanes[at].wants_a_page() {
                    let (_, has_page) = pass.lanes[at].read().await;
                    pass.found += u64::from(has_page.unwrap());
                    pass.splits.read(&mut pass.lanes[at]);
                } else {
                    pass.delete(at);
                }
                pass.split(table, &campaign);
            }
            cuts += pass.splits.cuts;
            assert_eq!(pass.counted.len(), keys.len(), "seed {seed}");
            assert!(
                pass.counted.values().all(|count| *count == 1),
                "seed {seed}"
            );
        }
        assert!(cuts > 900, "{cuts} cuts");
    }
}

//! Splits over a partition in memory.

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
    // Each last key is known now, and much is left in the last range: only the bound says no.
    let next = pass.splits.next(&pass.lanes, pass.found, table, &campaign);
    assert_eq!(next, None);
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
    // No more than so many cuts for so many pages.
    pass.splits.cuts = CUTS + pass.found / 4;
    let next = pass.splits.next(&pass.lanes, pass.found, table, &campaign);
    assert_eq!(next, None);
    pass.found += 4;
    let before = pass.lanes[1].weight();
    pass.split(table, &campaign);
    assert_eq!(pass.lanes.len(), 3);
    // Until it has read something, the second part counts as half of the whole.
    let half = pass.lanes[2].weight();
    assert!(
        (0.45..0.55).contains(&(half / before)),
        "{half} of {before}"
    );
    let little = Cut {
        at: String::new(),
        left: 29.0,
    };
    assert!(
        !is_worth_it(&little, &pass.lanes[1]),
        "three pages of 10 are 30"
    );
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

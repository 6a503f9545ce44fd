//! Splits over a partition in memory.

use std::collections::BTreeMap;

use super::*;
use crate::{deletion::read_ahead::ReadAhead, record::Range, sdk::Cause, table::Page};

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
    /// Whether the table answers late what the last key of a lane is.
    is_slow: bool,
    /// The lane that is looked at, and its last key.
    answer: Option<(usize, Option<String>)>,
    /// How often it fails first.
    failures: usize,
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
            is_slow: false,
            answer: None,
            failures: 0,
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

    /// Cuts while something is to be cut.
    fn split(&mut self, table: &'static Table, campaign: &CampaignId) {
        loop {
            let next = self.splits.next(&self.lanes, self.found, table, campaign);
            if self.splits.looking.is_some() && self.answer.is_none() {
                let is_looked_for = |lane: &&Lane| {
                    !lane.is_read() && !self.splits.last_keys.contains_key(&lane.id())
                };
                let lane = self.lanes.iter().find(is_looked_for).unwrap();
                let through = lane.range().through.clone();
                let reaches = |key: &&String| through.as_ref().is_none_or(|end| *key <= end);
                let last = self.keys.iter().rfind(reaches).cloned();
                self.answer = Some((lane.id(), last));
                if !self.is_slow {
                    self.look();
                }
            }
            let Some((at, border)) = next else { return };
            let first = &mut self.lanes[at];
            let reached = first.reached().map(ToOwned::to_owned);
            let second = first.split_off(border.clone());
            let second = second.unwrap_or_else(|| panic!("{border:?} after {reached:?}"));
            let mut second = self.lane(second);
            self.splits.cut(&mut self.lanes[at], &mut second, border);
            self.lanes.insert(at + 1, second);
            self.assert_whole();
        }
    }

    /// Answers what is looked for.
    fn look(&mut self) {
        let Some((lane, last)) = self.answer.take() else {
            return;
        };
        let looked = match self.failures.checked_sub(1) {
            Some(more) => {
                self.failures = more;
                Err(TableError::NoAnswer(Cause::deadline("Query")))
            }
            None => Ok(last),
        };
        self.splits
            .looked((lane, looked), self.found, &mut self.lanes);
    }

    /// The ranges cover the partition, without a gap or an overlap.
    fn assert_whole(&self) {
        let ranges: Vec<_> = self.lanes.iter().map(Lane::range).collect();
        for neighbours in ranges.windows(2) {
            assert!(neighbours[0].through.is_some(), "{ranges:?}");
            assert_eq!(neighbours[0].through, neighbours[1].after, "{ranges:?}");
        }
        for range in &ranges {
            let is_in_order = range.through.is_none() || range.after < range.through;
            assert!(is_in_order, "{ranges:?}");
        }
    }

    /// Reads, counts and deletes everything, one step of one lane after the other.
    async fn run(&mut self, rng: &mut fastrand::Rng, table: &'static Table, campaign: &CampaignId) {
        while !self.lanes.iter().all(Lane::is_done) {
            self.step(rng.usize(0..self.lanes.len())).await;
            if rng.u8(..50) == 0 {
                self.look();
            }
            self.split(table, campaign);
        }
        assert_eq!(self.counted.len(), self.keys.len());
        assert!(self.counted.values().all(|count| *count == 1));
    }

    /// Reads the next page of a lane, or counts and deletes the one that it has read.
    async fn step(&mut self, at: usize) {
        if self.lanes[at].wants_a_page() {
            let (_, has_page) = self.lanes[at].read().await;
            self.found += u64::from(has_page.unwrap());
            self.splits.read(&mut self.lanes[at]);
        } else {
            self.delete(at);
        }
        let lane = &self.lanes[at];
        if lane.is_done() && at + 1 < self.lanes.len() {
            let done = self.lanes.remove(at);
            self.lanes[at].take_in(&done);
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
    }
}

/// Keys in clusters, as those of messages are: by chat, and in it by time. They end with so many
/// more characters.
fn clustered(
    rng: &mut fastrand::Rng,
    kinds: &[&str],
    clusters: usize,
    longer: usize,
) -> Vec<String> {
    let mut keys = Vec::new();
    for _ in 0..clusters {
        let kind = kinds[rng.usize(0..kinds.len())];
        let chat = format!("{:08x}-{:04x}", rng.u32(..), rng.u16(..));
        for _ in 0..rng.usize(1..400) {
            let at = rng.u32(1_700_000_000..1_800_000_000);
            keys.push(format!(
                "{kind}{chat}#{at}#{:08x}{:longer$}",
                rng.u32(..),
                ""
            ));
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
    let weights: Vec<f64> = pass.lanes.iter().filter_map(Lane::left).collect();
    assert_eq!(weights.len(), MOST_RANGES);
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
    let before = pass.lanes[1].left().unwrap();
    pass.split(table, &campaign);
    assert_eq!(pass.lanes.len(), 3);
    // Until it has read something, the second part counts as half of the whole.
    let half = pass.lanes[2].left().unwrap();
    assert!(
        (0.45..0.55).contains(&(half / before)),
        "{half} of {before}"
    );
    let little = Cut {
        at: String::new(),
        left: Some(29.0),
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
        let keys = clustered(&mut rng, &["MESSAGE#"], 40, 0);
        let mut pass = Pass::over(&keys, page);
        let whole = pass.lane(Range::default());
        pass.lanes.push(whole);
        pass.run(&mut rng, table, &campaign).await;
        cuts += pass.splits.cuts;
    }
    assert!(cuts > 900, "{cuts} cuts");
}

#[tokio::test]
async fn a_lane_that_is_cut_while_it_is_looked_at_stays_within_its_end() {
    let (table, campaign) = (no_table(), CampaignId::parse("campaign_1").unwrap());
    // So long that a record has room for three ranges.
    let keys: Vec<String> = ["ACTIVITY#", "ANALYTICS#", "CHAT#", "MESSAGE#", "WEBHOOK#"]
        .iter()
        .flat_map(|kind| (0..200).map(move |n| format!("{kind}{n:0300}")))
        .collect();
    let mut pass = Pass::over(&keys, 10);
    pass.is_slow = true;
    let mut rest = Range::default();
    for border in ["ANALYTICS#", "CHAT#"] {
        let second = rest.split_off(border.to_owned());
        let lane = pass.lane(std::mem::replace(&mut rest, second));
        pass.lanes.push(lane);
    }
    let last = pass.lane(rest);
    let chats = last.id();
    pass.lanes.push(last);
    for at in 0..3 {
        pass.step(at).await;
    }
    for _ in 0..2 {
        pass.split(table, &campaign);
        pass.look();
    }
    pass.split(table, &campaign);
    assert_eq!(pass.answer.as_ref().unwrap().0, chats);
    // Others end, and what they leave room for is cut off by kind.
    while let Some(at) = pass
        .lanes
        .iter()
        .position(|lane| lane.id() != chats && !lane.is_done())
    {
        pass.step(at).await;
        pass.split(table, &campaign);
    }
    assert_eq!(pass.lanes[0].range().through.as_deref(), Some("DELIVERY#"));
    pass.look();
    pass.split(table, &campaign);
    assert_eq!(pass.lanes.len(), 3, "the chats are cut");
}

#[tokio::test]
async fn a_last_key_that_is_known_late_makes_no_overlap() {
    let (table, campaign) = (no_table(), CampaignId::parse("campaign_1").unwrap());
    let mut cuts = 0;
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Fewer ranges than kinds have room, so one is cut by kind once another is done.
        let longer = [0, 80, 120, 200][rng.usize(0..4)];
        let keys = clustered(&mut rng, &counts::first_keys(), 12, longer);
        let mut pass = Pass::over(&keys, 10);
        pass.is_slow = true;
        let whole = pass.lane(Range::default());
        pass.lanes.push(whole);
        pass.run(&mut rng, table, &campaign).await;
        cuts += pass.splits.cuts;
    }
    assert!(cuts > 400, "{cuts} cuts");
}

#[tokio::test]
async fn a_look_that_fails_is_repeated_some_pages_later() {
    let (table, campaign) = (no_table(), CampaignId::parse("campaign_1").unwrap());
    let keys: Vec<String> = (0..4_000).map(|n| format!("WEBHOOK#{n:05}")).collect();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut pass = Pass::over(&keys, 10);
    pass.failures = 2;
    let whole = pass.lane(Range::default());
    pass.lanes.push(whole);
    let mut pages_of_looks = Vec::new();
    while pass.failures > 0 || pass.splits.cuts == 0 {
        let before = pass.failures;
        pass.step(0).await;
        pass.split(table, &campaign);
        if pass.failures < before {
            pages_of_looks.push(pass.found);
            // Not known: as much as in any other lane.
            assert_eq!(pass.lanes[0].left(), None);
        }
    }
    assert_eq!(pages_of_looks, [2, 6]);
    pass.run(&mut rng, table, &campaign).await;
}

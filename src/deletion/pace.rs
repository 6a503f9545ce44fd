//! The pace of a deletion: no more write units per second than a limit, by what
//! DynamoDB says that each batch has consumed. One worker at a time holds a
//! deletion, so the worker's pace is the deletion's.
//!
//! What a batch costs is known only once it is answered: a delete costs a unit
//! for each started KB of its item. So each batch is charged an estimate when it
//! is sent, and the difference when it is answered.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::Instant;

/// How much of unused time counts for later: it evens out timers, which are a
/// millisecond late, and answers that come in bunches.
const CREDIT: Duration = Duration::from_millis(100);

/// How much the last batch weighs in the estimate. Items of a kind are next to
/// each other and alike in size.
const WEIGHT_OF_LAST: f64 = 0.5;

/// How fast one worker deletes.
#[derive(Debug)]
pub(super) struct Pace {
    /// Write units per second.
    limit: Option<f64>,
    /// When everything that was charged is paid for.
    paid_at: Instant,
    /// Write units per delete.
    estimate: f64,
}

impl Pace {
    /// A pace of at most this many write units per second.
    pub(super) fn new(limit: Option<NonZeroU32>) -> Self {
        Self {
            limit: limit.map(|limit| f64::from(limit.get())),
            paid_at: Instant::now(),
            estimate: 1.0,
        }
    }

    /// When the next batch may be sent: `None` for at once.
    pub(super) fn next_at(&self) -> Option<Instant> {
        (self.limit.is_some() && self.paid_at > Instant::now()).then_some(self.paid_at)
    }

    /// Charges a batch of this many deletes that is sent now; what it is charged,
    /// write units.
    pub(super) fn charge(&mut self, deletes: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most 25")]
        let units = deletes as f64 * self.estimate;
        if let Some(limit) = self.limit {
            let earliest = Instant::now().checked_sub(CREDIT);
            let from = earliest.map_or(self.paid_at, |earliest| self.paid_at.max(earliest));
            self.paid_at = from + Duration::from_secs_f64(units / limit);
        }
        units
    }

    /// Settles a batch that was charged `charged` write units and in which
    /// `deleted` deletes have consumed `consumed`.
    pub(super) fn settle(&mut self, charged: f64, deleted: usize, consumed: f64) {
        let Some(limit) = self.limit else {
            return;
        };
        let difference = Duration::from_secs_f64((consumed - charged).abs() / limit);
        if consumed > charged {
            self.paid_at += difference;
        } else if let Some(earlier) = self.paid_at.checked_sub(difference) {
            self.paid_at = earlier;
        }
        if deleted > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a batch has at most 25")]
            let last = consumed / deleted as f64;
            self.estimate += WEIGHT_OF_LAST * (last - self.estimate);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::time::{advance, sleep_until};

    use super::*;

    /// Sends batches of 25 items of these sizes (KB), four at a time, each
    /// answered after some milliseconds; the units that were consumed per second.
    async fn rate(limit: u32, sizes: &[u32]) -> f64 {
        let mut pace = Pace::new(NonZeroU32::new(limit));
        let start = Instant::now();
        let mut in_flight = VecDeque::new();
        let mut consumed = 0.0;
        for (number, batch) in sizes.chunks(25).enumerate() {
            if in_flight.len() == 4 {
                let (answered_at, charged, deletes, units) = in_flight.pop_front().unwrap();
                sleep_until(answered_at).await;
                pace.settle(charged, deletes, units);
            }
            while let Some(at) = pace.next_at() {
                sleep_until(at).await;
            }
            let charged = pace.charge(batch.len());
            let units = f64::from(batch.iter().sum::<u32>());
            consumed += units;
            let takes = Duration::from_millis(5 + number as u64 % 7);
            in_flight.push_back((Instant::now() + takes, charged, batch.len(), units));
        }
        for (answered_at, charged, deletes, units) in in_flight {
            sleep_until(answered_at).await;
            pace.settle(charged, deletes, units);
        }
        sleep_until(pace.paid_at).await;
        consumed / start.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn thousands_of_items_of_mixed_sizes_go_at_the_limit() {
        // Kinds that are alike within and differ from each other, and sizes that
        // change with every item.
        let kinds = [1_u32, 10, 2, 40]
            .into_iter()
            .flat_map(|kb| vec![kb; 1_500]);
        let mixed = (0..6_000_u32).map(|number| 1 + number * 7 % 30);
        for sizes in [kinds.collect::<Vec<_>>(), mixed.collect()] {
            for limit in [10, 100, 1_000, 4_000] {
                let rate = rate(limit, &sizes).await;
                let share = rate / f64::from(limit);
                assert!((0.95..=1.05).contains(&share), "{rate} of {limit}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_was_not_used_is_not_made_up_for() {
        let mut pace = Pace::new(NonZeroU32::new(100));
        advance(Duration::from_mins(10)).await;
        let start = Instant::now();
        for _ in 0..4 {
            while let Some(at) = pace.next_at() {
                sleep_until(at).await;
            }
            let charged = pace.charge(25);
            pace.settle(charged, 25, 25.0);
        }
        // Three quarters of a second for the first three, but for the credit.
        assert_eq!(start.elapsed(), Duration::from_millis(650));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        let mut pace = Pace::new(None);
        for _ in 0..1_000 {
            assert_eq!(pace.next_at(), None);
            let charged = pace.charge(25);
            pace.settle(charged, 25, 10_000.0);
        }
    }
}

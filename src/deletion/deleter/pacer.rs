//! The pacer of a deletion: no more write units per second than its limit, nor than
//! the table was found to take, by the capacity that DynamoDB reports for each batch.
//! One worker at a time holds a deletion, so the worker's pace is the deletion's.
//!
//! What a batch costs is known only once it is answered: a delete costs a unit
//! for each started KB of its item. So each batch is charged an estimate when it
//! is sent, and the difference when it is answered.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::Instant;

use super::adaptive_rate::AdaptiveRate;
use crate::table::{BATCH_SIZE, Backoff};

/// How much unused time counts for later: it evens out timers, which are a
/// millisecond late, and answers that arrive in bunches.
const CREDIT: Duration = Duration::from_millis(100);

/// The weight of the last batch in the estimate: items that are neighbours are of similar size.
const WEIGHT_OF_LAST: f64 = 0.5;

/// The charge of a batch when it was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charge {
    /// Write units.
    units: f64,
    /// Whether there was a rate. Without one, it says nothing of what the table takes.
    is_paced: bool,
}

/// The pacer of one worker.
#[derive(Debug)]
pub(super) struct Pacer {
    /// Write units per second, from the settings.
    limit: Option<f64>,
    /// Write units per second that the table was found to take.
    adaptive: Option<AdaptiveRate>,
    /// When everything that was charged is paid for.
    paid_at: Instant,
    /// Write units per delete.
    estimate: f64,
    /// Whether the estimate is of deletes that were answered.
    is_estimated: bool,
    /// Nothing is sent before this.
    not_before: Option<Instant>,
    /// How many batches in a row were not answered.
    unanswered_in_a_row: u32,
}

impl Pacer {
    /// Returns a pacer of at most this many write units per second.
    #[cfg(test)]
    pub(super) fn new(limit: Option<NonZeroU32>) -> Self {
        Self::owing(limit, Duration::ZERO)
    }

    /// Returns a pacer that sends nothing until this debt of an earlier one is paid. Without a
    /// limit, none is: it was one to a limit of then.
    pub(super) fn owing(limit: Option<NonZeroU32>, debt: Duration) -> Self {
        let debt = limit.map_or(Duration::ZERO, |_| debt);
        Self {
            limit: limit.map(|limit| f64::from(limit.get())),
            adaptive: None,
            paid_at: Instant::now() + debt,
            estimate: 1.0,
            is_estimated: false,
            not_before: None,
            unanswered_in_a_row: 0,
        }
    }

    /// Returns the write units per second, if there is a bound.
    fn rate(&self) -> Option<f64> {
        let adaptive = self.adaptive.as_ref().map(AdaptiveRate::rate);
        match (self.limit, adaptive) {
            (Some(limit), Some(adaptive)) => Some(limit.min(adaptive)),
            (limit, adaptive) => limit.or(adaptive),
        }
    }

    /// Returns whether there is a rate that the table takes.
    pub(super) fn is_adaptive(&self) -> bool {
        self.adaptive.is_some()
    }

    /// Returns how many deletes can be sent in this time; infinite if nothing bounds them.
    pub(super) fn deletes_within(&self, time: Duration) -> f64 {
        let seconds_of_one = time.as_secs_f64() / self.estimate.max(f64::EPSILON);
        self.rate()
            .map_or(f64::INFINITY, |rate| rate * seconds_of_one)
    }

    /// Returns how long it takes until everything that was charged is paid for, at the
    /// limit of the settings.
    pub(super) fn debt(&self) -> Duration {
        let owed = self.paid_at.saturating_duration_since(Instant::now());
        self.limit.map_or(Duration::ZERO, |_| owed)
    }

    /// Returns how many deletes the next batch may have. With a limit, that is a
    /// second's worth at most, and one delete alone until its cost is known.
    pub(super) fn batch_size(&self, in_flight: usize) -> usize {
        let Some(limit) = self.limit else {
            return BATCH_SIZE;
        };
        if !self.is_estimated {
            return usize::from(in_flight == 0);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a limit is at most a million, and no estimate is negative"
        )]
        let worth = (limit / self.estimate.max(f64::EPSILON)) as usize;
        worth.clamp(1, BATCH_SIZE)
    }

    /// Returns when the next batch may be sent; `None` for at once.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let paid_at = self.rate().map(|_| self.paid_at);
        let at = paid_at.max(self.not_before)?;
        (at > Instant::now()).then_some(at)
    }

    /// Charges a batch of this many deletes that is sent now.
    pub(super) fn charge(&mut self, deletes: usize) -> Charge {
        let units = units(deletes) * self.estimate;
        let rate = self.rate();
        if let Some(rate) = rate {
            let earliest = Instant::now().checked_sub(CREDIT);
            let from = earliest.map_or(self.paid_at, |earliest| self.paid_at.max(earliest));
            self.paid_at = from + time_for(units, rate);
        }
        Charge {
            units,
            is_paced: rate.is_some(),
        }
    }

    /// Settles a batch of `size` deletes, of which `deleted` have consumed `consumed`
    /// write units. Unprocessed deletes stay charged: the table had to handle them, too.
    pub(super) fn settle(&mut self, charge: Charge, size: usize, deleted: usize, consumed: f64) {
        if deleted == 0 {
            return;
        }
        self.unanswered_in_a_row = 0;
        let (size, deleted) = (units(size), units(deleted));
        if charge.is_paced
            && let Some(rate) = self.rate()
        {
            if let Some(adaptive) = &mut self.adaptive {
                adaptive.consumed(consumed);
            }
            let difference = consumed - charge.units * deleted / size;
            let time = time_for(difference.abs(), rate);
            if difference > 0.0 {
                self.paid_at += time;
            } else if let Some(earlier) = self.paid_at.checked_sub(time) {
                self.paid_at = earlier;
            }
        }
        self.is_estimated = true;
        self.estimate += WEIGHT_OF_LAST * (consumed / deleted - self.estimate);
    }

    /// Notes that deletes go to more of the table from now on.
    pub(super) fn expect_more(&mut self) {
        self.adaptive.iter_mut().for_each(AdaptiveRate::expect_more);
    }

    /// Notes that a batch succeeded.
    pub(super) fn succeeded(&mut self) {
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.succeeded(Instant::now());
        }
    }

    /// Notes that the table throttled a batch, in part or as a whole.
    pub(super) fn throttled(&mut self) {
        let now = Instant::now();
        let Some(adaptive) = &mut self.adaptive else {
            let adaptive = AdaptiveRate::first(now);
            // No capacity is left: a batch has to wait until there is enough for all of it.
            let batch = units(BATCH_SIZE) * self.estimate;
            self.paid_at = self.paid_at.max(now + time_for(batch, adaptive.rate()));
            self.adaptive = Some(adaptive);
            return;
        };
        if !adaptive.throttled(now) {
            self.unanswered();
        }
    }

    /// Notes that a batch was not answered, or that the table takes nothing: a
    /// full-jitter backoff before the next one.
    pub(super) fn unanswered(&mut self) {
        self.unanswered_in_a_row += 1;
        let wait = Backoff::bound(self.unanswered_in_a_row - 1).mul_f64(fastrand::f64());
        self.not_before = Some(Instant::now() + wait);
    }
}

/// Returns a number of deletes as one of write units.
#[expect(clippy::cast_precision_loss, reason = "a batch has at most 25")]
fn units(deletes: usize) -> f64 {
    deletes as f64
}

/// Returns how long N write units take at a rate per second.
fn time_for(units: f64, rate: f64) -> Duration {
    Duration::from_secs_f64(units / rate)
}

#[cfg(test)]
mod tests;

//! The rate adapts to throttling. A campaign is one partition, and a partition takes
//! 1,000 write units a second (service quota). From there the rate falls when writes
//! are unprocessed, and rises, slowly at first, when none are, so that it stays at a
//! ceiling and finds one that was raised.

use std::time::Duration;

use tokio::time::Instant;

/// The ceiling of a partition, write units per second.
const PARTITION: f64 = 1_000.0;
/// The lowest rate: a lower one would take too long to measure.
const LEAST: f64 = 50.0;
/// How often the rate rises: what was sent before is answered by then.
const STEP: Duration = Duration::from_millis(100);
/// The shortest measure between two times at which writes are unprocessed.
const SHORTEST_MEASURE: Duration = Duration::from_millis(200);
/// The longest measure: beyond it, the table may have been ready for more.
const LONGEST_MEASURE: Duration = Duration::from_millis(600);
/// The part of a rate that is kept when writes are unprocessed after a longer time.
const FALL: f64 = 0.985;
/// The first rise when no writes are unprocessed, and by how much each next one is
/// steeper.
const RISE: f64 = 0.001;
const STEEPER: f64 = 1.5;
/// The steepest rise: a table takes more than its rate for a while, so unprocessed
/// writes show late that a rate is too high.
const MOST_RISE: f64 = 0.05;

/// The rise when the table may take much more, up to the next measure, since nothing else shows
/// how much: when deletes go to more of it than before, and after a collapse.
const EXPECTED_RISE: f64 = 0.25;
/// A rate that falls to less than this part of itself has collapsed. The measure may span a time in
/// which the table took nothing, and then says little of what it takes now.
const COLLAPSE: f64 = 0.25;

/// The rate that a table was found to take.
#[derive(Debug)]
pub(super) struct AdaptiveRate {
    /// Write units per second.
    rate: f64,
    rise: f64,
    rises_at: Instant,
    /// When writes were last unprocessed and a measure began: the table took no more.
    measured_from: Instant,
    /// Write units consumed since then.
    taken: f64,
}

impl AdaptiveRate {
    /// Returns the rate when writes are unprocessed for the first time.
    pub(super) fn first(now: Instant) -> Self {
        Self {
            rate: PARTITION,
            rise: RISE,
            rises_at: now + STEP,
            measured_from: now,
            taken: 0.0,
        }
    }

    /// Returns the write units per second.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Notes that a batch consumed N write units.
    pub(super) fn consumed(&mut self, units: f64) {
        self.taken += units;
    }

    /// Notes that the table throttled a batch. Between two such times it took all that
    /// it could, which is its rate. Returns `false` if that was nothing at all, which
    /// says nothing about a rate.
    pub(super) fn throttled(&mut self, now: Instant) -> bool {
        self.rises_at = now + STEP;
        let measured = now - self.measured_from;
        if measured < SHORTEST_MEASURE {
            // It may be the answer to what was sent before.
            return true;
        }
        self.rise = RISE;
        if self.taken == 0.0 {
            self.measured_from = now;
            return false;
        }
        let rate = if measured < LONGEST_MEASURE {
            self.taken / measured.as_secs_f64()
        } else {
            self.rate * FALL
        };
        let rate = rate.max(LEAST);
        if rate < self.rate * COLLAPSE {
            self.rise = EXPECTED_RISE;
        }
        self.rate = rate;
        self.measured_from = now;
        self.taken = 0.0;
        true
    }

    /// Notes that deletes go to more of the table from now on, which may take more.
    pub(super) fn expect_more(&mut self) {
        self.rise = EXPECTED_RISE;
    }

    /// Notes that a batch succeeded.
    pub(super) fn succeeded(&mut self, now: Instant) {
        if now >= self.rises_at {
            self.rate *= 1.0 + self.rise;
            self.rise = self.rise.max((self.rise * STEEPER).min(MOST_RISE));
            self.rises_at = now + STEP;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the rate after these steps of `STEP`.
    fn rate_after(rate: &mut AdaptiveRate, steps: &[u32], from: Instant) -> f64 {
        for step in steps {
            rate.succeeded(from + STEP * *step);
        }
        rate.rate()
    }

    fn is_near(rate: f64, expected: f64) -> bool {
        (rate - expected).abs() < 1e-6 * expected
    }

    #[test]
    fn a_rate_rises_faster_with_each_step_up_to_a_limit() {
        let from = Instant::now();
        let mut rate = AdaptiveRate::first(from);
        rate.succeeded(from + STEP - Duration::from_millis(1));
        assert!(is_near(rate.rate(), 1_000.0));
        assert!(is_near(rate_after(&mut rate, &[1, 1], from), 1_001.0));
        let second = rate_after(&mut rate, &[2], from);
        assert!(is_near(second, 1_001.0 * 1.0015), "{second}");
        rate_after(&mut rate, &[3, 4, 5, 6, 7, 8, 9, 10, 11, 12], from);
        let before = rate.rate();
        let last = rate_after(&mut rate, &[13], from);
        assert!(is_near(last, before * 1.05), "{last} after {before}");
    }

    #[test]
    fn a_rate_that_may_be_higher_rises_fast_up_to_the_next_measure() {
        let from = Instant::now();
        let mut rate = AdaptiveRate::first(from);
        rate.expect_more();
        // The answer to what was sent before.
        assert!(rate.throttled(from + STEP / 2));
        let risen = rate_after(&mut rate, &[2, 3, 4, 5], from);
        assert!(is_near(risen, 1_000.0 * 1.25_f64.powi(4)), "{risen}");
        rate.consumed(1_200.0);
        assert!(rate.throttled(from + STEP * 5));
        let risen = rate_after(&mut rate, &[6], from);
        assert!(is_near(risen, 2_400.0 * 1.001), "{risen}");
    }

    #[test]
    fn the_rate_is_what_was_consumed_between_two_throttles() {
        let from = Instant::now();
        let at = |milliseconds| from + Duration::from_millis(milliseconds);
        let mut rate = AdaptiveRate::first(from);
        rate.consumed(150.0);
        // Too soon to tell; the measure continues.
        assert!(rate.throttled(at(199)));
        assert!(is_near(rate.rate(), 1_000.0));
        rate.consumed(50.0);
        assert!(rate.throttled(at(200)));
        assert!(is_near(rate.rate(), 1_000.0), "{}", rate.rate());
        rate.consumed(150.0);
        assert!(rate.throttled(at(400)));
        assert!(is_near(rate.rate(), 750.0), "{}", rate.rate());
        // The next rise is a step away.
        rate.succeeded(at(499));
        assert!(is_near(rate.rate(), 750.0));
        rate.succeeded(at(500));
        assert!(is_near(rate.rate(), 750.75), "{}", rate.rate());
    }

    #[test]
    fn a_rate_that_has_collapsed_rises_fast_up_to_the_next_measure() {
        let from = Instant::now();
        let at = |milliseconds| from + Duration::from_millis(milliseconds);
        let mut rate = AdaptiveRate::first(from);
        rate.consumed(30.0);
        assert!(rate.throttled(at(300)));
        assert!(is_near(rate.rate(), 100.0), "{}", rate.rate());
        let risen = rate_after(&mut rate, &[4, 5, 6], from);
        assert!(is_near(risen, 100.0 * 1.25_f64.powi(3)), "{risen}");
        rate.consumed(40.0);
        assert!(rate.throttled(at(700)));
        let risen = rate_after(&mut rate, &[8], from);
        assert!(is_near(risen, 100.0 * 1.001), "{risen}");
        // A quarter of what it was is no collapse.
        let mut rate = AdaptiveRate::first(from);
        rate.consumed(125.0);
        assert!(rate.throttled(at(500)));
        let risen = rate_after(&mut rate, &[6], from);
        assert!(is_near(risen, 250.0 * 1.001), "{risen}");
    }

    #[test]
    fn a_measure_that_is_too_long_only_lowers_the_rate() {
        let from = Instant::now();
        let at = |milliseconds| from + Duration::from_millis(milliseconds);
        let mut rate = AdaptiveRate::first(from);
        rate.consumed(100.0);
        assert!(rate.throttled(at(600)));
        assert!(is_near(rate.rate(), 985.0), "{}", rate.rate());
        rate.consumed(300.0);
        assert!(rate.throttled(at(1_199)));
        assert!(is_near(rate.rate(), 300.0 / 0.599), "{}", rate.rate());
    }

    #[test]
    fn a_table_that_takes_nothing_changes_no_rate() {
        let from = Instant::now();
        let at = |milliseconds| from + Duration::from_millis(milliseconds);
        let mut rate = AdaptiveRate::first(from);
        assert!(!rate.throttled(at(300)));
        assert!(is_near(rate.rate(), 1_000.0));
        // Measured from then on; no rate is below the lowest.
        rate.consumed(1.0);
        assert!(rate.throttled(at(600)));
        assert!(is_near(rate.rate(), 50.0), "{}", rate.rate());
    }
}

//! What the table takes, learnt from what it hands back. A campaign is one
//! partition, and a partition takes 1,000 units a second (service quota). From
//! there the rate falls when more comes back, and rises, slowly at first, when
//! nothing does, so that it stays at a ceiling and finds one that was raised. (Its
//! tests are those of the pace.)

use std::time::Duration;

use tokio::time::Instant;

/// What a partition takes, write units per second.
const PARTITION: f64 = 1_000.0;
/// No rate that is learnt is less: it would tell nothing in time.
const LEAST: f64 = 50.0;
/// How often a rate rises: what was sent before has its answer by then.
const STEP: Duration = Duration::from_millis(100);
/// How long what is taken is measured between two times at which writes come back.
const SHORTEST_MEASURE: Duration = Duration::from_millis(200);
/// Beyond this, the table may have been ready for more in between.
const LONGEST_MEASURE: Duration = Duration::from_millis(600);
/// What is left of a rate at which writes come back after a while.
const FALL: f64 = 0.985;
/// By how much it rises at first when nothing comes back, and how much more it
/// does with each step.
const RISE: f64 = 0.001;
const STEEPER: f64 = 1.5;
/// The steepest rise.
const MOST_RISE: f64 = 0.5;

/// What a table was found to take.
#[derive(Debug)]
pub(super) struct Learnt {
    /// Write units per second.
    rate: f64,
    rise: f64,
    rises_at: Instant,
    /// When writes last came back, and a measure was begun: the table took no more.
    measured_from: Instant,
    /// Write units since then.
    taken: f64,
}

impl Learnt {
    /// What is known when writes come back for the first time.
    pub(super) fn first(now: Instant) -> Self {
        Self {
            rate: PARTITION,
            rise: RISE,
            rises_at: now + STEP,
            measured_from: now,
            taken: 0.0,
        }
    }

    /// Write units per second.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// A batch has consumed so many write units.
    pub(super) fn took(&mut self, units: f64) {
        self.taken += units;
    }

    /// The table has taken less than a batch. Between two such times it took all
    /// that it could, which is its rate. `false` if that was nothing at all, which
    /// says nothing of a rate.
    pub(super) fn came_back(&mut self, now: Instant) -> bool {
        self.rise = RISE;
        self.rises_at = now + STEP;
        let measured = now - self.measured_from;
        if measured < SHORTEST_MEASURE {
            return true;
        }
        if self.taken == 0.0 {
            self.measured_from = now;
            return false;
        }
        let rate = if measured < LONGEST_MEASURE {
            self.taken / measured.as_secs_f64()
        } else {
            self.rate * FALL
        };
        self.rate = rate.max(LEAST);
        self.measured_from = now;
        self.taken = 0.0;
        true
    }

    /// A batch went through.
    pub(super) fn went_through(&mut self, now: Instant) {
        if now >= self.rises_at {
            self.rate *= 1.0 + self.rise;
            self.rise = (self.rise * STEEPER).min(MOST_RISE);
            self.rises_at = now + STEP;
        }
    }
}

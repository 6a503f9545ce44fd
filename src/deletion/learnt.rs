//! What the table takes, learnt from what it hands back. A campaign is one
//! partition, and a partition takes 1,000 units a second (service quota). From
//! there the rate falls when more comes back, and rises, slowly at first, when
//! nothing does, so that it stays at a ceiling and finds one that was raised.

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
/// The steepest rise: a table takes more than its rate for a while, and so what
/// comes back tells late that a rate is too high.
const MOST_RISE: f64 = 0.05;

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

#[cfg(test)]
#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of deletes are far from 2^52"
)]
mod tests {
    use std::collections::VecDeque;

    use tokio::time::sleep_until;

    use super::*;
    use crate::deletion::{
        pace::{Charge, Pace},
        window::Window,
    };

    /// The rate after so many steps of `STEP`.
    fn rate_after(learnt: &mut Learnt, steps: &[u32], from: Instant) -> f64 {
        for step in steps {
            learnt.went_through(from + STEP * *step);
        }
        learnt.rate()
    }

    fn is_near(rate: f64, expected: f64) -> bool {
        (rate - expected).abs() < 1e-6 * expected
    }

    #[test]
    fn a_rate_rises_once_a_step_and_more_each_time_up_to_the_steepest_rise() {
        let from = Instant::now();
        let mut learnt = Learnt::first(from);
        learnt.went_through(from + STEP - Duration::from_millis(1));
        assert!(is_near(learnt.rate(), 1_000.0));
        assert!(is_near(rate_after(&mut learnt, &[1, 1], from), 1_001.0));
        let rate = rate_after(&mut learnt, &[2], from);
        assert!(is_near(rate, 1_001.0 * 1.0015), "{rate}");
        rate_after(&mut learnt, &[3, 4, 5, 6, 7, 8, 9, 10, 11, 12], from);
        let before = learnt.rate();
        let rate = rate_after(&mut learnt, &[13], from);
        assert!(is_near(rate, before * 1.05), "{rate} after {before}");
    }

    #[test]
    fn what_was_taken_between_two_times_at_which_writes_come_back_is_the_rate() {
        let from = Instant::now();
        let at = |milliseconds| from + Duration::from_millis(milliseconds);
        let mut learnt = Learnt::first(from);
        learnt.took(150.0);
        // Too soon to tell; what is taken goes on to be measured.
        assert!(learnt.came_back(at(199)));
        assert!(is_near(learnt.rate(), 1_000.0));
        learnt.took(50.0);
        assert!(learnt.came_back(at(200)));
        assert!(is_near(learnt.rate(), 1_000.0), "{}", learnt.rate());
        learnt.took(150.0);
        assert!(learnt.came_back(at(400)));
        assert!(is_near(learnt.rate(), 750.0), "{}", learnt.rate());
        // The next rise is a step away.
        learnt.went_through(at(499));
        assert!(is_near(learnt.rate(), 750.0));
        learnt.went_through(at(500));
        assert!(is_near(learnt.rate(), 750.75), "{}", learnt.rate());
    }

    #[test]
    fn a_measure_that_is_too_long_tells_only_that_the_rate_is_too_high() {
        let from = Instant::now();
        let at = |milliseconds| from + Duration::from_millis(milliseconds);
        let mut learnt = Learnt::first(from);
        learnt.took(100.0);
        assert!(learnt.came_back(at(600)));
        assert!(is_near(learnt.rate(), 985.0), "{}", learnt.rate());
        learnt.took(300.0);
        assert!(learnt.came_back(at(1_199)));
        assert!(is_near(learnt.rate(), 300.0 / 0.599), "{}", learnt.rate());
    }

    #[test]
    fn a_table_that_takes_nothing_says_nothing_of_a_rate() {
        let from = Instant::now();
        let at = |milliseconds| from + Duration::from_millis(milliseconds);
        let mut learnt = Learnt::first(from);
        assert!(!learnt.came_back(at(300)));
        assert!(is_near(learnt.rate(), 1_000.0));
        // Measured from then on; and no rate is less than the least.
        learnt.took(1.0);
        assert!(learnt.came_back(at(600)));
        assert!(is_near(learnt.rate(), 50.0), "{}", learnt.rate());
    }

    /// A partition that takes so many units a second, with a burst, as a token
    /// bucket.
    struct Partition {
        rate: f64,
        burst: f64,
        tokens: f64,
        filled_at: Instant,
    }

    impl Partition {
        fn new(rate: f64, burst: f64) -> Self {
            let (tokens, filled_at) = (burst, Instant::now());
            Self {
                rate,
                burst,
                tokens,
                filled_at,
            }
        }

        /// How many of so many deletes of one unit it takes.
        fn takes(&mut self, deletes: usize) -> usize {
            let now = Instant::now();
            let filled = (now - self.filled_at).as_secs_f64() * self.rate;
            let tokens = (self.tokens + filled).min(self.burst);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "0 to 500"
            )]
            let taken = (tokens.floor() as usize).min(deletes);
            self.tokens = tokens - taken as f64;
            self.filled_at = now;
            taken
        }
    }

    /// What sends batches to a partition, 5 ms away.
    struct Sender<'a> {
        window: Window,
        partition: &'a mut Partition,
        pace: &'a mut Pace,
        /// When each is answered, and what was taken of it.
        in_flight: VecDeque<(Instant, Charge, usize)>,
        /// How long the endpoint works for each batch, one after the other.
        work: Duration,
        taken: usize,
        back: usize,
    }

    impl<'a> Sender<'a> {
        fn new(partition: &'a mut Partition, pace: &'a mut Pace, work: Duration) -> Self {
            Self {
                window: Window::default(),
                partition,
                pace,
                in_flight: VecDeque::new(),
                work,
                taken: 0,
                back: 0,
            }
        }

        /// Sends what may be sent now, and goes on to what happens next.
        async fn step(&mut self, until: Instant) {
            while self.window.is_open(self.in_flight.len()) && self.pace.next_at().is_none() {
                self.window.sent();
                let charge = self.pace.charge(25);
                let now = Instant::now();
                let last = self.in_flight.back().map_or(now, |(at, ..)| *at);
                let at = (now + Duration::from_millis(5)).max(last + self.work);
                let taken = self.partition.takes(25);
                self.in_flight.push_back((at, charge, taken));
            }
            let next_at = self.pace.next_at().unwrap_or(until);
            let answer_at = self.in_flight.front().map_or(next_at, |(at, ..)| *at);
            let soon = Instant::now() + Duration::from_micros(100);
            sleep_until(next_at.min(answer_at).max(soon)).await;
            let now = Instant::now();
            while self.in_flight.front().is_some_and(|(at, ..)| *at <= now) {
                let (_, charge, deleted) = self.in_flight.pop_front().unwrap();
                self.pace.settle(charge, 25, deleted, deleted as f64);
                if deleted == 25 {
                    self.window.went_through();
                    self.pace.went_through();
                } else {
                    self.window.came_back();
                    self.pace.came_back();
                }
                self.taken += deleted;
                self.back += 25 - deleted;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deletion_of_some_seconds_is_handed_little_back() {
        // An endpoint that works on one batch after the other, and one that does not;
        // and a partition that takes half of what one takes at first.
        for (rate, deletes, work, most_back) in [
            (1_000.0, 4_000, 1, 0.05),
            (1_000.0, 4_000, 0, 0.05),
            (500.0, 3_000, 1, 0.1),
            (500.0, 3_000, 0, 0.1),
        ] {
            let work = Duration::from_millis(work);
            let mut partition = Partition::new(rate, 500.0);
            let mut pace = Pace::new(None);
            let mut sender = Sender::new(&mut partition, &mut pace, work);
            let start = Instant::now();
            while sender.taken < deletes {
                sender.step(start + Duration::from_mins(1)).await;
            }
            let back = sender.back as f64 / sender.taken as f64;
            let least = (sender.taken as f64 - 500.0) / rate;
            let share = least / start.elapsed().as_secs_f64();
            println!("{deletes} at {rate} a second: {share:.3} of it, {back:.3} came back");
            assert!(back < most_back, "{back:.3} came back");
            assert!(share > 0.97, "{share:.3} of the ceiling");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_ceiling_is_found_and_kept_and_found_again_when_it_changes() {
        let mut pace = Pace::new(None);
        let mut partition = Partition::new(1_000.0, 500.0);
        // In between, it takes nothing at all for two seconds.
        for (rate, seconds) in [
            (1_000.0, 8),
            (3_000.0, 16),
            (0.0, 2),
            (1_000.0, 16),
            (200.0, 8),
            (1_500.0, 16),
        ] {
            partition.rate = rate;
            let start = Instant::now();
            let (learnt_by, until) = (
                start + Duration::from_secs(seconds) / 4,
                start + Duration::from_secs(seconds),
            );
            if rate == 0.0 {
                partition.tokens = 0.0;
            }
            let mut sender = Sender::new(&mut partition, &mut pace, Duration::ZERO);
            while Instant::now() < learnt_by {
                sender.step(learnt_by).await;
            }
            (sender.taken, sender.back) = (0, 0);
            while Instant::now() < until {
                sender.step(until).await;
            }
            if rate == 0.0 {
                continue;
            }
            let took = sender.taken as f64 / (until - learnt_by).as_secs_f64();
            let back = sender.back as f64 / sender.taken as f64;
            println!("{took:.0} of {rate} a second, {back:.3} came back");
            assert!(took >= rate * 0.93, "{took:.0} of {rate}");
            assert!(back < 0.05, "{back:.3} came back at {rate}");
        }
    }
}

//! The parts of the deleter together, against a partition with a ceiling, by a
//! paused clock.

#![expect(
    clippy::cast_precision_loss,
    reason = "numbers of deletes are far from 2^52"
)]

use std::{collections::VecDeque, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    concurrency::ConcurrencyLimit,
    pacer::{Charge, Pacer},
};

/// A partition that takes N units a second, with a burst, as a token
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

    /// Returns how many of these deletes of one unit it takes.
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

/// Sends batches to a partition, 5 ms away.
struct Sender<'a> {
    limit: ConcurrencyLimit,
    partition: &'a mut Partition,
    pacer: &'a mut Pacer,
    /// When each is answered, and what was taken of it.
    in_flight: VecDeque<(Instant, Charge, usize)>,
    /// How long the endpoint works for each batch, one after the other.
    work: Duration,
    taken: usize,
    unprocessed: usize,
}

impl<'a> Sender<'a> {
    fn new(partition: &'a mut Partition, pacer: &'a mut Pacer, work: Duration) -> Self {
        Self {
            limit: ConcurrencyLimit::default(),
            partition,
            pacer,
            in_flight: VecDeque::new(),
            work,
            taken: 0,
            unprocessed: 0,
        }
    }

    /// Sends what may be sent now, and advances to the next event.
    async fn step(&mut self, until: Instant) {
        while self.limit.is_open(self.in_flight.len()) && self.pacer.next_at().is_none() {
            self.limit.sent();
            let charge = self.pacer.charge(25);
            let now = Instant::now();
            let last = self.in_flight.back().map_or(now, |(at, ..)| *at);
            let at = (now + Duration::from_millis(5)).max(last + self.work);
            let taken = self.partition.takes(25);
            self.in_flight.push_back((at, charge, taken));
        }
        let next_at = self.pacer.next_at().unwrap_or(until);
        let answer_at = self.in_flight.front().map_or(next_at, |(at, ..)| *at);
        let soon = Instant::now() + Duration::from_micros(100);
        sleep_until(next_at.min(answer_at).max(soon)).await;
        let now = Instant::now();
        while self.in_flight.front().is_some_and(|(at, ..)| *at <= now) {
            let (_, charge, deleted) = self.in_flight.pop_front().unwrap();
            self.pacer.settle(charge, 25, deleted, deleted as f64);
            if deleted == 25 {
                self.limit.succeeded();
                self.pacer.succeeded();
            } else {
                self.limit.throttled();
                self.pacer.throttled();
            }
            self.taken += deleted;
            self.unprocessed += 25 - deleted;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_of_some_seconds_gets_few_writes_back() {
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
        let mut pacer = Pacer::new(None);
        let mut sender = Sender::new(&mut partition, &mut pacer, work);
        let start = Instant::now();
        while sender.taken < deletes {
            sender.step(start + Duration::from_mins(1)).await;
        }
        let back = sender.unprocessed as f64 / sender.taken as f64;
        let least = (sender.taken as f64 - 500.0) / rate;
        let share = least / start.elapsed().as_secs_f64();
        println!("{deletes} at {rate} a second: {share:.3} of it, {back:.3} unprocessed");
        assert!(back < most_back, "{back:.3} unprocessed");
        assert!(share > 0.97, "{share:.3} of the ceiling");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ceiling_is_found_and_kept_and_found_again_when_it_changes() {
    let mut pacer = Pacer::new(None);
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
        let (rate_by, until) = (
            start + Duration::from_secs(seconds) / 4,
            start + Duration::from_secs(seconds),
        );
        if rate == 0.0 {
            partition.tokens = 0.0;
        }
        let mut sender = Sender::new(&mut partition, &mut pacer, Duration::ZERO);
        while Instant::now() < rate_by {
            sender.step(rate_by).await;
        }
        (sender.taken, sender.unprocessed) = (0, 0);
        while Instant::now() < until {
            sender.step(until).await;
        }
        if rate == 0.0 {
            continue;
        }
        let took = sender.taken as f64 / (until - rate_by).as_secs_f64();
        let back = sender.unprocessed as f64 / sender.taken as f64;
        println!("{took:.0} of {rate} a second, {back:.3} unprocessed");
        assert!(took >= rate * 0.93, "{took:.0} of {rate}");
        assert!(back < 0.05, "{back:.3} unprocessed at {rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_debt_is_paid_before_anything_is_sent() {
    let debt = Duration::from_secs(40);
    let mut pacer = Pacer::owing(std::num::NonZeroU32::new(10), debt);
    assert_eq!(pacer.next_at(), Some(Instant::now() + debt));
    assert_eq!(pacer.debt(), debt);
    tokio::time::advance(Duration::from_secs(41)).await;
    assert_eq!((pacer.next_at(), pacer.debt()), (None, Duration::ZERO));
    let charge = pacer.charge(1);
    pacer.settle(charge, 1, 1, 400.0);
    assert!(pacer.debt() > Duration::from_secs(39));
    // Without a limit, there is nothing to pay; the table itself may take no more, though.
    let mut pacer = Pacer::owing(None, debt);
    assert_eq!(pacer.next_at(), None);
    pacer.throttled();
    let next_at = pacer.next_at().unwrap();
    assert!(next_at - Instant::now() < Duration::from_secs(1));
}

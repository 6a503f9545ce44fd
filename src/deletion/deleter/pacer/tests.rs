//! The pacer under tokio's paused clock.

use std::collections::VecDeque;

use tokio::time::{advance, sleep_until};

use super::*;

/// Sends batches of 25 items of these sizes (KB), four at a time, each
/// answered after some milliseconds; the units that were consumed per second.
async fn rate(limit: u32, sizes: &[u32]) -> f64 {
    let mut pacer = Pacer::new(NonZeroU32::new(limit));
    let start = Instant::now();
    let mut in_flight = VecDeque::new();
    let mut consumed = 0.0;
    for (number, batch) in sizes.chunks(25).enumerate() {
        if in_flight.len() == 4 {
            let (answered_at, charge, deletes, units) = in_flight.pop_front().unwrap();
            sleep_until(answered_at).await;
            pacer.settle(charge, deletes, deletes, units);
        }
        while let Some(at) = pacer.next_at() {
            sleep_until(at).await;
        }
        let charge = pacer.charge(batch.len());
        let units = f64::from(batch.iter().sum::<u32>());
        consumed += units;
        let takes = Duration::from_millis(5 + number as u64 % 7);
        in_flight.push_back((Instant::now() + takes, charge, batch.len(), units));
    }
    for (answered_at, charge, deletes, units) in in_flight {
        sleep_until(answered_at).await;
        pacer.settle(charge, deletes, deletes, units);
    }
    sleep_until(pacer.paid_at).await;
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
    let mut pacer = Pacer::new(NonZeroU32::new(100));
    advance(Duration::from_mins(10)).await;
    let start = Instant::now();
    for _ in 0..4 {
        while let Some(at) = pacer.next_at() {
            sleep_until(at).await;
        }
        let charge = pacer.charge(25);
        pacer.settle(charge, 25, 25, 25.0);
    }
    // Three quarters of a second for the first three, but for the credit.
    assert_eq!(start.elapsed(), Duration::from_millis(650));
}

#[tokio::test(start_paused = true)]
async fn throttling_never_raises_the_rate_above_the_limit() {
    let mut pacer = Pacer::new(NonZeroU32::new(100));
    let start = Instant::now();
    // A quarter of a second for each.
    pacer.charge(25);
    pacer.charge(25);
    pacer.throttled();
    assert_eq!(pacer.next_at(), Some(start + Duration::from_millis(500)));
}

#[tokio::test(start_paused = true)]
async fn the_first_throttle_makes_the_next_batch_wait() {
    // Large items longer, since a batch of them takes more.
    for (units, wait) in [(25.0, 25), (75.0, 50)] {
        let mut pacer = Pacer::new(None);
        advance(Duration::from_secs(1)).await;
        let charge = pacer.charge(25);
        pacer.settle(charge, 25, 25, units);
        assert_eq!(pacer.next_at(), None);
        pacer.throttled();
        let next_at = Instant::now() + Duration::from_millis(wait);
        assert_eq!(pacer.next_at(), Some(next_at));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_charged_an_estimate_and_settled_when_answered() {
    let mut pacer = Pacer::new(NonZeroU32::new(100));
    let start = Instant::now();
    let paid_after = |pacer: &Pacer| pacer.paid_at - start;
    let first = pacer.charge(25);
    assert_eq!(paid_after(&pacer), Duration::from_millis(250));
    // Three units each: fifty more than it was charged. The next are taken for two.
    pacer.settle(first, 25, 25, 75.0);
    assert_eq!(paid_after(&pacer), Duration::from_millis(750));
    let second = pacer.charge(25);
    assert_eq!(paid_after(&pacer), Duration::from_millis(1_250));
    // Five of them at two units are what five were charged; the rest stays charged.
    pacer.settle(second, 25, 5, 10.0);
    assert_eq!(paid_after(&pacer), Duration::from_millis(1_250));
    // A unit less for each than charged is given back.
    let third = pacer.charge(25);
    pacer.settle(third, 25, 25, 25.0);
    assert_eq!(paid_after(&pacer), Duration::from_millis(1_500));
    // What has deleted nothing says nothing.
    let fourth = pacer.charge(20);
    pacer.settle(fourth, 20, 0, 0.0);
    assert_eq!(paid_after(&pacer), Duration::from_millis(1_800));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_takes_nothing_is_left_alone_for_a_backoff() {
    for takes_something in [true, false] {
        let mut pacer = Pacer::new(None);
        pacer.throttled();
        let charge = pacer.charge(25);
        if takes_something {
            pacer.settle(charge, 25, 25, 25.0);
        }
        advance(Duration::from_millis(300)).await;
        pacer.throttled();
        assert_eq!(pacer.not_before.is_none(), takes_something);
    }
}

#[tokio::test(start_paused = true)]
async fn the_backoff_doubles_with_each_unanswered_batch() {
    let mut longest = [Duration::ZERO; 3];
    for _ in 0..200 {
        let mut pacer = Pacer::new(None);
        for (before, longest) in longest.iter_mut().enumerate() {
            pacer.unanswered();
            let not_before = pacer.not_before.unwrap();
            let wait = not_before.checked_duration_since(Instant::now());
            let wait = wait.expect("no wait ends before it begins");
            assert!(wait <= Backoff::bound(u32::try_from(before).unwrap()));
            *longest = wait.max(*longest);
        }
        // An answer ends the row.
        let charge = pacer.charge(25);
        pacer.settle(charge, 25, 25, 25.0);
        pacer.unanswered();
        assert!(pacer.not_before.unwrap() <= Instant::now() + Backoff::bound(0));
    }
    // Of 200 draws the longest is near the bound.
    for (before, longest) in longest.into_iter().enumerate() {
        assert!(longest > Backoff::bound(u32::try_from(before).unwrap()).mul_f64(0.8));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_a_seconds_worth_and_one_delete_at_first() {
    let mut pacer = Pacer::new(NonZeroU32::new(30));
    assert_eq!((pacer.batch_size(0), pacer.batch_size(1)), (1, 0));
    let charge = pacer.charge(1);
    pacer.settle(charge, 1, 1, 5.0);
    // Three units each by the estimate.
    assert_eq!(pacer.batch_size(1), 10);
    let charge = pacer.charge(10);
    pacer.settle(charge, 10, 10, 4_000.0);
    assert_eq!(pacer.batch_size(0), 1);
    assert_eq!(Pacer::new(None).batch_size(7), 25);
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_nothing_waits() {
    let mut pacer = Pacer::new(None);
    assert!(pacer.deletes_within(Duration::ZERO).is_infinite());
    for _ in 0..1_000 {
        assert_eq!(pacer.next_at(), None);
        let charge = pacer.charge(25);
        pacer.settle(charge, 25, 25, 10_000.0);
    }
}

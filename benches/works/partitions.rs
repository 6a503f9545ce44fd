//! The partitions of one partition key, as far as a deletion notices them: where each
//! ends in the sort key, how many writes it takes, and when it splits.
//!
//! As "Amazon DynamoDB: A Scalable, Predictably Performant, and Fully Managed `NoSQL`
//! Database Service" (USENIX ATC 2022, section 4.4) describes: what splits a partition is
//! the throughput that it consumed, and a partition whose keys are accessed in sequence
//! does not split.

use std::time::Duration;

/// How long accesses are looked at together.
const SPAN: Duration = Duration::from_secs(1);
/// The part of its writes that a partition has to take in such a time to be hot: a sender
/// that adapts to what is unprocessed stays a little below all of it.
const HOT: f64 = 0.9;
/// How fine the times of writes are kept.
const TICK: Duration = Duration::from_millis(100);

/// What partitions take, and which there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ceiling {
    /// Writes per second of each partition.
    pub(crate) per_second: f64,
    /// The most that it takes at once.
    pub(crate) burst: f64,
    /// The shares of the items that the partitions have, in the order of the sort key.
    pub(crate) shares: &'static [f64],
    /// When they split; `None` for never.
    pub(crate) splits: Option<Splits>,
}

/// When partitions split.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Splits {
    /// How long a partition has to be hot, and not accessed in sequence.
    pub(crate) after: Duration,
    /// How many partitions there are at most.
    pub(crate) most: usize,
}

/// A partition that is or was.
#[derive(Clone, Debug)]
struct Partition {
    /// Its keys, as positions among all keys.
    keys: std::ops::Range<usize>,
    tokens: f64,
    filled_at: Duration,
    heat: Heat,
    parent: Option<usize>,
    born_at: Duration,
    split_at: Option<Duration>,
}

/// The accesses of a partition, a time after another.
#[derive(Clone, Debug, Default)]
struct Heat {
    ends_at: Duration,
    /// Positions of the keys that were accessed.
    accessed: Vec<usize>,
    taken: f64,
    /// The key that nine in ten of the accesses before come before.
    nine_tenths_before: Option<usize>,
    /// How long it was hot so far.
    hot_for: Duration,
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Partitions {
    ceiling: Ceiling,
    /// How many keys there are at the beginning.
    keys: usize,
    /// Those that have split are kept.
    all: Vec<Partition>,
    /// Writes that were taken, by tick.
    taken: Vec<f64>,
}

impl Partition {
    fn new(keys: std::ops::Range<usize>, burst: f64, parent: Option<usize>, now: Duration) -> Self {
        Self {
            keys,
            tokens: burst,
            filled_at: now,
            heat: Heat::default(),
            parent,
            born_at: now,
            split_at: None,
        }
    }

    fn takes(&mut self, ceiling: &Ceiling, now: Duration) -> bool {
        let filled = now.saturating_sub(self.filled_at).as_secs_f64() * ceiling.per_second;
        self.tokens = (self.tokens + filled).min(ceiling.burst);
        self.filled_at = now;
        let takes = self.tokens >= 1.0;
        if takes {
            self.tokens -= 1.0;
        }
        takes
    }

    /// Returns how many writes it takes from its beginning to a time, at most.
    fn capacity(&self, ceiling: &Ceiling, until: Duration) -> f64 {
        let end = self.split_at.map_or(until, |split_at| split_at.min(until));
        match end.checked_sub(self.born_at) {
            Some(lived) => ceiling.burst + lived.as_secs_f64() * ceiling.per_second,
            None => 0.0,
        }
    }
}

impl Heat {
    /// Notes an access; returns how long the partition was hot.
    fn accessed(&mut self, key: usize, takes: bool, per_second: f64, now: Duration) -> Duration {
        if now >= self.ends_at {
            self.end(per_second);
            self.ends_at = now + SPAN;
        }
        self.accessed.push(key);
        self.taken += f64::from(u8::from(takes));
        self.hot_for
    }

    /// Looks at the accesses of the time that ends. They were in sequence if nine in ten come
    /// after nine in ten of those before.
    fn end(&mut self, per_second: f64) {
        self.accessed.sort_unstable();
        let tenth = self.accessed.len() / 10;
        let first = self.accessed.get(tenth).copied();
        let in_sequence = self
            .nine_tenths_before
            .is_none_or(|before| first >= Some(before));
        if self.taken >= HOT * per_second * SPAN.as_secs_f64() && !in_sequence {
            self.hot_for += SPAN;
        }
        self.nine_tenths_before = self.accessed.iter().rev().nth(tenth).copied();
        self.accessed.clear();
        self.taken = 0.0;
    }
}

impl Partitions {
    /// Returns the partitions of this many keys.
    pub(crate) fn new(keys: usize, ceiling: Ceiling) -> Self {
        let mut all = Vec::new();
        let (mut from, mut sum) = (0, 0.0);
        for (at, share) in ceiling.shares.iter().enumerate() {
            sum += share;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a number of items"
            )]
            let border = (sum * keys as f64).round() as usize;
            let is_last = at + 1 == ceiling.shares.len();
            let end = if is_last { keys } else { border };
            all.push(Partition::new(
                from..end,
                ceiling.burst,
                None,
                Duration::ZERO,
            ));
            from = end;
        }
        Self {
            ceiling,
            keys,
            all,
            taken: Vec::new(),
        }
    }

    /// Returns whether the partition of a key takes a write now. The key is given by its
    /// position among all keys.
    pub(crate) fn takes(&mut self, key: usize, now: Duration) -> bool {
        let key = key.min(self.keys.saturating_sub(1));
        let at = self
            .all
            .iter()
            .position(|partition| partition.split_at.is_none() && partition.keys.contains(&key))
            .expect("every key is in a partition");
        let partition = &mut self.all[at];
        let takes = partition.takes(&self.ceiling, now);
        let per_second = self.ceiling.per_second;
        let hot_for = partition.heat.accessed(key, takes, per_second, now);
        if takes {
            let tick = usize::try_from(now.as_millis() / TICK.as_millis()).unwrap();
            self.taken.resize(self.taken.len().max(tick + 1), 0.0);
            self.taken[tick] += 1.0;
        }
        if let Some(splits) = self.ceiling.splits
            && hot_for >= splits.after
            && self.count() < splits.most
        {
            self.split(at, now);
        }
        takes
    }

    /// Splits a partition at its middle. Each half begins with a burst of its own.
    fn split(&mut self, at: usize, now: Duration) {
        let keys = self.all[at].keys.clone();
        let middle = keys.start.midpoint(keys.end);
        if middle == keys.start {
            return;
        }
        self.all[at].split_at = Some(now);
        for half in [keys.start..middle, middle..keys.end] {
            let half = Partition::new(half, self.ceiling.burst, Some(at), now);
            self.all.push(half);
        }
    }

    /// Returns how many partitions there are.
    pub(crate) fn count(&self) -> usize {
        let is_whole = |partition: &&Partition| partition.split_at.is_none();
        self.all.iter().filter(is_whole).count()
    }

    /// Returns the shortest time that all writes could have taken, by the partitions that
    /// there were and when they split.
    pub(crate) fn best(&self) -> Duration {
        let (mut too_short, mut enough) = (Duration::ZERO, Duration::from_hours(24 * 365));
        for _ in 0..64 {
            let middle = (too_short + enough) / 2;
            if self.suffices(middle) {
                enough = middle;
            } else {
                too_short = middle;
            }
        }
        enough
    }

    /// Returns whether all writes could have been taken until then. What a half cannot take
    /// itself, the whole has to have taken before.
    fn suffices(&self, until: Duration) -> bool {
        let mut left: Vec<f64> = self
            .all
            .iter()
            .map(|partition| match partition.split_at {
                None => partition.keys.len() as f64,
                Some(_) => 0.0,
            })
            .collect();
        // Halves come after the whole.
        for (at, partition) in self.all.iter().enumerate().rev() {
            let over = left[at] - partition.capacity(&self.ceiling, until);
            match partition.parent {
                _ if over <= 0.0 => {}
                Some(parent) => left[parent] += over,
                None => return false,
            }
        }
        true
    }

    /// Returns, for each split, how long it took until a second's writes were nine tenths of
    /// what all partitions take from then on; `None` if they never were.
    pub(crate) fn followed(&self) -> Vec<Option<Duration>> {
        let mut splits: Vec<Duration> = self.all.iter().filter_map(|p| p.split_at).collect();
        splits.sort_unstable();
        let ticks = usize::try_from(SPAN.as_millis() / TICK.as_millis()).unwrap();
        let begun_with = self.ceiling.shares.len();
        let follow = |(before, split_at): (usize, &Duration)| {
            let partitions = (begun_with + before + 1) as f64;
            let wanted = HOT * partitions * self.ceiling.per_second * SPAN.as_secs_f64();
            let from = usize::try_from(split_at.as_millis() / TICK.as_millis()).unwrap() + 1;
            let seconds = self.taken.get(from..)?.windows(ticks);
            let after = seconds.map(|second| second.iter().sum::<f64>());
            let at = after.into_iter().position(|taken| taken >= wanted)?;
            let ends_at = TICK * u32::try_from(from + at + ticks).unwrap();
            ends_at.checked_sub(*split_at)
        };
        splits.iter().enumerate().map(follow).collect()
    }
}

//! The debt of a deletion: what a worker has consumed beyond its pace. It is
//! kept in the record, since whoever continues has to wait until it is paid for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use crate::{clock::now_ms, record::Progress};

/// The longest debt that is paid: a longer one means that some clock is wrong. A batch has 25
/// items of 400 units at most, which take this long at a pace of 3 units a second.
const LONGEST: Duration = Duration::from_hours(1);

/// When everything that was deleted is paid for, by the pace: epoch milliseconds. The
/// deleter knows it, and the lease writes it with every write of the record, so that
/// a takeover knows it, too.
#[derive(Clone, Debug)]
pub(super) struct PaidUntil(Arc<AtomicI64>);

impl PaidUntil {
    /// Returns the debt that a record stores, if it has one.
    pub(super) fn of(progress: &Progress) -> Self {
        let until = progress.paid_until_ms.unwrap_or(0);
        Self(Arc::new(AtomicI64::new(until)))
    }

    /// Returns how long it takes until everything is paid for.
    pub(super) fn debt(&self) -> Duration {
        let left_ms = self.get().map_or(0, |until| until.saturating_sub(now_ms()));
        Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)).min(LONGEST)
    }

    /// Returns the time; `None` if it is past.
    pub(super) fn get(&self) -> Option<i64> {
        let until = self.0.load(Ordering::Relaxed);
        (until > now_ms()).then_some(until)
    }

    /// Notes that it takes this long until everything is paid for.
    pub(super) fn set(&self, debt: Duration) {
        let debt_ms = i64::try_from(debt.as_millis()).unwrap_or(i64::MAX);
        let until = now_ms().saturating_add(debt_ms);
        self.0.store(until, Ordering::Relaxed);
    }
}

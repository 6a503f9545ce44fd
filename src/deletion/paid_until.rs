//! The debt of a deletion: what a worker has consumed beyond its pace. It goes with
//! the record, since whoever continues has to wait until it is paid for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use crate::clock::now_ms;

/// When everything that was deleted is paid for, by the pace: epoch milliseconds. The
/// deleter knows it, and the lease writes it with every write of the record, so that
/// a takeover knows it, too.
#[derive(Clone, Debug, Default)]
pub(super) struct PaidUntil(Arc<AtomicI64>);

impl PaidUntil {
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

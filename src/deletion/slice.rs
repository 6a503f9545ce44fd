//! The result of one slice of a deletion, for whoever calls slice after slice:
//! the state machine, or a terminal.

use serde::Serialize;

use super::{End, Outcome};
use crate::{clock::now_ms, config::LEASE_RANGE, record::RecordState};

/// The result of one slice, as `drain` returns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Slice {
    /// The deletion.
    pub deletion_id: String,
    /// Its campaign.
    pub campaign_id: String,
    /// `running` or `succeeded`.
    pub status: &'static str,
    /// How many items are counted so far.
    pub processed: u64,
    /// Whether this slice has deleted or counted anything, or finished.
    pub moved: bool,
    /// Whether another worker holds the lease: waiting for it is not a lack of
    /// progress.
    pub held_by_another: bool,
    /// Seconds to wait before the next call: until the lease ends, if another worker
    /// holds it or this slice could not release it, and until what was consumed is paid
    /// for by the pace; 0 if there is nothing to wait for.
    pub wait_seconds: u64,
}

impl Slice {
    /// Returns the slice of an outcome.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        let record = &outcome.record;
        let (lease_left, debt) = match record.state {
            RecordState::Running => (
                seconds_until(record.lease_until_ms),
                record.progress.paid_until_ms.map_or(0, seconds_until),
            ),
            RecordState::Succeeded { .. } => (0, 0),
        };
        Self {
            deletion_id: record.deletion_id.clone(),
            campaign_id: record.campaign_id.to_string(),
            status: record.state.as_str(),
            processed: record.progress.counted.total(),
            moved: outcome.stats.moved || outcome.end == End::Complete,
            held_by_another: outcome.end == End::Attached && lease_left > 0,
            wait_seconds: lease_left.max(debt),
        }
    }
}

/// The longest wait for a lease, seconds: the longest lease that can be set. A
/// worker whose clock is wrong may have written any time.
const LONGEST_WAIT: u64 = *LEASE_RANGE.end();

/// Returns the seconds until a time (epoch milliseconds), rounded up.
fn seconds_until(at_ms: i64) -> u64 {
    let left_ms = u64::try_from(at_ms.saturating_sub(now_ms())).unwrap_or(0);
    left_ms.div_ceil(1_000).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{deletion::SliceStats, record::Record};

    #[test]
    fn only_an_unexpired_lease_is_held_by_another() {
        let record = |lease_left_ms: i64| Record::example(now_ms() + lease_left_ms);
        for (end, lease_left_ms, held, wait) in [
            (End::Attached, 60_000, true, 60),
            (End::Attached, -1, false, 0),
            (End::Remaining { handed_off: false }, 60_000, false, 60),
            (End::Remaining { handed_off: false }, -1, false, 0),
        ] {
            let slice = Slice::of(&Outcome {
                record: record(lease_left_ms),
                end,
                stats: SliceStats::default(),
                replayed: false,
                paid_until_ms: None,
            });
            assert_eq!(
                (slice.held_by_another, slice.wait_seconds),
                (held, wait),
                "{end:?}"
            );
            assert!(!slice.moved);
        }
    }
}

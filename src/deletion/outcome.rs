//! The outcome of an advance: the record as it was left, how far the deletion is, and what this
//! worker has done.

use crate::record::Record;

/// The outcome of an advance.
#[derive(Debug)]
pub struct Outcome {
    /// The record as this worker left it, or as it last saw it.
    pub record: Record,
    /// How far the deletion is.
    pub end: End,
    /// What this worker has done.
    pub stats: SliceStats,
    /// Whether this is the deletion of an earlier request with the same
    /// idempotency key.
    pub replayed: bool,
    /// When what this worker has consumed is paid for by the pace, epoch
    /// milliseconds; `None` if it is already.
    pub paid_until_ms: Option<i64>,
}

/// How far a deletion is after an advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything is gone; the record is closed.
    Complete,
    /// There is more to do, and this worker has stopped.
    Remaining {
        /// Whether the rest was handed off.
        handed_off: bool,
    },
    /// Another worker holds the lease.
    Attached,
}

/// What a worker has done in one advance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SliceStats {
    /// Whether anything was counted or deleted.
    pub moved: bool,
    /// How many deletes were acknowledged.
    pub deleted: u64,
    /// How many deletes were unprocessed and had to be sent again: returned by
    /// DynamoDB, throttled or unanswered.
    pub unprocessed: u64,
    /// Write units that the deletes have consumed, where DynamoDB reported them.
    pub consumed: f64,
}

impl Outcome {
    /// Returns an outcome for which nothing was done.
    pub(super) fn of(record: Record, end: End) -> Self {
        Self {
            record,
            end,
            stats: SliceStats::default(),
            replayed: false,
            paid_until_ms: None,
        }
    }
}

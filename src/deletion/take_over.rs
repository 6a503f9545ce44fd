//! Takes over a deletion without an active worker.

use super::{
    Budget,
    lease::{Lease, NotWritten},
};
use crate::{
    clock::now_ms,
    config::DeletionSettings,
    record::{Record, RecordState},
    table::Table,
};

/// Who works on a claimed deletion.
pub(super) enum Claimed<'a> {
    /// This worker holds the lease.
    Held(Box<Lease<'a>>),
    /// Another worker holds it, or may; the record as last seen.
    Attached(Box<Record>),
    /// The takeover got no answer; the record as it was read.
    Unanswered(Box<Record>),
}

/// Takes a deletion over if it is running and its lease has ended.
///
/// # Errors
/// There is nothing to resume: the deletion's finished record, or `None` if the
/// record is gone.
pub(super) async fn take_over<'a>(
    table: &'a Table,
    settings: &'a DeletionSettings,
    record: Record,
    budget: Budget,
) -> Result<Claimed<'a>, Option<Box<Record>>> {
    if record.state != RecordState::Running {
        return Err(Some(Box::new(record)));
    }
    let now = now_ms();
    // Without time to work, taking over what was just released would only hand it
    // off once more.
    let is_waiting = budget.work_is_over() && !record.is_stalled(settings.lease, now);
    if !record.lease_ended(now) || is_waiting {
        return Ok(Claimed::Attached(Box::new(record)));
    }
    let deadline = budget.claim_until;
    match Lease::take_over(table, settings, record.clone(), deadline).await {
        Ok(lease) => Ok(Claimed::Held(Box::new(lease))),
        // A late release of a worker that is gone came first: no worker is active.
        Err(NotWritten::Lost(Some(now)))
            if now.lease_ended(now_ms()) && now.version > record.version =>
        {
            Box::pin(take_over(table, settings, *now, budget)).await
        }
        Err(NotWritten::Lost(Some(now))) if now.state == RecordState::Running => {
            Ok(Claimed::Attached(now))
        }
        Err(NotWritten::Lost(now)) => Err(now),
        Err(NotWritten::Unanswered(error)) => {
            tracing::warn!(
                deletion_id = %record.deletion_id,
                campaign_id = %record.campaign_id,
                "could not take over deletion {}: {error}",
                record.deletion_id,
            );
            Ok(Claimed::Unanswered(Box::new(record)))
        }
    }
}

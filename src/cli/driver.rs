//! Drives a deletion to completion on this machine, slice after slice, as the state
//! machine of the template does. `serve` does it in the background for what its
//! requests leave, `delete` in the foreground.

use std::time::Duration;

use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep},
};

use super::CliError;
use crate::{
    deletion::{Budget, Deletions, End, Outcome, Slice},
    record::{DeletionRef, Record},
    table::TableError,
};

/// After this many slices in a row without progress, the deletion is given up.
const MOST_IDLE: u32 = 8;
/// The longest pause after a slice without progress.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Advances a deletion until it has finished; waits while another worker holds it.
///
/// # Errors
/// [`CliError`] when there is no such deletion, or no more progress. The deletion can
/// still be resumed.
pub(super) async fn until_done(
    deletions: &Deletions,
    of: &DeletionRef,
) -> Result<Record, CliError> {
    let mut idle = 0;
    loop {
        let budget = Budget::of_slice(Instant::now(), None);
        let (progress, wait_seconds, why) = match deletions.resume(of, budget).await {
            Ok(Some(Outcome {
                record,
                end: End::Complete,
                ..
            })) => return Ok(record),
            Ok(Some(outcome)) => {
                let slice = Slice::of(&outcome);
                (
                    slice.moved || slice.held_by_another,
                    slice.wait_seconds,
                    None,
                )
            }
            Ok(None) => {
                let id = &of.deletion_id;
                return Err(CliError::Refused(format!("there is no deletion {id}")));
            }
            // Trying again does not make the record readable.
            Err(error @ TableError::Corrupt { .. }) => return Err(error.into()),
            Err(error) => (false, 0, Some(error)),
        };
        idle = if progress { 0 } else { idle + 1 };
        if idle < MOST_IDLE {
            let pause = match idle.checked_sub(1) {
                None => Duration::ZERO,
                Some(doublings) => Duration::from_secs(1 << doublings).min(LONGEST_PAUSE),
            };
            sleep(pause + Duration::from_secs(wait_seconds)).await;
        } else {
            let why = why.map_or_else(String::new, |error| format!(": {error}"));
            return Err(CliError::Refused(format!(
                "deletion {} made no progress in {MOST_IDLE} attempts{why}",
                of.deletion_id
            )));
        }
    }
}

/// Resumes every deletion that arrives, until the queue is closed.
pub(super) async fn in_the_background(
    deletions: Deletions,
    mut queue: UnboundedReceiver<DeletionRef>,
) {
    while let Some(of) = queue.recv().await {
        let deletions = deletions.clone();
        tokio::spawn(async move {
            match until_done(&deletions, &of).await {
                Ok(record) => tracing::info!(
                    deletion_id = %of.deletion_id,
                    items = record.progress.counted.total(),
                    "deletion {} finished in the background",
                    of.deletion_id,
                ),
                Err(error) => tracing::error!(
                    deletion_id = %of.deletion_id,
                    "could not finish deletion {} in the background: {error}",
                    of.deletion_id,
                ),
            }
        });
    }
}

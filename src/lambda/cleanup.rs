//! The `cleanup` function: one run of the scheduled clean-up.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use tokio::time::Instant;

use super::trigger::{Trigger, trigger};
use crate::{
    cleanup::{Cleanup, CleanupError, Summary},
    deletion::Budget,
};

impl From<CleanupError> for Diagnostic {
    fn from(error: CleanupError) -> Self {
        let error_type = match &error {
            CleanupError::InvalidEvent => "InvalidEvent",
            CleanupError::TableUnavailable(_) => "TableUnavailable",
        };
        Self {
            error_type: error_type.to_owned(),
            error_message: error.to_string(),
        }
    }
}

/// Handles one event of the `cleanup` function.
///
/// # Errors
/// [`CleanupError`].
pub async fn handle(cleanup: &Cleanup, event: LambdaEvent<Value>) -> Result<Summary, CleanupError> {
    let start = Instant::now();
    let (event, context) = event.into_parts();
    let request_id = context.request_id.as_str();
    let budget = Budget::of_slice(start, super::deadline(&context));
    let run = match trigger(&event) {
        Some(Trigger::Schedule) => cleanup.run(budget).await,
        Some(Trigger::Report) => cleanup.report(budget).await.map(|(summary, _)| summary),
        None => Err(CleanupError::InvalidEvent),
    };
    let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    match &run {
        Ok(summary) => tracing::info!(
            request_id,
            mode = ?summary.mode,
            resumed = summary.resumed.len(),
            events_sent = summary.events.map(|events| events.sent),
            events_unsent = summary.events.map(|events| events.unsent),
            campaigns = summary.campaign_count,
            candidates = summary.candidate_count,
            started = summary.started.len(),
            skipped = summary.skipped_count,
            guarded = summary.guarded,
            elapsed_ms,
            "clean-up: {} resumed, {} started",
            summary.resumed.len(),
            summary.started.len(),
        ),
        Err(error) => tracing::error!(request_id, elapsed_ms, "clean-up failed: {error}"),
    }
    if let Ok(summary) = &run
        && summary.guarded
    {
        tracing::error!(
            request_id,
            "a larger share of {} campaigns is past retention than MAX_DELETE_SHARE_PERCENT allows, \
             so none was deleted",
            summary.campaign_count,
        );
    }
    run
}

//! The scheduled clean-up: first it goes on with deletions that nobody is at,
//! then it deletes, or lists, the campaigns past retention. Both go through the
//! same claim and the same drain as a DELETE; this file group only chooses.

mod candidates;
mod event;
mod rescue;
mod retention;

use std::time::Duration;

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

pub use self::candidates::Candidate;
use self::event::Trigger;
use crate::{
    config::{Mode, RetentionSettings},
    deletion::{Budget, Deletions},
    lambda,
    table::TableError,
};

/// The clean-up, over one table.
#[derive(Clone, Debug)]
pub struct Cleanup {
    deletions: Deletions,
    retention: RetentionSettings,
}

/// What a run has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// What was done with campaigns past retention.
    pub mode: Mode,
    /// The deletions that stood still and were gone on with.
    pub resumed: Vec<String>,
    /// How many campaigns have a status in `RETENTION_STATUSES`; 0 when retention
    /// is off.
    pub campaign_count: u64,
    /// How many of them are past retention and not protected.
    pub candidate_count: u64,
    /// Of these the oldest [`NAMED`].
    pub candidates: Vec<String>,
    /// The deletions that this run has started.
    pub started: Vec<String>,
    /// Campaigns that were left alone, the first [`NAMED_SKIPPED`].
    pub skipped: Vec<Skipped>,
    /// How many campaigns were left alone.
    pub skipped_count: u64,
    /// Whether so many campaigns are past retention that none is deleted.
    pub guarded: bool,
}

/// A campaign that was left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// The campaign.
    pub campaign_id: String,
    /// Why.
    pub reason: Reason,
}

/// Why a campaign was left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// It is protected from deletion.
    Protected,
    /// It is not, or no longer, what the index shows.
    Changed,
    /// Its times cannot be read, so its age is not known.
    UnreadableTime,
    /// Its item cannot be read.
    Corrupt,
    /// The table did not answer in time. If its deletion was claimed all the same,
    /// a later run goes on with it.
    Unavailable,
    /// Nobody is at its deletion; a run that may write goes on with it.
    Stalled,
    /// It is in `deleting`, and of no deletion that runs. A DELETE claims it anew.
    NoDeletion,
}

/// How many candidates a summary names.
pub const NAMED: usize = 100;
/// How many campaigns that were left alone a summary names.
pub const NAMED_SKIPPED: usize = 1_000;

/// How many campaigns are looked at, or handed on, at once. Each takes a few
/// requests of milliseconds.
const AT_ONCE: usize = 16;

/// How long a run waits for one of its deletions to end, before it leaves the rest
/// to the next run.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it looks meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a run has no summary. The type of the function's error is the name of the
/// variant.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// Nothing was done.
    #[error(
        "the event must be a scheduled event of EventBridge (source aws.events or aws.scheduler) \
         or {{\"mode\": \"report\"}}"
    )]
    InvalidEvent,
    /// The table did not do its part. What was started goes on; the next run does
    /// the rest.
    #[error("{0}")]
    TableUnavailable(#[from] TableError),
}

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

impl Summary {
    fn new(mode: Mode) -> Self {
        Self {
            mode,
            resumed: Vec::new(),
            campaign_count: 0,
            candidate_count: 0,
            candidates: Vec::new(),
            started: Vec::new(),
            skipped: Vec::new(),
            skipped_count: 0,
            guarded: false,
        }
    }

    fn skip(&mut self, campaign_id: &impl ToString, reason: Reason) {
        self.skipped_count += 1;
        if self.skipped.len() < NAMED_SKIPPED {
            let campaign_id = campaign_id.to_string();
            self.skipped.push(Skipped {
                campaign_id,
                reason,
            });
        }
    }
}

impl Cleanup {
    /// The clean-up through this use case.
    #[must_use]
    pub fn new(deletions: Deletions, retention: RetentionSettings) -> Self {
        Self {
            deletions,
            retention,
        }
    }

    /// One run within this budget.
    ///
    /// # Errors
    /// [`CleanupError::TableUnavailable`].
    pub async fn run(&self, budget: Budget) -> Result<Summary, CleanupError> {
        let mut summary = Summary::new(self.retention.mode);
        let running = self.rescue(&mut summary, false, budget).await?;
        if budget.work_is_over() && self.retention.age.is_some() {
            tracing::warn!("going on with deletions has left no time for retention");
            return Ok(summary);
        }
        let candidates = self.list(&mut summary, budget).await?;
        if summary.mode == Mode::Enforce && !summary.guarded {
            self.start(&mut summary, candidates.into(), running, budget)
                .await;
        }
        Ok(summary)
    }

    /// What a run within this budget would do, and the candidates that one run may
    /// start, with some to spare, oldest first. Nothing is written.
    ///
    /// # Errors
    /// [`CleanupError::TableUnavailable`].
    pub async fn report(&self, budget: Budget) -> Result<(Summary, Vec<Candidate>), CleanupError> {
        let mut summary = Summary::new(Mode::Report);
        self.rescue(&mut summary, true, budget).await?;
        let candidates = self.list(&mut summary, budget).await?;
        Ok((summary, candidates))
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
    let budget = Budget::of_slice(start, lambda::deadline(&context));
    let run = match event::trigger(&event) {
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
        Err(error) => tracing::error!(request_id, elapsed_ms, "a clean-up failed: {error}"),
    }
    if let Ok(summary) = &run
        && summary.guarded
    {
        tracing::error!(
            request_id,
            "more of {} campaigns are past retention than MAX_DELETE_SHARE_PERCENT allows: none \
             is deleted",
            summary.campaign_count,
        );
    }
    run
}

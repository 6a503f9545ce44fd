//! The scheduled clean-up: it sends events that were left unsent, resumes stalled
//! deletions, then deletes, or lists, the campaigns past retention. Deletions go through
//! the same claim and the same drain as a DELETE; this room only chooses.

mod candidates;
mod events;
mod retention;
mod stalled;

use std::time::Duration;

use serde::Serialize;

pub use self::{candidates::Candidate, events::Events};
use crate::{
    campaign::UnreadableCampaign,
    config::{Mode, RetentionSettings},
    deletion::{Budget, Deletions},
    table::{Table, TableError},
};

/// The clean-up, over one table.
#[derive(Clone, Debug)]
pub struct Cleanup {
    table: Table,
    deletions: Deletions,
    retention: RetentionSettings,
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Whether campaigns past retention were listed or deleted.
    pub mode: Mode,
    /// The stalled deletions that were resumed.
    pub resumed: Vec<String>,
    /// What was done with unsent events; `None` if finished deletions are not announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Events>,
    /// How many campaigns have a status in `RETENTION_STATUSES`; 0 when retention
    /// is off.
    pub campaign_count: u64,
    /// How many of them are past retention and not protected.
    pub candidate_count: u64,
    /// The oldest [`NAMED`] of these.
    pub candidates: Vec<String>,
    /// The deletions that this run has started.
    pub started: Vec<String>,
    /// Campaigns that were skipped, the first [`NAMED_SKIPPED`].
    pub skipped: Vec<Skipped>,
    /// How many campaigns were skipped.
    pub skipped_count: u64,
    /// Whether none is deleted because too many campaigns are past retention.
    pub guarded: bool,
}

/// A campaign that was skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// The campaign.
    pub campaign_id: String,
    /// Why.
    pub reason: Reason,
    /// The attribute that cannot be read, if that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<&'static str>,
}

/// Why a campaign was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// It is protected from deletion.
    Protected,
    /// It has changed since the index was written.
    Changed,
    /// Its times cannot be read, so its age is not known.
    UnreadableTime,
    /// Its item, or its deletion's record, cannot be read.
    Corrupt,
    /// The table refuses its deletion, and would again.
    Refused,
    /// The table did not answer in time. If the deletion was claimed all the same, a
    /// later run resumes it.
    Unavailable,
    /// It has to be archived before it is claimed, and the archive cannot be written.
    NotArchived,
    /// Its deletion is stalled; a run that may write resumes it.
    Stalled,
    /// It has status `deleting` but no running deletion. A DELETE claims it again.
    NoDeletion,
}

/// How many candidates a summary names.
pub const NAMED: usize = 100;
/// How many skipped campaigns a summary names.
pub const NAMED_SKIPPED: usize = 1_000;

/// How many campaigns are read, or handed off, at once. Each takes a few requests
/// of milliseconds.
const AT_ONCE: usize = 16;

/// How long a run waits for one of its deletions to finish before it leaves the
/// rest to the next run.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it looks while it waits.
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
    /// The table failed. What was started continues; the next run does the rest.
    #[error("{0}")]
    TableUnavailable(#[from] TableError),
}

impl Summary {
    fn new(mode: Mode) -> Self {
        Self {
            mode,
            resumed: Vec::new(),
            events: None,
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
        self.push_skipped(campaign_id.to_string(), reason, None);
    }

    /// Skips a campaign for an error of the table.
    fn skip_for(&mut self, campaign_id: &impl ToString, error: &TableError) {
        let (reason, attribute) = match error {
            TableError::Corrupt { attribute, .. } => (Reason::Corrupt, Some(*attribute)),
            TableError::Refused(_) => (Reason::Refused, None),
            _ => (Reason::Unavailable, None),
        };
        self.push_skipped(campaign_id.to_string(), reason, attribute);
    }

    /// Skips a campaign that cannot be read.
    fn skip_unreadable(&mut self, unreadable: UnreadableCampaign) {
        tracing::error!(campaign_id = %unreadable.id, "{unreadable}");
        let attribute = Some(unreadable.attribute);
        self.push_skipped(unreadable.id, Reason::Corrupt, attribute);
    }

    fn push_skipped(
        &mut self,
        campaign_id: String,
        reason: Reason,
        attribute: Option<&'static str>,
    ) {
        self.skipped_count += 1;
        if self.skipped.len() < NAMED_SKIPPED {
            self.skipped.push(Skipped {
                campaign_id,
                reason,
                attribute,
            });
        }
    }
}

impl Cleanup {
    /// Returns the clean-up of `table` through the use case `deletions`.
    #[must_use]
    pub fn new(table: Table, deletions: Deletions, retention: RetentionSettings) -> Self {
        Self {
            table,
            deletions,
            retention,
        }
    }

    /// Runs once within this budget.
    ///
    /// # Errors
    /// [`CleanupError::TableUnavailable`].
    pub async fn run(&self, budget: Budget) -> Result<Summary, CleanupError> {
        let mut summary = Summary::new(self.retention.mode);
        // First, since they are quick: what is resumed may take all of the time.
        self.send_events(&mut summary, false, budget).await;
        let running = self.resume_stalled(&mut summary, false, budget).await?;
        if budget.work_is_over() && self.retention.age.is_some() {
            tracing::warn!("resuming deletions left no time for retention");
            return Ok(summary);
        }
        let candidates = self.list(&mut summary, budget).await?;
        if summary.mode == Mode::Enforce && !summary.guarded {
            self.start(&mut summary, candidates.into(), running, budget)
                .await;
        }
        Ok(summary)
    }

    /// Returns what a run within this budget would do, and the candidates that one
    /// run may start, with some to spare, oldest first. Writes nothing.
    ///
    /// # Errors
    /// [`CleanupError::TableUnavailable`].
    pub async fn report(&self, budget: Budget) -> Result<(Summary, Vec<Candidate>), CleanupError> {
        let mut summary = Summary::new(Mode::Report);
        self.send_events(&mut summary, true, budget).await;
        self.resume_stalled(&mut summary, true, budget).await?;
        let candidates = self.list(&mut summary, budget).await?;
        Ok((summary, candidates))
    }
}

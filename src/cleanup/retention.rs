//! Deletes, or lists, campaigns past retention.

use std::{collections::VecDeque, future::ready};

use tokio::time::{Instant, sleep_until};

use super::{
    Cleanup, CleanupError, LOOK_EVERY, NAMED, PATIENCE, Reason, Summary,
    candidates::{Candidate, Found},
};
use crate::{
    archive::ArchiveError,
    campaign::Campaign,
    clock::now_seconds,
    deletion::{Budget, DeletionRequest, End, Error, Outcome},
    metrics,
    record::{DeletionRef, Record, RecordState},
    table::TableError,
};

/// After this many candidates in a row for which the table was unavailable, the
/// rest is left to the next run: it is not one campaign's failure.
const MOST_UNAVAILABLE: u32 = 3;

/// The outcome of a candidate.
enum Begun {
    /// It is being deleted; and when what was consumed is paid for, if it is not yet.
    Running(Record, Option<i64>),
    /// It is deleted; and, as above, when what was consumed is paid for.
    Done(Record, Option<i64>),
    /// It has changed since the index was written.
    Changed,
    /// The table failed.
    Failed(TableError),
    /// The campaign item could not be archived, so it was not claimed.
    NotArchived(ArchiveError),
}

impl Cleanup {
    /// Returns the part of the run's time that one deletion gets: all that is left of
    /// it, or, if it can be handed off, what claiming takes.
    pub(super) fn share_of(&self, budget: Budget) -> Budget {
        if self.deletions.can_hand_off() {
            budget.claim_only(Instant::now())
        } else {
            budget
        }
    }

    /// Lists what is past retention, in the summary too.
    pub(super) async fn list(
        &self,
        summary: &mut Summary,
        budget: Budget,
    ) -> Result<Vec<Candidate>, CleanupError> {
        let Some(age) = self.retention.age else {
            return Ok(Vec::new());
        };
        let deadline = budget.work_until;
        let mut found =
            Found::look(&self.table, &self.retention, age, now_seconds(), deadline).await?;
        summary.campaign_count = found.total;
        summary.candidate_count = found.deletable;
        summary.guarded = found.is_guarded(self.retention.max_delete_share_percent);
        if summary.guarded {
            metrics::mass_deletion_guarded();
        }
        let counted = summary.skipped_count + found.skipped_count;
        for unreadable in std::mem::take(&mut found.unreadable) {
            summary.skip_unreadable(unreadable);
        }
        let (candidates, skipped) = found.into_parts();
        for (id, reason) in skipped {
            summary.skip(&id, reason);
        }
        summary.skipped_count = counted;
        let ids = candidates.iter().map(|found| found.campaign.id.to_string());
        summary.candidates = ids.take(NAMED).collect();
        Ok(candidates)
    }

    /// Starts deletions, oldest first. At the limit of deletions that may run at once
    /// it waits for one to finish. `running` are the deletions of retention that are
    /// running already.
    pub(super) async fn start(
        &self,
        summary: &mut Summary,
        mut candidates: VecDeque<Candidate>,
        mut running: Vec<DeletionRef>,
        budget: Budget,
    ) {
        let mut unavailable = 0;
        // The pace is the run's: each deletion begins when the one before is paid for.
        let mut paid_until_ms = None;
        while summary.started.len() < self.retention.max_campaigns_per_run && !budget.work_is_over()
        {
            if running.len() >= self.retention.max_running {
                let until = (Instant::now() + PATIENCE).min(budget.work_until);
                if !self.one_ends(&mut running, until).await {
                    return;
                }
                continue;
            }
            let Some(Candidate { campaign, .. }) = candidates.pop_front() else {
                return;
            };
            let id = campaign.id.clone();
            match self.begin(campaign, paid_until_ms, budget).await {
                Begun::Running(record, until) => {
                    paid_until_ms = until.or(paid_until_ms);
                    running.push(DeletionRef::of(&record));
                    summary.started.push(record.deletion_id);
                }
                Begun::Done(record, until) => {
                    paid_until_ms = until.or(paid_until_ms);
                    summary.started.push(record.deletion_id);
                }
                Begun::Changed => summary.skip(&id, Reason::Changed),
                Begun::NotArchived(error) => {
                    tracing::error!(campaign_id = %id, "did not delete campaign {id}: {error}");
                    summary.skip(&id, Reason::NotArchived);
                }
                Begun::Failed(error) => {
                    tracing::error!(campaign_id = %id, "could not delete campaign {id}: {error}");
                    summary.skip_for(&id, &error);
                    let is_unavailable =
                        matches!(error, TableError::Busy(_) | TableError::NoAnswer(_));
                    unavailable = if is_unavailable { unavailable + 1 } else { 0 };
                    if unavailable == MOST_UNAVAILABLE {
                        tracing::error!("the table is unavailable: the next run starts the rest");
                        return;
                    }
                    continue;
                }
            }
            unavailable = 0;
        }
    }

    /// Deletes a campaign if it still is exactly what the index showed: the claim's
    /// own condition checks that, without another read.
    async fn begin(&self, campaign: Campaign, paid_until_ms: Option<i64>, budget: Budget) -> Begun {
        let request = DeletionRequest::by_retention(&campaign).paid_until(paid_until_ms);
        let share = self.share_of(budget);
        let found = ready(Ok(Some(campaign)));
        match self.deletions.delete(&request, found, share).await {
            Ok(Outcome {
                record,
                end: End::Complete,
                paid_until_ms,
                ..
            }) => Begun::Done(record, paid_until_ms),
            Ok(Outcome {
                record,
                paid_until_ms,
                ..
            }) => Begun::Running(record, paid_until_ms),
            Err(Error::Table(error)) => Begun::Failed(error),
            Err(Error::Archive(error)) => Begun::NotArchived(error),
            Err(Error::Refused(_)) => Begun::Changed,
        }
    }

    /// Waits until at least one of these deletions has finished, and removes those
    /// that have; `false` if none has by then.
    async fn one_ends(&self, running: &mut Vec<DeletionRef>, until: Instant) -> bool {
        loop {
            let before = running.len();
            let mut still = Vec::new();
            for of in running.drain(..) {
                // A read that fails says nothing.
                match self.deletions.find(&of, until).await {
                    Ok(Some(record)) if record.state != RecordState::Running => {}
                    Ok(None) => {}
                    Ok(Some(_)) | Err(_) => still.push(of),
                }
            }
            *running = still;
            if running.len() < before {
                return true;
            }
            let next = Instant::now() + LOOK_EVERY;
            if next >= until {
                return false;
            }
            sleep_until(next).await;
        }
    }
}

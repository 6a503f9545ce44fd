//! Deleting, or listing, campaigns past retention.

use std::collections::VecDeque;

use tokio::time::{Instant, sleep_until};

use super::{
    Cleanup, CleanupError, LOOK_EVERY, NAMED, PATIENCE, Reason, Summary,
    candidates::{Candidate, Found},
};
use crate::{
    campaign::Campaign,
    deletion::{BY_RETENTION, Budget, DeletionRequest, End, Outcome, Record, RecordState},
    error::Error,
    hand_off::DeletionRef,
    metric,
    table::TableError,
    timestamp::now_seconds,
};

/// What became of a candidate.
enum Begun {
    /// It is being deleted.
    Running(Record),
    /// It is deleted.
    Done(Record),
    /// It was left alone.
    Skipped(Reason),
}

impl Cleanup {
    /// The part of the run's time that one deletion gets: all that is left of it,
    /// or, where there is somebody to hand it on to, what claiming takes.
    pub(super) fn share_of(&self, budget: Budget) -> Budget {
        if self.deletions.hands_on() {
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
        let table = self.deletions.table();
        let found = Found::look(table, &self.retention, age, now_seconds(), deadline).await?;
        summary.campaign_count = found.total;
        summary.candidate_count = found.deletable;
        summary.guarded = found.is_guarded(self.retention.max_delete_share_percent);
        if summary.guarded {
            metric::mass_deletion_guarded();
        }
        let counted = found.skipped_count;
        let (candidates, skipped) = found.into_parts();
        let named = skipped.len() as u64;
        for skipped in skipped {
            summary.skip(&skipped.campaign_id, skipped.reason);
        }
        summary.skipped_count += counted - named;
        let ids = candidates.iter().map(|found| found.campaign.id.to_string());
        summary.candidates = ids.take(NAMED).collect();
        Ok(candidates)
    }

    /// Starts deletions, oldest first, no more at once than the settings allow, and
    /// waits for one to end while there are as many. `running` are the deletions of
    /// retention that run already.
    pub(super) async fn start(
        &self,
        summary: &mut Summary,
        mut candidates: VecDeque<Candidate>,
        mut running: Vec<DeletionRef>,
        budget: Budget,
    ) {
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
            match self.begin(campaign, budget).await {
                Begun::Running(record) => {
                    running.push(DeletionRef::of(&record));
                    summary.started.push(record.deletion_id);
                }
                Begun::Done(record) => summary.started.push(record.deletion_id),
                Begun::Skipped(reason) => {
                    summary.skip(&id, reason);
                    // The next one would not get any further.
                    if reason == Reason::Unavailable {
                        return;
                    }
                }
            }
        }
    }

    /// Deletes a campaign if it still is exactly what the index has shown: the
    /// claim's own condition, not another look.
    async fn begin(&self, campaign: Campaign, budget: Budget) -> Begun {
        let request = DeletionRequest {
            account_id: campaign.account_id.clone(),
            requested_by: BY_RETENTION.to_owned(),
            if_match: None,
            idempotency_key: None,
            only_as_found: true,
        };
        let id = campaign.id.clone();
        let share = self.share_of(budget);
        let deleted = self.deletions.delete(&request, &id, Some(campaign), share);
        match deleted.await.map(|deleted| deleted.outcome) {
            Ok(Outcome {
                record,
                end: End::Complete,
                ..
            }) => Begun::Done(record),
            Ok(Outcome { record, .. }) => Begun::Running(record),
            Err(Error::Table(error)) => {
                tracing::error!(campaign_id = %id, "campaign {id} is not deleted: {error}");
                Begun::Skipped(match error {
                    TableError::Corrupt { .. } => Reason::Corrupt,
                    _ => Reason::Unavailable,
                })
            }
            Err(_) => Begun::Skipped(Reason::Changed),
        }
    }

    /// Waits until at least one of these deletions has ended, and takes out those
    /// that have; `false` if none has until then.
    async fn one_ends(&self, running: &mut Vec<DeletionRef>, until: Instant) -> bool {
        loop {
            let before = running.len();
            let mut still = Vec::new();
            for of in running.drain(..) {
                // A look that fails says nothing.
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

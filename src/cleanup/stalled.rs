//! Resumes stalled deletions: campaigns in `deleting` whose record shows a lease
//! that ended more than two lease lengths ago.

use std::{future::ready, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{AT_ONCE, Cleanup, CleanupError, Reason, Summary};
use crate::{
    campaign::{Campaign, Status},
    deletion::{Budget, DeletionRequest, End, Error, Outcome},
    metrics,
    record::{DeletionRef, Record, RecordState, Requester},
    table::TableError,
};

/// How long looking at one deletion may take: its trouble must not take the time
/// of the others.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// What is found behind a campaign that the index shows in `deleting`.
enum Behind {
    /// A running deletion, and whether it is stalled.
    Running(Box<Record>, bool),
    /// A claim whose record is gone.
    RecordMissing(Box<Campaign>),
    /// No running deletion, although the campaign exists.
    NoDeletion,
    /// The campaign is gone, or no longer in `deleting`.
    Stale,
}

/// How to resume a stalled deletion.
enum Stalled {
    /// By its record.
    Resume(DeletionRef),
    /// By claiming the campaign again, whose record is missing.
    ClaimAgain(Box<Campaign>),
}

impl Cleanup {
    /// Resumes stalled deletions, unless the run is dry, and returns the deletions of
    /// retention that are running now.
    pub(super) async fn resume_stalled(
        &self,
        summary: &mut Summary,
        is_dry: bool,
        budget: Budget,
    ) -> Result<Vec<DeletionRef>, CleanupError> {
        let mut running = Vec::new();
        let mut stalled = 0_u32;
        let mut listing = self.table.campaigns_by_status(Status::DELETING);
        while !budget.work_is_over()
            && let Some(page) = listing.next_page(budget.work_until).await?
        {
            let looks = stream::iter(page).map(async |listed| {
                let behind = self.behind(&listed.campaign, budget).await;
                (listed.campaign, behind)
            });
            let looked: Vec<_> = looks.buffered(AT_ONCE).collect().await;
            let mut stalled_ones = Vec::new();
            for (campaign, behind) in looked {
                if let Some(how) = sort_out(&campaign, behind, summary, &mut running) {
                    stalled_ones.push((campaign, how));
                }
            }
            stalled += u32::try_from(stalled_ones.len()).unwrap_or(u32::MAX);
            if is_dry {
                for (campaign, _) in stalled_ones {
                    summary.skip(&campaign.id, Reason::Stalled);
                }
                continue;
            }
            self.resume_all(stalled_ones, summary, &mut running, budget)
                .await;
        }
        for unreadable in listing.take_unreadable() {
            stalled += 1;
            summary.skip_unreadable(unreadable);
        }
        metrics::stalled_deletions(stalled);
        Ok(running)
    }

    /// Looks behind a campaign that the index shows in `deleting`, strongly
    /// consistent.
    async fn behind(&self, listed: &Campaign, budget: Budget) -> Result<Behind, TableError> {
        let deadline = budget.claim_until.min(Instant::now() + LONGEST_LOOK);
        let table = &self.table;
        // An index that does not project `deletionId` shows none.
        let deletion_id = match &listed.deletion_id {
            Some(id) => Some(id.clone()),
            None => table
                .campaign(&listed.id, deadline)
                .await?
                .and_then(|now| now.deletion_id),
        };
        let record = match &deletion_id {
            Some(id) => table.record(&listed.account_id, id, deadline).await?,
            None => None,
        };
        let is_missing = record.is_none();
        if let Some(record) = record
            && record.state == RecordState::Running
            && record.campaign_id == listed.id
        {
            let is_stalled = self.deletions.is_stalled(&record);
            return Ok(Behind::Running(Box::new(record), is_stalled));
        }
        Ok(match table.campaign(&listed.id, deadline).await? {
            Some(now) if now.status.is_deleting() && now.deletion_id == deletion_id => {
                if is_missing && now.deletion_id.is_some() {
                    Behind::RecordMissing(Box::new(now))
                } else {
                    Behind::NoDeletion
                }
            }
            _ => Behind::Stale,
        })
    }

    /// Takes over and hands off; one at a time, and as far as the time allows, when
    /// nothing can be handed off.
    async fn resume_all(
        &self,
        stalled_ones: Vec<(Campaign, Stalled)>,
        summary: &mut Summary,
        running: &mut Vec<DeletionRef>,
        budget: Budget,
    ) {
        let at_once = if self.deletions.can_hand_off() {
            AT_ONCE
        } else {
            1
        };
        let outcomes: Vec<_> = stream::iter(stalled_ones)
            .map(async |(listed, how)| {
                if budget.work_is_over() {
                    return None;
                }
                let outcome = match how {
                    Stalled::Resume(of) => self.resume(&of, budget).await,
                    Stalled::ClaimAgain(now) => self.claim_again(*now, budget).await,
                };
                outcome
                    .inspect_err(|error| {
                        tracing::error!(
                            campaign_id = %listed.id,
                            "could not resume the deletion of campaign {}: {error}",
                            listed.id,
                        );
                    })
                    .ok()
                    .flatten()
            })
            .buffered(at_once)
            .collect()
            .await;
        for outcome in outcomes.into_iter().flatten() {
            // Another worker was first.
            if outcome.end == End::Attached {
                continue;
            }
            let record = outcome.record;
            let of = DeletionRef::of(&record);
            running.retain(|running| *running != of);
            if outcome.end != End::Complete && record.requested_by == Requester::Retention {
                running.push(of);
            }
            summary.resumed.push(record.deletion_id);
        }
    }

    async fn resume(&self, of: &DeletionRef, budget: Budget) -> Result<Option<Outcome>, Error> {
        Ok(self.deletions.resume(of, self.share_of(budget)).await?)
    }

    /// Claims a campaign whose record is gone, under the deletion id that it names.
    async fn claim_again(&self, now: Campaign, budget: Budget) -> Result<Option<Outcome>, Error> {
        let request = DeletionRequest::again(&now);
        let outcome = self
            .deletions
            .delete(&request, ready(Ok(Some(now))), self.share_of(budget))
            .await?;
        Ok(Some(outcome))
    }
}

/// Notes what is behind a campaign, and returns how to resume its deletion if that is
/// stalled.
fn sort_out(
    campaign: &Campaign,
    behind: Result<Behind, TableError>,
    summary: &mut Summary,
    running: &mut Vec<DeletionRef>,
) -> Option<Stalled> {
    match behind {
        Ok(Behind::Stale) => None,
        Ok(Behind::NoDeletion) => {
            tracing::error!(
                campaign_id = %campaign.id,
                "campaign {} has status `deleting` but no running deletion; send DELETE again to \
                 restart it",
                campaign.id,
            );
            summary.skip(&campaign.id, Reason::NoDeletion);
            None
        }
        Ok(Behind::Running(record, is_stalled)) => {
            let of = DeletionRef::of(&record);
            if record.requested_by == Requester::Retention {
                running.push(of.clone());
            }
            is_stalled.then_some(Stalled::Resume(of))
        }
        Ok(Behind::RecordMissing(now)) => Some(Stalled::ClaimAgain(now)),
        Err(error) => {
            tracing::error!(
                campaign_id = %campaign.id,
                "could not read the deletion of campaign {}: {error}",
                campaign.id,
            );
            summary.skip_for(&campaign.id, &error);
            None
        }
    }
}

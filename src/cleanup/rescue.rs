//! Going on with deletions that nobody is at: campaigns in `deleting` whose
//! record shows a lease that ended more than two lease lengths ago.

use futures_util::{StreamExt, stream};

use super::{AT_ONCE, Cleanup, CleanupError, Reason, Summary};
use crate::{
    campaign::{Campaign, Status},
    deletion::{BY_RETENTION, Budget, DeletionRequest, End, Outcome, Record, RecordState},
    error::Error,
    hand_off::DeletionRef,
    metric,
    table::TableError,
};

/// What is found behind a campaign that the index shows in `deleting`.
enum Behind {
    /// A deletion that runs, and whether nobody is at it.
    Running(Box<Record>, bool),
    /// A claim whose record is gone.
    RecordMissing(Box<Campaign>),
    /// No deletion that runs, although the campaign is there.
    NoDeletion,
    /// The campaign is gone, or not in `deleting` any more.
    Stale,
}

impl Cleanup {
    /// Goes on with what stands still, unless the run is dry. The deletions of
    /// retention that run now.
    pub(super) async fn rescue(
        &self,
        summary: &mut Summary,
        is_dry: bool,
        budget: Budget,
    ) -> Result<Vec<DeletionRef>, CleanupError> {
        let mut running = Vec::new();
        let mut stalled = 0_u32;
        let mut listing = self.deletions.table().campaigns_by_status(Status::DELETING);
        while !budget.work_is_over()
            && let Some(page) = listing.next_page(budget.work_until).await?
        {
            let looks = stream::iter(page).map(async |listed| {
                let behind = self.behind(&listed.campaign, budget).await;
                (listed.campaign, behind)
            });
            let looked: Vec<_> = looks.buffered(AT_ONCE).collect().await;
            let mut still = Vec::new();
            for (campaign, behind) in looked {
                match behind {
                    Ok(Behind::Stale) => {}
                    Ok(Behind::NoDeletion) => {
                        tracing::error!(
                            campaign_id = %campaign.id,
                            "campaign {} is in deleting, and of no deletion that runs: DELETE it \
                             to claim it anew",
                            campaign.id,
                        );
                        summary.skip(&campaign.id, Reason::NoDeletion);
                    }
                    Ok(Behind::Running(record, is_stalled)) => {
                        if record.requested_by == BY_RETENTION {
                            running.push(DeletionRef::of(&record));
                        }
                        if is_stalled {
                            still.push((campaign, None));
                        }
                    }
                    Ok(Behind::RecordMissing(now)) => still.push((campaign, Some(now))),
                    Err(error @ TableError::Corrupt { .. }) => {
                        tracing::error!(campaign_id = %campaign.id, "{error}");
                        summary.skip(&campaign.id, Reason::Corrupt);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            stalled += u32::try_from(still.len()).unwrap_or(u32::MAX);
            if is_dry {
                for (campaign, _) in still {
                    summary.skip(&campaign.id, Reason::Stalled);
                }
                continue;
            }
            self.go_on(still, summary, &mut running, budget).await;
        }
        metric::stalled_deletions(stalled);
        Ok(running)
    }

    /// Looks behind a campaign that the index shows in `deleting`, strongly
    /// consistent.
    async fn behind(&self, listed: &Campaign, budget: Budget) -> Result<Behind, TableError> {
        let deadline = budget.claim_until;
        let table = self.deletions.table();
        let record = match &listed.deletion_id {
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
            Some(now) if now.status.is_deleting() && now.deletion_id == listed.deletion_id => {
                if is_missing && now.deletion_id.is_some() {
                    Behind::RecordMissing(Box::new(now))
                } else {
                    Behind::NoDeletion
                }
            }
            _ => Behind::Stale,
        })
    }

    /// Takes over and hands on; one at a time, and as far as the time allows, when
    /// there is nobody to hand on to.
    async fn go_on(
        &self,
        still: Vec<(Campaign, Option<Box<Campaign>>)>,
        summary: &mut Summary,
        running: &mut Vec<DeletionRef>,
        budget: Budget,
    ) {
        let at_once = if self.deletions.hands_on() {
            AT_ONCE
        } else {
            1
        };
        let outcomes: Vec<_> = stream::iter(still)
            .map(async |(listed, missing)| {
                if budget.work_is_over() {
                    return None;
                }
                let outcome = match missing {
                    Some(now) => self.claim_anew(*now, budget).await,
                    None => self.resume(&listed, budget).await,
                };
                outcome
                    .inspect_err(|error| {
                        tracing::error!(
                            campaign_id = %listed.id,
                            "the deletion of campaign {} is not gone on with: {error}",
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
            // Somebody else was first.
            if outcome.end == End::Attached {
                continue;
            }
            let record = outcome.record;
            let of = DeletionRef::of(&record);
            running.retain(|running| *running != of);
            if outcome.end != End::Complete && record.requested_by == BY_RETENTION {
                running.push(of);
            }
            summary.resumed.push(record.deletion_id);
        }
    }

    async fn resume(&self, listed: &Campaign, budget: Budget) -> Result<Option<Outcome>, Error> {
        let Some(deletion_id) = listed.deletion_id.clone() else {
            return Ok(None);
        };
        let of = DeletionRef {
            account_id: listed.account_id.clone(),
            deletion_id,
        };
        Ok(self.deletions.resume(&of, self.share_of(budget)).await?)
    }

    /// Claims a campaign whose record is gone under the deletion that it names.
    async fn claim_anew(&self, now: Campaign, budget: Budget) -> Result<Option<Outcome>, Error> {
        let request = DeletionRequest {
            account_id: now.account_id.clone(),
            requested_by: BY_RETENTION.to_owned(),
            if_match: None,
            idempotency_key: None,
            only_as_found: true,
        };
        let id = now.id.clone();
        let deleted = self
            .deletions
            .delete(&request, &id, Some(now), self.share_of(budget))
            .await?;
        Ok(Some(deleted.outcome))
    }
}

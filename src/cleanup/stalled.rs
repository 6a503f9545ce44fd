//! Resumes stalled deletions, whose record shows a lease that ended more than two
//! lease lengths ago. They are found by their campaigns in `deleting`, and by
//! themselves: an unfenced writer, or the platform's time to live, may have taken the
//! campaign item away.

use std::{collections::HashSet, future::ready, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{AT_ONCE, Cleanup, CleanupError, Reason, Summary};
use crate::{
    campaign::{Campaign, CampaignId, Status},
    deletion::{Budget, DeletionRequest, End, Error, Outcome},
    metrics,
    record::{DeletionRef, Record, RecordState, Requester},
    table::TableError,
};

/// How long looking at one deletion may take: a slow one must not use up the time of
/// the others.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// What belongs to a campaign that the index shows in `deleting`.
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
    /// Resumes stalled deletions, unless this is a dry run, and returns the deletions of
    /// retention that are running now.
    pub(super) async fn resume_stalled(
        &self,
        summary: &mut Summary,
        is_dry: bool,
        budget: Budget,
    ) -> Result<Vec<DeletionRef>, CleanupError> {
        let mut run = Run {
            summary,
            running: Vec::new(),
            looked_at: HashSet::new(),
            stalled: 0,
            is_dry,
            budget,
        };
        self.resume_by_campaign(&mut run).await?;
        self.resume_by_record(&mut run).await;
        metrics::stalled_deletions(run.stalled);
        Ok(run.running)
    }

    /// Resumes the stalled deletions of campaigns in `deleting`.
    async fn resume_by_campaign(&self, run: &mut Run<'_>) -> Result<(), CleanupError> {
        let budget = run.budget;
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
                if let Some(how) = run.sort_out(&campaign, behind) {
                    stalled_ones.push((campaign.id, how));
                }
            }
            self.resume_all(stalled_ones, run).await;
        }
        for unreadable in listing.take_unreadable() {
            run.stalled += 1;
            run.summary.skip_unreadable(unreadable);
        }
        Ok(())
    }

    /// Resumes the stalled deletions that no campaign in `deleting` has shown. What is
    /// not found in time is left to the next run: it must not cost this one its summary.
    async fn resume_by_record(&self, run: &mut Run<'_>) {
        let budget = run.budget;
        let mut unfinished = self.table.unfinished_deletions();
        while !budget.work_is_over() {
            let mut page = match unfinished.next_page(budget.work_until).await {
                Ok(Some(page)) => page,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!("could not list the running deletions: {error}");
                    return;
                }
            };
            page.retain(|of| !run.looked_at.contains(&of.deletion_id));
            let looks = stream::iter(page).map(async |of| {
                let deadline = budget.claim_until.min(Instant::now() + LONGEST_LOOK);
                let record = self.deletions.find(&of, deadline).await;
                (of, record)
            });
            let looked: Vec<_> = looks.buffered(AT_ONCE).collect().await;
            let mut stalled_ones = Vec::new();
            for (of, record) in looked {
                match record {
                    Ok(Some(record)) if record.state == RecordState::Running => {
                        let is_stalled = self.deletions.is_stalled(&record);
                        let id = record.campaign_id.clone();
                        if let Some(how) = run.note_running(&record, is_stalled) {
                            stalled_ones.push((id, how));
                        }
                    }
                    Ok(_) => {}
                    Err(error) => {
                        let id = &of.deletion_id;
                        tracing::error!(deletion_id = id, "could not read deletion {id}: {error}");
                        run.summary.skip_for(id, &error);
                    }
                }
            }
            self.resume_all(stalled_ones, run).await;
        }
    }

    /// Finds out what belongs to a campaign that the index shows in `deleting`, with
    /// strongly consistent reads.
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
    async fn resume_all(&self, stalled_ones: Vec<(CampaignId, Stalled)>, run: &mut Run<'_>) {
        let budget = run.budget;
        run.stalled += u32::try_from(stalled_ones.len()).unwrap_or(u32::MAX);
        if run.is_dry {
            for (id, _) in stalled_ones {
                run.summary.skip(&id, Reason::Stalled);
            }
            return;
        }
        let at_once = if self.deletions.can_hand_off() {
            AT_ONCE
        } else {
            1
        };
        let outcomes: Vec<_> = stream::iter(stalled_ones)
            .map(async |(id, how)| {
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
                            campaign_id = %id,
                            "could not resume the deletion of campaign {id}: {error}",
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
            run.running.retain(|running| *running != of);
            if outcome.end != End::Complete && record.requested_by == Requester::Retention {
                run.running.push(of);
            }
            run.summary.resumed.push(record.deletion_id);
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

/// What a run has found so far.
struct Run<'a> {
    summary: &'a mut Summary,
    /// The deletions of retention that are running now.
    running: Vec<DeletionRef>,
    /// The ids of the deletions whose own campaign in `deleting` has shown them. Another
    /// campaign may name one, too, as a copy of the item does.
    looked_at: HashSet<String>,
    stalled: u32,
    is_dry: bool,
    budget: Budget,
}

impl Run<'_> {
    /// Notes a running deletion, and returns how to resume it if it is stalled.
    fn note_running(&mut self, record: &Record, is_stalled: bool) -> Option<Stalled> {
        let of = DeletionRef::of(record);
        if record.requested_by == Requester::Retention {
            self.running.push(of.clone());
        }
        is_stalled.then_some(Stalled::Resume(of))
    }

    /// Notes what is behind a campaign, and returns how to resume its deletion if that is
    /// stalled.
    fn sort_out(
        &mut self,
        campaign: &Campaign,
        behind: Result<Behind, TableError>,
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
                self.summary.skip(&campaign.id, Reason::NoDeletion);
                None
            }
            Ok(Behind::Running(record, is_stalled)) => {
                self.looked_at.insert(record.deletion_id.clone());
                self.note_running(&record, is_stalled)
            }
            Ok(Behind::RecordMissing(now)) => {
                self.looked_at.extend(now.deletion_id.clone());
                Some(Stalled::ClaimAgain(now))
            }
            Err(error) => {
                tracing::error!(
                    campaign_id = %campaign.id,
                    "could not read the deletion of campaign {}: {error}",
                    campaign.id,
                );
                self.looked_at.extend(campaign.deletion_id.clone());
                self.summary.skip_for(&campaign.id, &error);
                None
            }
        }
    }
}

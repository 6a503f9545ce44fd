//! From a campaign to a lease on its deletion: claims a campaign that may be
//! deleted, attaches to a deletion that is running, or takes over one without an
//! active worker.

use std::ops::ControlFlow;

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Budget, DeletionRequest, Error,
    archiver::before_the_claim,
    lease::{Lease, lease_end, new_owner},
    take_over::{Claimed, take_over},
};
use crate::{
    archive::ArchiveStore,
    campaign::Campaign,
    clock::{now_ms, now_rfc3339},
    config::DeletionSettings,
    record::{Archive, Progress, Record, RecordState},
    refusal::Refusal,
    table::{Backoff, Claim, ClaimAnswer, KeyPut, Table, TableError},
};

/// What is found behind a campaign in `deleting`.
enum Behind<'a> {
    Claimed(Claimed<'a>),
    /// No worker can resume the deletion that the campaign names, if it names one:
    /// it has to be claimed, under this id and from this version on.
    Claimable {
        deletion_id: String,
        version: u64,
    },
    /// The campaign's current state; `None` if it is gone.
    Changed(Option<Box<Campaign>>),
}

impl Behind<'_> {
    /// The campaign has to be claimed under a new id.
    fn claimable_under_new_id() -> Self {
        Self::Claimable {
            deletion_id: Uuid::now_v7().to_string(),
            version: FIRST_VERSION,
        }
    }
}

/// The version of a record that was just claimed.
const FIRST_VERSION: u64 = 1;

/// The longest name of a campaign in a record, bytes.
const LONGEST_NAME: usize = 1_024;

/// One request's attempts to claim a campaign.
pub(super) struct Claimant<'a> {
    table: &'a Table,
    store: &'a ArchiveStore,
    settings: &'a DeletionSettings,
    request: &'a DeletionRequest,
    budget: Budget,
    backoff: Backoff,
    /// The last claim that was sent and is not known to have been applied.
    sent: Option<Claim>,
    /// How many claims were refused because the campaign had changed.
    changes: u32,
    /// Whether the request attaches to a deletion for which an earlier request has
    /// stored the same idempotency key.
    pub(super) replayed: bool,
}

impl<'a> Claimant<'a> {
    /// Returns a claimant that has not sent anything.
    pub(super) fn new(
        table: &'a Table,
        store: &'a ArchiveStore,
        settings: &'a DeletionSettings,
        request: &'a DeletionRequest,
        budget: Budget,
    ) -> Self {
        Self {
            table,
            store,
            settings,
            request,
            budget,
            backoff: Backoff::default(),
            sent: None,
            changes: 0,
            replayed: false,
        }
    }

    /// Claims the campaign, which is `found` as it was read, or attaches to the
    /// deletion that has claimed it.
    ///
    /// # Errors
    /// The refusals, in the order of the contract, and [`Error::Table`] when it is
    /// not known that anything was claimed.
    pub(super) async fn claim(
        &mut self,
        mut found: Option<Campaign>,
    ) -> Result<Claimed<'a>, Error> {
        loop {
            let campaign = self.request.accessible(found)?;
            self.check_unchanged(&campaign)?;
            let (deletion_id, version) = if campaign.status.is_deleting() {
                match self.attach(&campaign).await? {
                    Behind::Claimed(claimed) => return Ok(claimed),
                    Behind::Changed(now) => {
                        found = now.map(|now| *now);
                        continue;
                    }
                    Behind::Claimable {
                        deletion_id,
                        version,
                    } => (deletion_id, version),
                }
            } else {
                self.request.check(&campaign)?;
                (Uuid::now_v7().to_string(), FIRST_VERSION)
            };
            // Nothing has changed since the last attempt: send the same bytes again.
            let claim = match self.sent.take() {
                Some(claim) if claim.campaign == campaign => claim,
                _ => {
                    let claim = self.prepare(campaign, deletion_id, version);
                    Box::pin(self.archive_campaign(claim)).await?
                }
            };
            match self.send(claim).await? {
                ControlFlow::Break(claimed) => return Ok(claimed),
                ControlFlow::Continue(now) => found = now,
            }
        }
    }

    /// Refuses a campaign that has changed since the requester found it, if only
    /// that state may be deleted.
    fn check_unchanged(&self, campaign: &Campaign) -> Result<(), Refusal> {
        match &self.sent {
            Some(sent)
                if self.request.only_as_found
                    && sent.campaign != *campaign
                    && campaign.deletion_id.as_ref() != Some(&sent.record.deletion_id) =>
            {
                Err(Refusal::PreconditionFailed)
            }
            _ => Ok(()),
        }
    }

    /// Sends a claim once; if it was not applied, continues with the campaign's
    /// current state.
    async fn send(
        &mut self,
        claim: Claim,
    ) -> Result<ControlFlow<Claimed<'a>, Option<Campaign>>, Error> {
        let deadline = self.budget.claim_until;
        let id = &claim.campaign.id;
        let found = match self.table.claim(&claim, deadline).await {
            Ok(ClaimAnswer::Claimed) => return Ok(ControlFlow::Break(self.held(claim.record))),
            Ok(ClaimAnswer::Changed(now)) => {
                // After the first change, the next attempt follows at once. While the
                // campaign keeps changing, a backoff comes first; that is no failure.
                if self.changes > 0 && !self.backoff.wait(deadline).await {
                    return Err(TableError::keeps_changing().into());
                }
                self.changes += 1;
                now.map(|now| *now)
            }
            Ok(ClaimAnswer::RecordExists) => self.table.campaign(id, deadline).await?,
            Ok(ClaimAnswer::TooLarge) if claim.removed.is_empty() => {
                let removed = self.table.largest_attributes(id, deadline).await?;
                let token = Uuid::new_v4().to_string();
                let smaller = Claim {
                    token,
                    removed,
                    ..claim
                };
                return Box::pin(self.send(smaller)).await;
            }
            Ok(ClaimAnswer::TooLarge) => return Err(TableError::too_large().into()),
            Ok(ClaimAnswer::KeyInUse) => return Err(Refusal::IdempotencyKeyReused.into()),
            Err(error @ TableError::Busy(_)) if self.backoff.wait(deadline).await => {
                match self.table.campaign(id, deadline).await {
                    Err(TableError::Busy(_) | TableError::NoAnswer(_)) => {
                        return self.look(claim, error).await.map(ControlFlow::Break);
                    }
                    read => read?,
                }
            }
            Err(error @ (TableError::Busy(_) | TableError::NoAnswer(_))) => {
                return self.look(claim, error).await.map(ControlFlow::Break);
            }
            Err(error) => return Err(error.into()),
        };
        self.sent = Some(claim);
        Ok(ControlFlow::Continue(found))
    }

    /// Archives the campaign item, if the deletion archives: as it is before the claim, which
    /// changes it. An archive that cannot be written refuses the request, and nothing is
    /// claimed.
    async fn archive_campaign(&self, mut claim: Claim) -> Result<Claim, Error> {
        let deadline = self.budget.claim_until;
        let Some(archive) = &claim.record.archive else {
            return Ok(claim);
        };
        let archived =
            before_the_claim(self.store, self.table, &claim.record, archive, deadline).await?;
        claim.record.archive = Some(Archive {
            archived,
            ..archive.clone()
        });
        Ok(claim)
    }

    /// Checks once, in the time reserved for it, whether a claim that failed was
    /// nevertheless applied, by an attempt whose answer was lost.
    async fn look(&self, claim: Claim, error: TableError) -> Result<Claimed<'a>, Error> {
        let deadline = self.budget.write_until;
        let sent = claim.record;
        let now = self.table.campaign(&claim.campaign.id, deadline).await;
        let names_it =
            |campaign: &Campaign| campaign.deletion_id.as_ref() == Some(&sent.deletion_id);
        if !matches!(&now, Ok(Some(now)) if names_it(now)) {
            return Err(error.into());
        }
        // If the campaign named this deletion before the claim already, it proves
        // nothing; then the record has to.
        if names_it(&claim.campaign) {
            let record = self
                .table
                .record(&sent.account_id, &sent.deletion_id, deadline);
            if !matches!(record.await, Ok(Some(record)) if record == sent) {
                return Err(error.into());
            }
        }
        Ok(self.held(sent))
    }

    /// Finds the deletion of a campaign in `deleting`, and takes it over if its lease
    /// has ended.
    ///
    /// A writer without a fence can leave a campaign in `deleting` that names no
    /// deletion, another campaign's, or a finished one. Nothing else could ever
    /// delete such a campaign, so it is claimed again.
    async fn attach(&mut self, campaign: &Campaign) -> Result<Behind<'a>, Error> {
        let deadline = self.budget.claim_until;
        let Some(deletion_id) = campaign.deletion_id.clone() else {
            return Ok(Behind::claimable_under_new_id());
        };
        let Some(record) = self.record_behind(campaign, &deletion_id).await? else {
            // No earlier write or execution name can match a version that starts
            // at the time in milliseconds.
            let version = u64::try_from(now_ms()).unwrap_or(FIRST_VERSION);
            return Ok(Behind::Claimable {
                deletion_id,
                version,
            });
        };
        if record.campaign_id != campaign.id {
            return Ok(Behind::claimable_under_new_id());
        }
        if self.sent.as_ref().is_some_and(|sent| sent.record == record) {
            return Ok(Behind::Claimed(self.held(record)));
        }
        // A repeated request gets this deletion's answer, even after it has finished.
        if record.state == RecordState::Running
            && let Some(key_use) = self.request.key_use()
        {
            match self.table.put_key_use(&key_use, &record, deadline).await? {
                KeyPut::Stored => {}
                KeyPut::AlreadyStored => self.replayed = true,
                KeyPut::InUse => return Err(Refusal::IdempotencyKeyReused.into()),
            }
        }
        match take_over(self.table, self.settings, record, self.budget).await {
            Ok(claimed) => Ok(Behind::Claimed(claimed)),
            Err(_) => self.behind_finished_record(campaign, deadline).await,
        }
    }

    /// Reads the record of the deletion that a campaign names. If it cannot be read,
    /// but this worker sent the claim of that deletion, the claim was applied, and the
    /// record that it put is known.
    async fn record_behind(
        &self,
        campaign: &Campaign,
        deletion_id: &str,
    ) -> Result<Option<Record>, TableError> {
        let deadline = self.budget.claim_until;
        let read = self
            .table
            .record(&campaign.account_id, deletion_id, deadline);
        match (read.await, &self.sent) {
            (Err(_), Some(sent)) if sent.record.deletion_id == deletion_id => {
                Ok(Some(sent.record.clone()))
            }
            (read, _) => read,
        }
    }

    /// The record is finished or gone, so the campaign item should be gone, too.
    async fn behind_finished_record(
        &self,
        seen: &Campaign,
        deadline: Instant,
    ) -> Result<Behind<'a>, Error> {
        let now = self.table.campaign(&seen.id, deadline).await?;
        Ok(match now {
            Some(now) if now == *seen => Behind::claimable_under_new_id(),
            now => Behind::Changed(now.map(Box::new)),
        })
    }

    fn held(&self, record: Record) -> Claimed<'a> {
        let lease = Lease::claimed(self.table, self.settings, record);
        Claimed::Held(Box::new(lease))
    }

    fn prepare(&self, campaign: Campaign, deletion_id: String, version: u64) -> Claim {
        let now = now_rfc3339();
        let record = Record {
            deletion_id,
            campaign_id: campaign.id.clone(),
            campaign_name: shortened(&campaign.name),
            account_id: campaign.account_id.clone(),
            requested_by: self.request.requested_by.clone(),
            reason: self.request.reason.clone(),
            previous_status: campaign.status.as_str().to_owned(),
            state: RecordState::Running,
            started_at: now.clone(),
            updated_at: now,
            progress: Progress {
                paid_until_ms: self.request.paid_until_ms,
                ..Progress::start()
            },
            archive: self.request.archive_in(self.settings.archive.as_ref()),
            campaign_replaced: false,
            version,
            owner: Some(new_owner()),
            lease_until_ms: lease_end(self.settings.lease),
        };
        Claim {
            campaign,
            record,
            key_use: self.request.key_use(),
            token: Uuid::new_v4().to_string(),
            removed: Vec::new(),
        }
    }
}

/// Returns a name as it is kept in a record, which must stay small.
fn shortened(name: &str) -> String {
    if name.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    let end = (0..=LONGEST_NAME)
        .rev()
        .find(|at| name.is_char_boundary(*at));
    format!("{}…", name.get(..end.unwrap_or(0)).unwrap_or_default())
}

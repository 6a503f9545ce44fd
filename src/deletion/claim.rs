//! From a campaign to a hold of its deletion: claiming one that may be deleted,
//! attaching to a deletion that runs, taking over one whose worker is gone.

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Budget, DeletionRequest, Progress, Record, RecordState,
    hold::{Hold, NotWritten, lease_end, new_owner},
};
use crate::{
    campaign::Campaign,
    config::DeletionSettings,
    error::Error,
    table::{Backoff, Claim, ClaimAnswer, Table, TableError},
    timestamp::{now_ms, now_rfc3339},
};

/// What comes of an attempt to get hold of a campaign's deletion.
pub(super) enum Claimed<'a> {
    /// This worker holds it.
    Held(Box<Hold<'a>>),
    /// Another worker does, or may; the record as last seen.
    Attached(Box<Record>),
    /// The takeover has no answer; the record as it was read.
    Unanswered(Box<Record>),
}

/// What is found behind a campaign in `deleting`.
enum Found<'a> {
    Claimed(Claimed<'a>),
    /// Nobody can go on with the deletion that the campaign names, if it names
    /// one: it has to be claimed, under this id and from this version on.
    Claimable {
        deletion_id: String,
        version: u64,
    },
    /// The campaign is this now, or gone.
    Changed(Option<Campaign>),
}

impl Found<'_> {
    /// The campaign has to be claimed under an id of its own.
    fn claimable_anew() -> Self {
        Self::Claimable {
            deletion_id: Uuid::now_v7().to_string(),
            version: FIRST_VERSION,
        }
    }
}

/// The version of a record that was just claimed.
const FIRST_VERSION: u64 = 1;

/// Gets hold of a deletion of `found`, which is the campaign as it was read.
///
/// # Errors
/// The refusals, in the order of the contract, and [`Error::Table`] when it is
/// not known that anything was claimed.
pub(super) async fn claim<'a>(
    table: &'a Table,
    settings: &'a DeletionSettings,
    request: &DeletionRequest,
    mut found: Option<Campaign>,
    budget: Budget,
) -> Result<Claimed<'a>, Error> {
    let deadline = budget.claim_until;
    let mut backoff = Backoff::default();
    let mut sent: Option<Claim> = None;
    loop {
        let campaign = request.accessible(found)?;
        if request.only_as_found
            && let Some(sent) = &sent
            && sent.campaign != campaign
            && campaign.deletion_id.as_ref() != Some(&sent.record.deletion_id)
        {
            return Err(Error::PreconditionFailed);
        }
        let (deletion_id, version) = if campaign.status.is_deleting() {
            match attach(table, settings, request, &campaign, sent.as_ref(), budget).await? {
                Found::Claimed(claimed) => return Ok(claimed),
                Found::Changed(now) => {
                    found = now;
                    continue;
                }
                Found::Claimable {
                    deletion_id,
                    version,
                } => (deletion_id, version),
            }
        } else {
            request.check(&campaign)?;
            (Uuid::now_v7().to_string(), FIRST_VERSION)
        };
        // Nothing has changed since the last attempt: the same bytes again.
        let claim = match sent.take() {
            Some(claim) if claim.campaign == campaign => claim,
            _ => prepare(settings, request, campaign, deletion_id, version),
        };
        let id = claim.campaign.id.clone();
        found = match table.claim(&claim, deadline).await {
            Ok(ClaimAnswer::Claimed) => {
                let hold = Hold::claimed(table, settings, claim.record);
                return Ok(Claimed::Held(Box::new(hold)));
            }
            Ok(ClaimAnswer::Changed(now)) => now.map(|now| *now),
            Ok(ClaimAnswer::RecordExists) => table.campaign(&id, deadline).await?,
            Ok(ClaimAnswer::KeyInUse) => return Err(Error::IdempotencyKeyReused),
            Err(error @ TableError::Busy(_)) if backoff.wait(deadline).await => {
                match table.campaign(&id, deadline).await {
                    Err(TableError::Busy(_) | TableError::NoAnswer(_)) => {
                        return look(table, claim, settings, error, budget).await;
                    }
                    read => read?,
                }
            }
            Err(error @ (TableError::Busy(_) | TableError::NoAnswer(_))) => {
                return look(table, claim, settings, error, budget).await;
            }
            Err(error) => return Err(error.into()),
        };
        sent = Some(claim);
    }
}

/// A claim that has failed in time may stand all the same, by an attempt whose
/// answer was lost: one look, in the time that is kept for this.
async fn look<'a>(
    table: &'a Table,
    claim: Claim,
    settings: &'a DeletionSettings,
    error: TableError,
    budget: Budget,
) -> Result<Claimed<'a>, Error> {
    match table.campaign(&claim.campaign.id, budget.write_until).await {
        Ok(Some(now)) if now.deletion_id.as_ref() == Some(&claim.record.deletion_id) => {
            let hold = Hold::claimed(table, settings, claim.record);
            Ok(Claimed::Held(Box::new(hold)))
        }
        _ => Err(error.into()),
    }
}

/// Looks behind a campaign in `deleting`, and takes its deletion over if its
/// lease has ended. `sent` is the claim that this worker has sent and does not
/// know the answer of.
///
/// A writer without a fence can leave a campaign in `deleting` that names no
/// deletion, or another campaign's, or one that is done. Nobody else could
/// ever delete such a one, so it is claimed anew.
async fn attach<'a>(
    table: &'a Table,
    settings: &'a DeletionSettings,
    request: &DeletionRequest,
    campaign: &Campaign,
    sent: Option<&Claim>,
    budget: Budget,
) -> Result<Found<'a>, Error> {
    let deadline = budget.claim_until;
    let Some(deletion_id) = campaign.deletion_id.clone() else {
        return Ok(Found::claimable_anew());
    };
    let record = table
        .record(&campaign.account_id, &deletion_id, deadline)
        .await;
    let record = match (record, sent) {
        // The claim stands, and what it has put is known.
        (Err(_), Some(claim)) if claim.record.deletion_id == deletion_id => {
            Some(claim.record.clone())
        }
        (record, _) => record?,
    };
    let Some(record) = record else {
        // No earlier write or execution name can match a version that starts
        // at the time in milliseconds.
        let version = u64::try_from(now_ms()).unwrap_or(FIRST_VERSION);
        return Ok(Found::Claimable {
            deletion_id,
            version,
        });
    };
    if record.campaign_id != campaign.id {
        return Ok(Found::claimable_anew());
    }
    if sent.is_some_and(|claim| claim.record == record) {
        let hold = Hold::claimed(table, settings, record);
        return Ok(Found::Claimed(Claimed::Held(Box::new(hold))));
    }
    // A repeated request is to get this deletion's answer, even when it is over.
    if record.state == RecordState::Running
        && let Some(key_use) = request.key_use()
        && !table.put_key_use(&key_use, &record, deadline).await?
    {
        return Err(Error::IdempotencyKeyReused);
    }
    match go_on(table, settings, record, budget).await {
        GoneOn::Claimed(claimed) => Ok(Found::Claimed(claimed)),
        GoneOn::Over(_) => behind_a_finished_record(table, campaign, deadline).await,
    }
}

/// What comes of going on with a deletion whose record was read.
pub(super) enum GoneOn<'a> {
    /// Somebody does.
    Claimed(Claimed<'a>),
    /// There is nothing to go on with: it is done, or its record is gone.
    Over(Option<Box<Record>>),
}

/// Takes a deletion over if it runs and its lease has ended.
pub(super) async fn go_on<'a>(
    table: &'a Table,
    settings: &'a DeletionSettings,
    record: Record,
    budget: Budget,
) -> GoneOn<'a> {
    if record.state != RecordState::Running {
        return GoneOn::Over(Some(Box::new(record)));
    }
    let now = now_ms();
    // Without time to work, taking over what was just released would do nothing
    // but hand it on once more.
    let is_waiting = budget.work_is_over() && !record.is_stalled(settings.lease, now);
    if !record.lease_ended(now) || is_waiting {
        return GoneOn::Claimed(Claimed::Attached(Box::new(record)));
    }
    let deadline = budget.claim_until;
    match Hold::take_over(table, settings, record.clone(), deadline).await {
        Ok(hold) => GoneOn::Claimed(Claimed::Held(Box::new(hold))),
        Err(NotWritten::Lost(Some(now))) if now.state == RecordState::Running => {
            GoneOn::Claimed(Claimed::Attached(now))
        }
        Err(NotWritten::Lost(now)) => GoneOn::Over(now),
        Err(NotWritten::Unanswered(error)) => {
            tracing::warn!(
                deletion_id = %record.deletion_id,
                campaign_id = %record.campaign_id,
                "deletion {} is not taken over: {error}",
                record.deletion_id,
            );
            GoneOn::Claimed(Claimed::Unanswered(Box::new(record)))
        }
    }
}

/// The record says done, or is gone: the campaign item should be gone with it.
async fn behind_a_finished_record<'a>(
    table: &'a Table,
    seen: &Campaign,
    deadline: Instant,
) -> Result<Found<'a>, Error> {
    let now = table.campaign(&seen.id, deadline).await?;
    Ok(match now {
        Some(now) if now == *seen => Found::claimable_anew(),
        now => Found::Changed(now),
    })
}

fn prepare(
    settings: &DeletionSettings,
    request: &DeletionRequest,
    campaign: Campaign,
    deletion_id: String,
    version: u64,
) -> Claim {
    let now = now_rfc3339();
    let record = Record {
        deletion_id,
        campaign_id: campaign.id.clone(),
        campaign_name: campaign.name.clone(),
        account_id: campaign.account_id.clone(),
        requested_by: request.requested_by.clone(),
        previous_status: campaign.status.as_str().to_owned(),
        state: RecordState::Running,
        started_at: now.clone(),
        updated_at: now,
        progress: Progress::start(),
        version,
        owner: Some(new_owner()),
        lease_until_ms: lease_end(settings.lease),
    };
    Claim {
        campaign,
        record,
        key_use: request.key_use(),
        token: Uuid::new_v4().to_string(),
    }
}

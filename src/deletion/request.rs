//! Who wants which campaign deleted, and on what conditions.

use super::Error;
use crate::{
    auth::Principal,
    campaign::{Campaign, CampaignId},
    clock::now_seconds,
    config::{ArchiveMode, ArchiveSettings},
    idempotency::IdempotencyKey,
    record::{Archive, Archived, DeletionReason, Requester},
    refusal::Refusal,
    table::NewKeyUse,
};

/// A request to delete a campaign. There is a constructor for each way in.
#[derive(Clone, Debug)]
pub struct DeletionRequest {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The account that the requester acts for.
    pub account_id: String,
    /// Who requests the deletion.
    pub requested_by: Requester,
    /// Why, if the requester says.
    pub reason: Option<DeletionReason>,
    /// The etags, one of which has to be the campaign's; `None` for any.
    pub if_match: Option<Vec<String>>,
    /// The key under which a repetition of the request is recognised.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Whether everything is archived before it is deleted; `None` for what the settings say.
    pub archive: Option<bool>,
    /// Whether the campaign is deleted only if it still is what the requester
    /// found, instead of being checked again when it has changed.
    pub(super) only_as_found: bool,
    /// When what an earlier deletion has consumed is paid for, epoch milliseconds.
    pub(super) paid_until_ms: Option<i64>,
}

impl DeletionRequest {
    /// Returns the request of an authenticated caller of the API.
    #[must_use]
    pub fn by_caller(principal: Principal, campaign_id: CampaignId) -> Self {
        Self {
            campaign_id,
            account_id: principal.account_id,
            requested_by: principal.requester,
            reason: None,
            if_match: None,
            idempotency_key: None,
            archive: None,
            only_as_found: false,
            paid_until_ms: None,
        }
    }

    /// Returns the request of the clean-up for a campaign past retention: only
    /// exactly what was found is deleted.
    #[must_use]
    pub fn by_retention(campaign: &Campaign) -> Self {
        Self {
            only_as_found: true,
            ..Self::for_owner(campaign, Requester::Retention)
        }
    }

    /// Returns the same request, whose deletes begin only once what an earlier deletion
    /// has consumed is paid for, at this time (epoch milliseconds).
    #[must_use]
    pub fn paid_until(self, paid_until_ms: Option<i64>) -> Self {
        Self {
            paid_until_ms,
            ..self
        }
    }

    /// Returns the request of an operator at a terminal.
    #[must_use]
    pub fn by_terminal(campaign: &Campaign) -> Self {
        Self::for_owner(campaign, Requester::Cli)
    }

    /// Returns the request to claim a campaign again whose deletion has lost its
    /// record, and with it who requested it.
    #[must_use]
    pub fn again(campaign: &Campaign) -> Self {
        Self {
            only_as_found: true,
            ..Self::for_owner(campaign, Requester::Unknown)
        }
    }

    fn for_owner(campaign: &Campaign, requested_by: Requester) -> Self {
        Self {
            campaign_id: campaign.id.clone(),
            account_id: campaign.account_id.clone(),
            requested_by,
            reason: None,
            if_match: None,
            idempotency_key: None,
            archive: None,
            only_as_found: false,
            paid_until_ms: None,
        }
    }

    /// Returns where the deletion archives; `None` for nowhere. The settings never forbid a
    /// deletion without an archive: an erasure that the law asks for must not leave a copy.
    pub(super) fn archive_in(&self, settings: Option<&ArchiveSettings>) -> Option<Archive> {
        let settings = settings?;
        let is_wanted = self
            .archive
            .unwrap_or(settings.mode == ArchiveMode::Default);
        is_wanted.then(|| Archive {
            bucket: settings.bucket.clone(),
            prefix: settings.prefix.clone(),
            days: settings.days,
            archived: Archived::default(),
        })
    }

    /// Returns the use of its idempotency key, now.
    pub(super) fn key_use(&self) -> Option<NewKeyUse> {
        self.idempotency_key.clone().map(|key| NewKeyUse {
            key,
            now: now_seconds(),
        })
    }

    /// Returns the campaign, if it exists and belongs to the requester's account.
    pub(super) fn accessible(&self, found: Option<Campaign>) -> Result<Campaign, Error> {
        let campaign = found.ok_or(Refusal::CampaignNotFound)?;
        campaign.check_owner(&self.account_id)?;
        Ok(campaign)
    }

    /// Checks that the campaign may be deleted and is in the state that the
    /// requester named.
    pub(super) fn check(&self, campaign: &Campaign) -> Result<(), Refusal> {
        campaign.check_deletable()?;
        match &self.if_match {
            Some(etags) if !campaign.etag().is_some_and(|etag| etags.contains(&etag)) => {
                Err(Refusal::PreconditionFailed)
            }
            _ => Ok(()),
        }
    }
}

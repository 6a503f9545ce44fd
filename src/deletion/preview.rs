//! A dry run: the checks of a deletion and a count, without any write.

use tokio::time::Instant;

use super::{Budget, DeletionRequest, Deletions, Error, error::WorkError, read_ahead::ReadAhead};
use crate::{
    campaign::{Campaign, CampaignId, Status},
    counts::Counts,
    record::Range,
    refusal::Refusal,
    table::TableError,
};

/// What a deletion would delete.
#[derive(Debug)]
pub struct Preview {
    /// The campaign.
    pub campaign: Campaign,
    /// What is in it.
    pub counts: Counts,
    /// Whether everything was counted before the time was over.
    pub complete: bool,
    /// Whether it would be archived; `None` where there is no archive.
    pub would_archive: Option<bool>,
}

impl Deletions {
    /// Checks everything that [`Deletions::delete`] checks, and counts instead
    /// of deleting. Writes nothing.
    ///
    /// # Errors
    /// As [`Deletions::delete`]; a campaign in `deleting` is
    /// [`Refusal::InvalidStatus`].
    pub async fn preview(
        &self,
        request: &DeletionRequest,
        found: Option<Campaign>,
        budget: Budget,
    ) -> Result<Preview, Error> {
        let campaign = request.accessible(found)?;
        if campaign.status.is_deleting() {
            return Err(Refusal::InvalidStatus(Status::DELETING.to_owned()).into());
        }
        request.check(&campaign)?;
        let (counts, complete) = self.count(&campaign.id, budget.work_until).await?;
        Ok(Preview {
            campaign,
            counts,
            complete,
            would_archive: self.settings.archive.as_ref().map(|settings| {
                let archive = request.archive_in(Some(settings));
                archive.is_some()
            }),
        })
    }

    /// Counts what is in a campaign; `false` if the time was over before everything
    /// was counted. Writes nothing.
    ///
    /// # Errors
    /// [`Error::Table`].
    pub async fn count(
        &self,
        campaign: &CampaignId,
        until: Instant,
    ) -> Result<(Counts, bool), Error> {
        let mut counts = Counts::default();
        let mut pages = ReadAhead::start(&self.table, campaign, &Range::default(), None, until);
        // One page is read while the one before it is counted.
        pages.ask();
        loop {
            pages.ask();
            match pages.next().await {
                Ok(Some(page)) => page.sort_keys.iter().for_each(|key| counts.add(key)),
                Ok(None) => return Ok((counts, true)),
                // The time was over before the table gave the next page.
                Err(WorkError::Table(TableError::Busy(_) | TableError::NoAnswer(_)))
                    if counts.total() > 0 =>
                {
                    return Ok((counts, false));
                }
                Err(_) if Instant::now() >= until => return Ok((counts, false)),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

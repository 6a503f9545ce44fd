//! Campaigns by their status, from the index, page by page: how running
//! deletions and campaigns past retention are found without a scan. The index
//! is eventually consistent, so what it shows may have changed or be gone.

use tokio::time::Instant;

use super::{
    Table, TableError, campaign_item,
    expressions::text,
    keys::STATUS_INDEX,
    pages::{OPERATION, Pages},
};
use crate::campaign::{ListedCampaign, UnreadableCampaign};

/// The most entries in a page. A page ends at 1 MB anyway; this bounds the memory
/// that its entries take here, and costs a request per 1,000 of them.
const PAGE_LIMIT: i32 = 1_000;

/// The campaigns with one status, oldest `updatedAt` first.
#[derive(Debug)]
pub struct Listing {
    pages: Pages,
    unreadable: Vec<UnreadableCampaign>,
}

impl Table {
    /// Returns the campaigns with this status. Nothing is read yet.
    #[must_use]
    pub fn campaigns_by_status(&self, status: &str) -> Listing {
        let query = self
            .client()
            .query()
            .table_name(self.name())
            .index_name(STATUS_INDEX)
            .limit(PAGE_LIMIT)
            .key_condition_expression("campaignStatus = :status")
            .expression_attribute_values(":status", text(status));
        Listing {
            pages: Pages::of(query),
            unreadable: Vec::new(),
        }
    }
}

impl Listing {
    /// Returns the next page; `None` after the last one. Entries that cannot be read
    /// do not stop the others: [`Listing::take_unreadable`] returns them.
    ///
    /// # Errors
    /// [`TableError`]. The same page can be asked for again.
    pub async fn next_page(
        &mut self,
        deadline: Instant,
    ) -> Result<Option<Vec<ListedCampaign>>, TableError> {
        let found = self.pages.next(deadline).await;
        let Some(found) = found.map_err(|failure| failure.into_table_error(OPERATION))? else {
            return Ok(None);
        };
        let mut page = Vec::new();
        for entry in found {
            match campaign_item::listed_campaign(&entry) {
                Ok(listed) => page.push(listed),
                Err(unreadable) => self.unreadable.push(unreadable),
            }
        }
        Ok(Some(page))
    }

    /// Returns the entries of the pages so far that cannot be read as campaigns.
    pub fn take_unreadable(&mut self) -> Vec<UnreadableCampaign> {
        std::mem::take(&mut self.unreadable)
    }
}

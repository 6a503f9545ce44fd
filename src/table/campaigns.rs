//! Campaigns by their status, from the index, page by page: how running
//! deletions and campaigns past retention are found without a scan. The index
//! is eventually consistent, so what it shows may have changed or be gone.

use aws_sdk_dynamodb::types::AttributeValue;
use tokio::time::Instant;

use super::{Table, TableError, campaign_item, item, keys::STATUS_INDEX, retry::until_answered};
use crate::campaign::{ListedCampaign, UnreadableCampaign};

/// The most entries in a page. A page ends at 1 MB anyway; this bounds the memory
/// that its entries take here, and costs a request per 1,000 of them.
const PAGE_LIMIT: i32 = 1_000;

/// The campaigns with one status, oldest `updatedAt` first.
#[derive(Debug)]
pub struct Listing<'a> {
    table: &'a Table,
    status: String,
    from: Option<item::Item>,
    is_over: bool,
    unreadable: Vec<UnreadableCampaign>,
}

impl Table {
    /// Returns the campaigns with this status. Nothing is read yet.
    #[must_use]
    pub fn campaigns_by_status(&self, status: &str) -> Listing<'_> {
        Listing {
            table: self,
            status: status.to_owned(),
            from: None,
            is_over: false,
            unreadable: Vec::new(),
        }
    }
}

impl Listing<'_> {
    /// Returns the next page; `None` after the last one. Entries that cannot be read
    /// do not stop the others: [`Listing::take_unreadable`] returns them.
    ///
    /// # Errors
    /// [`TableError`]. The same page can be asked for again.
    pub async fn next_page(
        &mut self,
        deadline: Instant,
    ) -> Result<Option<Vec<ListedCampaign>>, TableError> {
        const OPERATION: &str = "Query";
        if self.is_over {
            return Ok(None);
        }
        let request = self
            .table
            .client()
            .query()
            .table_name(self.table.name())
            .index_name(STATUS_INDEX)
            .limit(PAGE_LIMIT)
            .key_condition_expression("campaignStatus = :status")
            .expression_attribute_values(":status", AttributeValue::S(self.status.clone()))
            .set_exclusive_start_key(self.from.clone());
        let answer = until_answered(OPERATION, deadline, || request.clone().send())
            .await
            .map_err(|failure| failure.into_table_error(OPERATION))?;
        self.from = answer.last_evaluated_key;
        self.is_over = self.from.is_none();
        let mut page = Vec::new();
        for found in answer.items.unwrap_or_default() {
            match campaign_item::listed_campaign(&found) {
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

//! The table. This room alone talks to DynamoDB: it builds the requests and
//! returns values of this project.

#[cfg(feature = "cli")]
mod admin;
mod api_keys;
mod archive;
mod campaign_item;
mod campaigns;
mod children;
mod deletions;
mod events;
mod expressions;
mod finish;
mod idempotency;
pub mod item;
pub mod keys;
mod pages;
mod protocol;
mod ranges;
mod record_write;
#[cfg(feature = "cli")]
mod restore;
pub(crate) mod retry;
#[cfg(feature = "cli")]
mod sample;
#[cfg(feature = "cli")]
mod settings;
#[cfg(feature = "cli")]
mod trials;
mod unfinished;

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    error::{BuildError, ProvideErrorMetadata, SdkError},
    operation::get_item::builders::GetItemFluentBuilder,
    types::ReturnConsumedCapacity,
};
use tokio::time::Instant;

#[cfg(feature = "cli")]
pub use self::{
    admin::{KEY_ATTRIBUTES, ListedKey, STATUS_INDEX_PROJECTION},
    restore::are_same,
    sample::{Sample, Sampled},
    settings::{ServiceClock, Unread},
    trials::Trial,
};
pub use self::{
    api_keys::{Counted, CountedKey},
    campaigns::Listing,
    children::{BATCH_SIZE, DeletesSent, PAGE_LIMIT, Page},
    deletions::{History, UnreadableRecord},
    finish::FinishAnswer,
    idempotency::{KeyPut, NewKeyUse},
    protocol::{Claim, ClaimAnswer, WriteAnswer},
    record_write::{Change, Completion, Written},
    retry::Backoff,
    unfinished::Unfinished,
};
use self::{
    item::Item,
    keys::Key,
    retry::{until_answered, whole},
};
use crate::{
    campaign::{Campaign, CampaignId},
    record::Record,
    sdk::Cause,
};

/// Why a request to the table failed.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The request was throttled or in conflict with other transactions until the
    /// deadline.
    #[error("the table was busy until the deadline: {0}")]
    Busy(Cause),
    /// There was no answer before the deadline; the request may have been applied.
    #[error("the table gave no answer before the deadline: {0}")]
    NoAnswer(Cause),
    /// The table refused the request; a retry would be refused, too.
    #[error("the table refused the request: {0}")]
    Refused(Cause),
    /// The task that reads ahead ended before the end of the partition.
    #[error("reading stopped before the end of the partition")]
    ReadingBrokeOff,
    /// An item does not have the expected form.
    #[error("corrupt {kind}: attribute {attribute} is missing or has the wrong type")]
    Corrupt {
        /// What kind of item.
        kind: &'static str,
        /// Which attribute.
        attribute: &'static str,
    },
}

impl TableError {
    fn refused<E: ProvideErrorMetadata>(operation: &'static str, error: &SdkError<E>) -> Self {
        Self::Refused(Cause::of(operation, error))
    }

    /// Returns the failure of a claim whose item is too large even without its other
    /// attributes.
    #[must_use]
    pub fn too_large() -> Self {
        Self::Refused(Cause::because(
            "the campaign item is too large to be marked",
        ))
    }

    /// Returns the failure of a write whose item kept changing until the deadline.
    #[must_use]
    pub fn keeps_changing() -> Self {
        Self::Busy(Cause::because("the campaign kept changing"))
    }

    /// Returns the cause alone.
    #[cfg(feature = "cli")]
    pub(crate) fn into_cause(self) -> Cause {
        match self {
            Self::Busy(cause) | Self::NoAnswer(cause) | Self::Refused(cause) => cause,
            other => Cause::because(&other.to_string()),
        }
    }

    /// Returns the failure of a request that was not begun, since the time was over.
    #[must_use]
    pub fn out_of_time() -> Self {
        Self::Busy(Cause::because("the time was over before it began"))
    }

    /// Returns whether the same request may succeed a little later.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy(_))
    }
}

/// The table, through one client for the whole process.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    name: String,
    /// How long the first attempt to count a key's use may take.
    first_count: Duration,
}

impl Table {
    /// Returns the table of this name, called through this client.
    #[must_use]
    pub fn new(client: Client, name: String) -> Self {
        Self {
            client,
            name,
            first_count: api_keys::FIRST_COUNT,
        }
    }

    /// Returns the same table with another time for the first attempt to count a key's
    /// use. An engine that is slower than DynamoDB would see it twice, and count twice.
    #[must_use]
    pub fn first_count(self, first_count: Duration) -> Self {
        Self {
            first_count,
            ..self
        }
    }

    /// Returns the client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the table's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads the campaign item, strongly consistent.
    ///
    /// # Errors
    /// [`TableError`]; an item under this key that names another id is corrupt.
    pub async fn campaign(
        &self,
        id: &CampaignId,
        deadline: Instant,
    ) -> Result<Option<Campaign>, TableError> {
        let found = self.get(keys::campaign(id), deadline).await?;
        found
            .map(|item| campaign_item::campaign(id, &item))
            .transpose()
    }

    /// Reads the campaign item with all its attributes, strongly consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn campaign_item(
        &self,
        id: &CampaignId,
        deadline: Instant,
    ) -> Result<Option<Item>, TableError> {
        const OPERATION: &str = "GetItem";
        let request = self
            .get_item(keys::campaign(id))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        // An empty answer that is not the table's would pass for a campaign that is gone.
        let send = || {
            whole(request.clone().send(), |answer| {
                answer.consumed_capacity.is_some()
            })
        };
        let answer = until_answered(OPERATION, deadline, send)
            .await
            .map_err(|failure| failure.into_table_error(OPERATION))?;
        Ok(answer.item)
    }

    /// Reads which attributes of a campaign item are the largest, so that removing
    /// them makes room for a mark: never keys, nor what a deletion reads.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn largest_attributes(
        &self,
        id: &CampaignId,
        deadline: Instant,
    ) -> Result<Vec<String>, TableError> {
        let item = self.campaign_item(id, deadline).await?;
        Ok(campaign_item::largest(&item.unwrap_or_default()))
    }

    /// Reads a deletion record, strongly consistent.
    ///
    /// # Errors
    /// [`TableError`]; an item under this key that names another deletion or
    /// account is corrupt.
    pub async fn record(
        &self,
        account_id: &str,
        deletion_id: &str,
        deadline: Instant,
    ) -> Result<Option<Record>, TableError> {
        let key = keys::deletion(account_id, deletion_id);
        let found = self.get(key, deadline).await?;
        let read = |item: &Item| deletions::own_record(account_id, deletion_id, item);
        found.as_ref().map(read).transpose()
    }

    fn get_item(&self, key: Key) -> GetItemFluentBuilder {
        self.client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key.attributes()))
            .consistent_read(true)
    }

    async fn get(&self, key: Key, deadline: Instant) -> Result<Option<Item>, TableError> {
        const OPERATION: &str = "GetItem";
        let request = self.get_item(key);
        let answer = until_answered(OPERATION, deadline, || request.clone().send())
            .await
            .map_err(|failure| failure.into_table_error(OPERATION))?;
        Ok(answer.item)
    }
}

/// Returns a part of a request, which the SDK checks for required members as it
/// builds it.
fn built<T>(part: Result<T, BuildError>) -> Result<T, TableError> {
    part.map_err(|error| TableError::Refused(Cause::unbuilt(&error)))
}

//! The table. This file and its parts are all that talks to DynamoDB: requests
//! are made here, and values of this project come out.

#[cfg(feature = "cli")]
mod admin;
mod api_keys;
mod children;
mod expressions;
mod history;
mod idempotency;
mod index;
pub mod item;
pub mod keys;
mod records;
mod retry;

use std::fmt;

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
};
use tokio::time::Instant;

#[cfg(feature = "cli")]
pub use self::admin::ListedKey;
pub use self::{
    api_keys::{Counted, CountedKey},
    children::{BATCH_SIZE, DeletesSent, Page},
    history::History,
    idempotency::NewKeyUse,
    index::{ListedCampaign, Listing},
    records::{Change, Claim, ClaimAnswer, Completion, FinishAnswer, WriteAnswer},
    retry::Backoff,
};
use self::{item::Item, keys::Key, retry::until_answered};
use crate::{
    campaign::{Campaign, CampaignId},
    deletion::Record,
};

/// What the table did not do.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It was throttled, or conflicting transactions were in the way, until the
    /// deadline.
    #[error("the table was busy until the deadline: {0}")]
    Busy(Cause),
    /// It gave no answer until the deadline; what was asked for may be done or not.
    #[error("the table gave no answer until the deadline: {0}")]
    NoAnswer(Cause),
    /// It refused in a way that no repetition changes.
    #[error("the table refused: {0}")]
    Refused(Cause),
    /// The task that reads ahead has ended without having reached the end.
    #[error("the reading of the partition broke off")]
    ReadingBrokeOff,
    /// An item does not have the form that the design gives it.
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

    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy(_))
    }
}

/// Why a call failed, fit for a log: the operation, the error code and the
/// service's message; never an item, a header or a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause(String);

impl Cause {
    pub(crate) fn of<E: ProvideErrorMetadata>(
        operation: &'static str,
        error: &SdkError<E>,
    ) -> Self {
        let why = match error {
            SdkError::ServiceError(service) => format!(
                "{} ({}): {}",
                service.err().code().unwrap_or("no error code"),
                service.raw().status(),
                service.err().message().unwrap_or("no message"),
            ),
            SdkError::TimeoutError(_) => "the attempt timed out".to_owned(),
            SdkError::ResponseError(_) => "the answer was unreadable".to_owned(),
            SdkError::DispatchFailure(dispatch) => dispatch.as_connector_error().map_or_else(
                || "the request could not be sent".to_owned(),
                |error| chain_of_sources(error),
            ),
            SdkError::ConstructionFailure(_) => "the request could not be built".to_owned(),
            _ => "unknown failure".to_owned(),
        };
        Self(format!("{operation}: {why}"))
    }

    fn deadline(operation: &'static str) -> Self {
        Self(format!("{operation}: the deadline came first"))
    }
}

/// The error and its sources in one line. `Debug` of an SDK error can contain
/// items; `Display` does not.
fn chain_of_sources(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The table, through one client for the whole process.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    name: String,
}

impl Table {
    /// The table of this name through this client.
    #[must_use]
    pub fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// The client, for tests that look at the table from outside.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The campaign item, strongly consistent.
    ///
    /// # Errors
    /// [`TableError`]; an item under this key that names another id is corrupt.
    pub async fn campaign(
        &self,
        id: &CampaignId,
        deadline: Instant,
    ) -> Result<Option<Campaign>, TableError> {
        let found = self.get(keys::campaign(id), deadline).await?;
        found.map(|item| campaign_under(id, &item)).transpose()
    }

    /// A deletion record, strongly consistent.
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
        let found = found.as_ref().map(item::record).transpose()?;
        match found {
            Some(record) if record.deletion_id != deletion_id => Err(TableError::Corrupt {
                kind: "deletion record",
                attribute: "deletionId",
            }),
            Some(record) if record.account_id != account_id => Err(TableError::Corrupt {
                kind: "deletion record",
                attribute: "accountId",
            }),
            found => Ok(found),
        }
    }

    async fn get(&self, key: Key, deadline: Instant) -> Result<Option<Item>, TableError> {
        const OPERATION: &str = "GetItem";
        let request = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key.attributes()))
            .consistent_read(true);
        let answer = until_answered(OPERATION, deadline, || request.clone().send())
            .await
            .map_err(|failure| failure.into_table_error(OPERATION))?;
        Ok(answer.item)
    }
}

/// Reads a campaign item and checks that it is the one that was asked for.
fn campaign_under(id: &CampaignId, item: &Item) -> Result<Campaign, TableError> {
    let campaign = item::campaign(item)?;
    if campaign.id != *id {
        return Err(TableError::Corrupt {
            kind: "campaign",
            attribute: "id",
        });
    }
    Ok(campaign)
}

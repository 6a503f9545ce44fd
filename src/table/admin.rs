//! What only a terminal does with the table: creates and fills it, and manages API keys.
//! None of this is in a Lambda function, so no function's role needs `Scan` or
//! `CreateTable`.

use std::time::Duration;

use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata,
    operation::put_item::PutItemError,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement,
        KeyType, Projection, ProjectionType, PutRequest, ReturnValuesOnConditionCheckFailure,
        ScalarAttributeType, TimeToLiveSpecification, WriteRequest,
    },
};
use tokio::time::Instant;

use super::{
    Backoff, Table, TableError, are_same, built,
    item::{self, Item},
    keys::{API_KEY_PREFIX, Key, PK, SK, STATUS_INDEX, TIME_TO_LIVE, UNFINISHED, UNFINISHED_INDEX},
    retry::{Failure, Verdict, unless_refused, until_answered, verdict},
};
use crate::{
    auth::StoredKey,
    sdk::{Cause, signed},
};

/// The attributes in the keys of the table and its indexes, all of them text.
pub const KEY_ATTRIBUTES: [&str; 6] = [
    PK,
    SK,
    "campaignStatus",
    "updatedAt",
    UNFINISHED,
    "startedAt",
];

/// The projection of the index besides its keys, as in the template.
pub const STATUS_INDEX_PROJECTION: [&str; 5] = [
    "accountId",
    "name",
    "completedAt",
    "deletionId",
    "deletionProtection",
];

/// An API key's item with its place in the table. An item that other programs wrote may
/// not have the expected form; it can still be listed and revoked.
#[derive(Clone, Debug)]
pub struct ListedKey {
    /// Where it is.
    pub key: Key,
    /// Its public name, if that can be read.
    pub key_id: Option<String>,
    /// The account that it acts for, if that can be read.
    pub account_id: Option<String>,
    /// What it says, or why the API refuses it.
    pub stored: Result<StoredKey, String>,
}

impl Table {
    /// Creates the table; `false` if it exists already.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn create(&self) -> Result<bool, TableError> {
        const OPERATION: &str = "CreateTable";
        let attribute = |name: &str| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
        };
        let key = |name: &str, kind: KeyType| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind)
                .build()
        };
        let projection = Projection::builder()
            .projection_type(ProjectionType::Include)
            .set_non_key_attributes(Some(
                STATUS_INDEX_PROJECTION.map(ToOwned::to_owned).to_vec(),
            ))
            .build();
        let index = GlobalSecondaryIndex::builder()
            .index_name(STATUS_INDEX)
            .key_schema(built(key("campaignStatus", KeyType::Hash))?)
            .key_schema(built(key("updatedAt", KeyType::Range))?)
            .projection(projection)
            .build();
        let keys_only = Projection::builder()
            .projection_type(ProjectionType::KeysOnly)
            .build();
        let unfinished = GlobalSecondaryIndex::builder()
            .index_name(UNFINISHED_INDEX)
            .key_schema(built(key(UNFINISHED, KeyType::Hash))?)
            .key_schema(built(key("startedAt", KeyType::Range))?)
            .projection(keys_only)
            .build();
        let mut request = self
            .client()
            .create_table()
            .table_name(self.name())
            .billing_mode(BillingMode::PayPerRequest)
            .key_schema(built(key(PK, KeyType::Hash))?)
            .key_schema(built(key(SK, KeyType::Range))?)
            .global_secondary_indexes(built(index)?)
            .global_secondary_indexes(built(unfinished)?);
        for name in KEY_ATTRIBUTES {
            request = request.attribute_definitions(built(attribute(name))?);
        }
        match signed(|| request.clone().send()).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ResourceInUseException") => Ok(false),
            Err(error) => Err(TableError::refused(OPERATION, &error)),
        }
    }

    /// Lets items expire by `ttlAt`. A table that has it enabled already refuses, which
    /// changes nothing.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn enable_time_to_live(&self) -> Result<(), TableError> {
        const OPERATION: &str = "UpdateTimeToLive";
        let enabled = TimeToLiveSpecification::builder()
            .attribute_name(TIME_TO_LIVE)
            .enabled(true)
            .build();
        let request = self
            .client()
            .update_time_to_live()
            .table_name(self.name())
            .time_to_live_specification(built(enabled)?);
        match signed(|| request.clone().send()).await {
            Err(error) if error.code() != Some("ValidationException") => {
                Err(TableError::refused(OPERATION, &error))
            }
            _ => Ok(()),
        }
    }

    /// Puts one item under a key that must be free; `false` if another item is
    /// there. An item that is exactly this one was put by an earlier attempt
    /// whose answer was lost.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn put_new(
        &self,
        key: Key,
        mut item: Item,
        deadline: Instant,
    ) -> Result<bool, TableError> {
        const OPERATION: &str = "PutItem";
        item.extend(key.attributes());
        let request = self
            .client()
            .put_item()
            .table_name(self.name())
            .set_item(Some(item.clone()))
            .condition_expression("attribute_not_exists(#PK)")
            .expression_attribute_names("#PK", PK)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match until_answered(OPERATION, deadline, || request.clone().send()).await {
            Ok(_) => Ok(true),
            Err(Failure::Answered(error)) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => Ok(failed
                    .item
                    .as_ref()
                    .is_some_and(|there| are_same(there, &item))),
                _ => Err(TableError::refused(OPERATION, &error)),
            },
            Err(failure) => Err(failure.into_table_error(OPERATION)),
        }
    }

    /// Puts up to 25 items, and unprocessed ones again, until the deadline.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn put_batch(&self, items: Vec<Item>, deadline: Instant) -> Result<(), TableError> {
        let puts = items
            .into_iter()
            .map(|item| PutRequest::builder().set_item(Some(item)).build())
            .map(|put| put.map(|put| WriteRequest::builder().put_request(put).build()))
            .collect::<Result<Vec<_>, _>>();
        self.write_batch(built(puts)?, deadline).await
    }

    /// Sends up to 25 writes, and unprocessed ones again, until the deadline.
    pub(super) async fn write_batch(
        &self,
        mut unprocessed: Vec<WriteRequest>,
        deadline: Instant,
    ) -> Result<(), TableError> {
        const OPERATION: &str = "BatchWriteItem";
        let mut backoff = Backoff::default();
        loop {
            let request = self
                .client()
                .batch_write_item()
                .request_items(self.name(), unprocessed.clone());
            let cause = match signed(|| request.clone().send()).await {
                Ok(answer) => {
                    let items = answer.unprocessed_items.unwrap_or_default();
                    unprocessed = items.into_values().flatten().collect();
                    Cause::deadline(OPERATION)
                }
                Err(error) if verdict(&error) == Verdict::Answered => {
                    return Err(TableError::refused(OPERATION, &error));
                }
                Err(error) => Cause::of(OPERATION, &error),
            };
            if unprocessed.is_empty() {
                return Ok(());
            }
            if !backoff.wait(deadline).await {
                return Err(TableError::Busy(cause));
            }
        }
    }

    /// Reads every API key by a scan, which only a terminal may do. Each page may take
    /// as long as `patience`.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn scan_keys(&self, patience: Duration) -> Result<Vec<ListedKey>, TableError> {
        const OPERATION: &str = "Scan";
        let scan = self
            .client()
            .scan()
            .table_name(self.name())
            .consistent_read(true)
            .filter_expression("begins_with(#PK, :prefix)")
            .expression_attribute_names("#PK", PK)
            .expression_attribute_values(":prefix", AttributeValue::S(API_KEY_PREFIX.to_owned()));
        let mut listed = Vec::new();
        let mut from = None;
        loop {
            let request = scan.clone().set_exclusive_start_key(from);
            let deadline = Instant::now() + patience;
            let answer = until_answered(OPERATION, deadline, || request.clone().send())
                .await
                .map_err(|failure| failure.into_table_error(OPERATION))?;
            for found in answer.items.unwrap_or_default() {
                let text = |name| found.get(name).and_then(|value| value.as_s().ok()).cloned();
                listed.push(ListedKey {
                    key: item::key_of(&found)?,
                    key_id: text("keyId"),
                    account_id: text("accountId"),
                    stored: item::stored_key(&found).map_err(|error| error.to_string()),
                });
            }
            from = answer.last_evaluated_key;
            if from.is_none() {
                return Ok(listed);
            }
        }
    }

    /// Revokes the API key at this place; `false` if it is gone.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn revoke_key(&self, key: Key, deadline: Instant) -> Result<bool, TableError> {
        const OPERATION: &str = "UpdateItem";
        let request = self
            .client()
            .update_item()
            .table_name(self.name())
            .set_key(Some(key.attributes()))
            .update_expression("SET #state = :revoked")
            .condition_expression("attribute_exists(#PK)")
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#PK", PK)
            .expression_attribute_values(":revoked", AttributeValue::S("revoked".to_owned()));
        let answer = until_answered(OPERATION, deadline, || request.clone().send()).await;
        unless_refused(OPERATION, answer)
    }
}

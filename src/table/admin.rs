//! The table as only a terminal uses it: creates and fills it, and manages API keys.
//! None of this is in a Lambda function, so no function's role needs `Scan` or
//! `CreateTable`.

use std::time::Duration;

use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata,
    operation::put_item::PutItemError,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement,
        KeyType, Projection, ProjectionType, PutRequest, ReturnValuesOnConditionCheckFailure,
        ScalarAttributeType, WriteRequest,
    },
};
use tokio::time::Instant;

use super::{
    Backoff, Table, TableError, built,
    item::{self, Item},
    keys::{API_KEY_PREFIX, Key, PK, SK, STATUS_INDEX, UNFINISHED, UNFINISHED_INDEX},
    retry::{Failure, Verdict, unless_refused, until_answered, verdict},
};
use crate::{auth::StoredKey, sdk::Cause};

/// The attributes in the keys of the table and its indexes.
const KEY_ATTRIBUTES: [&str; 6] = [
    PK,
    SK,
    "campaignStatus",
    "updatedAt",
    UNFINISHED,
    "startedAt",
];

/// The projection of the index besides its keys, as in the template.
const STATUS_INDEX_PROJECTION: [&str; 5] = [
    "accountId",
    "name",
    "completedAt",
    "deletionId",
    "deletionProtection",
];

/// An API key's item with its place in the table.
#[derive(Clone, Debug)]
pub struct ListedKey {
    /// Where it is.
    pub key: Key,
    /// What it says.
    pub stored: StoredKey,
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
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ResourceInUseException") => Ok(false),
            Err(error) => Err(TableError::refused(OPERATION, &error)),
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
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    Ok(failed.item.as_ref() == Some(&item))
                }
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
        const OPERATION: &str = "BatchWriteItem";
        let puts = items
            .into_iter()
            .map(|item| PutRequest::builder().set_item(Some(item)).build())
            .map(|put| put.map(|put| WriteRequest::builder().put_request(put).build()))
            .collect::<Result<Vec<_>, _>>();
        let mut unprocessed = built(puts)?;
        let mut backoff = Backoff::default();
        loop {
            let request = self
                .client()
                .batch_write_item()
                .request_items(self.name(), unprocessed.clone());
            let cause = match request.send().await {
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
                let key = item::key_of(&found)?;
                match item::stored_key(&found) {
                    Ok(stored) => listed.push(ListedKey { key, stored }),
                    // This one cannot be used; the others can be listed and revoked.
                    Err(error) => tracing::warn!("left item {} out: {error}", key.pk),
                }
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

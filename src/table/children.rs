//! Reading a campaign's partition page by page, and deleting its children in
//! batches. Each is one request: `deletion/drain.rs` passes over the partition,
//! counts, and sends unprocessed deletes again.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::{batch_write_item::BatchWriteItemError, query::builders::QueryFluentBuilder},
    types::{
        AttributeValue, ConsumedCapacity, DeleteRequest, ReturnConsumedCapacity, WriteRequest,
    },
};
use tokio::time::{Instant, timeout_at};

use super::{
    Table, TableError, built,
    item::Item,
    keys,
    retry::{Verdict, until_answered, verdict, whole},
};
use crate::{campaign::CampaignId, counts::CAMPAIGN_SORT_KEY, sdk::signed};

/// A `BatchWriteItem` takes at most 25 writes (API reference, `RequestItems`).
pub const BATCH_SIZE: usize = 25;

/// The most keys in a page. A page ends at 1 MB of items anyway; this bounds it
/// for tiny items, so that memory stays flat, and costs one more request per
/// 1,000 keys.
pub const PAGE_LIMIT: u16 = 1_000;

/// A page of the partition: the children's sort keys, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The children's sort keys; the campaign item is not among them.
    pub sort_keys: Vec<String>,
    /// Where the next page starts (after this sort key); `None` at the end of
    /// the partition.
    pub next: Option<String>,
}

/// The answer to a batch of deletes.
#[derive(Debug, PartialEq)]
pub struct DeletesSent {
    /// The sort keys whose deletes were not acknowledged and have to be sent again:
    /// DynamoDB returned them as unprocessed, throttled the whole batch, or gave no
    /// answer.
    pub unprocessed: Vec<String>,
    /// The write units that the batch has consumed, where that is known.
    pub consumed: Option<f64>,
    /// Whether the table has answered, if only to throttle the batch.
    pub is_answered: bool,
}

impl Table {
    /// Reads one page of a campaign's partition, after one key and up to and including
    /// another, from its start and to its end without them: strongly consistent, keys only.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn page(
        &self,
        campaign: &CampaignId,
        after: Option<&str>,
        through: Option<&str>,
        deadline: Instant,
    ) -> Result<Page, TableError> {
        let request = self.keys_of(campaign, through);
        let (items, next) = self.query(request, campaign, after, deadline).await?;
        let keys = items.into_iter().map(sort_key);
        let mut sort_keys = keys.collect::<Result<Vec<_>, _>>()?;
        sort_keys.retain(|key| key != CAMPAIGN_SORT_KEY);
        Ok(Page { sort_keys, next })
    }

    /// Reads one page as [`Table::page`] does, with the whole items, for the same read units.
    /// The campaign item is not among them.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn page_of_items(
        &self,
        campaign: &CampaignId,
        after: Option<&str>,
        through: Option<&str>,
        deadline: Instant,
    ) -> Result<(Page, Vec<Item>), TableError> {
        let request = self.items_of(campaign, through);
        let (mut items, next) = self.query(request, campaign, after, deadline).await?;
        let is_campaign =
            |key: &AttributeValue| key.as_s().is_ok_and(|key| key == CAMPAIGN_SORT_KEY);
        items.retain(|item| !item.get(keys::SK).is_some_and(is_campaign));
        let keys = items.iter().map(|item| {
            let key = item.get(keys::SK).and_then(|key| key.as_s().ok());
            key.cloned().ok_or_else(bad_key)
        });
        let sort_keys = keys.collect::<Result<Vec<_>, _>>()?;
        Ok((Page { sort_keys, next }, items))
    }

    /// Sends the query of a page; returns its items, and where the next page starts.
    async fn query(
        &self,
        request: QueryFluentBuilder,
        campaign: &CampaignId,
        after: Option<&str>,
        deadline: Instant,
    ) -> Result<(Vec<Item>, Option<String>), TableError> {
        const OPERATION: &str = "Query";
        let request = request
            .limit(PAGE_LIMIT.into())
            .set_exclusive_start_key(after.map(|key| keys::child(campaign, key).attributes()));
        // A deletion that took an empty answer for an empty partition would finish too early.
        let send = || {
            whole(request.clone().send(), |page| {
                page.consumed_capacity.is_some()
            })
        };
        let answer = until_answered(OPERATION, deadline, send)
            .await
            .map_err(|failure| failure.into_table_error(OPERATION))?;
        let next = answer.last_evaluated_key.map(sort_key).transpose()?;
        Ok((answer.items.unwrap_or_default(), next))
    }

    /// Reads the last key of a campaign's partition up to and including `through`, the campaign
    /// item's included; `None` if there is none.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn last_key(
        &self,
        campaign: &CampaignId,
        through: Option<&str>,
        deadline: Instant,
    ) -> Result<Option<String>, TableError> {
        const OPERATION: &str = "Query";
        let request = self.keys_of(campaign, through).limit(1);
        let request = request.scan_index_forward(false);
        let answer = until_answered(OPERATION, deadline, || request.clone().send())
            .await
            .map_err(|failure| failure.into_table_error(OPERATION))?;
        let last = answer.items.unwrap_or_default().into_iter().next();
        last.map(sort_key).transpose()
    }

    /// Returns the request for a campaign's keys, up to and including `through`.
    fn keys_of(&self, campaign: &CampaignId, through: Option<&str>) -> QueryFluentBuilder {
        let request = self.items_of(campaign, through);
        // `#SK` may be in the condition, too.
        request
            .projection_expression("#SK")
            .expression_attribute_names("#SK", keys::SK)
    }

    /// Returns the request for a campaign's items, up to and including `through`.
    fn items_of(&self, campaign: &CampaignId, through: Option<&str>) -> QueryFluentBuilder {
        let partition = AttributeValue::S(keys::campaign_partition(campaign));
        let request = self
            .client()
            .query()
            .table_name(self.name())
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .expression_attribute_names("#PK", keys::PK)
            .expression_attribute_values(":PK", partition);
        match through {
            None => request.key_condition_expression("#PK = :PK"),
            Some(through) => request
                .key_condition_expression("#PK = :PK AND #SK <= :through")
                .expression_attribute_names("#SK", keys::SK)
                .expression_attribute_values(":through", AttributeValue::S(through.to_owned())),
        }
    }

    /// Sends one batch of at most [`BATCH_SIZE`] deletes, once.
    ///
    /// # Errors
    /// [`TableError::Refused`] when sending it again is useless.
    pub async fn delete_batch(
        &self,
        campaign: &CampaignId,
        sort_keys: Vec<String>,
        deadline: Instant,
    ) -> Result<DeletesSent, TableError> {
        const OPERATION: &str = "BatchWriteItem";
        let deletes = sort_keys
            .iter()
            .map(|key| {
                DeleteRequest::builder()
                    .set_key(Some(keys::child(campaign, key).attributes()))
                    .build()
                    .map(|delete| WriteRequest::builder().delete_request(delete).build())
            })
            .collect::<Result<Vec<_>, _>>();
        let deletes = built(deletes)?;
        let request = self
            .client()
            .batch_write_item()
            .request_items(self.name(), deletes)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let error = match timeout_at(
            deadline,
            Box::pin(signed(|| {
                whole(request.clone().send(), |answer| {
                    answer
                        .consumed_capacity
                        .as_ref()
                        .is_some_and(|tables| !tables.is_empty())
                })
            })),
        )
        .await
        {
            Ok(Ok(answer)) => {
                return Ok(DeletesSent {
                    unprocessed: unprocessed(answer.unprocessed_items)?,
                    consumed: consumed(answer.consumed_capacity.as_deref()),
                    is_answered: true,
                });
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        match error.map(|error| (verdict::<BatchWriteItemError>(&error), error)) {
            Some((Verdict::Answered, error)) => Err(TableError::refused(OPERATION, &error)),
            Some((Verdict::Busy, _)) => Ok(DeletesSent {
                unprocessed: sort_keys,
                consumed: Some(0.0),
                is_answered: true,
            }),
            Some((Verdict::NoAnswer, _)) | None => Ok(DeletesSent {
                unprocessed: sort_keys,
                consumed: None,
                is_answered: false,
            }),
        }
    }
}

/// Returns the write units that all tables of a request consumed together.
fn consumed(tables: Option<&[ConsumedCapacity]>) -> Option<f64> {
    tables?.iter().map(|table| table.capacity_units).sum()
}

fn unprocessed(
    items: Option<HashMap<String, Vec<WriteRequest>>>,
) -> Result<Vec<String>, TableError> {
    items
        .unwrap_or_default()
        .into_values()
        .flatten()
        .filter_map(|write| write.delete_request)
        .map(|delete| sort_key(delete.key))
        .collect()
}

fn sort_key(mut key: HashMap<String, AttributeValue>) -> Result<String, TableError> {
    match key.remove(keys::SK) {
        Some(AttributeValue::S(sort_key)) => Ok(sort_key),
        _ => Err(bad_key()),
    }
}

fn bad_key() -> TableError {
    TableError::Corrupt {
        kind: "item",
        attribute: keys::SK,
    }
}

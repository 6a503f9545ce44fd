//! The writes of the deletion protocol: the claim, and the versioned writes of a
//! record, of which the finish has a file of its own. Each is one conditional request,
//! repeated with identical bytes until it is answered. If it is refused, the item that the
//! table returns shows whether an earlier attempt of its own was applied.

use aws_sdk_dynamodb::{
    error::{BuildError, SdkError},
    operation::{transact_write_items::TransactWriteItemsError, update_item::UpdateItemError},
    types::{
        CancellationReason, Put, ReturnConsumedCapacity, ReturnValue,
        ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
    },
};
use tokio::time::Instant;

use super::{
    NewKeyUse, Table, TableError, built, campaign_item,
    expressions::{Expressions, text},
    item::{self, Item},
    keys,
    record_write::{RecordWrite, Written},
    retry::{CONDITION_FAILED, Failure, in_conflict, until_answered, whole},
};
use crate::{
    campaign::{Campaign, Status},
    record::Record,
    sdk::Cause,
};

pub(super) const TRANSACTION: &str = "TransactWriteItems";

/// A claim that can be sent any number of times with the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The campaign as it was read; the claim is conditional on exactly this.
    pub campaign: Campaign,
    /// The record that the claim puts.
    pub record: Record,
    /// The idempotency key that the claim stores, if the request has one.
    pub key_use: Option<NewKeyUse>,
    /// The client request token: the same for every repetition, so that a
    /// repeated claim is the same claim (kept by DynamoDB for 10 minutes).
    pub token: String,
    /// Attributes that the mark removes to make room, since a marked item is larger
    /// and DynamoDB's limit is 400 KB. The item is deleted by the finish.
    pub removed: Vec<String>,
}

/// The answer to a claim.
#[derive(Debug)]
pub enum ClaimAnswer {
    /// The campaign is claimed.
    Claimed,
    /// The campaign has changed since it was read; this is its current state,
    /// `None` if it is gone.
    Changed(Option<Box<Campaign>>),
    /// A record of this deletion exists already.
    RecordExists,
    /// The idempotency key is in use for another deletion.
    KeyInUse,
    /// The marked item would be larger than DynamoDB allows.
    TooLarge,
}

/// The answer to a conditional write of a record.
#[derive(Debug)]
pub enum WriteAnswer {
    /// It is written; the record as it is now.
    Written(Box<Record>),
    /// Another worker has written the record; its current state, `None` if it is
    /// gone. This worker has lost its lease.
    Lost(Option<Box<Record>>),
}

impl Table {
    /// Marks the campaign, puts the record, and stores the idempotency key if
    /// there is one, in one transaction.
    ///
    /// A transaction in conflict is not retried here: the caller reads the campaign
    /// again first.
    ///
    /// # Errors
    /// [`TableError`]; after [`TableError::NoAnswer`] the claim may have been applied.
    pub async fn claim(&self, claim: &Claim, deadline: Instant) -> Result<ClaimAnswer, TableError> {
        let campaign = &claim.campaign;
        let mark = self.mark(claim);
        let record_key = keys::deletion(&claim.record.account_id, &claim.record.deletion_id);
        let mut record = item::new_record(&claim.record);
        record.extend(record_key.attributes());
        let record = Put::builder()
            .table_name(self.name())
            .set_item(Some(record))
            .condition_expression("attribute_not_exists(#PK)")
            .expression_attribute_names("#PK", keys::PK)
            .build();
        let mut items = vec![
            TransactWriteItem::builder().update(built(mark)?).build(),
            TransactWriteItem::builder().put(built(record)?).build(),
        ];
        if let Some(key_use) = &claim.key_use {
            let key_use = key_use.put(self.name(), &claim.record)?;
            items.push(TransactWriteItem::builder().put(key_use).build());
        }
        let error = match self.transact(items, &claim.token, deadline).await {
            Ok(()) => return Ok(ClaimAnswer::Claimed),
            Err(failure) => cancelled(failure)?,
        };
        if failed(&error, 0) {
            let seen = shown(&error, 0)
                .map(|item| campaign_item::campaign(&campaign.id, item))
                .transpose()?;
            Ok(ClaimAnswer::Changed(seen.map(Box::new)))
        } else if failed(&error, 1) {
            Ok(ClaimAnswer::RecordExists)
        } else if failed(&error, 2) {
            Ok(ClaimAnswer::KeyInUse)
        } else if is_too_large(&error) {
            Ok(ClaimAnswer::TooLarge)
        } else {
            Err(TableError::refused(TRANSACTION, &error))
        }
    }

    /// Returns the part of a claim that marks the campaign, conditional on exactly
    /// what was read.
    fn mark(&self, claim: &Claim) -> Result<Update, BuildError> {
        let campaign = &claim.campaign;
        let seen = &campaign.seen;
        let mut of = Expressions::default();
        let condition = [
            of.equals("accountId", Some(text(&campaign.account_id))),
            of.equals("campaignStatus", Some(text(campaign.status.as_str()))),
            of.is_as_seen("updatedAt", &seen.updated_at),
            of.is_as_seen("deletionProtection", &seen.deletion_protection),
            of.is_as_seen("deletionId", &seen.deletion_id),
        ];
        let mut sets = vec![
            of.assign("campaignStatus", "deleting", text(Status::DELETING)),
            of.assign("deletionId", "claimedBy", text(&claim.record.deletion_id)),
        ];
        if seen.updated_at.text().is_none() {
            // Without it, the index of campaigns by status would not show the campaign.
            let started_at = text(&claim.record.started_at);
            sets.push(of.assign("updatedAt", "startedAt", started_at));
        }
        let mut update = format!("SET {}", sets.join(", "));
        if !claim.removed.is_empty() {
            let removed = claim.removed.iter().enumerate();
            let removed: Vec<_> = removed.map(|(at, name)| of.alias(at, name)).collect();
            update = format!("{update} REMOVE {}", removed.join(", "));
        }
        Update::builder()
            .table_name(self.name())
            .set_key(Some(keys::campaign(&campaign.id).attributes()))
            .update_expression(update)
            .condition_expression(condition.join(" AND "))
            .set_expression_attribute_names(Some(of.names))
            .set_expression_attribute_values(Some(of.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
    }

    /// Writes the record, conditional on `state = running` and on the version
    /// in `seen`.
    ///
    /// # Errors
    /// [`TableError`]; after [`TableError::NoAnswer`] and [`TableError::Busy`]
    /// the write may be applied later.
    pub async fn write_record(
        &self,
        seen: &Record,
        owner: &str,
        written: Written,
        deadline: Instant,
    ) -> Result<WriteAnswer, TableError> {
        const OPERATION: &str = "UpdateItem";
        let write = RecordWrite::new(seen, owner, &written);
        let request = self
            .client()
            .update_item()
            .table_name(self.name())
            .set_key(Some(write.key))
            .update_expression(write.update)
            .condition_expression(write.condition)
            .set_expression_attribute_names(Some(write.expressions.names))
            .set_expression_attribute_values(Some(write.expressions.values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let send = || whole(request.clone().send(), |answer| answer.attributes.is_some());
        let answer = until_answered(OPERATION, deadline, send).await;
        let error = match answer {
            Ok(answer) => {
                let now = answer.attributes.unwrap_or_default();
                return Ok(WriteAnswer::Written(Box::new(item::record(&now)?)));
            }
            Err(Failure::Answered(error)) => error,
            Err(failure) => return Err(failure.into_table_error(OPERATION)),
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                refused_write(seen, owner, failed.item.as_ref())
            }
            _ => Err(TableError::refused(OPERATION, &error)),
        }
    }

    /// Sends a transaction until it is answered; one that was cancelled for a
    /// conflict is [`TableError::Busy`] at once.
    pub(super) async fn transact(
        &self,
        items: Vec<TransactWriteItem>,
        token: &str,
        deadline: Instant,
    ) -> Result<(), Failure<TransactWriteItemsError>> {
        let request = self
            .client()
            .transact_write_items()
            .set_transact_items(Some(items))
            .client_request_token(token)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let send = || {
            whole(request.clone().send(), |answer| {
                answer.consumed_capacity.is_some()
            })
        };
        let answer = until_answered(TRANSACTION, deadline, send).await;
        match answer {
            Ok(_) => Ok(()),
            Err(Failure::Answered(error)) if in_conflict(&error) => Err(Failure::Table(
                TableError::Busy(Cause::of(TRANSACTION, &error)),
            )),
            Err(failure) => Err(failure),
        }
    }
}

/// A write of a record was refused. It was this worker's own, applied earlier,
/// if the item shows its owner and the version that it meant to write.
pub(super) fn refused_write(
    seen: &Record,
    owner: &str,
    shown: Option<&Item>,
) -> Result<WriteAnswer, TableError> {
    let now = shown.map(item::record).transpose()?;
    Ok(match now {
        Some(now) if now.owner.as_deref() == Some(owner) && now.version == seen.version + 1 => {
            WriteAnswer::Written(Box::new(now))
        }
        other => WriteAnswer::Lost(other.map(Box::new)),
    })
}

/// The cancellation, if a failure is one.
pub(super) fn cancelled(
    failure: Failure<TransactWriteItemsError>,
) -> Result<SdkError<TransactWriteItemsError>, TableError> {
    match failure {
        Failure::Answered(error) if !reasons(&error).is_empty() => Ok(*error),
        failure => Err(failure.into_table_error(TRANSACTION)),
    }
}

fn reasons(error: &SdkError<TransactWriteItemsError>) -> &[CancellationReason] {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            cancelled.cancellation_reasons()
        }
        _ => &[],
    }
}

/// Returns whether the condition of the transaction's item at this place failed.
pub(super) fn failed(error: &SdkError<TransactWriteItemsError>, place: usize) -> bool {
    reasons(error).get(place).and_then(|reason| reason.code()) == Some(CONDITION_FAILED)
}

/// Whether the transaction was cancelled because an item would be too large.
fn is_too_large(error: &SdkError<TransactWriteItemsError>) -> bool {
    reasons(error).iter().any(|reason| {
        let message = reason.message().unwrap_or_default().to_ascii_lowercase();
        reason.code() == Some("ValidationError") && message.contains("size")
    })
}

/// The item at this place as the cancellation shows it.
pub(super) fn shown(error: &SdkError<TransactWriteItemsError>, place: usize) -> Option<&Item> {
    reasons(error)
        .get(place)
        .and_then(|reason| reason.item.as_ref())
        .filter(|item| !item.is_empty())
}

//! The finish of a deletion: the campaign item is deleted, the record is closed, and the event
//! that announces it is put, all in one transaction.

use aws_sdk_dynamodb::types::{
    Delete, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use tokio::time::Instant;

use super::{
    Table, TableError, built, events,
    expressions::{Expressions, text},
    keys,
    protocol::{TRANSACTION, WriteAnswer, cancelled, failed, refused_write, shown},
    record_write::{Completion, RecordWrite, Written},
    retry::{Backoff, Failure},
};
use crate::record::{Archive, Record, RecordState};

/// The answer to a finish.
#[derive(Debug)]
pub enum FinishAnswer {
    /// The record's part of it.
    Record(WriteAnswer),
    /// Nothing was written: the campaign item no longer belongs to this deletion.
    CampaignReplaced,
}

impl Table {
    /// Deletes the campaign item, if it is this deletion's or gone already, marks the record
    /// succeeded, and puts the event, if there is one, in one transaction. If the campaign was
    /// replaced, the item that is there stays. `token` is the client request token.
    ///
    /// # Errors
    /// As [`Table::write_record`].
    pub async fn finish(
        &self,
        seen: &Record,
        owner: &str,
        completion: &Completion,
        token: &str,
        deadline: Instant,
    ) -> Result<FinishAnswer, TableError> {
        let items = self.finish_items(seen, owner, completion)?;
        // After a conflict, the same bytes are sent again here: the record's condition
        // stays the same, whatever caused the conflict.
        let mut backoff = Backoff::default();
        let error = loop {
            match self.transact(items.clone(), token, deadline).await {
                Ok(()) => {
                    let record = Record {
                        owner: Some(owner.to_owned()),
                        version: seen.version + 1,
                        ..completion.record(seen)
                    };
                    let written = WriteAnswer::Written(Box::new(record));
                    return Ok(FinishAnswer::Record(written));
                }
                Err(Failure::Table(TableError::Busy(_))) if backoff.wait(deadline).await => {}
                Err(failure) => break cancelled(failure)?,
            }
        };
        // The campaign's part comes first, if there is one.
        let of_record = usize::from(!completion.campaign_replaced);
        if failed(&error, of_record) {
            refused_write(seen, owner, shown(&error, of_record)).map(FinishAnswer::Record)
        } else if failed(&error, 0) {
            Ok(FinishAnswer::CampaignReplaced)
        } else {
            Err(TableError::refused(TRANSACTION, &error))
        }
    }

    /// Returns the parts of a finish: the delete of the campaign item, the last write of the
    /// record, the put of the event.
    fn finish_items(
        &self,
        seen: &Record,
        owner: &str,
        completion: &Completion,
    ) -> Result<Vec<TransactWriteItem>, TableError> {
        let written = Written {
            archived: completion.archived,
            ..Written::lease(seen.lease_until_ms)
        };
        let mut write = RecordWrite::new(seen, owner, &written);
        write.succeed(seen, completion);
        let record = Update::builder()
            .table_name(self.name())
            .set_key(Some(write.key))
            .update_expression(write.update)
            .condition_expression(write.condition)
            .set_expression_attribute_names(Some(write.expressions.names))
            .set_expression_attribute_values(Some(write.expressions.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build();
        let item = TransactWriteItem::builder;
        let mut items = Vec::new();
        if !completion.campaign_replaced {
            items.push(item().delete(self.delete_of(seen)?).build());
        }
        items.push(item().update(built(record)?).build());
        if let Some(event) = &completion.event {
            items.push(item().put(events::put(self.name(), event)?).build());
        }
        Ok(items)
    }

    /// Returns the delete of the campaign item, if it is this deletion's or gone already.
    fn delete_of(&self, seen: &Record) -> Result<Delete, TableError> {
        let mut ours = Expressions::default();
        let condition = format!(
            "{} OR attribute_not_exists({})",
            ours.equals("deletionId", Some(text(&seen.deletion_id))),
            ours.name(keys::PK),
        );
        let campaign = Delete::builder()
            .table_name(self.name())
            .set_key(Some(keys::campaign(&seen.campaign_id).attributes()))
            .condition_expression(condition)
            .set_expression_attribute_names(Some(ours.names))
            .set_expression_attribute_values(Some(ours.values))
            .build();
        built(campaign)
    }
}

impl Completion {
    /// Returns a record as this completion leaves it, but for its version and owner.
    #[must_use]
    pub fn record(&self, seen: &Record) -> Record {
        let archive = seen.archive.clone().map(|archive| Archive {
            archived: self.archived.unwrap_or(archive.archived),
            ..archive
        });
        Record {
            state: RecordState::Succeeded {
                completed_at: self.completed_at.clone(),
            },
            archive,
            campaign_replaced: self.campaign_replaced,
            ..seen.clone()
        }
    }
}

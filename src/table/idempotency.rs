//! Idempotency keys: reading one, and putting one, in the transaction of the
//! claim or, for a request that attaches to a deletion, by itself. An item that
//! has expired but still exists counts as absent in both.

use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValue};
use tokio::time::Instant;

use super::{
    Table, TableError, built,
    expressions::{Expressions, text},
    item::{self, Item},
    keys,
    retry::{unless_refused, until_answered},
};
use crate::{
    idempotency::{IdempotencyKey, KEPT_SECONDS, KeyUse},
    record::Record,
};

/// A use of a key that is ready to be stored, any number of times with the same
/// bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKeyUse {
    /// The key.
    pub key: IdempotencyKey,
    /// The time, epoch seconds.
    pub now: i64,
}

/// The answer to storing the use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPut {
    /// It is stored.
    Stored,
    /// An earlier request has stored it for the same deletion.
    AlreadyStored,
    /// The key is in use for another deletion.
    InUse,
}

impl NewKeyUse {
    fn item(&self, record: &Record) -> Item {
        let key = keys::idempotency(&record.account_id, self.key.hash());
        let mut item = key.attributes();
        let expires = self.now.saturating_add(KEPT_SECONDS);
        item.extend([
            ("deletionId".to_owned(), text(&record.deletion_id)),
            ("campaignId".to_owned(), text(record.campaign_id.as_str())),
            ("ttlAt".to_owned(), AttributeValue::N(expires.to_string())),
        ]);
        item
    }

    /// The key must be free, expired, or in use for this deletion already.
    fn condition(&self, record: &Record) -> (String, Expressions) {
        let mut of = Expressions::default();
        let now = AttributeValue::N(self.now.to_string());
        of.values.insert(":now".to_owned(), now);
        let condition = format!(
            "attribute_not_exists({}) OR {} <= :now OR {}",
            of.name(keys::PK),
            of.name("ttlAt"),
            of.equals("deletionId", Some(text(&record.deletion_id))),
        );
        (condition, of)
    }

    /// The put of this use for the deletion of `record`, as part of a transaction.
    pub(super) fn put(&self, table_name: &str, record: &Record) -> Result<Put, TableError> {
        let (condition, of) = self.condition(record);
        let put = Put::builder()
            .table_name(table_name)
            .set_item(Some(self.item(record)))
            .condition_expression(condition)
            .set_expression_attribute_names(Some(of.names))
            .set_expression_attribute_values(Some(of.values))
            .build();
        built(put)
    }
}

impl Table {
    /// What this key was used for, if it was in the last 24 hours before `now`
    /// (epoch seconds). Strongly consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn key_use(
        &self,
        account_id: &str,
        key: &IdempotencyKey,
        now: i64,
        deadline: Instant,
    ) -> Result<Option<KeyUse>, TableError> {
        let key = keys::idempotency(account_id, key.hash());
        let found = self.get(key, deadline).await?;
        match found {
            Some(item) => item::key_use(&item, now),
            None => Ok(None),
        }
    }

    /// Removes the use of a key for a deletion whose record is gone, so that the key can be
    /// used again. Nothing happens if it is in use for another deletion by now.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn remove_key_use(
        &self,
        account_id: &str,
        key: &IdempotencyKey,
        deletion_id: &str,
        deadline: Instant,
    ) -> Result<(), TableError> {
        const OPERATION: &str = "DeleteItem";
        let mut of = Expressions::default();
        let is_its = of.equals("deletionId", Some(text(deletion_id)));
        let request = self
            .client()
            .delete_item()
            .table_name(self.name())
            .set_key(Some(keys::idempotency(account_id, key.hash()).attributes()))
            .condition_expression(is_its)
            .set_expression_attribute_names(Some(of.names))
            .set_expression_attribute_values(Some(of.values));
        let answer = until_answered(OPERATION, deadline, || request.clone().send()).await;
        unless_refused(OPERATION, answer).map(|_| ())
    }

    /// Stores the use of a key for a deletion that exists already.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn put_key_use(
        &self,
        new: &NewKeyUse,
        record: &Record,
        deadline: Instant,
    ) -> Result<KeyPut, TableError> {
        const OPERATION: &str = "PutItem";
        let (condition, of) = new.condition(record);
        let request = self
            .client()
            .put_item()
            .table_name(self.name())
            .set_item(Some(new.item(record)))
            .condition_expression(condition)
            .set_expression_attribute_names(Some(of.names))
            .set_expression_attribute_values(Some(of.values))
            .return_values(ReturnValue::AllOld);
        let answer = until_answered(OPERATION, deadline, || request.clone().send()).await;
        match answer {
            Ok(answer) => {
                let old = answer.attributes.as_ref();
                let old = old.map(|item| item::key_use(item, new.now)).transpose()?;
                Ok(match old.flatten() {
                    Some(key_use) if key_use.deletion_id == record.deletion_id => {
                        KeyPut::AlreadyStored
                    }
                    _ => KeyPut::Stored,
                })
            }
            Err(failure) => unless_refused(OPERATION, Err::<(), _>(failure)).map(|_| KeyPut::InUse),
        }
    }
}

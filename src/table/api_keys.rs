//! API keys: reading one, and reading one by the write that counts its use.

use std::time::Duration;

use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata,
    types::{AttributeValue, ReturnValue},
};
use tokio::time::{Instant, timeout_at};

use super::{
    Table, TableError,
    expressions::Expressions,
    item, keys,
    retry::{Verdict, verdict},
};
use crate::{
    auth::StoredKey,
    rate_limit::Counter,
    sdk::{Cause, signed},
};

/// How long removing expired counters may take, beside the request's own work.
const TIDYING: Duration = Duration::from_secs(1);

/// How long the first attempt of a count may take. DynamoDB answers in
/// milliseconds.
pub(super) const FIRST_COUNT: Duration = Duration::from_secs(1);

/// A key that was read by counting its use.
#[derive(Clone, Debug)]
pub struct CountedKey {
    /// The key.
    pub stored: StoredKey,
    /// How often it was used in the counter's window, this use included.
    pub uses: u64,
    /// Counters of earlier minutes in its item.
    pub expired: Vec<String>,
}

/// The answer to counting a use.
#[derive(Debug)]
pub enum Counted {
    /// It is counted.
    Key(CountedKey),
    /// There is no such key, and nothing was written.
    Unknown,
}

impl Table {
    /// The API key with this hash. Strongly consistent, so that a revoked key
    /// is refused from the moment it is revoked.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn stored_key(
        &self,
        hash: &str,
        deadline: Instant,
    ) -> Result<Option<StoredKey>, TableError> {
        let found = self.get(keys::api_key(hash), deadline).await?;
        found.as_ref().map(item::stored_key).transpose()
    }

    /// Reads an API key by counting a use. Repeated once if there is no answer: after
    /// a freeze, the first request of a function may meet a dead connection. If both
    /// attempts were applied, a use is counted twice.
    ///
    /// # Errors
    /// [`TableError`]; after [`TableError::NoAnswer`] the use may be counted.
    pub async fn count_use(
        &self,
        hash: &str,
        counter: &Counter,
        deadline: Instant,
    ) -> Result<Counted, TableError> {
        let first = deadline.min(Instant::now() + self.first_count);
        match self.count_use_once(hash, counter, first).await {
            Err(TableError::NoAnswer(_)) if Instant::now() < deadline => {
                self.count_use_once(hash, counter, deadline).await
            }
            answer => answer,
        }
    }

    async fn count_use_once(
        &self,
        hash: &str,
        counter: &Counter,
        deadline: Instant,
    ) -> Result<Counted, TableError> {
        const OPERATION: &str = "UpdateItem";
        let attribute = counter.attribute();
        let request = self
            .client()
            .update_item()
            .table_name(self.name())
            .set_key(Some(keys::api_key(hash).attributes()))
            .update_expression("ADD #counter :one")
            .condition_expression("attribute_exists(#PK)")
            .expression_attribute_names("#counter", &attribute)
            .expression_attribute_names("#PK", keys::PK)
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .return_values(ReturnValue::AllNew);
        let sent = Box::pin(signed(|| request.clone().send()));
        let Ok(answer) = timeout_at(deadline, sent).await else {
            return Err(TableError::NoAnswer(Cause::deadline(OPERATION)));
        };
        let error = match answer {
            Ok(answer) => {
                let item = answer.attributes.unwrap_or_default();
                let expired = item.keys().filter(|name| counter.is_expired(name));
                return Ok(Counted::Key(CountedKey {
                    stored: item::stored_key(&item)?,
                    uses: item::uses(&item, &attribute)?,
                    expired: expired.cloned().collect(),
                }));
            }
            Err(error) => error,
        };
        if error.code() == Some("ConditionalCheckFailedException") {
            return Ok(Counted::Unknown);
        }
        match verdict(&error) {
            Verdict::Busy => Err(TableError::Busy(Cause::of(OPERATION, &error))),
            Verdict::NoAnswer => Err(TableError::NoAnswer(Cause::of(OPERATION, &error))),
            Verdict::Answered => Err(TableError::refused(OPERATION, &error)),
        }
    }

    /// Removes expired counters from a key's item. Tried once; a failure is logged,
    /// and the next request removes them.
    pub async fn remove_counters(&self, hash: &str, expired: &[String], deadline: Instant) {
        if expired.is_empty() {
            return;
        }
        let mut of = Expressions::default();
        let names: Vec<String> = expired
            .iter()
            .enumerate()
            .map(|(number, counter)| {
                let placeholder = format!("#counter{number}");
                of.names.insert(placeholder.clone(), counter.clone());
                placeholder
            })
            .collect();
        let exists = format!("attribute_exists({})", of.name(keys::PK));
        let request = self
            .client()
            .update_item()
            .table_name(self.name())
            .set_key(Some(keys::api_key(hash).attributes()))
            .update_expression(format!("REMOVE {}", names.join(", ")))
            .condition_expression(exists)
            .set_expression_attribute_names(Some(of.names));
        let deadline = deadline.min(Instant::now() + TIDYING);
        match timeout_at(deadline, Box::pin(request.send())).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let cause = Cause::of("UpdateItem", &error);
                tracing::warn!("could not remove expired rate counters: {cause}");
            }
            Err(_) => tracing::warn!("could not remove expired rate counters in time"),
        }
    }
}

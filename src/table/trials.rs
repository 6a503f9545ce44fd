//! The journal of `campaigns doctor --live`: an item that is put before anything else and
//! deleted after everything else. A later run finds by it what a killed one has left, with
//! a Query alone.

use aws_sdk_dynamodb::{
    operation::query::builders::QueryFluentBuilder,
    types::{AttributeValue, DeleteRequest, WriteRequest},
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    BATCH_SIZE, Table, TableError, built,
    expressions::text,
    item::{self, Item},
    keys::{self, Key, PK, SK},
    pages::{self, Pages},
    retry::{unless_refused, until_answered},
};
use crate::campaign::CampaignId;

/// A run of `doctor --live`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Its id, from which the names of everything that it makes follow.
    pub id: Uuid,
    /// The hash of the key that it issues.
    pub key_hash: String,
    /// How often it has said that it is alive.
    pub beats: u64,
}

impl Trial {
    /// Returns the account of everything that the run makes.
    #[must_use]
    pub fn account_id(&self) -> String {
        format!("doctor-{}", self.id)
    }
}

impl Table {
    /// Puts the journal of a run; `false` if there is one already.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn begin_trial(&self, trial: &Trial, deadline: Instant) -> Result<bool, TableError> {
        let item = Item::from([
            ("keyHash".to_owned(), text(&trial.key_hash)),
            ("beats".to_owned(), AttributeValue::N("0".to_owned())),
        ]);
        self.put_new(keys::trial(trial.id), item, deadline).await
    }

    /// Reads the runs that have not taken everything away, strongly consistent.
    ///
    /// # Errors
    /// [`TableError`]; a journal that cannot be read is corrupt.
    pub async fn trials(&self, deadline: Instant) -> Result<Vec<Trial>, TableError> {
        let items = self.items(keys::TRIAL_PARTITION, deadline).await?;
        items.iter().map(trial).collect()
    }

    /// Writes that a run is alive; `false` if its journal is gone.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn beat(&self, id: Uuid, deadline: Instant) -> Result<bool, TableError> {
        const OPERATION: &str = "UpdateItem";
        let request = self
            .client()
            .update_item()
            .table_name(self.name())
            .set_key(Some(keys::trial(id).attributes()))
            .update_expression("ADD beats :one")
            .condition_expression("attribute_exists(#PK)")
            .expression_attribute_names("#PK", PK)
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
        let answer = until_answered(OPERATION, deadline, || request.clone().send()).await;
        unless_refused(OPERATION, answer)
    }

    /// Deletes the journal of a run.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn end_trial(&self, id: Uuid, deadline: Instant) -> Result<(), TableError> {
        self.delete(keys::trial(id), None, deadline).await?;
        Ok(())
    }

    /// Deletes the API key of a run, if there is one and it is the run's own; `false` if it
    /// is somebody else's.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn delete_trial_key(
        &self,
        trial: &Trial,
        deadline: Instant,
    ) -> Result<bool, TableError> {
        let key = keys::api_key(&trial.key_hash);
        self.delete(key, Some(&trial.account_id()), deadline).await
    }

    /// Deletes a campaign item, and then everything in its partition. Returns `false`, and
    /// deletes nothing, if the campaign belongs to another account.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn clear_campaign(
        &self,
        id: &CampaignId,
        account_id: &str,
        deadline: Instant,
    ) -> Result<bool, TableError> {
        // The item first: without it, no request can claim the campaign any more.
        let key = keys::campaign(id);
        let is_ours = self.delete(key, Some(account_id), deadline).await?;
        if is_ours {
            self.clear(&keys::campaign_partition(id), deadline).await?;
        }
        Ok(is_ours)
    }

    /// Deletes the deletion records and idempotency keys of an account.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn clear_account(
        &self,
        account_id: &str,
        deadline: Instant,
    ) -> Result<(), TableError> {
        self.clear(&keys::account_partition(account_id), deadline)
            .await
    }

    /// Reads every item of a campaign's partition, by sort key.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn whole_campaign(
        &self,
        id: &CampaignId,
        deadline: Instant,
    ) -> Result<Vec<Item>, TableError> {
        self.items(&keys::campaign_partition(id), deadline).await
    }

    /// Reads every item of a partition, strongly consistent.
    async fn items(&self, partition: &str, deadline: Instant) -> Result<Vec<Item>, TableError> {
        let mut pages = Pages::of(self.partition(partition));
        let mut items = Vec::new();
        loop {
            let page = pages.next(deadline).await;
            match page.map_err(|failure| failure.into_table_error(pages::OPERATION))? {
                Some(page) => items.extend(page),
                None => return Ok(items),
            }
        }
    }

    fn partition(&self, partition: &str) -> QueryFluentBuilder {
        self.client()
            .query()
            .table_name(self.name())
            .consistent_read(true)
            .key_condition_expression("#PK = :PK")
            .expression_attribute_names("#PK", PK)
            .expression_attribute_values(":PK", text(partition))
    }

    /// Deletes everything in a partition, until a reading finds nothing.
    async fn clear(&self, partition: &str, deadline: Instant) -> Result<(), TableError> {
        let keys_only = self
            .partition(partition)
            .projection_expression("#PK, #SK")
            .expression_attribute_names("#SK", SK);
        loop {
            let mut pages = Pages::of(keys_only.clone());
            let mut is_empty = true;
            loop {
                let page = pages.next(deadline).await;
                let page = page.map_err(|failure| failure.into_table_error(pages::OPERATION))?;
                let Some(page) = page else { break };
                is_empty &= page.is_empty();
                for batch in page.chunks(BATCH_SIZE) {
                    self.delete_keys(batch, deadline).await?;
                }
            }
            if is_empty {
                return Ok(());
            }
        }
    }

    /// Deletes up to 25 items, and unprocessed ones again, until the deadline.
    async fn delete_keys(&self, keys: &[Item], deadline: Instant) -> Result<(), TableError> {
        let deletes = keys.iter().map(|key| {
            let delete = DeleteRequest::builder().set_key(Some(key.clone())).build();
            delete.map(|delete| WriteRequest::builder().delete_request(delete).build())
        });
        let deletes = built(deletes.collect::<Result<Vec<_>, _>>())?;
        self.write_batch(deletes, deadline).await
    }

    /// Deletes an item that may be gone already; with an account, `false` if the item is
    /// another account's.
    async fn delete(
        &self,
        key: Key,
        account_id: Option<&str>,
        deadline: Instant,
    ) -> Result<bool, TableError> {
        const OPERATION: &str = "DeleteItem";
        let mut request = self
            .client()
            .delete_item()
            .table_name(self.name())
            .set_key(Some(key.attributes()));
        if let Some(account_id) = account_id {
            request = request
                .condition_expression("attribute_not_exists(#PK) OR accountId = :account")
                .expression_attribute_names("#PK", PK)
                .expression_attribute_values(":account", text(account_id));
        }
        let answer = until_answered(OPERATION, deadline, || request.clone().send()).await;
        unless_refused(OPERATION, answer)
    }
}

fn trial(item: &Item) -> Result<Trial, TableError> {
    let corrupt = |attribute| TableError::Corrupt {
        kind: "journal",
        attribute,
    };
    let key = item::key_of(item)?;
    let id = key.sk.strip_prefix(keys::TRIAL_PREFIX);
    // Only a UUID, so that no journal can name what other programs have made.
    let id = id.and_then(|id| Uuid::try_parse(id).ok());
    let key_hash = item.get("keyHash").and_then(|hash| hash.as_s().ok());
    let beats = item.get("beats").and_then(|beats| beats.as_n().ok());
    Ok(Trial {
        id: id.ok_or_else(|| corrupt(SK))?,
        key_hash: key_hash.ok_or_else(|| corrupt("keyHash"))?.clone(),
        beats: beats
            .and_then(|beats| beats.parse().ok())
            .ok_or_else(|| corrupt("beats"))?,
    })
}

//! Reads the items of this service by a bounded scan, which only a terminal may do, and
//! reports those that the service could not read.

use aws_sdk_dynamodb::types::AttributeValue;
use tokio::time::Instant;

use super::{
    Table, TableError, campaign_item,
    item::{self, Item},
    keys::{
        API_KEY_PREFIX, API_KEY_SORT_KEY, CAMPAIGN_PREFIX, DELETION_PREFIX, IDEMPOTENCY_PREFIX,
        Key, SK,
    },
    retry::until_answered,
};
use crate::{campaign::CampaignId, clock::now_seconds, counts::CAMPAIGN_SORT_KEY};

/// The items of one kind that were read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// How many there are.
    pub count: u64,
    /// Those that cannot be read: which one, and why.
    pub unreadable: Vec<String>,
}

/// What a scan has found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// How many items were read, of any kind.
    pub items: u64,
    /// Whether these are all items of the table.
    pub is_whole: bool,
    /// Campaign items.
    pub campaigns: Sampled,
    /// API keys.
    pub api_keys: Sampled,
    /// Deletion records and idempotency keys.
    pub records: Sampled,
}

impl Table {
    /// Reads the first `pages` pages of the table, each of 1 MB at most, eventually
    /// consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn sample(&self, pages: u32, deadline: Instant) -> Result<Sample, TableError> {
        const OPERATION: &str = "Scan";
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let scan = self
            .client()
            .scan()
            .table_name(self.name())
            .filter_expression(
                "#SK IN (:campaign, :key) OR begins_with(#SK, :deletion) \
                 OR begins_with(#SK, :idempotency)",
            )
            .expression_attribute_names("#SK", SK)
            .expression_attribute_values(":campaign", text(CAMPAIGN_SORT_KEY))
            .expression_attribute_values(":key", text(API_KEY_SORT_KEY))
            .expression_attribute_values(":deletion", text(DELETION_PREFIX))
            .expression_attribute_values(":idempotency", text(IDEMPOTENCY_PREFIX));
        let mut sample = Sample::default();
        let mut from = None;
        for _ in 0..pages {
            let request = scan.clone().set_exclusive_start_key(from);
            let answer = until_answered(OPERATION, deadline, || request.clone().send())
                .await
                .map_err(|failure| failure.into_table_error(OPERATION))?;
            sample.items += u64::try_from(answer.scanned_count).unwrap_or(0);
            for found in answer.items.unwrap_or_default() {
                sample.add(&found)?;
            }
            from = answer.last_evaluated_key;
            if from.is_none() {
                sample.is_whole = true;
                break;
            }
        }
        Ok(sample)
    }
}

impl Sample {
    fn add(&mut self, item: &Item) -> Result<(), TableError> {
        let key = item::key_of(item)?;
        let (sampled, name, read) = if key.pk.starts_with(API_KEY_PREFIX) {
            let name = item.get("keyId").and_then(|id| id.as_s().ok());
            let name = name.unwrap_or(&key.pk).clone();
            (&mut self.api_keys, name, item::stored_key(item).map(drop))
        } else if key.pk.starts_with(CAMPAIGN_PREFIX) && key.sk == CAMPAIGN_SORT_KEY {
            (&mut self.campaigns, key.pk.clone(), campaign(&key, item))
        } else if key.sk.starts_with(DELETION_PREFIX) {
            let name = key.sk.clone();
            (&mut self.records, name, item::record(item).map(drop))
        } else if key.sk.starts_with(IDEMPOTENCY_PREFIX) {
            let read = item::key_use(item, now_seconds()).map(drop);
            (&mut self.records, key.sk.clone(), read)
        } else {
            return Ok(());
        };
        sampled.count += 1;
        if let Err(why) = read {
            sampled.unreadable.push(format!("{name}: {why}"));
        }
        Ok(())
    }
}

fn campaign(key: &Key, item: &Item) -> Result<(), TableError> {
    let id = key.pk.strip_prefix(CAMPAIGN_PREFIX).unwrap_or_default();
    let id = CampaignId::parse(id).map_err(|_| TableError::Corrupt {
        kind: "campaign",
        attribute: super::keys::PK,
    })?;
    campaign_item::campaign(&id, item).map(drop)
}

//! The keys of the table. No other file builds one, and every part that comes
//! from a caller has been parsed before it gets here.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::{campaign::CampaignId, counts::CAMPAIGN_SORT_KEY};

/// The name of the partition key.
pub const PK: &str = "PK";
/// The name of the sort key.
pub const SK: &str = "SK";
/// The attribute by which items expire, epoch seconds.
pub const TIME_TO_LIVE: &str = "ttlAt";
/// The index of campaigns by status.
pub const STATUS_INDEX: &str = "CampaignsByStatus";
/// The sparse index of running deletions and unsent events.
pub const UNFINISHED_INDEX: &str = "Unfinished";
/// The attribute that puts an item into [`UNFINISHED_INDEX`]: a record while it is running, an
/// event until it is sent.
pub const UNFINISHED: &str = "unfinished";
/// The value of [`UNFINISHED`] of a running deletion.
pub const UNFINISHED_DELETION: &str = "deletion";
/// The value of [`UNFINISHED`] of an unsent event.
pub const UNFINISHED_EVENT: &str = "event";
/// What the partition key of an account begins with.
pub const ACCOUNT_PREFIX: &str = "ACCOUNT#";
/// The sort key of an API key's item.
pub const API_KEY_SORT_KEY: &str = "APIKEY";
/// What the partition key of an API key's item begins with.
pub const API_KEY_PREFIX: &str = "APIKEY#";

/// A primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The partition key's value.
    pub pk: String,
    /// The sort key's value.
    pub sk: String,
}

/// What the partition key of a campaign begins with.
pub const CAMPAIGN_PREFIX: &str = "CAMPAIGN#";

/// The partition key of a campaign and of everything in it.
#[must_use]
pub fn campaign_partition(id: &CampaignId) -> String {
    format!("{CAMPAIGN_PREFIX}{id}")
}

/// The campaign item.
#[must_use]
pub fn campaign(id: &CampaignId) -> Key {
    child(id, CAMPAIGN_SORT_KEY)
}

/// An item in a campaign, by the sort key that was read from the table.
#[must_use]
pub fn child(id: &CampaignId, sort_key: &str) -> Key {
    Key {
        pk: campaign_partition(id),
        sk: sort_key.to_owned(),
    }
}

/// The item of an API key, by the key's hash.
#[must_use]
pub fn api_key(hash: &str) -> Key {
    Key {
        pk: format!("{API_KEY_PREFIX}{hash}"),
        sk: API_KEY_SORT_KEY.to_owned(),
    }
}

/// What the sort key of a deletion's record begins with.
pub const DELETION_PREFIX: &str = "DELETION#";

/// The partition key of what belongs to an account.
#[must_use]
pub fn account_partition(account_id: &str) -> String {
    format!("{ACCOUNT_PREFIX}{account_id}")
}

/// The record of a deletion.
#[must_use]
pub fn deletion(account_id: &str, deletion_id: &str) -> Key {
    Key {
        pk: account_partition(account_id),
        sk: format!("{DELETION_PREFIX}{deletion_id}"),
    }
}

/// What the sort key of a deletion's unsent event begins with.
pub const EVENT_PREFIX: &str = "EVENT#";

/// The unsent event of a deletion.
#[must_use]
pub fn event(account_id: &str, deletion_id: &str) -> Key {
    Key {
        pk: account_partition(account_id),
        sk: format!("{EVENT_PREFIX}{deletion_id}"),
    }
}

/// What the sort key of an idempotency key's item begins with.
pub const IDEMPOTENCY_PREFIX: &str = "IDEMPOTENCY#";

/// The item of an idempotency key, by the key's hash.
#[must_use]
pub fn idempotency(account_id: &str, hash: &str) -> Key {
    Key {
        pk: account_partition(account_id),
        sk: format!("{IDEMPOTENCY_PREFIX}{hash}"),
    }
}

/// The partition of the journals of `campaigns doctor --live`.
#[cfg(feature = "cli")]
pub const TRIAL_PARTITION: &str = "DOCTOR";
/// What the sort key of such a journal begins with.
#[cfg(feature = "cli")]
pub const TRIAL_PREFIX: &str = "RUN#";

/// The journal of a run of `campaigns doctor --live`.
#[cfg(feature = "cli")]
#[must_use]
pub fn trial(id: uuid::Uuid) -> Key {
    Key {
        pk: TRIAL_PARTITION.to_owned(),
        sk: format!("{TRIAL_PREFIX}{id}"),
    }
}

impl Key {
    /// The key as DynamoDB takes it.
    #[must_use]
    pub fn attributes(self) -> HashMap<String, AttributeValue> {
        HashMap::from([
            (PK.to_owned(), AttributeValue::S(self.pk)),
            (SK.to_owned(), AttributeValue::S(self.sk)),
        ])
    }
}

//! Items to values and back. An attribute that is missing or has the wrong type
//! is an error that names the item's kind and the attribute, never its value.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    TableError,
    keys::{CAMPAIGN_PREFIX, PK},
};
use crate::{
    auth::StoredKey,
    campaign::{Campaign, CampaignId, ListedCampaign, Status},
    counts::Counts,
    idempotency::KeyUse,
    record::{Progress, Record, RecordState, Requester},
};

/// An item as DynamoDB returns it.
pub type Item = HashMap<String, AttributeValue>;

/// Reads attributes of one item.
struct Attributes<'a> {
    item: &'a Item,
    kind: &'static str,
}

impl Attributes<'_> {
    fn corrupt(&self, attribute: &'static str) -> TableError {
        TableError::Corrupt {
            kind: self.kind,
            attribute,
        }
    }

    /// The attribute through `read`; `None` when it is absent. NULL is not
    /// absent: a condition that expects the attribute to be absent would fail.
    fn optional<T>(
        &self,
        attribute: &'static str,
        read: impl FnOnce(&AttributeValue) -> Option<T>,
    ) -> Result<Option<T>, TableError> {
        match self.item.get(attribute) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.corrupt(attribute)),
        }
    }

    fn optional_text(&self, attribute: &'static str) -> Result<Option<String>, TableError> {
        self.optional(attribute, |value| value.as_s().ok().cloned())
    }

    fn text(&self, attribute: &'static str) -> Result<String, TableError> {
        self.optional_text(attribute)?
            .ok_or_else(|| self.corrupt(attribute))
    }

    fn optional_number<T: std::str::FromStr>(
        &self,
        attribute: &'static str,
    ) -> Result<Option<T>, TableError> {
        self.optional(attribute, number)
    }

    fn number<T: std::str::FromStr>(&self, attribute: &'static str) -> Result<T, TableError> {
        self.optional_number(attribute)?
            .ok_or_else(|| self.corrupt(attribute))
    }
}

fn number<T: std::str::FromStr>(value: &AttributeValue) -> Option<T> {
    value.as_n().ok()?.parse().ok()
}

/// Reads a campaign item.
///
/// # Errors
/// [`TableError::Corrupt`].
pub fn campaign(item: &Item) -> Result<Campaign, TableError> {
    let attributes = Attributes {
        item,
        kind: "campaign",
    };
    let id = attributes.text("id")?;
    let id = CampaignId::parse(&id).map_err(|_| attributes.corrupt("id"))?;
    campaign_with(id, attributes.text("name")?, &attributes)
}

fn campaign_with(
    id: CampaignId,
    name: String,
    attributes: &Attributes<'_>,
) -> Result<Campaign, TableError> {
    Ok(Campaign {
        id,
        name,
        account_id: attributes.text("accountId")?,
        status: Status::new(attributes.text("campaignStatus")?),
        updated_at: attributes.text("updatedAt")?,
        deletion_protection: attributes
            .optional("deletionProtection", |value| value.as_bool().ok().copied())?,
        deletion_id: attributes.optional_text("deletionId")?,
    })
}

/// Reads an API key's item.
///
/// # Errors
/// [`TableError::Corrupt`].
pub fn stored_key(item: &Item) -> Result<StoredKey, TableError> {
    let attributes = Attributes {
        item,
        kind: "api key",
    };
    Ok(StoredKey {
        key_id: attributes.text("keyId")?,
        account_id: attributes.text("accountId")?,
        scopes: attributes
            .optional("scopes", |value| value.as_ss().ok().cloned())?
            .unwrap_or_default(),
        state: attributes.text("state")?,
        subscription: attributes.text("subscription")?,
        expires_at: attributes.optional_number("expiresAt")?,
    })
}

/// How often a key was used, by this counter in its item.
///
/// # Errors
/// [`TableError::Corrupt`].
pub fn uses(item: &Item, counter: &str) -> Result<u64, TableError> {
    item.get(counter)
        .and_then(number)
        .ok_or(TableError::Corrupt {
            kind: "api key",
            attribute: "counter",
        })
}

/// Reads a campaign as the index projects it: its id is in its key.
///
/// # Errors
/// [`TableError::Corrupt`].
pub fn listed_campaign(item: &Item) -> Result<ListedCampaign, TableError> {
    let attributes = Attributes {
        item,
        kind: "campaign",
    };
    let partition = attributes.text(PK)?;
    let id = partition.strip_prefix(CAMPAIGN_PREFIX);
    let id = id.and_then(|id| CampaignId::parse(id).ok());
    let id = id.ok_or_else(|| attributes.corrupt(PK))?;
    let name = attributes.optional_text("name")?.unwrap_or_default();
    Ok(ListedCampaign {
        campaign: campaign_with(id, name, &attributes)?,
        completed_at: attributes.optional_text("completedAt")?,
    })
}

/// Reads the key of an item.
///
/// # Errors
/// [`TableError::Corrupt`].
#[cfg(feature = "cli")]
pub fn key_of(item: &Item) -> Result<super::keys::Key, TableError> {
    let attributes = Attributes { item, kind: "item" };
    Ok(super::keys::Key {
        pk: attributes.text(super::keys::PK)?,
        sk: attributes.text(super::keys::SK)?,
    })
}

/// An API key as an item, without its key.
#[cfg(feature = "cli")]
#[must_use]
pub fn new_key(key: &StoredKey, created_at: &str) -> Item {
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let mut item: Item = [
        ("keyId", text(&key.key_id)),
        ("accountId", text(&key.account_id)),
        ("scopes", AttributeValue::Ss(key.scopes.clone())),
        ("state", text(&key.state)),
        ("subscription", text(&key.subscription)),
        ("createdAt", text(created_at)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    if let Some(at) = key.expires_at {
        item.insert("expiresAt".to_owned(), AttributeValue::N(at.to_string()));
    }
    item
}

/// Reads the item of an idempotency key: what it was used for, and when it
/// expires (epoch seconds).
///
/// # Errors
/// [`TableError::Corrupt`].
pub fn key_use(item: &Item) -> Result<(KeyUse, i64), TableError> {
    let attributes = Attributes {
        item,
        kind: "idempotency key",
    };
    let key_use = KeyUse {
        deletion_id: attributes.text("deletionId")?,
        campaign_id: attributes.text("campaignId")?,
    };
    Ok((key_use, attributes.number("ttlAt")?))
}

/// Reads a deletion record.
///
/// # Errors
/// [`TableError::Corrupt`].
pub fn record(item: &Item) -> Result<Record, TableError> {
    let attributes = Attributes {
        item,
        kind: "deletion record",
    };
    let campaign_id = attributes.text("campaignId")?;
    Ok(Record {
        deletion_id: attributes.text("deletionId")?,
        campaign_id: CampaignId::parse(&campaign_id)
            .map_err(|_| attributes.corrupt("campaignId"))?,
        campaign_name: attributes.text("campaignName")?,
        account_id: attributes.text("accountId")?,
        requested_by: Requester::from_stored(&attributes.text("requestedBy")?),
        previous_status: attributes.text("previousStatus")?,
        state: match attributes.text("state")?.as_str() {
            RecordState::RUNNING => RecordState::Running,
            RecordState::SUCCEEDED => RecordState::Succeeded {
                completed_at: attributes.text("completedAt")?,
            },
            _ => return Err(attributes.corrupt("state")),
        },
        started_at: attributes.text("startedAt")?,
        updated_at: attributes.text("updatedAt")?,
        progress: Progress {
            counted: counts(&attributes)?,
            counted_through: attributes.optional_text("countedThrough")?,
            deleted_through: attributes.optional_text("deletedThrough")?,
            pass: attributes.number("pass")?,
        },
        version: attributes.number("version")?,
        owner: attributes.optional_text("owner")?,
        lease_until_ms: attributes.number("leaseUntil")?,
    })
}

fn counts(attributes: &Attributes<'_>) -> Result<Counts, TableError> {
    attributes
        .optional("counted", |value| {
            let named = value.as_m().ok()?;
            let named: Option<BTreeMap<&str, u64>> = named
                .iter()
                .map(|(name, value)| Some((name.as_str(), number(value)?)))
                .collect();
            Counts::from_names(&named?)
        })?
        .ok_or_else(|| attributes.corrupt("counted"))
}

/// The counters as a map attribute.
#[must_use]
pub fn counted(counts: &Counts) -> AttributeValue {
    AttributeValue::M(
        counts
            .shown()
            .map(|(name, count)| (name.to_owned(), AttributeValue::N(count.to_string())))
            .collect(),
    )
}

/// A new deletion record as an item, without its key.
#[must_use]
pub fn new_record(record: &Record) -> Item {
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let mut item: Item = [
        ("deletionId", text(&record.deletion_id)),
        ("campaignId", text(record.campaign_id.as_str())),
        ("campaignName", text(&record.campaign_name)),
        ("accountId", text(&record.account_id)),
        ("requestedBy", text(&record.requested_by.as_stored())),
        ("previousStatus", text(&record.previous_status)),
        ("state", text(RecordState::RUNNING)),
        ("startedAt", text(&record.started_at)),
        ("updatedAt", text(&record.updated_at)),
        ("counted", counted(&record.progress.counted)),
        ("pass", AttributeValue::N(record.progress.pass.to_string())),
        ("version", AttributeValue::N(record.version.to_string())),
        (
            "leaseUntil",
            AttributeValue::N(record.lease_until_ms.to_string()),
        ),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    if let Some(owner) = &record.owner {
        item.insert("owner".to_owned(), text(owner));
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    fn campaign_item() -> Item {
        [
            ("id", "campaign_123"),
            ("name", "Q4"),
            ("accountId", "account_1"),
            ("campaignStatus", "paused"),
            ("updatedAt", "2026-01-01T00:00:00Z"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())))
        .collect()
    }

    #[test]
    fn a_campaign_needs_each_of_its_attributes_with_the_right_type() {
        assert!(campaign(&campaign_item()).is_ok());
        for attribute in ["id", "name", "accountId", "campaignStatus", "updatedAt"] {
            let mut missing = campaign_item();
            missing.remove(attribute);
            let mut mistyped = campaign_item();
            mistyped.insert(attribute.to_owned(), AttributeValue::N("1".to_owned()));
            for item in [missing, mistyped] {
                let error = campaign(&item).unwrap_err();
                assert!(
                    error
                        .to_string()
                        .contains(&format!("attribute {attribute}")),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn protection_that_cannot_be_read_is_an_error() {
        for value in [
            AttributeValue::S("false".to_owned()),
            AttributeValue::Null(true),
            AttributeValue::N("0".to_owned()),
        ] {
            let mut item = campaign_item();
            item.insert("deletionProtection".to_owned(), value);
            assert!(campaign(&item).is_err());
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let mut counted = Counts::default();
        counted.add("PROSPECT#1");
        counted.add("strange");
        let record = Record {
            deletion_id: "0190".into(),
            campaign_id: CampaignId::parse("campaign_123").unwrap(),
            campaign_name: "Q4".into(),
            account_id: "account_1".into(),
            requested_by: Requester::Key("key_1".into()),
            previous_status: "paused".into(),
            state: RecordState::Running,
            started_at: "2026-01-01T00:00:00Z".into(),
            updated_at: "2026-01-01T00:00:00Z".into(),
            progress: Progress {
                counted,
                counted_through: None,
                deleted_through: None,
                pass: 1,
            },
            version: 1,
            owner: Some("owner".into()),
            lease_until_ms: 7,
        };
        assert_eq!(super::record(&new_record(&record)).unwrap(), record);
    }
}

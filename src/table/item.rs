//! Items to values and back. An attribute that is missing or has the wrong type
//! is an error that names the item's kind and the attribute, never its value.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    TableError,
    keys::{CAMPAIGN_PREFIX, PK},
};
use crate::{
    auth::{StoredKey, is_account_id},
    campaign::{Attribute, Campaign, CampaignId, ListedCampaign, Seen, Status, UnreadableCampaign},
    counts::Counts,
    idempotency::KeyUse,
    record::{Progress, Record, RecordState, Requester, deletion_id},
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

    /// Returns the attribute through `read`; `None` if it is absent or NULL, as
    /// JavaScript clients write what they do not set.
    fn optional<T>(
        &self,
        attribute: &'static str,
        read: impl FnOnce(&AttributeValue) -> Option<T>,
    ) -> Result<Option<T>, TableError> {
        match self.item.get(attribute) {
            None | Some(AttributeValue::Null(_)) => Ok(None),
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

    /// The id of an account: the same rule for campaigns, keys and records.
    fn account_id(&self) -> Result<String, TableError> {
        let id = self.text("accountId")?;
        if is_account_id(&id) {
            Ok(id)
        } else {
            Err(self.corrupt("accountId"))
        }
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

/// Reads the campaign item under the key of this id.
///
/// # Errors
/// [`TableError::Corrupt`] if the owner cannot be read, or the item names another
/// id than its key.
pub fn campaign(id: &CampaignId, item: &Item) -> Result<Campaign, TableError> {
    let attributes = Attributes {
        item,
        kind: "campaign",
    };
    match item.get("id") {
        Some(AttributeValue::S(named)) if named != id.as_str() => Err(attributes.corrupt("id")),
        _ => campaign_with(id.clone(), &attributes),
    }
}

fn campaign_with(id: CampaignId, attributes: &Attributes<'_>) -> Result<Campaign, TableError> {
    let text = |attribute| {
        seen(attributes.item.get(attribute))
            .text()
            .map(str::to_owned)
    };
    let seen = Seen {
        updated_at: seen(attributes.item.get("updatedAt")),
        deletion_protection: seen(attributes.item.get("deletionProtection")),
        deletion_id: seen(attributes.item.get("deletionId")),
    };
    Ok(Campaign {
        id,
        name: text("name").unwrap_or_default(),
        account_id: attributes.account_id()?,
        status: Status::new(text("campaignStatus").unwrap_or_default()),
        updated_at: text("updatedAt").unwrap_or_default(),
        deletion_protection: match seen.deletion_protection {
            Attribute::Absent | Attribute::Null => None,
            Attribute::Bool(is_protected) => Some(is_protected),
            _ => Some(true),
        },
        deletion_id: seen.deletion_id.text().and_then(deletion_id),
        seen,
    })
}

/// Returns an attribute as a value of this project.
fn seen(value: Option<&AttributeValue>) -> Attribute {
    match value {
        None => Attribute::Absent,
        Some(AttributeValue::Null(_)) => Attribute::Null,
        Some(AttributeValue::S(text)) => Attribute::Text(text.clone()),
        Some(AttributeValue::N(number)) => Attribute::Number(number.clone()),
        Some(AttributeValue::Bool(value)) => Attribute::Bool(*value),
        Some(AttributeValue::B(_)) => Attribute::Other("B"),
        Some(AttributeValue::Bs(_)) => Attribute::Other("BS"),
        Some(AttributeValue::L(_)) => Attribute::Other("L"),
        Some(AttributeValue::M(_)) => Attribute::Other("M"),
        Some(AttributeValue::Ns(_)) => Attribute::Other("NS"),
        Some(_) => Attribute::Other("SS"),
    }
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
        account_id: attributes.account_id()?,
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
/// [`UnreadableCampaign`].
pub fn listed_campaign(item: &Item) -> Result<ListedCampaign, UnreadableCampaign> {
    let partition = item.get(PK).and_then(|key| key.as_s().ok());
    let partition = partition.map(String::as_str).unwrap_or_default();
    let text = partition.strip_prefix(CAMPAIGN_PREFIX).unwrap_or(partition);
    let unreadable = |attribute| UnreadableCampaign {
        id: text.to_owned(),
        attribute,
    };
    let id = CampaignId::parse(text).map_err(|_| unreadable(PK))?;
    let attributes = Attributes {
        item,
        kind: "campaign",
    };
    let campaign = campaign_with(id, &attributes).map_err(|error| match error {
        TableError::Corrupt { attribute, .. } => unreadable(attribute),
        _ => unreadable("accountId"),
    })?;
    Ok(ListedCampaign {
        campaign,
        completed_at: match seen(item.get("completedAt")) {
            Attribute::Absent | Attribute::Null => None,
            // What is not text is a time that cannot be read.
            other => Some(other.text().unwrap_or_default().to_owned()),
        },
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
        account_id: attributes.account_id()?,
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

    fn id() -> CampaignId {
        CampaignId::parse("campaign_123").unwrap()
    }

    #[test]
    fn a_campaign_needs_a_readable_owner_and_nothing_else() {
        let odd = [
            None,
            Some(AttributeValue::Null(true)),
            Some(AttributeValue::N("1".to_owned())),
            Some(AttributeValue::L(Vec::new())),
        ];
        for attribute in ["id", "name", "campaignStatus", "updatedAt", "completedAt"] {
            for value in odd.clone() {
                let mut item = campaign_item();
                item.remove(attribute);
                item.extend(value.map(|value| (attribute.to_owned(), value)));
                assert!(campaign(&id(), &item).is_ok(), "{attribute}");
            }
        }
        for value in odd.into_iter().chain([
            Some(AttributeValue::S(String::new())),
            Some(AttributeValue::S(" ".to_owned())),
            Some(AttributeValue::S("a".repeat(1_025))),
        ]) {
            let mut item = campaign_item();
            item.remove("accountId");
            item.extend(value.map(|value| ("accountId".to_owned(), value)));
            let error = campaign(&id(), &item).unwrap_err().to_string();
            assert!(error.contains("attribute accountId"), "{error}");
        }
        let mut other = campaign_item();
        other.insert("id".to_owned(), AttributeValue::S("campaign_9".to_owned()));
        assert!(campaign(&id(), &other).is_err());
    }

    #[test]
    fn protection_that_is_not_a_truth_value_protects() {
        for (value, is_protected) in [
            (AttributeValue::S("false".to_owned()), true),
            (AttributeValue::N("0".to_owned()), true),
            (AttributeValue::Bool(true), true),
            (AttributeValue::Bool(false), false),
            (AttributeValue::Null(true), false),
        ] {
            let mut item = campaign_item();
            item.insert("deletionProtection".to_owned(), value.clone());
            let campaign = campaign(&id(), &item).unwrap();
            assert_eq!(campaign.is_protected(), is_protected, "{value:?}");
        }
    }

    #[test]
    fn only_a_uuid_is_the_id_of_a_deletion() {
        for text in ["", "DELETION#1", &"x".repeat(2_000)] {
            let mut item = campaign_item();
            item.insert("deletionId".to_owned(), AttributeValue::S(text.to_owned()));
            let campaign = campaign(&id(), &item).unwrap();
            assert_eq!(campaign.deletion_id, None);
            assert_eq!(campaign.seen.deletion_id.text(), Some(text));
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
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

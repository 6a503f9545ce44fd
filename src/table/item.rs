//! Items to values and back. An attribute that is missing or has the wrong type
//! is an error that names the item's kind and the attribute, never its value.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;

use super::{TableError, archive, keys, ranges};
use crate::{
    auth::{StoredKey, is_account_id},
    campaign::CampaignId,
    clock::LAST_SECOND,
    counts::Counts,
    idempotency::KeyUse,
    record::{DeletionReason, Progress, Range, Record, RecordState, Requester},
};

/// An item as DynamoDB returns it.
pub type Item = HashMap<String, AttributeValue>;

/// Reads attributes of one item.
pub(super) struct Attributes<'a> {
    pub(super) item: &'a Item,
    pub(super) kind: &'static str,
}

impl Attributes<'_> {
    pub(super) fn corrupt(&self, attribute: &'static str) -> TableError {
        TableError::Corrupt {
            kind: self.kind,
            attribute,
        }
    }

    /// Returns the attribute through `read`; `None` if it is absent or NULL,
    /// which JavaScript clients write for what they do not set.
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

    pub(super) fn text(&self, attribute: &'static str) -> Result<String, TableError> {
        self.optional_text(attribute)?
            .ok_or_else(|| self.corrupt(attribute))
    }

    /// The id of an account: the same rule for campaigns, keys and records.
    pub(super) fn account_id(&self) -> Result<String, TableError> {
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

    fn counter(&self, attribute: &'static str) -> Result<u64, TableError> {
        self.optional(attribute, counter)?
            .ok_or_else(|| self.corrupt(attribute))
    }

    fn number<T: std::str::FromStr>(&self, attribute: &'static str) -> Result<T, TableError> {
        self.optional_number(attribute)?
            .ok_or_else(|| self.corrupt(attribute))
    }
}

fn number<T: std::str::FromStr>(value: &AttributeValue) -> Option<T> {
    value.as_n().ok()?.parse().ok()
}

/// The most that anything is counted up to: what JSON's readers take exactly (RFC 8259,
/// section 6), and sums of it fit.
const MOST: u64 = (1 << 53) - 1;

fn counter(value: &AttributeValue) -> Option<u64> {
    number(value).filter(|count| *count <= MOST)
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
        expires_at: attributes.optional("expiresAt", seconds)?,
    })
}

/// Reads epoch seconds. A number beyond the year 9999 must be milliseconds; read as
/// seconds, it would be a time that never comes.
fn seconds(value: &AttributeValue) -> Option<i64> {
    number(value).filter(|seconds| (0..=LAST_SECOND).contains(seconds))
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

/// Reads the item of an idempotency key: what it was used for, unless it has expired
/// at `now` (epoch seconds).
///
/// # Errors
/// [`TableError::Corrupt`].
pub fn key_use(item: &Item, now: i64) -> Result<Option<KeyUse>, TableError> {
    let attributes = Attributes {
        item,
        kind: "idempotency key",
    };
    if attributes.number::<i64>("ttlAt")? <= now {
        return Ok(None);
    }
    Ok(Some(KeyUse {
        deletion_id: attributes.text("deletionId")?,
        campaign_id: attributes.text("campaignId")?,
    }))
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
        reason: attributes.optional("reason", |value| {
            DeletionReason::parse(value.as_s().ok()?).ok()
        })?,
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
            ranges: match attributes.optional("ranges", ranges::read)? {
                Some(several) => several,
                None => vec![Range {
                    counted_through: attributes.optional_text("countedThrough")?,
                    deleted_through: attributes.optional_text("deletedThrough")?,
                    ..Range::default()
                }],
            },
            pass: attributes.counter("pass")?,
            paid_until_ms: attributes.optional_number("paidUntil")?,
        },
        archive: attributes.optional("archive", |value| {
            archive::read(value, item.get("archived"))
        })?,
        campaign_replaced: item.get("campaignReplaced") == Some(&AttributeValue::Bool(true)),
        version: attributes.counter("version")?,
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
                .map(|(name, value)| Some((name.as_str(), counter(value)?)))
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
        (keys::UNFINISHED, text(keys::UNFINISHED_DELETION)),
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
    if let Some(until) = record.progress.paid_until_ms {
        item.insert("paidUntil".to_owned(), AttributeValue::N(until.to_string()));
    }
    if let Some(reason) = &record.reason {
        item.insert("reason".to_owned(), text(reason.as_str()));
    }
    if let Some(owner) = &record.owner {
        item.insert("owner".to_owned(), text(owner));
    }
    if let Some(archive) = &record.archive {
        item.insert("archive".to_owned(), archive::attribute(archive));
        item.insert("archived".to_owned(), archive::archived(archive.archived));
        let marks = ranges::attributes(&record.progress.ranges, true);
        let marks = marks
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        item.extend(marks);
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Archive, Archived};

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
            reason: DeletionReason::parse("erasure-request").ok(),
            previous_status: "paused".into(),
            state: RecordState::Running,
            started_at: "2026-01-01T00:00:00Z".into(),
            updated_at: "2026-01-01T00:00:00Z".into(),
            progress: Progress {
                counted,
                ranges: vec![Range::default()],
                pass: 1,
                paid_until_ms: Some(9),
            },
            archive: None,
            campaign_replaced: false,
            version: 1,
            owner: Some("owner".into()),
            lease_until_ms: 7,
        };
        assert_eq!(super::record(&new_record(&record)).unwrap(), record);
        let archived = Record {
            archive: Some(Archive {
                bucket: "bucket".into(),
                prefix: "deletions/".into(),
                days: Some(30),
                archived: Archived {
                    objects: 1,
                    bytes: 99,
                },
            }),
            ..record
        };
        assert_eq!(super::record(&new_record(&archived)).unwrap(), archived);
    }
}

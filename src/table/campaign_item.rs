//! Campaign items to values. Other programs write them, with attributes of any
//! type: an attribute that a deletion does not need never blocks it.

use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    TableError,
    item::{Attributes, Item},
    keys::{CAMPAIGN_PREFIX, PK, SK},
};
use crate::{
    campaign::{Attribute, Campaign, CampaignId, ListedCampaign, Seen, Status, UnreadableCampaign},
    counts::CAMPAIGN_SORT_KEY,
    record::deletion_id,
};

/// Reads the campaign item under the key of this id. The key says which campaign it is,
/// whatever its attribute `id` says.
///
/// # Errors
/// [`TableError::Corrupt`] if the owner cannot be read.
pub(super) fn campaign(id: &CampaignId, item: &Item) -> Result<Campaign, TableError> {
    let attributes = Attributes {
        item,
        kind: "campaign",
    };
    campaign_with(id.clone(), &attributes)
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

/// The attributes that a deletion, an index or a key needs. The name is kept in the
/// record.
const NEEDED: [&str; 8] = [
    PK,
    SK,
    "id",
    "accountId",
    "campaignStatus",
    "updatedAt",
    "deletionProtection",
    "deletionId",
];

/// The room for a mark, bytes: the name and value of `deletionId` and `updatedAt`, and
/// a longer status, with some to spare.
const ROOM: usize = 256;

/// Returns the names of the largest attributes, as many as make room for a mark.
pub(super) fn largest(item: &Item) -> Vec<String> {
    let mut sizes: Vec<(usize, &String)> = item
        .iter()
        .filter(|(name, _)| !NEEDED.contains(&name.as_str()))
        .map(|(name, value)| (name.len() + size(value), name))
        .collect();
    sizes.sort_unstable_by(|one, other| other.cmp(one));
    let mut room = 0;
    let mut names = Vec::new();
    for (size, name) in sizes {
        if room >= ROOM {
            break;
        }
        room += size;
        names.push(name.clone());
    }
    names
}

/// Returns about how many bytes a value takes, and never too many (developer guide,
/// "DynamoDB item sizes and formats").
fn size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number.len().div_ceil(2),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|n| n.len().div_ceil(2)).sum(),
        AttributeValue::Bs(all) => all.iter().map(|bytes| bytes.as_ref().len()).sum(),
        AttributeValue::L(values) => values.iter().map(size).sum(),
        AttributeValue::M(map) => map
            .iter()
            .map(|(name, value)| name.len() + size(value))
            .sum(),
        _ => 1,
    }
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

/// Reads a campaign as the index projects it: its id is in its key.
///
/// # Errors
/// [`UnreadableCampaign`].
pub(super) fn listed_campaign(item: &Item) -> Result<ListedCampaign, UnreadableCampaign> {
    let partition = item.get(PK).and_then(|key| key.as_s().ok());
    let partition = partition.map(String::as_str).unwrap_or_default();
    let text = partition.strip_prefix(CAMPAIGN_PREFIX).unwrap_or(partition);
    let owner = item.get("accountId").and_then(|owner| owner.as_s().ok());
    let unreadable = |attribute| UnreadableCampaign {
        id: text.to_owned(),
        attribute,
        account_id: owner.cloned(),
    };
    let id = CampaignId::parse(text).map_err(|_| unreadable(PK))?;
    // Another item of the campaign that has the index's keys is not the campaign.
    let sort_key = item.get(SK).and_then(|key| key.as_s().ok());
    if sort_key.is_none_or(|key| key != CAMPAIGN_SORT_KEY) {
        return Err(unreadable(SK));
    }
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
        // The index does not project `id`, so retention would not see it either.
        for named in ["campaign_9", ""] {
            let mut other = campaign_item();
            other.insert("id".to_owned(), AttributeValue::S(named.to_owned()));
            assert_eq!(campaign(&id(), &other).unwrap().id, id());
        }
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
}

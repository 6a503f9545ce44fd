//! The archive of a deletion as attributes of its record: `archive`, which the claim writes
//! once, and `archived`, what was put so far.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::record::{Archive, Archived};

/// Returns the attribute `archive`.
pub(super) fn attribute(archive: &Archive) -> AttributeValue {
    let mut members = HashMap::from([
        ("bucket", AttributeValue::S(archive.bucket.clone())),
        ("prefix", AttributeValue::S(archive.prefix.clone())),
    ]);
    if let Some(days) = archive.days {
        members.insert("days", AttributeValue::N(days.to_string()));
    }
    map(members)
}

/// Returns the attribute `archived`.
pub(super) fn archived(archived: Archived) -> AttributeValue {
    map(HashMap::from([
        ("objects", AttributeValue::N(archived.objects.to_string())),
        ("bytes", AttributeValue::N(archived.bytes.to_string())),
    ]))
}

fn map(members: HashMap<&'static str, AttributeValue>) -> AttributeValue {
    let members = members.into_iter();
    AttributeValue::M(
        members
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

/// Reads both attributes; `None` if one of them does not have the expected form.
pub(super) fn read(archive: &AttributeValue, archived: Option<&AttributeValue>) -> Option<Archive> {
    let members = archive.as_m().ok()?;
    let text = |name: &str| members.get(name)?.as_s().ok().cloned();
    Some(Archive {
        bucket: text("bucket")?,
        prefix: text("prefix")?,
        days: match members.get("days") {
            Some(days) => Some(number(days)?),
            None => None,
        },
        archived: match archived {
            Some(archived) => read_archived(archived)?,
            None => Archived::default(),
        },
    })
}

fn number(value: &AttributeValue) -> Option<u64> {
    value.as_n().ok()?.parse().ok()
}

fn read_archived(value: &AttributeValue) -> Option<Archived> {
    let members = value.as_m().ok()?;
    Some(Archived {
        objects: number(members.get("objects")?)?,
        bytes: number(members.get("bytes")?)?,
    })
}

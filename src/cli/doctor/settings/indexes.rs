//! The keys of the table, and its indexes.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, GlobalSecondaryIndexDescription, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TableDescription,
};

use super::super::check::Check;
use crate::table::{
    STATUS_INDEX_PROJECTION,
    keys::{PK, SK, STATUS_INDEX, UNFINISHED, UNFINISHED_INDEX},
};

/// Returns a key schema as text: `PK (S) and SK (S)`.
fn schema(elements: &[KeySchemaElement], attributes: &[AttributeDefinition]) -> String {
    let kind = |name: &str| {
        let found = attributes.iter().find(|one| one.attribute_name() == name);
        found
            .map_or("?", |one| one.attribute_type().as_str())
            .to_owned()
    };
    let part = |wanted: &KeyType| {
        let names = elements
            .iter()
            .filter(|element| element.key_type() == wanted)
            .map(KeySchemaElement::attribute_name);
        let names: Vec<_> = names
            .map(|name| format!("{name} ({})", kind(name)))
            .collect();
        names.join(" + ")
    };
    let (hash, range) = (part(&KeyType::Hash), part(&KeyType::Range));
    if range.is_empty() {
        format!("{hash} and no sort key")
    } else {
        format!("{hash} and {range}")
    }
}

/// Returns a key schema of two texts as [`schema`] shows it.
fn of_texts(hash: &str, range: &str) -> String {
    let kind = ScalarAttributeType::S;
    format!("{hash} ({kind}) and {range} ({kind})")
}

pub(super) fn keys(description: &TableDescription) -> Check {
    let seen = schema(
        description.key_schema(),
        description.attribute_definitions(),
    );
    let expected = of_texts(PK, SK);
    if seen == expected {
        Check::ok("keys", seen)
    } else {
        Check::failed(
            "keys",
            format!("{seen}; needed: {expected}"),
            "The keys of a table cannot be changed: make a table as docs/table.md describes it, \
             and copy the items.",
        )
    }
}

fn index<'a>(
    description: &'a TableDescription,
    name: &str,
) -> Option<&'a GlobalSecondaryIndexDescription> {
    let mut indexes = description.global_secondary_indexes().iter();
    indexes.find(|index| index.index_name() == Some(name))
}

/// Returns a projection as text.
fn projected(projection: Option<&Projection>) -> String {
    let kind = projection.and_then(Projection::projection_type);
    match kind {
        Some(ProjectionType::KeysOnly) => "keys only".to_owned(),
        Some(ProjectionType::All) => "all attributes".to_owned(),
        _ => {
            let names = projection.map_or(&[][..], Projection::non_key_attributes);
            let mut names = names.to_vec();
            names.sort();
            names.join(", ")
        }
    }
}

/// Returns what is wrong with an index's keys, or with its state.
fn index_fault(
    description: &TableDescription,
    index: &GlobalSecondaryIndexDescription,
    expected: &str,
) -> Option<String> {
    let seen = schema(index.key_schema(), description.attribute_definitions());
    let status = index
        .index_status()
        .map_or("ACTIVE", |status| status.as_str());
    if seen != expected {
        Some(format!("its keys are {seen}; needed: {expected}"))
    } else if status == "CREATING" || index.backfilling() == Some(true) {
        Some(format!("it is still being built ({status})"))
    } else {
        None
    }
}

pub(super) fn status_index(description: &TableDescription) -> Check {
    const NAME: &str = "status-index";
    const REMEDY: &str = "Create the index as docs/table.md describes it (delete one of this name \
                          first): without it, neither retention nor `campaigns list` works.";
    let Some(index) = index(description, STATUS_INDEX) else {
        return Check::failed(NAME, format!("there is no index {STATUS_INDEX}"), REMEDY);
    };
    let expected = of_texts("campaignStatus", "updatedAt");
    if let Some(fault) = index_fault(description, index, &expected) {
        return Check::failed(NAME, format!("{STATUS_INDEX}: {fault}"), REMEDY);
    }
    let projection = index.projection();
    let seen = projected(projection);
    let names = projection.map_or(&[][..], Projection::non_key_attributes);
    let is_all = projection.and_then(Projection::projection_type) == Some(&ProjectionType::All);
    let missing: Vec<_> = STATUS_INDEX_PROJECTION
        .into_iter()
        .filter(|needed| !is_all && !names.iter().any(|name| name == needed))
        .collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        let seen = format!("{STATUS_INDEX} projects {seen}; missing: {missing}");
        return Check::failed(NAME, seen, REMEDY);
    }
    if is_all || names.len() > STATUS_INDEX_PROJECTION.len() {
        return Check::warning(
            NAME,
            format!("{STATUS_INDEX} projects {seen}"),
            "It works; a narrower projection makes each change of a campaign cheaper.",
        );
    }
    Check::ok(NAME, format!("{STATUS_INDEX} projects {seen}"))
}

pub(super) fn unfinished_index(description: &TableDescription) -> Check {
    const NAME: &str = "unfinished-index";
    const REMEDY: &str = "Create it by the command in docs/table.md: without it, a running deletion \
                          whose campaign item is gone is not found again.";
    let Some(index) = index(description, UNFINISHED_INDEX) else {
        let seen = format!("there is no index {UNFINISHED_INDEX}");
        return Check::warning(NAME, seen, REMEDY);
    };
    let expected = of_texts(UNFINISHED, "startedAt");
    if let Some(fault) = index_fault(description, index, &expected) {
        return Check::failed(NAME, format!("{UNFINISHED_INDEX}: {fault}"), REMEDY);
    }
    let seen = format!(
        "{UNFINISHED_INDEX} projects {}",
        projected(index.projection())
    );
    let kind = index.projection().and_then(Projection::projection_type);
    if kind == Some(&ProjectionType::KeysOnly) {
        Check::ok(NAME, seen)
    } else {
        Check::warning(
            NAME,
            seen,
            "It works; keys alone are enough, and each write of a record costs less.",
        )
    }
}

pub(super) fn local_indexes(description: &TableDescription) -> Check {
    const NAME: &str = "local-indexes";
    let indexes = description.local_secondary_indexes().iter();
    let names: Vec<_> = indexes.filter_map(|index| index.index_name()).collect();
    if names.is_empty() {
        return Check::ok(NAME, "no local secondary index");
    }
    Check::warning(
        NAME,
        format!("local secondary indexes: {}", names.join(", ")),
        "Each delete of an item in one costs more, and a campaign cannot grow beyond 10 GB or \
         be split over partitions. They can only be left out when a table is made.",
    )
}

pub(super) fn other_indexes(description: &TableDescription) -> Check {
    const NAME: &str = "other-indexes";
    let indexes = description.global_secondary_indexes().iter();
    let names: Vec<_> = indexes
        .filter_map(|index| index.index_name())
        .filter(|name| ![STATUS_INDEX, UNFINISHED_INDEX].contains(name))
        .collect();
    if names.is_empty() {
        return Check::ok(NAME, "none");
    }
    Check::warning(
        NAME,
        format!("other indexes: {}", names.join(", ")),
        "If children are in one, each delete costs a write unit more there, and a full index \
         throttles the table. Delete the indexes that nothing reads.",
    )
}

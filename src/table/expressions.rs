//! The expressions of conditional writes: names, values, and the one update that
//! every write of a record is made of.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    item::{self, Item},
    keys,
    records::{Change, Completion},
};
use crate::{
    deletion::{Record, RecordState},
    timestamp::now_rfc3339,
};

/// The update of a record that every write of it shares: conditional on
/// `state = running` and on the version that was seen.
pub(super) struct RecordWrite {
    pub(super) key: Item,
    pub(super) update: String,
    pub(super) condition: String,
    pub(super) expressions: Expressions,
}

impl RecordWrite {
    pub(super) fn new(seen: &Record, owner: &str, lease_until_ms: i64, change: &Change) -> Self {
        let mut of = Expressions::default();
        let condition = [
            of.equals("state", Some(text(RecordState::RUNNING))),
            of.equals("version", Some(number(seen.version))),
        ]
        .join(" AND ");
        let mut sets = vec![
            of.assign("version", "nextVersion", number(seen.version + 1)),
            of.assign("owner", "writer", text(owner)),
            of.assign(
                "leaseUntil",
                "lease",
                AttributeValue::N(lease_until_ms.to_string()),
            ),
            of.assign("updatedAt", "now", text(&now_rfc3339())),
        ];
        let mut removes = Vec::new();
        if let Change::Progress(progress) = change {
            sets.push(of.assign("counted", "counts", item::counted(&progress.counted)));
            sets.push(of.assign("pass", "currentPass", number(progress.pass)));
            for (name, mark) in [
                ("countedThrough", &progress.counted_through),
                ("deletedThrough", &progress.deleted_through),
            ] {
                match mark {
                    Some(mark) => sets.push(of.assign(name, name, text(mark))),
                    None => removes.push(of.name(name)),
                }
            }
        }
        let mut update = format!("SET {}", sets.join(", "));
        if !removes.is_empty() {
            update = format!("{update} REMOVE {}", removes.join(", "));
        }
        let mut write = Self {
            key: keys::deletion(&seen.account_id, &seen.deletion_id).attributes(),
            update,
            condition,
            expressions: of,
        };
        if let Change::FinishReplaced(completion) = change {
            write.succeed(completion, true);
        }
        write
    }

    /// Makes this the last write of the record.
    pub(super) fn succeed(&mut self, completion: &Completion, campaign_replaced: bool) {
        let of = &mut self.expressions;
        let mut sets = vec![
            of.assign("state", "done", text(RecordState::SUCCEEDED)),
            of.assign("completedAt", "completed", text(&completion.completed_at)),
        ];
        if let Some(ttl_at) = completion.ttl_at {
            let ttl_at = AttributeValue::N(ttl_at.to_string());
            sets.push(of.assign("ttlAt", "ttlAt", ttl_at));
        }
        if campaign_replaced {
            let replaced = AttributeValue::Bool(true);
            sets.push(of.assign("campaignReplaced", "replaced", replaced));
        }
        // Only a progress write removes anything, and it is never the last one.
        self.update = format!("{}, {}", self.update, sets.join(", "));
    }
}

/// Names and values of the expressions of one request. Every name is given as
/// `#name`, since many of ours are reserved words.
#[derive(Default)]
pub(super) struct Expressions {
    pub(super) names: HashMap<String, String>,
    pub(super) values: Item,
}

impl Expressions {
    pub(super) fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#{name}");
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    /// `#name = :value`.
    pub(super) fn assign(&mut self, name: &str, value_name: &str, value: AttributeValue) -> String {
        let placeholder = format!(":{value_name}");
        self.values.insert(placeholder.clone(), value);
        format!("{} = {placeholder}", self.name(name))
    }

    /// A condition that an attribute is exactly what was read, absence included.
    pub(super) fn equals(&mut self, name: &str, value: Option<AttributeValue>) -> String {
        match value {
            Some(value) => self.assign(name, name, value),
            None => format!("attribute_not_exists({})", self.name(name)),
        }
    }
}

pub(super) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

//! The one update that every write of a deletion record consists of: conditional
//! on `state = running` and on the version that its writer last saw.

use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    archive,
    expressions::{Expressions, number, text},
    item::{self, Item},
    keys, ranges,
};
use crate::{
    clock::{now_ms, now_rfc3339},
    record::{Archived, Event, Progress, Record, RecordState},
};

/// What a write of the record changes, besides version, owner, lease and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing else: a takeover or a renewal.
    Lease,
    /// Counts and marks: a count-ahead or a release.
    Progress(Progress),
    /// The deletion has finished although another campaign item is in its place, and no event
    /// announces that.
    FinishReplaced(Completion),
}

/// What a write of the record contains, besides version, owner and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The end of the lease, epoch milliseconds.
    pub lease_until_ms: i64,
    /// When what was consumed is paid for by the pace, epoch milliseconds; `None` if it
    /// is already.
    pub paid_until_ms: Option<i64>,
    /// What was put into the archive so far; `None` without one.
    pub archived: Option<Archived>,
    /// What else changes.
    pub change: Change,
}

impl Written {
    /// Returns a write that changes nothing but the end of the lease.
    #[must_use]
    pub fn lease(lease_until_ms: i64) -> Self {
        Self {
            lease_until_ms,
            paid_until_ms: None,
            archived: None,
            change: Change::Lease,
        }
    }
}

/// The end of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// RFC 3339.
    pub completed_at: String,
    /// What was put into the archive; `None` without one.
    pub archived: Option<Archived>,
    /// When the record expires, epoch seconds; `None` if it does not.
    pub ttl_at: Option<i64>,
    /// Whether another campaign item is in the place of this deletion's, and stays.
    pub campaign_replaced: bool,
    /// The event that announces it, put in the same transaction; `None` if none is wanted.
    pub event: Option<Event>,
}

/// The update of a record that every write of it shares: conditional on
/// `state = running` and on the version that was seen.
pub(super) struct RecordWrite {
    pub(super) key: Item,
    pub(super) update: String,
    pub(super) condition: String,
    pub(super) expressions: Expressions,
}

impl RecordWrite {
    pub(super) fn new(seen: &Record, owner: &str, written: &Written) -> Self {
        let Written {
            lease_until_ms,
            paid_until_ms,
            archived,
            change,
        } = written;
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
        // A time in the past means nothing, and is left as it is. One in the future is no longer
        // true if less was consumed than expected, or if this worker has no pace.
        let now = now_ms();
        let stored = seen.progress.paid_until_ms;
        let is_ahead = stored.is_some_and(|until| until > now);
        if let Some(until) = paid_until_ms.or(is_ahead.then_some(now)) {
            let until = AttributeValue::N(until.to_string());
            sets.push(of.assign("paidUntil", "paid", until));
        }
        if let Some(archived) = archived {
            sets.push(of.assign("archived", "put", archive::archived(*archived)));
        }
        let mut removes = Vec::new();
        if let Change::Progress(progress) = change {
            sets.push(of.assign("counted", "counts", item::counted(&progress.counted)));
            sets.push(of.assign("pass", "currentPass", number(progress.pass)));
            for (name, value) in ranges::attributes(&progress.ranges, seen.archive.is_some()) {
                match value {
                    Some(value) => sets.push(of.assign(name, name, value)),
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
            write.succeed(seen, completion);
        }
        write
    }

    /// Makes this the last write of the record.
    pub(super) fn succeed(&mut self, seen: &Record, completion: &Completion) {
        let of = &mut self.expressions;
        let mut sets = vec![
            of.assign("state", "done", text(RecordState::SUCCEEDED)),
            of.assign("completedAt", "completed", text(&completion.completed_at)),
        ];
        if let Some(ttl_at) = completion.ttl_at {
            let ttl_at = AttributeValue::N(ttl_at.to_string());
            sets.push(of.assign("ttlAt", "ttlAt", ttl_at));
        }
        if completion.campaign_replaced {
            let replaced = AttributeValue::Bool(true);
            sets.push(of.assign("campaignReplaced", "replaced", replaced));
        }
        // Only a progress write removes anything else, and it is never the last one.
        let removes =
            std::iter::once(keys::UNFINISHED).chain(ranges::unreadable(seen).iter().copied());
        let removes: Vec<String> = removes.map(|name| of.name(name)).collect();
        let (sets, removes) = (sets.join(", "), removes.join(", "));
        self.update = format!("{}, {sets} REMOVE {removes}", self.update);
    }
}

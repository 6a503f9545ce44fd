//! Running deletions and unsent events, from the sparse index of what is unfinished: how a
//! deletion is found whose campaign item is gone or no longer in `deleting`, and an event that
//! nobody has sent. A table without the index works; its running deletions are found by their
//! campaigns.

use tokio::time::Instant;

use super::{
    Table, TableError,
    expressions::text,
    item::Item,
    keys::{
        ACCOUNT_PREFIX, DELETION_PREFIX, EVENT_PREFIX, PK, SK, UNFINISHED, UNFINISHED_DELETION,
        UNFINISHED_EVENT, UNFINISHED_INDEX,
    },
    pages::{OPERATION, Pages},
    retry::Failure,
};
use crate::{
    record::{DeletionRef, deletion_id},
    sdk::Cause,
};

/// The most entries in a page, which have a few hundred bytes each.
const PAGE_LIMIT: i32 = 1_000;

/// The deletions that are running, or whose event is unsent, oldest first. Eventually
/// consistent.
#[derive(Debug)]
pub struct Unfinished {
    pages: Pages,
    /// What the sort keys begin with, before the deletion's id.
    prefix: &'static str,
}

impl Table {
    /// Returns the running deletions. Nothing is read yet.
    #[must_use]
    pub fn unfinished_deletions(&self) -> Unfinished {
        self.unfinished(UNFINISHED_DELETION, DELETION_PREFIX)
    }

    /// Returns the deletions whose event is unsent. Nothing is read yet.
    #[must_use]
    pub fn unsent_events(&self) -> Unfinished {
        self.unfinished(UNFINISHED_EVENT, EVENT_PREFIX)
    }

    fn unfinished(&self, kind: &str, prefix: &'static str) -> Unfinished {
        let query = self
            .client()
            .query()
            .table_name(self.name())
            .index_name(UNFINISHED_INDEX)
            .limit(PAGE_LIMIT)
            .key_condition_expression("#unfinished = :kind")
            .expression_attribute_names("#unfinished", UNFINISHED)
            .expression_attribute_values(":kind", text(kind));
        Unfinished {
            pages: Pages::of(query),
            prefix,
        }
    }
}

impl Unfinished {
    /// Returns the next page; `None` after the last one, and if the table refuses, as
    /// it does without the index, or while the index is being built.
    ///
    /// # Errors
    /// [`TableError`] when the table is busy or does not answer.
    pub async fn next_page(
        &mut self,
        deadline: Instant,
    ) -> Result<Option<Vec<DeletionRef>>, TableError> {
        let prefix = self.prefix;
        let of = |key: &Item| deletion(key, prefix);
        match self.pages.next(deadline).await {
            Ok(keys) => Ok(keys.map(|keys| keys.iter().filter_map(of).collect())),
            Err(Failure::Answered(error)) => {
                let cause = Cause::of(OPERATION, &error);
                tracing::warn!("could not read the index {UNFINISHED_INDEX}: {cause}");
                Ok(None)
            }
            Err(failure) => Err(failure.into_table_error(OPERATION)),
        }
    }
}

/// Returns the deletion of a record's or an event's key.
fn deletion(key: &Item, prefix: &str) -> Option<DeletionRef> {
    let part = |name, prefix| key.get(name)?.as_s().ok()?.strip_prefix(prefix);
    let read = || {
        Some(DeletionRef {
            account_id: part(PK, ACCOUNT_PREFIX)?.to_owned(),
            // One in capitals is under another key than the deletion that it names.
            deletion_id: part(SK, prefix)
                .filter(|id| deletion_id(id).is_some_and(|stored| stored == *id))?
                .to_owned(),
        })
    };
    let found = read();
    if found.is_none() {
        let text = |name| key.get(name).and_then(|value| value.as_s().ok());
        let [pk, sk] = [PK, SK].map(|name| text(name).map(|text| text.escape_debug().to_string()));
        tracing::error!(
            pk,
            sk,
            "an entry of the index {UNFINISHED_INDEX} is not what its `{UNFINISHED}` says",
        );
    }
    found
}

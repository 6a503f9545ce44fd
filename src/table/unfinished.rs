//! Running deletions, from the sparse index of unfinished records: how a deletion is found
//! whose campaign item is gone or no longer in `deleting`. A table
//! without the index works; its running deletions are found by their campaigns.

use tokio::time::Instant;

use super::{
    Table, TableError,
    expressions::text,
    item::Item,
    keys::{
        ACCOUNT_PREFIX, DELETION_PREFIX, PK, SK, UNFINISHED, UNFINISHED_DELETION, UNFINISHED_INDEX,
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

/// The running deletions, oldest first. Eventually consistent.
#[derive(Debug)]
pub struct Unfinished(Pages);

impl Table {
    /// Returns the running deletions. Nothing is read yet.
    #[must_use]
    pub fn unfinished_deletions(&self) -> Unfinished {
        let query = self
            .client()
            .query()
            .table_name(self.name())
            .index_name(UNFINISHED_INDEX)
            .limit(PAGE_LIMIT)
            .key_condition_expression("#unfinished = :deletion")
            .expression_attribute_names("#unfinished", UNFINISHED)
            .expression_attribute_values(":deletion", text(UNFINISHED_DELETION));
        Unfinished(Pages::of(query))
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
        match self.0.next(deadline).await {
            Ok(keys) => Ok(keys.map(|keys| keys.iter().filter_map(deletion).collect())),
            Err(Failure::Answered(error)) => {
                let cause = Cause::of(OPERATION, &error);
                tracing::warn!("could not read the index {UNFINISHED_INDEX}: {cause}");
                Ok(None)
            }
            Err(failure) => Err(failure.into_table_error(OPERATION)),
        }
    }
}

/// Returns the deletion of a record's key.
fn deletion(key: &Item) -> Option<DeletionRef> {
    let part = |name, prefix| key.get(name)?.as_s().ok()?.strip_prefix(prefix);
    let read = || {
        Some(DeletionRef {
            account_id: part(PK, ACCOUNT_PREFIX)?.to_owned(),
            // One in capitals is under another key than the deletion that it names.
            deletion_id: part(SK, DELETION_PREFIX)
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
            "an entry of the index {UNFINISHED_INDEX} is not a deletion record",
        );
    }
    found
}

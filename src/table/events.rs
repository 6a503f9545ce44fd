//! Unsent events: items that the finish of a deletion puts, and that are removed once the event
//! bus has acknowledged the event.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::Put;
use tokio::time::Instant;

use super::{
    Table, TableError, built,
    expressions::text,
    item::{Attributes, Item},
    keys,
    retry::until_answered,
};
use crate::record::{DeletionRef, Event};

const STARTED_AT: &str = "startedAt";
const DETAIL: &str = "detail";

/// Returns the put of an event, as part of a transaction. It needs no condition of its own: it
/// is applied with the finish, once.
pub(super) fn put(table_name: &str, event: &Event) -> Result<Put, TableError> {
    let key = keys::event(&event.of.account_id, &event.of.deletion_id);
    let mut item = key.attributes();
    item.extend(HashMap::from([
        (keys::UNFINISHED.to_owned(), text(keys::UNFINISHED_EVENT)),
        (STARTED_AT.to_owned(), text(&event.started_at)),
        (DETAIL.to_owned(), text(&event.detail)),
    ]));
    let put = Put::builder().table_name(table_name).set_item(Some(item));
    built(put.build())
}

/// Reads the item of an event.
fn read(of: &DeletionRef, item: &Item) -> Result<Event, TableError> {
    let attributes = Attributes {
        item,
        kind: "event",
    };
    Ok(Event {
        of: of.clone(),
        started_at: attributes.text(STARTED_AT)?,
        detail: attributes.text(DETAIL)?,
    })
}

impl Table {
    /// Reads the event of a deletion, if it is unsent. Strongly consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn unsent_event(
        &self,
        of: &DeletionRef,
        deadline: Instant,
    ) -> Result<Option<Event>, TableError> {
        let key = keys::event(&of.account_id, &of.deletion_id);
        let found = self.get(key, deadline).await?;
        found.map(|item| read(of, &item)).transpose()
    }

    /// Removes the event of a deletion, which may be removed already.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn remove_event(
        &self,
        of: &DeletionRef,
        deadline: Instant,
    ) -> Result<(), TableError> {
        const OPERATION: &str = "DeleteItem";
        let key = keys::event(&of.account_id, &of.deletion_id);
        let request = self
            .client()
            .delete_item()
            .table_name(self.name())
            .set_key(Some(key.attributes()));
        let answer = until_answered(OPERATION, deadline, || request.clone().send()).await;
        answer
            .map(|_| ())
            .map_err(|failure| failure.into_table_error(OPERATION))
    }
}

//! Announces finished deletions. The finish has put the event into the table; the worker that
//! finished sends it, as far as its time allows, and removes it once the bus has acknowledged
//! it. What it leaves, the clean-up sends. So every event is sent at least once, and under one
//! id.

use std::time::Duration;

use tokio::time::Instant;

use super::Deletions;
use crate::{
    events::{EventBus, EventError},
    metrics,
    record::{DeletionRef, Event},
    table::TableError,
};

/// How long the answer to a finished deletion waits for its event. Sending and removing it take
/// tens of milliseconds within a Region.
const PATIENCE: Duration = Duration::from_secs(1);
/// Nothing is sent with less time than this.
const LEAST_TIME: Duration = Duration::from_millis(50);

/// Why an event is still in the table.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// The bus did not take it.
    #[error(transparent)]
    Bus(#[from] EventError),
    /// It could not be read, or it was sent and could not be removed.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl Deletions {
    /// Returns the same use case, which announces finished deletions on this bus.
    #[must_use]
    pub fn announcing_on(self, bus: EventBus) -> Self {
        Self { bus, ..self }
    }

    /// Returns whether finished deletions are announced.
    #[must_use]
    pub fn announces(&self) -> bool {
        self.settings.event_bus.is_some()
    }

    /// Sends the event of a deletion that this worker has finished. A failure is only logged:
    /// the event is in the table, and the clean-up finds it there.
    pub(super) async fn announce(&self, event: &Event, answer_by: Instant) {
        let now = Instant::now();
        let deadline = answer_by.min(now + PATIENCE);
        if now + LEAST_TIME < deadline
            && let Err(why) = self.send(event, deadline).await
        {
            log_not_sent(&event.of, &why);
        }
    }

    /// Sends the event of a deletion that is in the table; `false` if it is no longer there.
    ///
    /// # Errors
    /// [`NotSent`]; if the event was sent all the same, it is sent again.
    pub async fn send_unsent(&self, of: &DeletionRef, deadline: Instant) -> Result<bool, NotSent> {
        // Read again: the index may show what another worker has removed.
        let Some(event) = self.table.unsent_event(of, deadline).await? else {
            return Ok(false);
        };
        self.send(&event, deadline).await?;
        Ok(true)
    }

    async fn send(&self, event: &Event, deadline: Instant) -> Result<(), NotSent> {
        self.bus.put(event, deadline).await?;
        self.table.remove_event(&event.of, deadline).await?;
        Ok(())
    }
}

/// Logs and counts an event that was not sent, or not removed.
pub(crate) fn log_not_sent(of: &DeletionRef, why: &NotSent) {
    let id = &of.deletion_id;
    match why {
        NotSent::Bus(error) if error.is_transient() => {
            metrics::event_unanswered();
            tracing::warn!(
                deletion_id = %id,
                "could not send the event of deletion {id}, which the clean-up sends: {error}",
            );
        }
        NotSent::Bus(error) => {
            metrics::event_refused();
            tracing::error!(
                deletion_id = %id,
                "could not send the event of deletion {id}, which stays in the table: {error}",
            );
        }
        NotSent::Table(error @ TableError::Corrupt { .. }) => {
            metrics::event_refused();
            tracing::error!(
                deletion_id = %id,
                "could not read the event of deletion {id}, which stays in the table: {error}",
            );
        }
        NotSent::Table(error) => tracing::warn!(
            deletion_id = %id,
            "could not read or remove the event of deletion {id}: {error}",
        ),
    }
}

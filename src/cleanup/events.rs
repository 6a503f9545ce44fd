//! Sends the events that workers have left unsent, oldest first. An event that the bus refuses
//! stays, and does not hold up the others.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::time::Instant;

use super::{AT_ONCE, Cleanup, Summary};
use crate::{
    deletion::{Budget, NotSent, log_not_sent},
    events::EventError,
    metrics,
    record::DeletionRef,
    table::TableError,
};

/// The most events that one run looks at.
const MOST: usize = 1_000;
/// The part of a run's time that events may take: one in so many.
const PART: u32 = 4;
/// How long one event may take.
const LONGEST: Duration = Duration::from_secs(5);
/// After this many events in a row that the bus did not answer, the rest is left to the next
/// run: it is not one event's failure.
const MOST_UNANSWERED: u32 = 3;

/// What a run did with events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Events {
    /// How many were sent.
    pub sent: u64,
    /// How many of those that were looked at are still unsent.
    pub unsent: u64,
}

/// One run's attempts.
struct Attempts {
    events: Events,
    unanswered: u32,
    /// Whether the bus takes nothing now.
    is_closed: bool,
}

impl Cleanup {
    /// Sends unsent events, unless this is a dry run, and notes in the summary how many. Without
    /// a bus, nothing is asked of the table.
    pub(super) async fn send_events(&self, summary: &mut Summary, is_dry: bool, budget: Budget) {
        if !self.deletions.announces() {
            return;
        }
        let now = Instant::now();
        let until = now + budget.work_until.saturating_duration_since(now) / PART;
        let mut attempts = Attempts {
            events: Events::default(),
            unanswered: 0,
            is_closed: false,
        };
        let mut listing = self.table.unsent_events();
        let mut looked_at = 0;
        while looked_at < MOST && !attempts.is_closed && Instant::now() < until {
            let page = match listing.next_page(until).await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!("could not list the unsent events: {error}");
                    break;
                }
            };
            looked_at += page.len();
            if is_dry {
                attempts.events.unsent += page.len() as u64;
            } else {
                self.send_page(page, &mut attempts, until).await;
            }
        }
        if !is_dry {
            let left = u32::try_from(attempts.events.unsent).unwrap_or(u32::MAX);
            metrics::unsent_events(left);
        }
        summary.events = Some(attempts.events);
    }

    async fn send_page(&self, page: Vec<DeletionRef>, attempts: &mut Attempts, until: Instant) {
        let mut left = page.len() as u64;
        let sends = stream::iter(page).map(async |of| {
            let deadline = until.min(Instant::now() + LONGEST);
            let sent = self.deletions.send_unsent(&of, deadline).await;
            (of, sent)
        });
        let mut sends = std::pin::pin!(sends.buffered(AT_ONCE));
        while !attempts.is_closed
            && Instant::now() < until
            && let Some((of, sent)) = sends.next().await
        {
            left -= 1;
            attempts.note(&of, sent);
        }
        attempts.events.unsent += left;
    }
}

impl Attempts {
    fn note(&mut self, of: &DeletionRef, sent: Result<bool, NotSent>) {
        let why = match sent {
            Ok(was_there) => {
                self.unanswered = 0;
                self.events.sent += u64::from(was_there);
                return;
            }
            Err(why) => why,
        };
        log_not_sent(of, &why);
        self.events.unsent += 1;
        match why {
            // Of this event alone.
            NotSent::Bus(EventError::Refused(_)) | NotSent::Table(TableError::Corrupt { .. }) => {
                self.unanswered = 0;
            }
            NotSent::Bus(EventError::NoAccess(_)) => self.is_closed = true,
            NotSent::Bus(EventError::NoAnswer(_)) | NotSent::Table(_) => {
                self.unanswered += 1;
                self.is_closed = self.unanswered == MOST_UNANSWERED;
            }
        }
    }
}

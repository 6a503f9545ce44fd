//! A worker's hold of a deletion: its random owner id, the record as it last
//! saw it, and the writes that the version fences. A hold has one record write
//! outstanding at a time. Once a write shows that somebody else has written,
//! the hold is lost and its worker stops.

use std::{num::NonZeroU32, pin::pin, time::Duration};

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::beside::beside;
use crate::{
    clock::{now_ms, now_rfc3339, now_seconds},
    config::DeletionSettings,
    record::{Progress, Record, Requester},
    table::{Change, Completion, FinishAnswer, Table, TableError, WriteAnswer},
};

/// A deletion in the hands of this worker.
#[derive(Debug)]
pub(super) struct Hold<'a> {
    table: &'a Table,
    settings: &'a DeletionSettings,
    owner: String,
    record: Record,
    /// When the lease that the record shows was begun.
    lease_begun: Instant,
}

/// Why a worker does not write the record any more.
#[derive(Debug)]
pub(super) enum NotWritten {
    /// Somebody else has written the record; it is this now, or gone.
    Lost(Option<Box<Record>>),
    /// A write of the record has no answer, or a failure for one: it may still
    /// be applied, so the worker must not write again, not even to release.
    Unanswered(TableError),
}

/// Why a worker stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// It has no hold of the deletion any more, or cannot know.
    NotWritten(NotWritten),
    /// Work ended in a way that leaves the hold intact.
    Halted(Halt),
}

impl From<NotWritten> for Stop {
    fn from(why: NotWritten) -> Self {
        Self::NotWritten(why)
    }
}

/// Why work ended while the hold is intact.
#[derive(Debug)]
pub(super) struct Halt {
    /// How many deletes of counted items are not acknowledged.
    pub(super) unacknowledged: usize,
    /// What went wrong; `None` when the time to work was over.
    pub(super) cause: Option<TableError>,
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Self::Halted(halt)
    }
}

/// A random id for one hold.
pub(super) fn new_owner() -> String {
    Uuid::new_v4().to_string()
}

/// The end of a lease that begins now, epoch milliseconds.
pub(super) fn lease_end(lease: Duration) -> i64 {
    now_ms().saturating_add(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX))
}

impl<'a> Hold<'a> {
    /// The hold of the worker whose claim has put this record.
    pub(super) fn claimed(
        table: &'a Table,
        settings: &'a DeletionSettings,
        record: Record,
    ) -> Self {
        Self {
            table,
            settings,
            owner: record.owner.clone().unwrap_or_default(),
            record,
            lease_begun: Instant::now(),
        }
    }

    /// Takes a deletion over whose lease has ended. `Err(NotWritten::Lost)` when
    /// somebody else was first.
    pub(super) async fn take_over(
        table: &'a Table,
        settings: &'a DeletionSettings,
        seen: Record,
        deadline: Instant,
    ) -> Result<Self, NotWritten> {
        let mut hold = Self {
            table,
            settings,
            owner: new_owner(),
            record: seen,
            lease_begun: Instant::now(),
        };
        let lease_end = lease_end(settings.lease);
        hold.write(lease_end, Change::Lease, deadline).await?;
        Ok(hold)
    }

    /// The record as this worker last saw it.
    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// The most write units per second that this deletion may consume.
    pub(super) fn pace(&self) -> Option<NonZeroU32> {
        if self.record.requested_by == Requester::Retention {
            self.settings.retention_pace
        } else {
            self.settings.pace
        }
    }

    /// The record as this worker last saw it.
    pub(super) fn into_record(self) -> Record {
        self.record
    }

    /// Records progress: counts of what will be deleted next, and marks.
    pub(super) async fn count_ahead(
        &mut self,
        progress: Progress,
        deadline: Instant,
    ) -> Result<(), NotWritten> {
        let lease_end = lease_end(self.settings.lease);
        self.write(lease_end, Change::Progress(progress), deadline)
            .await
    }

    /// Waits for `work`, and renews the lease whenever a third of it has passed
    /// since it was begun. `work` goes on while a renewal is under way.
    pub(super) async fn keeping<F: Future>(
        &mut self,
        work: F,
        deadline: Instant,
    ) -> Result<F::Output, NotWritten> {
        let mut work = pin!(work);
        loop {
            let renew_at = self.lease_begun + self.settings.lease / 3;
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = sleep_until(renew_at) => {}
            }
            let lease_end = lease_end(self.settings.lease);
            let renewal = self.write(lease_end, Change::Lease, deadline);
            let (renewed, done) = beside(renewal, &mut work).await;
            renewed?;
            if let Some(done) = done {
                return Ok(done);
            }
        }
    }

    /// Gives the deletion back, so that anybody may go on at once.
    pub(super) async fn release(
        &mut self,
        progress: Progress,
        deadline: Instant,
    ) -> Result<(), NotWritten> {
        self.write(now_ms(), Change::Progress(progress), deadline)
            .await
    }

    /// Deletes the campaign item and marks the record succeeded. If the
    /// campaign item is another's now, the record is finished without it.
    pub(super) async fn finish(&mut self, deadline: Instant) -> Result<(), NotWritten> {
        let completion = self.completion();
        let token = Uuid::new_v4().to_string();
        let answer = self
            .table
            .finish(&self.record, &self.owner, &completion, &token, deadline)
            .await
            .map_err(NotWritten::Unanswered)?;
        match answer {
            FinishAnswer::Record(answer) => self.take(answer),
            FinishAnswer::CampaignReplaced => {
                tracing::error!(
                    deletion_id = %self.record.deletion_id,
                    campaign_id = %self.record.campaign_id,
                    "a writer without a fence has replaced campaign {} while it was deleted: its \
                     item stays, everything else is gone",
                    self.record.campaign_id,
                );
                let lease_end = self.record.lease_until_ms;
                self.write(lease_end, Change::FinishReplaced(completion), deadline)
                    .await
            }
        }
    }

    /// The completion of this deletion, now.
    fn completion(&self) -> Completion {
        let kept = self.settings.audit_retention;
        let kept = kept.map(|kept| i64::try_from(kept.as_secs()).unwrap_or(i64::MAX));
        Completion {
            completed_at: now_rfc3339(),
            ttl_at: kept.map(|kept| now_seconds().saturating_add(kept)),
        }
    }

    async fn write(
        &mut self,
        lease_until_ms: i64,
        change: Change,
        deadline: Instant,
    ) -> Result<(), NotWritten> {
        let begun = Instant::now();
        let answer = self
            .table
            .write_record(&self.record, &self.owner, lease_until_ms, change, deadline)
            .await
            .map_err(NotWritten::Unanswered)?;
        self.take(answer)?;
        self.lease_begun = begun;
        Ok(())
    }

    fn take(&mut self, answer: WriteAnswer) -> Result<(), NotWritten> {
        match answer {
            WriteAnswer::Written(record) => {
                self.record = *record;
                Ok(())
            }
            WriteAnswer::Lost(record) => Err(NotWritten::Lost(record)),
        }
    }
}

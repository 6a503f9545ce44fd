//! A worker's lease on a deletion: its random owner id, the record as it last saw
//! it, and the writes that the version fences. It has one record write outstanding
//! at a time. Once a write shows that another worker has written, the lease is lost
//! and its worker stops.

use std::{num::NonZeroU32, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{archiver::ArchivedSoFar, error::WorkError, paid_until::PaidUntil};
use crate::{
    archive::ArchiveError,
    clock::{now_ms, now_rfc3339, now_seconds},
    config::DeletionSettings,
    record::{Archived, Event, Progress, Record, Requester},
    table::{Change, Completion, FinishAnswer, Table, TableError, WriteAnswer, Written},
};

/// The lease of this worker on a deletion.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    table: &'a Table,
    settings: &'a DeletionSettings,
    owner: String,
    record: Record,
    /// When the lease that the record shows began.
    begun: Instant,
    /// The debt that every write of the record stores.
    paid_until: PaidUntil,
    /// What was archived, which every write of the record stores.
    archived: ArchivedSoFar,
}

/// A write of the record on its way, and when it began.
pub(super) type Writing<'a> = BoxFuture<'a, Result<(WriteAnswer, Instant), TableError>>;

/// Why a worker must not write the record any more.
#[derive(Debug)]
pub(super) enum NotWritten {
    /// Another worker has written the record; its current state, `None` if it is
    /// gone.
    Lost(Option<Box<Record>>),
    /// A write of the record was not answered, or failed: it may still be applied, so
    /// the worker must not write again, not even to release.
    Unanswered(TableError),
}

/// Why a worker stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// It has lost its lease, or cannot know whether it has.
    NotWritten(NotWritten),
    /// Its work ended; it still holds the lease.
    Halted(Halt),
}

impl From<NotWritten> for Stop {
    fn from(why: NotWritten) -> Self {
        Self::NotWritten(why)
    }
}

/// Why work ended while the worker still holds the lease.
#[derive(Debug)]
pub(super) struct Halt {
    /// How many deletes of counted items are unacknowledged.
    pub(super) unacknowledged: usize,
    /// The failure; `None` if the time to work was over.
    pub(super) cause: Option<WorkError>,
}

impl Halt {
    /// Work ended because its time was up.
    pub(super) fn out_of_time(unacknowledged: usize) -> Self {
        Self {
            unacknowledged,
            cause: None,
        }
    }

    /// Work ended with a failure of the table or the archive.
    pub(super) fn failed(unacknowledged: usize, error: impl Into<WorkError>) -> Self {
        Self {
            unacknowledged,
            cause: Some(error.into()),
        }
    }
}

impl Halt {
    /// Work ended since nothing more can be archived, or since there was no answer by the end
    /// of the time, which is no failure.
    pub(super) fn of_archive(error: ArchiveError, until: Instant) -> Self {
        match error {
            ArchiveError::NoAnswer(_) if Instant::now() >= until => Self::out_of_time(0),
            error => Self::failed(0, error),
        }
    }
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Self::Halted(halt)
    }
}

/// Which part of a finish was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finished {
    /// All of it.
    Whole,
    /// Nothing: another campaign item is in the place of this deletion's.
    CampaignReplaced,
}

/// Returns a random id for one lease.
pub(super) fn new_owner() -> String {
    Uuid::new_v4().to_string()
}

/// Returns the end of a lease that begins now, epoch milliseconds.
pub(super) fn lease_end(lease: Duration) -> i64 {
    now_ms().saturating_add(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX))
}

impl<'a> Lease<'a> {
    /// Returns the lease of the worker whose claim put this record.
    pub(super) fn claimed(
        table: &'a Table,
        settings: &'a DeletionSettings,
        record: Record,
    ) -> Self {
        Self {
            table,
            settings,
            owner: record.owner.clone().unwrap_or_default(),
            paid_until: PaidUntil::of(&record.progress),
            archived: ArchivedSoFar::of(&record),
            record,
            begun: Instant::now(),
        }
    }

    /// Takes over a deletion whose lease has ended; [`NotWritten::Lost`] if another
    /// worker was first.
    pub(super) async fn take_over(
        table: &'a Table,
        settings: &'a DeletionSettings,
        seen: Record,
        deadline: Instant,
    ) -> Result<Self, NotWritten> {
        let mut lease = Self {
            table,
            settings,
            owner: new_owner(),
            paid_until: PaidUntil::of(&seen.progress),
            archived: ArchivedSoFar::of(&seen),
            record: seen,
            begun: Instant::now(),
        };
        let lease_end = lease_end(settings.lease);
        lease.write(lease_end, Change::Lease, deadline).await?;
        Ok(lease)
    }

    /// Returns the record as this worker last saw it.
    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// Returns the debt that every write of the record stores.
    pub(super) fn paid_until(&self) -> PaidUntil {
        self.paid_until.clone()
    }

    /// Returns what was archived, which every write of the record stores.
    pub(super) fn archived(&self) -> ArchivedSoFar {
        self.archived.clone()
    }

    /// Awaits work that is no write of the record, and renews the lease meanwhile.
    pub(super) async fn renew_while<T>(
        &mut self,
        work: impl Future<Output = T>,
        deadline: Instant,
    ) -> Result<T, NotWritten> {
        let mut work = std::pin::pin!(work);
        loop {
            let done = timeout_at(self.renew_at(), work.as_mut()).await;
            if let Ok(done) = done {
                return Ok(done);
            }
            let renewed = self.renew(deadline).await;
            self.end(renewed)?;
        }
    }

    /// Returns the write units per second that this deletion may consume.
    pub(super) fn pace(&self) -> Option<NonZeroU32> {
        if self.record.requested_by == Requester::Retention {
            self.settings.retention_pace
        } else {
            self.settings.pace
        }
    }

    /// Returns the record as this worker last saw it.
    pub(super) fn into_record(self) -> Record {
        self.record
    }

    /// Returns when the lease has to be renewed: a third of it has passed.
    pub(super) fn renew_at(&self) -> Instant {
        self.begun + self.settings.lease / 3
    }

    /// Begins to record progress: counts of what will be deleted next, and marks.
    pub(super) fn count_ahead(&self, progress: Progress, deadline: Instant) -> Writing<'a> {
        self.begin(
            lease_end(self.settings.lease),
            Change::Progress(progress),
            deadline,
        )
    }

    /// Begins to renew the lease.
    pub(super) fn renew(&self, deadline: Instant) -> Writing<'a> {
        self.begin(lease_end(self.settings.lease), Change::Lease, deadline)
    }

    /// Releases the deletion, so that any worker may resume it at once.
    pub(super) async fn release(
        &mut self,
        progress: Progress,
        deadline: Instant,
    ) -> Result<(), NotWritten> {
        self.write(now_ms(), Change::Progress(progress), deadline)
            .await
    }

    /// Deletes the campaign item and marks the record succeeded. If another campaign
    /// item is in its place, the record is finished without it. Returns the event that
    /// announces it, if one is wanted: it is in the table until it is sent.
    pub(super) async fn finish(&mut self, deadline: Instant) -> Result<Option<Event>, NotWritten> {
        let mut completion = self.completion();
        if self.finish_with(&completion, deadline).await? == Finished::CampaignReplaced {
            tracing::error!(
                deletion_id = %self.record.deletion_id,
                campaign_id = %self.record.campaign_id,
                "an unfenced writer replaced campaign {} during its deletion: the new item \
                 stays, everything else was deleted",
                self.record.campaign_id,
            );
            completion.campaign_replaced = true;
            completion.event = self.event(&completion);
            if completion.event.is_some() {
                self.finish_with(&completion, deadline).await?;
            } else {
                let lease_end = self.record.lease_until_ms;
                let change = Change::FinishReplaced(completion.clone());
                self.write(lease_end, change, deadline).await?;
            }
        }
        Ok(completion.event)
    }

    /// Finishes in a transaction.
    async fn finish_with(
        &mut self,
        completion: &Completion,
        deadline: Instant,
    ) -> Result<Finished, NotWritten> {
        let token = Uuid::new_v4().to_string();
        let answer = self
            .table
            .finish(&self.record, &self.owner, completion, &token, deadline)
            .await
            .map_err(NotWritten::Unanswered)?;
        match answer {
            FinishAnswer::Record(answer) => self.take(answer).map(|()| Finished::Whole),
            FinishAnswer::CampaignReplaced => Ok(Finished::CampaignReplaced),
        }
    }

    /// Returns the completion of this deletion, now.
    fn completion(&self) -> Completion {
        let kept = self.settings.audit_retention;
        let kept = kept.map(|kept| i64::try_from(kept.as_secs()).unwrap_or(i64::MAX));
        let completion = Completion {
            completed_at: now_rfc3339(),
            archived: self.archived_now(),
            ttl_at: kept.map(|kept| now_seconds().saturating_add(kept)),
            campaign_replaced: false,
            event: None,
        };
        Completion {
            event: self.event(&completion),
            ..completion
        }
    }

    /// Returns the event that announces this completion, if one is wanted.
    fn event(&self, completion: &Completion) -> Option<Event> {
        self.settings.event_bus.as_ref()?;
        Event::of(&completion.record(&self.record))
    }

    fn archived_now(&self) -> Option<Archived> {
        self.record.archive.as_ref().map(|_| self.archived.get())
    }

    async fn write(
        &mut self,
        lease_until_ms: i64,
        change: Change,
        deadline: Instant,
    ) -> Result<(), NotWritten> {
        let written = self.begin(lease_until_ms, change, deadline).await;
        self.end(written)
    }

    /// Begins a write of the record, which goes on while the worker does something else. It
    /// must be awaited, and its answer given to [`Lease::end`], before the next one begins.
    fn begin(&self, lease_until_ms: i64, change: Change, deadline: Instant) -> Writing<'a> {
        let begun = Instant::now();
        let (table, seen, owner) = (self.table, self.record.clone(), self.owner.clone());
        let written = Written {
            lease_until_ms,
            paid_until_ms: self.paid_until.get(),
            archived: self.archived_now(),
            change,
        };
        Box::pin(async move {
            let answer = table.write_record(&seen, &owner, written, deadline).await;
            answer.map(|answer| (answer, begun))
        })
    }

    /// Notes the answer to a write of the record.
    pub(super) fn end(
        &mut self,
        answer: Result<(WriteAnswer, Instant), TableError>,
    ) -> Result<(), NotWritten> {
        let (answer, begun) = answer.map_err(NotWritten::Unanswered)?;
        self.take(answer)?;
        self.begun = begun;
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

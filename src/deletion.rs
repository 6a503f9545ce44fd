//! The use case that every trigger reaches: delete this campaign as far as the
//! budget allows, then report that it is complete or that something remains. It
//! is safe to call again, from anywhere, any number of times.
//!
//! The protocol: **claim** (mark the campaign and put the record, in one
//! transaction), **drain** (count each page ahead in the record, then delete
//! it), an **empty** read from the start, **finish** (delete the campaign item,
//! close the record and put its event, in one transaction). Every write of the record is
//! conditional on its version, so a worker that dies, is late or repeats itself
//! changes nothing, and each item is counted once.

mod announcement;
mod archiver;
mod budget;
mod claim;
mod deleter;
mod drain;
mod error;
mod hand_off;
mod lane;
mod lease;
mod outcome;
mod paid_until;
mod preview;
mod read_ahead;
mod request;
mod slice;
mod take_over;
#[cfg(feature = "cli")]
mod tally;
mod view;

use tokio::time::Instant;

pub(crate) use self::announcement::log_not_sent;
#[cfg(feature = "cli")]
pub use self::tally::{Tallied, Tally};
pub use self::{
    announcement::NotSent,
    budget::Budget,
    error::Error,
    hand_off::HandOff,
    outcome::{End, Outcome, SliceStats},
    preview::Preview,
    request::DeletionRequest,
    slice::Slice,
    view::DeletionView,
};
use self::{
    archiver::Archiver,
    claim::Claimant,
    deleter::Deleter,
    drain::Drain,
    error::WorkError,
    lease::{Halt, Lease, NotWritten, Stop},
    take_over::{Claimed, take_over},
};
use crate::{
    archive::ArchiveStore,
    campaign::Campaign,
    clock::now_seconds,
    config::DeletionSettings,
    events::EventBus,
    metrics,
    record::{DeletionRef, Record, RecordState},
    refusal::Refusal,
    table::{Table, TableError},
};

/// The use case, over one table.
#[derive(Clone, Debug)]
pub struct Deletions {
    table: Table,
    settings: DeletionSettings,
    hand_off: HandOff,
    archive: ArchiveStore,
    bus: EventBus,
    #[cfg(feature = "cli")]
    tally: Tally,
}

impl Deletions {
    /// Returns the use case over this table. What a worker leaves when its time is
    /// up goes to `hand_off`.
    #[must_use]
    pub fn new(table: Table, settings: DeletionSettings, hand_off: HandOff) -> Self {
        Self {
            table,
            settings,
            hand_off,
            archive: ArchiveStore::default(),
            bus: EventBus::default(),
            #[cfg(feature = "cli")]
            tally: Tally::default(),
        }
    }

    /// Returns the same use case, which archives in this store. Without one, a deletion that
    /// archives is not continued.
    #[must_use]
    pub fn archiving_in(self, archive: ArchiveStore) -> Self {
        Self { archive, ..self }
    }

    /// Deletes a campaign: claims it, or attaches to the deletion that has claimed
    /// it, and advances that. A request whose idempotency key is known gets the
    /// outcome of the earlier request's deletion. `found` reads the campaign.
    ///
    /// # Errors
    /// The refusals of the contract, and [`Error::Table`] before anything is
    /// known to be claimed. After the claim there are no errors, only
    /// [`End::Remaining`].
    pub async fn delete(
        &self,
        request: &DeletionRequest,
        found: impl Future<Output = Result<Option<Campaign>, TableError>>,
        budget: Budget,
    ) -> Result<Outcome, Error> {
        if let Some(replayed) = self.replay(request, budget).await? {
            return Ok(replayed);
        }
        let mut claimant =
            Claimant::new(&self.table, &self.archive, &self.settings, request, budget);
        match claimant.claim(found.await?).await {
            Ok(claimed) => {
                let outcome = self.work(claimed, budget).await;
                let replayed = claimant.replayed;
                Ok(Outcome {
                    replayed,
                    ..outcome
                })
            }
            // Another request with this key may have been first, and its deletion may be
            // why this one is refused.
            Err(Error::Refused(refusal)) => {
                let replayed = self.replay(request, budget).await?;
                replayed.ok_or(Error::Refused(refusal))
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the outcome of an earlier request with the same idempotency key, after
    /// resuming its deletion as far as the budget allows; `None` if there was no such
    /// request in the last 24 hours.
    async fn replay(
        &self,
        request: &DeletionRequest,
        budget: Budget,
    ) -> Result<Option<Outcome>, Error> {
        let Some(key) = &request.idempotency_key else {
            return Ok(None);
        };
        let account_id = request.account_id.clone();
        let key_use = self
            .table
            .key_use(&account_id, key, now_seconds(), budget.claim_until)
            .await;
        let key_use = match key_use {
            Ok(Some(key_use)) => key_use,
            Ok(None) => return Ok(None),
            // Another key has to be used, whatever this one was for.
            Err(error @ TableError::Corrupt { .. }) => {
                tracing::error!("refused an idempotency key: {error}");
                return Err(Refusal::IdempotencyKeyReused.into());
            }
            Err(error) => return Err(error.into()),
        };
        if key_use.campaign_id != request.campaign_id.as_str() {
            return Err(Refusal::IdempotencyKeyReused.into());
        }
        let of = DeletionRef {
            account_id,
            deletion_id: key_use.deletion_id,
        };
        let Some(outcome) = self.resume(&of, budget).await? else {
            // The key's item was written together with the record, which was removed since.
            let deadline = budget.claim_until;
            let DeletionRef {
                account_id,
                deletion_id,
            } = of;
            let removed = self
                .table
                .remove_key_use(&account_id, key, &deletion_id, deadline);
            removed.await?;
            return Ok(None);
        };
        Ok(Some(Outcome {
            replayed: true,
            ..outcome
        }))
    }

    /// Reads the record of a deletion.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn find(
        &self,
        of: &DeletionRef,
        deadline: Instant,
    ) -> Result<Option<Record>, TableError> {
        self.table
            .record(&of.account_id, &of.deletion_id, deadline)
            .await
    }

    /// Checks that a request for an archive can be met.
    ///
    /// # Errors
    /// [`Refusal::Validation`].
    pub fn check_archive(&self, request: &DeletionRequest) -> Result<(), Refusal> {
        if request.archive == Some(true) && self.settings.archive.is_none() {
            let why = "There is no archive here, so 'archive' cannot be true";
            return Err(Refusal::Validation(why.into()));
        }
        Ok(())
    }

    /// Returns whether what is left of a deletion can be handed off.
    #[must_use]
    pub fn can_hand_off(&self) -> bool {
        !matches!(self.hand_off, HandOff::None)
    }

    /// Advances a deletion, if no other worker holds its lease; `None` if it does not
    /// exist.
    ///
    /// # Errors
    /// [`TableError`] when the record cannot be read.
    pub async fn resume(
        &self,
        of: &DeletionRef,
        budget: Budget,
    ) -> Result<Option<Outcome>, TableError> {
        let record = self
            .table
            .record(&of.account_id, &of.deletion_id, budget.claim_until)
            .await?;
        let Some(record) = record else {
            return Ok(None);
        };
        Ok(
            match take_over(&self.table, &self.settings, record, budget).await {
                Ok(claimed) => Some(self.work(claimed, budget).await),
                Err(finished) => finished.map(|record| Outcome::of(*record, End::Complete)),
            },
        )
    }

    /// Works on a deletion whose lease this worker holds, and on no other.
    async fn work(&self, claimed: Claimed<'_>, budget: Budget) -> Outcome {
        match claimed {
            // Boxed: it is large, and every future that awaits it contains it.
            Claimed::Held(lease) => Box::pin(self.advance(*lease, budget)).await,
            Claimed::Attached(record) => Outcome::of(*record, End::Attached),
            Claimed::Unanswered(record) => {
                let end = self.hand_off(&record, budget).await;
                Outcome::of(*record, end)
            }
        }
    }

    /// Drains and finishes as far as the budget allows; releases the deletion
    /// and hands it off if something remains.
    async fn advance(&self, mut lease: Lease<'_>, budget: Budget) -> Outcome {
        let campaign = lease.record().campaign_id.clone();
        let paid_until = lease.paid_until();
        let mut deleter = Deleter::new(&self.table, campaign, lease.pace(), paid_until.clone());
        let archiver = Archiver::of(&self.archive, lease.record(), lease.archived());
        let mut drain = Drain::new(&self.table, &lease, archiver.clone(), budget);
        let drained = match archiver {
            None => drain.run(&mut lease, &mut deleter).await,
            Some(archiver) => {
                self.drain_archiving(&archiver, &mut drain, &mut lease, &mut deleter, budget)
                    .await
            }
        };
        let stats = drain.stats(&deleter);
        metrics::deletes(stats.deleted, stats.unprocessed, stats.consumed);
        #[cfg(feature = "cli")]
        self.tally.add(&lease.record().deletion_id, &stats);
        let paid_until_ms = paid_until.get();
        let written = match drained {
            Ok(()) => {
                let finished = lease.finish(budget.write_until).await;
                finished.map(|event| (End::Complete, event))
            }
            Err(Stop::NotWritten(not_written)) => Err(not_written),
            Err(Stop::Halted(halt)) => {
                log_halt(lease.record(), &halt);
                let progress = drain.progress(&lease);
                let released = lease.release(progress, budget.write_until).await;
                released.map(|()| (End::Remaining { handed_off: false }, None))
            }
        };
        let (record, end) = match written {
            Ok((End::Complete, event)) => {
                metrics::finished();
                if let Some(event) = event {
                    self.announce(&event, budget.answer_by).await;
                }
                (lease.into_record(), End::Complete)
            }
            Ok(_) => self.hand_off_from(lease, budget).await,
            Err(NotWritten::Lost(Some(now))) if now.state != RecordState::Running => {
                (*now, End::Complete)
            }
            Err(NotWritten::Lost(now)) => {
                log_stop(lease.record(), "another worker has taken it over");
                let record = now.map_or_else(|| lease.into_record(), |now| *now);
                (record, End::Attached)
            }
            Err(NotWritten::Unanswered(error)) => {
                let why = format!("a write of its record failed: {error}");
                log_stop(lease.record(), &why);
                self.hand_off_from(lease, budget).await
            }
        };
        Outcome {
            stats,
            paid_until_ms,
            ..Outcome::of(record, end)
        }
    }

    /// Drains a deletion that archives, and puts the manifest once nothing is left.
    async fn drain_archiving<'a>(
        &'a self,
        archiver: &Archiver,
        drain: &mut Drain<'a>,
        lease: &mut Lease<'a>,
        deleter: &mut Deleter<'_>,
        budget: Budget,
    ) -> Result<(), Stop> {
        drain.run(lease, deleter).await?;
        let record = lease.record().clone();
        let put = archiver.finish(self.table.name(), &record, budget.claim_until);
        let put = lease.renew_while(put, budget.write_until).await?;
        put.map_err(|error| Halt::of_archive(error, budget.claim_until))?;
        Ok(())
    }

    async fn hand_off_from(&self, lease: Lease<'_>, budget: Budget) -> (Record, End) {
        let record = lease.into_record();
        let end = self.hand_off(&record, budget).await;
        (record, end)
    }

    /// Hands a deletion off under the last version of its record that this worker
    /// wrote, which no other worker can have written. If it could write nothing, that is
    /// the version that it read: its writer handed off under the same name, so that
    /// starting it again has no effect. (If that execution has ended, the next DELETE or clean-up
    /// resumes the deletion.)
    async fn hand_off(&self, record: &Record, budget: Budget) -> End {
        let handed_off = self.hand_off.start(record, budget.answer_by).await;
        End::Remaining { handed_off }
    }
}

/// Logs how many deletes of counted items a slice leaves unacknowledged, and why
/// it stopped; nothing if its time was up and none is left.
fn log_halt(record: &Record, halt: &Halt) {
    let left = halt.unacknowledged;
    if matches!(halt.cause, Some(WorkError::Archive(_))) {
        metrics::archive_failed();
    }
    let why = match &halt.cause {
        Some(error) => error.to_string(),
        None if left == 0 => return,
        None => "its time was up".to_owned(),
    };
    tracing::warn!(
        deletion_id = %record.deletion_id,
        campaign_id = %record.campaign_id,
        unacknowledged = left,
        "deletion {} stopped with {left} deletes unacknowledged: {why}",
        record.deletion_id,
    );
}

fn log_stop(record: &Record, why: &str) {
    tracing::warn!(
        deletion_id = %record.deletion_id,
        campaign_id = %record.campaign_id,
        "deletion {} stops: {why}",
        record.deletion_id,
    );
}

//! The use case that every trigger reaches: delete this campaign as far as the
//! budget allows, then say what is done or that something remains. It is safe
//! to call again, from anywhere, any number of times.
//!
//! The protocol: **claim** (mark the campaign and put the record, in one
//! transaction), **drain** (count each page ahead in the record, then delete
//! it), an **empty** reading from the start, **finish** (delete the campaign
//! item and close the record, in one transaction). Every write of the record is
//! conditional on its version, so whoever dies, is late or repeats changes
//! nothing, and each item is counted once.

mod budget;
mod claim;
mod counts;
mod drain;
mod hold;
mod learnt;
mod pace;
mod preview;
mod reader;
mod record;
mod report;
mod window;

use tokio::time::Instant;

pub use self::{
    budget::Budget,
    counts::{CAMPAIGN_SORT_KEY, Counts},
    preview::Preview,
    record::{BY_CLI, BY_RETENTION, Progress, Record, RecordState, deletion_id},
    report::Report,
};
use self::{
    claim::{Claimed, GoneOn},
    drain::{Drain, Flow},
    hold::{Halt, Hold, NotWritten, Stop},
};
use crate::{
    campaign::{Campaign, CampaignId},
    config::DeletionSettings,
    error::Error,
    hand_off::{DeletionRef, HandOff},
    idempotency::IdempotencyKey,
    metric,
    table::{NewKeyUse, Table, TableError},
    timestamp::{now_ms, now_seconds},
};

/// Who wants which campaign deleted, and in which state.
#[derive(Clone, Debug)]
pub struct DeletionRequest {
    /// The account that the requester acts for.
    pub account_id: String,
    /// A key id, `retention`, or `cli`.
    pub requested_by: String,
    /// The etags of which one has to be the campaign's; `None` for any.
    pub if_match: Option<Vec<String>>,
    /// The key under which a repetition of the request is recognised.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Whether the campaign is deleted only if it still is what the requester
    /// found, instead of being checked again when it has changed.
    pub only_as_found: bool,
}

/// What an advance comes to.
#[derive(Debug)]
pub struct Outcome {
    /// The record as this worker left it, or as it has seen it last.
    pub record: Record,
    /// How far the deletion is.
    pub end: End,
    /// What this worker has done.
    pub work: Work,
}

/// How far a deletion is after an advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything is gone; the record is closed.
    Complete,
    /// There is more to do, and this worker has stopped.
    Remaining {
        /// Whether somebody was told to go on.
        handed_on: bool,
    },
    /// Another worker is at it.
    Attached,
}

/// What a worker has done in one advance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Whether anything was counted or deleted.
    pub moved: bool,
    /// How many deletes were acknowledged.
    pub deleted: u64,
    /// How many deletes had to be sent again: handed back, throttled or unanswered.
    pub sent_again: u64,
    /// Write units that the deletes have consumed, where DynamoDB has said so.
    pub consumed: f64,
}

/// What a request to delete comes to.
#[derive(Debug)]
pub struct Deleted {
    /// What its deletion comes to.
    pub outcome: Outcome,
    /// Whether that is the deletion of an earlier request with the same
    /// idempotency key.
    pub replayed: bool,
}

/// The use case, over one table.
#[derive(Clone, Debug)]
pub struct Deletions {
    table: Table,
    settings: DeletionSettings,
    hand_off: HandOff,
}

impl DeletionRequest {
    /// The use of its idempotency key, now.
    fn key_use(&self) -> Option<NewKeyUse> {
        self.idempotency_key.clone().map(|key| NewKeyUse {
            key,
            now: now_seconds(),
        })
    }

    /// The campaign, if there is one and it belongs to the requester's account.
    fn accessible(&self, found: Option<Campaign>) -> Result<Campaign, Error> {
        let campaign = found.ok_or(Error::CampaignNotFound)?;
        campaign.check_owner(&self.account_id)?;
        Ok(campaign)
    }

    /// Whether the campaign may be deleted, and is in the state that was named.
    fn check(&self, campaign: &Campaign) -> Result<(), Error> {
        campaign.check_deletable()?;
        match &self.if_match {
            Some(etags) if !etags.contains(&campaign.etag()) => Err(Error::PreconditionFailed),
            _ => Ok(()),
        }
    }
}

impl Deletions {
    /// The use case over this table. What a worker leaves when its time is over
    /// goes to `hand_off`.
    #[must_use]
    pub fn new(table: Table, settings: DeletionSettings, hand_off: HandOff) -> Self {
        Self {
            table,
            settings,
            hand_off,
        }
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Deletes the campaign `campaign_id`: claims it, or attaches to the deletion
    /// that has claimed it, and advances that. `found` is the campaign as the
    /// caller has read it.
    ///
    /// # Errors
    /// The refusals of the contract, and [`Error::Table`] before anything is
    /// known to be claimed. After the claim there are no errors, only
    /// [`End::Remaining`].
    pub async fn delete(
        &self,
        request: &DeletionRequest,
        campaign_id: &CampaignId,
        found: Option<Campaign>,
        budget: Budget,
    ) -> Result<Deleted, Error> {
        let claimed = claim::claim(&self.table, &self.settings, request, found, budget).await;
        let refusal = match claimed {
            Ok(claimed) => {
                return Ok(Deleted {
                    outcome: self.work(claimed, budget).await,
                    replayed: false,
                });
            }
            Err(error @ Error::Table(_)) => return Err(error),
            Err(refusal) => refusal,
        };
        // Another request with this key may have been first, and may have done
        // what this one is refused for.
        let replayed = self.replay(request, campaign_id, budget).await?;
        replayed.ok_or(refusal)
    }

    /// What an earlier request with the same idempotency key has come to, as far
    /// as the budget allows to go on with it; `None` if there was none in the
    /// last 24 hours.
    ///
    /// # Errors
    /// [`Error::IdempotencyKeyReused`] if that was for another campaign, and
    /// [`Error::Table`].
    pub async fn replay(
        &self,
        request: &DeletionRequest,
        campaign_id: &CampaignId,
        budget: Budget,
    ) -> Result<Option<Deleted>, Error> {
        let Some(key) = &request.idempotency_key else {
            return Ok(None);
        };
        let account_id = request.account_id.clone();
        let key_use = self
            .table
            .key_use(&account_id, key, now_seconds(), budget.claim_until)
            .await?;
        let Some(key_use) = key_use else {
            return Ok(None);
        };
        if key_use.campaign_id != campaign_id.as_str() {
            return Err(Error::IdempotencyKeyReused);
        }
        let of = DeletionRef {
            account_id,
            deletion_id: key_use.deletion_id,
        };
        let outcome = self.resume(&of, budget).await?;
        Ok(outcome.map(|outcome| Deleted {
            outcome,
            replayed: true,
        }))
    }

    /// The record of a deletion.
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

    /// Whether nobody is at a running deletion.
    #[must_use]
    pub fn is_stalled(&self, record: &Record) -> bool {
        record.is_stalled(self.settings.lease, now_ms())
    }

    /// Whether there is somebody who goes on with what is left of a deletion.
    #[must_use]
    pub fn hands_on(&self) -> bool {
        !matches!(self.hand_off, HandOff::None)
    }

    /// What a record says to its owner and to operators.
    #[must_use]
    pub fn report<'a>(&self, record: &'a Record) -> Report<'a> {
        Report::of(record, self.settings.lease, now_ms())
    }

    /// Advances the deletion of this id, if no other worker is at it; `None` if
    /// there is none.
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
        let gone_on = claim::go_on(&self.table, &self.settings, record, budget).await;
        Ok(match gone_on {
            GoneOn::Claimed(claimed) => Some(self.work(claimed, budget).await),
            GoneOn::Over(record) => record.map(|record| Outcome::of(*record, End::Complete)),
        })
    }

    /// Works on a deletion that this worker holds, and leaves it to who does.
    async fn work(&self, claimed: Claimed<'_>, budget: Budget) -> Outcome {
        match claimed {
            // Boxed, since it is large and everything that waits for it contains it.
            Claimed::Held(hold) => Box::pin(self.advance(*hold, budget)).await,
            Claimed::Attached(record) => Outcome::of(*record, End::Attached),
            Claimed::Unanswered(record) => {
                let end = self.hand_on(&record, budget).await;
                Outcome::of(*record, end)
            }
        }
    }

    /// Drains and finishes as far as the budget allows; releases the deletion
    /// and hands it on if something remains.
    async fn advance(&self, mut hold: Hold<'_>, budget: Budget) -> Outcome {
        let mut flow = Flow::new(hold.pace());
        let mut drain = Drain::new(&self.table, &hold, budget);
        let drained = drain.run(&mut hold, &mut flow).await;
        let work = drain.work(&flow);
        metric::worked(&work);
        let not_written = match drained {
            Ok(()) => hold.finish(budget.write_until).await.err(),
            Err(Stop::NotWritten(not_written)) => Some(not_written),
            Err(Stop::Halted(halt)) => {
                log_halt(hold.record(), &halt);
                let progress = drain.progress(&hold);
                match hold.release(progress, budget.write_until).await {
                    Ok(()) => {
                        let record = hold.into_record();
                        let end = self.hand_on(&record, budget).await;
                        return Outcome { record, end, work };
                    }
                    Err(not_released) => Some(not_released),
                }
            }
        };
        let (record, end) = match not_written {
            None => {
                metric::finished();
                (hold.into_record(), End::Complete)
            }
            Some(NotWritten::Lost(Some(now))) if now.state != RecordState::Running => {
                (*now, End::Complete)
            }
            Some(NotWritten::Lost(now)) => {
                log_stop(hold.record(), "another worker has taken it over");
                let record = now.map_or_else(|| hold.into_record(), |now| *now);
                (record, End::Attached)
            }
            Some(NotWritten::Unanswered(error)) => {
                log_stop(
                    hold.record(),
                    &format!("a write of its record failed: {error}"),
                );
                let record = hold.into_record();
                let end = self.hand_on(&record, budget).await;
                (record, end)
            }
        };
        Outcome { record, end, work }
    }

    /// Hands a deletion on under the version of its record that this worker wrote
    /// last, and which no other worker wrote; or, where it could write nothing,
    /// the one that it read: whose writer has handed it on under the same name,
    /// which is the same start. (If that execution has ended, the next DELETE
    /// or clean-up goes on.)
    async fn hand_on(&self, record: &Record, budget: Budget) -> End {
        let handed_on = self.hand_off.start(record, budget.answer_by).await;
        End::Remaining { handed_on }
    }
}

impl Outcome {
    /// An outcome for which nothing was done.
    fn of(record: Record, end: End) -> Self {
        let work = Work::default();
        Self { record, end, work }
    }
}

/// Says how many deletes of counted items a slice leaves unacknowledged, and
/// what has stopped it, unless it is just the time and nothing is left.
fn log_halt(record: &Record, halt: &Halt) {
    let left = halt.unacknowledged;
    let why = match &halt.cause {
        Some(error) => error.to_string(),
        None if left == 0 => return,
        None => "the time is over".to_owned(),
    };
    tracing::warn!(
        deletion_id = %record.deletion_id,
        campaign_id = %record.campaign_id,
        left_over = left,
        "deletion {} stops with {left} deletes unacknowledged: {why}",
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

//! The drain: passes over the partition, each key counted in the record before
//! it is deleted, until a reading from the start finds nothing but the campaign
//! item.

use std::{collections::VecDeque, pin::pin};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use super::{
    Budget, Progress,
    hold::{Halt, Hold, Stop, beside},
    reader::Reader,
    window::Window,
};
use crate::{
    campaign::CampaignId,
    table::{BATCH_SIZE, Backoff, Batch, Table, TableError},
};

/// The drain of one slice.
pub(super) struct Drain<'a> {
    table: &'a Table,
    campaign: CampaignId,
    budget: Budget,
    window: Window,
    /// In this pass, the last key up to which every delete is acknowledged.
    deleted_through: Option<String>,
    /// Whether the record is still at the pass before this one.
    begins_pass: bool,
}

impl<'a> Drain<'a> {
    /// A drain that goes on where the record stands.
    pub(super) fn new(table: &'a Table, hold: &Hold<'_>, budget: Budget) -> Self {
        Self {
            table,
            campaign: hold.record().campaign_id.clone(),
            budget,
            window: Window::new(),
            deleted_through: hold.record().progress.deleted_through.clone(),
            begins_pass: false,
        }
    }

    /// Passes over the partition until it is empty: one reading from the start
    /// that found nothing but the campaign item.
    pub(super) async fn run(&mut self, hold: &mut Hold<'_>) -> Result<(), Stop> {
        loop {
            let after = if self.begins_pass {
                None
            } else {
                self.deleted_through.clone()
            };
            let from_the_start = after.is_none();
            let found_something = self.pass(hold, after).await?;
            if from_the_start && !found_something {
                return Ok(());
            }
            self.begins_pass = true;
        }
    }

    /// The progress to leave behind when the hold is released.
    pub(super) fn progress(&self, hold: &Hold<'_>) -> Progress {
        let mut progress = hold.record().progress.clone();
        progress.deleted_through.clone_from(&self.deleted_through);
        progress
    }

    /// Reads on after `after` to the end of the partition and deletes what is
    /// there; whether there was anything. While one page is deleted, the next
    /// is counted ahead and the one after it is read.
    async fn pass(&mut self, hold: &mut Hold<'_>, after: Option<String>) -> Result<bool, Stop> {
        let Budget {
            work_until,
            answer_by,
        } = self.budget;
        if self.budget.work_is_over() {
            return Err(Halt::OutOfTime(0).into());
        }
        let mut reader = Reader::start(self.table, &self.campaign, after, work_until);
        let mut counted: Vec<String> = Vec::new();
        let mut found_something = false;
        loop {
            let next = hold
                .keeping(reader.next(), answer_by)
                .await?
                .map_err(|error| self.halt(error, counted.len()))?
                .map_or_else(Vec::new, |page| page.sort_keys);
            if next.is_empty() && counted.is_empty() {
                return Ok(found_something);
            }
            if self.budget.work_is_over() {
                return Err(Halt::OutOfTime(counted.len()).into());
            }
            found_something = true;
            let ahead = self.count(hold, &next);
            let last = counted.last().cloned();
            let mut deletes = pin!(delete_all(
                self.table,
                &self.campaign,
                counted,
                &mut self.window,
                work_until,
            ));
            let mut outcome = None;
            if let Some(progress) = ahead {
                let write = hold.count_ahead(progress, answer_by);
                let (written, done) = beside(write, &mut deletes).await;
                written?;
                outcome = done;
                if std::mem::take(&mut self.begins_pass) {
                    self.deleted_through = None;
                }
            }
            let outcome = match outcome {
                Some(outcome) => outcome,
                None => hold.keeping(deletes, answer_by).await?,
            };
            match outcome {
                Ok(()) => {}
                Err(Halt::OutOfTime(left)) => {
                    return Err(Halt::OutOfTime(left + next.len()).into());
                }
                Err(halt) => return Err(halt.into()),
            }
            if last.is_some() {
                self.deleted_through = last;
            }
            counted = next;
        }
    }

    /// The progress that counts these keys ahead, `None` if they are counted
    /// already.
    fn count(&self, hold: &Hold<'_>, sort_keys: &[String]) -> Option<Progress> {
        let recorded = &hold.record().progress;
        let mut progress = if self.begins_pass {
            recorded.next_pass()
        } else {
            let mut progress = recorded.clone();
            progress.deleted_through.clone_from(&self.deleted_through);
            progress
        };
        let counted_through = progress.counted_through.clone();
        progress.count_page(sort_keys);
        (progress.counted_through != counted_through).then_some(progress)
    }

    fn halt(&self, error: TableError, unacknowledged: usize) -> Halt {
        if self.budget.work_is_over() {
            Halt::OutOfTime(unacknowledged)
        } else {
            Halt::Failed(error)
        }
    }
}

/// Deletes these keys in batches, several at a time. What is handed back is
/// sent again after a backoff, until the time to work is over.
async fn delete_all(
    table: &Table,
    campaign: &CampaignId,
    sort_keys: Vec<String>,
    window: &mut Window,
    until: Instant,
) -> Result<(), Halt> {
    let mut waiting: VecDeque<Vec<String>> = sort_keys
        .chunks(BATCH_SIZE)
        .map(<[String]>::to_vec)
        .collect();
    let mut in_flight = FuturesUnordered::new();
    let mut unacknowledged = 0;
    loop {
        while in_flight.len() < window.size()
            && Instant::now() < until
            && let Some(batch) = waiting.pop_front()
        {
            in_flight.push(delete(
                table,
                campaign,
                batch,
                Backoff::default(),
                until,
                false,
            ));
        }
        let Some(answer) = in_flight.next().await else {
            break;
        };
        match answer.map_err(Halt::Failed)? {
            (Batch::Done, _) => window.went_through(),
            (Batch::Left(batch), backoff) if Instant::now() < until => {
                window.came_back(in_flight.len());
                in_flight.push(delete(table, campaign, batch, backoff, until, true));
            }
            (Batch::Left(batch), _) => unacknowledged += batch.len(),
        }
    }
    unacknowledged += waiting.iter().map(Vec::len).sum::<usize>();
    if unacknowledged > 0 {
        return Err(Halt::OutOfTime(unacknowledged));
    }
    Ok(())
}

/// Sends one batch; one that came back waits first.
async fn delete(
    table: &Table,
    campaign: &CampaignId,
    batch: Vec<String>,
    mut backoff: Backoff,
    until: Instant,
    came_back: bool,
) -> Result<(Batch, Backoff), TableError> {
    if came_back && !backoff.wait(until).await {
        tokio::time::sleep_until(until).await;
        return Ok((Batch::Left(batch), backoff));
    }
    Ok((table.delete_batch(campaign, batch, until).await?, backoff))
}

//! The drain: passes over the partition, each key counted in the record before
//! it is deleted, until a reading from the start finds nothing but the campaign
//! item.

use std::{collections::VecDeque, num::NonZeroU32, pin::pin};

use futures_util::{
    FutureExt,
    stream::{FuturesUnordered, StreamExt},
};
use tokio::time::{Instant, sleep_until};

use super::{
    Budget, SliceStats,
    beside::beside,
    hold::{Halt, Hold, Stop},
    pace::{Charge, Pace},
    reader::Reader,
    window::Window,
};
use crate::{
    campaign::CampaignId,
    record::Progress,
    table::{BATCH_SIZE, DeletesSent, Table, TableError},
};

/// How many deletes are sent at once, how fast, and what has become of them: it
/// lasts as long as a slice.
pub(super) struct Flow {
    window: Window,
    pace: Pace,
    stats: SliceStats,
}

impl Flow {
    /// A flow of at most this many write units per second.
    pub(super) fn new(pace: Option<NonZeroU32>) -> Self {
        Self {
            window: Window::default(),
            pace: Pace::new(pace),
            stats: SliceStats::default(),
        }
    }
}

/// The drain of one slice.
pub(super) struct Drain<'a> {
    table: &'a Table,
    campaign: CampaignId,
    budget: Budget,
    /// In this pass, the last key up to which every delete is acknowledged.
    deleted_through: Option<String>,
    /// Whether the record is still at the pass before this one.
    begins_pass: bool,
    /// Whether anything was counted or deleted.
    moved: bool,
}

impl<'a> Drain<'a> {
    /// A drain that goes on where the record stands.
    pub(super) fn new(table: &'a Table, hold: &Hold<'_>, budget: Budget) -> Self {
        Self {
            table,
            campaign: hold.record().campaign_id.clone(),
            budget,
            deleted_through: hold.record().progress.deleted_through.clone(),
            begins_pass: false,
            moved: false,
        }
    }

    /// What this drain has done, through this flow.
    pub(super) fn stats(&self, flow: &Flow) -> SliceStats {
        SliceStats {
            moved: self.moved,
            ..flow.stats
        }
    }

    /// Passes over the partition until it is empty: one reading from the start
    /// that found nothing but the campaign item.
    pub(super) async fn run(&mut self, hold: &mut Hold<'_>, flow: &mut Flow) -> Result<(), Stop> {
        loop {
            let after = if self.begins_pass {
                None
            } else {
                self.deleted_through.clone()
            };
            if self.budget.work_is_over() {
                return Err(out_of_time(0).into());
            }
            let from_the_start = after.is_none();
            let until = self.budget.work_until;
            let reader = Reader::start(self.table, &self.campaign, after, until);
            let found_something = self.pass(hold, reader, flow).await?;
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

    /// Reads to the end of the partition and deletes what is there; whether there was
    /// anything. While one page is deleted, the next is read and counted ahead, and
    /// the one after it is read.
    async fn pass(
        &mut self,
        hold: &mut Hold<'_>,
        mut reader: Reader,
        flow: &mut Flow,
    ) -> Result<bool, Stop> {
        let Budget {
            work_until,
            write_until,
            ..
        } = self.budget;
        let mut counted: Vec<String> = Vec::new();
        let mut pages = 0;
        let mut is_last = false;
        loop {
            let last = counted.last().cloned();
            let deleting = counted.len();
            if pages == 1 && is_last {
                flow.window.open_for_a_page();
            }
            let mut deletes = pin!(delete_all(
                self.table,
                &self.campaign,
                counted,
                flow,
                work_until,
            ));
            let reading = beside(reader.next(), &mut deletes);
            let (next, mut outcome) = hold.keeping(reading, write_until).await?;
            // Only a page that is counted is deleted, in the next round.
            let mut is_counted = false;
            if let Ok(Some(next)) = &next
                && !self.budget.work_is_over()
            {
                is_counted = true;
                if let Some(progress) = self.count(hold, &next.sort_keys) {
                    let write = hold.count_ahead(progress, write_until);
                    if outcome.is_some() {
                        write.await?;
                    } else {
                        let (written, done) = beside(write, &mut deletes).await;
                        written?;
                        outcome = done;
                    }
                    self.moved = true;
                    if std::mem::take(&mut self.begins_pass) {
                        self.deleted_through = None;
                    }
                }
            }
            let outcome = match outcome {
                Some(outcome) => outcome,
                None => hold.keeping(deletes, write_until).await?,
            };
            let left = outcome
                .as_ref()
                .map_or_else(|halt| halt.unacknowledged, |()| 0);
            self.moved |= left < deleting;
            if outcome.is_ok() && last.is_some() {
                self.deleted_through = last;
            }
            if let Ok(Some(page)) = &next {
                is_last = page.next.is_none();
            }
            let next = match (outcome, next) {
                (Ok(()), Ok(next)) => next.map(|page| page.sort_keys),
                (Ok(()), Err(error)) => return Err(halt(0, error).into()),
                (Err(halt), Ok(next)) => {
                    let ahead = next.filter(|_| is_counted);
                    let ahead = ahead.map_or(0, |page| page.sort_keys.len());
                    return Err(Halt {
                        unacknowledged: halt.unacknowledged + ahead,
                        ..halt
                    }
                    .into());
                }
                (Err(halt), Err(_)) => return Err(halt.into()),
            };
            match next {
                None => return Ok(pages > 0),
                Some(page) if is_counted => counted = page,
                Some(_) => return Err(out_of_time(0).into()),
            }
            pages += 1;
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
}

fn halt(unacknowledged: usize, error: TableError) -> Halt {
    Halt {
        unacknowledged,
        cause: Some(error),
    }
}

fn out_of_time(unacknowledged: usize) -> Halt {
    Halt {
        unacknowledged,
        cause: None,
    }
}

/// Deletes these keys in batches, several at a time and no faster than the pace.
/// What is handed back is sent again, until the time to work is over.
async fn delete_all(
    table: &Table,
    campaign: &CampaignId,
    sort_keys: Vec<String>,
    flow: &mut Flow,
    until: Instant,
) -> Result<(), Halt> {
    let Flow {
        window,
        pace,
        stats,
    } = flow;
    let mut unacknowledged = sort_keys.len();
    let mut waiting = VecDeque::from(sort_keys);
    let mut in_flight = FuturesUnordered::new();
    loop {
        // Whether the pace, and nothing else, keeps the next batch back.
        let mut next_at = None;
        while window.is_open(in_flight.len()) && Instant::now() < until && !waiting.is_empty() {
            next_at = pace.next_at().map(|at| at.min(until));
            if next_at.is_some() {
                break;
            }
            let batch: Vec<String> = waiting.drain(..BATCH_SIZE.min(waiting.len())).collect();
            let charge = pace.charge(batch.len());
            window.sent();
            in_flight.push(send(table, campaign, batch, charge, until));
        }
        let answer = tokio::select! {
            biased;
            Some(answer) = in_flight.next() => answer,
            () = sleep_until(next_at.unwrap_or(until)), if next_at.is_some() => continue,
            else => {
                return if unacknowledged == 0 {
                    Ok(())
                } else {
                    Err(out_of_time(unacknowledged))
                };
            }
        };
        // All that have answered by now: what one was told counts for the next.
        for answer in std::iter::once(answer).chain(ready(&mut in_flight)) {
            let Sent {
                size,
                charge,
                answer,
            } = answer.map_err(|error| halt(unacknowledged, error))?;
            let deleted = size.saturating_sub(answer.unprocessed.len());
            unacknowledged -= deleted;
            stats.deleted += deleted as u64;
            stats.unprocessed += answer.unprocessed.len() as u64;
            if let Some(consumed) = answer.consumed {
                stats.consumed += consumed;
                pace.settle(charge, size, deleted, consumed);
            }
            if answer.unprocessed.is_empty() {
                window.went_through();
                pace.went_through();
            } else {
                if answer.is_answered {
                    window.came_back();
                    pace.came_back();
                } else {
                    window.had_no_answer(in_flight.len());
                    pace.had_no_answer();
                }
                for key in answer.unprocessed.into_iter().rev() {
                    waiting.push_front(key);
                }
            }
        }
    }
}

/// The batches that have answered already.
fn ready<F: Future>(in_flight: &mut FuturesUnordered<F>) -> Vec<F::Output> {
    let next = || in_flight.next().now_or_never().flatten();
    std::iter::from_fn(next).collect()
}

/// A batch that was sent.
struct Sent {
    size: usize,
    charge: Charge,
    answer: DeletesSent,
}

async fn send(
    table: &Table,
    campaign: &CampaignId,
    batch: Vec<String>,
    charge: Charge,
    until: Instant,
) -> Result<Sent, TableError> {
    let size = batch.len();
    let answer = table.delete_batch(campaign, batch, until).await?;
    Ok(Sent {
        size,
        charge,
        answer,
    })
}

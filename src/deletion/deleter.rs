//! Deletes keys in batches, several at a time. Three things bound it: the limit of
//! batches in flight, the pacer, and the rate that the table was found to take. It
//! lasts as long as a slice.

mod adaptive_rate;
mod concurrency;
mod pacer;
#[cfg(test)]
mod simulation;

use std::{collections::VecDeque, num::NonZeroU32};

use futures_util::{
    FutureExt,
    stream::{FuturesUnordered, StreamExt},
};
use tokio::time::{Instant, sleep_until};

use self::{
    concurrency::ConcurrencyLimit,
    pacer::{Charge, Pacer},
};
use super::{SliceStats, lease::Halt, paid_until::PaidUntil};
use crate::{
    campaign::CampaignId,
    table::{DeletesSent, Table, TableError},
};

/// The deletes of one slice.
pub(super) struct Deleter<'a> {
    table: &'a Table,
    campaign: CampaignId,
    limit: ConcurrencyLimit,
    pacer: Pacer,
    stats: SliceStats,
    paid_until: PaidUntil,
}

/// A batch that was sent.
struct Sent {
    size: usize,
    charge: Charge,
    answer: DeletesSent,
}

impl<'a> Deleter<'a> {
    /// Returns a deleter of a campaign's children that consumes at most `pace` write
    /// units per second, beginning when what earlier workers consumed is paid for.
    pub(super) fn new(
        table: &'a Table,
        campaign: CampaignId,
        pace: Option<NonZeroU32>,
        paid_until: PaidUntil,
    ) -> Self {
        Self {
            table,
            campaign,
            limit: ConcurrencyLimit::default(),
            pacer: Pacer::owing(pace, paid_until.debt()),
            stats: SliceStats::default(),
            paid_until,
        }
    }

    /// Returns what was deleted so far.
    pub(super) fn stats(&self) -> SliceStats {
        self.stats
    }

    /// Notes that everything that is left to delete is one page.
    pub(super) fn open_for_a_page(&mut self) {
        self.limit.open_for_a_page();
    }

    /// Deletes these keys. Unprocessed deletes are sent again until `until`.
    ///
    /// # Errors
    /// [`Halt`] with the number of deletes that are not acknowledged.
    pub(super) async fn delete(
        &mut self,
        sort_keys: Vec<String>,
        until: Instant,
    ) -> Result<(), Halt> {
        let (table, campaign) = (self.table, self.campaign.clone());
        let mut unacknowledged = sort_keys.len();
        let mut waiting = VecDeque::from(sort_keys);
        let mut in_flight = FuturesUnordered::new();
        loop {
            // Set if the pacer, and nothing else, holds the next batch back.
            let mut next_at = None;
            while let Some((batch, charge)) =
                self.next_batch(&mut waiting, in_flight.len(), until, &mut next_at)
            {
                in_flight.push(send(table, &campaign, batch, charge, until));
            }
            let answer = tokio::select! {
                biased;
                Some(answer) = in_flight.next() => answer,
                () = sleep_until(next_at.unwrap_or(until)), if next_at.is_some() => continue,
                else => {
                    return match unacknowledged {
                        0 => Ok(()),
                        left => Err(Halt::out_of_time(left)),
                    };
                }
            };
            // All that have been answered by now: what one shows counts for the next.
            for answer in std::iter::once(answer).chain(ready(&mut in_flight)) {
                let sent = answer.map_err(|error| Halt::failed(unacknowledged, error))?;
                unacknowledged -= sent.deleted();
                let unprocessed = self.settle(sent, in_flight.len());
                for key in unprocessed.into_iter().rev() {
                    waiting.push_front(key);
                }
            }
        }
    }

    /// Takes the next batch to send now, if there is one; otherwise `next_at` is when
    /// the pacer allows it, if that is all that holds it back.
    fn next_batch(
        &mut self,
        waiting: &mut VecDeque<String>,
        in_flight: usize,
        until: Instant,
        next_at: &mut Option<Instant>,
    ) -> Option<(Vec<String>, Charge)> {
        if !self.limit.is_open(in_flight) || Instant::now() >= until || waiting.is_empty() {
            return None;
        }
        *next_at = self.pacer.next_at().map(|at| at.min(until));
        if next_at.is_some() {
            return None;
        }
        let size = self.pacer.batch_size(in_flight);
        if size == 0 {
            return None;
        }
        let batch: Vec<String> = waiting.drain(..size.min(waiting.len())).collect();
        let charge = self.pacer.charge(batch.len());
        self.limit.sent();
        self.paid_until.set(self.pacer.debt());
        Some((batch, charge))
    }

    /// Notes the answer to a batch, and returns its unprocessed keys.
    fn settle(&mut self, sent: Sent, in_flight: usize) -> Vec<String> {
        let deleted = sent.deleted();
        let Sent {
            size,
            charge,
            answer,
        } = sent;
        self.stats.deleted += deleted as u64;
        self.stats.unprocessed += answer.unprocessed.len() as u64;
        if let Some(consumed) = answer.consumed {
            self.stats.consumed += consumed;
            self.pacer.settle(charge, size, deleted, consumed);
            self.paid_until.set(self.pacer.debt());
        }
        if answer.unprocessed.is_empty() {
            self.limit.succeeded();
            self.pacer.succeeded();
        } else if answer.is_answered {
            self.limit.throttled();
            self.pacer.throttled();
        } else {
            self.limit.unanswered(in_flight);
            self.pacer.unanswered();
        }
        answer.unprocessed
    }
}

impl Sent {
    /// Returns how many of its deletes were acknowledged.
    fn deleted(&self) -> usize {
        self.size.saturating_sub(self.answer.unprocessed.len())
    }
}

/// Returns the batches that have been answered already.
fn ready<F: Future>(in_flight: &mut FuturesUnordered<F>) -> Vec<F::Output> {
    let next = || in_flight.next().now_or_never().flatten();
    std::iter::from_fn(next).collect()
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

//! Sends the deletes of all lanes, in batches, several at a time. Three things bound it: the
//! limit of batches in flight, the pacer, and the rate that the table was found to take. It
//! lasts as long as a slice.

mod adaptive_rate;
mod concurrency;
mod pacer;
#[cfg(test)]
mod simulation;

use std::num::NonZeroU32;

use futures_util::{
    FutureExt,
    future::BoxFuture,
    stream::{FuturesUnordered, StreamExt},
};
use tokio::time::{Duration, Instant};

use self::{
    concurrency::ConcurrencyLimit,
    pacer::{Charge, Pacer},
};
use super::{SliceStats, lane::Lane, paid_until::PaidUntil};
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
    in_flight: FuturesUnordered<BoxFuture<'a, Result<Sent, TableError>>>,
    stats: SliceStats,
    paid_until: PaidUntil,
    /// Whether there are several lanes, before it is known what rate the table takes.
    expects_more: bool,
}

/// A batch that was sent and answered.
pub(super) struct Sent {
    /// The lane's id.
    lane: usize,
    sort_keys: Vec<String>,
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
            in_flight: FuturesUnordered::new(),
            stats: SliceStats::default(),
            paid_until,
            expects_more: false,
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

    /// Returns whether the table was found to take no more.
    pub(super) fn feels_a_ceiling(&self) -> bool {
        self.pacer.is_adaptive()
    }

    /// Notes that there are twice as many lanes as before, or several from the start.
    pub(super) fn expect_more(&mut self) {
        self.expects_more = !self.feels_a_ceiling();
        self.pacer.expect_more();
    }

    /// Returns how many deletes can be sent in this time; infinite if nothing bounds them.
    pub(super) fn deletes_within(&self, time: Duration) -> f64 {
        self.pacer.deletes_within(time)
    }

    /// Returns whether batches are in flight.
    pub(super) fn is_busy(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Sends what may be sent now, each lane in proportion to what is left in it. Returns when
    /// the pacer allows the next batch, if it is all that holds one back. Each batch is given
    /// up at `until`.
    pub(super) fn send(&mut self, lanes: &mut [Lane], until: Instant) -> Option<Instant> {
        loop {
            let in_flight = self.in_flight.len();
            let at = next_lane(lanes)?;
            if !self.limit.is_open(in_flight) || Instant::now() >= until {
                return None;
            }
            if let Some(next_at) = self.pacer.next_at() {
                return Some(next_at);
            }
            let size = self.pacer.batch_size(in_flight);
            if size == 0 {
                return None;
            }
            share_a_batch(lanes, at);
            let lane = lanes.get_mut(at)?;
            let batch = lane.take(size);
            let charge = self.pacer.charge(batch.len());
            self.limit.sent();
            self.paid_until.set(self.pacer.debt());
            let sending = send(
                self.table,
                self.campaign.clone(),
                lane.id(),
                batch,
                charge,
                until,
            );
            self.in_flight.push(Box::pin(sending));
        }
    }

    /// Returns the batches that are answered by now: what they show applies to the next one.
    /// (Nothing is lost if it is not awaited to its end.)
    pub(super) async fn answers(&mut self) -> Vec<Result<Sent, TableError>> {
        let Some(first) = self.in_flight.next().await else {
            return Vec::new();
        };
        let next = || self.in_flight.next().now_or_never().flatten();
        std::iter::once(first)
            .chain(std::iter::from_fn(next))
            .collect()
    }

    /// Notes the answer to a batch, here and in its lane.
    pub(super) fn settle(&mut self, sent: Sent, lanes: &mut [Lane]) {
        let (size, deleted) = (sent.sort_keys.len(), sent.deleted());
        let Sent {
            lane,
            sort_keys,
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
            if std::mem::take(&mut self.expects_more) {
                self.pacer.expect_more();
            }
        } else {
            self.limit.unanswered(self.in_flight.len());
            self.pacer.unanswered();
        }
        if let Some(lane) = lanes.iter_mut().find(|other| other.id() == lane) {
            lane.answered(&sort_keys, answer.unprocessed);
        }
    }
}

impl Sent {
    /// Returns how many of its deletes were acknowledged.
    fn deleted(&self) -> usize {
        let unprocessed = self.answer.unprocessed.len();
        self.sort_keys.len().saturating_sub(unprocessed)
    }
}

/// Returns the lane whose turn it is: of those that have something to send, the one that is
/// owed most.
fn next_lane(lanes: &[Lane]) -> Option<usize> {
    let waiting = lanes
        .iter()
        .enumerate()
        .filter(|(_, lane)| lane.has_waiting());
    let next = waiting.max_by(|(_, a), (_, b)| a.credit().total_cmp(&b.credit()));
    next.map(|(at, _)| at)
}

/// Gives each lane its share of a batch, which this one sends. Where it is not known how much is
/// left, it is taken to be as much as in the others.
#[expect(clippy::cast_precision_loss, reason = "there are a few lanes at most")]
fn share_a_batch(lanes: &mut [Lane], sender: usize) {
    let known: Vec<f64> = lanes.iter().filter_map(Lane::left).collect();
    let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
    let left = |lane: &Lane| lane.left().unwrap_or(mean).max(1.0);
    let total: f64 = lanes.iter().map(left).sum();
    for (at, lane) in lanes.iter_mut().enumerate() {
        let share = left(lane) / total;
        lane.add_credit(if at == sender { share - 1.0 } else { share });
    }
}

async fn send(
    table: &Table,
    campaign: CampaignId,
    lane: usize,
    sort_keys: Vec<String>,
    charge: Charge,
    until: Instant,
) -> Result<Sent, TableError> {
    let batch = sort_keys.clone();
    let answer = table.delete_batch(&campaign, batch, until).await?;
    Ok(Sent {
        lane,
        sort_keys,
        charge,
        answer,
    })
}

//! The drain: passes over the partition, each key counted in the record before
//! it is deleted, until a read from the start finds nothing but the campaign item.
//!
//! A pass begins as one lane, which is the whole partition. When the table takes no more
//! in it, it is split into several (`splits.rs`), which share the lease, the one write
//! of the record, and the pace.

mod border;
mod splits;

use futures_util::{
    future::OptionFuture,
    stream::{FuturesUnordered, StreamExt},
};
use tokio::time::{Instant, sleep_until};

use self::splits::{Looked, Splits};
use super::{
    Budget, SliceStats,
    archiver::Archiver,
    deleter::{Deleter, Sent},
    error::WorkError,
    lane::{self, Lane},
    lease::{Halt, Lease, Stop, Writing},
};
use crate::{
    campaign::CampaignId,
    record::{Progress, Range},
    table::{Table, TableError, WriteAnswer},
};

/// The drain of one slice.
pub(super) struct Drain<'a> {
    table: &'a Table,
    campaign: CampaignId,
    budget: Budget,
    archiver: Option<Archiver>,
    /// The ranges of this pass, in order.
    lanes: Vec<Lane>,
    /// How many lanes there were.
    lanes_begun: usize,
    splits: Splits<'a>,
    /// The whole partition with the marks of the pass before, as long as the record is
    /// still at that one.
    finished: Option<Range>,
    /// Whether this pass reads the partition from its start.
    from_the_start: bool,
    /// How many pages with children this pass has found.
    found: u64,
    /// Whether anything was counted.
    has_counted: bool,
}

/// What happens next.
enum Event {
    /// Batches are answered.
    Deleted(Vec<Result<Sent, TableError>>),
    /// A lane, by its id, has read its next page, or come to its end.
    Read(usize, Result<bool, WorkError>),
    /// The last key of a lane was looked for.
    Looked(Looked),
    /// The write of the record is answered.
    Written(Result<(WriteAnswer, Instant), TableError>),
    /// A batch may be sent, the lease has to be renewed, or the time is up.
    Due,
}

/// Why no more is deleted.
#[derive(Default)]
struct Failed {
    /// The pages that are counted are still deleted.
    reading: Option<WorkError>,
    deleting: Option<TableError>,
}

impl<'a> Drain<'a> {
    /// Returns a drain that continues where the record says.
    pub(super) fn new(
        table: &'a Table,
        lease: &Lease<'_>,
        archiver: Option<Archiver>,
        budget: Budget,
    ) -> Self {
        let mut drain = Self {
            table,
            campaign: lease.record().campaign_id.clone(),
            budget,
            archiver,
            lanes: Vec::new(),
            lanes_begun: 0,
            splits: Splits::default(),
            finished: None,
            from_the_start: false,
            found: 0,
            has_counted: false,
        };
        drain.begin(lease.record().progress.ranges.clone());
        drain
    }

    /// Begins to read these ranges.
    fn begin(&mut self, ranges: Vec<Range>) {
        self.from_the_start = matches!(&ranges[..], [whole] if whole.start().is_none());
        self.found = 0;
        self.splits = Splits::default();
        self.lanes.clear();
        for range in ranges {
            let lane = self.lane(range);
            self.lanes.push(lane);
        }
    }

    fn lane(&mut self, range: Range) -> Lane {
        self.lanes_begun += 1;
        let until = self.budget.work_until;
        let archiver = self.archiver.clone();
        let id = self.lanes_begun;
        Lane::start(id, range, self.table, &self.campaign, archiver, until)
    }

    /// Returns what this drain has done, through this deleter.
    pub(super) fn stats(&self, deleter: &Deleter<'_>) -> SliceStats {
        let stats = deleter.stats();
        SliceStats {
            moved: self.has_counted || stats.deleted > 0,
            ..stats
        }
    }

    /// Returns the progress to leave behind when the deletion is released.
    pub(super) fn progress(&self, lease: &Lease<'_>) -> Progress {
        let ranges = match &self.finished {
            Some(finished) => vec![finished.clone()],
            None => self.lanes.iter().map(|lane| lane.range().clone()).collect(),
        };
        Progress {
            ranges,
            ..lease.record().progress.clone()
        }
    }

    /// Passes over the partition until it is empty: one read from the start that
    /// found nothing but the campaign item.
    pub(super) async fn run(
        &mut self,
        lease: &mut Lease<'a>,
        deleter: &mut Deleter<'_>,
    ) -> Result<(), Stop> {
        // A takeover of several ranges: they may be on several partitions.
        if self.lanes.len() > 1 {
            deleter.expect_more();
        }
        loop {
            if self.budget.work_is_over() {
                return Err(Halt::out_of_time(0).into());
            }
            self.pass(lease, deleter).await?;
            if self.from_the_start && self.found == 0 {
                return Ok(());
            }
            let marks = self.lanes.pop().map(|lane| lane.range().clone());
            self.finished = self.finished.take().or(marks);
            self.begin(vec![Range::default()]);
        }
    }

    /// Reads to the end of each range and deletes what is there.
    async fn pass(&mut self, lease: &mut Lease<'a>, deleter: &mut Deleter<'_>) -> Result<(), Stop> {
        let mut writing: Option<Writing<'a>> = None;
        let mut failed = Failed::default();
        loop {
            self.join();
            let time = self.budget.work_until - Instant::now();
            lane::read_on(&mut self.lanes, deleter.deletes_within(time));
            let goes_on = self.goes_on(&failed);
            if goes_on && failed.reading.is_none() && writing.is_none() {
                self.split(deleter);
                writing = self.count_ahead(lease, deleter);
            }
            if writing.is_none() {
                if self.is_done() {
                    return Ok(());
                }
                if let Some(halt) = self.halt(&mut failed, deleter) {
                    return Err(halt.into());
                }
                if Instant::now() >= lease.renew_at() {
                    writing = Some(lease.renew(self.budget.write_until));
                }
            }
            let next_at = goes_on.then(|| deleter.send(&mut self.lanes, self.budget.work_until));
            let due = self.due(next_at.flatten(), writing.is_none(), lease);
            match self.next(deleter, &mut writing, due, &failed).await {
                Event::Deleted(answers) => self.settle(answers, deleter, &mut failed),
                Event::Read(lane, Ok(has_page)) => self.read(lane, has_page),
                Event::Read(_, Err(error)) => failed.reading = Some(error),
                Event::Looked(looked) => self.splits.looked(looked, self.found, &mut self.lanes),
                Event::Written(answer) => {
                    writing = None;
                    lease.end(answer)?;
                    self.counted();
                }
                Event::Due => {}
            }
        }
    }

    /// Returns whether deletes may be sent.
    fn goes_on(&self, failed: &Failed) -> bool {
        failed.deleting.is_none() && !self.budget.work_is_over()
    }

    /// Returns whether everything that was found is deleted, to the end of the partition.
    fn is_done(&self) -> bool {
        self.lanes.iter().all(Lane::is_done)
    }

    /// Returns why the pass ends before its end, once it does: when nothing is in flight any
    /// more, or at once when a delete has failed, since what is in flight is counted already.
    fn halt(&self, failed: &mut Failed, deleter: &Deleter<'_>) -> Option<Halt> {
        let unacknowledged = self.lanes.iter().map(Lane::unacknowledged).sum();
        if let Some(error) = failed.deleting.take() {
            return Some(Halt::failed(unacknowledged, error));
        }
        let is_over = self.budget.work_is_over() && !deleter.is_busy();
        let is_read = failed.reading.is_some() && unacknowledged == 0;
        if is_read && let Some(error) = failed.reading.take() {
            return Some(match error {
                WorkError::Archive(error) => Halt::of_archive(error, self.budget.work_until),
                error @ WorkError::Table(_) => Halt::failed(0, error),
            });
        }
        is_over.then(|| Halt::out_of_time(unacknowledged))
    }

    /// Returns when there is something to do without any answer: the next batch is due,
    /// the lease, or the end of the work.
    fn due(&self, next_at: Option<Instant>, may_renew: bool, lease: &Lease<'_>) -> Option<Instant> {
        let renew_at = may_renew.then(|| lease.renew_at());
        let end = (!self.budget.work_is_over()).then_some(self.budget.work_until);
        [next_at, renew_at, end].into_iter().flatten().min()
    }

    /// Awaits what happens next.
    async fn next(
        &mut self,
        deleter: &mut Deleter<'_>,
        writing: &mut Option<Writing<'a>>,
        due: Option<Instant>,
        failed: &Failed,
    ) -> Event {
        let reads = failed.reading.is_none();
        let lanes = self.lanes.iter_mut();
        let mut reading: FuturesUnordered<_> = lanes
            .filter(|lane| reads && lane.wants_a_page())
            .map(Lane::read)
            .collect();
        tokio::select! {
            biased;
            answers = deleter.answers(), if deleter.is_busy() => Event::Deleted(answers),
            Some(answer) = OptionFuture::from(writing.as_mut()) => Event::Written(answer),
            Some((lane, read)) = reading.next() => Event::Read(lane, read),
            Some(looked) = self.splits.look() => Event::Looked(looked),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Event::Due,
            else => Event::Due,
        }
    }

    /// Notes that a lane has read a page, or come to its end.
    fn read(&mut self, lane: usize, has_page: bool) {
        self.found += u64::from(has_page);
        if let Some(lane) = self.lanes.iter_mut().find(|other| other.id() == lane) {
            self.splits.read(lane);
        }
    }

    /// Notes answers to batches.
    fn settle(
        &mut self,
        answers: Vec<Result<Sent, TableError>>,
        deleter: &mut Deleter<'_>,
        failed: &mut Failed,
    ) {
        for answer in answers {
            match answer {
                Ok(sent) => deleter.settle(sent, &mut self.lanes),
                Err(error) => _ = failed.deleting.get_or_insert(error),
            }
        }
    }

    /// Begins to count in the record what every lane has read, and lets be deleted what is
    /// counted already. `None` if there is nothing to count.
    fn count_ahead(&mut self, lease: &Lease<'a>, deleter: &mut Deleter<'_>) -> Option<Writing<'a>> {
        let may_count = |lane: &Lane| lane.page_to_count().is_some();
        if !self.lanes.iter().any(may_count) {
            return None;
        }
        if self.found == 1 && matches!(&self.lanes[..], [only] if only.is_read()) {
            deleter.open_for_a_page();
        }
        let mut progress = self.progress(lease);
        if self.finished.is_some() {
            progress.pass += 1;
            progress.ranges = vec![Range::default(); self.lanes.len()];
        }
        let mut counts = false;
        for (lane, range) in self.lanes.iter_mut().zip(&mut progress.ranges) {
            range.clone_from(lane.range());
            let Some(page) = lane.page_to_count() else {
                continue;
            };
            let is_counted = page.last().is_some_and(|last| range.has_counted(last));
            if is_counted {
                lane.open();
                continue;
            }
            range.count_page(page, &mut progress.counted);
            lane.count();
            counts = true;
        }
        counts.then(|| lease.count_ahead(progress, self.budget.write_until))
    }

    /// Notes that a write of the record was applied.
    fn counted(&mut self) {
        if self.lanes.iter().any(Lane::is_counting) {
            self.has_counted = true;
            self.finished = None;
        }
        self.lanes.iter_mut().for_each(Lane::counted);
    }

    /// Makes each range that is done a part of the one behind it.
    fn join(&mut self) {
        while let Some(at) = self.lanes.iter().position(Lane::is_done)
            && at + 1 < self.lanes.len()
        {
            let done = self.lanes.remove(at);
            if let Some(next) = self.lanes.get_mut(at) {
                next.take_in(&done);
            }
        }
    }

    /// Splits a range, if that is worth it, or finds out where.
    fn split(&mut self, deleter: &mut Deleter<'_>) {
        if !deleter.feels_a_ceiling() {
            return;
        }
        while let Some((at, border)) =
            self.splits
                .next(&self.lanes, self.found, self.table, &self.campaign)
        {
            let first = self.lanes.get_mut(at);
            let Some(second) = first.and_then(|first| first.split_off(border.clone())) else {
                return;
            };
            let mut second = self.lane(second);
            if let Some(first) = self.lanes.get_mut(at) {
                self.splits.cut(first, &mut second, border);
            }
            self.lanes.insert(at + 1, second);
            self.from_the_start = false;
            if self.lanes.len().is_power_of_two() {
                deleter.expect_more();
            }
        }
    }
}

//! The drain: passes over the partition, each key counted in the record before
//! it is deleted, until a read from the start finds nothing but the campaign item.

use std::pin::{Pin, pin};

use futures_util::future::{Either, MaybeDone, maybe_done, select};

use super::{
    Budget, SliceStats,
    deleter::Deleter,
    lease::{Halt, Lease, NotWritten, Stop},
    read_ahead::ReadAhead,
};
use crate::{
    campaign::CampaignId,
    record::Progress,
    table::{Page, Table, TableError},
};

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
    /// Returns a drain that continues where the record says.
    pub(super) fn new(table: &'a Table, lease: &Lease<'_>, budget: Budget) -> Self {
        Self {
            table,
            campaign: lease.record().campaign_id.clone(),
            budget,
            deleted_through: lease.record().progress.deleted_through.clone(),
            begins_pass: false,
            moved: false,
        }
    }

    /// Returns what this drain has done, through this deleter.
    pub(super) fn stats(&self, deleter: &Deleter<'_>) -> SliceStats {
        SliceStats {
            moved: self.moved,
            ..deleter.stats()
        }
    }

    /// Passes over the partition until it is empty: one read from the start that
    /// found nothing but the campaign item.
    pub(super) async fn run(
        &mut self,
        lease: &mut Lease<'_>,
        deleter: &mut Deleter<'_>,
    ) -> Result<(), Stop> {
        loop {
            let after = if self.begins_pass {
                None
            } else {
                self.deleted_through.clone()
            };
            if self.budget.work_is_over() {
                return Err(Halt::out_of_time(0).into());
            }
            let from_the_start = after.is_none();
            let until = self.budget.work_until;
            let pages = ReadAhead::start(self.table, &self.campaign, after, until);
            let found_something = self.pass(lease, pages, deleter).await?;
            if from_the_start && !found_something {
                return Ok(());
            }
            self.begins_pass = true;
        }
    }

    /// Returns the progress to leave behind when the deletion is released.
    pub(super) fn progress(&self, lease: &Lease<'_>) -> Progress {
        let mut progress = lease.record().progress.clone();
        progress.deleted_through.clone_from(&self.deleted_through);
        progress
    }

    /// Reads to the end of the partition and deletes what is there, round by round;
    /// returns whether there was anything.
    async fn pass(
        &mut self,
        lease: &mut Lease<'_>,
        mut pages: ReadAhead,
        deleter: &mut Deleter<'_>,
    ) -> Result<bool, Stop> {
        let mut counted = Vec::new();
        let mut found = 0;
        let mut is_last = false;
        loop {
            if found == 1 && is_last {
                deleter.open_for_a_page();
            }
            let next = self.round(lease, &mut pages, deleter, counted).await?;
            let Some(page) = next else {
                return Ok(found > 0);
            };
            is_last = page.next.is_none();
            counted = page.sort_keys;
            found += 1;
        }
    }

    /// Deletes the page that is counted, and meanwhile reads the next one and counts
    /// it ahead; returns the next one, `None` at the end of the partition.
    async fn round(
        &mut self,
        lease: &mut Lease<'_>,
        pages: &mut ReadAhead,
        deleter: &mut Deleter<'_>,
        counted: Vec<String>,
    ) -> Result<Option<Page>, Stop> {
        let write_until = self.budget.write_until;
        let (size, last) = (counted.len(), counted.last().cloned());
        let mut batches = pin!(maybe_done(deleter.delete(counted, self.budget.work_until)));

        let reading = alongside(pages.next(), batches.as_mut());
        let next = lease.renew_while(reading, write_until).await?;
        let mut is_counted = false;
        if let Ok(Some(page)) = &next
            && !self.budget.work_is_over()
        {
            is_counted = true;
            let counting = self.count_ahead(lease, &page.sort_keys);
            alongside(counting, batches.as_mut()).await?;
        }
        lease.renew_while(batches.as_mut(), write_until).await?;
        let outcome = batches.take_output().unwrap_or(Ok(()));

        let left = outcome
            .as_ref()
            .map_or_else(|halt| halt.unacknowledged, |()| 0);
        self.moved |= left < size;
        if outcome.is_ok() && last.is_some() {
            self.deleted_through = last;
        }
        Ok(next_round(outcome, next, is_counted)?)
    }

    /// Counts a page in the record, unless it is counted already.
    async fn count_ahead(
        &mut self,
        lease: &mut Lease<'_>,
        sort_keys: &[String],
    ) -> Result<(), NotWritten> {
        let Some(progress) = self.counting(lease, sort_keys) else {
            return Ok(());
        };
        lease.count_ahead(progress, self.budget.write_until).await?;
        self.moved = true;
        if std::mem::take(&mut self.begins_pass) {
            self.deleted_through = None;
        }
        Ok(())
    }

    /// Returns the progress that counts these keys ahead; `None` if they are counted
    /// already.
    fn counting(&self, lease: &Lease<'_>, sort_keys: &[String]) -> Option<Progress> {
        let recorded = &lease.record().progress;
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

/// Returns the page of the next round, or why there is none. Only a page that is
/// counted is deleted, and the deletes of one that is counted and not begun are
/// unacknowledged, too.
fn next_round(
    deleted: Result<(), Halt>,
    next: Result<Option<Page>, TableError>,
    is_counted: bool,
) -> Result<Option<Page>, Halt> {
    match (deleted, next) {
        (Ok(()), Ok(Some(_))) if !is_counted => Err(Halt::out_of_time(0)),
        (Ok(()), Ok(next)) => Ok(next),
        (Ok(()), Err(error)) => Err(Halt::failed(0, error)),
        (Err(halt), Ok(Some(page))) if is_counted => Err(Halt {
            unacknowledged: halt.unacknowledged + page.sort_keys.len(),
            ..halt
        }),
        (Err(halt), _) => Err(halt),
    }
}

/// Awaits `first` while the deletes make progress.
async fn alongside<T, F: Future>(
    first: impl Future<Output = T>,
    deletes: Pin<&mut MaybeDone<F>>,
) -> T {
    match select(pin!(first), deletes).await {
        Either::Left((first, _)) => first,
        Either::Right(((), first)) => first.await,
    }
}

//! Several campaigns by one command: they are listed, asked for once, and deleted a few at a
//! time, each by a deletion of its own. One that is refused or fails does not stop the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::join_all,
    stream::{self, StreamExt},
};
use tokio::time::Instant;

use super::{
    Delete,
    bars::{Bars, watch},
    review::{MOST_FAILURES, ROWS, Review, Reviewed, in_words, refusal},
    targets::Target,
};
use crate::{
    campaign::CampaignId,
    cli::{
        CliError,
        connect::{PATIENCE, patience},
        driver::until_done,
        print::{self, Column, Table as TextTable},
    },
    deletion::{Budget, Deletions, End, Error, HandOff, Outcome},
    record::{DeletionRef, Record},
    refusal::Refusal,
    table::Table,
};

/// How long Ctrl-C looks for what is claimed.
const LOOKING: Duration = Duration::from_secs(2);

/// The status of a campaign whose deletion failed.
const FAILED: &str = "failed";

/// How the deletion of one campaign ended here.
enum Ended {
    /// Everything in it is deleted.
    Deleted(Record),
    /// It is claimed, and the rest is left, to the state machine or to nobody yet.
    Left(Record, &'static str),
}

/// Why a campaign was not deleted.
enum NotDeleted {
    /// It is refused, or could not be claimed.
    Claim(Error),
    /// Its deletion made no more progress.
    Drain(CliError),
}

/// The deletions of one command.
struct Work<'a> {
    delete: &'a Delete,
    table: &'a Table,
    deletions: Deletions,
    bars: Bars,
    running: Mutex<BTreeSet<CampaignId>>,
    rows: TextTable,
    ended: usize,
    not_deleted: BTreeMap<&'static str, usize>,
}

impl Delete {
    /// Deletes several campaigns.
    pub(super) async fn many(&self, table: &Table) -> Result<(), CliError> {
        self.check_archive()?;
        let (targets, left_out) = self.selection.targets(&self.ids, table).await?;
        if targets.is_empty() && left_out == 0 {
            print::remark("campaigns: no campaign has this status and is that old");
            return Ok(());
        }
        let all = targets.len();
        // A script that wants JSON gets what becomes of each; `--dry-run` tells what would.
        let review = if self.json && !self.dry_run {
            Review::of(targets)
        } else {
            let deletions = self.deletions(table, HandOff::None)?;
            self.review(table, &deletions, targets).await?
        };
        let refused = review.refused_count();
        if self.dry_run || review.deletable.is_empty() {
            return not_all(all, &review.refused, left_out);
        }
        let campaigns = review.deletable.len();
        let what = format!("delete {campaigns} campaigns and everything in them");
        self.connect.confirm(&what, self.confirm)?;
        let left_to = self.left_to().await?;
        let deletions = self.workers(table).await?(left_to)?;
        let mut work = Work {
            delete: self,
            table,
            deletions,
            bars: Bars::new(campaigns),
            running: Mutex::default(),
            rows: TextTable::new(&[
                Column::Kept("CAMPAIGN"),
                Column::Kept("RESULT"),
                Column::Kept("ITEMS"),
                Column::GivesWay("DELETION", 1),
            ]),
            ended: 0,
            not_deleted: review.refused,
        };
        let stopped = work.run(review.deletable).await;
        work.bars.clear();
        if !self.json {
            work.rows.flush()?;
            let done = work.ended;
            let how = if self.no_wait { "claimed" } else { "deleted" };
            let rest = work.not_deleted.values().sum::<usize>() - refused;
            let rest = if rest == 0 {
                String::new()
            } else {
                format!(", {rest} not")
            };
            print::line(&format!("{done} of {campaigns} campaigns {how}{rest}"))?;
        }
        stopped?;
        not_all(all, &work.not_deleted, left_out)
    }
}

/// Fails if not all of these campaigns are, or can be, deleted.
fn not_all(
    all: usize,
    not_deleted: &BTreeMap<&'static str, usize>,
    left_out: usize,
) -> Result<(), CliError> {
    let count = not_deleted.values().sum::<usize>();
    if count > 0 {
        let why = in_words(not_deleted);
        let what = format!("{count} of {all} campaigns cannot be deleted: {why}");
        return Err(CliError::Refused(what));
    }
    print::complete(left_out, "campaigns")
}

impl Work<'_> {
    /// Deletes these campaigns. Ends early if the table fails again and again, or at Ctrl-C.
    async fn run(&mut self, deletable: Vec<Reviewed>) -> Result<(), CliError> {
        let (waiting, at_once) = (deletable.len(), self.delete.selection.at_once as usize);
        let deleting = Deleting {
            delete: self.delete,
            table: self.table,
            deletions: &self.deletions,
            bars: &self.bars,
            running: &self.running,
        };
        let ended = stream::iter(deletable).map(|reviewed| deleting.one(reviewed).boxed());
        let mut ended = ended.buffer_unordered(at_once);
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        let (mut failures, mut judged) = (0, 0);
        loop {
            let next = tokio::select! {
                next = ended.next() => next,
                interrupted = &mut interrupted => {
                    interrupted?;
                    drop(ended);
                    return Err(self.interrupted(waiting - judged).await);
                }
            };
            let Some((id, result)) = next else {
                return Ok(());
            };
            judged += 1;
            let is_refused = matches!(&result, Err(NotDeleted::Claim(Error::Refused(_))));
            failures = match &result {
                Err(_) if !is_refused => failures + 1,
                _ => 0,
            };
            let noted = match &result {
                Ok(_) => {
                    self.ended += 1;
                    None
                }
                Err(NotDeleted::Claim(error @ Error::Refused(_))) => Some(error.public().code),
                Err(_) => Some(FAILED),
            };
            if let Some(what) = noted {
                *self.not_deleted.entry(what).or_default() += 1;
            }
            show(
                self.delete.json,
                deleting.bars,
                &self.deletions,
                &mut self.rows,
                &id,
                &result,
            )?;
            if failures >= MOST_FAILURES {
                let left = waiting - judged;
                return Err(CliError::Refused(format!(
                    "stopped after {failures} failures in a row; {left} campaigns were not tried"
                )));
            }
        }
    }

    /// Returns what is left by Ctrl-C, and how to resume it. The line that resumes begins nothing:
    /// it names only what is seen to be claimed, since it lacks what a first request has.
    async fn interrupted(&self, waiting: usize) -> CliError {
        let running = self.running.lock();
        let running = running.unwrap_or_else(PoisonError::into_inner).clone();
        let until = Instant::now() + LOOKING;
        let looks = running.iter().map(async |id| {
            let found = self.table.campaign(id, until).await.ok().flatten();
            let is_claimed = found.is_some_and(|campaign| campaign.status.is_deleting());
            is_claimed.then_some(id)
        });
        let ids: Vec<_> = join_all(looks).await.into_iter().flatten().collect();
        let resume = if ids.is_empty() {
            String::new()
        } else {
            let count = ids.len();
            let again = self.delete.again(&ids);
            format!(" Progress of {count} deletions is saved; to resume: {again}")
        };
        let rest = match waiting.saturating_sub(ids.len()) {
            0 => String::new(),
            rest => format!(
                " ({rest} campaigns were not begun, as far as is known: repeat the command, for \
                 which those that are deleted are not_found)"
            ),
        };
        CliError::Refused(format!("Stopped.{resume}{rest}"))
    }
}

/// What the deletions of a command share while they run.
struct Deleting<'a> {
    delete: &'a Delete,
    table: &'a Table,
    deletions: &'a Deletions,
    bars: &'a Bars,
    running: &'a Mutex<BTreeSet<CampaignId>>,
}

impl Deleting<'_> {
    /// Deletes one campaign, under a bar of its own.
    async fn one(&self, reviewed: Reviewed) -> (CampaignId, Result<Ended, NotDeleted>) {
        let id = reviewed.target.id.clone();
        let running = || self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running().insert(id.clone());
        let bar = self.bars.begin(&id, reviewed.items);
        let result = tokio::select! {
            result = self.to_the_end(&reviewed.target) => result,
            never = watch(self.table, self.deletions, &id, &bar) => never,
        };
        self.bars.end(&bar);
        running().remove(&id);
        (id, result)
    }

    async fn to_the_end(&self, target: &Target) -> Result<Ended, NotDeleted> {
        let found = self.table.campaign(&target.id, patience()).await;
        let found = found.map_err(|error| NotDeleted::Claim(error.into()))?;
        let campaign = found.ok_or(NotDeleted::Claim(Refusal::CampaignNotFound.into()))?;
        let request = self.delete.request(&campaign, target);
        let start = Instant::now();
        let budget = if self.delete.no_wait {
            Budget::new(start, PATIENCE, None).claim_only(start)
        } else {
            Budget::of_slice(start, None)
        };
        let deletion = self
            .deletions
            .delete(&request, ready(Ok(Some(campaign))), budget);
        let Outcome { record, end, .. } = deletion.await.map_err(NotDeleted::Claim)?;
        match end {
            End::Complete => Ok(Ended::Deleted(record)),
            End::Remaining { handed_off: true } => Ok(Ended::Left(record, "handed over")),
            _ if self.delete.no_wait => Ok(Ended::Left(record, "claimed")),
            _ => {
                let done = until_done(self.deletions, &DeletionRef::of(&record)).await;
                done.map(Ended::Deleted).map_err(NotDeleted::Drain)
            }
        }
    }
}

/// Writes what became of one campaign.
fn show(
    as_json: bool,
    bars: &Bars,
    deletions: &Deletions,
    rows: &mut TextTable,
    id: &CampaignId,
    result: &Result<Ended, NotDeleted>,
) -> Result<(), CliError> {
    if as_json {
        return bars.aside(|| match result {
            Ok(Ended::Deleted(record) | Ended::Left(record, _)) => {
                print::json_line(&deletions.view(record))
            }
            Err(NotDeleted::Claim(error)) => print::json_line(&refusal(id, error)),
            Err(NotDeleted::Drain(error)) => print::json_line(&serde_json::json!({
                "campaignId": id.as_str(),
                "status": FAILED,
                "message": error.to_string(),
            })),
        });
    }
    let row = |result: &str, record: Option<&Record>| {
        let items = record.map_or_else(String::new, |of| of.progress.counted.total().to_string());
        let deletion_id = record.map_or_else(String::new, |of| of.deletion_id.clone());
        [id.to_string(), result.to_owned(), items, deletion_id]
    };
    match result {
        Ok(Ended::Deleted(record)) => rows.row(row("deleted", Some(record))),
        Ok(Ended::Left(record, how)) => rows.row(row(how, Some(record))),
        Err(NotDeleted::Claim(error @ Error::Refused(_))) => {
            rows.row(row(error.public().code, None));
        }
        Err(failure) => {
            rows.row(row(FAILED, None));
            let why = match failure {
                NotDeleted::Claim(error) => error.to_string(),
                NotDeleted::Drain(error) => error.to_string(),
            };
            bars.aside(|| print::remark(&format!("campaigns: campaign {id}: {why}")));
        }
    }
    if rows.waiting() >= ROWS {
        bars.aside(|| rows.flush())?;
    }
    Ok(())
}

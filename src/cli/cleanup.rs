//! `campaigns cleanup`: one run of the scheduled clean-up, from a terminal. It shows
//! first what would be deleted, and asks before it deletes.

use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use tokio::time::Instant;

use super::{
    CliError,
    connect::{Confirm, Connect, patience, state_machine},
    options::{ArchiveBucket, DeletionOptions},
    print::{self, Column, Table as TextTable, kinds, plain},
};
use crate::{
    cleanup::{Candidate, Cleanup as Run, CleanupError, Reason, Skipped, Summary},
    clock::rfc3339,
    config::{self, Mode, RetentionSettings},
    deletion::{Budget, Deletions, HandOff},
};

/// How long one run may take in a terminal.
const LONGEST: Duration = Duration::from_hours(12);

const GUARDED: &str = "guarded: more campaigns are past retention than MAX_DELETE_SHARE_PERCENT \
                       allows, so none is deleted";

/// `campaigns cleanup`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  campaigns cleanup --endpoint-url http://127.0.0.1:8000
  campaigns cleanup --retention-days 90 --counts \\
    --endpoint-url http://127.0.0.1:8000
  campaigns cleanup --mode enforce --retention-days 90 \\
    --endpoint-url http://127.0.0.1:8000

Ctrl-C stops it. Progress is saved, and the next run continues.")]
pub(super) struct Cleanup {
    /// Show what would be done, or do it.
    #[arg(long, value_enum, default_value_t = How::Report)]
    mode: How,
    /// Count what is in each campaign that would be deleted.
    #[arg(long)]
    counts: bool,
    /// Print JSON instead of a table.
    #[arg(long, conflicts_with = "counts")]
    json: bool,
    /// Days since its completion, or else its last change, after which a campaign is past
    /// retention; 0 for never.
    #[arg(long, env = config::RETENTION_DAYS, value_name = "N")]
    retention_days: Option<String>,
    /// Only campaigns with one of these statuses can be past retention; separated by commas.
    #[arg(long, env = config::RETENTION_STATUSES, value_name = "STATUSES")]
    retention_statuses: Option<String>,
    /// The most campaigns past retention that this run deletes.
    #[arg(long, env = config::MAX_CAMPAIGNS_PER_RUN, value_name = "N")]
    max_campaigns_per_run: Option<String>,
    /// The most deletions of campaigns past retention that run at once.
    #[arg(long, env = config::MAX_RUNNING_CLEANUPS, value_name = "N")]
    max_running_cleanups: Option<String>,
    /// Delete nothing if more than this percentage of the unprotected campaigns is past
    /// retention; 100 for no guard.
    #[arg(long, env = config::MAX_DELETE_SHARE_PERCENT, value_name = "N")]
    max_delete_share_percent: Option<String>,
    /// The state machine that drains what is claimed; without one, this terminal does.
    #[arg(long, env = config::STATE_MACHINE_ARN, value_name = "ARN", default_value = "", hide_default_value = true)]
    state_machine_arn: String,
    #[command(flatten)]
    options: DeletionOptions,
    #[command(flatten)]
    bucket: ArchiveBucket,
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    confirm: Confirm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum How {
    Report,
    Enforce,
}

impl Cleanup {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let retention = self.retention()?;
        let most = retention.max_campaigns_per_run;
        let table = self.connect.table().await?;
        let store = self.bucket.store(&self.connect).await?;
        let bus = self.options.events.bus(&self.connect).await?;
        let deletions = |hand_off| -> Result<_, CliError> {
            let settings = self.options.settings(Some(&self.bucket))?;
            let deletions = Deletions::new(table.clone(), settings, hand_off);
            Ok(deletions
                .archiving_in(store.clone())
                .announcing_on(bus.clone()))
        };
        let shown = deletions(HandOff::None)?;
        let cleanup = Run::new(table.clone(), shown.clone(), retention.clone());
        let budget = || Budget::new(Instant::now(), LONGEST, None);
        let (summary, mut candidates) = cleanup.report(budget()).await.map_err(failed)?;
        candidates.truncate(most);
        let is_report = self.mode == How::Report;
        if self.json && is_report {
            return print::json(&summary);
        }
        if !self.json {
            self.show(&shown, &summary, &candidates).await?;
        }
        if is_report {
            return Ok(());
        }
        if !self.ask(&summary, candidates.len())? {
            // With `--json` there is always one document.
            if self.json {
                let mode = Mode::Enforce;
                print::json(&Summary {
                    mode,
                    ..summary.clone()
                })?;
            }
            return guarded(&summary);
        }
        let hand_off = state_machine(&self.state_machine_arn, self.confirm).await?;
        let cleanup = Run::new(table.clone(), deletions(hand_off)?, retention);
        let spinner = ProgressBar::new_spinner().with_message("cleaning up");
        spinner.enable_steady_tick(Duration::from_millis(200));
        let summary = tokio::select! {
            summary = Box::pin(cleanup.run(budget())) => summary.map_err(failed)?,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                return Err(CliError::Refused("Stopped. Progress is saved; the next run continues.".to_owned()));
            }
        };
        spinner.finish_and_clear();
        if self.json {
            print::json(&summary)?;
        } else {
            print::line(&format!(
                "{} deletions resumed, {} started, {} campaigns skipped{}",
                summary.resumed.len(),
                summary.started.len(),
                summary.skipped_count,
                summary.events.map_or_else(String::new, |events| format!(
                    "; {} events sent, {} still unsent",
                    events.sent, events.unsent
                )),
            ))?;
        }
        guarded(&summary)
    }

    /// Asks before anything is done; `false` if there is nothing to do.
    fn ask(&self, would: &Summary, candidates: usize) -> Result<bool, CliError> {
        let is_stalled = |skipped: &&Skipped| skipped.reason == Reason::Stalled;
        let stalled = would.skipped.iter().filter(is_stalled).count();
        let deleted = if would.guarded { 0 } else { candidates };
        let unsent = would.events.map_or(0, |events| events.unsent);
        if stalled + deleted == 0 && unsent == 0 {
            return Ok(false);
        }
        let events = if unsent == 0 {
            String::new()
        } else {
            format!("send {unsent} events, ")
        };
        let what = format!(
            "{events}resume {stalled} stalled deletions, and delete {deleted} campaigns past \
             retention and everything in them"
        );
        self.connect.confirm(&what, self.confirm)?;
        Ok(true)
    }

    fn retention(&self) -> Result<RetentionSettings, CliError> {
        let settings = RetentionSettings::read(|variable| match variable {
            config::RETENTION_DAYS => self.retention_days.clone(),
            config::RETENTION_STATUSES => self.retention_statuses.clone(),
            config::MAX_CAMPAIGNS_PER_RUN => self.max_campaigns_per_run.clone(),
            config::MAX_RUNNING_CLEANUPS => self.max_running_cleanups.clone(),
            config::MAX_DELETE_SHARE_PERCENT => self.max_delete_share_percent.clone(),
            _ => None,
        });
        Ok(RetentionSettings {
            mode: match self.mode {
                How::Report => Mode::Report,
                How::Enforce => Mode::Enforce,
            },
            ..settings?
        })
    }

    /// Shows what a run would do.
    async fn show(
        &self,
        deletions: &Deletions,
        summary: &Summary,
        candidates: &[Candidate],
    ) -> Result<(), CliError> {
        let items = self.counts.then_some(Column::GivesWay("ITEMS", 1));
        let columns = [
            Column::Kept("CAMPAIGN"),
            Column::Kept("STATUS"),
            Column::GivesWay("ACCOUNT", 2),
            Column::Kept("SINCE"),
            Column::GivesWay("NAME", 3),
        ];
        let columns: Vec<_> = columns.into_iter().chain(items).collect();
        let mut text = TextTable::new(&columns);
        for Candidate { campaign, since } in candidates {
            let mut row = vec![
                campaign.id.to_string(),
                campaign.status.as_str().to_owned(),
                campaign.account_id.clone(),
                rfc3339(*since),
                campaign.name.clone(),
            ];
            if self.counts {
                row.push(match deletions.count(&campaign.id, patience()).await {
                    Ok((counts, is_complete)) => {
                        let at_least = if is_complete { "" } else { "at least " };
                        format!("{at_least}{}: {}", counts.total(), kinds(&counts))
                    }
                    Err(error) => format!("not counted: {error}"),
                });
            }
            text.row(row);
        }
        text.print()?;
        print::line(&format!(
            "{} of {} campaigns are past retention and can be deleted; this run would delete {}",
            summary.candidate_count,
            summary.campaign_count,
            candidates.len(),
        ))?;
        for skipped in &summary.skipped {
            let reason = serde_json::to_value(skipped.reason)?;
            let reason = reason.as_str().unwrap_or_default();
            let attribute = skipped
                .attribute
                .map_or_else(String::new, |a| format!(" ({a})"));
            let id = plain(&skipped.campaign_id);
            print::line(&format!("campaign {id} is skipped: {reason}{attribute}"))?;
        }
        if let Some(events) = summary.events {
            print::line(&format!("{} events are unsent", events.unsent))?;
        }
        if summary.guarded {
            print::line(GUARDED)?;
        }
        Ok(())
    }
}

/// Fails if the guard held retention back.
fn guarded(summary: &Summary) -> Result<(), CliError> {
    if summary.guarded {
        return Err(CliError::Refused(GUARDED.to_owned()));
    }
    Ok(())
}

fn failed(error: CleanupError) -> CliError {
    match error {
        CleanupError::TableUnavailable(error) => error.into(),
        error @ CleanupError::InvalidEvent => CliError::Refused(error.to_string()),
    }
}

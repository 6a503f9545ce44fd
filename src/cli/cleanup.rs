//! `campaigns cleanup`: one run of the scheduled clean-up, from a terminal. What
//! would go is shown first, and asked for before it goes.

use std::time::Duration;

use clap::{Args, ValueEnum};
use comfy_table::{Table as TextTable, presets};
use indicatif::ProgressBar;
use tokio::time::Instant;

use super::{
    CliError,
    connect::{Confirm, Connect, DeletionOptions, patience},
    delete::kinds,
};
use crate::{
    cleanup::{Candidate, Cleanup as Run, CleanupError, Reason, Skipped, Summary},
    clock::rfc3339,
    config::{self, Mode, RetentionSettings},
    deletion::{Budget, Deletions, HandOff},
    sdk,
};

/// How long one run may take, in a terminal that nobody interrupts.
const LONGEST: Duration = Duration::from_hours(12);

const GUARDED: &str = "guarded: more campaigns are past retention than MAX_DELETE_SHARE_PERCENT \
                       allows, and none is deleted";

/// `campaigns cleanup`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  campaigns cleanup --endpoint-url http://127.0.0.1:8000
  campaigns cleanup --retention-days 90 --counts --endpoint-url http://127.0.0.1:8000
  campaigns cleanup --mode enforce --retention-days 90 --endpoint-url http://127.0.0.1:8000

Ctrl-C stops it; what is done is kept, and the next run goes on.")]
pub(super) struct Cleanup {
    /// Whether to list what would be done, or to do it.
    #[arg(long, value_enum, default_value_t = How::Report)]
    mode: How,
    /// Count what is in each campaign that would go.
    #[arg(long)]
    counts: bool,
    /// JSON instead of a table.
    #[arg(long, conflicts_with = "counts")]
    json: bool,
    /// How long ago a campaign was completed, or else changed, when it is past
    /// retention, days; 0 for never.
    #[arg(long, env = config::RETENTION_DAYS, value_name = "N")]
    retention_days: Option<String>,
    /// The statuses of campaigns that can be past retention, joined by commas.
    #[arg(long, env = config::RETENTION_STATUSES, value_name = "STATUSES")]
    retention_statuses: Option<String>,
    /// How many campaigns past retention this run deletes.
    #[arg(long, env = config::MAX_CAMPAIGNS_PER_RUN, value_name = "N")]
    max_campaigns_per_run: Option<String>,
    /// How many deletions of campaigns past retention run at once.
    #[arg(long, env = config::MAX_RUNNING_CLEANUPS, value_name = "N")]
    max_running_cleanups: Option<String>,
    /// Delete nothing when a larger share of the campaigns is past retention,
    /// percent; 100 for no such guard.
    #[arg(long, env = config::MAX_DELETE_SHARE_PERCENT, value_name = "N")]
    max_delete_share_percent: Option<String>,
    /// The state machine that drains what is claimed; without one, this terminal
    /// does.
    #[arg(long, env = config::STATE_MACHINE_ARN, value_name = "ARN", default_value = "")]
    state_machine_arn: String,
    #[command(flatten)]
    options: DeletionOptions,
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
        let table = self.connect.table().await;
        let arn = config::state_machine_arn(Some(self.state_machine_arn.clone()))?;
        let hand_off = HandOff::to_state_machine(arn, &sdk::config().load().await);
        let deletions = Deletions::new(table.clone(), self.options.settings(), hand_off);
        let cleanup = Run::new(table, deletions.clone(), retention);
        let budget = || Budget::new(Instant::now(), LONGEST, None);
        let (summary, mut candidates) = cleanup.report(budget()).await.map_err(failed)?;
        candidates.truncate(most);
        let is_report = self.mode == How::Report;
        if self.json && is_report {
            println!("{}", serde_json::to_string_pretty(&summary)?);
            return Ok(());
        }
        if !self.json {
            self.show(&deletions, &summary, &candidates).await?;
        }
        if is_report {
            return Ok(());
        }
        if !self.ask(&summary, candidates.len())? {
            return Ok(());
        }
        let spinner = ProgressBar::new_spinner().with_message("cleaning up");
        spinner.enable_steady_tick(Duration::from_millis(200));
        let summary = tokio::select! {
            summary = Box::pin(cleanup.run(budget())) => summary.map_err(failed)?,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                return Err(CliError::Refused("stopped; the next run goes on".to_owned()));
            }
        };
        spinner.finish_and_clear();
        if self.json {
            println!("{}", serde_json::to_string_pretty(&summary)?);
        } else {
            println!(
                "{} deletions gone on with, {} started, {} campaigns left alone",
                summary.resumed.len(),
                summary.started.len(),
                summary.skipped_count,
            );
        }
        if summary.guarded {
            return Err(CliError::Refused(GUARDED.to_owned()));
        }
        Ok(())
    }

    /// Asks before anything is done; `false` if there is nothing to do.
    fn ask(&self, would: &Summary, candidates: usize) -> Result<bool, CliError> {
        let is_stalled = |skipped: &&Skipped| skipped.reason == Reason::Stalled;
        let stalled = would.skipped.iter().filter(is_stalled).count();
        let deleted = if would.guarded { 0 } else { candidates };
        if would.guarded && stalled == 0 {
            return Err(CliError::Refused(GUARDED.to_owned()));
        }
        if stalled + deleted == 0 {
            return Ok(false);
        }
        let what = format!(
            "go on with {stalled} deletions that stand still, and delete {deleted} campaigns past \
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
        let mut text = TextTable::new();
        text.load_style(presets::NOTHING);
        let items = self.counts.then_some("ITEMS");
        let header = ["CAMPAIGN", "STATUS", "ACCOUNT", "SINCE", "NAME"];
        text.set_header(header.into_iter().chain(items));
        for Candidate { campaign, since } in candidates {
            let mut row = vec![
                campaign.id.to_string(),
                campaign.status.as_str().to_owned(),
                campaign.account_id.clone(),
                rfc3339(*since),
                campaign.name.clone(),
            ];
            if self.counts {
                let (counts, is_complete) = deletions.count(&campaign.id, patience()).await?;
                let at_least = if is_complete { "" } else { "at least " };
                row.push(format!("{at_least}{}: {}", counts.total(), kinds(&counts)));
            }
            text.add_row(row);
        }
        println!("{text}");
        println!(
            "{} of {} campaigns are past retention and can be deleted; one run deletes {}",
            summary.candidate_count,
            summary.campaign_count,
            candidates.len(),
        );
        for skipped in &summary.skipped {
            let reason = serde_json::to_value(skipped.reason)?;
            let reason = reason.as_str().unwrap_or_default();
            println!("campaign {} is left alone: {reason}", skipped.campaign_id);
        }
        if summary.guarded {
            println!("{GUARDED}");
        }
        Ok(())
    }
}

fn failed(error: CleanupError) -> CliError {
    match error {
        CleanupError::TableUnavailable(error) => error.into(),
        error @ CleanupError::InvalidEvent => CliError::Refused(error.to_string()),
    }
}

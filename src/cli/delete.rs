//! `campaigns delete`: the same deletion as over HTTP, with a progress bar instead of
//! a budget. It can be stopped at any time; the same command resumes it.

mod bars;
mod many;
mod review;
mod targets;

use std::{future::ready, time::Duration};

use clap::Args;
use indicatif::ProgressBar;
use tokio::time::{Instant, sleep};

use self::targets::{Selection, Target};
use super::{
    CliError,
    connect::{Confirm, Connect, PATIENCE, patience, state_machine},
    driver::until_done,
    options::{ArchiveBucket, DeletionOptions},
    print::{self, kinds, plain, print_deletion},
};
use crate::{
    campaign::{Campaign, CampaignId},
    config,
    deletion::{Budget, DeletionRequest, Deletions, End, Error, HandOff, Outcome},
    record::{DeletionReason, DeletionRef, Record, RecordState},
    table::Table,
};

/// How long counting may take, before a deletion or for a dry run.
const COUNTING: Duration = Duration::from_mins(5);
/// How often the progress bar reads the record.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// `campaigns delete`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  campaigns delete campaign_123 --dry-run --endpoint-url http://127.0.0.1:8000
  campaigns delete campaign_123 --endpoint-url http://127.0.0.1:8000
  campaigns delete campaign_1 campaign_2 campaign_3 --table-name TABLE
  campaigns delete --from ids.txt --json --yes --table-name TABLE
  campaigns delete --status completed --older-than 90d --table-name TABLE

Several campaigns are listed with what is in them before they are deleted, a few at
a time; the exit code is 1 if any was not. With --json, each is a line once it is done.
Ctrl-C stops it. Progress is saved, and the same command resumes it.")]
pub(super) struct Delete {
    /// The campaigns' ids.
    #[arg(
        value_name = "ID",
        value_parser = CampaignId::parse,
        required_unless_present_any = ["from", "status"]
    )]
    ids: Vec<CampaignId>,
    #[command(flatten)]
    selection: Selection,
    /// Show what would be deleted, and delete nothing.
    #[arg(long, conflicts_with = "no_wait")]
    dry_run: bool,
    /// Claim the campaign and leave the rest to the state machine, or to the next
    /// command that deletes it.
    #[arg(long)]
    no_wait: bool,
    /// Archive everything before it is deleted, or nothing with `--archive=false`, whatever
    /// --archive-mode says.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true
    )]
    archive: Option<bool>,
    /// Why: up to 40 lower-case letters, digits and hyphens, such as erasure-request. Kept
    /// in the audit trail, so nothing personal.
    #[arg(long, value_name = "WORD", value_parser = DeletionReason::parse)]
    reason: Option<DeletionReason>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    /// The state machine that continues after --no-wait.
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

impl Delete {
    pub(super) async fn run(self) -> Result<(), CliError> {
        config::state_machine_arn(Some(self.state_machine_arn.clone()))?;
        let table = self.connect.table().await?;
        match self.ids.as_slice() {
            [id] if !self.selection.is_given() => self.one(id, &table).await,
            _ => self.many(&table).await,
        }
    }

    async fn one(&self, id: &CampaignId, table: &Table) -> Result<(), CliError> {
        let campaign = table.campaign(id, patience()).await?;
        let campaign = campaign.ok_or_else(|| not_there(id, table))?;
        let request = self.request(
            &campaign,
            &Target {
                id: id.clone(),
                etag: None,
            },
        );
        self.check_archive()?;
        if self.dry_run {
            return self.dry_run(table, &request, campaign).await;
        }
        let what = format!(
            "delete campaign {id} \"{}\" of account {} and everything in it",
            plain(&campaign.name),
            plain(&campaign.account_id)
        );
        self.connect.confirm(&what, self.confirm)?;
        let left_to = self.left_to().await?;
        // Claimed first and drained after, so that the deletion has an id to show.
        let deletions = self.workers(table).await?;
        let claiming = deletions(left_to)?;
        let start = Instant::now();
        let budget = Budget::new(start, PATIENCE, None).claim_only(start);
        let claimed = claiming.delete(&request, ready(Ok(Some(campaign))), budget);
        let Outcome { record, end, .. } = claimed.await.map_err(refused)?;
        let handed_off = end == End::Remaining { handed_off: true };
        if self.no_wait {
            return self.print_claimed(&record, handed_off);
        }
        let deletions = deletions(HandOff::None)?;
        let record = self.with_a_bar(&deletions, record).await?;
        print_deletion(&deletions.view(&record), self.json)
    }

    /// Returns what makes the use case for a hand-off: it archives and announces as it is told.
    async fn workers(
        &self,
        table: &Table,
    ) -> Result<impl Fn(HandOff) -> Result<Deletions, CliError>, CliError> {
        let store = self.bucket.store(&self.connect).await?;
        let bus = self.options.events.bus(&self.connect).await?;
        Ok(move |hand_off| {
            let deletions = self.deletions(table, hand_off)?;
            let deletions = deletions.archiving_in(store.clone());
            Ok(deletions.announcing_on(bus.clone()))
        })
    }

    /// Returns the request to delete a campaign.
    fn request(&self, campaign: &Campaign, target: &Target) -> DeletionRequest {
        let mut request = DeletionRequest::by_terminal(campaign);
        request.archive = self.archive;
        request.reason.clone_from(&self.reason);
        request.if_match = target.etag.clone().map(|etag| vec![etag]);
        request
    }

    /// Fails if an archive is asked for, and there is none.
    fn check_archive(&self) -> Result<(), CliError> {
        let settings = self.options.settings(Some(&self.bucket))?;
        if self.archive == Some(true) && settings.archive.is_none() {
            let why = "--archive needs a bucket: --archive-bucket NAME";
            return Err(CliError::Refused(why.to_owned()));
        }
        Ok(())
    }

    /// Returns who continues what this command claims: itself, or, with `--no-wait`, the state
    /// machine if there is one.
    async fn left_to(&self) -> Result<HandOff, CliError> {
        if self.no_wait {
            state_machine(&self.state_machine_arn, self.confirm).await
        } else {
            Ok(HandOff::None)
        }
    }

    fn deletions(&self, table: &Table, hand_off: HandOff) -> Result<Deletions, CliError> {
        let settings = self.options.settings(Some(&self.bucket))?;
        Ok(Deletions::new(table.clone(), settings, hand_off))
    }

    async fn dry_run(
        &self,
        table: &Table,
        request: &DeletionRequest,
        campaign: Campaign,
    ) -> Result<(), CliError> {
        let budget = Budget::new(Instant::now(), COUNTING, None);
        let deletions = self.deletions(table, HandOff::None)?;
        let preview = deletions.preview(request, Some(campaign), budget);
        let preview = preview.await.map_err(refused)?;
        if self.json {
            let said = serde_json::json!({
                "campaignId": request.campaign_id.as_str(),
                "campaignName": preview.campaign.name,
                "deletedItems": preview.counts,
                "complete": preview.complete,
                "wouldArchive": preview.would_archive,
            });
            return print::json(&said);
        }
        print::line(&format!(
            "campaign {} \"{}\" can be deleted, with {}{} items: {}{}",
            request.campaign_id,
            plain(&preview.campaign.name),
            if preview.complete { "" } else { "at least " },
            preview.counts.total(),
            kinds(&preview.counts),
            match preview.would_archive {
                Some(true) => "; all of it would be archived first",
                Some(false) => "; none of it would be archived",
                None => "",
            }
        ))
    }

    fn print_claimed(&self, record: &Record, handed_off: bool) -> Result<(), CliError> {
        if self.json {
            let of = DeletionRef::of(record);
            return print::json(&of);
        }
        let how = if handed_off {
            "the state machine continues it".to_owned()
        } else {
            format!("resume it with: {}", self.again(&[&record.campaign_id]))
        };
        let id = &record.deletion_id;
        print::line(&format!(
            "campaign {} is claimed by deletion {id}; {how}",
            record.campaign_id
        ))
    }

    /// Returns the command that resumes the deletions of these campaigns.
    fn again(&self, ids: &[&CampaignId]) -> String {
        let mut words = vec![print::program(), "delete".to_owned()];
        words.extend(ids.iter().map(ToString::to_string));
        words.extend(self.connect.options());
        if let Some(url) = self.bucket.endpoint_url() {
            words.extend(["--s3-endpoint-url".to_owned(), url]);
        }
        words.extend(self.options.of_a_claimed_deletion());
        print::quoted(&words)
    }

    /// Drains, or waits for the active worker, and shows the progress.
    async fn with_a_bar(&self, deletions: &Deletions, record: Record) -> Result<Record, CliError> {
        if record.state != RecordState::Running {
            return Ok(record);
        }
        let of = DeletionRef::of(&record);
        let stopped = || {
            CliError::Refused(format!(
                "Stopped. Progress of deletion {} is saved; to resume: {}",
                of.deletion_id,
                self.again(&[&record.campaign_id])
            ))
        };
        let working = async {
            let counting = ProgressBar::new_spinner().with_message("counting");
            counting.enable_steady_tick(LOOK_EVERY);
            let until = Instant::now() + COUNTING;
            // If this is not known, the bar has no total.
            let left = match deletions.count(&record.campaign_id, until).await {
                Ok((left, true)) => Some(left.total()),
                _ => None,
            };
            counting.finish_and_clear();
            let done = record.progress.counted.total();
            let bar = bar(left.map(|left| done + left));
            bar.set_position(done);
            bar.reset_eta();
            tokio::select! {
                record = until_done(deletions, &of) => {
                    bar.finish_and_clear();
                    record
                }
                never = watch(deletions, &of, &bar) => never,
            }
        };
        tokio::select! {
            done = working => done,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                Err(stopped())
            }
        }
    }
}

/// Shows the progress that the record gives, whichever worker writes it. Never returns.
async fn watch(
    deletions: &Deletions,
    of: &DeletionRef,
    bar: &ProgressBar,
) -> Result<Record, CliError> {
    loop {
        sleep(LOOK_EVERY).await;
        // A read that fails is skipped; the next one shows the progress.
        if let Ok(Some(record)) = deletions.find(of, patience()).await {
            bar.set_position(record.progress.counted.total());
            bar.set_message(kinds(&record.progress.counted));
        }
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, style) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{bar:20} {pos}/{len}, {rate}, {eta} left  {wide_msg}",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {pos} items, {rate}  {wide_msg}",
        ),
    };
    bar.with_style(print::progress_style(style))
}

fn not_there(id: &CampaignId, table: &Table) -> CliError {
    let table = table.name();
    CliError::Refused(format!("there is no campaign {id} in table {table}"))
}

/// Returns a refusal in the words of the HTTP answer.
fn refused(error: Error) -> CliError {
    match error {
        Error::Table(error) => CliError::Table(error),
        Error::Archive(error) => CliError::Archive(error),
        refusal @ Error::Refused(_) => CliError::Refused(refusal.public().message.into_owned()),
    }
}

//! `campaigns status`: the status of deletions. Running ones are found in the index
//! of campaigns, those of an account in the account's own partition.

use clap::Args;

use super::{
    CliError,
    connect::{Connect, account_id, patience},
    options::DeletionOptions,
    print::{self, print_deletion, table_of},
};
use crate::{
    campaign::{CampaignId, Status as CampaignStatus},
    deletion::{Deletions, HandOff},
    record::{DeletionRef, Record, RecordState, deletion_id},
    table::{Table, TableError},
};

/// How many deletions of an account are shown, and how many are read at once to find
/// one.
const SHOWN: usize = 20;
const READ: usize = 100;

/// `campaigns status`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  campaigns status --endpoint-url http://127.0.0.1:8000
  campaigns status campaign_123 --account account_demo \\
    --endpoint-url http://127.0.0.1:8000")]
pub(super) struct Status {
    /// A campaign or a deletion; by default, every running deletion.
    id: Option<String>,
    /// Show deletions of this account, newest first. Needed to find finished ones.
    #[arg(long, value_parser = account_id)]
    account: Option<String>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: DeletionOptions,
    #[command(flatten)]
    connect: Connect,
}

impl Status {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let table = self.connect.table().await?;
        let deletions = Deletions::new(table.clone(), self.options.settings(None)?, HandOff::None);
        if let Some(id) = &self.id {
            let record = self.find(&table, id).await?;
            let record = record.ok_or_else(|| self.not_found(id))?;
            return print_deletion(&deletions.view(&record), self.json);
        }
        let mut more = None;
        let mut left_out = 0;
        let records = match &self.account {
            Some(account) => {
                let until = patience();
                let found = table.history(account, None, None, SHOWN, until, until);
                let found = found.await?;
                more = found.after;
                left_out = found.unreadable.len();
                for unreadable in &found.unreadable {
                    print::remark(&format!("campaigns: {unreadable}"));
                }
                found.records
            }
            None => shown(&table, &mut left_out).await?,
        };
        let views: Vec<_> = records
            .iter()
            .map(|record| deletions.view(record))
            .collect();
        if self.json {
            print::json(&views)?;
        } else {
            table_of(&views).print()?;
        }
        if more.is_some() {
            print::remark("There are older deletions: GET /v1/deletions lists them all.");
        }
        print::complete(left_out, "deletions")
    }

    /// The deletion with this id, or the last one of the campaign with this id.
    async fn find(&self, table: &Table, id: &str) -> Result<Option<Record>, CliError> {
        let is_it = |record: &Record| {
            record.deletion_id.eq_ignore_ascii_case(id) || record.campaign_id.as_str() == id
        };
        // A campaign's id may have the form of a deletion's.
        if let (Some(account), Some(id)) = (&self.account, deletion_id(id))
            && let Some(record) = table.record(account, &id, patience()).await?
        {
            return Ok(Some(record));
        }
        // A campaign that still exists names its deletion.
        if let Ok(campaign_id) = CampaignId::parse(id)
            && let Some(campaign) = table.campaign(&campaign_id, patience()).await?
            && let Some(deletion_id) = &campaign.deletion_id
            && let Some(record) = table
                .record(&campaign.account_id, deletion_id, patience())
                .await?
            && record.campaign_id == campaign_id
        {
            return Ok(Some(record));
        }
        let Some(account) = &self.account else {
            return Ok(shown(table, &mut 0).await?.into_iter().find(is_it));
        };
        let mut after = None;
        let mut unreadable = Vec::new();
        loop {
            let until = patience();
            let page = table
                .history(account, None, after, READ, until, until)
                .await?;
            if let Some(record) = page.records.into_iter().find(is_it) {
                return Ok(Some(record));
            }
            unreadable.extend(page.unreadable.iter().map(ToString::to_string));
            after = page.after;
            if after.is_none() && !unreadable.is_empty() {
                let unreadable = unreadable.join("; ");
                return Err(CliError::Refused(format!(
                    "{}: {unreadable}",
                    self.not_found(id)
                )));
            }
            if after.is_none() {
                return Ok(None);
            }
        }
    }

    fn not_found(&self, id: &str) -> CliError {
        CliError::Refused(match &self.account {
            Some(account) => format!("account {account} has no deletion that matches {id}"),
            None => {
                format!("no running deletion matches {id}; use --account to search finished ones")
            }
        })
    }
}

/// The running deletions, and what stands in their place.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// Those that can be read.
    pub(super) records: Vec<Record>,
    /// Campaigns in `deleting` without a deletion record.
    pub(super) unclaimed: Vec<CampaignId>,
    /// Those that cannot be read, each with the reason.
    pub(super) unreadable: Vec<String>,
    /// Whether the index of running deletions was read; a table may be without it.
    pub(super) has_index: bool,
}

/// Returns the running deletions: those of every campaign in `deleting`, then those
/// that no campaign shows.
pub(super) async fn running(table: &Table) -> Result<Running, TableError> {
    let mut running = Running::default();
    let mut listing = table.campaigns_by_status(CampaignStatus::DELETING);
    while let Some(page) = listing.next_page(patience()).await? {
        for campaign in page.into_iter().map(|listed| listed.campaign) {
            let of = campaign.deletion_id.map(|deletion_id| DeletionRef {
                account_id: campaign.account_id,
                deletion_id,
            });
            let record = match &of {
                Some(of) => read(table, of).await,
                None => Ok(None),
            };
            // A copy of the item names the deletion of another campaign.
            let record = record.map(|found| found.filter(|r| r.campaign_id == campaign.id));
            match record {
                Ok(Some(record)) => running.records.push(record),
                Ok(None) => running.unclaimed.push(campaign.id),
                Err(error) => {
                    let unreadable = format!("campaign {}: {error}", campaign.id);
                    running.unreadable.push(unreadable);
                }
            }
        }
        let unreadable = listing.take_unreadable();
        running
            .unreadable
            .extend(unreadable.iter().map(ToString::to_string));
    }
    let mut unfinished = table.unfinished_deletions();
    while let Some(page) = unfinished.next_page(patience()).await? {
        running.has_index = true;
        for of in page {
            let id = &of.deletion_id;
            if running
                .records
                .iter()
                .any(|record| record.deletion_id == *id)
            {
                continue;
            }
            match read(table, &of).await {
                Ok(Some(record)) if record.state == RecordState::Running => {
                    running.records.push(record);
                }
                Ok(_) => {}
                Err(error) => running.unreadable.push(format!("deletion {id}: {error}")),
            }
        }
    }
    Ok(running)
}

/// Returns the running deletions, and says which are left out; counts these in `left_out`.
async fn shown(table: &Table, left_out: &mut usize) -> Result<Vec<Record>, CliError> {
    let running = running(table).await?;
    for id in &running.unclaimed {
        print::remark(&format!(
            "campaign {id} has status `deleting` but no deletion record; delete it again to \
             restart it"
        ));
    }
    for unreadable in &running.unreadable {
        *left_out += 1;
        print::remark(&format!("campaigns: {unreadable}"));
    }
    Ok(running.records)
}

async fn read(table: &Table, of: &DeletionRef) -> Result<Option<Record>, TableError> {
    table
        .record(&of.account_id, &of.deletion_id, patience())
        .await
}

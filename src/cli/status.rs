//! `campaigns status`: the status of deletions. Running ones are found in the index
//! of campaigns, an account's in its own partition.

use clap::Args;

use super::{
    CliError,
    connect::{Connect, DeletionOptions, patience},
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
  campaigns status campaign_123 --account account_demo --endpoint-url http://127.0.0.1:8000")]
pub(super) struct Status {
    /// A campaign or a deletion; by default, every running deletion.
    id: Option<String>,
    /// Show deletions of this account, newest first. Needed to find finished ones.
    #[arg(long)]
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
        let table = self.connect.table().await;
        let deletions = Deletions::new(table.clone(), self.options.settings()?, HandOff::None);
        if let Some(id) = &self.id {
            let record = self.find(&table, id).await?;
            let record = record.ok_or_else(|| self.not_found(id))?;
            return print_deletion(&deletions.view(&record), self.json);
        }
        let mut more = None;
        let records = match &self.account {
            Some(account) => {
                let until = patience();
                let found = table.history(account, None, None, SHOWN, until, until);
                let found = found.await?;
                more = found.after;
                for unreadable in &found.unreadable {
                    eprintln!("campaigns: {unreadable}");
                }
                found.records
            }
            None => running(&table).await?,
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
            eprintln!("There are older deletions: GET /v1/deletions lists them all.");
        }
        Ok(())
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
        // A campaign that is still there says it itself.
        if let Ok(campaign_id) = CampaignId::parse(id)
            && let Some(campaign) = table.campaign(&campaign_id, patience()).await?
            && let Some(deletion_id) = &campaign.deletion_id
            && let Some(record) = table
                .record(&campaign.account_id, deletion_id, patience())
                .await?
        {
            return Ok(Some(record));
        }
        let Some(account) = &self.account else {
            return Ok(running(table).await?.into_iter().find(is_it));
        };
        let mut after = None;
        loop {
            let until = patience();
            let page = table
                .history(account, None, after, READ, until, until)
                .await?;
            if let Some(record) = page.records.into_iter().find(is_it) {
                return Ok(Some(record));
            }
            after = page.after;
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

/// Returns the running deletions: those of every campaign in `deleting`, then those
/// that no campaign shows. One that cannot be read is named and left out.
async fn running(table: &Table) -> Result<Vec<Record>, CliError> {
    let mut records: Vec<Record> = Vec::new();
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
            match record {
                Ok(Some(record)) => records.push(record),
                Ok(None) => eprintln!(
                    "campaign {} has status `deleting` but no deletion record; delete it again to \
                     restart it",
                    campaign.id,
                ),
                Err(error) => eprintln!("campaigns: campaign {}: {error}", campaign.id),
            }
        }
        for unreadable in listing.take_unreadable() {
            eprintln!("campaigns: {}", print::plain(&unreadable.to_string()));
        }
    }
    let mut unfinished = table.unfinished_deletions();
    while let Some(page) = unfinished.next_page(patience()).await? {
        for of in page {
            let id = &of.deletion_id;
            if records.iter().any(|record| record.deletion_id == *id) {
                continue;
            }
            match read(table, &of).await {
                Ok(Some(record)) if record.state == RecordState::Running => records.push(record),
                Ok(_) => {}
                Err(error) => eprintln!("campaigns: deletion {id}: {error}"),
            }
        }
    }
    Ok(records)
}

async fn read(table: &Table, of: &DeletionRef) -> Result<Option<Record>, TableError> {
    table
        .record(&of.account_id, &of.deletion_id, patience())
        .await
}

//! `campaigns list`: from the index, so eventually consistent, and without a scan.

use clap::Args;

use super::{
    CliError,
    connect::{Connect, account_id, patience},
    print::{self, Column, Table},
};
use crate::{
    campaign::{Campaign, DELETABLE, ListedCampaign, Status, UnreadableCampaign},
    table::{self, TableError},
};

/// `campaigns list`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  campaigns list --endpoint-url http://127.0.0.1:8000
  campaigns list --status paused --account account_1 --json")]
pub(super) struct List {
    /// List campaigns with this status; by default, with every known status. Campaigns
    /// without `updatedAt` are not in the index, and so not in the list.
    #[arg(long)]
    status: Option<String>,
    /// List campaigns of this account.
    #[arg(long, value_parser = account_id)]
    account: Option<String>,
    /// Print a JSON array instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl List {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let table = self.connect.table().await?;
        let known = known_statuses();
        let statuses = match &self.status {
            Some(status) => vec![status.clone()],
            None => known.clone(),
        };
        let account = self.account.as_deref();
        let Listed {
            campaigns,
            unreadable,
            ..
        } = find(&table, &statuses, account, usize::MAX).await?;
        let left_out = unreadable.len();
        for unreadable in unreadable {
            print::remark(&format!("campaigns: {unreadable}"));
        }
        if let Some(status) = self
            .status
            .filter(|status| campaigns.is_empty() && left_out == 0 && !known.contains(status))
        {
            return Err(CliError::Refused(format!(
                "no campaign has status '{status}'; known statuses: {}",
                known.join(", ")
            )));
        }
        if self.json {
            let said: Vec<_> = campaigns
                .iter()
                .map(|listed| as_json(&listed.campaign, listed.completed_at.as_deref()))
                .collect();
            print::json(&said)?;
        } else {
            table_of(&campaigns).print()?;
        }
        print::complete(left_out, "campaigns")
    }
}

/// Campaigns that the index has shown.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) campaigns: Vec<ListedCampaign>,
    /// Entries that cannot be read as campaigns, and are not known to be another account's.
    pub(super) unreadable: Vec<UnreadableCampaign>,
    /// Whether these are all.
    pub(super) complete: bool,
}

/// Returns every status that this program knows.
pub(super) fn known_statuses() -> Vec<String> {
    let known = [Status::ACTIVE, Status::DELETING]
        .into_iter()
        .chain(DELETABLE);
    known.map(ToOwned::to_owned).collect()
}

/// Returns up to `most` campaigns with these statuses, of this account if one is given.
pub(super) async fn find(
    table: &table::Table,
    statuses: &[String],
    account: Option<&str>,
    most: usize,
) -> Result<Listed, TableError> {
    let mut listed = Listed {
        campaigns: Vec::new(),
        unreadable: Vec::new(),
        complete: true,
    };
    for status in statuses {
        let mut listing = table.campaigns_by_status(status);
        while let Some(page) = listing.next_page(patience()).await? {
            listed.campaigns.extend(page.into_iter().filter(|listed| {
                account.is_none_or(|account| listed.campaign.account_id == account)
            }));
            let unreadable = listing.take_unreadable().into_iter();
            listed.unreadable.extend(
                unreadable.filter(|unreadable| {
                    account.is_none_or(|account| unreadable.may_be_of(account))
                }),
            );
            if listed.campaigns.len() > most {
                listed.campaigns.truncate(most);
                listed.complete = false;
                return Ok(listed);
            }
        }
    }
    Ok(listed)
}

fn table_of(campaigns: &[ListedCampaign]) -> Table {
    let mut text = Table::new(&[
        Column::Kept("ID"),
        Column::Kept("STATUS"),
        Column::GivesWay("ACCOUNT", 3),
        Column::Drops("UPDATED", 4),
        Column::Drops("PROTECTED", 1),
        Column::GivesWay("NAME", 2),
    ]);
    for ListedCampaign { campaign, .. } in campaigns {
        text.row([
            campaign.id.as_str(),
            campaign.status.as_str(),
            &campaign.account_id,
            &campaign.updated_at,
            if campaign.is_protected() { "yes" } else { "" },
            &campaign.name,
        ]);
    }
    text
}

/// Returns a campaign as `--json` prints it, with when it was completed if that is known.
pub(super) fn as_json(campaign: &Campaign, completed_at: Option<&str>) -> serde_json::Value {
    serde_json::json!({
        "id": campaign.id.as_str(),
        "name": campaign.name,
        "accountId": campaign.account_id,
        "status": campaign.status.as_str(),
        "updatedAt": campaign.updated_at,
        "completedAt": completed_at,
        "deletionProtection": campaign.is_protected(),
        "deletionId": campaign.deletion_id,
    })
}

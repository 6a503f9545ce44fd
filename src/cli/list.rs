//! `campaigns list`: from the index, so eventually consistent, and without a scan.

use clap::Args;
use comfy_table::{Table as TextTable, presets};

use super::{
    CliError,
    connect::{Connect, patience},
};
use crate::campaign::{DELETABLE, ListedCampaign, Status};

/// `campaigns list`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  campaigns list --endpoint-url http://127.0.0.1:8000
  campaigns list --status paused --account account_demo --json")]
pub(super) struct List {
    /// Campaigns with this status; by default with every status that is known.
    #[arg(long)]
    status: Option<String>,
    /// Campaigns of this account.
    #[arg(long)]
    account: Option<String>,
    /// A JSON array instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl List {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let table = self.connect.table().await;
        let statuses = match self.status {
            Some(status) => vec![status],
            None => [Status::ACTIVE, Status::DELETING]
                .into_iter()
                .chain(DELETABLE)
                .map(ToOwned::to_owned)
                .collect(),
        };
        let mut campaigns = Vec::new();
        for status in &statuses {
            let mut listing = table.campaigns_by_status(status);
            while let Some(page) = listing.next_page(patience()).await? {
                campaigns.extend(page);
            }
        }
        if let Some(account) = &self.account {
            campaigns.retain(|listed| listed.campaign.account_id == *account);
        }
        if self.json {
            let said: Vec<_> = campaigns.iter().map(as_json).collect();
            println!("{}", serde_json::to_string_pretty(&said)?);
            return Ok(());
        }
        let mut text = TextTable::new();
        text.load_style(presets::NOTHING);
        text.set_header(["ID", "STATUS", "ACCOUNT", "UPDATED", "PROTECTED", "NAME"]);
        for ListedCampaign { campaign, .. } in &campaigns {
            text.add_row([
                campaign.id.as_str(),
                campaign.status.as_str(),
                &campaign.account_id,
                &campaign.updated_at,
                if campaign.is_protected() { "yes" } else { "" },
                &campaign.name,
            ]);
        }
        println!("{text}");
        Ok(())
    }
}

fn as_json(listed: &ListedCampaign) -> serde_json::Value {
    let campaign = &listed.campaign;
    serde_json::json!({
        "id": campaign.id.as_str(),
        "name": campaign.name,
        "accountId": campaign.account_id,
        "status": campaign.status.as_str(),
        "updatedAt": campaign.updated_at,
        "completedAt": listed.completed_at,
        "deletionProtection": campaign.is_protected(),
        "deletionId": campaign.deletion_id,
    })
}

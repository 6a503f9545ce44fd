//! The demo data: the campaign of the public reference, one campaign for each common
//! refusal, and the key that the files in `events/` carry. `serve` puts it into its
//! embedded DynamoDB, and `campaigns demo` into another endpoint on this machine. It
//! is put nowhere else, because the key is public.

use clap::Args;

use super::{
    CliError,
    connect::{Connect, patience},
    print,
    seed::{Children, Plan, REFERENCE},
};
use crate::{
    auth::{ApiKey, SCOPES, StoredKey},
    campaign::CampaignId,
    clock::now_rfc3339,
    table::{Table, item, keys},
};

/// The account of the demo data, and of the key in `events/`.
pub const DEMO_ACCOUNT: &str = "account_demo";
/// The account of the campaign that the demo account may not touch.
const OTHER_ACCOUNT: &str = "account_other";
/// The key that the files in `events/` carry.
pub const EVENTS_KEY: &str = "demo-key_for-events-only_0123456789ABCDE";

/// `campaigns demo`.
#[derive(Args, Debug)]
#[command(after_help = "\
Example, with Amazon's DynamoDB Local on port 8000:
  campaigns demo --endpoint-url http://127.0.0.1:8000")]
pub struct Demo {
    #[command(flatten)]
    connect: Connect,
}

impl Demo {
    pub(super) async fn run(self) -> Result<(), CliError> {
        if !self.connect.is_loopback() {
            return Err(CliError::Refused(
                "the demo data contains a public key, so it may only be put on this machine: name \
                 a local endpoint with --endpoint-url"
                    .to_owned(),
            ));
        }
        let table = self.connect.table().await?;
        table.create().await?;
        table.enable_time_to_live().await?;
        put(&table).await?;
        print::line(&format!("the demo data is in table {}", table.name()))
    }
}

/// Returns whether the demo data has been put: its key is put last.
///
/// # Errors
/// [`CliError`].
pub async fn is_there(table: &Table) -> Result<bool, CliError> {
    let Some(key) = ApiKey::new(EVENTS_KEY) else {
        return Ok(false);
    };
    Ok(table.stored_key(&key.hash(), patience()).await?.is_some())
}

/// The campaigns: id, name, account, status, protection, children.
fn campaigns() -> [(
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    bool,
    Children,
); 4] {
    let few = Children {
        prospects: 3,
        chats: 3,
        messages: 6,
        ..Children::default()
    };
    let demo = |id, name, status, children| (id, name, DEMO_ACCOUNT, status, false, children);
    [
        demo(
            "campaign_123",
            "Q4 Enterprise Outreach",
            "paused",
            REFERENCE,
        ),
        demo("campaign_active", "Running Outreach", "active", few),
        (
            "campaign_protected",
            "Kept Outreach",
            DEMO_ACCOUNT,
            "paused",
            true,
            few,
        ),
        (
            "campaign_foreign",
            "Somebody Else's Outreach",
            OTHER_ACCOUNT,
            "paused",
            false,
            few,
        ),
    ]
}

/// Puts whatever is missing from the demo data.
///
/// # Errors
/// [`CliError`].
pub async fn put(table: &Table) -> Result<(), CliError> {
    for (id, name, account_id, status, deletion_protection, children) in campaigns() {
        let plan = Plan {
            id: CampaignId::parse(id).map_err(|error| CliError::Refused(error.to_string()))?,
            name: name.to_owned(),
            account_id: account_id.to_owned(),
            status: status.to_owned(),
            deletion_protection,
            children,
        };
        plan.put(table, |_| ()).await?;
    }
    if let Some(key) = ApiKey::new(EVENTS_KEY) {
        let stored = StoredKey {
            key_id: "key_demo".to_owned(),
            account_id: DEMO_ACCOUNT.to_owned(),
            scopes: SCOPES.map(ToOwned::to_owned).to_vec(),
            state: "active".to_owned(),
            subscription: "active".to_owned(),
            expires_at: None,
        };
        let item = item::new_key(&stored, &now_rfc3339());
        table
            .put_new(keys::api_key(&key.hash()), item, patience())
            .await?;
    }
    Ok(())
}

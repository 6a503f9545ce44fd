//! `campaigns serve`: the whole service on this machine, with demo data and lines to
//! paste.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{Args, Parser};

use super::{
    CliError,
    connect::{Connect, DeletionOptions, number_in},
    demo::{self, DEMO_ACCOUNT},
    driver::in_the_background,
    engine::{Engine, listen},
    gateway,
    key::issue,
    print,
};
use crate::{
    auth::SCOPES,
    config::{
        DEFAULT_INLINE_BUDGET_SECONDS, DEFAULT_RATE_LIMIT, DEFAULT_TABLE_NAME, INLINE_BUDGET_RANGE,
        RATE_LIMIT_PER_MINUTE, RATE_LIMIT_RANGE,
    },
    deletion::{Deletions, HandOff},
    http::Api,
};

/// `campaigns serve`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  campaigns serve
  campaigns serve --data demo.db --port 3001 --dynamodb-port 8001")]
pub(super) struct Serve {
    /// The port of the API on 127.0.0.1.
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// The port of the embedded DynamoDB on 127.0.0.1.
    #[arg(long, default_value_t = 8000)]
    dynamodb_port: u16,
    /// Keep the data in this file; without it, the data is in memory only.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The table.
    #[arg(long, env = "TABLE_NAME", default_value = DEFAULT_TABLE_NAME)]
    table_name: String,
    /// Seconds that a request may take before it answers 202.
    #[arg(
        long,
        env = "INLINE_BUDGET_SECONDS",
        default_value_t = DEFAULT_INLINE_BUDGET_SECONDS,
        value_parser = clap::value_parser!(u64).range(INLINE_BUDGET_RANGE)
    )]
    inline_budget_seconds: u64,
    /// Requests per minute that a key may make to each route; 0 for any number.
    #[arg(
        long,
        env = RATE_LIMIT_PER_MINUTE,
        default_value_t = DEFAULT_RATE_LIMIT,
        value_parser = number_in(RATE_LIMIT_RANGE)
    )]
    rate_limit_per_minute: u32,
    #[command(flatten)]
    options: DeletionOptions,
}

#[derive(Parser)]
struct ByDefault {
    #[command(flatten)]
    serve: Serve,
}

impl Serve {
    /// `serve` with its defaults, environment included.
    pub(super) fn by_default() -> Self {
        ByDefault::parse_from(["campaigns"]).serve
    }

    pub(super) async fn run(self) -> Result<(), CliError> {
        tokio::select! {
            served = self.serve() => served,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                print::line("Stopped.")
            }
        }
    }

    async fn serve(self) -> Result<(), CliError> {
        // The API's port first: nothing is begun if it is taken.
        let listener = listen(self.port, "--port").await?;
        let address = listener.local_addr()?;
        let engine = Engine::start(self.dynamodb_port, self.data.as_deref()).await?;
        let connect = Connect {
            table_name: self.table_name.clone(),
            endpoint_url: Some(engine.endpoint_url()),
        };
        let table = connect.table().await;
        table.create().await?;
        // What was deleted of the demo data stays deleted.
        if !demo::is_there(&table).await? {
            demo::put(&table).await?;
        }
        let scopes = SCOPES.map(ToOwned::to_owned).to_vec();
        let (key, _) = issue(&table, DEMO_ACCOUNT, scopes, None).await?;
        let settings = self.options.settings()?;
        let (queue, handed_on) = tokio::sync::mpsc::unbounded_channel();
        let background = Deletions::new(table.clone(), settings.clone(), HandOff::None);
        tokio::spawn(in_the_background(background, handed_on));
        let api = Api::new(
            table.clone(),
            Deletions::new(table, settings, HandOff::Background(queue)),
            Duration::from_secs(self.inline_budget_seconds),
            NonZeroU32::new(self.rate_limit_per_minute),
        );
        let kept = self.data.as_ref().map_or_else(
            || "in memory".to_owned(),
            |file| format!("kept in {}", file.display()),
        );
        let url = format!("http://{address}/v1/campaigns");
        let header = format!("-H 'Authorization: Bearer {}'", key.reveal());
        println!(
            "The API is at http://{address}, its DynamoDB at {} (table {}, {kept}).

Show what would be deleted:
  curl -X DELETE '{url}/campaign_123?validateOnly=true' {header}

Delete \"Q4 Enterprise Outreach\" and everything in it:
  curl -X DELETE {url}/campaign_123 {header}

Refused, since it is active:
  curl -X DELETE {url}/campaign_active {header}

There are also campaign_protected and campaign_foreign (another account's). Ctrl-C stops.",
            engine.endpoint_url(),
            self.table_name,
        );
        gateway::serve(listener, api).await;
        Ok(())
    }
}

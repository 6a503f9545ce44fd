//! `campaigns serve`: the whole service on this machine, with demo data, which
//! prints commands to paste.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser};
use tokio::time::{Instant, sleep};

use super::{
    CliError,
    connect::Connect,
    demo::{self, DEMO_ACCOUNT},
    driver::in_the_background,
    engine::{Engine, listen},
    gateway,
    key::issue,
    local_s3::{BUCKET, LocalS3},
    options::{DeletionOptions, number_in},
    page::{Entrance, Page, Session},
    parse, print,
};
use crate::{
    archive::ArchiveStore,
    auth::{ApiKey, SCOPES},
    cleanup::Cleanup,
    clock::now_seconds,
    config::{
        ARCHIVE_BUCKET, ApiSettings, ConfigError, DEFAULT_INLINE_BUDGET_SECONDS,
        DEFAULT_RATE_LIMIT, DEFAULT_TABLE_NAME, EVENT_BUS_NAME, INLINE_BUDGET_RANGE,
        INLINE_BUDGET_SECONDS, RATE_LIMIT_PER_MINUTE, RATE_LIMIT_RANGE, RETENTION_MODE,
        ReceiptSettings, RetentionSettings, TABLE_NAME,
    },
    deletion::{Budget, Deletions, HandOff, Tally},
    events::EventBus,
    http::Api,
    receipts::{LocalKey, Receipts},
    sdk,
    table::Table,
};

/// The name that stands for the file of events, which is no bus.
const LOCAL_BUS: &str = "local";
/// How long the key is valid that is issued for a run: a browser may keep it in its history.
const KEY_LIFETIME: Duration = Duration::from_hours(7 * 24);
/// The longest time between two runs of the clean-up.
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);

/// `campaigns serve`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  campaigns serve
  campaigns serve --data demo.db --port 3001 --dynamodb-port 8001
  campaigns serve --archive archived
  campaigns serve --events events.jsonl")]
pub(super) struct Serve {
    /// The port of the API on 127.0.0.1.
    #[arg(long, value_name = "N", default_value_t = 3000)]
    port: u16,
    /// The port of the embedded DynamoDB on 127.0.0.1.
    #[arg(long, value_name = "N", default_value_t = 8000)]
    dynamodb_port: u16,
    /// Keep the data in this file; without it, the data is in memory only.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Serve S3, too, keep its objects in this directory, and archive deletions there.
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// The port of the local S3 on 127.0.0.1.
    #[arg(long, value_name = "N", default_value_t = 9000, requires = "archive")]
    s3_port: u16,
    /// Append an event for each finished deletion to this file, as a line of JSON.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Sign receipts with the key in this file (P-256, PKCS#8 in PEM); by default, with one that is
    /// made for this run.
    #[arg(long, value_name = "FILE")]
    receipt_key: Option<PathBuf>,
    /// The table.
    #[arg(long, env = TABLE_NAME, value_name = "NAME", default_value = DEFAULT_TABLE_NAME)]
    table_name: String,
    /// Seconds that a request may take before it answers 202.
    #[arg(
        long,
        env = INLINE_BUDGET_SECONDS,
        value_name = "N",
        default_value_t = DEFAULT_INLINE_BUDGET_SECONDS,
        value_parser = number_in(INLINE_BUDGET_RANGE)
    )]
    inline_budget_seconds: u64,
    /// Requests per minute that a key may make to each route; 0 for no limit.
    #[arg(
        long,
        env = RATE_LIMIT_PER_MINUTE,
        value_name = "N",
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
        parse::<ByDefault>(["campaigns".into()]).serve
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

    /// Returns the settings of the API, read as the function reads them.
    fn settings(&self) -> Result<ApiSettings, CliError> {
        Ok(ApiSettings::read(|variable| match variable {
            TABLE_NAME => Some(self.table_name.clone()),
            INLINE_BUDGET_SECONDS => Some(self.inline_budget_seconds.to_string()),
            RATE_LIMIT_PER_MINUTE => Some(self.rate_limit_per_minute.to_string()),
            // Without S3 beside the table, there is nothing to archive in.
            ARCHIVE_BUCKET => self.archive.as_ref().map(|_| BUCKET.to_owned()),
            EVENT_BUS_NAME => self.events.as_ref().map(|_| LOCAL_BUS.to_owned()),
            other => self.options.value(other),
        })?)
    }

    async fn serve(self) -> Result<(), CliError> {
        // The API's port first, so that nothing is started if it is taken.
        let listener = listen(self.port, "--port").await?;
        let bus = self.bus()?;
        let receipts = Receipts::by_local_key(self.local_key()?);
        let address = listener.local_addr()?;
        let engine = Engine::start(self.dynamodb_port, self.data.as_deref()).await?;
        let s3 = self.start_s3().await?;
        let connect = Connect {
            table_name: self.table_name.clone(),
            endpoint_url: Some(engine.endpoint_url()),
        };
        let table = connect.table().await?;
        table.create().await?;
        table.enable_time_to_live().await?;
        // Demo data that was deleted stays deleted.
        if !demo::is_there(&table).await? {
            demo::put(&table).await?;
        }
        let scopes = SCOPES.map(ToOwned::to_owned).to_vec();
        let expires_at = now_seconds().saturating_add_unsigned(KEY_LIFETIME.as_secs());
        let (key, _) = issue(&table, DEMO_ACCOUNT, scopes, Some(expires_at)).await?;
        let settings = self.settings()?;
        let deletion = settings.deletion.clone();
        let (queue, handed_on) = tokio::sync::mpsc::unbounded_channel();
        let store = s3.as_ref().map_or_else(ArchiveStore::default, |s3| {
            ArchiveStore::new(sdk::on_this_machine(&s3.endpoint_url()))
        });
        let tally = Tally::default();
        let deletions = |hand_off| {
            Deletions::new(table.clone(), deletion.clone(), hand_off)
                .archiving_in(store.clone())
                .announcing_on(bus.clone())
                .tallied_in(tally.clone())
        };
        let background = deletions(HandOff::None);
        tokio::spawn(in_the_background(background, handed_on));
        let handing_on = deletions(HandOff::Background(queue));
        let cleanup = stalled_only(&table, handing_on.clone())?;
        // A deletion is stalled two leases after its lease has ended.
        let interval = deletion.lease.min(LONGEST_INTERVAL);
        tokio::spawn(clean_up(cleanup, interval));
        let session = self.session(&settings, &engine, s3.as_ref());
        let page = Page::new(
            table.clone(),
            handing_on.clone(),
            tally,
            Entrance::Keys,
            session,
        );
        let api = Api::new(
            table.clone(),
            handing_on,
            settings.inline_budget,
            settings.rate_limit,
        )
        .giving_receipts(
            receipts,
            ReceiptSettings {
                issuer: Some(format!("http://{address}")),
                ..ReceiptSettings::default()
            },
        );
        print::line(&self.greeting(address, &engine, s3.as_ref(), &key, interval))?;
        gateway::serve(listener, api, Some(page)).await;
        Ok(())
    }

    /// Returns what the page is told of this server.
    fn session(&self, settings: &ApiSettings, engine: &Engine, s3: Option<&LocalS3>) -> Session {
        let s3 = s3.map(LocalS3::endpoint_url);
        let connect = Connect {
            table_name: self.table_name.clone(),
            endpoint_url: Some(engine.endpoint_url()),
        };
        Session {
            mode: "serve",
            account: Some(DEMO_ACCOUNT.to_owned()),
            chooses_account: false,
            inline_budget_seconds: settings.inline_budget.as_secs(),
            rate_limit_per_minute: self.rate_limit_per_minute,
            receipts: true,
            ..Session::over(&connect, &settings.deletion, s3.as_deref())
        }
    }

    /// Starts the local S3, if there is to be one.
    async fn start_s3(&self) -> Result<Option<LocalS3>, CliError> {
        match &self.archive {
            None => Ok(None),
            Some(directory) => LocalS3::start(self.s3_port, directory).await.map(Some),
        }
    }

    /// Returns the file of events in the place of a bus, if there is to be one.
    fn bus(&self) -> Result<EventBus, CliError> {
        let Some(file) = &self.events else {
            return Ok(EventBus::default());
        };
        EventBus::file(file).map_err(|error| {
            let file = file.display();
            CliError::Refused(format!("cannot write events to {file}: {error}"))
        })
    }

    /// Returns the key that signs receipts.
    fn local_key(&self) -> Result<LocalKey, CliError> {
        let Some(file) = &self.receipt_key else {
            let made = LocalKey::generate();
            return made
                .ok_or_else(|| CliError::Refused("this system has no randomness".to_owned()));
        };
        let shown = file.display();
        let text = std::fs::read_to_string(file).map_err(|error| {
            CliError::Refused(format!("cannot read the key in {shown}: {error}"))
        })?;
        LocalKey::from_pem(&text).ok_or_else(|| {
            CliError::Refused(format!(
                "{shown} has no private key of P-256 in PEM (PKCS#8); make one in a new file with: \
                 openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out new-key.pem"
            ))
        })
    }

    /// Returns what is printed once everything runs: addresses, and commands to paste.
    fn greeting(
        &self,
        address: SocketAddr,
        engine: &Engine,
        s3: Option<&LocalS3>,
        key: &ApiKey,
        interval: Duration,
    ) -> String {
        let kept = self.data.as_ref().map_or_else(
            || "in memory".to_owned(),
            |file| format!("kept in {}", file.display()),
        );
        let archive = self.archive.as_ref().zip(s3);
        let archive = archive.map_or_else(String::new, |(directory, s3)| {
            let (url, directory) = (s3.endpoint_url(), directory.display());
            format!("\nIts S3 is at {url} (bucket {BUCKET}, kept in {directory}).")
        });
        let events = self.events.as_ref().map_or_else(String::new, |file| {
            format!(
                "\nEvents of finished deletions are appended to {}.",
                file.display()
            )
        });
        let url = format!("http://{address}/v1/campaigns");
        let header = format!("-H 'Authorization: Bearer {}'", key.reveal());
        format!(
            "Open http://{address}/#key={} in a browser, or paste a command.
The API is at http://{address}, its DynamoDB at {} (table {}, {kept}).{archive}{events}

Show what would be deleted:
  curl -X DELETE '{url}/campaign_123?validateOnly=true' {header}

Delete \"Q4 Enterprise Outreach\" and everything in it:
  curl -X DELETE {url}/campaign_123 {header}

Refused, since it is active:
  curl -X DELETE {url}/campaign_active {header}

There are also campaign_protected and campaign_foreign (another account's). The clean-up runs
every {} seconds and resumes interrupted deletions. Ctrl-C stops.",
            key.reveal(),
            engine.endpoint_url(),
            self.table_name,
            interval.as_secs(),
        )
    }
}

/// Returns a clean-up that resumes stalled deletions and has no retention.
fn stalled_only(table: &Table, deletions: Deletions) -> Result<Cleanup, ConfigError> {
    let retention = RetentionSettings::read(|variable| match variable {
        RETENTION_MODE => Some("enforce".to_owned()),
        _ => None,
    })?;
    Ok(Cleanup::new(table.clone(), deletions, retention))
}

/// Runs the clean-up at once, and then periodically, as the template's schedule does.
async fn clean_up(cleanup: Cleanup, interval: Duration) {
    loop {
        let budget = Budget::new(Instant::now(), LONGEST_INTERVAL, None);
        match Box::pin(cleanup.run(budget)).await {
            Ok(summary) if summary.resumed.is_empty() => {}
            Ok(summary) => tracing::info!("resumed {} deletions", summary.resumed.len()),
            Err(error) => tracing::warn!("the clean-up failed: {error}"),
        }
        sleep(interval).await;
    }
}

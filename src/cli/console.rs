//! `campaigns console`: the page over a table of the operator's own, on this machine alone.

use std::{net::SocketAddr, time::Duration};

use clap::Args;

use super::{
    CliError,
    connect::{Confirm, Connect, account_id, state_machine},
    driver::in_the_background,
    engine::listen,
    gateway,
    key::generate,
    options::{ArchiveBucket, DeletionOptions, ReceiptOptions},
    page::{Entrance, Page, Session},
    print::{self, plain},
};
use crate::{
    auth::ApiKey,
    config::{self, DEFAULT_INLINE_BUDGET_SECONDS},
    deletion::{Deletions, HandOff, Tally},
    http::{Api, Operator},
};

/// `campaigns console`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  campaigns console --table-name TABLE
  campaigns console --endpoint-url http://127.0.0.1:8000 --account account_demo

It prints the address to open. Whoever has it can delete campaigns until Ctrl-C stops
the command. Nothing is deleted before its name or id is typed in the browser.")]
pub(super) struct Console {
    /// The port on 127.0.0.1.
    #[arg(long, value_name = "N", default_value_t = 3001)]
    port: u16,
    /// Show and delete campaigns of this account; by default, of every account.
    #[arg(long, value_parser = account_id)]
    account: Option<String>,
    /// The state machine that continues unfinished deletions; without one, this process does.
    #[arg(long, env = config::STATE_MACHINE_ARN, value_name = "ARN", default_value = "", hide_default_value = true)]
    state_machine_arn: String,
    #[command(flatten)]
    receipts: ReceiptOptions,
    #[command(flatten)]
    options: DeletionOptions,
    #[command(flatten)]
    bucket: ArchiveBucket,
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    confirm: Confirm,
}

impl Console {
    pub(super) async fn run(self) -> Result<(), CliError> {
        tokio::select! {
            served = self.serve() => served,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                print::line(
                    "Stopped. The clean-up resumes unfinished deletions, as does another DELETE."
                )
            }
        }
    }

    async fn serve(&self) -> Result<(), CliError> {
        let settings = self.options.settings(Some(&self.bucket))?;
        let what = "let a browser on this machine delete campaigns";
        self.connect.confirm(what, self.confirm)?;
        let listener = listen(self.port, "--port").await?;
        let address = listener.local_addr()?;
        let table = self.connect.table().await?;
        let store = self.bucket.store(&self.connect).await?;
        let bus = self.options.events.bus(&self.connect).await?;
        let (receipts, receipt_settings) = self.receipts.receipts(&self.connect).await?;
        let tally = Tally::default();
        let deletions = |hand_off| {
            Deletions::new(table.clone(), settings.clone(), hand_off)
                .archiving_in(store.clone())
                .announcing_on(bus.clone())
                .tallied_in(tally.clone())
        };
        let deletions = match state_machine(&self.state_machine_arn, self.confirm).await? {
            HandOff::None => {
                let (queue, handed_on) = tokio::sync::mpsc::unbounded_channel();
                tokio::spawn(in_the_background(deletions(HandOff::None), handed_on));
                deletions(HandOff::Background(queue))
            }
            hand_off => deletions(hand_off),
        };
        let (token, _) = generate("", Vec::new(), None)?;
        let operator = Operator::new(&token, self.account.clone());
        let session = Session {
            account: self.account.clone(),
            chooses_account: self.account.is_none(),
            receipts: !receipts.is_none(),
            ..Session::over(
                &self.connect,
                &settings,
                self.bucket.endpoint_url().as_deref(),
            )
        };
        let entrance = Entrance::Operator(operator.clone());
        let page = Page::new(table.clone(), deletions.clone(), tally, entrance, session);
        let inline = Duration::from_secs(DEFAULT_INLINE_BUDGET_SECONDS);
        let api = Api::new(table, deletions, inline, None)
            .giving_receipts(receipts, receipt_settings)
            .operated_by(operator);
        print::line(&self.greeting(address, &token))?;
        gateway::serve(listener, api, Some(page)).await;
        Ok(())
    }

    fn greeting(&self, address: SocketAddr, token: &ApiKey) -> String {
        let table = plain(&self.connect.table_name);
        let endpoint = match self.connect.url() {
            Some(url) => format!(" at {}", plain(&url)),
            None => String::new(),
        };
        let whose = match &self.account {
            Some(account) => format!("account {}", plain(account)),
            None => "every account".to_owned(),
        };
        let archive = match self.bucket.name() {
            Some(bucket) => format!(" Deletions are archived in bucket {}.", plain(bucket)),
            None => " Deletions are not archived (--archive-bucket).".to_owned(),
        };
        format!(
            "Open http://{address}/#key={} in a browser.
It shows the campaigns of {whose} in table {table}{endpoint}. Whoever has this address can delete
them, so keep it to yourself.{archive} Ctrl-C stops.",
            token.reveal()
        )
    }
}

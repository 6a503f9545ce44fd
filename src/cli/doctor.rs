//! `campaigns doctor`: checks a table and a deployment, and says what to do about what it
//! finds. Without `--live` it reads; with it, it makes a few campaigns, deletes them through
//! the API, and takes away everything that it made.

mod archive;
mod check;
mod data;
mod gateway;
mod live;
mod report;
mod service;
mod settings;
mod surroundings;

use clap::Args;

use self::{
    check::Check, gateway::Caller, live::Live, service::Service, surroundings::Surroundings,
};
use super::{
    CliError,
    connect::{Confirm, Connect},
    options::{ArchiveBucket, DeletionOptions},
    web::{Web, api_key},
};
use crate::config;

/// `campaigns doctor`.
#[derive(Args, Debug)]
#[command(after_help = "\
Each check is ok, warning, failed or skipped; the exit code is 1 if one has failed.
A request with a key is counted in the key's item, as the API counts every request.

Examples:
  campaigns doctor --endpoint-url http://127.0.0.1:8000
  campaigns doctor --table-name TABLE --api-url URL --key KEY
  campaigns doctor --table-name TABLE --api-url URL --live")]
pub(super) struct Doctor {
    /// The URL of the API, without /v1.
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
    /// An API key; without one, requests that need a key are skipped, or use the key that
    /// --live issues.
    #[arg(long, value_parser = api_key, allow_hyphen_values = true)]
    key: Option<String>,
    /// Make campaigns of an account of its own, delete them through the API, and remove
    /// everything again, also what an earlier run that was killed has left.
    #[arg(long, requires = "api_url")]
    live: bool,
    /// The state machine that continues deletions.
    #[arg(long, env = config::STATE_MACHINE_ARN, value_name = "ARN", default_value = "", hide_default_value = true)]
    state_machine_arn: String,
    /// The name of the function `api`, whose settings are compared.
    #[arg(long, value_name = "NAME")]
    api_function: Option<String>,
    /// The name of the EventBridge rule that starts the clean-up.
    #[arg(long, value_name = "NAME")]
    cleanup_rule: Option<String>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: DeletionOptions,
    #[command(flatten)]
    bucket: ArchiveBucket,
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    confirm: Confirm,
}

impl Doctor {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let state_machine = config::state_machine_arn(Some(self.state_machine_arn.clone()))?;
        let settings = self.options.settings(Some(&self.bucket))?;
        let web = self.api_url.as_deref().map(Web::new).transpose()?;
        if self.live {
            let what = "make and delete campaigns of an account of its own";
            self.connect.confirm(what, self.confirm)?;
        }
        let (service, mut checks) = Service::of(&self.connect).await?;
        checks.extend(settings::checks(&service, settings.pace).await);
        checks.extend(data::checks(&service, &settings).await);
        let bucket = settings.archive.as_ref();
        checks.extend(archive::checks(bucket, &self.bucket, &self.connect).await);
        let live = match (service.usable(), &web) {
            (Some(table), Some(web)) if self.live => Some(Live::new(table, web)?),
            _ => None,
        };
        let around = Around {
            service: &service,
            web: web.as_ref(),
            state_machine,
            live: live.as_ref(),
        };
        let looking = self.look_around(around);
        checks.extend(match &live {
            Some(live) => Box::pin(live.whatever_happens(looking)).await?,
            None => Box::pin(looking).await,
        });
        let bucket = self.bucket.endpoint_url();
        let bucket = bucket.map(|url| ["--endpoint-url".to_owned(), url]);
        for check in &mut checks {
            check.complete("campaigns ", &self.connect.options());
            check.complete("aws dynamodb ", &self.connect.endpoint_option());
            check.complete("aws s3api ", bucket.as_ref().map_or(&[], |option| option));
        }
        report::print(&checks, self.json)?;
        failures(&checks)
    }

    /// Checks what is around the table, and with `--live` goes through it.
    async fn look_around(&self, around: Around<'_>) -> Vec<Check> {
        let begun = match around.live {
            Some(live) => live.begin().await,
            None => Vec::new(),
        };
        let issued = around.live.and_then(Live::key);
        let caller = Caller {
            web: around.web,
            key: self.key.as_deref().or(issued),
            service: around.service,
        };
        let mut checks = caller.checks().await;
        let surroundings = Surroundings {
            state_machine: around.state_machine,
            api_function: self.api_function.as_deref(),
            cleanup_rule: self.cleanup_rule.as_deref(),
            event_bus: self.options.events.name(),
            service: around.service,
        };
        checks.extend(surroundings.checks().await);
        checks.extend(begun);
        match around.live {
            Some(live) => checks.extend(live.steps().await),
            None if self.live => checks.extend(live::skipped()),
            None => {}
        }
        checks
    }
}

/// What is looked at beside the table.
struct Around<'a> {
    service: &'a Service,
    web: Option<&'a Web>,
    state_machine: Option<String>,
    live: Option<&'a Live<'a>>,
}

/// Fails if a check has failed, so that the exit code says it.
fn failures(checks: &[Check]) -> Result<(), CliError> {
    match checks.iter().filter(|check| check.is_failed()).count() {
        0 => Ok(()),
        failed => Err(CliError::Refused(format!(
            "{failed} of {} checks failed",
            checks.len()
        ))),
    }
}

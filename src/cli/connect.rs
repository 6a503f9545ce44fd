//! Which table a command talks to, and the confirmation before it writes to one
//! that is not on this machine.

use std::{
    io::{IsTerminal, Write},
    net::IpAddr,
    ops::RangeInclusive,
    time::Duration,
};

use aws_config::Region;
use aws_sdk_dynamodb::{Client, config::Credentials};
use clap::{Args, builder::RangedI64ValueParser};
use lambda_http::http::Uri;
use tokio::time::Instant;

use super::CliError;
use crate::{
    config::{
        AUDIT_RETENTION_DAYS, ConfigError, DAYS_RANGE, DEFAULT_LEASE_SECONDS, DEFAULT_TABLE_NAME,
        DeletionSettings, LEASE_RANGE, LEASE_SECONDS, MAX_RETENTION_WRITE_UNITS_PER_SECOND,
        MAX_WRITE_UNITS_PER_SECOND, PACE_RANGE, TABLE_NAME,
    },
    sdk,
    table::Table,
};

/// How long a terminal waits for the answer to one request, retries included.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// The options that say which table.
#[derive(Args, Clone, Debug)]
pub struct Connect {
    /// The table.
    #[arg(long, env = TABLE_NAME, default_value = DEFAULT_TABLE_NAME)]
    pub table_name: String,
    /// The DynamoDB endpoint; by default, the one of the SDK's own configuration.
    #[arg(long, env = "AWS_ENDPOINT_URL_DYNAMODB", value_name = "URL")]
    pub endpoint_url: Option<String>,
}

/// The options that say how a deletion is done.
#[derive(Args, Clone, Copy, Debug)]
pub struct DeletionOptions {
    /// Seconds after which another worker may take over a silent one.
    #[arg(
        long,
        env = LEASE_SECONDS,
        default_value_t = DEFAULT_LEASE_SECONDS,
        value_parser = clap::value_parser!(u64).range(LEASE_RANGE)
    )]
    lease_seconds: u64,
    /// Write units per second that a deletion may consume; 0 for no limit.
    #[arg(
        long,
        env = MAX_WRITE_UNITS_PER_SECOND,
        default_value_t = 0,
        value_parser = number_in(PACE_RANGE)
    )]
    max_write_units_per_second: u32,
    /// The same for a deletion that retention starts; by default, the same value.
    #[arg(
        long,
        env = MAX_RETENTION_WRITE_UNITS_PER_SECOND,
        value_parser = number_in(PACE_RANGE)
    )]
    max_retention_write_units_per_second: Option<u32>,
    /// Days for which the record of a finished deletion is kept; 0 for indefinitely.
    #[arg(
        long,
        env = AUDIT_RETENTION_DAYS,
        default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(DAYS_RANGE)
    )]
    audit_retention_days: u64,
}

/// A parser of numbers in this range.
#[must_use]
pub fn number_in(range: RangeInclusive<u32>) -> RangedI64ValueParser<u32> {
    let (least, most) = range.into_inner();
    clap::value_parser!(u32).range(i64::from(least)..=i64::from(most))
}

impl DeletionOptions {
    /// Returns the settings of a deletion, read as a function reads them.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn settings(self) -> Result<DeletionSettings, ConfigError> {
        DeletionSettings::read(|variable| match variable {
            LEASE_SECONDS => Some(self.lease_seconds.to_string()),
            MAX_WRITE_UNITS_PER_SECOND => Some(self.max_write_units_per_second.to_string()),
            MAX_RETENTION_WRITE_UNITS_PER_SECOND => self
                .max_retention_write_units_per_second
                .map(|units| units.to_string()),
            AUDIT_RETENTION_DAYS => Some(self.audit_retention_days.to_string()),
            _ => None,
        })
    }
}

/// The option that answers the confirmation.
#[derive(Args, Clone, Copy, Debug)]
pub struct Confirm {
    /// Do not ask before writing to an endpoint that is not on this machine.
    #[arg(long)]
    pub yes: bool,
}

/// The instant until which a request that starts now is waited for.
#[must_use]
pub fn patience() -> Instant {
    Instant::now() + PATIENCE
}

impl Connect {
    /// The table. An endpoint on this machine needs no credentials and no
    /// region: it gets placeholders where the environment has none.
    pub async fn table(&self) -> Table {
        let mut loader = sdk::config();
        // Set even if the SDK would find it, so that the endpoint that was checked is the
        // one that is called.
        if let Some(url) = self.url() {
            loader = loader.endpoint_url(url);
        }
        if self.is_loopback() {
            let unset = |variable| std::env::var_os(variable).is_none();
            if unset("AWS_REGION") && unset("AWS_DEFAULT_REGION") {
                loader = loader.region(Region::from_static("us-east-1"));
            }
            if unset("AWS_ACCESS_KEY_ID") && unset("AWS_PROFILE") {
                let local = Credentials::new("local", "local", None, None, "local");
                loader = loader.credentials_provider(local);
            }
        }
        Table::new(Client::new(&loader.load().await), self.table_name.clone())
    }

    /// Returns whether the endpoint is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.url().as_deref().is_some_and(is_loopback)
    }

    fn url(&self) -> Option<String> {
        let general = || std::env::var("AWS_ENDPOINT_URL").ok();
        self.endpoint_url.clone().or_else(general)
    }

    /// Asks before something is written to an endpoint that is not on this
    /// machine.
    ///
    /// # Errors
    /// [`CliError::Refused`] when the answer is no, or standard input is not a terminal.
    pub fn confirm(&self, what: &str, confirm: Confirm) -> Result<(), CliError> {
        if confirm.yes || self.is_loopback() {
            return Ok(());
        }
        let endpoint = self
            .url()
            .unwrap_or_else(|| "the AWS endpoint of your configuration".to_owned());
        let table = &self.table_name;
        if !std::io::stdin().is_terminal() {
            return Err(CliError::Refused(format!(
                "confirm with --yes to {what} in table {table} at {endpoint}"
            )));
        }
        eprint!("About to {what} in table {table} at {endpoint}. Continue? [y/N] ");
        std::io::stderr().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            Ok(())
        } else {
            Err(CliError::Refused("cancelled".to_owned()))
        }
    }
}

fn is_loopback(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_written_to_without_asking() {
        for url in [
            "http://127.0.0.1:8000",
            "http://localhost:8000",
            "http://[::1]:8000/",
            "http://127.9.9.9",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "https://dynamodb.eu-central-1.amazonaws.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://10.0.0.1:8000",
            "127.0.0.1@example.com",
            "nonsense",
            "",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}

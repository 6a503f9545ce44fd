//! Which table a command talks to, and the confirmation before it writes to one
//! that is not on this machine.

use std::{
    io::{ErrorKind, IsTerminal, Write},
    net::IpAddr,
    time::Duration,
};

use aws_config::SdkConfig;
use clap::Args;
use lambda_http::http::{Uri, uri::Scheme};
use tokio::{net::TcpStream, time::Instant};

use super::{CliError, print::plain};
use crate::{
    auth::{LONGEST_ACCOUNT_ID, is_account_id},
    config::{self, DEFAULT_TABLE_NAME, TABLE_NAME, environment, table_name},
    deletion::HandOff,
    sdk,
    table::Table,
};

/// How long a terminal waits for the answer to one request, retries included.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// The variable that names the endpoint of DynamoDB.
pub const ENDPOINT_URL: &str = "AWS_ENDPOINT_URL_DYNAMODB";
const SFN_ENDPOINT_URL: &str = "AWS_ENDPOINT_URL_SFN";

/// The options that say which table.
#[derive(Args, Clone, Debug)]
pub struct Connect {
    /// The table.
    #[arg(long, env = TABLE_NAME, value_name = "NAME", default_value = DEFAULT_TABLE_NAME)]
    pub table_name: String,
    /// The DynamoDB endpoint; by default, the one in the SDK's own configuration.
    #[arg(long, env = ENDPOINT_URL, value_name = "URL")]
    pub endpoint_url: Option<String>,
}

/// Parses the id of an account, by the rule that every part of the service uses.
///
/// # Errors
/// A message that says what is allowed.
pub fn account_id(text: &str) -> Result<String, String> {
    if is_account_id(text) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must be 1 to {LONGEST_ACCOUNT_ID} bytes, not blank and free of control characters"
        ))
    }
}

/// The option that answers the confirmation.
#[derive(Args, Clone, Copy, Debug)]
pub struct Confirm {
    /// Do not ask before writing to an endpoint that is not on this machine.
    #[arg(long)]
    pub yes: bool,
}

/// Returns the instant until which to wait for a request that starts now.
#[must_use]
pub fn patience() -> Instant {
    Instant::now() + PATIENCE
}

impl Connect {
    /// Returns the table.
    ///
    /// # Errors
    /// [`CliError`] for a setting that is wrong or missing, and for an endpoint on this
    /// machine where nothing is listening: waiting would not help.
    pub async fn table(&self) -> Result<Table, CliError> {
        let table_name = table_name(Some(self.table_name.clone()))?;
        let config = match self.url() {
            Some(url) => configuration(ENDPOINT_URL, &url).await?,
            None => from_environment().await?,
        };
        Ok(Table::new(sdk::dynamodb(&config), table_name))
    }

    /// Returns whether the endpoint is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.url().as_deref().is_some_and(is_loopback)
    }

    /// Returns the endpoint, if one is given.
    pub(super) fn url(&self) -> Option<String> {
        self.endpoint_url.clone().or_else(general_url)
    }

    /// Returns the options that name this table to another command: all of them, since a variable
    /// may name another table than the default.
    pub(super) fn options(&self) -> Vec<String> {
        let mut words = vec!["--table-name".to_owned(), self.table_name.clone()];
        words.extend(self.endpoint_option());
        words
    }

    /// Returns the option that names the endpoint to another command, if one is given.
    pub(super) fn endpoint_option(&self) -> Vec<String> {
        let url = self.url().into_iter();
        url.flat_map(|url| ["--endpoint-url".to_owned(), url])
            .collect()
    }

    /// Asks before something is written to an endpoint that is not on this
    /// machine.
    ///
    /// # Errors
    /// [`CliError::Refused`] when the answer is no, or standard input is not a terminal.
    pub fn confirm(&self, what: &str, confirm: Confirm) -> Result<(), CliError> {
        if self.is_loopback() {
            return Ok(());
        }
        let endpoint = self
            .url()
            .unwrap_or_else(|| "the AWS endpoint of your configuration".to_owned());
        let table = &self.table_name;
        ask(&format!("{what} in table {table} at {endpoint}"), confirm)
    }
}

/// Returns the hand-off to the state machine with this ARN, or none if the ARN is empty.
/// Asks first if the state machine is not on this machine, even if the table is.
///
/// # Errors
/// [`CliError`], as for [`Connect::table`] and [`Connect::confirm`].
pub async fn state_machine(arn: &str, confirm: Confirm) -> Result<HandOff, CliError> {
    let Some(arn) = config::state_machine_arn(Some(arn.to_owned()))? else {
        return Ok(HandOff::None);
    };
    if !service_url(SFN_ENDPOINT_URL)
        .as_deref()
        .is_some_and(is_loopback)
    {
        ask(&format!("start executions of {arn}"), confirm)?;
    }
    let config = step_functions().await?;
    Ok(HandOff::to_state_machine(Some(arn), &config))
}

/// Returns the configuration for Step Functions.
///
/// # Errors
/// [`CliError`], as for [`Connect::table`].
pub(super) async fn step_functions() -> Result<SdkConfig, CliError> {
    Ok(service(SFN_ENDPOINT_URL).await?.0)
}

/// Returns the configuration for the service that has its endpoint in this variable, and
/// the endpoint if there is one.
///
/// # Errors
/// [`CliError`], as for [`Connect::table`].
pub(super) async fn service(
    variable: &'static str,
) -> Result<(SdkConfig, Option<String>), CliError> {
    let url = service_url(variable);
    let config = match &url {
        Some(url) if is_loopback(url) => configuration(variable, url).await?,
        _ => from_environment().await?,
    };
    Ok((config, url))
}

pub(super) fn service_url(variable: &str) -> Option<String> {
    let own = environment(variable).filter(|_| !ignores_endpoints());
    own.or_else(general_url)
}

/// Asks for a confirmation, which only `y` or `yes` gives.
fn ask(what: &str, confirm: Confirm) -> Result<(), CliError> {
    if confirm.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(CliError::Refused(format!("pass --yes to {what}")));
    }
    let mut question = std::io::stderr().lock();
    write!(question, "About to {}. Continue? [y/N] ", plain(what))?;
    question.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(CliError::Refused("cancelled".to_owned()))
    }
}

/// Returns whether the endpoints of the environment are to be ignored, which is a
/// setting of the SDK.
#[must_use]
pub fn ignores_endpoints() -> bool {
    environment("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Returns the endpoint that the environment names for every service, if it does.
fn general_url() -> Option<String> {
    environment("AWS_ENDPOINT_URL").filter(|_| !ignores_endpoints())
}

/// Returns the configuration for this endpoint.
pub(super) async fn configuration(name: &'static str, url: &str) -> Result<SdkConfig, CliError> {
    let uri = sdk::endpoint(name, url)?;
    if uri.scheme() == Some(&Scheme::HTTPS) {
        has_certificates()?;
    }
    if !is_loopback(url) {
        // Given even if the SDK would find it, so that the endpoint that was checked is the
        // one that is called.
        return Ok(sdk::load(Some(url)).await?);
    }
    let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    });
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Err(error) = TcpStream::connect((host, port)).await
        && error.kind() == ErrorKind::ConnectionRefused
    {
        return Err(CliError::Refused(format!(
            "nothing is listening at {url}: start `campaigns serve`, or name another endpoint"
        )));
    }
    Ok(sdk::on_this_machine(url))
}

/// Returns the configuration of the environment and of its profile.
pub(super) async fn from_environment() -> Result<SdkConfig, CliError> {
    has_certificates()?;
    Ok(sdk::load(None).await?)
}

/// Fails if this machine has no certificates: no TLS connection would succeed.
fn has_certificates() -> Result<(), CliError> {
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        return Err(CliError::Refused(
            "there are no CA certificates on this machine: install them, or name a file of them \
             in SSL_CERT_FILE"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Returns whether a URL is one of this machine.
pub(super) fn is_loopback(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    if uri.scheme().is_none() {
        return false;
    }
    let host = uri.host().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
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
            "http://LocalHost:8000",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "https://dynamodb.eu-central-1.amazonaws.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://10.0.0.1:8000",
            "127.0.0.1@example.com",
            "localhost",
            "127.0.0.1",
            "nonsense",
            "",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}

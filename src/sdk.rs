//! The AWS SDK: one configuration for every service that is called, and what a
//! failed call says to a log.

use std::{fmt, time::Duration};

use aws_config::{BehaviorVersion, ConfigLoader, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};

/// How long one attempt may take to connect. Within a region it takes a few
/// milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the first byte of an answer may take. DynamoDB answers in single
/// to low double-digit milliseconds; 3 s leaves room for a full 1 MB page and
/// for six more attempts in the default budget.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// After how long an idle connection is closed: less than the time after which the
/// other end, or a frozen function's network, may have dropped it.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long one attempt may take in all.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// The SDK's configuration chain with this project's timeouts and with the SDK's own
/// retries off (see `table/retry.rs`).
#[must_use]
pub fn config() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .build(),
        )
        .http_client(http_client())
}

/// The SDK's own HTTP client, but one for all of its service clients, with timeouts that
/// no configuration of a service client changes: by itself each of them makes two,
/// and each puts every certificate of the machine's trust store into its own. Made
/// at once, so that no request waits for it.
fn http_client() -> SharedHttpClient {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .build();
    let connector = Connector::builder()
        .connector_settings(settings)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .sleep_impl(TokioSleep::new())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build();
    let connector = SharedHttpConnector::new(connector);
    http_client_fn(move |_, _| connector.clone())
}

/// Why a call failed, fit for a log: the operation, the error code and the
/// service's message; never an item, a header or a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause(String);

impl Cause {
    /// Returns the cause of a request that could not be built.
    #[must_use]
    pub fn unbuilt(error: &BuildError) -> Self {
        Self(error.to_string())
    }

    /// Returns a cause in words.
    #[must_use]
    pub fn because(why: &str) -> Self {
        Self(why.to_owned())
    }

    /// Returns the cause of a failed call.
    #[must_use]
    pub fn of<E: ProvideErrorMetadata>(operation: &'static str, error: &SdkError<E>) -> Self {
        let why = match error {
            SdkError::ServiceError(service) => format!(
                "{} ({}): {}",
                service.err().code().unwrap_or("no error code"),
                service.raw().status(),
                service.err().message().unwrap_or("no message"),
            ),
            SdkError::TimeoutError(_) => "the attempt timed out".to_owned(),
            SdkError::ResponseError(_) => "the answer was unreadable".to_owned(),
            SdkError::DispatchFailure(dispatch) => dispatch.as_connector_error().map_or_else(
                || "the request could not be sent".to_owned(),
                |error| chain_of_sources(error),
            ),
            SdkError::ConstructionFailure(_) => "the request could not be built".to_owned(),
            _ => "unknown failure".to_owned(),
        };
        Self(format!("{operation}: {why}"))
    }

    /// Returns the cause of a call whose deadline came before an answer.
    #[must_use]
    pub fn deadline(operation: &'static str) -> Self {
        Self(format!("{operation}: the deadline came first"))
    }
}

/// Returns the error and its sources in one line. `Debug` of an SDK error can contain
/// items; `Display` does not.
fn chain_of_sources(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

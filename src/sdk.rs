//! The AWS SDK's configuration: one for every service that is talked to.

use std::time::Duration;

use aws_config::{BehaviorVersion, ConfigLoader, retry::RetryConfig, timeout::TimeoutConfig};
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
        .sleep_impl(TokioSleep::new())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build();
    let connector = SharedHttpConnector::new(connector);
    http_client_fn(move |_, _| connector.clone())
}

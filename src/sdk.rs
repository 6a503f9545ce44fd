//! The AWS SDK's configuration: one for every service that is talked to.

use std::{sync::OnceLock, time::Duration};

use aws_config::{
    BehaviorVersion, ConfigLoader, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};

/// How long one attempt may take to connect. Within a region it takes a few
/// milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the first byte of an answer may take. DynamoDB answers in single
/// to low double-digit milliseconds; 3 s leaves room for a full 1 MB page and
/// for six more attempts in the default budget.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one attempt may take in all.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// The SDK's configuration chain with this project's timeouts, with the SDK's own
/// retries off (see `table/retry.rs`), and without its watch over streams that
/// stall: an answer is a megabyte at most, and an attempt has a timeout.
#[must_use]
pub fn config() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .build(),
        )
        .http_client(http_client())
}

/// The SDK's own HTTP client, but one for all of its service clients, and made once:
/// by itself each of them makes two, and each reads every certificate of the
/// machine's trust store, which is most of what a cold start takes.
fn http_client() -> SharedHttpClient {
    let connector = OnceLock::new();
    http_client_fn(move |settings, components| {
        let make = || {
            let mut connector = Connector::builder()
                .connector_settings(settings.clone())
                .tls_provider(Provider::Rustls(CryptoMode::AwsLc));
            connector.set_sleep_impl(components.sleep_impl());
            SharedHttpConnector::new(connector.build())
        };
        connector.get_or_init(make).clone()
    })
}

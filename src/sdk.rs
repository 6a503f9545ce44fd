//! The AWS SDK: one configuration for every service that is called, what has to be
//! right before the first request, and how a log describes a failed call.

mod cause;
mod credentials;
mod json;
mod regional;
mod signed;

use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region, SdkConfig, identity::IdentityCache, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn},
    orchestrator::HttpResponse,
    result::SdkError,
};
use lambda_http::http::{Uri, uri::Scheme};

pub use self::{
    cause::Cause,
    credentials::{has_no_credentials, is_code_of_signing, is_of_signing},
    json::{JsonAnswer, JsonService},
    regional::{Skew, domain},
    signed::{SignedBody, ToSign, signature, signed_request},
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

/// The variables that name an endpoint: of every service, and of each that is called.
pub const ENDPOINT_URLS: [&str; 6] = [
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_SFN",
    "AWS_ENDPOINT_URL_S3",
    EVENTBRIDGE_ENDPOINT_URL,
    KMS_ENDPOINT_URL,
];

/// The variable that names the endpoint of EventBridge ("Service-specific endpoints", AWS SDKs
/// and Tools Reference Guide).
pub const EVENTBRIDGE_ENDPOINT_URL: &str = "AWS_ENDPOINT_URL_EVENTBRIDGE";
/// The variable that names the endpoint of KMS, by the same guide.
pub const KMS_ENDPOINT_URL: &str = "AWS_ENDPOINT_URL_KMS";

/// The access key of this machine's endpoints, and its secret.
pub const LOCAL_KEY: &str = "local";

/// A missing or wrong setting: no request can be sent, however long one waits.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No region is configured.
    #[error(
        "AWS_REGION is not set; allowed: a region such as eu-central-1, here or in the profile"
    )]
    NoRegion,
    /// The region is not a valid name.
    #[error("AWS_REGION is '{0}'; allowed: a region such as eu-central-1")]
    BadRegion(String),
    /// An endpoint is not a URL.
    #[error("{variable} is '{value}'; allowed: a URL such as http://127.0.0.1:8000")]
    BadEndpoint {
        /// The variable, or the option that stands for it.
        variable: &'static str,
        /// What it is.
        value: String,
    },
    /// A custom endpoint is set together with a rule that chooses one of AWS's.
    #[error("{variable} is set, and so is {rule}; allowed: only one of them")]
    EndpointAgainstRule {
        /// The endpoint's variable.
        variable: &'static str,
        /// The variable of the rule.
        rule: &'static str,
    },
    /// There are no credentials.
    #[error("no AWS credentials: {0}; set AWS_PROFILE or AWS_ACCESS_KEY_ID, or sign in")]
    NoCredentials(String),
}

/// Loads the SDK's own configuration (environment, profile, service of the host), with
/// this project's timeouts and without the SDK's retries (see `table/retry.rs`). An
/// endpoint that is given here is called, whatever the environment and the profile say.
///
/// # Errors
/// [`SetupError`] for whatever would make every request fail.
pub async fn load(endpoint_url: Option<&str>) -> Result<SdkConfig, SetupError> {
    for variable in ENDPOINT_URLS {
        if let Some(value) = set(variable) {
            endpoint(variable, &value)?;
        }
    }
    let http_client = http_client(&Scheme::HTTPS, IDLE_TIMEOUT);
    let credentials = credentials::Current::new(http_client.clone());
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(url) = endpoint_url {
        loader = loader.endpoint_url(url);
    }
    let config = loader
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts())
        .http_client(http_client)
        .credentials_provider(SharedCredentialsProvider::new(credentials.clone()))
        .identity_cache(IdentityCache::no_cache())
        .load()
        .await;
    let region = config.region().map(ToString::to_string);
    let region = region.filter(|region| !region.is_empty());
    let region = region.ok_or(SetupError::NoRegion)?;
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !region.bytes().all(allowed) {
        return Err(SetupError::BadRegion(region));
    }
    for (is_set, rule) in [
        (config.use_fips(), "AWS_USE_FIPS_ENDPOINT"),
        (config.use_dual_stack(), "AWS_USE_DUALSTACK_ENDPOINT"),
    ] {
        let given = endpoint_url.map(|_| "AWS_ENDPOINT_URL_DYNAMODB");
        let named = given.or_else(|| ENDPOINT_URLS.into_iter().find(|name| set(name).is_some()));
        if let (Some(true), Some(variable)) = (is_set, named) {
            return Err(SetupError::EndpointAgainstRule { variable, rule });
        }
    }
    credentials.check().await?;
    Ok(config)
}

/// Returns the configuration for an endpoint of this machine. It is the same whatever
/// the environment and the profiles say: an emulator knows no regions, credentials,
/// proxies and endpoints of AWS.
#[must_use]
pub fn on_this_machine(endpoint_url: &str) -> SdkConfig {
    closing_after(IDLE_TIMEOUT, endpoint_url)
}

/// The same, with another time after which idle connections are closed.
fn closing_after(idle: Duration, endpoint_url: &str) -> SdkConfig {
    let credentials = Credentials::new(LOCAL_KEY, LOCAL_KEY, None, None, "local");
    let scheme = endpoint_url.parse::<Uri>().ok();
    let scheme = scheme.and_then(|uri| uri.scheme().cloned());
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint_url)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .http_client(http_client(&scheme.unwrap_or(Scheme::HTTP), idle))
        .build()
}

/// Returns the DynamoDB client of a configuration.
#[must_use]
pub fn dynamodb(config: &SdkConfig) -> aws_sdk_dynamodb::Client {
    let mut builder = aws_sdk_dynamodb::config::Builder::from(config);
    if is_empty("AWS_ENDPOINT_URL_DYNAMODB") {
        builder.set_endpoint_url(config.endpoint_url().map(ToOwned::to_owned));
    }
    aws_sdk_dynamodb::Client::from_conf(builder.build())
}

/// Returns the endpoint of S3, if one is set.
#[must_use]
pub fn s3_endpoint(config: &SdkConfig) -> Option<String> {
    given_endpoint(config, "AWS_ENDPOINT_URL_S3")
}

/// Returns the endpoint of a service, if one is set: the configuration's own, else that of the
/// environment for the service, else that for every service.
fn given_endpoint(config: &SdkConfig, variable: &str) -> Option<String> {
    let general = set("AWS_ENDPOINT_URL");
    match config.endpoint_url() {
        Some(own) if general.as_deref() != Some(own) => Some(own.to_owned()),
        _ => set(variable).or(general),
    }
}

/// Returns the S3 client of a configuration. At an endpoint that is set, the bucket's name is
/// in the path: a server on this machine has one host name.
#[cfg(feature = "cli")]
#[must_use]
pub fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    let endpoint = s3_endpoint(config);
    let mut builder =
        aws_sdk_s3::config::Builder::from(config).force_path_style(endpoint.is_some());
    builder.set_endpoint_url(endpoint);
    aws_sdk_s3::Client::from_conf(builder.build())
}

/// Returns the builder of a Step Functions client.
#[must_use]
pub fn step_functions(config: &SdkConfig) -> aws_sdk_sfn::config::Builder {
    let mut builder = aws_sdk_sfn::config::Builder::from(config);
    if is_empty("AWS_ENDPOINT_URL_SFN") {
        builder.set_endpoint_url(config.endpoint_url().map(ToOwned::to_owned));
    }
    builder
}

/// Makes a call, and once more if it was refused because of its signature.
///
/// # Errors
/// Those of the call.
pub async fn signed<T, E, F>(call: impl Fn() -> F) -> Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    match call().await {
        Err(error) if is_of_signing(&error) => call().await,
        answer => answer,
    }
}

/// Checks the URL of an endpoint: with a scheme and a host, which the SDK wants.
///
/// # Errors
/// [`SetupError::BadEndpoint`].
pub fn endpoint(variable: &'static str, url: &str) -> Result<Uri, SetupError> {
    let bad = || SetupError::BadEndpoint {
        variable,
        value: url.to_owned(),
    };
    let uri = url.parse::<Uri>().map_err(|_| bad())?;
    let is_http = uri
        .scheme()
        .is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
    if is_http && uri.host().is_some_and(|host| !host.is_empty()) {
        Ok(uri)
    } else {
        Err(bad())
    }
}

/// Returns a variable of the environment; an empty one counts as unset.
fn set(variable: &str) -> Option<String> {
    std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty())
}

/// Returns whether a variable is set to nothing. The template sets endpoints so, since
/// `sam local` can only replace what the template sets; the SDK would call no host.
fn is_empty(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value.is_empty())
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build()
}

/// The SDK's own HTTP client, but one for all of its service clients, with timeouts that
/// no configuration of a service client changes: by itself each of them makes two,
/// and each puts every certificate of the machine's trust store into its own. Made
/// at once, so that no request waits for it. Plain HTTP needs no certificates, and an
/// endpoint of this machine no proxy.
fn http_client(scheme: &Scheme, idle: Duration) -> SharedHttpClient {
    let connector = connector(scheme, READ_TIMEOUT, idle);
    http_client_fn(move |_, _| connector.clone())
}

/// Returns a client for other servers than those of AWS, whose answers may take as long
/// as `patience`.
#[must_use]
pub fn web_client(scheme: &Scheme, patience: Duration) -> SharedHttpConnector {
    connector(scheme, patience, IDLE_TIMEOUT)
}

fn connector(scheme: &Scheme, read: Duration, idle: Duration) -> SharedHttpConnector {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(read)
        .build();
    let builder = Connector::builder()
        .connector_settings(settings)
        .pool_idle_timeout(idle)
        .sleep_impl(TokioSleep::new());
    SharedHttpConnector::new(if *scheme == Scheme::HTTP {
        builder.build_http()
    } else {
        builder
            .proxy_config(ProxyConfig::from_env())
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn an_endpoint_has_a_scheme_and_a_host() {
        for url in [
            "http://127.0.0.1:8000",
            "https://dynamodb.eu-central-1.amazonaws.com/",
        ] {
            assert!(endpoint("AWS_ENDPOINT_URL", url).is_ok(), "{url}");
        }
        for url in [
            "localhost:8000",
            "127.0.0.1",
            "ftp://host",
            "http://",
            "a b",
            "",
            " ",
        ] {
            let error = endpoint("AWS_ENDPOINT_URL", url).unwrap_err().to_string();
            let expected = format!("AWS_ENDPOINT_URL is '{url}'; allowed: a URL such as ");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    /// How many connections two requests take with half a second between them.
    async fn connections(idle: Duration) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let opened = Arc::new(AtomicUsize::new(0));
        let counted = opened.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut request = [0; 4_096];
                    while stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                        stream.write_all(answer).await.unwrap();
                    }
                });
            }
        });
        let client = dynamodb(&closing_after(idle, &url));
        for _ in 0..2 {
            client.list_tables().send().await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        opened.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed_in_time() {
        assert_eq!(connections(Duration::from_millis(100)).await, 2);
        assert_eq!(connections(IDLE_TIMEOUT).await, 1);
    }
}

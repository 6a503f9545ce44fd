//! Credentials that are read again once a service has called them expired: another
//! program may have renewed the file or the session that they are from.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_config::{
    default_provider::credentials::DefaultCredentialsChain, provider_config::ProviderConfig,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, Result, error::CredentialsError, future},
};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::sync::Mutex;

use super::{
    SetupError,
    cause::{credentials_error, in_one_line},
};

/// Credentials are renewed this long before they expire, as by the SDK's own cache.
const BUFFER: Duration = Duration::from_secs(10);

/// Whether a service has called the credentials of this process expired since they
/// were read.
static EXPIRED: AtomicBool = AtomicBool::new(false);

/// The credentials of the SDK's own chain, read from their source when they are first
/// needed, when they expire, and when a service calls them expired.
#[derive(Clone, Debug)]
pub(super) struct Current {
    http_client: SharedHttpClient,
    read: Arc<Mutex<Option<Credentials>>>,
}

impl Current {
    pub(super) fn new(http_client: SharedHttpClient) -> Self {
        Self {
            http_client,
            read: Arc::default(),
        }
    }

    /// Fails if there are no credentials.
    pub(super) async fn check(&self) -> std::result::Result<(), SetupError> {
        match self.current().await {
            Ok(_) => Ok(()),
            Err(CredentialsError::CredentialsNotLoaded(_)) => {
                let profile = std::env::var("AWS_PROFILE").unwrap_or_default();
                let profile = if profile.is_empty() {
                    "default"
                } else {
                    &profile
                };
                Err(SetupError::NoCredentials(format!(
                    "none in the environment, in profile '{profile}', or from the host"
                )))
            }
            Err(error) => Err(SetupError::NoCredentials(in_one_line(&error))),
        }
    }

    async fn current(&self) -> Result {
        let mut read = self.read.lock().await;
        if EXPIRED.swap(false, Ordering::Relaxed) {
            *read = None;
        }
        let is_valid = |credentials: &&Credentials| {
            let expiry = credentials.expiry();
            expiry.is_none_or(|expiry| SystemTime::now() + BUFFER < expiry)
        };
        if let Some(valid) = read.as_ref().filter(is_valid) {
            return Ok(valid.clone());
        }
        // A chain caches the profile files that it has read, so a new one is made.
        let config = ProviderConfig::default().with_http_client(self.http_client.clone());
        let chain = DefaultCredentialsChain::builder().configure(config);
        let credentials = chain.build().await.provide_credentials().await?;
        *read = Some(credentials.clone());
        Ok(credentials)
    }
}

impl ProvideCredentials for Current {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.current())
    }
}

/// Returns whether a request was refused because of its signature, in which case it may
/// succeed if it is sent again: the SDK corrects its clock by the answer's `Date`, a new
/// session is not known everywhere at once, and expired credentials are read again.
pub fn is_of_signing<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let Some(code) = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
    else {
        return false;
    };
    is_code_of_signing(code)
}

/// The same, by the code of the error.
pub fn is_code_of_signing(code: &str) -> bool {
    match code {
        "ExpiredTokenException" | "ExpiredToken" => {
            EXPIRED.store(true, Ordering::Relaxed);
            true
        }
        "RequestTimeTooSkewed"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "AuthFailure"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "UnrecognizedClientException" => true,
        _ => false,
    }
}

/// Returns whether a request was not sent because no credentials are configured;
/// waiting does not change that.
pub fn has_no_credentials<E>(error: &SdkError<E>) -> bool {
    let SdkError::DispatchFailure(failure) = error else {
        return false;
    };
    let error = failure.as_connector_error();
    matches!(
        error.and_then(|error| credentials_error(error)),
        Some(CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_))
    )
}

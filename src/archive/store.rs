//! Puts objects into S3, each until it is acknowledged.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};

use super::{Object, Unwritable};
use crate::{
    sdk::{self, Cause},
    table::Backoff,
};

/// Why nothing was archived.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// S3 refused: a retry would be refused, too.
    #[error("the archive cannot be written: {0}")]
    Refused(Cause),
    /// There is no such object.
    #[error("there is no such object in the archive: {0}")]
    Missing(Cause),
    /// An object's bytes are not those of its checksum, or it has none.
    #[error("{0} is damaged: its bytes do not match its checksum")]
    Damaged(String),
    /// There was no answer before the deadline.
    #[error("the archive gave no answer before the deadline: {0}")]
    NoAnswer(Cause),
    /// An item cannot be written as DynamoDB-JSON.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
}

/// S3, through one client for the whole process, which is made when it is needed first.
#[derive(Clone, Default)]
pub struct ArchiveStore(Option<Arc<Lazy>>);

struct Lazy {
    sdk: SdkConfig,
    client: OnceLock<Client>,
}

impl fmt::Debug for ArchiveStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArchiveStore").finish()
    }
}

impl ArchiveStore {
    /// Returns the store that this configuration reaches. Nothing is called yet.
    #[must_use]
    pub fn new(sdk: SdkConfig) -> Self {
        let client = OnceLock::new();
        Self(Some(Arc::new(Lazy { sdk, client })))
    }

    /// Returns the client.
    ///
    /// # Errors
    /// [`ArchiveError::Refused`] if this process has none.
    pub fn client(&self) -> Result<&Client, ArchiveError> {
        let Some(lazy) = &self.0 else {
            let why = "this process was started without access to S3";
            return Err(ArchiveError::Refused(Cause::because(why)));
        };
        Ok(lazy.client.get_or_init(|| sdk::s3(&lazy.sdk)))
    }

    /// Puts an object, again and again with the same bytes until it is acknowledged.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn put(
        &self,
        bucket: &str,
        object: Object,
        deadline: Instant,
    ) -> Result<(), ArchiveError> {
        const OPERATION: &str = "PutObject";
        let Object {
            key,
            body,
            items,
            record_version,
        } = object;
        let checksum = BASE64_STANDARD.encode(Sha256::digest(&body));
        let client = self.client()?;
        let send = || {
            let request = client
                .put_object()
                .bucket(bucket)
                .key(&key)
                .checksum_sha256(&checksum)
                .metadata(RECORD_VERSION, record_version.to_string())
                .body(ByteStream::from(body.clone()));
            match items {
                Some(items) => request.metadata(ITEMS, items.to_string()).send(),
                None => request.send(),
            }
        };
        until_answered(OPERATION, deadline, send).await.map(drop)
    }
}

/// The object's metadata: how many items are in it.
pub(super) const ITEMS: &str = "items";
/// The object's metadata: the version of the record when they were read.
pub(super) const RECORD_VERSION: &str = "record-version";

/// Makes a call until it is answered or the deadline comes.
pub(super) async fn until_answered<T, E, F>(
    operation: &'static str,
    deadline: Instant,
    call: impl Fn() -> F,
) -> Result<T, ArchiveError>
where
    E: ProvideErrorMetadata,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    let mut backoff = Backoff::default();
    let mut first = None;
    loop {
        let Ok(answer) = timeout_at(deadline, Box::pin(sdk::signed(&call))).await else {
            let cause = first.unwrap_or_else(|| Cause::deadline(operation));
            return Err(ArchiveError::NoAnswer(cause));
        };
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let cause = Cause::of(operation, &error);
        if error.code() == Some("NoSuchKey") {
            return Err(ArchiveError::Missing(cause));
        }
        if is_final(&error) {
            return Err(ArchiveError::Refused(cause));
        }
        let cause = first.get_or_insert(cause);
        if !backoff.wait(deadline).await {
            return Err(ArchiveError::NoAnswer(cause.clone()));
        }
    }
}

/// Returns whether sending the same request again is useless. S3 asks for another attempt with
/// a status of 5xx (`SlowDown` is 503), `RequestTimeout` (400: the body came too slowly), and
/// `OperationAborted` (409: another write of the same key) (API reference, "Error responses").
fn is_final<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => true,
        error if sdk::has_no_credentials(error) => true,
        SdkError::ServiceError(service) => {
            let is_retried = matches!(
                service.err().code(),
                Some("RequestTimeout" | "OperationAborted" | "BadDigest" | "IncompleteBody")
            );
            let status = service.raw().status().as_u16();
            !is_retried && status != 429 && status < 500
        }
        _ => false,
    }
}

//! Puts objects into S3, each until it is acknowledged.

#[cfg(feature = "cli")]
use std::sync::OnceLock;
use std::{fmt, sync::Arc, time::Duration};

use aws_config::SdkConfig;
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout_at},
};

use super::{
    Object, Unwritable,
    put::{NotPut, Sender},
};
use crate::{sdk::Cause, table::Backoff};

/// How long the first attempt to put an object may take in all.
const FIRST_ATTEMPT: Duration = Duration::from_secs(5);

/// Why nothing was archived, or read from an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// S3 refused: a retry would be refused, too.
    #[error("the archive is not accessible: {0}")]
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

/// S3, through one connection pool for the whole process, which is made when it is needed
/// first: a deletion without an archive does not wait for it.
#[derive(Clone, Default)]
pub struct ArchiveStore(Option<Arc<Access>>);

struct Access {
    sdk: SdkConfig,
    sender: OnceCell<Sender>,
    /// What a terminal reads with.
    #[cfg(feature = "cli")]
    reader: OnceLock<aws_sdk_s3::Client>,
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
        Self(Some(Arc::new(Access {
            sdk,
            sender: OnceCell::new(),
            #[cfg(feature = "cli")]
            reader: OnceLock::new(),
        })))
    }

    fn access(&self) -> Result<&Access, ArchiveError> {
        let why = "there is no access to S3 here (in a terminal: --s3-endpoint-url)";
        let access = self.0.as_deref();
        access.ok_or_else(|| ArchiveError::Refused(Cause::because(why)))
    }

    /// Returns the SDK's client, made when it is needed first.
    ///
    /// # Errors
    /// [`ArchiveError::Refused`] if this process has no access to S3.
    #[cfg(feature = "cli")]
    pub(super) fn reader(&self) -> Result<&aws_sdk_s3::Client, ArchiveError> {
        let access = self.access()?;
        Ok(access.reader.get_or_init(|| crate::sdk::s3(&access.sdk)))
    }

    /// Puts an object, again and again with the same bytes until it is acknowledged.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn put(
        &self,
        bucket: &str,
        object: &Object,
        deadline: Instant,
    ) -> Result<(), ArchiveError> {
        self.until_put(bucket, object, false, deadline).await
    }

    /// Puts an object unless there is one of its key, by an earlier attempt for example.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn put_new(
        &self,
        bucket: &str,
        object: &Object,
        deadline: Instant,
    ) -> Result<(), ArchiveError> {
        self.until_put(bucket, object, true, deadline).await
    }

    async fn until_put(
        &self,
        bucket: &str,
        object: &Object,
        is_new: bool,
        deadline: Instant,
    ) -> Result<(), ArchiveError> {
        let access = self.access()?;
        let sender = access
            .sender
            .get_or_try_init(|| Sender::new(access.sdk.clone()));
        let sender = sender.await.map_err(ArchiveError::Refused)?;
        let mut backoff = Backoff::default();
        let mut attempt = FIRST_ATTEMPT;
        let mut first = None;
        let mut was_signed_again = false;
        loop {
            let until = deadline.min(Instant::now() + attempt);
            let sent = timeout_at(until, Box::pin(sender.put(bucket, object, is_new))).await;
            let cause = match sent {
                Ok(Ok(()) | Err(NotPut::Exists)) => return Ok(()),
                Ok(Err(NotPut::Signature(_))) if !was_signed_again => {
                    was_signed_again = true;
                    continue;
                }
                Ok(Err(NotPut::Refused(cause) | NotPut::Signature(cause))) => {
                    return Err(ArchiveError::Refused(cause));
                }
                Ok(Err(NotPut::NoAnswer(cause))) => cause,
                Err(_) => {
                    // The line may be slow: the next attempt has more time.
                    attempt *= 2;
                    Cause::deadline("PutObject")
                }
            };
            // The first cause: later ones often only say that the time was up.
            let cause = first.get_or_insert(cause);
            if !backoff.wait(deadline).await {
                return Err(ArchiveError::NoAnswer(cause.clone()));
            }
        }
    }
}

//! Reads an archive: what a terminal does to list, verify and restore it. No function's role
//! may do any of this.

use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    operation::get_object::GetObjectOutput,
    types::{ChecksumMode, CommonPrefix},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};

use super::{ArchiveError, ArchiveStore};
use crate::{
    sdk::{self, Cause},
    table::{
        Backoff,
        retry::{self, Failure, Verdict},
    },
};

/// The object's metadata: how many items are in it.
const ITEMS: &str = "items";
/// The object's metadata: the version of the record when they were read.
const RECORD_VERSION: &str = "record-version";

/// An object that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Its bytes, of which the checksum was checked.
    pub body: Vec<u8>,
    /// How many items it says are in it.
    pub items: Option<usize>,
    /// The version of the record when they were read.
    pub record_version: Option<u64>,
}

impl ArchiveStore {
    /// Lists the keys that begin with `prefix`, in order.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn keys(
        &self,
        bucket: &str,
        prefix: &str,
        deadline: Instant,
    ) -> Result<Vec<String>, ArchiveError> {
        let (keys, _) = self.list(bucket, prefix, None, deadline).await?;
        Ok(keys)
    }

    /// Lists the folders directly under `prefix`, in order, each with a slash at its end.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn folders(
        &self,
        bucket: &str,
        prefix: &str,
        deadline: Instant,
    ) -> Result<Vec<String>, ArchiveError> {
        let (_, folders) = self.list(bucket, prefix, Some("/"), deadline).await?;
        Ok(folders)
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: Option<&str>,
        deadline: Instant,
    ) -> Result<(Vec<String>, Vec<String>), ArchiveError> {
        const OPERATION: &str = "ListObjectsV2";
        let list = self.reader()?.list_objects_v2();
        let list = list.bucket(bucket).prefix(prefix);
        let list = list.set_delimiter(delimiter.map(ToOwned::to_owned));
        let (mut keys, mut folders) = (Vec::new(), Vec::new());
        let mut from = None;
        loop {
            let request = list.clone().set_continuation_token(from);
            let page = until_answered(OPERATION, deadline, || request.clone().send()).await;
            let page = page.map_err(|failure| failed(OPERATION, failure))?;
            let objects = page.contents.unwrap_or_default().into_iter();
            keys.extend(objects.filter_map(|object| object.key));
            let prefixes = page.common_prefixes.unwrap_or_default().into_iter();
            folders.extend(prefixes.filter_map(|CommonPrefix { prefix, .. }| prefix));
            from = page.next_continuation_token;
            if from.is_none() {
                return Ok((keys, folders));
            }
        }
    }

    /// Reads an object and checks its bytes against its checksum; `None` if there is none.
    ///
    /// # Errors
    /// [`ArchiveError`]; [`ArchiveError::Damaged`] for another checksum, or none.
    pub async fn get(
        &self,
        bucket: &str,
        key: &str,
        deadline: Instant,
    ) -> Result<Option<Read>, ArchiveError> {
        const OPERATION: &str = "GetObject";
        let get = self.reader()?.get_object().bucket(bucket).key(key);
        let get = get.checksum_mode(ChecksumMode::Enabled);
        let mut backoff = Backoff::default();
        loop {
            let answer = until_answered(OPERATION, deadline, || get.clone().send()).await;
            let answer = answer.map_err(|failure| failed(OPERATION, failure));
            let answer = match answer {
                Err(ArchiveError::Missing(_)) => return Ok(None),
                answer => answer?,
            };
            let (items, record_version) = (number(&answer, ITEMS), number(&answer, RECORD_VERSION));
            let checksum = answer.checksum_sha256.clone();
            // The SDK checks the checksum while it reads, and so does this: a checksum that is
            // missing is one that does not match.
            let body = timeout_at(deadline, answer.body.collect()).await;
            let body = match body {
                Ok(Ok(body)) => body.to_vec(),
                Ok(Err(error)) if is_mismatch(&error) => {
                    return Err(ArchiveError::Damaged(key.to_owned()));
                }
                // The connection broke in the middle.
                Ok(Err(_)) if backoff.wait(deadline).await => continue,
                _ => return Err(ArchiveError::NoAnswer(Cause::deadline(OPERATION))),
            };
            let is_whole = checksum == Some(BASE64_STANDARD.encode(Sha256::digest(&body)));
            return if is_whole {
                Ok(Some(Read {
                    body,
                    items: items.and_then(|items| items.try_into().ok()),
                    record_version,
                }))
            } else {
                Err(ArchiveError::Damaged(key.to_owned()))
            };
        }
    }
}

/// Makes a call of S3 until it is answered or the deadline comes.
pub(super) async fn until_answered<T, E, F>(
    operation: &'static str,
    deadline: Instant,
    call: impl Fn() -> F,
) -> Result<T, Failure<E>>
where
    E: ProvideErrorMetadata,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    retry::until(operation, deadline, call, verdict).await
}

/// Returns what a failure means to a reader.
pub(super) fn failed<E: ProvideErrorMetadata>(
    operation: &'static str,
    failure: Failure<E>,
) -> ArchiveError {
    match failure {
        Failure::Answered(error) if error.code() == Some("NoSuchKey") => {
            ArchiveError::Missing(Cause::of(operation, &error))
        }
        Failure::Answered(error) => ArchiveError::Refused(Cause::of(operation, &error)),
        Failure::Table(error) => ArchiveError::NoAnswer(error.into_cause()),
    }
}

/// The meaning of an error: sending the same request again is useless, or not.
fn verdict<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Verdict {
    match error {
        SdkError::ConstructionFailure(_) => Verdict::Answered,
        error if sdk::has_no_credentials(error) => Verdict::Answered,
        SdkError::ServiceError(service) => match service.raw().status().as_u16() {
            501 => Verdict::Answered,
            429 | 500.. => Verdict::NoAnswer,
            _ => Verdict::Answered,
        },
        _ => Verdict::NoAnswer,
    }
}

fn number(answer: &GetObjectOutput, name: &str) -> Option<u64> {
    answer.metadata()?.get(name)?.parse().ok()
}

/// Returns whether the SDK found that a body has another checksum than its header says.
fn is_mismatch(error: &aws_sdk_s3::primitives::ByteStreamError) -> bool {
    let sources = std::iter::successors(Some(error as &dyn std::error::Error), |error| {
        error.source()
    });
    sources
        .into_iter()
        .any(|error| error.to_string().contains("checksum mismatch"))
}

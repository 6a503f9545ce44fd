//! The operations of S3 that an archive uses, and no others: put, get, head, list. What
//! an operation does not know, it refuses, so that nothing is taken for checked that is not.

use std::{ops::Bound, sync::Arc};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::TryStreamExt;
use s3s::{
    Body, S3, S3Request, S3Response, S3Result,
    crypto::{Checksum as _, Md5},
    dto::{
        ChecksumAlgorithm, ChecksumMode, CommonPrefix, ETag, ETagCondition, GetObjectInput,
        GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput,
        ListObjectsV2Input, ListObjectsV2Output, Object, PutObjectInput, PutObjectOutput,
        StreamingBlob, Timestamp,
    },
    s3_error,
};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use super::files::{Files, Head, internal};

/// The largest object, bytes: a page of a table and its overhead, many times over.
const LARGEST_OBJECT: usize = 64 * 1024 * 1024;

/// The most keys in a page of a listing ("`ListObjectsV2`": up to 1,000).
const LARGEST_PAGE: usize = 1_000;

/// The type of an object that was put without one, as in S3.
const NO_TYPE: &str = "binary/octet-stream";

pub(super) struct Objects(Arc<Files>);

impl Objects {
    pub(super) fn new(files: Arc<Files>) -> Self {
        Self(files)
    }

    /// Does the work of an operation on a thread that may wait for the disk.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Files) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let files = self.0.clone();
        spawn_blocking(move || work(&files))
            .await
            .map_err(internal)?
    }
}

#[async_trait]
impl S3 for Objects {
    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let mut input = request.input;
        let only_new = only_new(&input)?;
        let only_sha256 = checks_sha256_alone(&input) && request.trailing_headers.is_none();
        if !only_sha256 {
            return Err(s3_error!(
                NotImplemented,
                "the local S3 checks x-amz-checksum-sha256 in the headers and no other checksum"
            ));
        }
        let body = input.body.take().ok_or_else(|| s3_error!(IncompleteBody))?;
        let bytes = read(body).await?;
        let digest = BASE64_STANDARD.encode(Sha256::digest(&bytes));
        if input
            .checksum_sha256
            .as_ref()
            .is_some_and(|sum| *sum != digest)
        {
            return Err(s3_error!(
                BadDigest,
                "The SHA256 you specified did not match the calculated checksum."
            ));
        }
        let head = Head {
            content_type: input.content_type,
            content_encoding: input.content_encoding,
            metadata: input.metadata.unwrap_or_default(),
            sha256: input.checksum_sha256.clone(),
        };
        let (bucket, key) = (input.bucket, input.key);
        let e_tag = e_tag(&bytes);
        self.work(move |files| files.put((&bucket, &key), &bytes, &head, only_new))
            .await?;
        Ok(S3Response::new(PutObjectOutput {
            checksum_sha256: input.checksum_sha256,
            e_tag: Some(e_tag),
            ..PutObjectOutput::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let is_conditional = input.if_match.is_some()
            || input.if_none_match.is_some()
            || input.if_modified_since.is_some()
            || input.if_unmodified_since.is_some();
        if is_conditional || input.range.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "the local S3 answers with a whole object and no conditions"
            ));
        }
        let (bucket, key) = (input.bucket, input.key);
        let (head, bytes, modified) = self.work(move |files| files.get(&bucket, &key)).await?;
        Ok(S3Response::new(GetObjectOutput {
            checksum_sha256: head.sha256.filter(|_| is_enabled(input.checksum_mode)),
            content_encoding: head.content_encoding,
            content_length: i64::try_from(bytes.len()).ok(),
            content_type: head.content_type.or_else(|| Some(NO_TYPE.to_owned())),
            e_tag: Some(e_tag(&bytes)),
            last_modified: Some(Timestamp::from(modified)),
            metadata: Some(head.metadata),
            body: Some(StreamingBlob::from(Body::from(bytes))),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let (bucket, key) = (input.bucket, input.key);
        let (head, bytes, modified) = self.work(move |files| files.get(&bucket, &key)).await?;
        Ok(S3Response::new(HeadObjectOutput {
            checksum_sha256: head.sha256.filter(|_| is_enabled(input.checksum_mode)),
            content_encoding: head.content_encoding,
            content_length: i64::try_from(bytes.len()).ok(),
            content_type: head.content_type.or_else(|| Some(NO_TYPE.to_owned())),
            e_tag: Some(e_tag(&bytes)),
            last_modified: Some(Timestamp::from(modified)),
            metadata: Some(head.metadata),
            ..HeadObjectOutput::default()
        }))
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        let bucket = request.input.bucket;
        self.work(move |files| files.bucket(&bucket)).await?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.work(move |files| page(files, request.input))
            .await
            .map(S3Response::new)
    }
}

/// Returns whether a put is for a new object only.
fn only_new(input: &PutObjectInput) -> S3Result<bool> {
    match (&input.if_match, &input.if_none_match) {
        (None, None) => Ok(false),
        (None, Some(ETagCondition::Any)) => Ok(true),
        _ => Err(s3_error!(
            NotImplemented,
            "the local S3 knows no condition of a put but If-None-Match: *"
        )),
    }
}

fn checks_sha256_alone(input: &PutObjectInput) -> bool {
    let is_sha256 = |algorithm: &ChecksumAlgorithm| algorithm.as_str() == ChecksumAlgorithm::SHA256;
    input.checksum_algorithm.as_ref().is_none_or(is_sha256)
        && input.checksum_crc32.is_none()
        && input.checksum_crc32c.is_none()
        && input.checksum_crc64nvme.is_none()
        && input.checksum_sha1.is_none()
        && input.content_md5.is_none()
}

/// Reads a body to its end.
async fn read(mut body: StreamingBlob) -> S3Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let incomplete = |error| s3_error!(IncompleteBody, "the body could not be read: {error}");
    while let Some(part) = body.try_next().await.map_err(incomplete)? {
        if bytes.len() + part.len() > LARGEST_OBJECT {
            return Err(s3_error!(EntityTooLarge));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

fn e_tag(bytes: &[u8]) -> ETag {
    ETag::Strong(hex::encode(Md5::checksum(bytes)))
}

/// S3 tells checksums to those alone who ask for them.
fn is_enabled(mode: Option<ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}

/// Returns a page of a listing. The token of the next page is the last name of this one.
fn page(files: &Files, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let delimiter = input.delimiter.as_deref().filter(|text| !text.is_empty());
    let after = after(&input)?;
    let asked = usize::try_from(input.max_keys.unwrap_or(1_000)).unwrap_or_default();
    let limit = asked.min(LARGEST_PAGE);
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    let mut last = after.clone();
    let mut is_truncated = false;
    let objects = files.list(&input.bucket, prefix)?;
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    for (key, listed) in objects.range::<String, _>((from, Bound::Unbounded)) {
        let folder = delimiter.and_then(|delimiter| folder(key, prefix, delimiter));
        if folder.is_some() && folder == last {
            continue;
        }
        if contents.len() + prefixes.len() == limit {
            is_truncated = limit > 0;
            break;
        }
        last = folder.clone().or_else(|| Some(key.clone()));
        if folder.is_some() {
            prefixes.push(CommonPrefix { prefix: folder });
        } else {
            contents.push(Object {
                key: Some(key.clone()),
                last_modified: Some(Timestamp::from(listed.modified)),
                size: i64::try_from(listed.size).ok(),
                ..Object::default()
            });
        }
    }
    Ok(ListObjectsV2Output {
        key_count: i32::try_from(contents.len() + prefixes.len()).ok(),
        common_prefixes: Some(prefixes).filter(|prefixes| !prefixes.is_empty()),
        contents: Some(contents).filter(|contents| !contents.is_empty()),
        continuation_token: input.continuation_token,
        delimiter: input.delimiter,
        is_truncated: Some(is_truncated),
        max_keys: i32::try_from(limit).ok(),
        name: Some(input.bucket),
        next_continuation_token: last.filter(|_| is_truncated).map(hex::encode),
        prefix: input.prefix,
        start_after: input.start_after,
        ..ListObjectsV2Output::default()
    })
}

/// Returns the name after which a page begins.
fn after(input: &ListObjectsV2Input) -> S3Result<Option<String>> {
    let Some(token) = &input.continuation_token else {
        return Ok(input.start_after.clone());
    };
    let name = hex::decode(token).ok();
    let name = name.and_then(|name| String::from_utf8(name).ok());
    let invalid = || s3_error!(InvalidArgument, "The continuation token is incorrect");
    name.map(Some).ok_or_else(invalid)
}

/// Returns what a listing shows in place of a key: its part up to the delimiter that
/// follows the prefix, if there is one.
fn folder(key: &str, prefix: &str, delimiter: &str) -> Option<String> {
    let begin = prefix.len();
    let end = begin + key.get(begin..)?.find(delimiter)? + delimiter.len();
    key.get(..end).map(ToOwned::to_owned)
}

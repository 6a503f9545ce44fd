//! What a bucket says of itself, for `campaigns doctor`: where it is, who may see it, and how
//! long it keeps what is put. No function's role may ask.

use aws_sdk_s3::{
    error::ProvideErrorMetadata,
    types::{BucketVersioningStatus, ExpirationStatus, LifecycleRule, LifecycleRuleFilter},
};
use tokio::time::Instant;

use super::{
    ArchiveError, ArchiveStore,
    reader::{failed, until_answered},
};
use crate::{sdk::Cause, table::retry::Failure};

/// An answer about a bucket.
#[derive(Debug)]
pub enum Said<T> {
    /// What was asked for.
    This(T),
    /// There is no such setting.
    Nothing,
    /// The caller is not allowed to know.
    Denied(Cause),
    /// This S3 does not know the question.
    Unknown,
}

/// Where a bucket is.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// It can be reached; its Region, where that is told.
    Here(Option<String>),
    /// It is in another Region than the one that was asked.
    Elsewhere(Option<String>),
}

/// How long objects under a prefix stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// After how many days an object expires.
    pub days: Option<u64>,
    /// Whether versions that are not current any more are removed.
    pub removes_versions: bool,
}

impl ArchiveStore {
    /// Asks whether a bucket is there, and where.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn place(
        &self,
        bucket: &str,
        deadline: Instant,
    ) -> Result<Said<Place>, ArchiveError> {
        const OPERATION: &str = "HeadBucket";
        let head = self.reader()?.head_bucket().bucket(bucket);
        let answer = until_answered(OPERATION, deadline, || head.clone().send()).await;
        let failure = match answer {
            Ok(found) => return Ok(Said::This(Place::Here(found.bucket_region))),
            Err(failure) => failure,
        };
        // The answer to HEAD has no body, and so no code.
        if let Failure::Answered(error) = &failure
            && let Some(answer) = error.raw_response()
        {
            let region = answer.headers().get("x-amz-bucket-region");
            let region = region.map(ToOwned::to_owned);
            match answer.status().as_u16() {
                301 | 307 | 400 => return Ok(Said::This(Place::Elsewhere(region))),
                403 => return Ok(Said::Denied(Cause::of(OPERATION, error))),
                404 => return Ok(Said::Nothing),
                _ => {}
            }
        }
        Err(failed(OPERATION, failure))
    }

    /// Asks whether a bucket blocks public access, in all four ways.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn blocks_public_access(
        &self,
        bucket: &str,
        deadline: Instant,
    ) -> Result<Said<bool>, ArchiveError> {
        const OPERATION: &str = "GetPublicAccessBlock";
        let get = self.reader()?.get_public_access_block().bucket(bucket);
        let answer = until_answered(OPERATION, deadline, || get.clone().send()).await;
        let said = said(OPERATION, answer, "NoSuchPublicAccessBlockConfiguration")?;
        Ok(said
            .and_then(|found| found.public_access_block_configuration)
            .map(|blocks| {
                [
                    blocks.block_public_acls,
                    blocks.ignore_public_acls,
                    blocks.block_public_policy,
                    blocks.restrict_public_buckets,
                ]
                .iter()
                .all(|block| *block == Some(true))
            }))
    }

    /// Asks how long a bucket keeps the objects under a prefix.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn lifecycle(
        &self,
        bucket: &str,
        prefix: &str,
        deadline: Instant,
    ) -> Result<Said<Lifecycle>, ArchiveError> {
        const OPERATION: &str = "GetBucketLifecycleConfiguration";
        let get = self.reader()?.get_bucket_lifecycle_configuration();
        let get = get.bucket(bucket);
        let answer = until_answered(OPERATION, deadline, || get.clone().send()).await;
        let said = said(OPERATION, answer, "NoSuchLifecycleConfiguration")?;
        Ok(said.map(|found| {
            let rules = found.rules.unwrap_or_default().into_iter();
            let rules: Vec<_> = rules.filter(|rule| is_for_all(rule, prefix)).collect();
            let days = rules.iter().filter_map(|rule| rule.expiration()?.days());
            Lifecycle {
                // Of several, the first to come.
                days: days.filter_map(|days| u64::try_from(days).ok()).min(),
                removes_versions: rules
                    .iter()
                    .any(|rule| rule.noncurrent_version_expiration().is_some()),
            }
        }))
    }

    /// Asks whether a bucket keeps, or has kept, old versions of its objects.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn is_versioned(
        &self,
        bucket: &str,
        deadline: Instant,
    ) -> Result<Said<bool>, ArchiveError> {
        const OPERATION: &str = "GetBucketVersioning";
        let get = self.reader()?.get_bucket_versioning().bucket(bucket);
        let answer = until_answered(OPERATION, deadline, || get.clone().send()).await;
        let said = said(OPERATION, answer, "")?;
        let is_versioned = |status: &BucketVersioningStatus| {
            [
                BucketVersioningStatus::Enabled,
                BucketVersioningStatus::Suspended,
            ]
            .contains(status)
        };
        Ok(said.map(|found| found.status.as_ref().is_some_and(is_versioned)))
    }
}

impl<T> Said<T> {
    fn map<U>(self, map: impl FnOnce(T) -> U) -> Said<U> {
        self.and_then(|found| Some(map(found)))
    }

    fn and_then<U>(self, map: impl FnOnce(T) -> Option<U>) -> Said<U> {
        match self {
            Self::This(found) => map(found).map_or(Said::Nothing, Said::This),
            Self::Nothing => Said::Nothing,
            Self::Denied(cause) => Said::Denied(cause),
            Self::Unknown => Said::Unknown,
        }
    }
}

/// Returns what an answer says. `nothing` is the code for a setting that is not there.
fn said<T, E: ProvideErrorMetadata>(
    operation: &'static str,
    answer: Result<T, Failure<E>>,
    nothing: &str,
) -> Result<Said<T>, ArchiveError> {
    let failure = match answer {
        Ok(found) => return Ok(Said::This(found)),
        Err(failure) => failure,
    };
    if let Failure::Answered(error) = &failure {
        match error.code() {
            Some(code) if code == nothing => return Ok(Said::Nothing),
            Some("AccessDenied") => return Ok(Said::Denied(Cause::of(operation, error))),
            Some("NotImplemented" | "MethodNotAllowed") => return Ok(Said::Unknown),
            _ => {}
        }
    }
    Err(failed(operation, failure))
}

/// Returns whether a rule is for every object under a prefix.
fn is_for_all(rule: &LifecycleRule, prefix: &str) -> bool {
    let covers = |of: &str| prefix.starts_with(of);
    let filter = rule.filter();
    let by_filter = |filter: &LifecycleRuleFilter| {
        let has_more = filter.tag().is_some()
            || filter.and().is_some()
            || filter.object_size_greater_than().is_some()
            || filter.object_size_less_than().is_some();
        !has_more && covers(filter.prefix().unwrap_or_default())
    };
    #[expect(deprecated, reason = "older rules have their prefix there")]
    let by_prefix = rule.prefix().is_none_or(covers);
    rule.status() == &ExpirationStatus::Enabled && filter.map_or(by_prefix, by_filter)
}

//! The bucket that deletions archive in: whether it is there, who may see it, and how long it
//! keeps what is put.

use super::{
    super::{
        CliError,
        connect::{Connect, patience},
        options::ArchiveBucket,
    },
    check::Check,
};
use crate::{
    archive::{ArchiveError, ArchiveStore, Lifecycle, Place, Said},
    config::ArchiveSettings,
};

const BUCKET: &str = "archive-bucket";
const PUBLIC_ACCESS: &str = "archive-public-access";
const LIFECYCLE: &str = "archive-lifecycle";
const VERSIONS: &str = "archive-versions";
const NAMES: [&str; 4] = [BUCKET, PUBLIC_ACCESS, LIFECYCLE, VERSIONS];

/// Checks the bucket that these settings name, if they do.
pub(super) async fn checks(
    settings: Option<&ArchiveSettings>,
    bucket: &ArchiveBucket,
    connect: &Connect,
) -> Vec<Check> {
    let skipped = |why: &str, remedy: &str| NAMES.map(|name| Check::skipped(name, why, remedy));
    let Some(settings) = settings else {
        let remedy = "Give the output ArchiveBucketName of the stack, and --archive-days.";
        return skipped("no --archive-bucket", remedy).into();
    };
    let store = match bucket.store(connect).await {
        Ok(store) => store,
        Err(error) => return unreachable(&error),
    };
    let (store, name) = (&store, settings.bucket.as_str());
    let mut checks = vec![place(name, store.place(name, patience()).await)];
    if checks.iter().any(Check::is_failed) {
        let rest = skipped("the bucket is not there", "Mend the bucket first.");
        checks.extend(rest.into_iter().skip(1));
        return checks;
    }
    let blocks = store.blocks_public_access(name, patience()).await;
    checks.push(public_access(name, blocks));
    let kept = store.lifecycle(name, &settings.prefix, patience()).await;
    let versions = versions(name, store, kept.as_ref().ok()).await;
    checks.extend([lifecycle(settings, kept), versions]);
    checks
}

fn unreachable(error: &CliError) -> Vec<Check> {
    let remedy = "Set Region, credentials and --s3-endpoint-url.";
    let failed = Check::failed(BUCKET, error.to_string(), remedy);
    let rest = NAMES.iter().skip(1);
    let rest = rest.map(|name| Check::skipped(name, "no access to S3", remedy));
    std::iter::once(failed).chain(rest).collect()
}

fn place(bucket: &str, answer: Result<Said<Place>, ArchiveError>) -> Check {
    match answer {
        Ok(Said::This(Place::Here(region))) => {
            let region = region.map(|region| format!(" in {region}"));
            Check::ok(BUCKET, format!("{bucket}{}", region.unwrap_or_default()))
        }
        Ok(Said::This(Place::Elsewhere(region))) => {
            let region = region.unwrap_or_else(|| "another Region".to_owned());
            Check::failed(
                BUCKET,
                format!("{bucket} is in {region}"),
                "Archive in a bucket of the functions' own Region: puts are signed for that one.",
            )
        }
        Ok(Said::Nothing) => Check::failed(
            BUCKET,
            format!("there is no bucket {bucket}"),
            "Nothing that archives is deleted without it: deploy the stack again, or name \
             another bucket once no deletion runs.",
        ),
        other => unseen(BUCKET, "s3:ListBucket", other),
    }
}

fn public_access(bucket: &str, answer: Result<Said<bool>, ArchiveError>) -> Check {
    let remedy = format!(
        "An archive is a copy of personal data:\naws s3api put-public-access-block --bucket {bucket} \
         --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,\
         BlockPublicPolicy=true,RestrictPublicBuckets=true"
    );
    match answer {
        Ok(Said::This(true)) => Check::ok(PUBLIC_ACCESS, "blocked in every way"),
        Ok(Said::This(false)) => Check::failed(PUBLIC_ACCESS, "not blocked in every way", remedy),
        Ok(Said::Nothing) => Check::warning(
            PUBLIC_ACCESS,
            "not blocked by the bucket (the account's own settings may block it)",
            remedy,
        ),
        other => unseen(PUBLIC_ACCESS, "s3:GetBucketPublicAccessBlock", other),
    }
}

/// Compares what the bucket's lifecycle does with what answers and records name.
fn lifecycle(settings: &ArchiveSettings, answer: Result<Said<Lifecycle>, ArchiveError>) -> Check {
    let kept = match answer {
        Ok(Said::This(kept)) => kept.days,
        Ok(Said::Nothing) => None,
        other => return unseen(LIFECYCLE, "s3:GetLifecycleConfiguration", other),
    };
    let prefix = &settings.prefix;
    match (kept, settings.days) {
        (Some(kept), Some(named)) if kept == named => {
            Check::ok(LIFECYCLE, format!("{prefix} expires after {kept} days"))
        }
        (Some(kept), Some(named)) => Check::failed(
            LIFECYCLE,
            format!("{prefix} expires after {kept} days, and ARCHIVE_DAYS is {named}"),
            "Records name a day that is not true: make both the same.",
        ),
        (None, Some(named)) => Check::failed(
            LIFECYCLE,
            format!("nothing removes {prefix}, and ARCHIVE_DAYS is {named}"),
            "Records name a day on which nothing happens: give the bucket a rule of its \
             lifecycle for that prefix, or set ARCHIVE_DAYS to 0.",
        ),
        (Some(kept), None) => Check::warning(
            LIFECYCLE,
            format!("{prefix} expires after {kept} days, and no record says so"),
            format!("Set ARCHIVE_DAYS={kept}."),
        ),
        (None, None) => Check::warning(
            LIFECYCLE,
            format!("nothing removes {prefix}"),
            "Archives are personal data that stays until somebody removes it: give the bucket a \
             rule of its lifecycle, and set ARCHIVE_DAYS.",
        ),
    }
}

async fn versions(bucket: &str, store: &ArchiveStore, kept: Option<&Said<Lifecycle>>) -> Check {
    let removes_versions = matches!(
        kept,
        Some(Said::This(Lifecycle {
            removes_versions: true,
            ..
        }))
    );
    match store.is_versioned(bucket, patience()).await {
        Ok(Said::This(false) | Said::Nothing) => Check::ok(VERSIONS, "not versioned"),
        Ok(Said::This(true)) if removes_versions => {
            Check::ok(VERSIONS, "versioned, and old versions are removed")
        }
        Ok(Said::This(true)) => Check::warning(
            VERSIONS,
            "versioned, and nothing removes old versions",
            "What has expired stays as an old version: add NoncurrentVersionExpiration to the \
             bucket's lifecycle.",
        ),
        other => unseen(VERSIONS, "s3:GetBucketVersioning", other),
    }
}

/// A check of something that could not be seen.
fn unseen<T>(name: &'static str, right: &str, answer: Result<Said<T>, ArchiveError>) -> Check {
    let why = match answer {
        Ok(Said::Denied(cause)) => {
            let remedy = format!("Allow {right} to see it; no function needs it.");
            return Check::skipped(name, cause.to_string(), remedy);
        }
        Err(error) => error.to_string(),
        Ok(_) => {
            let seen = "this S3 does not know the question";
            return Check::skipped(name, seen, "Run this against the bucket in AWS.");
        }
    };
    Check::failed(name, why, "Check the network and the credentials.")
}

//! The bucket of archives: reachable, private, and emptied when records say so.

use hyper::StatusCode;

use super::{Report, healthy};
use crate::harness::{
    World,
    front::{Answer, stand_in},
};

const BUCKET: &str = "archive";
const BLOCKED: &str = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>\
    <IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>\
    <RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>";
const NOT_VERSIONED: &str = "<VersioningConfiguration/>";

/// What the bucket says, by question: a status, and a body or the code of an error.
#[derive(Clone)]
struct Says {
    place: (u16, &'static str),
    public_access: (u16, String),
    lifecycle: (u16, String),
    versioning: (u16, String),
}

/// A rule for a prefix, with what it does.
fn rule(prefix: &str, does: &str) -> String {
    format!(
        "<LifecycleConfiguration><Rule><ID>1</ID><Status>Enabled</Status>\
         <Filter><Prefix>{prefix}</Prefix></Filter>{does}</Rule></LifecycleConfiguration>"
    )
}

fn days(days: u32) -> String {
    rule(
        "deletions/",
        &format!("<Expiration><Days>{days}</Days></Expiration>"),
    )
}

impl Says {
    fn well() -> Self {
        Self {
            place: (200, "us-east-1"),
            public_access: (200, BLOCKED.to_owned()),
            lifecycle: (200, days(30)),
            versioning: (200, NOT_VERSIONED.to_owned()),
        }
    }

    fn answer(&self, asked: &str) -> Answer {
        let mut answer = Answer {
            status: StatusCode::OK,
            headers: hyper::HeaderMap::new(),
            body: Vec::new().into(),
        };
        let (status, body) = match asked {
            _ if asked.starts_with("HEAD /archive") => {
                let region = self.place.1.parse().unwrap();
                answer.headers.insert("x-amz-bucket-region", region);
                (self.place.0, String::new())
            }
            _ if asked.contains("publicAccessBlock") => self.public_access.clone(),
            _ if asked.contains("lifecycle") => self.lifecycle.clone(),
            _ if asked.contains("versioning") => self.versioning.clone(),
            other => panic!("the doctor asks {other}"),
        };
        answer.status = StatusCode::from_u16(status).unwrap();
        answer.body = match status {
            200 => body.into(),
            _ => format!("<Error><Code>{body}</Code><Message>no</Message></Error>").into(),
        };
        answer
    }
}

async fn report(world: &World, says: Says, more: &[&str]) -> Report {
    let s3 = stand_in(move |asked, _, _| says.answer(asked)).await;
    let url = world.proxy.url();
    let table = ["--table-name", world.table.name(), "--endpoint-url", &url];
    let bucket = ["--archive-bucket", BUCKET, "--s3-endpoint-url", &s3];
    Report::of(&[&table, &bucket, more].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_as_it_should_be_passes() {
    let world = healthy().await;
    let report = report(&world, Says::well(), &["--archive-days", "30"]).await;
    report.assert("archive-bucket", "ok", "archive in us-east-1");
    report.assert("archive-public-access", "ok", "blocked in every way");
    report.assert("archive-lifecycle", "ok", "expires after 30 days");
    report.assert("archive-versions", "ok", "not versioned");
    let without = super::report(&world, &[]).await;
    without.assert("archive-bucket", "skipped", "no --archive-bucket");
    without.assert("archive-versions", "skipped", "no --archive-bucket");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_has_to_be_there_and_in_this_region() {
    let world = healthy().await;
    for (place, status, seen) in [
        ((404, "us-east-1"), "failed", "there is no bucket archive"),
        ((301, "eu-west-1"), "failed", "archive is in eu-west-1"),
        ((400, "eu-west-1"), "failed", "archive is in eu-west-1"),
        ((403, "us-east-1"), "skipped", "403"),
    ] {
        let says = Says {
            place,
            ..Says::well()
        };
        let report = report(&world, says, &["--archive-days", "30"]).await;
        report.assert("archive-bucket", status, seen);
        let rest = if status == "failed" { "skipped" } else { "ok" };
        assert_eq!(report.check("archive-lifecycle")["status"], rest);
    }
    let url = world.proxy.url();
    let table = ["--table-name", world.table.name(), "--endpoint-url", &url];
    let nowhere = ["--s3-endpoint-url", "http://127.0.0.1:9"];
    let bucket = ["--archive-bucket", BUCKET];
    let report = Report::of(&[&table, &bucket[..], &nowhere].concat()).await;
    report.assert("archive-bucket", "failed", "nothing is listening");
    report.assert("archive-lifecycle", "skipped", "no access to S3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_has_to_be_private() {
    let world = healthy().await;
    let open = BLOCKED.replacen("true", "false", 1);
    for (public_access, status, seen) in [
        ((200, open), "failed", "not blocked in every way"),
        (
            (404, "NoSuchPublicAccessBlockConfiguration".to_owned()),
            "warning",
            "not blocked by the bucket",
        ),
        ((403, "AccessDenied".to_owned()), "skipped", "AccessDenied"),
        (
            (501, "NotImplemented".to_owned()),
            "skipped",
            "does not know the question",
        ),
    ] {
        let says = Says {
            public_access,
            ..Says::well()
        };
        let report = report(&world, says, &["--archive-days", "30"]).await;
        report.assert("archive-public-access", status, seen);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lifecycle_has_to_be_what_records_name() {
    let world = healthy().await;
    let nothing = || (404, "NoSuchLifecycleConfiguration".to_owned());
    let other_prefix = days(30).replace("deletions/", "other/");
    for (lifecycle, named, status, seen) in [
        (
            (200, days(7)),
            "30",
            "failed",
            "after 7 days, and ARCHIVE_DAYS is 30",
        ),
        (nothing(), "30", "failed", "nothing removes deletions/"),
        (
            (200, other_prefix),
            "30",
            "failed",
            "nothing removes deletions/",
        ),
        (
            (200, days(30).replace("Enabled", "Disabled")),
            "30",
            "failed",
            "nothing removes deletions/",
        ),
        (
            (200, days(30).replace("deletions/", "")),
            "30",
            "ok",
            "30 days",
        ),
        ((200, days(7)), "0", "warning", "no record says so"),
        (nothing(), "0", "warning", "nothing removes deletions/"),
        (
            (403, "AccessDenied".to_owned()),
            "30",
            "skipped",
            "AccessDenied",
        ),
    ] {
        let says = Says {
            lifecycle,
            ..Says::well()
        };
        let report = report(&world, says, &["--archive-days", named]).await;
        report.assert("archive-lifecycle", status, seen);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_have_to_be_removed_too() {
    let world = healthy().await;
    let versioned = |status: &str| {
        let status = format!("<Status>{status}</Status>");
        (
            200,
            format!("<VersioningConfiguration>{status}</VersioningConfiguration>"),
        )
    };
    let expiring = rule(
        "deletions/",
        "<Expiration><Days>30</Days></Expiration><NoncurrentVersionExpiration>\
         <NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>",
    );
    for (versioning, lifecycle, status, seen) in [
        (
            versioned("Enabled"),
            days(30),
            "warning",
            "nothing removes old versions",
        ),
        (
            versioned("Suspended"),
            days(30),
            "warning",
            "nothing removes old versions",
        ),
        (
            versioned("Enabled"),
            expiring,
            "ok",
            "old versions are removed",
        ),
        (
            (403, "AccessDenied".to_owned()),
            days(30),
            "skipped",
            "AccessDenied",
        ),
    ] {
        let says = Says {
            versioning,
            lifecycle: (200, lifecycle),
            ..Says::well()
        };
        let report = report(&world, says, &["--archive-days", "30"]).await;
        report.assert("archive-versions", status, seen);
    }
}

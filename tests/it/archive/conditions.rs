//! What S3 says of buckets, keys, clocks and credentials, word for word, and what becomes of it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use aws_config::SdkConfig;
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use campaigns::{
    archive::{ArchiveError, ArchiveStore, Object},
    cli::local_s3::BUCKET,
    sdk,
};
use hyper::{
    StatusCode,
    header::{HeaderMap, HeaderName},
};
use tokio::time::Instant;

use crate::harness::front::{Answer, stand_in};

/// The acknowledgement of a put.
fn put() -> Answer {
    answer(200, &[("etag", "\"1\"")], "")
}

/// An error with this inside.
fn refused(status: u16, inside: &str) -> Answer {
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    answer(status, &[], &format!("{head}\n<Error>{inside}</Error>"))
}

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers.collect(),
        body: body.to_owned().into(),
    }
}

/// The same answer with one more header.
fn with(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    answer.headers.insert(name, value.parse().unwrap());
    answer
}

/// An S3 that gives these answers, one after the other, and the last one again and again.
struct Scripted {
    url: String,
    seen: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Scripted {
    async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let seen = Arc::<Mutex<Vec<HeaderMap>>>::default();
        let answers = Mutex::new(answers.into_iter().collect::<VecDeque<_>>());
        let noted = seen.clone();
        let url = stand_in(move |asked, headers, _| {
            assert!(asked.starts_with("PUT /archive/deletions/"), "{asked}");
            noted.lock().unwrap().push(headers.clone());
            let mut answers = answers.lock().unwrap();
            match answers.len() {
                1 => answers[0].clone(),
                _ => answers.pop_front().unwrap(),
            }
        })
        .await;
        Self { url, seen }
    }

    /// Puts an object with these credentials.
    async fn put(&self, credentials: Credentials) -> Result<(), ArchiveError> {
        let config = sdk::on_this_machine(&self.url).into_builder();
        let config: SdkConfig = config
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        let object = Object {
            key: "deletions/account/id/data/a-1.json.gz".to_owned(),
            body: b"bytes".to_vec(),
            items: Some(7),
            record_version: 3,
        };
        let deadline = Instant::now() + Duration::from_secs(2);
        ArchiveStore::new(config)
            .put(BUCKET, &object, deadline)
            .await
    }

    /// A header of each request so far.
    fn headers(&self, name: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let header = |headers: &HeaderMap| {
            let value = headers.get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        seen.iter().filter_map(header).collect()
    }
}

fn of_a_role() -> Credentials {
    Credentials::new("ASIA", "secret", Some("the token".to_owned()), None, "test")
}

/// Each of these is refused at once, and the log line says what S3 has said.
#[tokio::test]
async fn a_bucket_that_cannot_be_written_is_named_with_its_reason() {
    let elsewhere = |answer| with(answer, "x-amz-bucket-region", "eu-west-1");
    for (answer, expected) in [
        (
            elsewhere(refused(
                301,
                "<Code>PermanentRedirect</Code><Message>The bucket you are attempting to access \
                 must be addressed using the specified endpoint.</Message>",
            )),
            "PermanentRedirect (301): The bucket you are attempting to access must be addressed \
             using the specified endpoint. (the bucket is in eu-west-1)",
        ),
        (
            refused(
                400,
                "<Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is \
                 malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'</Message>\
                 <Region>eu-west-1</Region>",
            ),
            "AuthorizationHeaderMalformed (400): The authorization header is malformed; the \
             region 'us-east-1' is wrong; expecting 'eu-west-1' (the bucket is in eu-west-1)",
        ),
        (
            refused(
                403,
                "<Code>AccessDenied</Code><Message>User: arn:aws:sts::111122223333:\
                 assumed-role/api/api is not authorized to perform: kms:GenerateDataKey on the \
                 resource associated with this ciphertext</Message>",
            ),
            "kms:GenerateDataKey on the resource",
        ),
        (
            refused(
                400,
                "<Code>KMS.DisabledException</Code><Message>The key is disabled.</Message>",
            ),
            "KMS.DisabledException (400): The key is disabled.",
        ),
        (
            refused(
                400,
                "<Code>KMS.NotFoundException</Code><Message>Key does not exist</Message>",
            ),
            "KMS.NotFoundException (400)",
        ),
        (
            refused(
                404,
                "<Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message>",
            ),
            "NoSuchBucket (404)",
        ),
    ] {
        let s3 = Scripted::start([answer]).await;
        let error = s3.put(of_a_role()).await.unwrap_err();
        assert!(matches!(error, ArchiveError::Refused(_)), "{error}");
        let error = error.to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(s3.headers("authorization").len(), 1, "{expected}");
    }
}

/// A versioned bucket names the version of what it has stored. A put that is repeated makes
/// another version of the same bytes.
#[tokio::test]
async fn a_versioned_bucket_acknowledges_as_any_other() {
    let versioned = with(put(), "x-amz-version-id", "3HL4kqtJvjVBH40Nrjfkd");
    let failed = refused(500, "<Code>InternalError</Code>");
    let s3 = Scripted::start([failed, versioned]).await;
    s3.put(of_a_role()).await.unwrap();
    let sums = s3.headers("x-amz-checksum-sha256");
    assert_eq!((sums.len(), &sums[0]), (2, &sums[1]));
}

#[tokio::test]
async fn the_token_of_a_role_is_sent_and_signed() {
    let s3 = Scripted::start([put()]).await;
    s3.put(of_a_role()).await.unwrap();
    assert_eq!(s3.headers("x-amz-security-token"), ["the token"]);
    let authorization = &s3.headers("authorization")[0];
    let (_, signed) = authorization.split_once("SignedHeaders=").unwrap();
    let (signed, _) = signed.split_once(',').unwrap();
    for header in [
        "x-amz-security-token",
        "x-amz-checksum-sha256",
        "x-amz-content-sha256",
        "x-amz-meta-items",
        "host",
    ] {
        assert!(signed.split(';').any(|it| it == header), "{authorization}");
    }
    // Without one, there is no header of it.
    let s3 = Scripted::start([put()]).await;
    let of_a_user = Credentials::new("AKIA", "secret", None, None, "test");
    s3.put(of_a_user).await.unwrap();
    assert!(s3.headers("x-amz-security-token").is_empty());
}

/// The time of a signature, seconds.
fn signed_at(time: &str) -> i64 {
    let (date, clock) = time.split_once('T').unwrap();
    let part = |text: &str, from: usize, to: usize| text[from..to].to_owned();
    let time = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(date, 0, 4),
        part(date, 4, 6),
        part(date, 6, 8),
        part(clock, 0, 2),
        part(clock, 2, 4),
        part(clock, 4, 6)
    );
    let time = DateTime::from_str(&time, DateTimeFormat::DateTime).unwrap();
    time.secs()
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_set_by_that_of_s3() {
    let hours = |hours: i64| {
        let now = DateTime::from(SystemTime::now()).secs();
        now + hours * 3_600
    };
    for ahead in [-2, 5] {
        let date = DateTime::from_secs(hours(ahead));
        let date = date.fmt(DateTimeFormat::HttpDate).unwrap();
        let skewed = refused(
            403,
            "<Code>RequestTimeTooSkewed</Code><Message>The difference between the request time \
             and the current time is too large.</Message>",
        );
        let skewed = with(skewed, "date", &date);
        let s3 = Scripted::start([skewed.clone(), put()]).await;
        s3.put(of_a_role()).await.unwrap();
        let signed: Vec<i64> = s3
            .headers("x-amz-date")
            .iter()
            .map(|time| signed_at(time))
            .collect();
        assert!((signed[0] - hours(0)).abs() < 60, "{signed:?}");
        assert!((signed[1] - hours(ahead)).abs() < 60, "{signed:?}");
        // Once only: S3 may refuse the time for another reason.
        let s3 = Scripted::start([skewed]).await;
        let error = s3.put(of_a_role()).await.unwrap_err().to_string();
        assert!(error.contains("RequestTimeTooSkewed (403)"), "{error}");
        assert_eq!(s3.headers("x-amz-date").len(), 2);
    }
}

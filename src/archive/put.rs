//! One `PutObject`, signed by the SDK's own signer and sent by the SDK's own HTTP client. The
//! whole S3 client of the SDK would add a sixth to every function: 9.01 MB instead of 7.66.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt, Limited};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::Object;
use crate::sdk::{self, Cause, SignedBody, Skew, ToSign};

const OPERATION: &str = "PutObject";

/// How long the first byte of an answer may take, the upload included. Each attempt has its own,
/// shorter time.
const PATIENCE: Duration = Duration::from_mins(5);
/// How much of an answer is read. S3's errors have a few hundred bytes.
const MOST_OF_AN_ERROR: usize = 64 * 1024;

/// The errors of a bucket in another Region, which answer with its name (S3 API reference,
/// "Error responses").
const OF_ANOTHER_REGION: [&str; 3] = [
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
];

/// What is encoded in a path: all but the unreserved characters of RFC 3986, and slashes.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Why one attempt has not put an object.
#[derive(Debug)]
pub(super) enum NotPut {
    /// S3 refused it, and would again.
    Refused(Cause),
    /// The signature was refused; another one may be accepted.
    Signature(Cause),
    /// It may be put: it was not acknowledged.
    NoAnswer(Cause),
    /// There is an object of this key, and only a new one was to be put.
    Exists,
}

/// Sends puts to S3.
#[derive(Debug)]
pub(super) struct Sender {
    sdk: SdkConfig,
    /// The endpoint; the bucket's name follows in the path.
    endpoint: String,
    connector: SharedHttpConnector,
    /// How far S3's clock is ahead of this machine's.
    skew: Skew,
}

impl Sender {
    /// Returns a sender to the S3 of this configuration. Nothing is sent yet.
    pub(super) async fn new(sdk: SdkConfig) -> Result<Self, Cause> {
        let endpoint = match sdk::s3_endpoint(&sdk) {
            Some(given) => given.trim_end_matches('/').to_owned(),
            None => regional(&sdk).await?,
        };
        let uri = sdk::endpoint("AWS_ENDPOINT_URL_S3", &endpoint);
        let uri = uri.map_err(|error| Cause::because(&error.to_string()))?;
        let scheme = uri.scheme().cloned();
        let scheme = scheme.ok_or_else(|| Cause::because("the endpoint of S3 has no scheme"))?;
        Ok(Self {
            sdk,
            endpoint,
            connector: sdk::web_client(&scheme, PATIENCE),
            skew: Skew::default(),
        })
    }

    /// Puts an object, once; if it is to be a new one, only if there is none of its key.
    pub(super) async fn put(
        &self,
        bucket: &str,
        object: &Object,
        is_new: bool,
    ) -> Result<(), NotPut> {
        let unsent = |why: &dyn std::fmt::Display| {
            NotPut::NoAnswer(Cause::because(&format!("{OPERATION}: {why}")))
        };
        let request = self.request(bucket, object, is_new).await;
        let request = request.map_err(|why| unsent(&why))?;
        let answer = self.connector.call(request).await;
        let answer = answer.map_err(|error| unsent(&Cause::of_connection(&error)))?;
        if !answer.status().is_success() {
            return Err(self.not_put(answer).await);
        }
        // Something in between can answer 200, too: S3 names what it has stored.
        if answer.headers().get("etag").is_some() {
            Ok(())
        } else {
            Err(unsent(&"the answer is not one of S3"))
        }
    }

    /// Returns the signed request.
    async fn request(
        &self,
        bucket: &str,
        object: &Object,
        is_new: bool,
    ) -> Result<HttpRequest, String> {
        let path = utf8_percent_encode(&object.key, ENCODED);
        let url = format!("{}/{bucket}/{path}", self.endpoint);
        let digest = Sha256::digest(&object.body);
        let checksum = BASE64_STANDARD.encode(digest);
        let version = object.record_version.to_string();
        let items = object.items.map(|items| items.to_string());
        let mut headers = vec![
            ("x-amz-checksum-sha256", checksum.as_str()),
            ("x-amz-meta-record-version", &version),
        ];
        if let Some(items) = &items {
            headers.push(("x-amz-meta-items", items));
        }
        if is_new {
            headers.push(("if-none-match", "*"));
        }
        let to_sign = ToSign {
            service: "s3",
            method: "PUT",
            url: &url,
            headers: &headers,
            body: SignedBody::OfS3(&hex::encode(digest)),
            time: self.skew.now(),
        };
        let request = HttpRequest::new(object.body.clone().into());
        sdk::signed_request(&self.sdk, to_sign, request).await
    }

    /// Returns what an error of S3 means.
    async fn not_put(&self, answer: HttpResponse) -> NotPut {
        let status = answer.status().as_u16();
        let header = |name: &str| answer.headers().get(name).map(ToOwned::to_owned);
        let (date, region) = (header("date"), header("x-amz-bucket-region"));
        let body = Limited::new(answer.into_body(), MOST_OF_AN_ERROR).collect();
        let body = body
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        let code = element(&text, "Code").unwrap_or("no error code");
        let message = element(&text, "Message").unwrap_or("no message");
        let region = region.as_deref().or(element(&text, "Region"));
        let region = region.filter(|_| OF_ANOTHER_REGION.contains(&code));
        let region = region.map(|region| format!(" (the bucket is in {region})"));
        let region = region.unwrap_or_default();
        let cause = format!("{OPERATION}: {code} ({status}): {message}{region}");
        let cause = Cause::because(&cause);
        if code == "RequestTimeTooSkewed" {
            self.skew.learn(date.as_deref());
        }
        if status == 412 {
            NotPut::Exists
        } else if sdk::is_code_of_signing(code) {
            NotPut::Signature(cause)
        } else if is_transient(code, status) {
            NotPut::NoAnswer(cause)
        } else {
            NotPut::Refused(cause)
        }
    }
}

/// Returns whether the same request may be accepted later. S3 asks for another attempt with a
/// status of 5xx (`SlowDown` is 503) and with these codes: the body came too slowly, not whole
/// or changed, or another write of the same key was on its way.
fn is_transient(code: &str, status: u16) -> bool {
    let codes = [
        "RequestTimeout",
        "OperationAborted",
        "BadDigest",
        "IncompleteBody",
    ];
    // S3's own throttling is 503, that of the key that it encrypts with is 400.
    codes.contains(&code) || code.contains("Throttling") || status == 429 || status >= 500
}

/// Returns the text of an element of S3's errors, which are XML without attributes.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inner)
}

/// Returns the endpoint of S3 in this configuration's Region. The SDK knows the domain of each
/// Region's partition; the names before it are those of "Amazon S3 endpoints and quotas".
async fn regional(sdk: &SdkConfig) -> Result<String, Cause> {
    let domain = sdk::domain(sdk, false).await?;
    let region = sdk.region().map_or("", AsRef::as_ref);
    let fips = if sdk.use_fips() == Some(true) {
        "-fips"
    } else {
        ""
    };
    let stack = if sdk.use_dual_stack() == Some(true) {
        ".dualstack"
    } else {
        ""
    };
    Ok(format!("https://s3{fips}{stack}.{region}.{domain}"))
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, Region};

    use super::*;

    #[tokio::test]
    async fn the_endpoint_is_that_of_region_and_rules() {
        for (region, fips, dual, expected) in [
            (
                "eu-central-1",
                false,
                false,
                "s3.eu-central-1.amazonaws.com",
            ),
            ("us-east-1", true, false, "s3-fips.us-east-1.amazonaws.com"),
            (
                "us-east-1",
                false,
                true,
                "s3.dualstack.us-east-1.amazonaws.com",
            ),
            (
                "us-gov-west-1",
                true,
                true,
                "s3-fips.dualstack.us-gov-west-1.amazonaws.com",
            ),
            ("cn-north-1", false, false, "s3.cn-north-1.amazonaws.com.cn"),
        ] {
            let sdk = SdkConfig::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new(region))
                .use_fips(fips)
                .use_dual_stack(dual)
                .build();
            let endpoint = regional(&sdk).await.unwrap();
            assert_eq!(endpoint, format!("https://{expected}"));
        }
    }

    #[test]
    fn an_error_has_a_code_and_a_message() {
        let text = "<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>Please \
                    reduce your request rate.</Message></Error>";
        assert_eq!(element(text, "Code"), Some("SlowDown"));
        assert_eq!(
            element(text, "Message"),
            Some("Please reduce your request rate.")
        );
        for text in ["", "<Code>", "<Error/>"] {
            assert_eq!(element(text, "Code"), None);
        }
    }

    #[test]
    fn only_what_may_be_accepted_later_is_transient() {
        for (code, status, expected) in [
            ("SlowDown", 503, true),
            ("InternalError", 500, true),
            ("RequestTimeout", 400, true),
            ("no error code", 429, true),
            ("KMS.ThrottlingException", 400, true),
            ("AccessDenied", 403, false),
            ("NoSuchBucket", 404, false),
            ("PermanentRedirect", 301, false),
        ] {
            assert_eq!(is_transient(code, status), expected, "{code}");
        }
    }
}

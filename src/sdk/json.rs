//! A service whose requests and answers are JSON ("AWS JSON 1.1"), called without a client of
//! the SDK: signed by the SDK's own signer, sent by its own HTTP client.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use super::{
    Cause, SignedBody, Skew, ToSign, domain, endpoint, given_endpoint, signed_request, web_client,
};

/// How long the first byte of an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How much of an answer is read, bytes.
const MOST_OF_AN_ANSWER: usize = 64 * 1024;

/// One service at its endpoint.
#[derive(Debug)]
pub struct JsonService {
    sdk: SdkConfig,
    /// Its name in signatures and host names.
    service: &'static str,
    url: String,
    connector: SharedHttpConnector,
    skew: Skew,
}

/// What a service has answered.
#[derive(Debug)]
pub struct JsonAnswer {
    /// The status.
    pub status: u16,
    /// Null if it is not JSON.
    pub body: Value,
}

impl JsonService {
    /// Returns the service of this name. `variable` names its endpoint, if one is set. Nothing
    /// is sent yet.
    ///
    /// # Errors
    /// The endpoint is not known.
    pub async fn new(
        sdk: SdkConfig,
        service: &'static str,
        variable: &'static str,
    ) -> Result<Self, Cause> {
        let url = match given_endpoint(&sdk, variable) {
            Some(given) => format!("{}/", given.trim_end_matches('/')),
            None => regional(&sdk, service).await?,
        };
        let uri = endpoint(variable, &url);
        let uri = uri.map_err(|error| Cause::because(&error.to_string()))?;
        let scheme = uri.scheme().cloned();
        let scheme = scheme.ok_or_else(|| Cause::because("the endpoint has no scheme"))?;
        Ok(Self {
            sdk,
            service,
            url,
            connector: web_client(&scheme, PATIENCE),
            skew: Skew::default(),
        })
    }

    /// Sends a request, once. `target` is the operation as `X-Amz-Target` names it.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn call(&self, target: &str, body: &str) -> Result<JsonAnswer, Cause> {
        let because = |why: &dyn std::fmt::Display| Cause::because(&format!("{target}: {why}"));
        let request = self.request(target, body).await;
        let request = request.map_err(|why| because(&why))?;
        let answer = self.connector.call(request).await;
        let answer = answer.map_err(|error| because(&Cause::of_connection(&error)))?;
        let status = answer.status().as_u16();
        let date = answer.headers().get("date").map(ToOwned::to_owned);
        let body = Limited::new(answer.into_body(), MOST_OF_AN_ANSWER).collect();
        let body = body.await.map_err(|_| because(&"the answer broke off"))?;
        let body = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        let answer = JsonAnswer { status, body };
        if answer.code() == "RequestTimeTooSkewed" || answer.code() == "InvalidSignatureException" {
            self.skew.learn(date.as_deref());
        }
        Ok(answer)
    }

    /// Returns the signed request.
    async fn request(&self, target: &str, body: &str) -> Result<HttpRequest, String> {
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", target),
        ];
        let to_sign = ToSign {
            service: self.service,
            method: "POST",
            url: &self.url,
            headers: &headers,
            body: SignedBody::Text(body),
            time: self.skew.now(),
        };
        signed_request(&self.sdk, to_sign, HttpRequest::new(body.into())).await
    }
}

impl JsonAnswer {
    /// Returns the code of an error; empty if there is none.
    #[must_use]
    pub fn code(&self) -> &str {
        let code = self.body["__type"].as_str().unwrap_or_default();
        // Some services put a namespace before it.
        code.rsplit('#').next().unwrap_or_default()
    }

    /// Returns an error in words, for a log.
    #[must_use]
    pub fn cause(&self, target: &str) -> Cause {
        let message = ["message", "Message"]
            .iter()
            .find_map(|name| self.body[*name].as_str());
        let code = match self.code() {
            "" => "no error code",
            code => code,
        };
        Cause::because(&format!(
            "{target}: {code} ({}): {}",
            self.status,
            message.unwrap_or("no message")
        ))
    }
}

/// Returns the endpoint of a service in this configuration's Region, as the SDK's rules for
/// EventBridge have it, whose usual endpoint in `GovCloud` is the one with FIPS.
async fn regional(sdk: &SdkConfig, service: &str) -> Result<String, Cause> {
    let dual_stack = sdk.use_dual_stack() == Some(true);
    let domain = domain(sdk, dual_stack).await?;
    let region = sdk.region().map_or("", AsRef::as_ref);
    let is_usual = service == "events" && region.starts_with("us-gov-") && !dual_stack;
    let fips = if sdk.use_fips() == Some(true) && !is_usual {
        "-fips"
    } else {
        ""
    };
    Ok(format!("https://{service}{fips}.{region}.{domain}/"))
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
                "events.eu-central-1.amazonaws.com",
            ),
            (
                "us-east-1",
                true,
                false,
                "events-fips.us-east-1.amazonaws.com",
            ),
            ("us-east-1", false, true, "events.us-east-1.api.aws"),
            ("us-east-1", true, true, "events-fips.us-east-1.api.aws"),
            (
                "us-gov-west-1",
                true,
                false,
                "events.us-gov-west-1.amazonaws.com",
            ),
            (
                "cn-north-1",
                false,
                false,
                "events.cn-north-1.amazonaws.com.cn",
            ),
        ] {
            let sdk = SdkConfig::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new(region))
                .use_fips(fips)
                .use_dual_stack(dual)
                .build();
            let endpoint = regional(&sdk, "events").await.unwrap();
            assert_eq!(endpoint, format!("https://{expected}/"));
        }
    }

    #[test]
    fn an_error_is_named_by_its_code_alone() {
        let answer = JsonAnswer {
            status: 400,
            body: serde_json::json!({
                "__type": "com.amazon.coral.service#AccessDeniedException",
                "Message": "no",
            }),
        };
        assert_eq!(answer.code(), "AccessDeniedException");
        let cause = answer.cause("PutEvents").to_string();
        assert_eq!(cause, "PutEvents: AccessDeniedException (400): no");
    }
}

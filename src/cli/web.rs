//! Requests to the API, over the HTTP client of the AWS SDK.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_dynamodb::config::http::HttpRequest;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use http_body_util::{BodyExt, Limited};
use lambda_http::http::{Uri, uri::Scheme};
use serde_json::Value;
use tokio::time::sleep;

use super::{CliError, connect};
use crate::{
    auth::ApiKey,
    sdk::{self, Cause},
};

/// How long an answer may take: an HTTP API gives up after 30 s ("Quotas for configuring
/// and running an HTTP API").
const PATIENCE: Duration = Duration::from_secs(31);
/// The largest answer that is read, bytes.
const BODY_LIMIT: usize = 1 << 20;
/// The longest wait for a rate limit, seconds: its window is a minute.
const LONGEST_WAIT: u64 = 61;

/// The API at a URL.
#[derive(Debug)]
pub(super) struct Web {
    connector: SharedHttpConnector,
    /// Without a slash at the end.
    base: String,
    uri: Uri,
    is_loopback: bool,
}

/// A request to the API.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    /// Path and query, as they are sent.
    pub(super) path: &'a str,
    pub(super) key: Option<&'a str>,
    pub(super) headers: &'a [(&'static str, &'a str)],
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// By name in lower case.
    headers: BTreeMap<String, String>,
    /// Null if it is not JSON.
    pub(super) body: Value,
}

/// Parses an API key.
pub(super) fn api_key(text: &str) -> Result<String, String> {
    match ApiKey::new(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("must be 40 characters of A-Z a-z 0-9 _ -".to_owned()),
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Returns whether this is an error of this service with this code.
    pub(super) fn is(&self, status: u16, error: &str) -> bool {
        self.status == status && self.error() == Some(error)
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.body["error"].as_str()
    }

    /// Returns the answer with the message of an error.
    pub(super) fn explained(&self) -> String {
        match self.body["message"].as_str() {
            Some(message) if self.error().is_some() => format!("{}: {message}", self.text()),
            _ => self.text(),
        }
    }

    /// Returns the answer in a few words.
    pub(super) fn text(&self) -> String {
        match (self.error(), self.body["message"].as_str()) {
            (Some(error), _) => format!("{} {error}", self.status),
            (None, Some(message)) => format!("{} ({message})", self.status),
            (None, None) => self.status.to_string(),
        }
    }
}

impl Web {
    /// Returns the API at this URL.
    ///
    /// # Errors
    /// [`CliError`] for what is not a URL.
    pub(super) fn new(url: &str) -> Result<Self, CliError> {
        let base = url.trim_end_matches('/').to_owned();
        let uri = sdk::endpoint("--api-url", &base)?;
        if uri.query().is_some() {
            return Err(CliError::Refused(
                "--api-url has a query; allowed: a URL such as https://api.example.com/prod"
                    .to_owned(),
            ));
        }
        let scheme = uri.scheme().cloned().unwrap_or(Scheme::HTTP);
        Ok(Self {
            connector: sdk::web_client(&scheme, PATIENCE),
            is_loopback: connect::is_loopback(&base),
            base,
            uri,
        })
    }

    pub(super) fn is_https(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Returns the Region in the host name of an API Gateway.
    pub(super) fn region(&self) -> Option<&str> {
        region_of(self.uri.host()?)
    }

    /// Sends a request, once.
    ///
    /// # Errors
    /// Why there was no answer.
    pub(super) async fn ask(&self, ask: Ask<'_>) -> Result<Answer, String> {
        let mut headers = Vec::new();
        if let Some(key) = ask.key {
            headers.push(("authorization", format!("Bearer {key}")));
        }
        let given = ask.headers.iter();
        headers.extend(given.map(|(name, value)| (*name, (*value).to_owned())));
        let url = format!("{}{}", self.base, ask.path);
        send(&self.connector, ask.method, url, headers, "").await
    }

    /// Sends a request, and once more after the wait that a rate limit asks for.
    ///
    /// # Errors
    /// Why there was no answer.
    pub(super) async fn ask_patiently(&self, ask: Ask<'_>) -> Result<Answer, String> {
        let answer = self.ask(ask).await?;
        if answer.status != 429 {
            return Ok(answer);
        }
        let wait = answer
            .header("retry-after")
            .and_then(|wait| wait.parse().ok());
        sleep(Duration::from_secs(wait.unwrap_or(1).min(LONGEST_WAIT))).await;
        self.ask(ask).await
    }
}

/// Sends a request, once.
///
/// # Errors
/// Why there was no answer.
pub(super) async fn send(
    connector: &SharedHttpConnector,
    method: &str,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: &str,
) -> Result<Answer, String> {
    let mut request = HttpRequest::new(body.into());
    request.set_uri(url).map_err(|error| error.to_string())?;
    let set = request.set_method(method);
    set.map_err(|error| error.to_string())?;
    for (name, value) in headers {
        request.headers_mut().insert(name, value);
    }
    let answer = connector.call(request).await;
    let answer = answer.map_err(|error| Cause::of_connection(&error).to_string())?;
    let status = answer.status().as_u16();
    let headers = answer.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers = headers.collect();
    let body = Limited::new(answer.into_body(), BODY_LIMIT).collect().await;
    let body = body.map_err(|error| format!("the answer broke off: {error}"))?;
    Ok(Answer {
        status,
        headers,
        body: serde_json::from_slice(&body.to_bytes()).unwrap_or_default(),
    })
}

/// The host of an HTTP API is `ID.execute-api.REGION.amazonaws.com`, in China with `.cn`.
fn region_of(host: &str) -> Option<&str> {
    let (_, rest) = host.split_once(".execute-api.")?;
    let (region, suffix) = rest.split_once('.')?;
    suffix.starts_with("amazonaws.com").then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_of_a_gateway_is_in_its_name() {
        for (host, region) in [
            (
                "a1b2.execute-api.eu-central-1.amazonaws.com",
                Some("eu-central-1"),
            ),
            (
                "a1b2.execute-api.cn-north-1.amazonaws.com.cn",
                Some("cn-north-1"),
            ),
            ("api.example.com", None),
            ("x.execute-api.eu-central-1.example.com", None),
        ] {
            assert_eq!(region_of(host), region, "{host}");
        }
    }

    #[test]
    fn the_url_of_the_api_has_no_query_and_no_odd_scheme() {
        for url in ["http://127.0.0.1:3000/", "https://api.example.com/prod"] {
            assert!(Web::new(url).is_ok(), "{url}");
        }
        for url in ["127.0.0.1:3000", "ftp://x", "https://x/?a=b", ""] {
            assert!(Web::new(url).is_err(), "{url}");
        }
    }
}

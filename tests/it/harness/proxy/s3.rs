//! S3 to the fault layer: its operations and its errors.

use hyper::{Method, Response, StatusCode, body::Bytes, http::request::Parts};
use serde_json::{Value, json};

use super::{Action, Service};

/// The body of a request to S3.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object(pub(crate) Bytes);

impl Service for Object {
    fn read(head: &Parts, body: Bytes) -> (String, Self) {
        let is_object = head.uri.path().trim_start_matches('/').contains('/');
        let operation = match (&head.method, is_object) {
            (&Method::PUT, true) => "PutObject",
            (&Method::GET, true) => "GetObject",
            (&Method::HEAD, true) => "HeadObject",
            (&Method::GET, false) => "ListObjectsV2",
            (&Method::HEAD, false) => "HeadBucket",
            (method, _) => method.as_str(),
        };
        (operation.to_owned(), Self(body))
    }

    fn bytes(&self) -> Bytes {
        self.0.clone()
    }

    fn answer(status: StatusCode, value: &Value) -> Response<Bytes> {
        let code = value["Code"].as_str().unwrap_or("ServiceUnavailable");
        let error = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
             <Message>made by the fault layer</Message></Error>"
        );
        Response::builder()
            .status(status)
            .header("content-type", "application/xml")
            .body(error.into())
            .unwrap()
    }
}

pub(crate) fn slow_down() -> Action {
    error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown")
}

pub(crate) fn access_denied() -> Action {
    error(StatusCode::FORBIDDEN, "AccessDenied")
}

pub(crate) fn expired_token() -> Action {
    error(StatusCode::BAD_REQUEST, "ExpiredToken")
}

fn error(status: StatusCode, code: &str) -> Action {
    Action::Answer(status, json!({ "Code": code }))
}

//! The page of the local server: a console in a browser, as a client of the public API. What that
//! lacks for it, the list of campaigns for example, is under `/local/` and in no Lambda function.

mod files;
mod local;
pub mod origin;

use std::sync::Arc;

use http_body_util::Full;
use hyper::{
    Method, Response, StatusCode,
    body::Bytes,
    header::{
        ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName,
        HeaderValue, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
    http::request::Parts,
};
use serde::Serialize;
use serde_json::json;

use self::files::File;
pub use self::local::{ArchiveSession, Session};
use crate::{
    deletion::{Deletions, Error, Tally},
    http::Operator,
    refusal::Refusal,
    table::Table,
};

/// What a browser may do with the page: run its own files and call its own server, and nothing
/// else. No markup or script that is not in a file of ours runs, and no other page frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

const REFERRER_POLICY: HeaderName = HeaderName::from_static("referrer-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const SECURITY_POLICY: HeaderName = HeaderName::from_static("content-security-policy");

/// The page over a table. Clones share it.
#[derive(Clone, Debug)]
pub struct Page(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Table,
    deletions: Deletions,
    tally: Tally,
    entrance: Entrance,
    session: Session,
}

/// Who may use `/local/`.
#[derive(Clone, Debug)]
pub enum Entrance {
    /// The bearers of the table's API keys.
    Keys,
    /// The operator of `campaigns console`.
    Operator(Operator),
}

impl Page {
    /// Returns the page over a table.
    #[must_use]
    pub fn new(
        table: Table,
        deletions: Deletions,
        tally: Tally,
        entrance: Entrance,
        session: Session,
    ) -> Self {
        Self(Arc::new(Inner {
            table,
            deletions,
            tally,
            entrance,
            session,
        }))
    }

    /// Answers a request for the page, its files, or `/local/`; `None` for any other path.
    pub(super) async fn answer(&self, head: &Parts) -> Option<Response<Full<Bytes>>> {
        let path = head.uri.path();
        let file = files::at(path);
        let local = path.strip_prefix("/local/");
        if file.is_none() && local.is_none() {
            return None;
        }
        // A HEAD is answered as a GET: the connection leaves the body out.
        if head.method != Method::GET && head.method != Method::HEAD {
            return Some(refused(&Refusal::MethodNotAllowed("GET, HEAD").into()));
        }
        if let Some(file) = file {
            return Some(file_answer(file, head));
        }
        Some(match self.0.answer(local?, head).await {
            Ok(answer) => answer,
            Err(error) => refused(&error),
        })
    }
}

/// Returns a file, compressed for whoever takes that.
fn file_answer(file: File, head: &Parts) -> Response<Full<Bytes>> {
    let accepted = head.headers.get(ACCEPT_ENCODING);
    let accepted = accepted.and_then(|accepted| accepted.to_str().ok());
    let takes = accepted.is_some_and(|accepted| {
        let mut codings = accepted.split(',');
        codings.any(|coding| coding.trim() == "gzip")
    });
    match file.compressed().filter(|_| takes) {
        None => with_headers(file.text, file.content_type),
        Some(compressed) => {
            let mut answer = with_headers(compressed, file.content_type);
            let gzip = HeaderValue::from_static("gzip");
            answer.headers_mut().insert(CONTENT_ENCODING, gzip);
            answer
        }
    }
}

fn json_answer(body: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string(body) {
        Ok(text) => with_headers(text, "application/json"),
        Err(error) => {
            tracing::error!("could not write an answer: {error}");
            let mut answer = Response::default();
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            answer
        }
    }
}

/// Returns the answer of an error, in the form that the API's errors have.
fn refused(error: &Error) -> Response<Full<Bytes>> {
    let public = error.public();
    if public.status >= 500 {
        tracing::warn!("could not answer a request of the page: {error}");
    }
    let mut answer = json_answer(&json!({ "error": public.code, "message": public.message }));
    *answer.status_mut() =
        StatusCode::from_u16(public.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    if public.status == 401 {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Error::Refused(Refusal::MethodNotAllowed(allowed)) = error {
        headers.insert(ALLOW, HeaderValue::from_static(allowed));
    }
    answer
}

fn with_headers(body: impl Into<Bytes>, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (RESOURCE_POLICY, "same-origin"),
        (OPENER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

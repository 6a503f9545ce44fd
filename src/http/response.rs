//! The bodies and headers of the answers. Members are in the order of the
//! public reference.

use std::borrow::Cow;

use lambda_http::{
    Body,
    aws_lambda_events::apigw::ApiGatewayV2httpResponse,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    counts::Counts,
    deletion::{DeletionView, Error, Preview},
    rate_limit::Usage,
    receipts::JwkSet,
    record::{ArchiveView, Claims, Record, RecordState},
    refusal::Refusal,
};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// When a caller may ask again, seconds: a released deletion can be resumed at
/// once, and a busy table needs no longer than that.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// How long the published keys may be kept: a key is listed long before it signs.
const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// The description of the API in OpenAPI 3.1, to which a test holds every answer.
const DESCRIPTION: &str = include_str!("openapi.json");

/// An answer: a status, headers and a JSON body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: String,
}

/// What is said of a deletion, or of one that would be.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeletionAnswer<'a> {
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    validate_only: Option<bool>,
    deletion_summary: Summary<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    campaign_id: &'a str,
    campaign_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_id: Option<&'a str>,
    deleted_items: &'a Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<&'a str>,
    /// What is archived, and where.
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<ArchiveView>,
    /// Whether it would be archived, in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    would_archive: Option<bool>,
}

#[derive(Serialize)]
struct ReceiptAnswer<'a> {
    receipt: &'a str,
    claims: &'a Claims<'a>,
}

#[derive(Serialize)]
struct EachAnswer<'a> {
    deletions: &'a [Box<RawValue>],
}

#[derive(Serialize)]
struct DeletionsAnswer<'a> {
    deletions: &'a [DeletionView<'a>],
    /// The ids of those that cannot be read, so that a page says what it lacks.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    unreadable: &'a [&'a str],
    after: Option<&'a str>,
}

/// What is said of an error.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorAnswer<'a> {
    error: &'static str,
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl<'a> Summary<'a> {
    fn of(record: &'a Record) -> Self {
        Self {
            campaign_id: record.campaign_id.as_str(),
            campaign_name: &record.campaign_name,
            deletion_id: Some(&record.deletion_id),
            deleted_items: &record.progress.counted,
            complete: None,
            started_at: None,
            deleted_at: record.completed_at(),
            archive: ArchiveView::of(record),
            would_archive: None,
        }
    }
}

impl<'a> DeletionAnswer<'a> {
    /// Everything is gone.
    pub(super) fn deleted(record: &'a Record) -> Self {
        Self {
            message: "Campaign deleted successfully",
            validate_only: None,
            deletion_summary: Summary::of(record),
        }
    }

    /// There is more to do.
    pub(super) fn in_progress(record: &'a Record) -> Self {
        Self {
            message: "Campaign deletion in progress",
            validate_only: None,
            deletion_summary: Summary {
                started_at: Some(&record.started_at),
                ..Summary::of(record)
            },
        }
    }

    /// What would be deleted.
    pub(super) fn previewed(preview: &'a Preview) -> Self {
        Self {
            message: "Campaign can be deleted",
            validate_only: Some(true),
            deletion_summary: Summary {
                campaign_id: preview.campaign.id.as_str(),
                campaign_name: &preview.campaign.name,
                deletion_id: None,
                deleted_items: &preview.counts,
                complete: (!preview.complete).then_some(false),
                started_at: None,
                deleted_at: None,
                archive: None,
                would_archive: preview.would_archive,
            },
        }
    }
}

impl<'a> ErrorAnswer<'a> {
    /// What a caller is told of an error; of an internal one, where its cause is.
    pub(super) fn of(error: &'a Error, request_id: &'a str) -> Self {
        let public = error.public();
        let is_internal = public.status == StatusCode::INTERNAL_SERVER_ERROR.as_u16();
        Self {
            error: public.code,
            message: public.message,
            current_status: refusal(error).and_then(Refusal::current_status),
            request_id: is_internal.then_some(request_id),
        }
    }
}

/// Returns the refusal, if an error is one.
fn refusal(error: &Error) -> Option<&Refusal> {
    match error {
        Error::Refused(refusal) => Some(refusal),
        Error::Table(_) | Error::Archive(_) => None,
    }
}

/// Returns the path of a deletion. `prefix` is what stands before `/v1` in the request's path.
pub(super) fn location(record: &Record, prefix: &str) -> String {
    format!("{prefix}/v1/deletions/{}", record.deletion_id)
}

impl Answer {
    fn json(status: StatusCode, body: &impl Serialize) -> Self {
        Self {
            status,
            headers: Vec::new(),
            // Every body is a struct of text, numbers and maps with text keys,
            // none of which can fail to serialize.
            body: serde_json::to_string(body).unwrap_or_default(),
        }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// 200: everything is gone.
    pub(super) fn deleted(record: &Record) -> Self {
        Self::json(StatusCode::OK, &DeletionAnswer::deleted(record))
    }

    /// 202: there is more to do. `prefix` is what stands before `/v1` in the
    /// request's path.
    pub(super) fn in_progress(record: &Record, prefix: &str) -> Self {
        let answer = Self::json(StatusCode::ACCEPTED, &DeletionAnswer::in_progress(record))
            .with(header::RETRY_AFTER, RETRY_AFTER);
        match HeaderValue::from_str(&location(record, prefix)) {
            Ok(location) => answer.with(header::LOCATION, location),
            // A mapping that no header can carry.
            Err(_) => answer,
        }
    }

    /// 200: the state of a deletion.
    pub(super) fn deletion(view: &DeletionView<'_>) -> Self {
        let answer = Self::json(StatusCode::OK, view);
        if view.status() == RecordState::SUCCEEDED {
            answer
        } else {
            answer.with(header::RETRY_AFTER, RETRY_AFTER)
        }
    }

    /// 200: a receipt, and what it says.
    pub(super) fn receipt(receipt: &str, claims: &Claims<'_>) -> Self {
        Self::json(StatusCode::OK, &ReceiptAnswer { receipt, claims })
    }

    /// 200: the keys that verify receipts, which anybody may keep for a while.
    pub(super) fn keys(keys: &JwkSet) -> Self {
        Self::json(StatusCode::OK, keys).with(header::CACHE_CONTROL, PUBLIC)
    }

    /// 200: deletions, and where to continue if there are more.
    pub(super) fn deletions(
        deletions: &[DeletionView<'_>],
        unreadable: &[&str],
        after: Option<&str>,
    ) -> Self {
        let page = DeletionsAnswer {
            deletions,
            unreadable,
            after,
        };
        Self::json(StatusCode::OK, &page)
    }

    /// 200: the description of the API.
    pub(super) fn description() -> Self {
        Self {
            status: StatusCode::OK,
            headers: Vec::new(),
            body: DESCRIPTION.to_owned(),
        }
    }

    /// The same, as the answer to a repeated request if it is one.
    pub(super) fn replayed(self, is_replay: bool) -> Self {
        if is_replay {
            self.with(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"))
        } else {
            self
        }
    }

    /// The same, with the preferences that were applied.
    pub(super) fn with_preferences(self, applied: Option<HeaderValue>) -> Self {
        match applied {
            Some(applied) => self.with(PREFERENCE_APPLIED, applied),
            None => self,
        }
    }

    /// 200: what would be deleted.
    pub(super) fn previewed(preview: &Preview) -> Self {
        let answer = Self::json(StatusCode::OK, &DeletionAnswer::previewed(preview));
        let etag = preview.campaign.etag();
        match etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
            Some(etag) => answer.with(header::ETAG, etag),
            None => answer,
        }
    }

    /// The same, with how much of its rate limit the caller has used.
    pub(super) fn with_usage(self, usage: &Usage) -> Self {
        let headers = usage.headers().into_iter();
        headers.fold(self, |answer, (name, value)| {
            match HeaderValue::from_str(&value) {
                Ok(value) => answer.with(HeaderName::from_static(name), value),
                // Names of policies and numbers are always valid in a header.
                Err(_) => answer,
            }
        })
    }

    /// 200: what became of each of several campaigns.
    pub(super) fn each(entries: &[Box<RawValue>]) -> Self {
        Self::json(StatusCode::OK, &EachAnswer { deletions: entries })
    }

    /// The answer of an error.
    pub(super) fn error(error: &Error, request_id: &str) -> Self {
        let status = StatusCode::from_u16(error.public().status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let answer = Self::json(status, &ErrorAnswer::of(error, request_id));
        let refusal = refusal(error);
        match (status, refusal) {
            (StatusCode::UNAUTHORIZED, _) => {
                answer.with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            (_, Some(Refusal::RateLimited(seconds))) => {
                answer.with(header::RETRY_AFTER, HeaderValue::from(*seconds))
            }
            (StatusCode::SERVICE_UNAVAILABLE, _) => answer.with(header::RETRY_AFTER, RETRY_AFTER),
            (_, Some(Refusal::MethodNotAllowed(allowed))) => {
                answer.with(header::ALLOW, HeaderValue::from_static(allowed))
            }
            _ => answer,
        }
    }

    /// The answer as API Gateway takes it, with the headers that every answer has.
    pub(super) fn into_response(self, request_id: &str) -> ApiGatewayV2httpResponse {
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = i64::from(self.status.as_u16());
        let headers = &mut response.headers;
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(request_id) = HeaderValue::from_str(request_id) {
            headers.insert(REQUEST_ID, request_id);
        }
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response.body = Some(Body::Text(self.body));
        response
    }
}

//! Every refusal and failure a caller can meet, and the one table that gives
//! each its status, code and public message.

use std::borrow::Cow;

use lambda_http::http::StatusCode;

use crate::table::TableError;

/// What a caller can act on. The texts of the reference page are literal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No route has this path.
    #[error("no route has this path")]
    UnknownPath,
    /// The path has a route, but not for this method; the methods it has.
    #[error("the path has no such method")]
    MethodNotAllowed(&'static str),
    /// There is no `Authorization` header, or it is empty.
    #[error("no API key")]
    MissingApiKey,
    /// The header is not `Bearer` and 40 characters.
    #[error("malformed API key")]
    InvalidApiKeyFormat,
    /// The key is unknown, revoked or expired.
    #[error("unknown, revoked or expired API key")]
    InvalidApiKey,
    /// The subscription of the key's account is not active.
    #[error("inactive subscription")]
    SubscriptionInactive,
    /// The key lacks the scope.
    #[error("the key lacks the scope")]
    MissingScope,
    /// Something in the request is malformed; the text says what and why.
    #[error("invalid request: {0}")]
    Validation(Cow<'static, str>),
    /// There is no such campaign.
    #[error("no such campaign")]
    CampaignNotFound,
    /// The campaign belongs to another account.
    #[error("another account's campaign")]
    ForeignCampaign,
    /// The campaign is active.
    #[error("the campaign is active")]
    CampaignActive,
    /// The campaign is protected from deletion.
    #[error("the campaign is protected")]
    DeletionProtected,
    /// The campaign's status, given here, does not allow a deletion.
    #[error("the campaign's status does not allow a deletion")]
    InvalidStatus(String),
    /// `If-Match` names another state of the campaign.
    #[error("If-Match differs")]
    PreconditionFailed,
    /// The account has no such deletion.
    #[error("no such deletion")]
    DeletionNotFound,
    /// The idempotency key was used for another campaign.
    #[error("the idempotency key was used for another campaign")]
    IdempotencyKeyReused,
    /// The table did not do its part.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// What is sent of an [`Error`].
pub struct Public<'a> {
    /// The HTTP status.
    pub status: StatusCode,
    /// The `error` member.
    pub code: &'static str,
    /// The `message` member.
    pub message: Cow<'a, str>,
}

impl Error {
    /// The one table from error to answer.
    #[must_use]
    pub fn public(&self) -> Public<'_> {
        let (status, code, message): (_, _, Cow<'_, str>) = match self {
            Self::UnknownPath => (
                StatusCode::NOT_FOUND,
                "not_found",
                "There is no such route".into(),
            ),
            Self::MethodNotAllowed(allowed) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                format!("This route answers {allowed} only").into(),
            ),
            Self::MissingApiKey => (
                StatusCode::UNAUTHORIZED,
                "missing_api_key",
                "No API key was provided".into(),
            ),
            Self::InvalidApiKeyFormat => (
                StatusCode::UNAUTHORIZED,
                "invalid_api_key_format",
                "The API key format is invalid".into(),
            ),
            Self::InvalidApiKey => (
                StatusCode::UNAUTHORIZED,
                "invalid_api_key",
                "The API key is not recognized".into(),
            ),
            Self::SubscriptionInactive => (
                StatusCode::FORBIDDEN,
                "subscription_inactive",
                "Your subscription is inactive".into(),
            ),
            Self::MissingScope => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "The API key doesn't have permissions to perform the request".into(),
            ),
            Self::Validation(why) => (
                StatusCode::BAD_REQUEST,
                "validation_error",
                Cow::Borrowed(why.as_ref()),
            ),
            Self::CampaignNotFound => (
                StatusCode::NOT_FOUND,
                "not_found",
                "Campaign not found".into(),
            ),
            Self::ForeignCampaign => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "You do not have access to this campaign".into(),
            ),
            Self::CampaignActive => (
                StatusCode::CONFLICT,
                "campaign_active",
                "Cannot delete active campaign. Please pause the campaign first.".into(),
            ),
            Self::DeletionProtected => (
                StatusCode::CONFLICT,
                "deletion_protected",
                "Cannot delete a campaign that is protected from deletion. Switch its deletion protection off first.".into(),
            ),
            Self::InvalidStatus(status) => (
                StatusCode::CONFLICT,
                "invalid_status",
                format!("Cannot delete a campaign whose status is '{status}'.").into(),
            ),
            Self::PreconditionFailed => (
                StatusCode::PRECONDITION_FAILED,
                "precondition_failed",
                "The campaign has changed: If-Match does not match its current ETag".into(),
            ),
            Self::DeletionNotFound => (
                StatusCode::NOT_FOUND,
                "not_found",
                "Deletion not found".into(),
            ),
            Self::IdempotencyKeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "This Idempotency-Key was used to delete another campaign".into(),
            ),
            Self::Table(error) if error.is_busy() => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "The service is busy. Please try again.".into(),
            ),
            Self::Table(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_error",
                "An internal error occurred".into(),
            ),
        };
        Public {
            status,
            code,
            message,
        }
    }

    /// The `currentStatus` member, where the error has one.
    #[must_use]
    pub fn current_status(&self) -> Option<&str> {
        match self {
            Self::CampaignActive => Some(crate::campaign::Status::ACTIVE),
            Self::InvalidStatus(status) => Some(status),
            _ => None,
        }
    }
}

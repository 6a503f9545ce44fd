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
    /// The key was used more often than it may be; how long until its next window,
    /// seconds.
    #[error("the key is over its limit")]
    RateLimited(u64),
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
    /// What is sent of the error: the one place from error to answer.
    #[must_use]
    pub fn public(&self) -> Public<'_> {
        let (status, code) = self.status_and_code();
        Public {
            status,
            code,
            message: self.message(),
        }
    }

    fn status_and_code(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;

        match self {
            Self::UnknownPath | Self::CampaignNotFound | Self::DeletionNotFound => {
                (S::NOT_FOUND, "not_found")
            }
            Self::MethodNotAllowed(_) => (S::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::MissingApiKey => (S::UNAUTHORIZED, "missing_api_key"),
            Self::InvalidApiKeyFormat => (S::UNAUTHORIZED, "invalid_api_key_format"),
            Self::InvalidApiKey => (S::UNAUTHORIZED, "invalid_api_key"),
            Self::SubscriptionInactive => (S::FORBIDDEN, "subscription_inactive"),
            Self::RateLimited(_) => (S::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
            Self::MissingScope | Self::ForeignCampaign => (S::FORBIDDEN, "forbidden"),
            Self::Validation(_) => (S::BAD_REQUEST, "validation_error"),
            Self::CampaignActive => (S::CONFLICT, "campaign_active"),
            Self::DeletionProtected => (S::CONFLICT, "deletion_protected"),
            Self::InvalidStatus(_) => (S::CONFLICT, "invalid_status"),
            Self::PreconditionFailed => (S::PRECONDITION_FAILED, "precondition_failed"),
            Self::IdempotencyKeyReused => (S::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
            Self::Table(error) if error.is_busy() => (S::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Table(_) => (S::INTERNAL_SERVER_ERROR, "internal_error"),
        }
    }

    fn message(&self) -> Cow<'_, str> {
        match self {
            Self::UnknownPath => "There is no such route".into(),
            Self::MethodNotAllowed(allowed) => format!("This route answers {allowed} only").into(),
            Self::MissingApiKey => "No API key was provided".into(),
            Self::InvalidApiKeyFormat => "The API key format is invalid".into(),
            Self::InvalidApiKey => "The API key is not recognized".into(),
            Self::SubscriptionInactive => "Your subscription is inactive".into(),
            Self::RateLimited(_) => "Too many requests hit the API too quickly".into(),
            Self::MissingScope => {
                "The API key doesn't have permissions to perform the request".into()
            }
            Self::Validation(why) => Cow::Borrowed(why.as_ref()),
            Self::CampaignNotFound => "Campaign not found".into(),
            Self::ForeignCampaign => "You do not have access to this campaign".into(),
            Self::CampaignActive => {
                "Cannot delete active campaign. Please pause the campaign first.".into()
            }
            Self::DeletionProtected => {
                "Cannot delete a campaign that is protected from deletion. Switch its deletion \
             protection off first."
                    .into()
            }
            Self::InvalidStatus(status) => {
                format!("Cannot delete a campaign whose status is '{status}'.").into()
            }
            Self::PreconditionFailed => {
                "The campaign has changed: If-Match does not match its current ETag".into()
            }
            Self::DeletionNotFound => "Deletion not found".into(),
            Self::IdempotencyKeyReused => {
                "This Idempotency-Key was used to delete another campaign".into()
            }
            Self::Table(error) if error.is_busy() => {
                "The service is busy. Please try again.".into()
            }
            Self::Table(_) => "An internal error occurred".into(),
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

//! Every refusal that a caller can meet, and the one table that gives each its
//! HTTP status, code and public message. A failure of the table is not a
//! refusal: [`crate::deletion::Error`] holds both.

use std::borrow::Cow;

/// What is said of every failure that another attempt may not meet.
pub const BUSY: &str = "The service is busy. Please try again.";

/// Why a request is refused. The texts of the reference page are literal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No route has this path.
    #[error("no route has this path")]
    UnknownPath,
    /// The path has a route, but not for this method; holds the methods that it has.
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
    /// The key is over its rate limit; the seconds until its next window.
    #[error("the key is over its rate limit")]
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
    /// The deletion has not finished.
    #[error("the deletion is running")]
    DeletionRunning,
    /// The key of receipts does not sign; the text is for the log alone.
    #[error("no receipt was signed: {0}")]
    NotSigned(String),
    /// The service signs no receipts.
    #[error("receipts are not enabled")]
    NoReceipts,
    /// The idempotency key was used for another campaign.
    #[error("the idempotency key was used for another campaign")]
    IdempotencyKeyReused,
}

/// The part of an error that is sent to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The `error` member.
    pub code: &'static str,
    /// The `message` member.
    pub message: Cow<'a, str>,
}

impl Refusal {
    /// Returns the status, code and message that are sent to the caller.
    #[must_use]
    pub fn public(&self) -> Public<'_> {
        let (status, code) = self.status_and_code();
        Public {
            status,
            code,
            message: self.message(),
        }
    }

    fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::UnknownPath
            | Self::CampaignNotFound
            | Self::DeletionNotFound
            | Self::NoReceipts => (404, "not_found"),
            Self::DeletionRunning => (409, "deletion_running"),
            Self::NotSigned(_) => (503, "unavailable"),
            Self::MethodNotAllowed(_) => (405, "method_not_allowed"),
            Self::MissingApiKey => (401, "missing_api_key"),
            Self::InvalidApiKeyFormat => (401, "invalid_api_key_format"),
            Self::InvalidApiKey => (401, "invalid_api_key"),
            Self::SubscriptionInactive => (403, "subscription_inactive"),
            Self::RateLimited(_) => (429, "rate_limit_exceeded"),
            Self::MissingScope | Self::ForeignCampaign => (403, "forbidden"),
            Self::Validation(_) => (400, "validation_error"),
            Self::CampaignActive => (409, "campaign_active"),
            Self::DeletionProtected => (409, "deletion_protected"),
            Self::InvalidStatus(_) => (409, "invalid_status"),
            Self::PreconditionFailed => (412, "precondition_failed"),
            Self::IdempotencyKeyReused => (422, "idempotency_key_reused"),
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
            Self::DeletionRunning => {
                "The deletion has not finished: there is no receipt yet".into()
            }
            Self::NotSigned(_) => BUSY.into(),
            Self::NoReceipts => "Receipts are not enabled".into(),
            Self::IdempotencyKeyReused => {
                "This Idempotency-Key was used to delete another campaign".into()
            }
        }
    }

    /// Returns the `currentStatus` member, where the refusal has one.
    #[must_use]
    pub fn current_status(&self) -> Option<&str> {
        match self {
            Self::CampaignActive => Some("active"),
            Self::InvalidStatus(status) => Some(status),
            _ => None,
        }
    }
}

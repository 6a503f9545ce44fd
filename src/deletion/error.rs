//! Why a use case has no outcome: a refusal, or a failure of the table. The one
//! table from an error to what its caller is told.

use crate::{
    refusal::{Public, Refusal},
    table::TableError,
};

/// Why a request has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The table failed.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl Error {
    /// Returns the status, code and message that are sent to the caller. The cause
    /// of a failure goes to the log only.
    #[must_use]
    pub fn public(&self) -> Public<'_> {
        match self {
            Self::Refused(refusal) => refusal.public(),
            Self::Table(error) if error.is_busy() => Public {
                status: 503,
                code: "unavailable",
                message: "The service is busy. Please try again.".into(),
            },
            Self::Table(_) => Public {
                status: 500,
                code: "internal_error",
                message: "An internal error occurred".into(),
            },
        }
    }
}

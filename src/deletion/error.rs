//! Why a use case has no outcome: a refusal, or a failure of the table or the archive. The
//! one table from an error to what its caller is told.

use crate::{
    archive::ArchiveError,
    refusal::{BUSY, Public, Refusal},
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
    /// The campaign item could not be archived before it is claimed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Why a worker cannot continue.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkError {
    /// The table failed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// What was read cannot be archived, so it is not deleted.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl From<WorkError> for Error {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Table(error) => error.into(),
            WorkError::Archive(error) => error.into(),
        }
    }
}

impl Error {
    /// Returns the status, code and message that are sent to the caller. The cause
    /// of a failure goes to the log only.
    #[must_use]
    pub fn public(&self) -> Public<'_> {
        match self {
            Self::Refused(refusal) => refusal.public(),
            Self::Table(TableError::Busy(_)) | Self::Archive(ArchiveError::NoAnswer(_)) => Public {
                status: 503,
                code: "unavailable",
                message: BUSY.into(),
            },
            Self::Table(_) | Self::Archive(_) => Public {
                status: 500,
                code: "internal_error",
                message: "An internal error occurred".into(),
            },
        }
    }
}

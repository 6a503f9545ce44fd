//! One check: what was looked at, how it stands, what was seen, and what to do.

use serde::Serialize;

use crate::{cli::print, table::Unread};

/// How a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// It works, at a cost or a risk that the remedy names.
    Warning,
    /// It does not work, or a guarantee does not hold.
    Failed,
    /// It could not be looked at.
    Skipped,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// A check with its result.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) status: Status,
    pub(super) seen: String,
    /// What to do; a line that begins with a program's name is a command.
    pub(super) remedy: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &'static str, seen: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Ok,
            seen: seen.into(),
            remedy: None,
        }
    }

    pub(super) fn warning(
        name: &'static str,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::with(name, Status::Warning, seen.into(), remedy.into())
    }

    pub(super) fn failed(
        name: &'static str,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::with(name, Status::Failed, seen.into(), remedy.into())
    }

    pub(super) fn skipped(
        name: &'static str,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::with(name, Status::Skipped, seen.into(), remedy.into())
    }

    fn with(name: &'static str, status: Status, seen: String, remedy: String) -> Self {
        Self {
            name,
            status,
            seen,
            remedy: Some(remedy),
        }
    }

    /// Gives these options to the commands of the remedy that begin so: without them, they would
    /// go to another table, or to what has the same name at AWS.
    pub(super) fn complete(&mut self, command: &str, options: &[String]) {
        let Some(remedy) = self.remedy.as_mut().filter(|_| !options.is_empty()) else {
            return;
        };
        let options = print::quoted(options);
        let lines = remedy.lines().map(|line| {
            if line.starts_with(command) {
                format!("{line} {options}")
            } else {
                line.to_owned()
            }
        });
        *remedy = lines.collect::<Vec<_>>().join("\n");
    }

    pub(super) fn is_failed(&self) -> bool {
        self.status == Status::Failed
    }

    /// A check of receipts where there are none.
    pub(super) fn without_receipts(name: &'static str) -> Self {
        Self::skipped(
            name,
            "receipts are not enabled",
            "Set MakeReceiptKey or ReceiptKeyArns of the stack to have signed receipts.",
        )
    }

    /// A check of a setting that could not be read.
    pub(super) fn unread(name: &'static str, why: &Unread) -> Self {
        match why {
            Unread::Denied(right) => Self::skipped(
                name,
                format!("not allowed to read it: {right}"),
                format!("Allow {right} to see it; no function needs it."),
            ),
            Unread::Unknown(operation) => Self::skipped(
                name,
                format!("this endpoint does not know {operation}"),
                "Run this against the table in AWS.",
            ),
            Unread::Missing => Self::skipped(name, "there is no such table", SEE_TABLE),
            Unread::Unsigned(cause) | Unread::Unanswered(cause) | Unread::Refused(cause) => {
                Self::skipped(name, cause.to_string(), SEE_TABLE)
            }
        }
    }
}

const SEE_TABLE: &str = "Mend what the checks above say first.";

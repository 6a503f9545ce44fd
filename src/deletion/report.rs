//! What a deletion record says to its owner (`GET /v1/deletions`) and to
//! operators (`campaigns status`). The record itself is not shown: its marks,
//! version and owner mean nothing outside of the protocol.

use std::time::Duration;

use serde::Serialize;

use super::{Counts, Record, RecordState};

/// A deletion as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report<'a> {
    deletion_id: &'a str,
    campaign_id: &'a str,
    campaign_name: &'a str,
    status: &'static str,
    processed: u64,
    deleted_items: &'a Counts,
    requested_by: &'a str,
    started_at: &'a str,
    last_processed_at: &'a str,
    completed_at: Option<&'a str>,
}

/// `status` of a deletion that runs and that nobody is at: not stored, but seen.
const STALLED: &str = "stalled";

impl<'a> Report<'a> {
    /// A record as it looks at `now_ms` (epoch milliseconds).
    #[must_use]
    pub fn of(record: &'a Record, lease: Duration, now_ms: i64) -> Self {
        Self {
            deletion_id: &record.deletion_id,
            campaign_id: record.campaign_id.as_str(),
            campaign_name: &record.campaign_name,
            status: match record.state {
                RecordState::Succeeded { .. } => RecordState::SUCCEEDED,
                RecordState::Running if record.is_stalled(lease, now_ms) => STALLED,
                RecordState::Running => RecordState::RUNNING,
            },
            processed: record.progress.counted.total(),
            deleted_items: &record.progress.counted,
            requested_by: &record.requested_by,
            started_at: &record.started_at,
            last_processed_at: &record.updated_at,
            completed_at: record.completed_at(),
        }
    }

    /// What is counted so far.
    #[must_use]
    pub fn deleted_items(&self) -> &'a Counts {
        self.deleted_items
    }

    /// The columns of a table of deletions.
    #[cfg(feature = "cli")]
    pub(crate) fn columns(&self) -> [String; 8] {
        [
            self.deletion_id.to_owned(),
            self.campaign_id.to_owned(),
            self.status.to_owned(),
            self.processed.to_string(),
            self.requested_by.to_owned(),
            self.started_at.to_owned(),
            self.last_processed_at.to_owned(),
            self.completed_at.unwrap_or_default().to_owned(),
        ]
    }

    /// `running`, `stalled` or `succeeded`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        self.status
    }
}

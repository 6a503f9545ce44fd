//! A deletion record as its owner (`GET /v1/deletions`) and operators
//! (`campaigns status`) see it. The record itself is not shown: its marks,
//! version and owner mean nothing outside of the protocol.

use std::{borrow::Cow, time::Duration};

use serde::Serialize;

use super::Deletions;
use crate::{
    clock::now_ms,
    counts::Counts,
    record::{ArchiveView, DeletionReason, Record},
};

/// A deletion as it is shown to its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletionView<'a> {
    deletion_id: &'a str,
    campaign_id: &'a str,
    campaign_name: &'a str,
    status: &'static str,
    processed: u64,
    deleted_items: &'a Counts,
    requested_by: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    started_at: &'a str,
    last_processed_at: &'a str,
    completed_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<ArchiveView>,
}

/// `status` of a running deletion without an active worker: derived, not stored.
const STALLED: &str = "stalled";

impl Deletions {
    /// Returns whether a running deletion has no active worker.
    #[must_use]
    pub fn is_stalled(&self, record: &Record) -> bool {
        record.is_stalled(self.settings.lease, now_ms())
    }

    /// Returns the view of a record that its owner and operators see.
    #[must_use]
    pub fn view<'a>(&self, record: &'a Record) -> DeletionView<'a> {
        DeletionView::of(record, self.settings.lease, now_ms())
    }
}

impl<'a> DeletionView<'a> {
    /// Returns the view of a record at `now_ms` (epoch milliseconds).
    #[must_use]
    pub fn of(record: &'a Record, lease: Duration, now_ms: i64) -> Self {
        Self {
            deletion_id: &record.deletion_id,
            campaign_id: record.campaign_id.as_str(),
            campaign_name: &record.campaign_name,
            status: if record.is_stalled(lease, now_ms) {
                STALLED
            } else {
                record.state.as_str()
            },
            processed: record.progress.counted.total(),
            deleted_items: &record.progress.counted,
            requested_by: record.requested_by.as_stored(),
            reason: record.reason.as_ref().map(DeletionReason::as_str),
            started_at: &record.started_at,
            last_processed_at: &record.updated_at,
            completed_at: record.completed_at(),
            archive: ArchiveView::of(record),
        }
    }

    /// Returns the cells of a row in a table of deletions: id, campaign, status, items,
    /// requester, start, last write, end.
    #[cfg(feature = "cli")]
    pub(crate) fn cells(&self) -> [String; 8] {
        [
            self.deletion_id.to_owned(),
            self.campaign_id.to_owned(),
            self.status.to_owned(),
            self.processed.to_string(),
            self.requested_by.to_string(),
            self.started_at.to_owned(),
            self.last_processed_at.to_owned(),
            self.completed_at.unwrap_or_default().to_owned(),
        ]
    }

    /// Returns why it was requested, if that was said.
    #[must_use]
    pub fn reason(&self) -> Option<&'a str> {
        self.reason
    }

    /// Returns the counts so far.
    #[must_use]
    pub fn deleted_items(&self) -> &'a Counts {
        self.deleted_items
    }

    /// Returns `running`, `stalled` or `succeeded`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        self.status
    }
}

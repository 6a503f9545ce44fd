//! The event that announces a finished deletion.

use std::borrow::Cow;

use serde::Serialize;

use super::{ArchiveView, DeletionReason, DeletionRef, Record};
use crate::counts::Counts;

/// The event of one finished deletion. Sent again, it is the same, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The deletion.
    pub of: DeletionRef,
    /// When the deletion was started, RFC 3339.
    pub started_at: String,
    /// What it says, as JSON. It has no campaign name and no personal data.
    pub detail: String,
}

/// What an event says: `detail` of `CampaignDeleted` in the OpenAPI document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail<'a> {
    /// By which a repetition is recognized.
    id: &'a str,
    campaign_id: &'a str,
    account_id: &'a str,
    deletion_id: &'a str,
    requested_by: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    started_at: &'a str,
    completed_at: &'a str,
    deleted_items: &'a Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<ArchiveView>,
    /// There when it is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_replaced: Option<bool>,
}

impl Event {
    /// The source of every event.
    pub const SOURCE: &str = "campaigns";
    /// The type of every event's detail.
    pub const DETAIL_TYPE: &str = "campaign.deleted";

    /// Returns the event of a deletion; `None` if it is not finished.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let detail = Detail {
            id: &record.deletion_id,
            campaign_id: record.campaign_id.as_str(),
            account_id: &record.account_id,
            deletion_id: &record.deletion_id,
            requested_by: record.requested_by.as_stored(),
            reason: record.reason.as_ref().map(DeletionReason::as_str),
            started_at: &record.started_at,
            completed_at: record.completed_at()?,
            deleted_items: &record.progress.counted,
            archive: ArchiveView::of(record),
            campaign_replaced: record.campaign_replaced.then_some(true),
        };
        Some(Self {
            of: DeletionRef::of(record),
            started_at: record.started_at.clone(),
            // Err: never, since every member is text, a number or a Boolean.
            detail: serde_json::to_string(&detail).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordState;

    #[test]
    fn only_a_finished_deletion_has_an_event() {
        let mut record = Record::example(0);
        assert_eq!(Event::of(&record), None);
        record.state = RecordState::Succeeded {
            completed_at: "2026-01-01T00:00:00Z".to_owned(),
        };
        let event = Event::of(&record).unwrap();
        assert_eq!(Event::of(&record).unwrap(), event);
        assert!(!event.detail.contains("campaignReplaced"));
        record.campaign_replaced = true;
        let replaced = Event::of(&record).unwrap();
        assert!(replaced.detail.ends_with(r#""campaignReplaced":true}"#));
    }
}

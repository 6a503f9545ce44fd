//! What became of one of several campaigns: the status and the members that a DELETE of it
//! alone would be answered with, and what is a header there as members.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    campaign::CampaignId,
    deletion::{End, Error, Outcome, Preview},
    http::response::{DeletionAnswer, ErrorAnswer, location},
    record::Record,
};

/// What became of one campaign.
pub(super) struct Verdict {
    /// An error's code, or what was done, as the log has it.
    pub(super) outcome: &'static str,
    /// Why it failed, if that is to be looked into.
    pub(super) cause: Option<String>,
    /// Its entry in the answer.
    pub(super) entry: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a, B> {
    campaign_id: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotent_replayed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(flatten)]
    body: B,
}

impl<'a, B: Serialize> Entry<'a, B> {
    fn of(campaign_id: &'a CampaignId, status: u16, body: B) -> Self {
        Self {
            campaign_id: campaign_id.as_str(),
            status,
            deletion_id: None,
            location: None,
            idempotent_replayed: None,
            etag: None,
            body,
        }
    }

    fn of_deletion(record: &'a Record, status: u16, replayed: bool, body: B) -> Self {
        Self {
            deletion_id: Some(&record.deletion_id),
            idempotent_replayed: replayed.then_some(true),
            ..Self::of(&record.campaign_id, status, body)
        }
    }

    fn verdict(self, outcome: &'static str) -> Verdict {
        Verdict {
            outcome,
            cause: None,
            // Err: never, as for every body of text, numbers and maps with text keys.
            entry: to_raw_value(&self).unwrap_or_else(|_| RawValue::NULL.to_owned()),
        }
    }
}

impl Verdict {
    /// A campaign that is claimed. `prefix` is what stands before `/v1` in the request's path.
    pub(super) fn claimed(deletion: &Outcome, prefix: &str) -> Self {
        let (record, replayed) = (&deletion.record, deletion.replayed);
        let outcome = match deletion.end {
            End::Complete => {
                let body = DeletionAnswer::deleted(record);
                return Entry::of_deletion(record, 200, replayed, body).verdict("deleted");
            }
            End::Remaining { .. } => "remaining",
            End::Attached => "attached",
        };
        let body = DeletionAnswer::in_progress(record);
        let entry = Entry {
            location: Some(location(record, prefix)),
            ..Entry::of_deletion(record, 202, replayed, body)
        };
        entry.verdict(outcome)
    }

    /// A campaign that could be deleted.
    pub(super) fn previewed(preview: &Preview) -> Self {
        let entry = Entry {
            etag: preview.campaign.etag(),
            ..Entry::of(
                &preview.campaign.id,
                200,
                DeletionAnswer::previewed(preview),
            )
        };
        entry.verdict("previewed")
    }

    /// A campaign that is refused, or could not be claimed.
    pub(super) fn error(campaign_id: &CampaignId, error: &Error, request_id: &str) -> Self {
        let public = error.public();
        let entry = Entry::of(
            campaign_id,
            public.status,
            ErrorAnswer::of(error, request_id),
        );
        let is_failure = public.status >= 500;
        Self {
            cause: is_failure.then(|| error.to_string()),
            ..entry.verdict(public.code)
        }
    }
}

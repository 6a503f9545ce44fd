//! What a receipt of a finished deletion says. Everything in it is in the record, which never
//! changes again, or in the settings; it has no campaign name and no personal data.

use std::borrow::Cow;

use serde::Serialize;

use super::{DeletionReason, Record};
use crate::{
    clock::{epoch_seconds, rfc3339},
    counts::Counts,
};

const SECONDS_OF_A_DAY: i64 = 86_400;

/// The claims of a receipt: the registered ones of RFC 7519, and our own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims<'a> {
    /// Who says so.
    iss: &'a str,
    /// The deletion.
    jti: &'a str,
    /// The campaign.
    sub: &'a str,
    /// When the receipt was signed, epoch seconds.
    iat: i64,
    account_id: &'a str,
    requested_by: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    started_at: &'a str,
    completed_at: &'a str,
    deleted_items: &'a Counts,
    /// Always true: a strongly consistent read of the whole partition that finds nothing is a
    /// condition of every finish.
    verified_empty: bool,
    /// How often the partition was read.
    passes: u64,
    /// There when it is true: another campaign item of this id was there at the end, and stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_replaced: Option<bool>,
    copies: Copies,
}

/// What is known to be kept of what was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Copies {
    /// Until when the table can be restored to a time before the deletion, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    point_in_time_recovery_until: Option<String>,
    /// When the archive expires; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    archive_until: Option<Until>,
    /// Exports, backups, streams, replicas and other systems are never claimed to be none.
    others: &'static str,
}

/// When something ends: a time in RFC 3339, or null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Until {
    Known(String),
    NotKnown,
}

impl<'a> Claims<'a> {
    /// Returns the claims of a deletion at `now` (epoch seconds); `None` if it is not finished.
    /// `pitr_days` is how long the table's point-in-time recovery reaches back, if that is known.
    #[must_use]
    pub fn of(
        record: &'a Record,
        issuer: &'a str,
        pitr_days: Option<u64>,
        now: i64,
    ) -> Option<Self> {
        let completed_at = record.completed_at()?;
        let archive = record.archive.as_ref();
        Some(Self {
            iss: issuer,
            jti: &record.deletion_id,
            sub: record.campaign_id.as_str(),
            iat: now,
            account_id: &record.account_id,
            requested_by: record.requested_by.as_stored(),
            reason: record.reason.as_ref().map(DeletionReason::as_str),
            started_at: &record.started_at,
            completed_at,
            deleted_items: &record.progress.counted,
            verified_empty: true,
            passes: record.progress.pass,
            campaign_replaced: record.campaign_replaced.then_some(true),
            copies: Copies {
                point_in_time_recovery_until: pitr_days.and_then(|days| later(completed_at, days)),
                archive_until: archive.map(|archive| {
                    let expires_at = archive.expires_at(completed_at);
                    expires_at.map_or(Until::NotKnown, Until::Known)
                }),
                others: "not known",
            },
        })
    }
}

/// Returns the time this many days later.
fn later(time: &str, days: u64) -> Option<String> {
    let days = i64::try_from(days).ok()?;
    Some(rfc3339(epoch_seconds(time)? + days * SECONDS_OF_A_DAY))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::record::{Archive, Archived, RecordState};

    fn claims(record: &Record, pitr_days: Option<u64>) -> Option<Value> {
        let claims = Claims::of(record, "https://api.example.com", pitr_days, 7)?;
        Some(serde_json::to_value(claims).unwrap())
    }

    #[test]
    fn only_a_finished_deletion_has_claims() {
        assert_eq!(claims(&Record::example(0), None), None);
    }

    #[test]
    fn claims_name_known_copies_and_no_campaign_name() {
        let archive = |days| Archive {
            bucket: "bucket".to_owned(),
            prefix: String::new(),
            days,
            archived: Archived::default(),
        };
        let mut record = Record {
            campaign_name: "For Jane Doe".to_owned(),
            state: RecordState::Succeeded {
                completed_at: "2026-01-01T10:00:00Z".to_owned(),
            },
            ..Record::example(0)
        };
        for (archive, pitr_days, copies) in [
            (None, None, json!({"others": "not known"})),
            (
                Some(archive(Some(1))),
                Some(35),
                json!({
                    "pointInTimeRecoveryUntil": "2026-02-05T10:00:00Z",
                    "archiveUntil": "2026-01-03T00:00:00Z",
                    "others": "not known",
                }),
            ),
            (
                Some(archive(None)),
                None,
                json!({"archiveUntil": null, "others": "not known"}),
            ),
        ] {
            record.archive = archive;
            let claims = claims(&record, pitr_days).unwrap();
            assert_eq!(claims["copies"], copies);
            assert_eq!(claims["verifiedEmpty"], true);
            assert!(!claims.to_string().contains("Jane"));
            assert!(claims.get("campaignReplaced").is_none());
        }
        record.campaign_replaced = true;
        assert_eq!(claims(&record, None).unwrap()["campaignReplaced"], true);
    }
}

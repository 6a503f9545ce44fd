//! The `drain` function: one slice of one deletion, as long as the invocation's
//! own deadline allows. The state machine of the template calls it until the
//! answer is `succeeded`. It trusts nothing of its payload but the ids.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    config::LEASE_RANGE,
    deletion::{Budget, Deletions, End, Outcome, Record, RecordState, deletion_id},
    hand_off::DeletionRef,
    lambda,
    table::TableError,
    timestamp::now_ms,
};

/// What one slice came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Slice {
    /// The deletion.
    pub deletion_id: String,
    /// Its campaign.
    pub campaign_id: String,
    /// `running` or `succeeded`.
    pub status: &'static str,
    /// How many items are counted so far.
    pub processed: u64,
    /// Whether this slice has deleted or counted anything, or finished.
    pub moved: bool,
    /// Whether another worker holds the lease, which is no lack of progress.
    pub held_by_another: bool,
    /// Seconds after which it should be called again: 0 for at once, more while
    /// a lease has to end, another worker's or the one that this slice could not
    /// give back.
    pub wait_seconds: u64,
}

/// Why a slice has no answer. The type of the function's error is the name of
/// the variant.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// Calling again with the same payload is useless.
    #[error("the payload must be {{\"accountId\": text, \"deletionId\": a UUID}}")]
    InvalidPayload,
    /// There is no such deletion; calling again is useless.
    #[error("the account has no such deletion")]
    DeletionNotFound,
    /// The record cannot be read; calling again is useless.
    #[error("{0}")]
    CorruptRecord(TableError),
    /// The table did not do its part; calling again may help.
    #[error("{0}")]
    TableUnavailable(TableError),
}

impl From<TableError> for DrainError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Corrupt { .. } => Self::CorruptRecord(error),
            error => Self::TableUnavailable(error),
        }
    }
}

impl From<DrainError> for Diagnostic {
    fn from(error: DrainError) -> Self {
        let error_type = match &error {
            DrainError::InvalidPayload => "InvalidPayload",
            DrainError::DeletionNotFound => "DeletionNotFound",
            DrainError::CorruptRecord(_) => "CorruptRecord",
            DrainError::TableUnavailable(_) => "TableUnavailable",
        };
        Self {
            error_type: error_type.to_owned(),
            error_message: error.to_string(),
        }
    }
}

impl Slice {
    /// What an outcome says to the caller of a slice.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        let record = &outcome.record;
        let (status, wait_seconds) = match record.state {
            RecordState::Running => (RecordState::RUNNING, lease_left_seconds(record)),
            RecordState::Succeeded { .. } => (RecordState::SUCCEEDED, 0),
        };
        Self {
            deletion_id: record.deletion_id.clone(),
            campaign_id: record.campaign_id.to_string(),
            status,
            processed: record.progress.counted.total(),
            moved: outcome.work.moved || outcome.end == End::Complete,
            held_by_another: outcome.end == End::Attached && wait_seconds > 0,
            wait_seconds,
        }
    }
}

/// The longest that a lease is waited for at once, seconds: the longest lease
/// there is. A worker whose clock is wrong may have written any time.
const LONGEST_WAIT: u64 = *LEASE_RANGE.end();

/// The seconds until the lease ends, rounded up.
fn lease_left_seconds(record: &Record) -> u64 {
    let left_ms = record.lease_until_ms.saturating_sub(now_ms());
    let left_ms = u64::try_from(left_ms).unwrap_or(0);
    left_ms.div_ceil(1_000).min(LONGEST_WAIT)
}

/// The longest account id, bytes: a partition key has at most 2,048.
const LONGEST_ACCOUNT_ID: usize = 1_024;

/// Reads a payload. More members are ignored.
fn payload(payload: Value) -> Option<DeletionRef> {
    let mut of: DeletionRef = serde_json::from_value(payload).ok()?;
    of.deletion_id = deletion_id(&of.deletion_id)?;
    let length = of.account_id.len();
    (1..=LONGEST_ACCOUNT_ID).contains(&length).then_some(of)
}

/// Advances the deletion that the payload names.
///
/// # Errors
/// [`DrainError`].
pub async fn handle(deletions: &Deletions, event: LambdaEvent<Value>) -> Result<Slice, DrainError> {
    let start = Instant::now();
    let (event, context) = event.into_parts();
    let request_id = context.request_id.as_str();
    let budget = Budget::of_slice(start, lambda::deadline(&context));
    let of = payload(event);
    let advanced = match &of {
        Some(of) => deletions
            .resume(of, budget)
            .await
            .map_err(DrainError::from)
            .and_then(|outcome| outcome.ok_or(DrainError::DeletionNotFound)),
        None => Err(DrainError::InvalidPayload),
    };
    let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    match advanced {
        Ok(outcome) => {
            let slice = Slice::of(&outcome);
            tracing::info!(
                request_id,
                deletion_id = %slice.deletion_id,
                campaign_id = %slice.campaign_id,
                status = slice.status,
                items = slice.processed,
                moved = slice.moved,
                held_by_another = slice.held_by_another,
                pass = outcome.record.progress.pass,
                deleted = outcome.work.deleted,
                sent_again = outcome.work.sent_again,
                consumed_write_units = outcome.work.consumed,
                wait_seconds = slice.wait_seconds,
                elapsed_ms,
                "slice of deletion {}: {}",
                slice.deletion_id,
                slice.status,
            );
            Ok(slice)
        }
        Err(error) => {
            let deletion_id = of.map(|of| of.deletion_id);
            tracing::error!(
                request_id,
                deletion_id,
                elapsed_ms,
                "a slice failed: {error}"
            );
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::deletion::Work;

    const ID: &str = "0190a8c2-b5c2-7e3f-8000-000000000000";

    #[test]
    fn a_payload_is_two_ids_and_whatever_else() {
        let read = payload(json!({"accountId": "a", "deletionId": ID, "more": [1]}));
        assert_eq!(
            read,
            Some(DeletionRef {
                account_id: "a".into(),
                deletion_id: ID.into()
            })
        );
        for malformed in [
            json!(null),
            json!([]),
            json!({}),
            json!({"accountId": "a"}),
            json!({"deletionId": ID}),
            json!({"accountId": "", "deletionId": ID}),
            json!({"accountId": 1, "deletionId": ID}),
            json!({"accountId": "a", "deletionId": "x"}),
            json!({"accountId": "a", "deletionId": null}),
            json!({"accountId": "a", "deletionId": "DELETION#1"}),
            json!({"accountId": "a", "deletionId": ID.replace('-', "")}),
            json!({"accountId": "a".repeat(1_025), "deletionId": ID}),
        ] {
            assert_eq!(payload(malformed.clone()), None, "{malformed}");
        }
    }

    #[test]
    fn only_a_lease_that_is_alive_is_held_by_another() {
        let record = |lease_left_ms: i64| Record::example(now_ms() + lease_left_ms);
        for (end, lease_left_ms, held, wait) in [
            (End::Attached, 60_000, true, 60),
            (End::Attached, -1, false, 0),
            (End::Remaining { handed_on: false }, 60_000, false, 60),
            (End::Remaining { handed_on: false }, -1, false, 0),
        ] {
            let slice = Slice::of(&Outcome {
                record: record(lease_left_ms),
                end,
                work: Work::default(),
            });
            assert_eq!(
                (slice.held_by_another, slice.wait_seconds),
                (held, wait),
                "{end:?}"
            );
            assert!(!slice.moved);
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_taken_of_a_payload_can_stand_in_a_key(
            account in "\\PC{0,9}",
            id in "\\PC{0,40}|[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        ) {
            let given = json!({"accountId": account, "deletionId": id});
            if let Some(taken) = payload(given) {
                proptest::prop_assert_eq!(taken.account_id, account);
                proptest::prop_assert_eq!(&taken.deletion_id, &id.to_lowercase());
                proptest::prop_assert!(uuid::Uuid::try_parse(&taken.deletion_id).is_ok());
            } else {
                proptest::prop_assert!(account.is_empty() || id.len() != 36 || uuid::Uuid::try_parse(&id).is_err());
            }
        }
    }
}

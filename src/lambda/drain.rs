//! The `drain` function: one slice of one deletion, as long as the invocation's
//! own deadline allows. The state machine of the template calls it until the
//! status is `succeeded`. It trusts nothing in its payload but the ids.

use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    auth::is_account_id,
    deletion::{Budget, Deletions, Slice},
    record::{DeletionRef, deletion_id},
    table::TableError,
};

/// Why a slice has no result. The function's error type is the name of the
/// variant.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// Not retryable: the same payload is refused again.
    #[error("the payload must be {{\"accountId\": text, \"deletionId\": a UUID}}")]
    InvalidPayload,
    /// Not retryable: there is no such deletion.
    #[error("the account has no such deletion")]
    DeletionNotFound,
    /// Not retryable: the record cannot be read.
    #[error("{0}")]
    CorruptRecord(TableError),
    /// Retryable: the table failed.
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

/// Reads a payload; other members are ignored.
fn payload(payload: Value) -> Option<DeletionRef> {
    let mut of: DeletionRef = serde_json::from_value(payload).ok()?;
    of.deletion_id = deletion_id(&of.deletion_id)?;
    is_account_id(&of.account_id).then_some(of)
}

/// Advances the deletion that the payload names.
///
/// # Errors
/// [`DrainError`].
pub async fn handle(deletions: &Deletions, event: LambdaEvent<Value>) -> Result<Slice, DrainError> {
    let start = Instant::now();
    let (event, context) = event.into_parts();
    let request_id = context.request_id.as_str();
    let budget = Budget::of_slice(start, super::deadline(&context));
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
                deleted = outcome.stats.deleted,
                unprocessed = outcome.stats.unprocessed,
                consumed_write_units = outcome.stats.consumed,
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
                "could not advance the deletion: {error}"
            );
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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

    proptest::proptest! {
        #[test]
        fn whatever_is_accepted_from_a_payload_is_safe_in_a_key(
            account in "\\PC{0,9}",
            id in "\\PC{0,40}|[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        ) {
            let given = json!({"accountId": account, "deletionId": id});
            if let Some(taken) = payload(given) {
                proptest::prop_assert_eq!(taken.account_id, account);
                proptest::prop_assert_eq!(&taken.deletion_id, &id.to_lowercase());
                proptest::prop_assert!(uuid::Uuid::try_parse(&taken.deletion_id).is_ok());
            } else {
                proptest::prop_assert!(!is_account_id(&account) || id.len() != 36 || uuid::Uuid::try_parse(&id).is_err());
            }
        }
    }
}

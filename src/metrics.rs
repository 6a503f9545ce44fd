//! Metrics: lines in CloudWatch's embedded metric format on standard output,
//! which CloudWatch takes from a function's log. A terminal has none.
//!
//! Every metric has the function's name for a dimension, so that two stacks in one
//! account do not mix, and [`REQUESTS`] has the outcome, too; none identifies a
//! campaign or an account.

use ::metrics::{counter, histogram};
use metrics_cloudwatch_embedded::{Builder, Collector};

/// The namespace of every metric.
pub const NAMESPACE: &str = "Campaigns";
/// The dimension of every metric.
pub const FUNCTION_NAME: &str = "FunctionName";

/// Histogram: stalled deletions that a clean-up found. Not a gauge, which would be written
/// again for a run that failed.
pub const STALLED_DELETIONS: &str = "StalledDeletions";
/// Counter: clean-up runs that `MAX_DELETE_SHARE_PERCENT` stopped.
pub const MASS_DELETION_GUARDED: &str = "MassDeletionGuarded";

/// Counter: requests that were answered, by their outcome; a request for several campaigns
/// counts as one for each.
pub const REQUESTS: &str = "Requests";
/// The second dimension of [`REQUESTS`]: an error's code, or the outcome.
pub const OUTCOME: &str = "Outcome";
/// Counter: deletions that were finished.
pub const DELETIONS_FINISHED: &str = "DeletionsFinished";
/// Counter: deletes that were acknowledged.
pub const ITEMS_DELETED: &str = "ItemsDeleted";
/// Counter: deletes that were unprocessed and had to be sent again: returned by
/// DynamoDB, throttled or unanswered.
pub const DELETES_SENT_AGAIN: &str = "DeletesSentAgain";
/// Counter: write units that deletes have consumed, in whole ones.
pub const WRITE_UNITS_CONSUMED: &str = "WriteUnitsConsumed";
/// Counter: hand-offs to the state machine that have failed.
pub const HAND_OFFS_FAILED: &str = "HandOffsFailed";
/// Counter: slices that stopped because the archive could not be written.
pub const ARCHIVE_FAILURES: &str = "ArchiveFailures";
/// Counter: events that the bus has refused for good.
pub const EVENTS_REFUSED: &str = "EventsRefused";
/// Counter: events that the bus did not acknowledge in time.
pub const EVENTS_UNANSWERED: &str = "EventsUnanswered";
/// Histogram: events that a clean-up has left unsent.
pub const UNSENT_EVENTS: &str = "UnsentEvents";
/// Counter: receipts that were not signed, and keys that were not published.
pub const RECEIPTS_NOT_SIGNED: &str = "ReceiptsNotSigned";
/// Counter: requests that were admitted although their key's use could not be
/// counted.
pub const RATE_LIMIT_FAILED_OPEN: &str = "RateLimitFailedOpen";

/// Every metric.
pub const ALL: [&str; 14] = [
    REQUESTS,
    DELETIONS_FINISHED,
    ITEMS_DELETED,
    DELETES_SENT_AGAIN,
    WRITE_UNITS_CONSUMED,
    HAND_OFFS_FAILED,
    ARCHIVE_FAILURES,
    EVENTS_REFUSED,
    EVENTS_UNANSWERED,
    UNSENT_EVENTS,
    RECEIPTS_NOT_SIGNED,
    RATE_LIMIT_FAILED_OPEN,
    STALLED_DELETIONS,
    MASS_DELETION_GUARDED,
];

/// `AWS_LAMBDA_FUNCTION_NAME`: set by Lambda.
const AWS_LAMBDA_FUNCTION_NAME: &str = "AWS_LAMBDA_FUNCTION_NAME";

/// The metrics of a function.
pub struct Metrics(&'static Collector);

impl Metrics {
    /// Starts collecting. `function` is the name where Lambda gives none.
    ///
    /// # Errors
    /// When metrics are collected already.
    pub fn start(function: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let name = std::env::var(AWS_LAMBDA_FUNCTION_NAME);
        let collector = Builder::new()
            .cloudwatch_namespace(NAMESPACE)
            .with_dimension(FUNCTION_NAME, name.unwrap_or_else(|_| function.to_owned()))
            .init()
            .map_err(|error| error.to_string())?;
        Ok(Self(collector))
    }

    /// Writes what was collected in this invocation.
    pub fn flush(&self, invocation_id: &str) {
        self.0
            .set_property("invocation_id", invocation_id.to_owned());
        if let Err(error) = self.0.flush(std::io::stdout()) {
            tracing::error!("could not write metrics: {error}");
        }
    }
}

pub(crate) fn stalled_deletions(found: u32) {
    histogram!(STALLED_DELETIONS).record(found);
}

pub(crate) fn answered(outcome: &'static str, requests: u64) {
    counter!(REQUESTS, OUTCOME => outcome).increment(requests);
}

pub(crate) fn finished() {
    counter!(DELETIONS_FINISHED).increment(1);
}

/// Counts the deletes of a slice: acknowledged ones, unprocessed ones, and the
/// write units that they consumed.
pub(crate) fn deletes(acknowledged: u64, unprocessed: u64, consumed: f64) {
    counter!(ITEMS_DELETED).increment(acknowledged);
    counter!(DELETES_SENT_AGAIN).increment(unprocessed);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of write units, which are not negative and far from 2^64"
    )]
    let consumed = consumed.ceil() as u64;
    counter!(WRITE_UNITS_CONSUMED).increment(consumed);
}

pub(crate) fn hand_off_failed() {
    counter!(HAND_OFFS_FAILED).increment(1);
}

pub(crate) fn receipt_not_signed() {
    counter!(RECEIPTS_NOT_SIGNED).increment(1);
}

pub(crate) fn archive_failed() {
    counter!(ARCHIVE_FAILURES).increment(1);
}

pub(crate) fn event_refused() {
    counter!(EVENTS_REFUSED).increment(1);
}

pub(crate) fn event_unanswered() {
    counter!(EVENTS_UNANSWERED).increment(1);
}

pub(crate) fn unsent_events(left: u32) {
    histogram!(UNSENT_EVENTS).record(left);
}

pub(crate) fn rate_limit_failed_open() {
    counter!(RATE_LIMIT_FAILED_OPEN).increment(1);
}

pub(crate) fn mass_deletion_guarded() {
    counter!(MASS_DELETION_GUARDED).increment(1);
}

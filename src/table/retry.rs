//! Retries: one way to repeat a call until it is answered or its deadline comes,
//! with full-jitter exponential backoff. The SDK's own retries are off: they have
//! no deadline, and a record write has to be repeated until it is answered.

use std::time::Duration;

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::transact_write_items::TransactWriteItemsError,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::TableError;
use crate::sdk::{self, Cause};

/// The upper bound of the first wait.
const BASE: Duration = Duration::from_millis(25);
/// No wait is longer than this.
const CAP: Duration = Duration::from_secs(1);

/// Nothing is sent again with less time than this left for an answer: the attempt
/// would tell nothing, and its outcome would be unknown.
const LEAST_ATTEMPT: Duration = Duration::from_millis(50);

/// Full-jitter exponential backoff: each wait is drawn from nothing to a bound
/// that doubles up to a cap.
#[derive(Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Returns the upper bound of the next wait, given the number of waits so far.
    #[must_use]
    pub fn bound(waits: u32) -> Duration {
        BASE.saturating_mul(1 << waits.min(10)).min(CAP)
    }

    /// Waits once, but not so long that no time is left for a last attempt. `false`,
    /// without waiting, when there is no time for one.
    pub async fn wait(&mut self, deadline: Instant) -> bool {
        let bound = Self::bound(self.attempts);
        self.attempts += 1;
        let wait = bound.mul_f64(fastrand::f64());
        let now = Instant::now();
        let last_attempt = deadline - LEAST_ATTEMPT;
        if now >= last_attempt {
            return false;
        }
        sleep_until(last_attempt.min(now + wait)).await;
        true
    }
}

/// What a failed call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The table is throttled or a transaction is in the way: repeat.
    Busy,
    /// It is not known whether it was done: repeat.
    NoAnswer,
    /// The service has answered, and the answer stays the same.
    Answered,
}

/// A call that did not succeed by its deadline.
pub(crate) enum Failure<E> {
    /// The service's answer; the caller knows what it means.
    Answered(Box<SdkError<E>>),
    /// There was no answer in time.
    Table(TableError),
}

impl<E: ProvideErrorMetadata> Failure<E> {
    /// The failure, when no answer to this call means anything but failure.
    pub(super) fn into_table_error(self, operation: &'static str) -> TableError {
        match self {
            Self::Answered(error) => TableError::refused(operation, &error),
            Self::Table(error) => error,
        }
    }
}

/// Makes a call of DynamoDB until it is answered or the deadline comes.
pub(super) async fn until_answered<T, E, F>(
    operation: &'static str,
    deadline: Instant,
    call: impl Fn() -> F,
) -> Result<T, Failure<E>>
where
    E: ProvideErrorMetadata,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    until(operation, deadline, call, verdict).await
}

/// Makes a call until it is answered, by this verdict on its errors, or the deadline comes. If
/// any attempt had no answer, the failure is [`TableError::NoAnswer`], whatever came after it:
/// the call may have been applied.
pub(crate) async fn until<T, E, F>(
    operation: &'static str,
    deadline: Instant,
    call: impl Fn() -> F,
    verdict: impl Fn(&SdkError<E>) -> Verdict,
) -> Result<T, Failure<E>>
where
    E: ProvideErrorMetadata,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    let mut backoff = Backoff::default();
    let mut unknown = None;
    loop {
        let Ok(answer) = timeout_at(deadline, Box::pin(sdk::signed(&call))).await else {
            let cause = unknown.unwrap_or_else(|| Cause::deadline(operation));
            return Err(Failure::Table(TableError::NoAnswer(cause)));
        };
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let cause = Cause::of(operation, &error);
        match verdict(&error) {
            Verdict::Answered => return Err(Failure::Answered(Box::new(error))),
            Verdict::Busy => {}
            // The first cause: later ones often only say that the time was up.
            Verdict::NoAnswer => _ = unknown.get_or_insert_with(|| cause.clone()),
        }
        if !backoff.wait(deadline).await {
            return Err(Failure::Table(match unknown {
                Some(cause) => TableError::NoAnswer(cause),
                None => TableError::Busy(cause),
            }));
        }
    }
}

/// Returns an answer that has what DynamoDB's answer always has, and otherwise an error
/// that means no answer: something in between can answer `200 {}` in its place.
pub(super) async fn whole<T, E>(
    send: impl Future<Output = Result<T, SdkError<E>>>,
    is_whole: impl FnOnce(&T) -> bool,
) -> Result<T, SdkError<E>> {
    let answer = send.await?;
    if is_whole(&answer) {
        Ok(answer)
    } else {
        let error = ConnectorError::io("the answer is incomplete".into());
        Err(SdkError::dispatch_failure(error))
    }
}

/// Returns whether a conditional write was done: not if its condition failed.
pub(super) fn unless_refused<T, E: ProvideErrorMetadata>(
    operation: &'static str,
    answer: Result<T, Failure<E>>,
) -> Result<bool, TableError> {
    match answer {
        Ok(_) => Ok(true),
        Err(Failure::Answered(error))
            if error.code() == Some("ConditionalCheckFailedException") =>
        {
            Ok(false)
        }
        Err(failure) => Err(failure.into_table_error(operation)),
    }
}

/// The meaning of an error of a single operation.
///
/// The codes are those of the SDK's own retry classifier that DynamoDB sends
/// (`THROTTLING_ERRORS` in `aws-runtime`, and the exception that the service
/// model marks as retryable), and `TransactionConflictException`, which the
/// classifier does not know.
pub(super) fn verdict<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Verdict {
    match error {
        SdkError::ConstructionFailure(_) => Verdict::Answered,
        error if sdk::has_no_credentials(error) => Verdict::Answered,
        SdkError::ServiceError(service) => match service.err().code() {
            Some(
                "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "Throttling"
                | "RequestLimitExceeded"
                | "LimitExceededException"
                | "TransactionConflictException"
                | "TransactionInProgressException"
                | "ReplicatedWriteConflictException",
            ) => Verdict::Busy,
            _ if service.raw().status().is_server_error() => Verdict::NoAnswer,
            _ => Verdict::Answered,
        },
        _ => Verdict::NoAnswer,
    }
}

/// Returns whether a transaction was cancelled for a conflict or a throttle alone. A
/// failed condition is an answer even if another item was in conflict.
pub(super) fn in_conflict(error: &SdkError<TransactWriteItemsError>) -> bool {
    const BUSY: [&str; 3] = [
        "TransactionConflict",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
    ];
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
        error.as_service_error()
    else {
        return false;
    };
    let codes = || {
        cancelled
            .cancellation_reasons()
            .iter()
            .filter_map(|reason| reason.code())
    };
    codes().any(|code| BUSY.contains(&code)) && codes().all(|code| code != CONDITION_FAILED)
}

/// The cancellation reason of an item whose condition failed.
pub(super) const CONDITION_FAILED: &str = "ConditionalCheckFailed";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn backoff_grows_to_its_cap_and_ends_before_the_deadline() {
        let start = Instant::now();
        let deadline = start + Duration::from_secs(30);
        let mut backoff = Backoff::default();
        let mut waits = 0;
        while backoff.wait(deadline).await {
            waits += 1;
            assert!(Instant::now() < deadline);
        }
        // 30 s of waits that are half a second on average once at the cap.
        assert!((30..=120).contains(&waits), "{waits}");
        // The last attempt is as late as may be.
        assert_eq!(deadline - Instant::now(), LEAST_ATTEMPT);
    }
}

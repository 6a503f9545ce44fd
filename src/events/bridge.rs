//! EventBridge: `PutEvents`, and `DescribeEventBus` before it. The SDK's client of EventBridge
//! would add to every function what these two requests do not need.
//!
//! `PutEvents` acknowledges an event for a bus that does not exist, and drops it
//! (<https://github.com/aws/aws-cli/issues/9186>). So nothing is put on a bus that was not seen
//! within the last minutes.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_config::SdkConfig;
use serde_json::json;
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout_at},
};

use super::EventError;
use crate::{
    record::Event,
    sdk::{self, Cause, EVENTBRIDGE_ENDPOINT_URL, JsonAnswer, JsonService},
    table::Backoff,
};

const PUT: &str = "AWSEvents.PutEvents";
const DESCRIBE: &str = "AWSEvents.DescribeEventBus";

/// How long one attempt may take: both requests take tens of milliseconds within a Region.
const ATTEMPT: Duration = Duration::from_secs(2);
/// How long a bus that was seen counts as there.
const SEEN_FOR: Duration = Duration::from_mins(5);

/// A bus of EventBridge.
#[derive(Debug)]
pub(super) struct Bridge {
    sdk: SdkConfig,
    name: String,
    service: OnceCell<JsonService>,
    seen: Mutex<Option<Instant>>,
}

/// Why one attempt has failed.
#[derive(Debug)]
enum Failed {
    /// For good.
    With(EventError),
    /// The signature was refused; another one may be accepted.
    Signature(Cause),
    /// It was throttled, or there was no answer.
    Transient(Cause),
}

/// What an error's code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Refused,
    NoAccess,
    Signature,
    Transient,
}

impl Bridge {
    /// Returns the bus of this name in the configuration's Region. Nothing is sent yet.
    pub(super) fn new(sdk: SdkConfig, name: String) -> Self {
        Self {
            sdk,
            name,
            service: OnceCell::new(),
            seen: Mutex::default(),
        }
    }

    /// Puts an event until it is acknowledged.
    pub(super) async fn put(&self, event: &Event, deadline: Instant) -> Result<(), EventError> {
        let mut backoff = Backoff::default();
        let mut first = None;
        let mut was_signed_again = false;
        loop {
            let until = deadline.min(Instant::now() + ATTEMPT);
            let cause = match timeout_at(until, Box::pin(self.attempt(event))).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Failed::With(error))) => return Err(error),
                Ok(Err(Failed::Signature(_))) if !was_signed_again => {
                    was_signed_again = true;
                    continue;
                }
                Ok(Err(Failed::Signature(cause))) => return Err(EventError::NoAccess(cause)),
                Ok(Err(Failed::Transient(cause))) => cause,
                Err(_) => Cause::deadline("PutEvents"),
            };
            // The first cause: later ones often only say that the time was up.
            let cause = first.get_or_insert(cause);
            if !backoff.wait(deadline).await {
                return Err(EventError::NoAnswer(cause.clone()));
            }
        }
    }

    async fn attempt(&self, event: &Event) -> Result<(), Failed> {
        let service = self.service.get_or_try_init(|| {
            JsonService::new(self.sdk.clone(), "events", EVENTBRIDGE_ENDPOINT_URL)
        });
        let service = service
            .await
            .map_err(|cause| Failed::With(EventError::NoAccess(cause)))?;
        self.look(service).await?;
        let body = json!({ "Entries": [{
            "Source": Event::SOURCE,
            "DetailType": Event::DETAIL_TYPE,
            "Detail": event.detail,
            "EventBusName": self.name,
        }] });
        let answer = service.call(PUT, &body.to_string()).await;
        acknowledged(&answer.map_err(Failed::Transient)?)
    }

    /// Looks whether the bus exists, unless it was seen a little while ago. Without the right
    /// to look, it is taken for granted.
    async fn look(&self, service: &JsonService) -> Result<(), Failed> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_some_and(|at| at.elapsed() < SEEN_FOR) {
            return Ok(());
        }
        let body = json!({ "Name": self.name }).to_string();
        let answer = service.call(DESCRIBE, &body).await;
        let answer = answer.map_err(Failed::Transient)?;
        match answer.status {
            200 if answer.body["Name"] == self.name.as_str() => {}
            200 => return Err(of_another(DESCRIBE)),
            _ if answer.code() == "AccessDeniedException" => {}
            _ => return Err(failed(&answer, DESCRIBE)),
        }
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }
}

/// Returns what the answer to a put means. A request of one event that was refused is answered
/// with 200, too.
fn acknowledged(answer: &JsonAnswer) -> Result<(), Failed> {
    if answer.status != 200 {
        return Err(failed(answer, PUT));
    }
    let entry = &answer.body["Entries"][0];
    if let Some(code) = entry["ErrorCode"].as_str() {
        let message = entry["ErrorMessage"].as_str().unwrap_or("no message");
        let cause = Cause::because(&format!("{PUT}: {code}: {message}"));
        return Err(Failed::new(verdict(code, 200), cause));
    }
    // Something in between can answer 200, too: EventBridge says how it names the event.
    if answer.body["FailedEntryCount"] == 0 && entry["EventId"].is_string() {
        Ok(())
    } else {
        Err(of_another(PUT))
    }
}

/// Something in between has answered in the place of EventBridge.
fn of_another(target: &str) -> Failed {
    let why = format!("{target}: the answer is not one of EventBridge");
    Failed::Transient(Cause::because(&why))
}

fn failed(answer: &JsonAnswer, target: &str) -> Failed {
    Failed::new(verdict(answer.code(), answer.status), answer.cause(target))
}

impl Failed {
    fn new(verdict: Verdict, cause: Cause) -> Self {
        match verdict {
            Verdict::Refused => Self::With(EventError::Refused(cause)),
            Verdict::NoAccess => Self::With(EventError::NoAccess(cause)),
            Verdict::Signature => Self::Signature(cause),
            Verdict::Transient => Self::Transient(cause),
        }
    }
}

/// Returns what a code means: those of `PutEventsResultEntry`, those of `DescribeEventBus`, and
/// the common errors (EventBridge API reference). A code that is not known refuses the event.
fn verdict(code: &str, status: u16) -> Verdict {
    match code {
        "InternalFailure"
        | "InternalException"
        | "ServiceUnavailable"
        | "ConcurrentModificationException" => Verdict::Transient,
        code if code.contains("Throttl") || code.contains("LimitExceeded") => Verdict::Transient,
        _ if status >= 500 || status == 429 => Verdict::Transient,
        code if sdk::is_code_of_signing(code) => Verdict::Signature,
        "AccessDeniedException"
        | "ResourceNotFoundException"
        | "InvalidAccountIdException"
        | "NotAuthorizedForSourceException"
        | "NotAuthorizedForDetailTypeException"
        | "OptInRequired" => Verdict::NoAccess,
        _ => Verdict::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_of_the_event_of_the_bus_or_of_the_moment() {
        for (code, status, expected) in [
            ("ThrottlingException", 200, Verdict::Transient),
            ("ThrottlingException", 400, Verdict::Transient),
            ("InternalFailure", 200, Verdict::Transient),
            ("RequestLimitExceeded", 400, Verdict::Transient),
            ("", 503, Verdict::Transient),
            ("", 429, Verdict::Transient),
            ("ExpiredTokenException", 400, Verdict::Signature),
            ("AccessDeniedException", 400, Verdict::NoAccess),
            ("ResourceNotFoundException", 400, Verdict::NoAccess),
            ("NotAuthorizedForSourceException", 200, Verdict::NoAccess),
            ("MalformedDetail", 200, Verdict::Refused),
            ("InvalidArgument", 200, Verdict::Refused),
            ("ValidationException", 400, Verdict::Refused),
            ("", 413, Verdict::Refused),
        ] {
            assert_eq!(verdict(code, status), expected, "{code} {status}");
        }
    }

    #[test]
    fn only_an_answer_of_the_service_acknowledges_an_event() {
        let answer = |body| acknowledged(&JsonAnswer { status: 200, body });
        let one = json!({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]});
        assert!(answer(one).is_ok());
        for body in [
            json!(null),
            json!({}),
            json!({"FailedEntryCount": 0, "Entries": []}),
            json!({"FailedEntryCount": 1, "Entries": [{"EventId": "1"}]}),
            json!({"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}),
        ] {
            assert!(matches!(answer(body), Err(Failed::Transient(_))));
        }
    }
}

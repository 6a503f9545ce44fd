//! What the Lambda functions share: how one starts, and how it learns its
//! deadline.

use std::{
    pin::Pin,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use aws_sdk_dynamodb::Client;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use tokio::time::Instant;
use tracing::Instrument;

use crate::{
    cleanup::{self, Cleanup},
    config::{ApiSettings, CleanupSettings, DrainSettings, environment},
    deletion::Deletions,
    drain,
    hand_off::HandOff,
    http::Api,
    metric::Metrics,
    sdk,
    table::Table,
    telemetry::{self, Format},
};

/// An event that the function cannot answer over HTTP.
#[derive(Debug, thiserror::Error)]
#[error("the event is not an API Gateway HTTP API event (payload format 2.0)")]
pub struct NotAnHttpEvent;

impl From<NotAnHttpEvent> for Diagnostic {
    fn from(error: NotAnHttpEvent) -> Self {
        Self {
            error_type: "NotAnHttpEvent".to_owned(),
            error_message: error.to_string(),
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the `api` function until Lambda ends it. A failure to start is printed
/// and ends the process.
#[must_use]
pub fn run_api() -> ExitCode {
    run("api", async |metrics| {
        let settings = ApiSettings::read(environment)?;
        let sdk = sdk::config().load().await;
        let hand_off = HandOff::to_state_machine(settings.state_machine_arn, &sdk);
        let table = Table::new(Client::new(&sdk), settings.table_name);
        let deletions = Deletions::new(table, settings.deletion, hand_off);
        let api = &Api::new(deletions, settings.inline_budget, settings.rate_limit);
        let answer = move |event: LambdaEvent<Value>| {
            let context = event.context.clone();
            invocation(metrics, context, handle(api, event))
        };
        lambda_runtime::run(service_fn(answer)).await
    })
}

/// Runs the `drain` function until Lambda ends it, as [`run_api`] does.
#[must_use]
pub fn run_drain() -> ExitCode {
    run("drain", async |metrics| {
        let settings = DrainSettings::read(environment)?;
        let sdk = sdk::config().load().await;
        let table = Table::new(Client::new(&sdk), settings.table_name);
        // The state machine that has called calls again.
        let deletions = &Deletions::new(table, settings.deletion, HandOff::None);
        let answer = move |event: LambdaEvent<Value>| {
            let context = event.context.clone();
            invocation(metrics, context, drain::handle(deletions, event))
        };
        lambda_runtime::run(service_fn(answer)).await
    })
}

/// Runs the `cleanup` function until Lambda ends it, as [`run_api`] does.
#[must_use]
pub fn run_cleanup() -> ExitCode {
    run("cleanup", async |metrics| {
        let settings = CleanupSettings::read(environment)?;
        let sdk = sdk::config().load().await;
        let hand_off = HandOff::to_state_machine(settings.state_machine_arn, &sdk);
        let table = Table::new(Client::new(&sdk), settings.table_name);
        let deletions = Deletions::new(table, settings.deletion, hand_off);
        let cleanup = &Cleanup::new(deletions, settings.retention);
        let answer = move |event: LambdaEvent<Value>| {
            let context = event.context.clone();
            invocation(metrics, context, cleanup::handle(cleanup, event))
        };
        lambda_runtime::run(service_fn(answer)).await
    })
}

/// One invocation: every line of its log names it and its X-Ray trace, and its
/// metrics are written when it is over. Boxed, since what it waits for is large.
fn invocation<'a, T>(
    metrics: &'a Metrics,
    context: Context,
    work: impl Future<Output = T> + 'a,
) -> Pin<Box<dyn Future<Output = T> + 'a>> {
    let invocation_id = context.request_id;
    let trace_id = context.xray_trace_id;
    // At the level of errors, so that it is there at every level.
    let span = tracing::error_span!("invocation", invocation_id, trace_id);
    let work = work.instrument(span);
    Box::pin(async move {
        let answer = work.await;
        metrics.flush(&invocation_id);
        answer
    })
}

/// Runs a function on one thread: it handles one event at a time, and below
/// 1,769 MB of memory it has less than one CPU.
fn run(name: &str, serve: impl AsyncFnOnce(&Metrics) -> Result<(), Failure>) -> ExitCode {
    let started = || {
        telemetry::start(Format::Json)?;
        let metrics = Metrics::start(name)?;
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(serve(&metrics))
    };
    match started() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers one invocation. The event is read here rather than by the runtime,
/// whose message about one that does not fit can quote the event.
///
/// # Errors
/// [`NotAnHttpEvent`], the one case in which there is nobody to answer.
pub async fn handle(
    api: &Api,
    event: LambdaEvent<Value>,
) -> Result<ApiGatewayV2httpResponse, NotAnHttpEvent> {
    let (event, context) = event.into_parts();
    let Ok(event) = serde_json::from_value::<ApiGatewayV2httpRequest>(event) else {
        let request_id = context.request_id;
        tracing::error!(
            request_id,
            "request {request_id} is refused: {NotAnHttpEvent}"
        );
        return Err(NotAnHttpEvent);
    };
    let deadline = deadline(&context);
    Ok(api.handle(&event, &context.request_id, deadline).await)
}

/// The invocation's deadline, which Lambda gives in epoch milliseconds. One that
/// is over already is none: Lambda starts no invocation after its deadline, but
/// `cargo lambda watch` gives a time of 1970.
pub(crate) fn deadline(context: &Context) -> Option<Instant> {
    let left = (SystemTime::UNIX_EPOCH + Duration::from_millis(context.deadline))
        .duration_since(SystemTime::now())
        .ok()?;
    Instant::now().checked_add(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::now_ms;

    fn deadline_at(epoch_ms: i64) -> Option<Instant> {
        let mut context = Context::default();
        context.deadline = u64::try_from(epoch_ms).unwrap();
        deadline(&context)
    }

    #[test]
    fn the_deadline_is_read_from_the_invocation_and_a_past_one_is_none() {
        let left = deadline_at(now_ms() + 10_000).unwrap() - Instant::now();
        assert!((Duration::from_secs(9)..Duration::from_secs(11)).contains(&left));
        for past in [0, 600_000, now_ms() - 1] {
            assert_eq!(deadline_at(past), None);
        }
    }
}

//! The Lambda functions: how one starts, one invocation, and its deadline. Each
//! function's handler has a file of its own.

mod api;
mod cleanup;
mod drain;
mod trigger;

use std::{
    io::Write,
    pin::Pin,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use lambda_runtime::{Context, LambdaEvent, service_fn};
use serde_json::Value;
use tokio::time::Instant;
use tracing::Instrument;

pub use self::{
    api::{NotAnHttpEvent, handle as handle_http},
    cleanup::handle as handle_cleanup,
    drain::{DrainError, handle as handle_drain},
};
use crate::{
    archive::ArchiveStore,
    cleanup::Cleanup,
    config::{ApiSettings, CleanupSettings, DrainSettings, environment},
    deletion::{Deletions, HandOff},
    events::EventBus,
    http::Api,
    metrics::Metrics,
    receipts::Receipts,
    sdk,
    table::Table,
    telemetry::{self, Format},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the `api` function until Lambda ends it. A failure to start is printed
/// and ends the process.
#[must_use]
pub fn run_api() -> ExitCode {
    run("api", async |metrics| {
        let settings = ApiSettings::read(environment)?;
        let sdk = sdk::load(None).await?;
        let hand_off = HandOff::to_state_machine(settings.state_machine_arn, &sdk);
        let table = Table::new(sdk::dynamodb(&sdk), settings.table_name);
        let bus = EventBus::named(settings.deletion.event_bus.clone(), &sdk);
        let receipts = Receipts::by_kms(settings.receipts.key_ids.clone(), &sdk);
        let deletions = Deletions::new(table.clone(), settings.deletion, hand_off)
            .archiving_in(ArchiveStore::new(sdk))
            .announcing_on(bus);
        let api = &Api::new(
            table,
            deletions,
            settings.inline_budget,
            settings.rate_limit,
        )
        .giving_receipts(receipts, settings.receipts);
        let answer = move |event: LambdaEvent<Value>| {
            let context = event.context.clone();
            invocation(metrics, context, api::handle(api, event))
        };
        lambda_runtime::run(service_fn(answer)).await
    })
}

/// Runs the `drain` function until Lambda ends it, as [`run_api`] does.
#[must_use]
pub fn run_drain() -> ExitCode {
    run("drain", async |metrics| {
        let settings = DrainSettings::read(environment)?;
        let sdk = sdk::load(None).await?;
        let table = Table::new(sdk::dynamodb(&sdk), settings.table_name);
        // The state machine calls again by itself.
        let bus = EventBus::named(settings.deletion.event_bus.clone(), &sdk);
        let deletions = &Deletions::new(table, settings.deletion, HandOff::None)
            .archiving_in(ArchiveStore::new(sdk))
            .announcing_on(bus);
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
        let sdk = sdk::load(None).await?;
        let hand_off = HandOff::to_state_machine(settings.state_machine_arn, &sdk);
        let table = Table::new(sdk::dynamodb(&sdk), settings.table_name);
        let bus = EventBus::named(settings.deletion.event_bus.clone(), &sdk);
        let deletions = Deletions::new(table.clone(), settings.deletion, hand_off)
            .archiving_in(ArchiveStore::new(sdk))
            .announcing_on(bus);
        let cleanup = &Cleanup::new(table, deletions, settings.retention);
        let answer = move |event: LambdaEvent<Value>| {
            let context = event.context.clone();
            invocation(metrics, context, cleanup::handle(cleanup, event))
        };
        lambda_runtime::run(service_fn(answer)).await
    })
}

/// One invocation: every line of its log names it and its X-Ray trace, and its
/// metrics are written when it is over. Boxed: the future is large.
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
        telemetry::start(Format::Json);
        let metrics = Metrics::start(name)?;
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(serve(&metrics))
    };
    match started() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Err: nobody reads it, but the exit code shows the failure, too.
            let _ = writeln!(std::io::stderr(), "{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the invocation's deadline, which Lambda gives in epoch milliseconds. A
/// past deadline counts as none: Lambda starts no invocation after its deadline,
/// but `cargo lambda watch` gives a time in 1970.
fn deadline(context: &Context) -> Option<Instant> {
    let left = (SystemTime::UNIX_EPOCH + Duration::from_millis(context.deadline))
        .duration_since(SystemTime::now())
        .ok()?;
    Instant::now().checked_add(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now_ms;

    fn deadline_at(epoch_ms: i64) -> Option<Instant> {
        let mut context = Context::default();
        context.deadline = u64::try_from(epoch_ms).unwrap();
        deadline(&context)
    }

    #[test]
    fn a_past_deadline_of_an_invocation_is_none() {
        let left = deadline_at(now_ms() + 10_000).unwrap() - Instant::now();
        assert!((Duration::from_secs(9)..Duration::from_secs(11)).contains(&left));
        for past in [0, 600_000, now_ms() - 1] {
            assert_eq!(deadline_at(past), None);
        }
    }
}

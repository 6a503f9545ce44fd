//! `DELETE /v1/campaigns/{id}`: deletes a campaign and everything in it from
//! one DynamoDB table, exactly once, whatever fails on the way.
//!
//! Every trigger reaches one use case, [`deletion`]: advance this deletion as
//! far as the budget allows, then say that it is complete or that something
//! remains. In reading order:
//!
//! - [`campaign`]: ids, statuses, and the policy of what may be deleted
//! - [`auth`]: API keys, and who their bearer is
//! - [`deletion`]: the protocol: claim, drain, count, finish
//! - [`rate`]: how often a key may call
//! - [`idempotency`]: a repeated request gets the same deletion's answer
//! - [`hand_off`]: who goes on when a request has to answer
//! - [`table`]: DynamoDB: keys, items, and the conditional writes that fence
//! - [`sdk`]: how AWS is talked to
//! - [`error`]: every refusal, and the one table to its answer
//! - [`http`]: request to principal to use case to response
//! - [`drain`]: one slice for the state machine
//! - [`cleanup`]: for the schedule: stalled deletions, and campaigns past retention
//! - [`lambda`]: the functions' start and invocations
//! - [`config`]: every environment variable
//! - [`telemetry`]: what is logged, and what never is
//! - [`metric`]: what is counted
//! - [`timestamp`]: the clock
//! - `cli`: the terminal, with the local server (feature `cli`)

pub mod auth;
mod beside;
pub mod campaign;
pub mod cleanup;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod deletion;
pub mod drain;
pub mod error;
pub mod hand_off;
pub mod http;
pub mod idempotency;
pub mod lambda;
pub mod metric;
pub mod rate;
pub mod sdk;
pub mod table;
pub mod telemetry;
pub mod timestamp;

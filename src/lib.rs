//! `DELETE /v1/campaigns/{id}`: deletes a campaign and everything in it from
//! one DynamoDB table, exactly once, whatever fails on the way.
//!
//! The map. A "room" is a file here with the folder of the same name. Rooms are arranged
//! in floors, and a room uses only rooms on its own floor or below it; no two rooms
//! use each other. A test (`src/floors.rs`) checks that.
//!
//! **Ways in**
//! - `bin`: the entry points of the binaries
//! - `cli`: the terminal, with the local server (feature `cli`)
//! - [`lambda`]: the functions' start, invocations, and handlers
//! - [`http`]: from an HTTP request to its answer
//!
//! **Use cases**
//! - [`cleanup`]: for the schedule: stalled deletions, and campaigns past retention
//! - [`deletion`]: the protocol: claim, drain, count, finish
//!
//! **The stores**
//! - [`archive`]: S3: what is kept of a deletion, if anything is
//! - [`events`]: EventBridge: where finished deletions are announced, if anywhere
//! - [`receipts`]: KMS: what signs a receipt of a deletion, if anything does
//! - [`table`]: DynamoDB: keys, items, and the conditional writes that fence
//!
//! **Settings**
//! - [`config`]: every environment variable
//! - [`telemetry`]: what is logged, and what never is
//!
//! **Values**
//! - [`refusal`]: every refusal, with its status, code and message
//! - [`campaign`]: ids, statuses, and the policy of what may be deleted
//! - [`record`] and [`counts`]: the deletion record, and what it has counted
//! - [`auth`]: API keys and their bearers
//! - [`idempotency`]: the keys of repeated requests
//! - [`rate_limit`]: how often a key may call
//!
//! **Plumbing**
//! - [`sdk`]: how AWS is called, and why a call failed
//! - [`metrics`]: what is counted
//! - [`clock`]: the time

pub mod archive;
pub mod auth;
pub mod campaign;
pub mod cleanup;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
pub mod config;
pub mod counts;
pub mod deletion;
pub mod events;
#[cfg(test)]
mod floors;
pub mod http;
pub mod idempotency;
pub mod lambda;
pub mod metrics;
pub mod rate_limit;
pub mod receipts;
pub mod record;
pub mod refusal;
pub mod sdk;
pub mod table;
pub mod telemetry;

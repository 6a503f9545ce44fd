//! The service as its callers meet it: the real handler, events as API Gateway
//! sends them, a real engine, a fresh table for each test.
//!
//! The engine is embedded. To run the same tests against another one, Amazon's
//! DynamoDB Local for instance, name its endpoint in
//! `TEST_DYNAMODB_ENDPOINT_URL`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has to fail"
)]

mod answers;
mod authentication;
mod budget;
mod cleanup;
mod cost;
mod deletion;
mod description;
mod faults;
mod fence;
mod function;
mod harness;
mod interleavings;
mod kill;
mod late;
mod limits;
mod logs;
mod model;
mod operator;
mod pace;
mod processes;
mod proxy;
mod races;
mod refusals;
mod retention;
mod slices;
mod takeover;
mod template;
mod terminal;
mod validation;

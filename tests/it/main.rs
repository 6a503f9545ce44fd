//! The service as its callers meet it: the real handler, events as API Gateway
//! sends them, a real engine, a fresh table for each test.
//!
//! The engine is embedded. To run the same tests against another one, Amazon's
//! DynamoDB Local for instance, name its endpoint in
//! `TEST_DYNAMODB_ENDPOINT_URL`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot continue has to fail"
)]

mod archive;
mod cleanup;
mod cli;
mod deploy;
mod events;
mod faults;
mod harness;
mod http;
mod protocol;
mod receipts;

//! lib
pub mod auth;
pub mod campaign;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod deletion;
pub mod error;
pub mod http;
pub mod lambda;
pub mod table;
pub mod telemetry;
pub mod timestamp;

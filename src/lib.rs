//! lib
pub mod auth;
pub mod campaign;
pub mod config;
pub mod deletion;
pub mod error;
pub mod http;
pub mod lambda;
pub mod telemetry;
pub mod table;
pub mod timestamp;

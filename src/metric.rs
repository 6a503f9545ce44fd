//! Metrics: lines in CloudWatch's embedded metric format on standard output,
//! which CloudWatch takes from a function's log. A terminal has none.
//!
//! Every metric has one dimension, the function's name, so that two stacks in one
//! account do not mix; none is of a campaign or an account.

use metrics::{counter, gauge};
use metrics_cloudwatch_embedded::{Builder, Collector};

/// The namespace of every metric.
pub const NAMESPACE: &str = "Campaigns";
/// The dimension of every metric.
pub const FUNCTION_NAME: &str = "FunctionName";

/// Gauge: how many deletions a clean-up has found that nobody was at.
pub const STALLED_DELETIONS: &str = "StalledDeletions";
/// Counter: runs of the clean-up that were over `MAX_DELETE_SHARE_PERCENT`.
pub const MASS_DELETION_GUARDED: &str = "MassDeletionGuarded";

/// Counter: requests that went through although their key's use was not counted.
pub const RATE_LIMIT_FAILED_OPEN: &str = "RateLimitFailedOpen";

/// `AWS_LAMBDA_FUNCTION_NAME`: set by Lambda.
const AWS_LAMBDA_FUNCTION_NAME: &str = "AWS_LAMBDA_FUNCTION_NAME";

/// The metrics of a function.
pub struct Metrics(&'static Collector);

impl Metrics {
    /// Starts collecting. `function` is the name where Lambda gives none.
    ///
    /// # Errors
    /// When metrics are collected already.
    pub fn start(function: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let name = std::env::var(AWS_LAMBDA_FUNCTION_NAME);
        let collector = Builder::new()
            .cloudwatch_namespace(NAMESPACE)
            .with_dimension(FUNCTION_NAME, name.unwrap_or_else(|_| function.to_owned()))
            .init()
            .map_err(|error| error.to_string())?;
        Ok(Self(collector))
    }

    /// Writes what was collected since the last time.
    pub fn flush(&self) {
        if let Err(error) = self.0.flush(std::io::stdout()) {
            tracing::error!("metrics are not written: {error}");
        }
    }
}

pub(crate) fn stalled_deletions(found: u32) {
    gauge!(STALLED_DELETIONS).set(found);
}

pub(crate) fn rate_limit_failed_open() {
    counter!(RATE_LIMIT_FAILED_OPEN).increment(1);
}

pub(crate) fn mass_deletion_guarded() {
    counter!(MASS_DELETION_GUARDED).increment(1);
}

//! Endpoints of services that are called without a client of the SDK, and their clocks.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    config::endpoint::{DefaultResolver, Params, ResolveEndpoint},
    primitives::{DateTime, DateTimeFormat},
};

use super::Cause;
use crate::clock::now_seconds;

/// Returns what follows the Region in the host names of this configuration's Region, such as
/// `amazonaws.com`. The SDK knows it from DynamoDB's endpoints.
///
/// # Errors
/// The SDK knows no such endpoints.
pub async fn domain(sdk: &SdkConfig, dual_stack: bool) -> Result<String, Cause> {
    let unknown = || Cause::because("the SDK knows no endpoints for this Region");
    let region = sdk.region().map(ToString::to_string).ok_or_else(unknown)?;
    let parameters = Params::builder()
        .region(&region)
        .use_dual_stack(dual_stack)
        .build();
    let parameters = parameters.map_err(|_| unknown())?;
    let resolver = DefaultResolver::new();
    let found = resolver.resolve_endpoint(&parameters).await;
    let found = found.map_err(|_| unknown())?;
    let domain = found
        .url()
        .strip_prefix(&format!("https://dynamodb.{region}."));
    domain.map(ToOwned::to_owned).ok_or_else(unknown)
}

/// How far a service's clock is ahead of this machine's. A request whose time is too far off
/// is refused.
#[derive(Debug, Default)]
pub struct Skew(AtomicI64);

impl Skew {
    /// Returns the time by the service's clock, as far as it is known.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        let skew = self.0.load(Ordering::Relaxed);
        let by = Duration::from_secs(skew.unsigned_abs());
        if skew < 0 {
            SystemTime::now() - by
        } else {
            SystemTime::now() + by
        }
    }

    /// Notes how far this machine's clock is off, by an answer's `Date`.
    pub fn learn(&self, date: Option<&str>) {
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        if let Some(date) = date {
            self.0.store(date.secs() - now_seconds(), Ordering::Relaxed);
        }
    }
}

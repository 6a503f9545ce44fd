//! Authentication: the key, its subscription, and its rate limit.

use std::{num::NonZeroU32, time::Duration};

use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use tokio::time::Instant;

use super::{Api, request, request_log::RequestLog};
use crate::{
    auth::{ApiKey, Principal, StoredKey},
    clock::now_seconds,
    deletion::{Budget, Error},
    metrics,
    rate_limit::{Counter, LimitedRoute, Usage},
    refusal::Refusal,
    table::{Backoff, Counted, CountedKey, TableError},
};

/// How long the count of a use is repeated while the table throttles it.
const COUNT_PATIENCE: Duration = Duration::from_secs(2);

impl Api {
    /// Returns the caller, whose key has to be known and valid, with an active
    /// subscription, and within its rate limit for this route.
    pub(super) async fn admit(
        &self,
        event: &ApiGatewayV2httpRequest,
        route: LimitedRoute,
        budget: Budget,
        log: &mut RequestLog,
    ) -> Result<Principal, Error> {
        #[cfg(feature = "cli")]
        if let Some(operator) = &self.operator {
            return Ok(operator.admit(&event.headers)?);
        }
        let hash = ApiKey::from_header(request::authorization(event))?.hash();
        let (stored_key, usage) = match self.rate_limit {
            Some(limit) => self.counted(hash, limit, route, budget, log).await?,
            None => (self.read_key(&hash, budget).await?, None),
        };
        log.key_id = Some(stored_key.key_id.clone());
        let admitted = stored_key.admit(now_seconds());
        if !matches!(admitted, Err(Refusal::InvalidApiKey)) {
            log.usage = usage;
        }
        let principal = admitted?;
        match &log.usage {
            Some(usage) if usage.is_over() => {
                Err(Refusal::RateLimited(usage.counter.resets_in).into())
            }
            _ => Ok(principal),
        }
    }

    async fn read_key(&self, hash: &str, budget: Budget) -> Result<StoredKey, Error> {
        match self.table.stored_key(hash, budget.claim_until).await {
            Ok(stored_key) => Ok(stored_key.ok_or(Refusal::InvalidApiKey)?),
            Err(error @ TableError::Corrupt { .. }) => Err(unreadable_key(&error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a key by counting its use. While the table throttles the count, it is
    /// repeated, and in the end the request is answered 503: a caller that sends more
    /// requests than an item can take writes must not get through uncounted. A use that
    /// cannot be counted for another reason is admitted: a rate limit is not a reason to
    /// refuse every caller.
    async fn counted(
        &self,
        hash: String,
        limit: NonZeroU32,
        route: LimitedRoute,
        budget: Budget,
        log: &mut RequestLog,
    ) -> Result<(StoredKey, Option<Usage>), Error> {
        let counter = Counter::at(route, now_seconds());
        let deadline = budget.claim_until;
        let mut answer = self.table.count_use(&hash, &counter, deadline).await;
        if matches!(answer, Err(TableError::Busy(_))) {
            // A read takes no write units: callers who are refused anyway are told so now,
            // and only the others wait for the count.
            let stored_key = self.read_key(&hash, budget).await?;
            stored_key.admit(now_seconds())?;
            let deadline = deadline.min(Instant::now() + COUNT_PATIENCE);
            let mut backoff = Backoff::default();
            while matches!(answer, Err(TableError::Busy(_))) && backoff.wait(deadline).await {
                answer = self.table.count_use(&hash, &counter, deadline).await;
            }
        }
        match answer {
            Ok(Counted::Key(CountedKey {
                stored,
                uses,
                expired,
            })) => {
                if !expired.is_empty() {
                    let table = self.table.clone();
                    log.counter_removal = Some(tokio::spawn(async move {
                        table
                            .remove_counters(&hash, &expired, budget.answer_by)
                            .await;
                    }));
                }
                let usage = Usage {
                    limit,
                    uses,
                    counter,
                };
                Ok((stored, Some(usage)))
            }
            Ok(Counted::Unknown) => Err(Refusal::InvalidApiKey.into()),
            Err(error @ TableError::Corrupt { .. }) => Err(unreadable_key(&error)),
            Err(error @ TableError::Busy(_)) => Err(error.into()),
            Err(error) => {
                metrics::rate_limit_failed_open();
                tracing::warn!("could not count a use of a key: {error}");
                Ok((self.read_key(&hash, budget).await?, None))
            }
        }
    }
}

/// Returns the refusal of a key whose item another program has written in a form that
/// this service does not read. The log says which attribute it is.
fn unreadable_key(error: &TableError) -> Error {
    tracing::error!("could not read an API key: {error}");
    Refusal::InvalidApiKey.into()
}

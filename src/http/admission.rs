//! Who calls, and whether they may: the key, its subscription, and its limit.

use std::num::NonZeroU32;

use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;

use super::{Api, RequestLog, request};
use crate::{
    auth::{ApiKey, Principal, StoredKey},
    deletion::Budget,
    error::Error,
    metric,
    rate::{Counter, Limited, Usage},
    table::{Counted, CountedKey, TableError},
    timestamp::now_seconds,
};

impl Api {
    /// Who calls, if they may: a key that is known and valid, whose subscription is
    /// active, and which is not over its limit for this route.
    pub(super) async fn admit(
        &self,
        event: &ApiGatewayV2httpRequest,
        route: Limited,
        budget: Budget,
        log: &mut RequestLog,
    ) -> Result<Principal, Error> {
        let hash = ApiKey::from_header(request::authorization(event))?.hash();
        let (stored_key, usage) = match self.rate_limit {
            Some(limit) => self.counted(hash, limit, route, budget, log).await?,
            None => (self.read_key(&hash, budget).await?, None),
        };
        log.key_id = Some(stored_key.key_id.clone());
        let admitted = stored_key.admit(now_seconds());
        if !matches!(admitted, Err(Error::InvalidApiKey)) {
            log.usage = usage;
        }
        let principal = admitted?;
        match &log.usage {
            Some(usage) if usage.is_over() => Err(Error::RateLimited(usage.counter.resets_in)),
            _ => Ok(principal),
        }
    }

    async fn read_key(&self, hash: &str, budget: Budget) -> Result<StoredKey, Error> {
        let table = self.deletions.table();
        let stored_key = table.stored_key(hash, budget.claim_until).await?;
        stored_key.ok_or(Error::InvalidApiKey)
    }

    /// Reads a key by counting its use. A use that cannot be counted is let
    /// through: a limit is no reason to refuse everybody.
    async fn counted(
        &self,
        hash: String,
        limit: NonZeroU32,
        route: Limited,
        budget: Budget,
        log: &mut RequestLog,
    ) -> Result<(StoredKey, Option<Usage>), Error> {
        let table = self.deletions.table();
        let counter = Counter::at(route, now_seconds());
        match table.count_use(&hash, &counter, budget.claim_until).await {
            Ok(Counted::Key(CountedKey { stored, uses, over })) => {
                if !over.is_empty() {
                    let table = table.clone();
                    log.tidying = Some(tokio::spawn(async move {
                        table.remove_counters(&hash, &over, budget.answer_by).await;
                    }));
                }
                let usage = Usage {
                    limit,
                    uses,
                    counter,
                };
                Ok((stored, Some(usage)))
            }
            Ok(Counted::Unknown) => Err(Error::InvalidApiKey),
            Ok(Counted::Throttled) => Err(Error::RateLimited(counter.resets_in)),
            Err(error @ TableError::Corrupt { .. }) => Err(error.into()),
            Err(error) => {
                metric::rate_limit_failed_open();
                tracing::warn!("a use of a key is not counted: {error}");
                Ok((self.read_key(&hash, budget).await?, None))
            }
        }
    }
}

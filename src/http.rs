//! From an HTTP request to its answer: authenticate, validate, call the use
//! case, respond. The handler takes API Gateway's own event (payload 2.0) and
//! always answers it; `api` and the local server both call this one.

mod admission;
mod alongside;
mod deletions;
mod headers;
mod many;
#[cfg(feature = "cli")]
mod operator;
mod paths;
mod query;
mod request;
mod request_log;
mod response;

use std::{num::NonZeroU32, pin::pin, time::Duration};

use futures_util::future::maybe_done;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use tokio::time::Instant;

#[cfg(feature = "cli")]
pub use self::operator::{ACCOUNT, Operator};
pub use self::paths::{PATHS, Path};
use self::{
    alongside::{alongside, output},
    headers::Preferences,
    many::DeleteCampaigns,
    query::DeleteQuery,
    request::Route,
    request_log::RequestLog,
    response::Answer,
};
use crate::{
    auth::SCOPE_DELETE,
    campaign::{Campaign, CampaignId, InvalidCampaignId},
    config::ReceiptSettings,
    deletion::{Budget, DeletionRequest, Deletions, End, Error, Outcome},
    rate_limit::LimitedRoute,
    receipts::Receipts,
    refusal::Refusal,
    table::Table,
};

impl From<InvalidCampaignId> for Refusal {
    fn from(why: InvalidCampaignId) -> Self {
        Self::Validation(why.to_string().into())
    }
}

/// The least time of a dry run, whatever the inline budget: without any, it would
/// count nothing.
const DRY_RUN: Duration = Duration::from_secs(1);

/// The HTTP side of the service.
#[derive(Clone, Debug)]
pub struct Api {
    table: Table,
    deletions: Deletions,
    inline_budget: Duration,
    rate_limit: Option<NonZeroU32>,
    receipts: Receipts,
    receipt_settings: ReceiptSettings,
    #[cfg(feature = "cli")]
    operator: Option<Operator>,
}

impl Api {
    /// Returns the HTTP side of `deletions`, which are in `table`. A request takes
    /// `inline_budget` at most, and a key may make `rate_limit` requests to each
    /// route in a minute.
    #[must_use]
    pub fn new(
        table: Table,
        deletions: Deletions,
        inline_budget: Duration,
        rate_limit: Option<NonZeroU32>,
    ) -> Self {
        Self {
            table,
            deletions,
            inline_budget,
            rate_limit,
            receipts: Receipts::default(),
            receipt_settings: ReceiptSettings::default(),
            #[cfg(feature = "cli")]
            operator: None,
        }
    }

    /// Returns the same for an operator alone: no key of the table is admitted, and no use is
    /// counted.
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn operated_by(self, operator: Operator) -> Self {
        Self {
            operator: Some(operator),
            ..self
        }
    }

    /// Returns the same, with receipts that these keys sign.
    #[must_use]
    pub fn giving_receipts(self, receipts: Receipts, settings: ReceiptSettings) -> Self {
        Self {
            receipts,
            receipt_settings: settings,
            ..self
        }
    }

    /// Answers one event. `invocation_id` names the request if the gateway has
    /// not; `deadline` is the invocation's own.
    pub async fn handle(
        &self,
        event: &ApiGatewayV2httpRequest,
        invocation_id: &str,
        deadline: Option<Instant>,
    ) -> ApiGatewayV2httpResponse {
        let time = Time {
            start: Instant::now(),
            deadline,
        };
        let request_id = event.request_context.request_id.as_deref();
        let request_id = request_id.unwrap_or(invocation_id);
        let mut log = RequestLog::of(request_id);
        let (answer, error) = match self.answer(event, time, &mut log).await {
            Ok(answer) => (answer, None),
            Err(error) => (Answer::error(&error, request_id), Some(error)),
        };
        let answer = match &log.usage {
            Some(usage) => answer.with_usage(usage),
            None => answer,
        };
        // A function is frozen once it has answered, so nothing may be left running.
        if let Some(removal) = log.counter_removal.take() {
            // Err: the task panicked, which does not concern this request.
            let _ = removal.await;
        }
        log.count(error.as_ref());
        log.write(&answer, error.as_ref(), time.start.elapsed());
        answer.into_response(request_id)
    }

    async fn answer(
        &self,
        event: &ApiGatewayV2httpRequest,
        time: Time,
        log: &mut RequestLog,
    ) -> Result<Answer, Error> {
        // Unknown routes and methods are answered before authentication.
        let budget = time.budget(self.inline_budget);
        match request::route(event)? {
            Route::DeleteCampaign { id, prefix } => {
                let delete = DeleteCampaign {
                    api: self,
                    event,
                    prefix: &prefix,
                    time,
                };
                delete.answer(&id, log).await
            }
            Route::DeleteCampaigns { prefix } => {
                let delete = DeleteCampaigns {
                    api: self,
                    event,
                    prefix: &prefix,
                    time,
                };
                delete.answer(log).await
            }
            Route::GetDeletion { id } => self.get_deletion(event, &id, budget, log).await,
            Route::GetReceipt { id, prefix } => {
                self.get_receipt(event, &id, &prefix, budget, log).await
            }
            Route::Keys => self.get_keys(event, budget, log).await,
            Route::ListDeletions => self.list_deletions(event, budget, log).await,
            Route::Description => {
                query::no_parameters(event)?;
                log.outcome = Some("described");
                Ok(Answer::description())
            }
        }
    }
}

/// One `DELETE /v1/campaigns/{id}`.
struct DeleteCampaign<'a> {
    api: &'a Api,
    event: &'a ApiGatewayV2httpRequest,
    /// The part of the path before `/v1`.
    prefix: &'a str,
    time: Time,
}

impl DeleteCampaign<'_> {
    /// Answers the request. The first step that fails answers it: the order is the
    /// contract's.
    async fn answer(&self, id: &str, log: &mut RequestLog) -> Result<Answer, Error> {
        let preferences = headers::preferences(self.event);
        let query = query::delete(self.event);
        let budget = self.budget(&query, &preferences);
        let id = CampaignId::parse(id);
        // The campaign is read while the caller is authenticated, and looked at
        // only after that.
        let reading = async {
            match &id {
                Ok(id) => self.api.table.campaign(id, budget.claim_until).await,
                Err(_) => Ok(None),
            }
        };
        let mut found = pin!(maybe_done(reading));

        // 1. Authenticate: 401, an inactive subscription 403, the rate limit 429.
        let admission = self
            .api
            .admit(self.event, LimitedRoute::DeleteCampaign, budget, log);
        let principal = alongside(admission, found.as_mut()).await?;
        // 2. Authorize: 403.
        principal.require(SCOPE_DELETE)?;
        // 3. Validate the id, the query and the headers: 400.
        let id = id.clone().map_err(Refusal::from)?;
        log.campaign_id = Some(id.clone());
        let query = query?;
        let preferences = preferences?;
        request::no_dry_run_in_body(self.event)?;
        let mut request = DeletionRequest::by_caller(principal, id);
        request.if_match = headers::if_match(self.event)?;
        request.idempotency_key = headers::idempotency_key(self.event)?;
        request.archive = query.archive;
        request.reason = query.reason;
        self.api.deletions.check_archive(&request)?;
        // 4. Dry run: check and count only; it does not use up the idempotency key.
        if query.validate_only {
            let campaign = output(found).await?;
            return self.preview(&request, campaign, budget, log).await;
        }
        // 5. Replay a known `Idempotency-Key`, or its reuse 422.
        // 6. Check that the campaign exists (404) and is the account's own (403).
        // 7. Attach to a running deletion: 202.
        // 8. Check the status and protection (409), and `If-Match` (412).
        // 9. Claim the campaign, drain it, and finish: 200, or 202 for the rest.
        let deletion = self
            .api
            .deletions
            .delete(&request, output(found), budget)
            .await?;
        Ok(self.in_full(&deletion, preferences, log))
    }

    /// Returns the budget of the request: `Prefer` bounds all of it, except for a
    /// dry run, which has nothing to hand off.
    fn budget(
        &self,
        query: &Result<DeleteQuery, Refusal>,
        preferences: &Result<Preferences, Refusal>,
    ) -> Budget {
        let longest = self.api.inline_budget;
        let (Ok(query), Ok(preferences)) = (query, preferences) else {
            return self.time.budget(longest.max(DRY_RUN));
        };
        if query.validate_only {
            return self.time.budget(longest.max(DRY_RUN));
        }
        let inline = preferences.inline_budget(longest);
        if inline.is_zero() {
            // To be answered at once: only as much of the usual time as claiming and
            // handing off need.
            self.time.budget(longest).claim_only(self.time.start)
        } else if inline < longest {
            self.time.budget(longest).wait(self.time.start, inline)
        } else {
            self.time.budget(longest)
        }
    }

    async fn preview(
        &self,
        request: &DeletionRequest,
        campaign: Option<Campaign>,
        budget: Budget,
        log: &mut RequestLog,
    ) -> Result<Answer, Error> {
        let preview = self
            .api
            .deletions
            .preview(request, campaign, budget)
            .await?;
        log.outcome = Some("previewed");
        log.counts = Some(preview.counts.clone());
        Ok(Answer::previewed(&preview))
    }

    /// Returns the answer of a claimed deletion, and logs its outcome.
    fn in_full(
        &self,
        deletion: &Outcome,
        preferences: Preferences,
        log: &mut RequestLog,
    ) -> Answer {
        log.replayed = deletion.replayed;
        log.stats = deletion.stats;
        let record = &deletion.record;
        let (outcome, answer) = match deletion.end {
            End::Complete => ("deleted", Answer::deleted(record)),
            End::Remaining { .. } => ("remaining", Answer::in_progress(record, self.prefix)),
            End::Attached => ("attached", Answer::in_progress(record, self.prefix)),
        };
        log.record(outcome, record);
        answer
            .replayed(deletion.replayed)
            .with_preferences(preferences.applied(self.api.inline_budget))
    }
}

/// When a request began, and when its invocation ends.
#[derive(Clone, Copy)]
struct Time {
    start: Instant,
    deadline: Option<Instant>,
}

impl Time {
    fn budget(self, inline: Duration) -> Budget {
        Budget::new(self.start, inline, self.deadline)
    }
}

//! Request to principal to use case to response, and nothing else. The handler
//! takes API Gateway's own event (payload 2.0) and always answers it; `api`
//! and the local server both call this one.

mod request;
mod response;

use std::{pin::pin, time::Duration};

use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use tokio::time::Instant;

use self::{request::Route, response::Answer};
use crate::{
    auth::{ApiKey, SCOPE_DELETE},
    beside::beside,
    campaign::{CampaignId, InvalidCampaignId},
    deletion::{Budget, Counts, DeletionRequest, Deletions, Outcome, Record},
    error::Error,
    timestamp::now_seconds,
};

impl From<InvalidCampaignId> for Error {
    fn from(why: InvalidCampaignId) -> Self {
        Self::Validation(why.to_string().into())
    }
}

/// The HTTP side of the service.
#[derive(Clone, Debug)]
pub struct Api {
    deletions: Deletions,
    inline_budget: Duration,
}

/// What one line of the log says about a request.
#[derive(Debug, Default)]
struct RequestLog {
    key_id: Option<String>,
    campaign_id: Option<CampaignId>,
    deletion_id: Option<String>,
    counts: Option<Counts>,
    outcome: Option<&'static str>,
}

impl RequestLog {
    fn record(&mut self, record: &Record) {
        self.deletion_id = Some(record.deletion_id.clone());
        self.counts = Some(record.progress.counted.clone());
    }
}

impl Api {
    /// The HTTP side of `deletions`; one request takes `inline_budget` at most.
    #[must_use]
    pub fn new(deletions: Deletions, inline_budget: Duration) -> Self {
        Self {
            deletions,
            inline_budget,
        }
    }

    /// Answers one event. `invocation_id` names the request where the gateway
    /// has not; `deadline` is the invocation's own.
    pub async fn handle(
        &self,
        event: &ApiGatewayV2httpRequest,
        invocation_id: &str,
        deadline: Option<Instant>,
    ) -> ApiGatewayV2httpResponse {
        let start = Instant::now();
        let budget = Budget::new(start, self.inline_budget, deadline);
        let request_id = event.request_context.request_id.as_deref();
        let request_id = request_id.unwrap_or(invocation_id);
        let mut log = RequestLog::default();
        let (answer, error) = match self.answer(event, budget, &mut log).await {
            Ok(answer) => (answer, None),
            Err(error) => (Answer::error(&error, request_id), Some(error)),
        };
        log_request(&log, request_id, &answer, error.as_ref(), start.elapsed());
        answer.into_response(request_id)
    }

    async fn answer(
        &self,
        event: &ApiGatewayV2httpRequest,
        budget: Budget,
        log: &mut RequestLog,
    ) -> Result<Answer, Error> {
        match request::route(event)? {
            Route::DeleteCampaign { id, prefix } => {
                self.delete_campaign(event, &id, &prefix, budget, log).await
            }
        }
    }

    /// `DELETE /v1/campaigns/{id}`: authenticate, authorize, validate, check,
    /// then delete or preview. Key and campaign are read at the same time;
    /// nothing of the campaign is looked at before the key is admitted.
    async fn delete_campaign(
        &self,
        event: &ApiGatewayV2httpRequest,
        id: &str,
        prefix: &str,
        budget: Budget,
        log: &mut RequestLog,
    ) -> Result<Answer, Error> {
        let key_hash = ApiKey::from_header(request::authorization(event))?.hash();
        let id = CampaignId::parse(id);
        let table = self.deletions.table();
        let mut reading = pin!(async {
            match &id {
                Ok(id) => table.campaign(id, budget.claim_until).await,
                Err(_) => Ok(None),
            }
        });
        let stored_key = table.stored_key(&key_hash, budget.claim_until);
        // A caller who is refused does not wait for the campaign.
        let (stored_key, campaign) = beside(stored_key, &mut reading).await;
        let stored_key = stored_key?.ok_or(Error::InvalidApiKey)?;
        log.key_id = Some(stored_key.key_id.clone());
        let principal = stored_key.admit(SCOPE_DELETE, now_seconds())?;
        log.campaign_id = Some(id.clone()?);
        let validate_only = request::validate_only(event)?;
        let request = DeletionRequest {
            account_id: principal.account_id,
            requested_by: principal.key_id,
            if_match: request::if_match(event)?,
        };
        let campaign = match campaign {
            Some(campaign) => campaign,
            None => reading.await,
        }?;
        if validate_only {
            let preview = self.deletions.preview(&request, campaign, budget).await?;
            log.outcome = Some("previewed");
            log.counts = Some(preview.counts.clone());
            return Ok(Answer::previewed(&preview));
        }
        let outcome = self.deletions.delete(&request, campaign, budget).await?;
        Ok(match &outcome {
            Outcome::Complete(record) => {
                log.outcome = Some("deleted");
                log.record(record);
                Answer::deleted(record)
            }
            Outcome::Remaining { record, .. } => {
                log.outcome = Some("remaining");
                log.record(record);
                Answer::in_progress(record, prefix)
            }
            Outcome::Attached(record) => {
                log.outcome = Some("attached");
                log.record(record);
                Answer::in_progress(record, prefix)
            }
        })
    }
}

/// The one line of a request. The cause of an internal error stands here and
/// nowhere else.
fn log_request(
    log: &RequestLog,
    request_id: &str,
    answer: &Answer,
    error: Option<&Error>,
    elapsed: Duration,
) {
    let status = answer.status.as_u16();
    let outcome = error.map(|error| error.public().code).or(log.outcome);
    let cause = error.map(ToString::to_string);
    let counts = log.counts.as_ref();
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                request_id,
                key_id = log.key_id.as_deref(),
                campaign_id = log.campaign_id.as_ref().map(CampaignId::as_str),
                deletion_id = log.deletion_id.as_deref(),
                status,
                outcome,
                items = counts.map(Counts::total),
                counts = counts.and_then(|counts| serde_json::to_string(counts).ok()),
                elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
                cause,
                "request {request_id} answered {status}",
            )
        };
    }
    if answer.status.is_server_error() {
        line!(error);
    } else {
        line!(info);
    }
}

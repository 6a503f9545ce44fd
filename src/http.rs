//! Request to principal to use case to response, and nothing else. The handler
//! takes API Gateway's own event (payload 2.0) and always answers it; `api`
//! and the local server both call this one.

mod admission;
mod headers;
mod query;
mod request;
mod response;

use std::{num::NonZeroU32, pin::pin, time::Duration};

use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use tokio::{task::JoinHandle, time::Instant};

pub use self::request::{PATHS, Path};
use self::{headers::Preferences, request::Route, response::Answer};
use crate::{
    auth::{SCOPE_DELETE, SCOPE_READ},
    beside::beside,
    campaign::{CampaignId, InvalidCampaignId},
    deletion::{
        Budget, Counts, Deleted, DeletionRequest, Deletions, End, Record, Work, deletion_id,
    },
    error::Error,
    hand_off::DeletionRef,
    metric,
    rate::{Limited, Usage},
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
    rate_limit: Option<NonZeroU32>,
}

/// What is known of a request when it is answered: what one line of the log says,
/// and more.
#[derive(Debug, Default)]
struct RequestLog {
    /// How the caller stands with its limit.
    usage: Option<Usage>,
    /// Counters that are being removed while the request is worked on.
    tidying: Option<JoinHandle<()>>,
    key_id: Option<String>,
    campaign_id: Option<CampaignId>,
    deletion_id: Option<String>,
    counts: Option<Counts>,
    outcome: Option<&'static str>,
    work: Work,
    replayed: bool,
}

impl RequestLog {
    fn record(&mut self, outcome: &'static str, record: &Record) {
        self.outcome = Some(outcome);
        self.campaign_id = Some(record.campaign_id.clone());
        self.deletion_id = Some(record.deletion_id.clone());
        self.counts = Some(record.progress.counted.clone());
    }
}

impl Api {
    /// The HTTP side of `deletions`; one request takes `inline_budget` at most, and
    /// a key may make `rate_limit` to each route in a minute.
    #[must_use]
    pub fn new(
        deletions: Deletions,
        inline_budget: Duration,
        rate_limit: Option<NonZeroU32>,
    ) -> Self {
        Self {
            deletions,
            inline_budget,
            rate_limit,
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
        let time = Time {
            start: Instant::now(),
            deadline,
        };
        let request_id = event.request_context.request_id.as_deref();
        let request_id = request_id.unwrap_or(invocation_id);
        let mut log = RequestLog::default();
        let (answer, error) = match self.answer(event, time, &mut log).await {
            Ok(answer) => (answer, None),
            Err(error) => (Answer::error(&error, request_id), Some(error)),
        };
        let answer = match &log.usage {
            Some(usage) => answer.with_usage(usage),
            None => answer,
        };
        // Nothing works on after a function has answered.
        if let Some(tidying) = log.tidying.take() {
            // Err: it has panicked, which is its own matter.
            let _ = tidying.await;
        }
        metric::answered(outcome(&log, error.as_ref()).unwrap_or("unknown"));
        let elapsed = time.start.elapsed();
        log_request(&log, request_id, &answer, error.as_ref(), elapsed);
        answer.into_response(request_id)
    }

    async fn answer(
        &self,
        event: &ApiGatewayV2httpRequest,
        time: Time,
        log: &mut RequestLog,
    ) -> Result<Answer, Error> {
        let budget = time.budget(self.inline_budget);
        match request::route(event)? {
            Route::DeleteCampaign { id, prefix } => {
                self.delete_campaign(event, &id, &prefix, time, log).await
            }
            Route::GetDeletion { id } => self.get_deletion(event, &id, budget, log).await,
            Route::ListDeletions => self.list_deletions(event, budget, log).await,
            Route::Description => {
                query::no_parameters(event)?;
                log.outcome = Some("described");
                Ok(Answer::description())
            }
        }
    }

    /// `DELETE /v1/campaigns/{id}`: authenticate, authorize, validate, replay,
    /// check, then delete or preview. Key and campaign are read at the same time;
    /// nothing of the campaign is looked at before the key is admitted.
    async fn delete_campaign(
        &self,
        event: &ApiGatewayV2httpRequest,
        id: &str,
        prefix: &str,
        time: Time,
        log: &mut RequestLog,
    ) -> Result<Answer, Error> {
        // A dry run answers what it asks for; otherwise `Prefer` bounds all of it.
        let preferences = headers::preferences(event);
        let is_dry = query::validate_only(event);
        let budget = match (&is_dry, &preferences) {
            (Ok(false), Ok(preferences)) => self.preferred(*preferences, time),
            _ => time.budget(self.inline_budget),
        };
        let id = CampaignId::parse(id);
        let table = self.deletions.table();
        let mut reading = pin!(async {
            match &id {
                Ok(id) => table.campaign(id, budget.claim_until).await,
                Err(_) => Ok(None),
            }
        });
        // A caller who is refused does not wait for the campaign.
        let admitting = self.admit(event, Limited::DeleteCampaign, budget, log);
        let (principal, campaign) = beside(admitting, &mut reading).await;
        let principal = principal?;
        principal.require(SCOPE_DELETE)?;
        let id = id.clone()?;
        log.campaign_id = Some(id.clone());
        let is_dry = is_dry?;
        let preferences = preferences?;
        let request = DeletionRequest {
            account_id: principal.account_id,
            requested_by: principal.key_id,
            if_match: headers::if_match(event)?,
            idempotency_key: headers::idempotency_key(event)?,
            only_as_found: false,
        };
        // A dry run spends no key.
        if is_dry {
            let campaign = or_wait(campaign, reading).await?;
            let preview = self.deletions.preview(&request, campaign, budget).await?;
            log.outcome = Some("previewed");
            log.counts = Some(preview.counts.clone());
            return Ok(Answer::previewed(&preview));
        }
        let replayed = self.deletions.replay(&request, &id, budget).await?;
        let Deleted { outcome, replayed } = if let Some(replayed) = replayed {
            replayed
        } else {
            let campaign = or_wait(campaign, reading).await?;
            let deletions = &self.deletions;
            deletions.delete(&request, &id, campaign, budget).await?
        };
        log.replayed = replayed;
        log.work = outcome.work;
        let record = &outcome.record;
        let (said, answer) = match outcome.end {
            End::Complete => ("deleted", Answer::deleted(record)),
            End::Remaining { .. } => ("remaining", Answer::in_progress(record, prefix)),
            End::Attached => ("attached", Answer::in_progress(record, prefix)),
        };
        log.record(said, record);
        let applied = preferences.applied(self.inline_budget);
        Ok(answer.replayed(replayed).with_preferences(applied))
    }

    /// `GET /v1/deletions/{deletionId}`. A key without the scope may read what
    /// it has requested, and learns nothing of anything else.
    async fn get_deletion(
        &self,
        event: &ApiGatewayV2httpRequest,
        id: &str,
        budget: Budget,
        log: &mut RequestLog,
    ) -> Result<Answer, Error> {
        let principal = self.admit(event, Limited::GetDeletion, budget, log).await?;
        let may_read = principal.require(SCOPE_READ);
        let Some(deletion_id) = deletion_id(id) else {
            may_read?;
            return Err(request::invalid("The deletion id must be a UUID"));
        };
        if let Err(error) = query::no_parameters(event) {
            may_read?;
            return Err(error);
        }
        let of = DeletionRef {
            account_id: principal.account_id,
            deletion_id,
        };
        let record = self.deletions.find(&of, budget.claim_until).await?;
        let record = match record {
            Some(record) if record.requested_by == principal.key_id => record,
            record => {
                may_read?;
                record.ok_or(Error::DeletionNotFound)?
            }
        };
        log.record("read", &record);
        Ok(Answer::deletion(&self.deletions.report(&record)))
    }

    /// `GET /v1/deletions`. A key without the scope sees what it has requested.
    async fn list_deletions(
        &self,
        event: &ApiGatewayV2httpRequest,
        budget: Budget,
        log: &mut RequestLog,
    ) -> Result<Answer, Error> {
        let principal = self
            .admit(event, Limited::ListDeletions, budget, log)
            .await?;
        let (limit, after) = query::page(event)?;
        let requested_by = (!principal.has(SCOPE_READ)).then_some(principal.key_id.as_str());
        let history = self
            .deletions
            .table()
            .history(
                &principal.account_id,
                requested_by,
                after,
                limit,
                budget.work_until,
                budget.claim_until,
            )
            .await?;
        log.outcome = Some("listed");
        let reports: Vec<_> = history
            .records
            .iter()
            .map(|record| self.deletions.report(record))
            .collect();
        Ok(Answer::deletions(&reports, history.after.as_deref()))
    }

    /// The budget of a request with these preferences. One that is to be answered
    /// at once has the usual time to be claimed and handed on, and takes no more
    /// of it than that needs.
    fn preferred(&self, preferences: Preferences, time: Time) -> Budget {
        let inline = preferences.inline_budget(self.inline_budget);
        if inline.is_zero() {
            time.budget(self.inline_budget).claim_only(time.start)
        } else {
            time.budget(inline)
        }
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

async fn or_wait<T>(done: Option<T>, waiting: impl Future<Output = T>) -> T {
    match done {
        Some(done) => done,
        None => waiting.await,
    }
}

/// What has become of a request: an error's code, or what was done.
fn outcome(log: &RequestLog, error: Option<&Error>) -> Option<&'static str> {
    error.map(|error| error.public().code).or(log.outcome)
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
    let outcome = outcome(log, error);
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
                replayed = log.replayed.then_some(true),
                items = counts.map(Counts::total),
                deleted = log.work.moved.then_some(log.work.deleted),
                sent_again = log.work.moved.then_some(log.work.sent_again),
                consumed_write_units = log.work.moved.then_some(log.work.consumed),
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

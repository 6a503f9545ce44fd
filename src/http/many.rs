//! `POST /v1/deletions`: up to 100 campaigns, each of them claimed by itself and answered as a
//! DELETE of it alone with `Prefer: respond-async` would be. A campaign that is refused does not
//! stop the others, and a malformed request claims none.

mod body;
mod verdict;

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use futures_util::stream::{self, StreamExt};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use tokio::time::Instant;

use self::verdict::Verdict;
use super::{
    Api, DRY_RUN, Time, headers, query,
    request_log::{RequestLog, Verdicts},
    response::Answer,
};
use crate::{
    auth::SCOPE_DELETE,
    campaign::CampaignId,
    deletion::{Budget, DeletionRequest, Error},
    idempotency::IdempotencyKey,
    rate_limit::LimitedRoute,
    table::TableError,
};

/// How many campaigns of one request are claimed or counted at a time. Each has one request to
/// the table outstanding, or, in a dry run, a page or two in memory.
const AT_A_TIME: usize = 16;

/// One `POST /v1/deletions`.
pub(super) struct DeleteCampaigns<'a> {
    pub(super) api: &'a Api,
    pub(super) event: &'a ApiGatewayV2httpRequest,
    /// The part of the path before `/v1`.
    pub(super) prefix: &'a str,
    pub(super) time: Time,
}

/// What is the same for each campaign of a request.
struct Each {
    /// The request for one of them.
    template: DeletionRequest,
    key: Option<IdempotencyKey>,
    validate_only: bool,
    /// The shortest time that a claim has taken, microseconds.
    fastest: AtomicU64,
}

impl Each {
    /// Returns whether the time is too short to begin a claim. One that is cut off may have been
    /// applied or not, and its caller could not be told which.
    fn is_too_late(&self, claim_until: Instant) -> bool {
        let fastest = match self.fastest.load(Ordering::Relaxed) {
            // None has been claimed yet.
            u64::MAX => 0,
            fastest => fastest,
        };
        // Twice: not every claim is the fastest.
        Instant::now() + Duration::from_micros(fastest) * 2 >= claim_until
    }

    /// Notes how long a claim took.
    fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.fastest.fetch_min(time, Ordering::Relaxed);
    }

    fn request(&self, campaign_id: CampaignId) -> DeletionRequest {
        let mut request = self.template.clone();
        let key = self.key.as_ref();
        request.idempotency_key = key.map(|key| key.of_campaign(&campaign_id));
        request.campaign_id = campaign_id;
        request
    }
}

impl DeleteCampaigns<'_> {
    /// Answers the request. The steps are those of a DELETE, in the same order.
    pub(super) async fn answer(&self, log: &mut RequestLog) -> Result<Answer, Error> {
        let longest = self.api.inline_budget;
        let budget = self.time.budget(longest.max(DRY_RUN));
        // 1. Authenticate: 401, an inactive subscription 403, the rate limit 429.
        let route = LimitedRoute::DeleteCampaigns;
        let principal = self.api.admit(self.event, route, budget, log).await?;
        // 2. Authorize: 403.
        principal.require(SCOPE_DELETE)?;
        // 3. Validate the query, the headers and the body: 400.
        query::no_parameters(self.event)?;
        headers::no_if_match(self.event)?;
        let key = headers::idempotency_key(self.event)?;
        let body = body::read(self.event)?;
        let ids = body.campaign_ids;
        let Some(first) = ids.first() else {
            return Err(body::bad_ids().into());
        };
        let mut template = DeletionRequest::by_caller(principal, first.clone());
        template.archive = body.archive;
        template.reason = body.reason;
        self.api.deletions.check_archive(&template)?;
        // 4. Each campaign by itself: everything else that a DELETE checks and does.
        let each = Each {
            template,
            key,
            validate_only: body.validate_only,
            fastest: AtomicU64::new(u64::MAX),
        };
        log.outcome = Some("many");
        Ok(self.judge_all(ids, &each, budget, log).await)
    }

    /// Returns the verdicts on all campaigns, in their order.
    async fn judge_all(
        &self,
        ids: Vec<CampaignId>,
        each: &Each,
        budget: Budget,
        log: &mut RequestLog,
    ) -> Answer {
        let (all, request_id) = (ids.len(), log.request_id.as_str());
        let verdicts = stream::iter(ids.into_iter().enumerate()).map(|(at, id)| {
            // Called when it is this campaign's turn.
            let share = if each.validate_only {
                share_of(budget, all - at)
            } else {
                budget.claim_only(self.time.start)
            };
            // Boxed: it is large, and there are several.
            Box::pin(async move {
                let verdict = self.judge(each, &id, share).await;
                let verdict =
                    verdict.unwrap_or_else(|error| Verdict::error(&id, &error, request_id));
                (at, verdict)
            })
        });
        let mut verdicts: Vec<_> = verdicts.buffer_unordered(AT_A_TIME).collect().await;
        verdicts.sort_unstable_by_key(|(at, _)| *at);
        let mut counts = Verdicts::default();
        let mut entries = Vec::with_capacity(all);
        for (_, verdict) in verdicts {
            counts.add(verdict.outcome, verdict.cause);
            entries.push(verdict.entry);
        }
        log.verdicts = Some(counts);
        Answer::each(&entries)
    }

    /// Claims or previews one campaign.
    async fn judge(&self, each: &Each, id: &CampaignId, budget: Budget) -> Result<Verdict, Error> {
        let begun = Instant::now();
        if each.is_too_late(budget.claim_until) {
            return Err(TableError::out_of_time().into());
        }
        let request = each.request(id.clone());
        let is_read = AtomicBool::new(false);
        let read = async {
            let read = self.api.table.campaign(id, budget.claim_until).await;
            is_read.store(read.is_ok(), Ordering::Relaxed);
            read
        };
        let deletions = &self.api.deletions;
        let judged = async {
            if each.validate_only {
                let preview = deletions.preview(&request, read.await?, budget).await?;
                Ok(Verdict::previewed(&preview))
            } else {
                let deletion = deletions.delete(&request, read, budget).await?;
                each.took(begun.elapsed());
                Ok(Verdict::claimed(&deletion, self.prefix))
            }
        };
        match judged.await {
            // The time that the campaigns share was over before this one was read, so nothing
            // can have been claimed. A DELETE, whose time is its own, answers 500.
            Err(Error::Table(TableError::NoAnswer(cause))) if !is_read.load(Ordering::Relaxed) => {
                Err(TableError::Busy(cause).into())
            }
            judged => judged,
        }
    }
}

/// Returns the part of a budget that one dry run may take if this many campaigns, itself
/// included, still wait for theirs: none of them is left out because another one is large.
fn share_of(budget: Budget, waiting: usize) -> Budget {
    let rounds = u32::try_from(waiting.div_ceil(AT_A_TIME)).unwrap_or(u32::MAX);
    let now = Instant::now();
    Budget {
        work_until: now + (budget.work_until - now) / rounds.max(1),
        ..budget
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn dry_runs_share_the_time_that_is_left() {
        let start = Instant::now();
        let whole = Budget::new(start, Duration::from_secs(20), None);
        let left = whole.work_until - start;
        for (waiting, rounds) in [(1, 1), (16, 1), (17, 2), (100, 7)] {
            let share = share_of(whole, waiting);
            assert_eq!(share.work_until, start + left / rounds, "{waiting}");
            assert_eq!(share.claim_until, whole.claim_until);
        }
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(share_of(whole, 5).work_is_over());
    }
}

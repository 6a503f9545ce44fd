//! What callers read of deletions: one, its receipt, the audit trail, and the keys that verify
//! receipts.

use std::time::Duration;

use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use tokio::time::Instant;

use super::{Api, query, request, request_log::RequestLog, response::Answer};
use crate::{
    auth::SCOPE_READ,
    clock::now_seconds,
    deletion::{Budget, Error},
    metrics,
    rate_limit::LimitedRoute,
    receipts::ReceiptError,
    record::{Claims, DeletionRef, Record, deletion_id},
    refusal::Refusal,
};

/// How long a key may take to sign, retries included: a receipt can be asked for again.
const SIGNING: Duration = Duration::from_secs(5);

impl Api {
    /// `GET /v1/deletions/{deletionId}`.
    pub(super) async fn get_deletion(
        &self,
        event: &ApiGatewayV2httpRequest,
        id: &str,
        budget: Budget,
        log: &mut RequestLog,
    ) -> Result<Answer, Error> {
        let route = LimitedRoute::GetDeletion;
        let record = self.readable(event, id, route, budget, log).await?;
        log.record("read", &record);
        Ok(Answer::deletion(&self.deletions.view(&record)))
    }

    /// `GET /v1/deletions/{deletionId}/receipt`. It is signed each time: the record never changes
    /// again, so there is nothing to keep.
    pub(super) async fn get_receipt(
        &self,
        event: &ApiGatewayV2httpRequest,
        id: &str,
        prefix: &str,
        budget: Budget,
        log: &mut RequestLog,
    ) -> Result<Answer, Error> {
        let route = LimitedRoute::GetReceipt;
        let record = self.readable(event, id, route, budget, log).await?;
        if self.receipts.is_none() {
            return Err(Refusal::NoReceipts.into());
        }
        let settings = &self.receipt_settings;
        let issuer = match &settings.issuer {
            Some(issuer) => issuer.clone(),
            None => address(event, prefix),
        };
        let claims = Claims::of(&record, &issuer, settings.pitr_days, now_seconds());
        let claims = claims.ok_or(Refusal::DeletionRunning)?;
        let deadline = signing_until(budget);
        let signed = self.receipts.sign(&claims, deadline).await;
        let receipt = signed.map_err(|error| not_signed(&error))?;
        log.record("receipt", &record);
        Ok(Answer::receipt(&receipt, &claims))
    }

    /// `GET /v1/jwks.json`, which needs no key: whoever has a receipt may verify it.
    pub(super) async fn get_keys(
        &self,
        event: &ApiGatewayV2httpRequest,
        budget: Budget,
        log: &mut RequestLog,
    ) -> Result<Answer, Error> {
        query::no_parameters(event)?;
        if self.receipts.is_none() {
            return Err(Refusal::NoReceipts.into());
        }
        let keys = self.receipts.keys(signing_until(budget)).await;
        let keys = keys.map_err(|error| not_signed(&error))?;
        log.outcome = Some("keys");
        Ok(Answer::keys(&keys))
    }

    /// Returns the record of a deletion. A key without the scope may read what it has requested,
    /// and learns nothing of anything else.
    async fn readable(
        &self,
        event: &ApiGatewayV2httpRequest,
        id: &str,
        route: LimitedRoute,
        budget: Budget,
        log: &mut RequestLog,
    ) -> Result<Record, Error> {
        let principal = self.admit(event, route, budget, log).await?;
        let may_read = principal.require(SCOPE_READ);
        let Some(deletion_id) = deletion_id(id) else {
            may_read?;
            return Err(request::invalid("The deletion id must be a UUID").into());
        };
        if let Err(refusal) = query::no_parameters(event) {
            may_read?;
            return Err(refusal.into());
        }
        let of = DeletionRef {
            account_id: principal.account_id,
            deletion_id,
        };
        match self.deletions.find(&of, budget.claim_until).await? {
            Some(record) if record.requested_by == principal.requester => Ok(record),
            record => {
                may_read?;
                Ok(record.ok_or(Refusal::DeletionNotFound)?)
            }
        }
    }

    /// `GET /v1/deletions`. A key without the scope sees what it has requested.
    pub(super) async fn list_deletions(
        &self,
        event: &ApiGatewayV2httpRequest,
        budget: Budget,
        log: &mut RequestLog,
    ) -> Result<Answer, Error> {
        let principal = self
            .admit(event, LimitedRoute::ListDeletions, budget, log)
            .await?;
        let (limit, after) = query::page(event)?;
        let may_read_all = principal.has(SCOPE_READ);
        let requester = (!may_read_all).then_some(principal.requester);
        let history = self
            .table
            .history(
                &principal.account_id,
                requester.as_ref(),
                after,
                limit,
                budget.work_until,
                budget.claim_until,
            )
            .await?;
        for unreadable in &history.unreadable {
            tracing::error!(deletion_id = unreadable.deletion_id, "{unreadable}");
        }
        log.outcome = Some("listed");
        let views: Vec<_> = history
            .records
            .iter()
            .map(|record| self.deletions.view(record))
            .collect();
        let unreadable = history.unreadable.iter();
        let unreadable: Vec<_> = unreadable.map(|one| one.deletion_id.as_str()).collect();
        let after = history.after.as_deref();
        Ok(Answer::deletions(&views, &unreadable, after))
    }
}

fn signing_until(budget: Budget) -> Instant {
    budget.claim_until.min(Instant::now() + SIGNING)
}

/// Returns the refusal of a request whose receipt was not signed, which is counted.
fn not_signed(error: &ReceiptError) -> Refusal {
    metrics::receipt_not_signed();
    Refusal::NotSigned(error.to_string())
}

/// Returns the address of the API, as the gateway names it; `prefix` is what stands before `/v1`.
fn address(event: &ApiGatewayV2httpRequest, prefix: &str) -> String {
    let domain = event.request_context.domain_name.as_deref();
    format!("https://{}{prefix}", domain.unwrap_or("localhost"))
}

//! The one line that the log has for each request, and what is known of the
//! request by the time it is answered.

use std::{collections::BTreeMap, time::Duration};

use tokio::task::JoinHandle;

use super::response::Answer;
use crate::{
    campaign::CampaignId,
    counts::Counts,
    deletion::{Error, SliceStats},
    metrics,
    rate_limit::Usage,
    record::Record,
};

/// What is known of a request when it is answered.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
    /// The request's id, under which its line is found.
    pub(super) request_id: String,
    /// The caller's use of its rate limit.
    pub(super) usage: Option<Usage>,
    /// The removal of expired rate counters, beside the request's own work.
    pub(super) counter_removal: Option<JoinHandle<()>>,
    pub(super) key_id: Option<String>,
    pub(super) campaign_id: Option<CampaignId>,
    pub(super) deletion_id: Option<String>,
    pub(super) counts: Option<Counts>,
    pub(super) outcome: Option<&'static str>,
    pub(super) stats: SliceStats,
    pub(super) replayed: bool,
    /// Of a request for several campaigns: how many of them had which outcome.
    pub(super) verdicts: Option<Verdicts>,
}

/// How many campaigns of one request had which outcome, and why some failed.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    counts: BTreeMap<&'static str, u64>,
    causes: Vec<String>,
}

/// The most causes of failures that one line has.
const MOST_CAUSES: usize = 5;

impl Verdicts {
    /// Counts the outcome of a campaign, and keeps the cause of a failure.
    pub(super) fn add(&mut self, outcome: &'static str, cause: Option<String>) {
        *self.counts.entry(outcome).or_default() += 1;
        if let Some(cause) = cause
            && self.causes.len() < MOST_CAUSES
            && !self.causes.contains(&cause)
        {
            self.causes.push(cause);
        }
    }
}

impl RequestLog {
    /// Returns what is known of a request before it is looked at.
    pub(super) fn of(request_id: &str) -> Self {
        Self {
            request_id: request_id.to_owned(),
            ..Self::default()
        }
    }

    /// Notes the outcome and the deletion that it is about.
    pub(super) fn record(&mut self, outcome: &'static str, record: &Record) {
        self.outcome = Some(outcome);
        self.campaign_id = Some(record.campaign_id.clone());
        self.deletion_id = Some(record.deletion_id.clone());
        self.counts = Some(record.progress.counted.clone());
    }

    /// Returns the outcome of the request: an error's code, or what was done.
    pub(super) fn outcome(&self, error: Option<&Error>) -> Option<&'static str> {
        error.map(|error| error.public().code).or(self.outcome)
    }

    /// Counts the request by its outcome; one for several campaigns as a request for each.
    pub(super) fn count(&self, error: Option<&Error>) {
        match &self.verdicts {
            Some(verdicts) => {
                for (outcome, count) in &verdicts.counts {
                    metrics::answered(outcome, *count);
                }
            }
            None => metrics::answered(self.outcome(error).unwrap_or("unknown"), 1),
        }
    }

    /// Writes the line. The cause of an internal error is written here and nowhere
    /// else.
    pub(super) fn write(&self, answer: &Answer, error: Option<&Error>, elapsed: Duration) {
        let status = answer.status.as_u16();
        let outcome = self.outcome(error);
        let request_id = self.request_id.as_str();
        let counts = self.counts.as_ref();
        let verdicts = self.verdicts.as_ref();
        let failures = verdicts.map(|verdicts| verdicts.causes.join("; "));
        let failures = failures.filter(|failures| !failures.is_empty());
        let is_failure = answer.status.is_server_error() || failures.is_some();
        let cause = error.map(ToString::to_string).or(failures);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    request_id,
                    key_id = self.key_id.as_deref(),
                    campaign_id = self.campaign_id.as_ref().map(CampaignId::as_str),
                    deletion_id = self.deletion_id.as_deref(),
                    status,
                    outcome,
                    replayed = self.replayed.then_some(true),
                    verdicts = verdicts.and_then(|of| serde_json::to_string(&of.counts).ok()),
                    items = counts.map(Counts::total),
                    deleted = self.stats.moved.then_some(self.stats.deleted),
                    unprocessed = self.stats.moved.then_some(self.stats.unprocessed),
                    consumed_write_units = self.stats.moved.then_some(self.stats.consumed),
                    counts = counts.and_then(|counts| serde_json::to_string(counts).ok()),
                    elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
                    cause,
                    "request {request_id} answered {status}",
                )
            };
        }
        if is_failure {
            line!(error);
        } else {
            line!(info);
        }
    }
}

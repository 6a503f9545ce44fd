//! The one line that the log has for each request, and what is known of the
//! request by the time it is answered.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::response::Answer;
use crate::{
    campaign::CampaignId,
    counts::Counts,
    deletion::{Error, SliceStats},
    rate_limit::Usage,
    record::Record,
};

/// What is known of a request when it is answered.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
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
}

impl RequestLog {
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

    /// Writes the line. The cause of an internal error is written here and nowhere
    /// else.
    pub(super) fn write(
        &self,
        request_id: &str,
        answer: &Answer,
        error: Option<&Error>,
        elapsed: Duration,
    ) {
        let status = answer.status.as_u16();
        let outcome = self.outcome(error);
        let cause = error.map(ToString::to_string);
        let counts = self.counts.as_ref();
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
        if answer.status.is_server_error() {
            line!(error);
        } else {
            line!(info);
        }
    }
}

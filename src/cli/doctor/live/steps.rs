//! The steps of a run, in the order in which an operator would go. Each needs those before
//! it, so the first failure skips the rest.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    super::{
        super::{
            connect::patience,
            web::{Answer, Ask},
        },
        check::Check,
    },
    ACTIVE, ASYNCHRONOUS, CHILDREN, FEW, Live, MAIN, NEIGHBOURS, campaign,
};
use crate::{campaign::CampaignId, table::item::Item};

/// How often the progress of a deletion is asked for.
const POLL: Duration = Duration::from_secs(1);
/// How long a deletion may take whose progress is not seen: a state machine starts a
/// function in seconds.
const PATIENCE: Duration = Duration::from_secs(30);

const READ_LOGS: &str = "Read the logs of the functions: their roles may lack GetItem, Query, \
                         PutItem, UpdateItem, DeleteItem or BatchWriteItem on the table.";

const NAMES: [&str; 9] = [
    "dry-run",
    "if-match",
    "active-campaign",
    "delete",
    "neighbours",
    "replay",
    "progress",
    "asynchronous-delete",
    "receipt",
];

/// A step's check, or the one that fails it.
type Step<T> = Result<T, Box<Check>>;

/// The steps of one run.
pub(super) struct Steps<'a>(&'a Live<'a>);

/// What a deletion has been told about itself.
struct Deleted {
    etag: String,
    deletion_id: String,
}

impl<'a> Steps<'a> {
    pub(super) fn new(live: &'a Live<'a>) -> Self {
        Self(live)
    }

    /// The steps of a run that could not make its campaigns.
    pub(super) fn skipped() -> Vec<Check> {
        not_reached(0)
    }

    /// Goes through the steps until one fails.
    pub(super) async fn run(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        if let Err(failed) = self.all(&mut checks).await {
            checks.push(*failed);
        }
        let rest = not_reached(checks.len());
        checks.extend(rest);
        checks
    }

    async fn all(&self, checks: &mut Vec<Check>) -> Step<()> {
        let before = self.neighbours("neighbours").await?;
        let etag = self.dry_run(checks).await?;
        self.if_match(checks).await?;
        self.active(checks).await?;
        let deleted = self.delete(etag, checks).await?;
        self.unchanged(&before, checks).await?;
        self.replay(&deleted, checks).await?;
        self.progress(&deleted, checks).await?;
        self.asynchronous(checks).await?;
        self.receipt(&deleted, checks).await
    }

    fn id(&self, name: &'static str, ending: &str) -> Step<CampaignId> {
        let id = campaign(self.0.trial.id, ending);
        id.map_err(|error| Box::new(Check::failed(name, error.to_string(), READ_LOGS)))
    }

    async fn ask(
        &self,
        name: &'static str,
        method: &'static str,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Step<Answer> {
        let ask = Ask {
            method,
            path,
            key: Some(self.0.key.reveal()),
            headers,
        };
        let answer = self.0.web.ask_patiently(ask).await;
        answer.map_err(|why| Box::new(Check::failed(name, why, READ_LOGS)))
    }

    async fn delete_campaign(
        &self,
        name: &'static str,
        ending: &str,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Step<Answer> {
        let path = format!("/v1/campaigns/{}{query}", self.id(name, ending)?);
        self.ask(name, "DELETE", &path, headers).await
    }

    async fn dry_run(&self, checks: &mut Vec<Check>) -> Step<String> {
        const NAME: &str = "dry-run";
        let answer = self
            .delete_campaign(NAME, MAIN, "?validateOnly=true", &[])
            .await?;
        let total = total(&answer.body["deletionSummary"]);
        if answer.status != 200 || total != CHILDREN.total() {
            let expected = CHILDREN.total();
            let seen = format!("{}, {total} of {expected} children", answer.text());
            return Err(Box::new(Check::failed(NAME, seen, READ_LOGS)));
        }
        let Some(etag) = answer.header("etag") else {
            let remedy = "Let the gateway pass the header on: without it, If-Match is of no use.";
            return Err(Box::new(Check::failed(
                NAME,
                "the answer has no ETag",
                remedy,
            )));
        };
        checks.push(Check::ok(NAME, format!("{total} children, with an ETag")));
        Ok(etag.to_owned())
    }

    async fn if_match(&self, checks: &mut Vec<Check>) -> Step<()> {
        const NAME: &str = "if-match";
        let headers = [("if-match", "\"not-this-one\"")];
        let answer = self.delete_campaign(NAME, MAIN, "", &headers).await?;
        expect(NAME, &answer, 412, "precondition_failed", checks)
    }

    async fn active(&self, checks: &mut Vec<Check>) -> Step<()> {
        const NAME: &str = "active-campaign";
        let answer = self.delete_campaign(NAME, ACTIVE, "", &[]).await?;
        expect(NAME, &answer, 409, "campaign_active", checks)
    }

    async fn delete(&self, etag: String, checks: &mut Vec<Check>) -> Step<Deleted> {
        const NAME: &str = "delete";
        let begun = Instant::now();
        let headers = self.of_deletion(&etag);
        let answer = self.delete_campaign(NAME, MAIN, "", &headers).await?;
        let summary = &answer.body["deletionSummary"];
        let deletion_id = summary["deletionId"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let deleted = match answer.status {
            200 => total(summary),
            202 => total(&self.finished(NAME, &deletion_id).await?),
            _ => return Err(Box::new(Check::failed(NAME, answer.text(), READ_LOGS))),
        };
        if deleted != CHILDREN.total() {
            let seen = format!("{deleted} of {} children were counted", CHILDREN.total());
            return Err(Box::new(Check::failed(NAME, seen, READ_LOGS)));
        }
        let left = self.left(NAME, MAIN).await?;
        if !left.is_empty() {
            let seen = format!("{} items are left of the campaign", left.len());
            return Err(Box::new(Check::failed(NAME, seen, READ_LOGS)));
        }
        let seconds = begun.elapsed().as_secs_f64();
        checks.push(Check::ok(
            NAME,
            format!("{deleted} children in {seconds:.1} s"),
        ));
        Ok(Deleted { etag, deletion_id })
    }

    /// Returns the headers of the deletion, which its replay has, too.
    fn of_deletion<'b>(&'b self, etag: &'b str) -> [(&'static str, &'b str); 2] {
        let once = self.0.trial.key_hash.as_str();
        [("if-match", etag), ("idempotency-key", once)]
    }

    async fn left(&self, name: &'static str, ending: &str) -> Step<Vec<Item>> {
        let id = self.id(name, ending)?;
        let left = self.0.table.whole_campaign(&id, patience()).await;
        left.map_err(|error| Box::new(Check::failed(name, error.to_string(), READ_LOGS)))
    }

    async fn neighbours(&self, name: &'static str) -> Step<Vec<Vec<Item>>> {
        let mut all = Vec::new();
        for ending in NEIGHBOURS {
            all.push(self.left(name, ending).await?);
        }
        Ok(all)
    }

    async fn unchanged(&self, before: &[Vec<Item>], checks: &mut Vec<Check>) -> Step<()> {
        const NAME: &str = "neighbours";
        let now = self.neighbours(NAME).await?;
        if now != before {
            let remedy = "Stop all deletions (docs/operating.md), and report this.";
            let seen = "a campaign whose id begins alike was changed";
            return Err(Box::new(Check::failed(NAME, seen, remedy)));
        }
        let seen = format!(
            "{} campaigns whose ids begin alike are unchanged",
            now.len()
        );
        checks.push(Check::ok(NAME, seen));
        Ok(())
    }

    async fn replay(&self, deleted: &Deleted, checks: &mut Vec<Check>) -> Step<()> {
        const NAME: &str = "replay";
        let headers = self.of_deletion(&deleted.etag);
        let answer = self.delete_campaign(NAME, MAIN, "", &headers).await?;
        let is_same = answer.body["deletionSummary"]["deletionId"] == deleted.deletion_id;
        if answer.status == 200 && is_same && answer.header("idempotent-replayed") == Some("true") {
            let seen = "the same Idempotency-Key gets the same deletion";
            checks.push(Check::ok(NAME, seen));
            return Ok(());
        }
        Err(Box::new(Check::failed(
            NAME,
            format!("the same Idempotency-Key again: {}", answer.text()),
            "Let the gateway pass the headers Idempotency-Key and Idempotent-Replayed on.",
        )))
    }

    /// Asks for the receipt of a deletion, where the API gives any.
    async fn receipt(&self, deleted: &Deleted, checks: &mut Vec<Check>) -> Step<()> {
        const NAME: &str = "receipt";
        let id = &deleted.deletion_id;
        let path = format!("/v1/deletions/{id}/receipt");
        let answer = self.ask(NAME, "GET", &path, &[]).await?;
        checks.push(if answer.is(404, "not_found") {
            Check::without_receipts(NAME)
        } else if answer.status == 200 && answer.body["claims"]["jti"] == id.as_str() {
            Check::ok(NAME, "signed")
        } else {
            Check::failed(NAME, answer.text(), READ_LOGS)
        });
        Ok(())
    }

    async fn progress(&self, deleted: &Deleted, checks: &mut Vec<Check>) -> Step<()> {
        const NAME: &str = "progress";
        let seen = self.finished(NAME, &deleted.deletion_id).await?;
        let listed = self
            .ask(NAME, "GET", "/v1/deletions?limit=100", &[])
            .await?;
        let ids = listed.body["deletions"].as_array();
        let mut ids = ids.into_iter().flatten().map(|one| &one["deletionId"]);
        if !ids.any(|id| *id == deleted.deletion_id) {
            let seen = format!("GET /v1/deletions: {}, without the deletion", listed.text());
            return Err(Box::new(Check::failed(NAME, seen, READ_LOGS)));
        }
        let total = total(&seen);
        checks.push(Check::ok(
            NAME,
            format!("succeeded, {total} items, and listed"),
        ));
        Ok(())
    }

    async fn asynchronous(&self, checks: &mut Vec<Check>) -> Step<()> {
        const NAME: &str = "asynchronous-delete";
        let headers = [("prefer", "respond-async")];
        let begun = Instant::now();
        let answer = self
            .delete_campaign(NAME, ASYNCHRONOUS, "", &headers)
            .await?;
        let id = answer.body["deletionSummary"]["deletionId"].as_str();
        let (202, Some(id)) = (answer.status, id) else {
            return Err(Box::new(Check::failed(NAME, answer.text(), READ_LOGS)));
        };
        if answer.header("location").is_none() {
            let remedy = "Let the gateway pass the header on: it is where callers look next.";
            return Err(Box::new(Check::failed(
                NAME,
                "the 202 has no Location",
                remedy,
            )));
        }
        let deleted = total(&self.finished(NAME, id).await?);
        let seconds = begun.elapsed().as_secs_f64();
        let seen = format!("{deleted} children in {seconds:.1} s, in the background");
        checks.push(if deleted == FEW.total() {
            Check::ok(NAME, seen)
        } else {
            Check::failed(
                NAME,
                format!("{seen}; expected: {}", FEW.total()),
                READ_LOGS,
            )
        });
        Ok(())
    }

    /// Waits until a deletion has succeeded, and returns what the API says about it.
    async fn finished(&self, name: &'static str, id: &str) -> Step<Value> {
        let path = format!("/v1/deletions/{id}");
        let mut until = Instant::now() + PATIENCE;
        let mut processed = json!(0);
        loop {
            let answer = self.ask(name, "GET", &path, &[]).await?;
            if answer.status != 200 {
                let seen = format!("GET {path}: {}", answer.text());
                return Err(Box::new(Check::failed(name, seen, READ_LOGS)));
            }
            if answer.body["status"] == "succeeded" {
                return Ok(answer.body);
            }
            if answer.body["processed"] != processed {
                processed = answer.body["processed"].clone();
                until = Instant::now() + PATIENCE;
            }
            if Instant::now() > until {
                return Err(Box::new(not_continued(name, &processed)));
            }
            sleep(POLL).await;
        }
    }
}

/// The steps after the first `reached`.
fn not_reached(reached: usize) -> Vec<Check> {
    let rest = NAMES.iter().skip(reached);
    let remedy = "Mend what the failed step says first.";
    rest.map(|name| Check::skipped(name, "an earlier step failed", remedy))
        .collect()
}

fn not_continued(name: &'static str, processed: &Value) -> Check {
    Check::failed(
        name,
        format!(
            "nobody continues the deletion: {processed} items in {} s",
            PATIENCE.as_secs()
        ),
        "The function `api` has no STATE_MACHINE_ARN, or may not start it \
         (states:StartExecution; its log says `could not hand off`), or the state machine may \
         not call `drain`. Look at the function's setting, and at the executions:\n\
         aws lambda get-function-configuration --function-name API \
         --query Environment.Variables.STATE_MACHINE_ARN\n\
         aws stepfunctions list-executions --state-machine-arn ARN --status-filter FAILED",
    )
}

/// Pushes a check of a refusal that is as it should be.
fn expect(
    name: &'static str,
    answer: &Answer,
    status: u16,
    error: &str,
    checks: &mut Vec<Check>,
) -> Step<()> {
    if answer.is(status, error) {
        checks.push(Check::ok(name, format!("refused: {}", answer.text())));
        return Ok(());
    }
    let seen = format!("{}; expected: {status} {error}", answer.text());
    Err(Box::new(Check::failed(name, seen, READ_LOGS)))
}

/// Returns the sum of the counts of an answer.
fn total(of: &Value) -> u64 {
    let counts = of["deletedItems"].as_object();
    let counts = counts.into_iter().flat_map(|counts| counts.values());
    counts.filter_map(Value::as_u64).sum()
}

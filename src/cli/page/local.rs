//! `/local/`: what the page needs and the public API lacks. Reads only.

use http_body_util::Full;
use hyper::{
    Response,
    body::Bytes,
    header::{AUTHORIZATION, HeaderValue},
    http::request::Parts,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Entrance, Inner, json_answer};
use crate::{
    auth::{ApiKey, Principal, SCOPE_READ},
    campaign::CampaignId,
    cli::{
        connect::{Connect, patience},
        list, print,
    },
    clock::{now_ms, now_seconds},
    config::{ArchiveMode, DEFAULT_INLINE_BUDGET_SECONDS, DeletionSettings},
    deletion::Error,
    record::{DeletionRef, Record, RecordState, deletion_id},
    refusal::Refusal,
};

/// The most campaigns that are listed: with them, the page has a few megabytes to hold.
const MOST_CAMPAIGNS: usize = 20_000;

/// What the page is told of the server: `GET /local/session`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// `serve` or `console`.
    pub mode: &'static str,
    /// The version of this program.
    pub version: &'static str,
    /// How a shell finds this program: its name, or its path if it was started by one.
    pub program: String,
    /// The table.
    pub table: String,
    /// The endpoint of DynamoDB; `None` for that of the operator's own configuration.
    pub endpoint: Option<String>,
    /// The account for which requests are made; `None` if each one names it.
    pub account: Option<String>,
    /// Whether each request names its account.
    pub chooses_account: bool,
    /// How long a request may take, seconds.
    pub inline_budget_seconds: u64,
    /// How long a worker may be silent, seconds.
    pub lease_seconds: u64,
    /// How many requests a key may make to each route in a minute; 0 for any number.
    pub rate_limit_per_minute: u32,
    /// Whether deletions archive; `None` if there is no archive.
    pub archive: Option<ArchiveSession>,
    /// Whether finished deletions have receipts.
    pub receipts: bool,
    /// The words of the command that restores an archive, with `{deletionId}` and `{accountId}`
    /// where these belong.
    pub restore: Option<Vec<String>>,
}

impl Session {
    /// Returns what is told of a server over a table, for the account that each request names,
    /// without receipts. `s3` is the endpoint of S3, if one is given.
    #[must_use]
    pub(in crate::cli) fn over(
        connect: &Connect,
        settings: &DeletionSettings,
        s3: Option<&str>,
    ) -> Self {
        let endpoint = connect.url();
        let archive = settings.archive.as_ref();
        let program = print::program();
        let mut restore = vec![
            program.clone(),
            "restore".to_owned(),
            "{deletionId}".to_owned(),
            "--account={accountId}".to_owned(),
        ];
        restore.extend(connect.options());
        restore.extend(s3.map(|url| format!("--s3-endpoint-url={url}")));
        Self {
            mode: "console",
            version: env!("CARGO_PKG_VERSION"),
            table: connect.table_name.clone(),
            account: None,
            chooses_account: true,
            inline_budget_seconds: DEFAULT_INLINE_BUDGET_SECONDS,
            lease_seconds: settings.lease.as_secs(),
            rate_limit_per_minute: 0,
            archive: archive.map(|archive| ArchiveSession {
                mode: match archive.mode {
                    ArchiveMode::Default => "default",
                    ArchiveMode::Request => "request",
                },
            }),
            receipts: false,
            restore: archive.map(|_| restore),
            endpoint,
            program,
        }
    }
}

/// Which deletions archive.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ArchiveSession {
    /// `default` or `request`.
    pub mode: &'static str,
}

impl Inner {
    pub(super) async fn answer(
        &self,
        path: &str,
        head: &Parts,
    ) -> Result<Response<Full<Bytes>>, Error> {
        if let Some(id) = path.strip_prefix("deletions/") {
            let account_id = self.caller(head).await?.account_id;
            return Ok(json_answer(&self.deletion(account_id, id).await?));
        }
        if let Some(id) = path.strip_prefix("campaigns/") {
            self.check(head).await?;
            return Ok(json_answer(&self.campaign(id).await?));
        }
        match path {
            "session" => {
                self.check(head).await?;
                Ok(json_answer(&self.session))
            }
            "campaigns" => {
                self.check(head).await?;
                let query = head.uri.query().unwrap_or_default();
                Ok(json_answer(&self.campaigns(query).await?))
            }
            _ => Err(Refusal::UnknownPath.into()),
        }
    }

    /// Checks the key or token of a request.
    async fn check(&self, head: &Parts) -> Result<(), Error> {
        match &self.entrance {
            Entrance::Keys => self.caller(head).await.map(drop),
            Entrance::Operator(operator) => Ok(operator.check(&head.headers)?),
        }
    }

    /// Returns who sends a request, for which account.
    async fn caller(&self, head: &Parts) -> Result<Principal, Error> {
        let principal = match &self.entrance {
            Entrance::Operator(operator) => operator.admit(&head.headers)?,
            Entrance::Keys => {
                let given = head.headers.get(AUTHORIZATION);
                let key = ApiKey::from_header(given.map(HeaderValue::as_bytes))?;
                let stored = self.table.stored_key(&key.hash(), patience()).await?;
                stored.ok_or(Refusal::InvalidApiKey)?.admit(now_seconds())?
            }
        };
        principal.require(SCOPE_READ)?;
        Ok(principal)
    }

    /// Returns the account of a console that was opened for it alone. The local server shows every
    /// account, and what it says when one deletes another's campaign.
    fn only_account(&self) -> Option<&str> {
        match self.entrance {
            Entrance::Keys => None,
            Entrance::Operator(_) => self.session.account.as_deref(),
        }
    }

    /// `GET /local/campaigns`: the campaigns of every account, with one status if the query names
    /// it, in no particular order.
    async fn campaigns(&self, query: &str) -> Result<Value, Error> {
        let status = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "status");
        let statuses = match status {
            Some((_, status)) => vec![status.into_owned()],
            None => list::known_statuses(),
        };
        let only = self.only_account();
        let listed = list::find(&self.table, &statuses, only, MOST_CAMPAIGNS).await?;
        let campaigns = listed.campaigns.iter();
        let campaigns: Vec<_> = campaigns
            .map(|listed| list::as_json(&listed.campaign, listed.completed_at.as_deref()))
            .collect();
        let unreadable: Vec<_> = listed.unreadable.iter().map(ToString::to_string).collect();
        Ok(json!({
            "campaigns": campaigns,
            "complete": listed.complete,
            "unreadable": unreadable,
        }))
    }

    /// `GET /local/campaigns/{id}`: one campaign, strongly consistent.
    async fn campaign(&self, id: &str) -> Result<Value, Error> {
        let id = CampaignId::parse(id).map_err(|_| Refusal::CampaignNotFound)?;
        let campaign = self.table.campaign(&id, patience()).await?;
        let only = self.only_account();
        let campaign = campaign.filter(|it| only.is_none_or(|only| it.account_id == only));
        let campaign = campaign.ok_or(Refusal::CampaignNotFound)?;
        let mut said = list::as_json(&campaign, None);
        // Only the index has it.
        if let Some(members) = said.as_object_mut() {
            members.remove("completedAt");
        }
        Ok(said)
    }

    /// `GET /local/deletions/{id}`: what the public API does not say of a deletion.
    async fn deletion(&self, account_id: String, id: &str) -> Result<Value, Error> {
        let deletion_id = deletion_id(id).ok_or(Refusal::DeletionNotFound)?;
        let of = DeletionRef {
            account_id,
            deletion_id,
        };
        let record = self.deletions.find(&of, patience()).await?;
        let record = record.ok_or(Refusal::DeletionNotFound)?;
        let here = self.tally.of(&of.deletion_id).map(|here| {
            json!({
                "slices": here.slices,
                "deleted": here.deleted,
                "unprocessed": here.unprocessed,
                "consumedWriteUnits": here.consumed,
            })
        });
        let now_ms = now_ms();
        Ok(json!({
            "deletionId": record.deletion_id,
            "state": record.state.as_str(),
            "worker": self.worker(&record, now_ms),
            "leaseLeftSeconds": lease_left_seconds(&record, now_ms),
            "pass": record.progress.pass,
            "ranges": record.progress.ranges.len(),
            "version": record.version,
            "previousStatus": record.previous_status,
            "here": here,
        }))
    }

    /// Returns whether a worker holds the lease: `active`, `none`, or `stalled` if none has for
    /// so long that the clean-up would resume the deletion.
    fn worker(&self, record: &Record, now_ms: i64) -> &'static str {
        if self.deletions.is_stalled(record) {
            "stalled"
        } else if lease_left_seconds(record, now_ms) > 0 {
            "active"
        } else {
            "none"
        }
    }
}

/// Returns the seconds until the lease ends, rounded up; 0 if no worker holds one.
fn lease_left_seconds(record: &Record, now_ms: i64) -> u64 {
    if record.state != RecordState::Running || record.lease_ended(now_ms) {
        return 0;
    }
    let left_ms = record.lease_until_ms.saturating_sub(now_ms);
    u64::try_from(left_ms).unwrap_or(0).div_ceil(1_000)
}

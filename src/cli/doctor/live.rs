//! A whole run through the API, on campaigns of an account of its own: `doctor-<uuid>`. A
//! journal is put before them, and deleted after them, so that whatever a killed run has
//! left is taken away by the next one (`table/trials.rs`).

mod leftovers;
mod steps;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::{
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
    time::sleep,
};
use uuid::Uuid;

use self::steps::Steps;
use super::{
    super::{
        CliError,
        connect::patience,
        key,
        seed::{Children, Plan},
        web::Web,
    },
    check::Check,
};
use crate::{
    auth::{ApiKey, SCOPES, StoredKey},
    campaign::{CampaignId, Status},
    clock::now_seconds,
    table::{Table, TableError, Trial},
};

/// How often a run says that it is alive.
const BEAT: Duration = Duration::from_secs(1);
/// How long its key is valid at most, seconds, should nobody take it away.
const KEY_LIFETIME: i64 = 3_600;

/// What the campaigns' ids have after `doctor-<uuid>`: one with 60 children, one for the
/// asynchronous deletion, and neighbours whose ids begin alike.
const MAIN: &str = "";
const ASYNCHRONOUS: &str = "_a";
const NEIGHBOURS: [&str; 3] = ["-", "0", ".x"];
/// The neighbour that is active.
const ACTIVE: &str = "-";

/// The children of the campaign that is deleted.
const CHILDREN: Children = Children {
    prospects: 12,
    chats: 10,
    messages: 20,
    tasks: 8,
    webhook_events: 4,
    analytics: 3,
    activities: 1,
    webhook_deliveries: 1,
    others: 1,
};
/// The children of each other one.
const FEW: Children = Children {
    prospects: 2,
    chats: 1,
    messages: 2,
    tasks: 0,
    webhook_events: 0,
    analytics: 0,
    activities: 0,
    webhook_deliveries: 0,
    others: 0,
};

/// A run, from its journal until it has taken everything away.
pub(super) struct Live<'a> {
    web: &'a Web,
    table: &'a Table,
    trial: Trial,
    key: ApiKey,
    stored: StoredKey,
    /// Whether there may be something to take away.
    has_begun: AtomicBool,
    /// Whether everything has been made.
    is_ready: AtomicBool,
}

impl<'a> Live<'a> {
    /// Returns a run that has made nothing yet.
    pub(super) fn new(table: &'a Table, web: &'a Web) -> Result<Self, CliError> {
        let id = Uuid::new_v4();
        let scopes = SCOPES.map(ToOwned::to_owned).to_vec();
        let expires = now_seconds().saturating_add(KEY_LIFETIME);
        let (key, stored) = key::generate(&format!("doctor-{id}"), scopes, Some(expires))?;
        Ok(Self {
            web,
            table,
            trial: Trial {
                id,
                key_hash: key.hash(),
                beats: 0,
            },
            key,
            stored,
            has_begun: AtomicBool::new(false),
            is_ready: AtomicBool::new(false),
        })
    }

    /// Takes away what dead runs have left, and makes the campaigns and the key.
    pub(super) async fn begin(&self) -> Vec<Check> {
        const NAME: &str = "live-campaigns";
        let leftovers = leftovers::check(self.table).await;
        let made = match self.make().await {
            Ok(()) => {
                self.is_ready.store(true, Ordering::Relaxed);
                Check::ok(
                    NAME,
                    format!("made, of account {}", self.trial.account_id()),
                )
            }
            Err(error) => Check::failed(
                NAME,
                error.to_string(),
                "Allow dynamodb:GetItem, Query, PutItem, UpdateItem, DeleteItem and \
                 BatchWriteItem on the table, as the functions' roles do.",
            ),
        };
        vec![leftovers, made]
    }

    /// Puts the journal, and then the rest.
    async fn make(&self) -> Result<(), CliError> {
        self.has_begun.store(true, Ordering::Relaxed);
        let begun = self.table.begin_trial(&self.trial, patience()).await;
        if matches!(begun, Err(TableError::Refused(_))) {
            self.has_begun.store(false, Ordering::Relaxed);
        }
        begun?;
        key::store(self.table, &self.key, &self.stored).await?;
        for ending in [MAIN, ASYNCHRONOUS].into_iter().chain(NEIGHBOURS) {
            let status = match ending {
                ACTIVE => Status::ACTIVE,
                _ => "paused",
            };
            let plan = Plan {
                id: campaign(self.trial.id, ending)?,
                name: "Made by campaigns doctor".to_owned(),
                account_id: self.trial.account_id(),
                status: status.to_owned(),
                deletion_protection: false,
                children: if ending == MAIN { CHILDREN } else { FEW },
            };
            plan.put(self.table, |_| ()).await?;
        }
        Ok(())
    }

    /// Returns the key that the run has issued.
    pub(super) fn key(&self) -> Option<&str> {
        let is_ready = self.is_ready.load(Ordering::Relaxed);
        is_ready.then(|| self.key.reveal())
    }

    /// Goes through the API.
    pub(super) async fn steps(&self) -> Vec<Check> {
        match self.key() {
            Some(_) => Steps::new(self).run().await,
            None => Steps::skipped(),
        }
    }

    /// Awaits `work`, or an interruption, and then takes everything away.
    pub(super) async fn whatever_happens(
        &self,
        work: impl Future<Output = Vec<Check>>,
    ) -> Result<Vec<Check>, CliError> {
        let heart = tokio::spawn(beat(self.table.clone(), self.trial.id));
        let mut checks = tokio::select! {
            checks = work => checks,
            interrupted = interrupted() => {
                interrupted?;
                // What is still on its way arrives first.
                sleep(BEAT).await;
                let remedy = "Run this again.";
                vec![Check::failed("interrupted", "stopped by a signal", remedy)]
            }
        };
        if self.has_begun.load(Ordering::Relaxed) {
            checks.push(self.end().await);
        }
        heart.abort();
        Ok(checks)
    }

    /// Takes everything away.
    async fn end(&self) -> Check {
        const NAME: &str = "removal";
        match leftovers::take_away(self.table, &self.trial).await {
            Ok(()) => Check::ok(NAME, "everything that was made is gone"),
            Err(error) => Check::failed(
                NAME,
                format!("{}: {error}", self.trial.account_id()),
                "Run this with --live again: it takes away what this run has left.",
            ),
        }
    }
}

/// The checks of a run without a table.
pub(super) fn skipped() -> Vec<Check> {
    Steps::skipped()
}

/// Waits for Ctrl-C, or for the signal that ends a process.
async fn interrupted() -> std::io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = ctrl_c() => interrupted,
        _ = terminated.recv() => Ok(()),
    }
}

/// Returns the id of a campaign of a run.
fn campaign(trial: Uuid, ending: &str) -> Result<CampaignId, CliError> {
    let id = CampaignId::parse(&format!("doctor-{trial}{ending}"));
    id.map_err(|error| CliError::Refused(error.to_string()))
}

/// Returns the ids of every campaign that a run makes.
fn campaigns(trial: Uuid) -> Result<Vec<CampaignId>, CliError> {
    let endings = [MAIN, ASYNCHRONOUS].into_iter().chain(NEIGHBOURS);
    endings.map(|ending| campaign(trial, ending)).collect()
}

/// Says that a run is alive, while its journal is there.
async fn beat(table: Table, id: Uuid) {
    loop {
        sleep(BEAT).await;
        if let Err(error) = table.beat(id, patience()).await {
            tracing::warn!("could not write that this run is alive: {error}");
        }
    }
}

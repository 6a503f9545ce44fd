//! `campaigns key`: API keys. A key is shown once, when it is issued, and
//! stored as its SHA-256 only.

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde::Serialize;
use uuid::Uuid;

use super::{
    CliError,
    connect::{Confirm, Connect, PATIENCE, patience},
    print::{self, Column, Table as TextTable, plain},
};
use crate::{
    auth::{ApiKey, KEY_LENGTH, SCOPES, StoredKey},
    clock::{now_rfc3339, now_seconds, rfc3339},
    table::{ListedKey, Table, item, keys},
};

/// `campaigns key`.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  campaigns key issue --account account_demo --scope campaigns:delete --expires-in-days 90
  campaigns key list --account account_demo
  campaigns key revoke key_0190a8c2b5c27e3f")]
pub(super) enum Key {
    /// Issue a key and show it once.
    Issue(Issue),
    /// List the keys of an account, without the keys themselves.
    List(List),
    /// Revoke a key.
    Revoke(Revoke),
}

/// `campaigns key issue`.
#[derive(Args, Debug)]
pub(super) struct Issue {
    /// The account that the key acts for.
    #[arg(long)]
    account: String,
    /// A scope of the key; repeat for several. By default, every scope.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = PossibleValuesParser::new(SCOPES))]
    scopes: Vec<String>,
    /// Days after which the key expires; by default, never.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    expires_in_days: Option<u32>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    confirm: Confirm,
}

/// `campaigns key list`.
#[derive(Args, Debug)]
pub(super) struct List {
    /// The account whose keys are listed.
    #[arg(long)]
    account: String,
    /// Print a JSON array instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// `campaigns key revoke`.
#[derive(Args, Debug)]
pub(super) struct Revoke {
    /// The key's id, as `key list` shows it.
    key_id: String,
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    confirm: Confirm,
}

impl Key {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Issue(issue) => issue.run().await,
            Self::List(list) => list.run().await,
            Self::Revoke(revoke) => revoke.run().await,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Issued<'a> {
    key_id: &'a str,
    key: &'a str,
    account_id: &'a str,
    scopes: &'a [String],
    expires_at: Option<String>,
}

impl Issue {
    async fn run(self) -> Result<(), CliError> {
        self.connect.confirm("issue an API key", self.confirm)?;
        let table = self.connect.table().await;
        let expires_at = self
            .expires_in_days
            .map(|days| now_seconds() + i64::from(days) * 24 * 60 * 60);
        let scopes = if self.scopes.is_empty() {
            SCOPES.map(ToOwned::to_owned).to_vec()
        } else {
            self.scopes
        };
        let (key, stored) = issue(&table, &self.account, scopes, expires_at).await?;
        let issued = Issued {
            key_id: &stored.key_id,
            key: key.reveal(),
            account_id: &stored.account_id,
            scopes: &stored.scopes,
            expires_at: expires_at.map(rfc3339),
        };
        let shown = if self.json {
            print::json(&issued)
        } else {
            print::line(issued.key)
        };
        if let Err(error) = shown {
            // A key whose text was never shown must not stay valid.
            table
                .revoke_key(keys::api_key(&key.hash()), patience())
                .await?;
            return Err(error);
        }
        if self.json {
            return Ok(());
        }
        eprintln!(
            "key {} of account {} ({}){}; it is not shown again, and stored as a hash",
            issued.key_id,
            issued.account_id,
            issued.scopes.join(", "),
            issued
                .expires_at
                .map_or_else(String::new, |at| format!(", expires {at}")),
        );
        Ok(())
    }
}

/// Issues a key: generates it from the operating system's randomness (6 bits for
/// each character), and stores its hash.
///
/// # Errors
/// [`CliError`].
pub(super) async fn issue(
    table: &Table,
    account_id: &str,
    mut scopes: Vec<String>,
    expires_at: Option<i64>,
) -> Result<(ApiKey, StoredKey), CliError> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    let mut bytes = [0_u8; KEY_LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| {
        CliError::Refused(format!(
            "the operating system gave no random bytes: {error}"
        ))
    })?;
    let text: String = bytes
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte & 63)))
        .map(|byte| char::from(*byte))
        .collect();
    let key = ApiKey::new(&text)
        .ok_or_else(|| CliError::Refused("the generated key is malformed".to_owned()))?;
    scopes.sort();
    scopes.dedup();
    let stored = StoredKey {
        key_id: format!("key_{}", Uuid::now_v7().simple()),
        account_id: account_id.to_owned(),
        scopes,
        state: "active".to_owned(),
        subscription: "active".to_owned(),
        expires_at,
    };
    let item = item::new_key(&stored, &now_rfc3339());
    if !table
        .put_new(keys::api_key(&key.hash()), item, patience())
        .await?
    {
        return Err(CliError::Refused(
            "the generated key exists already".to_owned(),
        ));
    }
    Ok((key, stored))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    key_id: &'a str,
    state: &'a str,
    subscription: &'a str,
    scopes: &'a [String],
    expires_at: Option<String>,
}

impl List {
    async fn run(self) -> Result<(), CliError> {
        let table = self.connect.table().await;
        let found = table.scan_keys(PATIENCE).await?;
        let mut listed: Vec<Listed<'_>> = found
            .iter()
            .map(|ListedKey { stored, .. }| stored)
            .filter(|stored| stored.account_id == self.account)
            .map(|stored| Listed {
                key_id: &stored.key_id,
                state: &stored.state,
                subscription: &stored.subscription,
                scopes: &stored.scopes,
                expires_at: stored.expires_at.map(rfc3339),
            })
            .collect();
        listed.sort_by_key(|key| key.key_id);
        if self.json {
            return print::json(&listed);
        }
        let mut text = TextTable::new(&[
            Column::Kept("KEY ID"),
            Column::Kept("STATE"),
            Column::GivesWay("SUBSCRIPTION", 3),
            Column::GivesWay("SCOPES", 2),
            Column::Drops("EXPIRES", 1),
        ]);
        for key in &listed {
            text.row([
                key.key_id,
                key.state,
                key.subscription,
                &key.scopes.join(", "),
                key.expires_at.as_deref().unwrap_or("never"),
            ]);
        }
        text.print()
    }
}

impl Revoke {
    async fn run(self) -> Result<(), CliError> {
        let what = format!("revoke key {}", self.key_id);
        self.connect.confirm(&what, self.confirm)?;
        let table = self.connect.table().await;
        let found = table.scan_keys(PATIENCE).await?;
        let key = found
            .into_iter()
            .find(|listed| listed.stored.key_id == self.key_id);
        let gone = || CliError::Refused(format!("there is no key {}", self.key_id));
        let key = key.ok_or_else(gone)?.key;
        if !table.revoke_key(key, patience()).await? {
            return Err(gone());
        }
        print::line(&format!("key {} is revoked", plain(&self.key_id)))
    }
}

//! `campaigns key`: API keys. A key is shown once, when it is issued, and
//! stored as its SHA-256 only.

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde::Serialize;
use uuid::Uuid;

use super::{
    CliError,
    connect::{Confirm, Connect, PATIENCE, account_id, patience},
    options::number_in,
    print::{self, Column, Table as TextTable, plain},
};
use crate::{
    auth::{ApiKey, KEY_LENGTH, SCOPES, StoredKey},
    clock::{now_rfc3339, now_seconds, rfc3339},
    config::{self, DAYS_RANGE},
    table::{ListedKey, Table, item, keys},
};

/// `campaigns key`.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  campaigns key issue --account account_1 --scope campaigns:delete \\
    --expires-in-days 90
  campaigns key list --account account_1
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
    #[arg(long, value_parser = account_id)]
    account: String,
    /// A scope of the key; repeat for several. By default, every scope.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = PossibleValuesParser::new(SCOPES))]
    scopes: Vec<String>,
    /// Days after which the key expires; by default, never.
    #[arg(long, value_name = "N", value_parser = number_in(1..=*DAYS_RANGE.end()))]
    expires_in_days: Option<u64>,
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
    #[arg(long, value_parser = account_id)]
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
    /// The key's id, as `key list` shows it. Every item with this id is revoked.
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
        let table = self.connect.table().await?;
        let expires_at = self
            .expires_in_days
            .and_then(config::days)
            .map(|after| now_seconds().saturating_add_unsigned(after.as_secs()));
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
        print::remark(&format!(
            "key {} of account {} ({}){}; only its hash is stored, so it cannot be shown again",
            issued.key_id,
            issued.account_id,
            issued.scopes.join(", "),
            issued
                .expires_at
                .map_or_else(String::new, |at| format!(", expires {at}")),
        ));
        Ok(())
    }
}

/// Issues a key: generates it, and stores its hash.
///
/// # Errors
/// [`CliError`].
pub(super) async fn issue(
    table: &Table,
    account_id: &str,
    scopes: Vec<String>,
    expires_at: Option<i64>,
) -> Result<(ApiKey, StoredKey), CliError> {
    let (key, stored) = generate(account_id, scopes, expires_at)?;
    store(table, &key, &stored).await?;
    Ok((key, stored))
}

/// Generates a key from the operating system's randomness (6 bits for each character).
///
/// # Errors
/// [`CliError::Refused`] if there is none.
pub(super) fn generate(
    account_id: &str,
    mut scopes: Vec<String>,
    expires_at: Option<i64>,
) -> Result<(ApiKey, StoredKey), CliError> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    let mut bytes = [0_u8; KEY_LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| {
        CliError::Refused(format!(
            "the operating system provided no random bytes: {error}"
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
    Ok((key, stored))
}

/// Stores a generated key under its hash.
///
/// # Errors
/// [`CliError`].
pub(super) async fn store(table: &Table, key: &ApiKey, stored: &StoredKey) -> Result<(), CliError> {
    let item = item::new_key(stored, &now_rfc3339());
    if table
        .put_new(keys::api_key(&key.hash()), item, patience())
        .await?
    {
        return Ok(());
    }
    Err(CliError::Refused(
        "the generated key exists already".to_owned(),
    ))
}

/// A key as it is listed. What cannot be read is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    key_id: &'a str,
    state: Option<&'a str>,
    subscription: Option<&'a str>,
    scopes: Option<&'a [String]>,
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a str>,
}

impl<'a> Listed<'a> {
    fn of(listed: &'a ListedKey) -> Self {
        let stored = listed.stored.as_ref().ok();
        Self {
            key_id: public_name(listed),
            state: stored.map(|stored| stored.state.as_str()),
            subscription: stored.map(|stored| stored.subscription.as_str()),
            scopes: stored.map(|stored| stored.scopes.as_slice()),
            expires_at: stored.and_then(|stored| stored.expires_at).map(rfc3339),
            refused: listed.stored.as_ref().err().map(String::as_str),
        }
    }
}

/// Returns the name to show for a key: its id, or, if its item has none, the item's
/// partition key.
fn public_name(listed: &ListedKey) -> &str {
    listed.key_id.as_deref().unwrap_or(&listed.key.pk)
}

impl List {
    async fn run(self) -> Result<(), CliError> {
        let table = self.connect.table().await?;
        let found = table.scan_keys(PATIENCE).await?;
        // A key of an unknown account may be anybody's.
        let is_listed = |listed: &&ListedKey| {
            let account = listed.account_id.as_deref();
            account.is_none_or(|account| account == self.account)
        };
        let mut listed: Vec<_> = found.iter().filter(is_listed).map(Listed::of).collect();
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
                key.state.unwrap_or("unreadable"),
                key.subscription.unwrap_or_default(),
                &key.scopes.unwrap_or_default().join(", "),
                key.expires_at.as_deref().unwrap_or(match key.state {
                    Some(_) => "never",
                    None => "",
                }),
            ]);
        }
        text.print()?;
        for key in &listed {
            if let Some(why) = key.refused {
                print::remark(&format!("campaigns: key {} is refused: {why}", key.key_id));
            }
        }
        Ok(())
    }
}

impl Revoke {
    async fn run(self) -> Result<(), CliError> {
        let what = format!("revoke key {}", plain(&self.key_id));
        self.connect.confirm(&what, self.confirm)?;
        let table = self.connect.table().await?;
        let found = table.scan_keys(PATIENCE).await?;
        let is_it = |listed: &ListedKey| public_name(listed) == self.key_id;
        let mut revoked = 0;
        // Every item with this id: other programs may have written several.
        for listed in found.into_iter().filter(is_it) {
            revoked += u32::from(table.revoke_key(listed.key, patience()).await?);
        }
        match revoked {
            0 => Err(CliError::Refused(format!(
                "there is no key {}",
                self.key_id
            ))),
            1 => print::line(&format!("key {} is revoked", plain(&self.key_id))),
            items => print::line(&format!(
                "key {} is revoked, in all {items} items with this id",
                plain(&self.key_id)
            )),
        }
    }
}

//! `campaigns archive`: what deletions have archived.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    CliError,
    connect::{Connect, account_id, patience},
    options::ArchiveOptions,
    print::{self, Column, Table, kinds},
};
use crate::{
    archive::{ArchiveError, BadArchive, Contents, Folder, Manifest, write_line},
    record::{RecordState, account_folder, deletion_id, folder},
    table::item::Item,
};

/// `campaigns archive`.
#[derive(Debug, Subcommand)]
pub(super) enum Archive {
    /// List the archives of an account.
    List(List),
    /// Show what an archive has.
    Show(Show),
    /// Read a whole archive and check it.
    Verify(Verify),
}

/// `campaigns archive list`.
#[derive(Args, Debug)]
pub(super) struct List {
    /// The account.
    #[arg(long, value_parser = account_id)]
    account: String,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    archive: ArchiveOptions,
    #[command(flatten)]
    connect: Connect,
}

/// The options that say which archive.
#[derive(Args, Clone, Debug)]
pub(super) struct Find {
    /// The deletion's id.
    #[arg(value_name = "DELETION_ID", value_parser = parse_id)]
    pub(super) id: String,
    /// The account that owned the campaign.
    #[arg(long, value_parser = account_id)]
    pub(super) account: String,
    #[command(flatten)]
    pub(super) archive: ArchiveOptions,
    #[command(flatten)]
    pub(super) connect: Connect,
}

/// `campaigns archive show`.
#[derive(Args, Debug)]
pub(super) struct Show {
    #[command(flatten)]
    find: Find,
    /// Print every item in DynamoDB-JSON, a line each.
    #[arg(long, conflicts_with = "json")]
    items: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// `campaigns archive verify`.
#[derive(Args, Debug)]
pub(super) struct Verify {
    #[command(flatten)]
    find: Find,
}

fn parse_id(text: &str) -> Result<String, String> {
    deletion_id(text).ok_or_else(|| "must be the id of a deletion, a UUID".to_owned())
}

/// The archive of a finished deletion.
pub(super) struct Found {
    pub(super) folder: Folder,
    /// How many items the deletion has counted; `None` once its record has expired.
    counted: Option<u64>,
}

impl Found {
    /// Checks that an archive has every item that its deletion has counted.
    pub(super) fn check_complete(&self, contents: &Contents) -> Result<(), CliError> {
        let counted = self.counted.unwrap_or(contents.manifest.items);
        Ok(contents.check_has(counted)?)
    }
}

impl Find {
    /// Returns where the archive of a finished deletion is: where its record says, or, once
    /// that has expired, where the options say.
    pub(super) async fn archive(&self) -> Result<Found, CliError> {
        let table = self.connect.table().await?;
        let store = self.archive.bucket.store(&self.connect).await?;
        let record = table.record(&self.account, &self.id, patience()).await?;
        let (bucket, prefix) = match &record {
            Some(record) if record.state == RecordState::Running => {
                let id = &self.id;
                let why = format!("deletion {id} is still running: its archive is not whole yet");
                return Err(CliError::Refused(why));
            }
            Some(record) => {
                let Some(archive) = &record.archive else {
                    let why = format!("deletion {} was not archived", self.id);
                    return Err(CliError::Refused(why));
                };
                (archive.bucket.clone(), archive.prefix.clone())
            }
            None => match self.archive.bucket.name() {
                Some(bucket) => (bucket.to_owned(), self.archive.prefix().to_owned()),
                None => {
                    return Err(CliError::Refused(format!(
                        "account {} has no deletion {}; if its record has expired, name the \
                         bucket with --archive-bucket",
                        print::plain(&self.account),
                        self.id
                    )));
                }
            },
        };
        Ok(Found {
            folder: Folder {
                store,
                bucket,
                prefix: folder(&prefix, &self.account, &self.id),
            },
            counted: record.map(|record| record.progress.counted.total()),
        })
    }
}

/// An archive in a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    deletion_id: String,
    state: State,
    /// `None` if there is none, or not yet the final one.
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Manifest>,
}

/// What an archive in a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum State {
    /// It has everything that its deletion has deleted.
    Whole,
    /// Its deletion is running.
    Running,
    /// It has no manifest although its deletion is finished.
    NotWhole,
    /// Its deletion was never claimed, by a race: it has the campaign item alone. Or it is
    /// not whole, and the record has expired.
    NoDeletion,
}

impl State {
    /// Returns the state, given the record's. A manifest is put just before the deletion
    /// finishes, so with a running deletion it is not the last word.
    fn of(record: Option<RecordState>, has_manifest: bool) -> Self {
        match (record, has_manifest) {
            (Some(RecordState::Running), _) => Self::Running,
            (_, true) => Self::Whole,
            (Some(_), false) => Self::NotWhole,
            (None, false) => Self::NoDeletion,
        }
    }

    fn as_text(self) -> &'static str {
        match self {
            Self::Whole => "",
            Self::Running => "(running)",
            Self::NotWhole => "(not whole)",
            Self::NoDeletion => "(no deletion)",
        }
    }
}

impl Archive {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(show) => show.run().await,
            Self::Verify(verify) => verify.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<(), CliError> {
        let listed = self.listed().await?;
        if self.json {
            return print::json(&listed);
        }
        let mut table = Table::new(&[
            Column::Kept("DELETION"),
            Column::Kept("CAMPAIGN"),
            Column::Kept("ITEMS"),
            Column::Drops("OBJECTS", 1),
            Column::Drops("BYTES", 2),
        ]);
        for listed in listed {
            let cells = listed.manifest.map_or_else(
                || [listed.state.as_text(), "", "", ""].map(ToOwned::to_owned),
                |manifest| {
                    [
                        manifest.campaign_id,
                        manifest.items.to_string(),
                        manifest.objects.to_string(),
                        manifest.bytes.to_string(),
                    ]
                },
            );
            let [campaign, items, objects, bytes] = cells;
            table.row([listed.deletion_id, campaign, items, objects, bytes]);
        }
        table.print()
    }

    async fn listed(&self) -> Result<Vec<Listed>, CliError> {
        let Some(bucket) = self.archive.bucket.name() else {
            let why = "name the bucket with --archive-bucket";
            return Err(CliError::Refused(why.to_owned()));
        };
        let table = self.connect.table().await?;
        let store = self.archive.bucket.store(&self.connect).await?;
        let account = account_folder(self.archive.prefix(), &self.account);
        let mut listed = Vec::new();
        for prefix in store.folders(bucket, &account, patience()).await? {
            let name = prefix.strip_prefix(&account).unwrap_or(&prefix);
            let Some(deletion_id) = deletion_id(name.trim_end_matches('/')) else {
                continue;
            };
            let (store, bucket) = (store.clone(), bucket.to_owned());
            let folder = Folder {
                store,
                bucket,
                prefix,
            };
            let manifest = folder.manifest().await?;
            // After the manifest: it may be put, and its deletion finish, in between.
            let record = table.record(&self.account, &deletion_id, patience());
            let state = record.await?.map(|record| record.state);
            let state = State::of(state, manifest.is_some());
            listed.push(Listed {
                deletion_id,
                state,
                manifest: manifest.filter(|_| state == State::Whole),
            });
        }
        Ok(listed)
    }
}

impl Show {
    async fn run(self) -> Result<(), CliError> {
        let folder = self.find.archive().await?.folder;
        if self.items {
            let contents = folder.read(|_| {}).await?;
            if let Some(campaign) = &contents.campaign {
                print_item(campaign)?;
            }
            for page in 0..contents.pages() {
                let items = contents.page(page).await?;
                items.iter().try_for_each(print_item)?;
            }
            return Ok(());
        }
        let location = format!("s3://{}/{}", folder.bucket, folder.prefix);
        let manifest = folder.manifest().await?;
        let manifest = manifest.ok_or(BadArchive::NoManifest)?;
        if self.json {
            return print::json(&manifest);
        }
        print::line(&format!(
            "{location}: campaign {} of account {}, {} items in {} objects, {} bytes: {}",
            manifest.campaign_id,
            print::plain(&manifest.account_id),
            manifest.items,
            manifest.objects,
            manifest.bytes,
            kinds(&manifest.deleted_items),
        ))
    }
}

fn print_item(item: &Item) -> Result<(), CliError> {
    let line = write_line(item).map_err(ArchiveError::from)?;
    print::line(&line)
}

impl Verify {
    async fn run(self) -> Result<(), CliError> {
        let found = self.find.archive().await?;
        let contents = found.folder.clone().read(|_| {}).await?;
        found.check_complete(&contents)?;
        print::line(&format!(
            "The archive of deletion {} is whole: {} items of campaign {} in {} objects, {} bytes.",
            self.find.id,
            contents.items,
            contents.manifest.campaign_id,
            contents.objects(),
            contents.bytes,
        ))
    }
}

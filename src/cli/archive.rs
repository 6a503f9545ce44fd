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
    archive::{ArchiveError, BadArchive, Folder, Manifest, write_line},
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

impl Find {
    /// Returns where the archive of a finished deletion is: where its record says, or, once
    /// that has expired, where the options say.
    pub(super) async fn folder(&self) -> Result<Folder, CliError> {
        let table = self.connect.table().await?;
        let store = self.archive.store(&self.connect).await?;
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
            None => match self.archive.bucket() {
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
        Ok(Folder {
            store,
            bucket,
            prefix: folder(&prefix, &self.account, &self.id),
        })
    }
}

/// An archive in a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    deletion_id: String,
    /// `None` if the archive is not whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Manifest>,
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
        let Some(bucket) = self.archive.bucket() else {
            let why = "name the bucket with --archive-bucket";
            return Err(CliError::Refused(why.to_owned()));
        };
        let store = self.archive.store(&self.connect).await?;
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
            listed.push(Listed {
                deletion_id,
                manifest: folder.manifest().await?,
            });
        }
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
        for Listed {
            deletion_id,
            manifest,
        } in listed
        {
            let cells = manifest.map_or_else(
                || ["(not whole)", "", "", ""].map(ToOwned::to_owned),
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
            table.row([deletion_id, campaign, items, objects, bytes]);
        }
        table.print()
    }
}

impl Show {
    async fn run(self) -> Result<(), CliError> {
        let folder = self.find.folder().await?;
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
        let folder = self.find.folder().await?;
        let contents = folder.read(|_| {}).await?;
        contents.check_complete()?;
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

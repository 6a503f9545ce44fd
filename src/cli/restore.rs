//! `campaigns restore`: puts back what a deletion has archived. Children first, the campaign
//! item last: what is half restored is not a campaign yet. It can be stopped and repeated.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use tokio::time::{Instant, sleep};

use super::{
    CliError,
    archive::Find,
    connect::{Confirm, patience},
    options::Pace,
    print,
};
use crate::{
    archive::{Contents, Manifest},
    campaign::{CampaignId, Status},
    table::{BATCH_SIZE, Table, are_same, item::Item, keys},
};

/// How many batches are on their way at once.
const IN_FLIGHT: usize = 8;
/// How long a batch may take, with what is unprocessed.
const BATCH_PATIENCE: Duration = Duration::from_mins(2);
/// What a restored campaign is instead of active, or of a status that only a deletion gives.
const PAUSED: &str = "paused";

/// `campaigns restore`.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  campaigns restore 01a20dfe-2b71-7508-a7a9-83af90943fe4 --account account_1 --dry-run
  campaigns restore 01a20dfe-2b71-7508-a7a9-83af90943fe4 --account account_1 \\
    --as campaign_124

Ctrl-C stops it. The same command continues: what is there already is not put again.")]
pub(super) struct Restore {
    #[command(flatten)]
    find: Find,
    /// Restore under another id: the keys and the attribute `id` change, nothing else.
    #[arg(long = "as", value_name = "NEW_ID", value_parser = CampaignId::parse)]
    new_id: Option<CampaignId>,
    /// The status of the restored campaign; by default, the one that it had, but `paused`
    /// instead of `active`.
    #[arg(long, value_parser = parse_status)]
    status: Option<String>,
    /// Read and check the archive and the table, and put nothing.
    #[arg(long)]
    dry_run: bool,
    /// Put items even where others with the same keys differ from them.
    #[arg(long)]
    overwrite: bool,
    /// Restore what is there although items are missing.
    #[arg(long)]
    incomplete: bool,
    /// Restore into another table than the one that everything was deleted from.
    #[arg(long)]
    into_another_table: bool,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    confirm: Confirm,
}

/// How many children were put, and how many were there already.
#[derive(Default)]
struct Done {
    put: AtomicU64,
    there: AtomicU64,
}

fn parse_status(text: &str) -> Result<String, String> {
    if text.is_empty() || [Status::ACTIVE, Status::DELETING].contains(&text) {
        return Err("a restored campaign is never active or deleting".to_owned());
    }
    Ok(text.to_owned())
}

impl Restore {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let table = self.find.connect.table().await?;
        let contents = self.read(&table).await?;
        let id = self.id(&contents)?;
        let campaign = self.campaign(&contents, &id);
        if let Some(there) = table.campaign_item(&id, patience()).await? {
            return already_there(&id, &there, campaign.as_ref());
        }
        if self.dry_run {
            return print::line(&format!(
                "campaign {id} can be restored: {} items and {}",
                contents.items,
                if campaign.is_some() {
                    "the campaign item"
                } else {
                    "no campaign item"
                },
            ));
        }
        let what = format!("restore {} items of campaign {id}", contents.items);
        self.find.connect.confirm(&what, self.confirm)?;
        let restoring = self.children(&table, &contents, &id);
        let done = tokio::select! {
            done = Box::pin(restoring) => done?,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                let why = "Stopped. What is restored stays; the same command continues.";
                return Err(CliError::Refused(why.to_owned()));
            }
        };
        let (put, there) = (done.put.into_inner(), done.there.into_inner());
        let with = match campaign {
            Some(campaign) => {
                let key = keys::campaign(&id);
                if !table.put_new(key, campaign, patience()).await? {
                    let why = format!("a campaign {id} was made meanwhile: it stays as it is");
                    return Err(CliError::Refused(why));
                }
                "the campaign item"
            }
            None => "no campaign item, since the deletion has deleted none",
        };
        print::line(&format!(
            "campaign {id} is restored: {put} items put, {there} there already, and {with}"
        ))
    }

    /// Reads the archive and checks that it is the right one.
    async fn read(&self, table: &Table) -> Result<Contents, CliError> {
        let found = self.find.archive().await?;
        let reading = ProgressBar::new_spinner().with_style(print::progress_style(
            "{spinner} reading the archive: {pos} items, {rate}",
        ));
        let contents = found.folder.clone();
        let contents = contents.read(|items| reading.inc(items)).await?;
        reading.finish_and_clear();
        if !self.incomplete {
            found.check_complete(&contents)?;
        }
        let Manifest {
            deletion_id,
            table: from,
            ..
        } = &contents.manifest;
        if *deletion_id != self.find.id {
            let why = "the manifest is that of another deletion";
            return Err(CliError::Refused(why.to_owned()));
        }
        if from != table.name() && !self.into_another_table {
            return Err(CliError::Refused(format!(
                "this was deleted from table {}, not from {}; --into-another-table restores it \
                 there",
                print::plain(from),
                table.name()
            )));
        }
        Ok(contents)
    }

    fn id(&self, contents: &Contents) -> Result<CampaignId, CliError> {
        if let Some(id) = &self.new_id {
            return Ok(id.clone());
        }
        let id = CampaignId::parse(&contents.manifest.campaign_id);
        id.map_err(|_| CliError::Refused("the manifest names no campaign".to_owned()))
    }

    /// Returns the campaign item as it is put: never active, and of no deletion.
    fn campaign(&self, contents: &Contents, id: &CampaignId) -> Option<Item> {
        let mut item = contents.campaign.clone()?;
        item.remove("deletionId");
        let had = item
            .get("campaignStatus")
            .and_then(|status| status.as_s().ok());
        let status = match (&self.status, had.map(String::as_str)) {
            (Some(status), _) => Some(status.as_str()),
            (None, None | Some(Status::ACTIVE | Status::DELETING)) => Some(PAUSED),
            (None, Some(_)) => None,
        };
        if let Some(status) = status {
            let status = AttributeValue::S(status.to_owned());
            item.insert("campaignStatus".to_owned(), status);
        }
        if item.contains_key("id") && self.new_id.is_some() {
            item.insert("id".to_owned(), AttributeValue::S(id.to_string()));
        }
        item.extend(keys::campaign(id).attributes());
        Some(item)
    }

    /// Puts the children, each page in batches, several at once.
    async fn children(
        &self,
        table: &Table,
        contents: &Contents,
        id: &CampaignId,
    ) -> Result<Done, CliError> {
        let bar = ProgressBar::new(contents.items).with_style(print::progress_style(
            "{bar:20} {pos}/{len} items, {rate}, {eta} left",
        ));
        let done = Done::default();
        let partition = AttributeValue::S(keys::campaign_partition(id));
        let batches = stream::iter(contents.spread())
            .map(|page| contents.page(page))
            .buffered(2)
            .map_err(CliError::from)
            .map_ok(|items| {
                let batches: Vec<Vec<Item>> =
                    items.chunks(BATCH_SIZE).map(<[Item]>::to_vec).collect();
                stream::iter(batches.into_iter().map(Ok::<_, CliError>))
            })
            .try_flatten();
        let pace = self.pace.units();
        let begun = Instant::now();
        batches
            .try_for_each_concurrent(IN_FLIGHT, |mut batch| {
                let (table, done, bar, partition) = (table, &done, &bar, &partition);
                async move {
                    for item in &mut batch {
                        item.insert(keys::PK.to_owned(), partition.clone());
                    }
                    let size = batch.len() as u64;
                    self.leave_out_what_is_there(table, &mut batch).await?;
                    let put = batch.len() as u64;
                    if !batch.is_empty() {
                        let deadline = Instant::now() + BATCH_PATIENCE;
                        table.put_batch(batch, deadline).await?;
                    }
                    let so_far = done.put.fetch_add(put, Ordering::Relaxed) + put;
                    done.there.fetch_add(size - put, Ordering::Relaxed);
                    bar.inc(size);
                    wait_for_the_pace(pace, begun, so_far).await;
                    Ok(())
                }
            })
            .await?;
        bar.finish_and_clear();
        Ok(done)
    }

    /// Removes from a batch what is there already; what is there and differs stops the
    /// restore, unless it may be overwritten.
    async fn leave_out_what_is_there(
        &self,
        table: &Table,
        batch: &mut Vec<Item>,
    ) -> Result<(), CliError> {
        let there = table.existing(batch, patience()).await?;
        let key = |item: &Item| item.get(keys::SK).cloned();
        for found in &there {
            let ours = batch.iter().find(|item| key(item) == key(found));
            let differs = ours.is_some_and(|ours| !are_same(ours, found));
            if differs && !self.overwrite {
                let key = found.get(keys::SK).and_then(|key| key.as_s().ok());
                let key = key.map_or("", String::as_str);
                return Err(CliError::Refused(format!(
                    "item {} exists and differs from the archive; --overwrite replaces such items",
                    print::plain(key)
                )));
            }
        }
        batch.retain(|item| !there.iter().any(|found| are_same(item, found)));
        Ok(())
    }
}

/// Waits until what was put is paid for: a write unit for each item.
async fn wait_for_the_pace(pace: Option<NonZeroU32>, begun: Instant, items: u64) {
    let Some(pace) = pace else { return };
    let millis = items.saturating_mul(1_000) / u64::from(pace.get());
    let due = begun + Duration::from_millis(millis);
    sleep(due.saturating_duration_since(Instant::now())).await;
}

/// A campaign has this id: the restored one, if an earlier run has finished, or another.
fn already_there(id: &CampaignId, there: &Item, ours: Option<&Item>) -> Result<(), CliError> {
    if ours.is_some_and(|ours| are_same(there, ours)) {
        return print::line(&format!("campaign {id} is restored already"));
    }
    Err(CliError::Refused(format!(
        "there is a campaign {id}, which stays as it is; restore under another id with --as"
    )))
}

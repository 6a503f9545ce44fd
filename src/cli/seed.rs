//! Fills a campaign: the demo data of `serve`, `campaigns seed`, and what tests
//! delete. The items are like the platform's own, in size too.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use clap::{Args, builder::NonEmptyStringValueParser};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use tokio::time::Instant;

use super::{
    CliError,
    connect::{Confirm, Connect, account_id, patience},
    options::number_in,
    print::{self, plain},
};
use crate::{
    campaign::CampaignId,
    clock::now_rfc3339,
    table::{
        BATCH_SIZE, Table,
        item::Item,
        keys::{self, Key},
    },
};

/// How many batches are written at the same time.
const IN_FLIGHT: usize = 16;
/// How long one batch may take, repetitions included.
const BATCH_PATIENCE: Duration = Duration::from_mins(1);

/// How many children of a kind a campaign gets at most. More than this is a mistake: it
/// would take a day to put them.
const MOST: std::ops::RangeInclusive<u64> = 0..=1_000_000_000;

/// How many children of each kind a campaign gets.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Children {
    /// Prospects.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = number_in(MOST))]
    pub prospects: u64,
    /// Chats.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = number_in(MOST))]
    pub chats: u64,
    /// Messages.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = number_in(MOST))]
    pub messages: u64,
    /// Tasks.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = number_in(MOST))]
    pub tasks: u64,
    /// Webhook events.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = number_in(MOST))]
    pub webhook_events: u64,
    /// Analytics rows.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = number_in(MOST))]
    pub analytics: u64,
    /// Entries of the activity log, which count as analytics.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = number_in(MOST))]
    pub activities: u64,
    /// Webhook deliveries.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = number_in(MOST))]
    pub webhook_deliveries: u64,
    /// Items of an unknown kind.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = number_in(MOST))]
    pub others: u64,
}

/// The children of the campaign in the public reference: 837.
pub const REFERENCE: Children = Children {
    prospects: 150,
    chats: 150,
    messages: 420,
    tasks: 75,
    webhook_events: 12,
    analytics: 30,
    activities: 0,
    webhook_deliveries: 0,
    others: 0,
};

/// A campaign to be made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its id.
    pub id: CampaignId,
    /// Its name.
    pub name: String,
    /// The account that owns it.
    pub account_id: String,
    /// Its status.
    pub status: String,
    /// Whether it is protected from deletion.
    pub deletion_protection: bool,
    /// What is in it.
    pub children: Children,
}

/// `campaigns seed`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  campaigns seed campaign_7 --prospects 10 --messages 100 \\
    --endpoint-url http://127.0.0.1:8000
  campaigns seed big --total 100000 --status completed \\
    --endpoint-url http://127.0.0.1:8000")]
pub struct Seed {
    /// The campaign's id.
    #[arg(value_parser = CampaignId::parse)]
    id: CampaignId,
    /// The account that owns it.
    #[arg(long, default_value = "account_demo", value_parser = account_id)]
    account: String,
    /// Its name; its id by default.
    #[arg(long)]
    name: Option<String>,
    /// Its status.
    #[arg(long, default_value = "paused", value_parser = NonEmptyStringValueParser::new())]
    status: String,
    /// Protect it from deletion.
    #[arg(long)]
    protected: bool,
    #[command(flatten)]
    children: Children,
    /// Put N children in total, in the proportions of the public reference.
    #[arg(
        long,
        value_name = "N",
        value_parser = number_in(MOST),
        conflicts_with_all = [
            "prospects", "chats", "messages", "tasks", "webhook_events", "analytics", "activities",
            "webhook_deliveries", "others",
        ]
    )]
    total: Option<u64>,
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    confirm: Confirm,
}

impl Seed {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let children = self.total.map_or(self.children, Children::in_proportion);
        let what = format!("put campaign {} and {} items", self.id, children.total());
        self.connect.confirm(&what, self.confirm)?;
        let table = self.connect.table().await?;
        let plan = Plan {
            name: self.name.unwrap_or_else(|| self.id.to_string()),
            id: self.id,
            account_id: self.account,
            status: self.status,
            deletion_protection: self.protected,
            children,
        };
        let bar = ProgressBar::new(children.total());
        bar.set_style(print::progress_style(
            "{bar:20} {pos}/{len} items, {rate}, {eta} left",
        ));
        let begun = Instant::now();
        if !plan.put(&table, |items| bar.inc(items)).await? {
            bar.finish_and_clear();
            return Err(CliError::Refused(format!(
                "campaign {} exists already in table {}",
                plan.id,
                table.name()
            )));
        }
        bar.finish_and_clear();
        print::line(&format!(
            "campaign {} ({}) of account {}: {} items in {:.1} s",
            plan.id,
            plain(&plan.status),
            plain(&plan.account_id),
            children.total(),
            begun.elapsed().as_secs_f64()
        ))
    }
}

impl Children {
    /// All children.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.kinds().iter().map(|(_, count)| count).sum()
    }

    /// `total` children in the proportions of [`REFERENCE`]; the remainder are
    /// messages.
    #[must_use]
    pub fn in_proportion(total: u64) -> Self {
        let whole = u128::from(REFERENCE.total());
        let part = |count: u64| {
            u64::try_from(u128::from(count) * u128::from(total) / whole).unwrap_or(u64::MAX)
        };
        let mut children = Self {
            prospects: part(REFERENCE.prospects),
            chats: part(REFERENCE.chats),
            messages: 0,
            tasks: part(REFERENCE.tasks),
            webhook_events: part(REFERENCE.webhook_events),
            analytics: part(REFERENCE.analytics),
            ..Self::default()
        };
        children.messages = total - children.total();
        children
    }

    fn kinds(&self) -> [(&'static str, u64); 9] {
        [
            ("PROSPECT", self.prospects),
            ("CHAT", self.chats),
            ("MESSAGE", self.messages),
            ("TASK", self.tasks),
            ("WEBHOOK", self.webhook_events),
            ("ANALYTICS", self.analytics),
            ("ACTIVITY", self.activities),
            ("DELIVERY", self.webhook_deliveries),
            ("NOTE", self.others),
        ]
    }
}

impl Plan {
    /// Puts the children and then the campaign. Returns `false`, and puts nothing, if
    /// there is already a campaign with this id. If it is interrupted, the next call
    /// completes it: the children are the same, and the campaign item comes last.
    /// `progress` is told how many items each batch has put.
    ///
    /// # Errors
    /// [`CliError::Table`].
    pub async fn put(
        &self,
        table: &Table,
        progress: impl Fn(u64) + Sync,
    ) -> Result<bool, CliError> {
        if table.campaign(&self.id, patience()).await?.is_some() {
            return Ok(false);
        }
        let batches = stream::iter(self.child_items()).chunks(BATCH_SIZE);
        batches
            .map(Ok)
            .try_for_each_concurrent(IN_FLIGHT, |batch| async {
                let items = u64::try_from(batch.len()).unwrap_or(u64::MAX);
                let deadline = Instant::now() + BATCH_PATIENCE;
                table.put_batch(batch, deadline).await?;
                progress(items);
                Ok::<_, CliError>(())
            })
            .await?;
        let key = keys::campaign(&self.id);
        Ok(table.put_new(key, self.campaign_item(), patience()).await?)
    }

    fn campaign_item(&self) -> Item {
        let now = now_rfc3339();
        let mut item: Item = [
            ("id", self.id.as_str()),
            ("name", &self.name),
            ("accountId", &self.account_id),
            ("campaignStatus", &self.status),
            ("createdAt", &now),
            ("updatedAt", &now),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())))
        .collect();
        if self.deletion_protection {
            item.insert("deletionProtection".to_owned(), AttributeValue::Bool(true));
        }
        item
    }

    fn child_items(&self) -> impl Iterator<Item = Item> + '_ {
        self.children
            .kinds()
            .into_iter()
            .flat_map(move |(kind, count)| (0..count).map(move |n| self.child_item(kind, n)))
    }

    fn child_item(&self, kind: &str, n: u64) -> Item {
        let sort_key = match kind {
            "MESSAGE" => {
                let chat = n % self.children.chats.max(1);
                format!("MESSAGE#chat_{chat:08}#2026-01-01T00:00:00Z#message_{n:08}")
            }
            kind => format!("{kind}#{}_{n:08}", kind.to_lowercase()),
        };
        let key: Key = keys::child(&self.id, &sort_key);
        let mut item = key.attributes();
        // 60 to 1,083 bytes of text: sizes vary, as they do for real items.
        let length = 60 + usize::try_from(n.wrapping_mul(2_654_435_761) % 1_024).unwrap_or(0);
        item.insert("text".to_owned(), AttributeValue::S("x".repeat(length)));
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_is_split_in_proportion_and_loses_nothing() {
        assert_eq!(Children::in_proportion(837), REFERENCE);
        for total in [0, 1, 5, 1_000, 100_000, 1_000_001] {
            assert_eq!(Children::in_proportion(total).total(), total);
        }
    }
}

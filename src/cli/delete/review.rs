//! What a command would delete: each campaign is checked and counted, a few at a time, and shown
//! in a table.

use std::{collections::BTreeMap, time::Duration};

use futures_util::stream::{self, StreamExt};
use indicatif::{HumanCount, ProgressBar};
use tokio::time::Instant;

use super::{Delete, LOOK_EVERY, refused, targets::Target};
use crate::{
    campaign::{Campaign, CampaignId},
    cli::{
        CliError,
        connect::patience,
        print::{self, Column, Table as TextTable},
    },
    counts::Counts,
    deletion::{Budget, Deletions, Error},
    refusal::Refusal,
    table::Table,
};

/// How long counting one campaign may take.
const COUNTING: Duration = Duration::from_mins(5);
/// How many rows are written at a time.
pub(super) const ROWS: usize = 100;
/// After this many failures of the table in a row, the rest is not tried.
pub(super) const MOST_FAILURES: usize = 10;

/// A campaign that can be deleted, and what is in it.
#[derive(Debug)]
pub(super) struct Reviewed {
    pub(super) target: Target,
    /// How many items its deletion will count, if that is known.
    pub(super) items: Option<u64>,
}

/// What a campaign was found to be.
struct Finding {
    campaign: Campaign,
    counts: Counts,
    complete: bool,
    /// Whether a deletion has claimed it already.
    is_running: bool,
}

/// What a review found in all.
#[derive(Debug, Default)]
pub(super) struct Review {
    pub(super) deletable: Vec<Reviewed>,
    items: u64,
    /// Whether not all items could be counted.
    is_cut_short: bool,
    /// How many are refused, by the code of the refusal, or could not be read.
    pub(super) refused: BTreeMap<&'static str, usize>,
}

impl Review {
    /// Returns a review that takes these campaigns as deletable.
    pub(super) fn of(targets: Vec<Target>) -> Self {
        let targets = targets.into_iter();
        Self {
            deletable: targets
                .map(|target| Reviewed {
                    target,
                    items: None,
                })
                .collect(),
            ..Self::default()
        }
    }

    /// Returns how many campaigns cannot be deleted.
    pub(super) fn refused_count(&self) -> usize {
        self.refused.values().sum()
    }
}

impl Delete {
    /// Checks and counts what is in each of these campaigns, and shows it, as a table or as
    /// lines of JSON.
    pub(super) async fn review(
        &self,
        table: &Table,
        deletions: &Deletions,
        targets: Vec<Target>,
    ) -> Result<Review, CliError> {
        let waiting = ProgressBar::new_spinner().with_message("counting");
        waiting.enable_steady_tick(LOOK_EVERY);
        let all = targets.len();
        let found = stream::iter(targets).map(|target| async {
            let found = Box::pin(self.look(table, deletions, &target)).await;
            (target, found)
        });
        let mut found = std::pin::pin!(found.buffered(self.selection.at_once as usize));
        let mut rows = TextTable::new(&[
            Column::Kept("CAMPAIGN"),
            Column::Kept("ITEMS"),
            Column::Kept("VERDICT"),
            Column::GivesWay("ACCOUNT", 1),
            Column::GivesWay("NAME", 2),
        ]);
        let mut review = Review::default();
        let mut failures = 0;
        while let Some((target, found)) = found.next().await {
            failures = match &found {
                Err(Error::Table(_) | Error::Archive(_)) => failures + 1,
                _ => 0,
            };
            if self.json {
                waiting.suspend(|| print::json_line(&as_json(&target, &found)))?;
            } else {
                rows.row(cells(&target, &found));
            }
            match found {
                Err(error) if failures >= MOST_FAILURES => return Err(refused(error)),
                found => review.add(target, found),
            }
            if rows.waiting() >= ROWS {
                waiting.suspend(|| rows.flush())?;
            }
        }
        waiting.finish_and_clear();
        if !self.json {
            rows.flush()?;
            print::line(&review.summary(all))?;
        }
        Ok(review)
    }

    async fn look(
        &self,
        table: &Table,
        deletions: &Deletions,
        target: &Target,
    ) -> Result<Finding, Error> {
        let found = table.campaign(&target.id, patience()).await?;
        let campaign = found.ok_or(Refusal::CampaignNotFound)?;
        if campaign.status.is_deleting() {
            let until = Instant::now() + COUNTING;
            let (counts, complete) = deletions.count(&campaign.id, until).await?;
            let is_running = true;
            return Ok(Finding {
                campaign,
                counts,
                complete,
                is_running,
            });
        }
        let request = self.request(&campaign, target);
        let budget = Budget::new(Instant::now(), COUNTING, None);
        let preview = deletions.preview(&request, Some(campaign), budget).await?;
        Ok(Finding {
            campaign: preview.campaign,
            counts: preview.counts,
            complete: preview.complete,
            is_running: false,
        })
    }
}

impl Review {
    fn add(&mut self, target: Target, found: Result<Finding, Error>) {
        match found {
            Ok(found) => {
                let items = found.counts.total();
                self.items += items;
                self.is_cut_short |= !found.complete;
                // The record of a running deletion counts what is deleted already, too.
                let items = (found.complete && !found.is_running).then_some(items);
                self.deletable.push(Reviewed { target, items });
            }
            Err(error) => *self.refused.entry(error.public().code).or_default() += 1,
        }
    }

    fn summary(&self, all: usize) -> String {
        let deletable = self.deletable.len();
        let at_least = if self.is_cut_short { "at least " } else { "" };
        let items = HumanCount(self.items);
        let refused = match self.refused_count() {
            0 => String::new(),
            refused => format!("; {refused} are refused: {}", in_words(&self.refused)),
        };
        format!(
            "{deletable} of {all} campaigns can be deleted, with {at_least}{items} items{refused}"
        )
    }
}

/// Returns how many there are of each, in words.
pub(super) fn in_words(counts: &BTreeMap<&'static str, usize>) -> String {
    let counts = counts.iter().map(|(what, count)| format!("{count} {what}"));
    counts.collect::<Vec<_>>().join(", ")
}

fn cells(target: &Target, found: &Result<Finding, Error>) -> [String; 5] {
    let id = target.id.to_string();
    let none = String::new;
    match found {
        Ok(found) => [
            id,
            format!(
                "{}{}",
                if found.complete { "" } else { "at least " },
                found.counts.total()
            ),
            if found.is_running {
                "resumable".to_owned()
            } else {
                "deletable".to_owned()
            },
            found.campaign.account_id.clone(),
            found.campaign.name.clone(),
        ],
        Err(error) => [id, none(), error.public().code.to_owned(), none(), none()],
    }
}

fn as_json(target: &Target, found: &Result<Finding, Error>) -> serde_json::Value {
    match found {
        Ok(found) => serde_json::json!({
            "campaignId": target.id.as_str(),
            "status": if found.is_running { "resumable" } else { "deletable" },
            "campaignName": found.campaign.name,
            "accountId": found.campaign.account_id,
            "deletedItems": found.counts,
            "complete": found.complete,
        }),
        Err(error) => refusal(&target.id, error),
    }
}

/// Returns the line of a campaign that is refused or could not be read.
pub(super) fn refusal(id: &CampaignId, error: &Error) -> serde_json::Value {
    let public = error.public();
    let (status, message) = match error {
        Error::Refused(_) => ("refused", public.message.into_owned()),
        Error::Table(_) | Error::Archive(_) => ("failed", error.to_string()),
    };
    serde_json::json!({
        "campaignId": id.as_str(),
        "status": status,
        "error": public.code,
        "message": message,
    })
}

//! A progress bar for each running deletion, above one for all of them.

use indicatif::{MultiProgress, ProgressBar};
use tokio::time::sleep;

use super::LOOK_EVERY;
use crate::{
    campaign::CampaignId,
    cli::{connect::patience, print::progress_style},
    deletion::Deletions,
    record::DeletionRef,
    table::Table,
};

/// The bars of one command.
#[derive(Debug)]
pub(super) struct Bars {
    bars: MultiProgress,
    all: ProgressBar,
}

impl Bars {
    /// Returns the bars of a command that deletes this many campaigns.
    pub(super) fn new(campaigns: usize) -> Self {
        let bars = MultiProgress::new();
        let all = bars.add(ProgressBar::new(campaigns as u64));
        all.set_style(progress_style(
            "{bar:20} {pos}/{len} campaigns, {rate}, {eta} left",
        ));
        all.enable_steady_tick(LOOK_EVERY);
        Self { bars, all }
    }

    /// Returns a bar for one deletion, of this many items.
    pub(super) fn begin(&self, id: &CampaignId, items: Option<u64>) -> ProgressBar {
        let (bar, style) = match items {
            Some(items) => (
                ProgressBar::new(items),
                "{bar:20} {pos}/{len}, {rate}  {wide_msg}",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{spinner} {pos} items, {rate}  {wide_msg}",
            ),
        };
        let bar = self.bars.insert_before(&self.all, bar);
        bar.set_style(progress_style(style));
        bar.set_message(id.to_string());
        bar
    }

    /// Removes the bar of a deletion that has ended.
    pub(super) fn end(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.bars.remove(bar);
        self.all.inc(1);
    }

    /// Writes something while no bar is shown.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    /// Removes all bars.
    pub(super) fn clear(&self) {
        self.all.finish_and_clear();
        // Err: the terminal is gone.
        let _ = self.bars.clear();
    }
}

/// Shows the progress that a campaign's record gives, for as long as anybody sees it. Never
/// returns.
pub(super) async fn watch(
    table: &Table,
    deletions: &Deletions,
    id: &CampaignId,
    bar: &ProgressBar,
) -> ! {
    let mut of = None;
    loop {
        sleep(LOOK_EVERY).await;
        if bar.is_hidden() {
            continue;
        }
        // A read that fails is skipped; the next one shows the progress.
        if of.is_none()
            && let Ok(Some(campaign)) = table.campaign(id, patience()).await
        {
            of = campaign.deletion_id.map(|deletion_id| DeletionRef {
                account_id: campaign.account_id,
                deletion_id,
            });
        }
        if let Some(of) = &of
            && let Ok(Some(record)) = deletions.find(of, patience()).await
        {
            bar.set_position(record.progress.counted.total());
        }
    }
}

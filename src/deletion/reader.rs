//! Reading a partition ahead of the deletes: one page is handed over, one more
//! is waiting, one is being read. Memory is bounded by three pages of keys.

use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use crate::{
    campaign::CampaignId,
    table::{Page, Table, TableError},
};

/// The pages of a partition, in order. Dropping it ends the reading.
pub(super) struct Reader {
    pages: mpsc::Receiver<Result<Page, TableError>>,
    _task: JoinSet<()>,
}

impl Reader {
    /// Begins to read after `after`, or from the start.
    pub(super) fn start(
        table: &Table,
        campaign: &CampaignId,
        after: Option<String>,
        deadline: Instant,
    ) -> Self {
        let (sender, pages) = mpsc::channel(1);
        let (table, campaign) = (table.clone(), campaign.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut after = after;
            loop {
                let page = table.page(&campaign, after.as_deref(), deadline).await;
                after = page.as_ref().ok().and_then(|page| page.next.clone());
                if sender.send(page).await.is_err() || after.is_none() {
                    return;
                }
            }
        });
        Self { pages, _task: task }
    }

    /// The next page that has children in it; `None` at the partition's end.
    pub(super) async fn next(&mut self) -> Result<Option<Page>, TableError> {
        while let Some(page) = self.pages.recv().await {
            let page = page?;
            if !page.sort_keys.is_empty() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }
}

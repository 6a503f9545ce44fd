//! Reads a partition ahead of the deletes: one page waits to be taken while the next
//! is read. With the page that is deleted and the one that is counted, memory is
//! bounded by four pages of keys.

use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use crate::{
    campaign::CampaignId,
    table::{Page, Table, TableError},
};

/// The pages of a partition, in order. Dropping it stops the reading.
pub(super) struct ReadAhead {
    pages: mpsc::Receiver<Result<Page, TableError>>,
    at_the_end: bool,
    _task: JoinSet<()>,
}

impl ReadAhead {
    /// Starts to read after `after`, or from the start.
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
        Self {
            pages,
            at_the_end: false,
            _task: task,
        }
    }

    /// Returns the next page that has children in it; `None` at the end of the
    /// partition. Only a page without a next one is the end: a read that broke off
    /// must not pass for an empty partition.
    pub(super) async fn next(&mut self) -> Result<Option<Page>, TableError> {
        while !self.at_the_end {
            let page = self
                .pages
                .recv()
                .await
                .ok_or(TableError::ReadingBrokeOff)??;
            self.at_the_end = page.next.is_none();
            if !page.sort_keys.is_empty() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(pages: Vec<Page>) -> ReadAhead {
        let (sender, receiver) = mpsc::channel(pages.len().max(1));
        for page in pages {
            sender.try_send(Ok(page)).unwrap();
        }
        ReadAhead {
            pages: receiver,
            at_the_end: false,
            _task: JoinSet::new(),
        }
    }

    fn page(sort_keys: &[&str], next: Option<&str>) -> Page {
        Page {
            sort_keys: sort_keys.iter().map(|key| (*key).to_owned()).collect(),
            next: next.map(ToOwned::to_owned),
        }
    }

    #[tokio::test]
    async fn pages_without_children_are_skipped() {
        let mut reader = reader(vec![
            page(&[], Some("CAMPAIGN")),
            page(&["CHAT#1"], Some("CHAT#1")),
            page(&[], None),
        ]);
        assert_eq!(reader.next().await.unwrap().unwrap().sort_keys, ["CHAT#1"]);
        assert!(reader.next().await.unwrap().is_none());
        assert!(reader.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_interrupted_read_is_not_the_end_of_the_partition() {
        for pages in [vec![], vec![page(&[], Some("CAMPAIGN"))]] {
            let error = reader(pages).next().await.unwrap_err();
            assert!(matches!(error, TableError::ReadingBrokeOff));
        }
    }
}

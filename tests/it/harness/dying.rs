//! A worker that dies at one of its requests: before it is sent, or after it is applied.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use super::{
    World, delete_event,
    proxy::{Action, Call},
    send,
};

/// Which of the two endpoints a worker dies at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    Table,
    Archive,
}

/// Where a worker dies: at its `boundary`-th request to one endpoint, if it gets there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    pub(crate) at: At,
    pub(crate) boundary: usize,
    /// Whether that request is applied.
    pub(crate) applied: bool,
}

impl Death {
    /// What happens to a request to that endpoint: `None` for those before it.
    fn of(self, number: usize, dying: &Notify) -> Option<Action> {
        if number < self.boundary {
            return None;
        }
        dying.notify_one();
        Some(if self.applied && number == self.boundary {
            Action::LoseAnswer
        } else {
            Action::LoseRequest
        })
    }
}

impl World {
    /// Deletes `campaign_1` by a worker that dies. What is left of the requests to the table is
    /// subject to `table`. Returns whether the worker died: otherwise it has answered 200.
    /// Afterwards its lease has ended.
    pub(crate) async fn dies(
        &self,
        death: Death,
        table: impl Fn(&mut Call<'_>) -> Action + Send + Sync + 'static,
    ) -> bool {
        let dead = Arc::new(Notify::new());
        let dying = dead.clone();
        match death.at {
            At::Table => self.proxy.policy(move |call| {
                let fate = death.of(call.number, &dying);
                fate.unwrap_or_else(|| table(call))
            }),
            At::Archive => {
                self.proxy.policy(table);
                self.s3.policy(move |call| {
                    let fate = death.of(call.number, &dying);
                    fate.unwrap_or(Action::Pass)
                });
            }
        }
        let api = self.api().await;
        let mut worker =
            tokio::spawn(async move { send(&api, delete_event("campaign_1")).await.status });
        let died = tokio::select! {
            status = &mut worker => {
                assert_eq!(status.unwrap(), 200, "{death:?}");
                false
            }
            () = dead.notified() => {
                worker.abort();
                // Cancelled; it sends nothing from here on, and what it has sent is
                // applied.
                assert!(worker.await.is_err());
                self.proxy.settle().await;
                self.s3.settle().await;
                true
            }
        };
        tokio::time::sleep(self.settings.lease + Duration::from_millis(5)).await;
        died
    }
}

//! The pages of a query, one after the other.

use aws_sdk_dynamodb::operation::query::{QueryError, builders::QueryFluentBuilder};
use tokio::time::Instant;

use super::{
    item::Item,
    retry::{Failure, until_answered},
};

/// The operation, for causes of failures.
pub(super) const OPERATION: &str = "Query";

/// A query and where its next page starts.
#[derive(Debug)]
pub(super) struct Pages {
    query: QueryFluentBuilder,
    from: Option<Item>,
    is_over: bool,
}

impl Pages {
    /// Returns the pages of a query. Nothing is read yet.
    pub(super) fn of(query: QueryFluentBuilder) -> Self {
        Self {
            query,
            from: None,
            is_over: false,
        }
    }

    /// Returns the next page; `None` after the last one. After a failure, the same page
    /// can be asked for again.
    pub(super) async fn next(
        &mut self,
        deadline: Instant,
    ) -> Result<Option<Vec<Item>>, Failure<QueryError>> {
        if self.is_over {
            return Ok(None);
        }
        let request = self
            .query
            .clone()
            .set_exclusive_start_key(self.from.clone());
        let answer = until_answered(OPERATION, deadline, || request.clone().send()).await?;
        self.from = answer.last_evaluated_key;
        self.is_over = self.from.is_none();
        Ok(Some(answer.items.unwrap_or_default()))
    }
}

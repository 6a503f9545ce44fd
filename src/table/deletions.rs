//! The deletions of an account, newest first: their ids begin with the time.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use tokio::time::Instant;

use super::{Table, TableError, expressions::text, item, keys, retry::until_answered};
use crate::record::{self, Record, Requester};

/// How many records each request reads when most of them may not match.
const FILTERED_PAGE: i32 = 200;

/// How many requests one answer takes when most records may not match: a caller
/// must not make the whole history of an account be read at once.
const FILTERED_REQUESTS: u32 = 5;

/// A page of an account's deletions.
#[derive(Debug, Default)]
pub struct History {
    /// Newest first.
    pub records: Vec<Record>,
    /// The id after which to continue, if there may be more.
    pub after: Option<String>,
    /// Records that cannot be read, for example those of a newer version.
    pub unreadable: Vec<UnreadableRecord>,
}

/// A deletion record that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("deletion {} cannot be read: {error}", deletion_id.escape_debug())]
pub struct UnreadableRecord {
    /// The deletion's id, from its key.
    pub deletion_id: String,
    /// Why.
    pub error: TableError,
}

impl Table {
    /// Reads up to `limit` deletions of an account that are older than the id
    /// `after`, and only those that `requested_by` requested, if it is given.
    /// Strongly consistent. Returns fewer than `limit`, and where to continue, if
    /// reading takes longer than `until`, or if too many records do not match.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn history(
        &self,
        account_id: &str,
        requested_by: Option<&Requester>,
        after: Option<String>,
        limit: usize,
        until: Instant,
        deadline: Instant,
    ) -> Result<History, TableError> {
        const OPERATION: &str = "Query";
        let mut records = Vec::new();
        let mut after = after;
        let mut requests = 0;
        let mut unreadable = Vec::new();
        loop {
            requests += 1;
            // One more than is asked for shows whether there are more.
            let page = i32::try_from(limit + 1 - records.len()).unwrap_or(i32::MAX);
            let request = self.history_page(account_id, requested_by, after, page);
            let answer = until_answered(OPERATION, deadline, || request.clone().send())
                .await
                .map_err(|failure| failure.into_table_error(OPERATION))?;
            for found in answer.items.unwrap_or_default() {
                let deletion_id = deletion_id(&found)?;
                match own_record(account_id, &deletion_id, &found) {
                    Ok(record) => records.push(record),
                    // One that a newer version wrote; the others can be read.
                    Err(error) => unreadable.push(UnreadableRecord { deletion_id, error }),
                }
            }
            if records.len() > limit {
                records.truncate(limit);
                let after = records.last().map(|record| record.deletion_id.clone());
                // Those after it are in the next page.
                unreadable.retain(|one| Some(&one.deletion_id) > after.as_ref());
                return Ok(History {
                    records,
                    after,
                    unreadable,
                });
            }
            after = match answer.last_evaluated_key {
                None => None,
                Some(key) => Some(deletion_id(&key)?),
            };
            // A caller can continue after the id of a deletion only.
            if after
                .as_deref()
                .is_some_and(|id| record::deletion_id(id).is_none())
            {
                continue;
            }
            let is_enough = requested_by.is_some() && requests >= FILTERED_REQUESTS;
            if after.is_none() || is_enough || Instant::now() >= until {
                return Ok(History {
                    records,
                    after,
                    unreadable,
                });
            }
        }
    }

    /// Returns the request for a page of an account's deletions.
    fn history_page(
        &self,
        account_id: &str,
        requested_by: Option<&Requester>,
        after: Option<String>,
        limit: i32,
    ) -> QueryFluentBuilder {
        let request = self
            .client()
            .query()
            .table_name(self.name())
            .consistent_read(true)
            .scan_index_forward(false)
            .limit(limit)
            .key_condition_expression("#PK = :PK AND begins_with(#SK, :prefix)")
            .expression_attribute_names("#PK", keys::PK)
            .expression_attribute_names("#SK", keys::SK)
            .expression_attribute_values(":PK", text(&keys::account_partition(account_id)))
            .expression_attribute_values(":prefix", text(keys::DELETION_PREFIX))
            .set_exclusive_start_key(
                after.map(|after| keys::deletion(account_id, &after).attributes()),
            );
        match requested_by {
            None => request,
            Some(requested_by) => request
                .limit(FILTERED_PAGE)
                .filter_expression("requestedBy = :requestedBy")
                .expression_attribute_values(":requestedBy", text(&requested_by.as_stored())),
        }
    }
}

/// Reads a record of this key. One whose attributes name another is not what it is
/// taken for.
///
/// # Errors
/// [`TableError::Corrupt`].
pub(super) fn own_record(
    account_id: &str,
    deletion_id: &str,
    found: &item::Item,
) -> Result<Record, TableError> {
    let record = item::record(found)?;
    let corrupt = |attribute| TableError::Corrupt {
        kind: "deletion record",
        attribute,
    };
    if record.deletion_id != deletion_id || record::deletion_id(deletion_id).is_none() {
        Err(corrupt("deletionId"))
    } else if record.account_id != account_id {
        Err(corrupt("accountId"))
    } else {
        Ok(record)
    }
}

fn deletion_id(key: &item::Item) -> Result<String, TableError> {
    key.get(keys::SK)
        .and_then(|sort_key| sort_key.as_s().ok())
        .and_then(|sort_key| sort_key.strip_prefix(keys::DELETION_PREFIX))
        .map(ToOwned::to_owned)
        .ok_or(TableError::Corrupt {
            kind: "deletion record",
            attribute: keys::SK,
        })
}

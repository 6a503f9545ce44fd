//! DynamoDB to the fault layer: its operations, its errors, and what it leaves
//! unprocessed.

use hyper::{Response, StatusCode, body::Bytes, http::request::Parts};
use serde_json::{Value, json};

use super::{Action, Call, Exchange, Proxy, Service, Unprocessed};

impl Service for Value {
    fn read(head: &Parts, body: Bytes) -> (String, Self) {
        let target = head.headers["x-amz-target"].to_str().unwrap();
        let operation = target.rsplit('.').next().unwrap();
        (operation.to_owned(), serde_json::from_slice(&body).unwrap())
    }

    fn bytes(&self) -> Bytes {
        self.to_string().into()
    }

    fn answer(status: StatusCode, value: &Value) -> Response<Bytes> {
        Response::builder()
            .status(status)
            .header("content-type", "application/x-amz-json-1.0")
            .body(value.to_string().into())
            .unwrap()
    }

    fn split(&self, unprocessed: usize) -> (Option<Self>, Unprocessed) {
        let items = self["RequestItems"].as_object().unwrap();
        let (table, writes) = items.iter().next().unwrap();
        let writes = writes.as_array().unwrap();
        let (back, through) = writes.split_at(unprocessed.min(writes.len()));
        let mut applied = self.clone();
        applied["RequestItems"][table] = json!(through);
        let back = json!({table: back});
        let said = move |said: Option<Bytes>| {
            let said = said.map(|said| serde_json::from_slice(&said).unwrap());
            let mut said: Value = said.unwrap_or_else(|| json!({}));
            said["UnprocessedItems"] = back;
            said
        };
        (
            Some(applied).filter(|_| !through.is_empty()),
            Box::new(said),
        )
    }
}

impl Proxy {
    pub(crate) async fn start(target: String) -> Self {
        Self::before(&target).await
    }

    /// Pages of a campaign's partition have at most this many items.
    pub(crate) fn page_limit(&self, items: u64) {
        self.edit(move |operation, body| {
            if operation == "Query" {
                body["Limit"] = items.into();
            }
        });
    }
}

/// Whether this is the transaction that claims a campaign.
pub(crate) fn is_claim(call: &Call<'_>) -> bool {
    call.operation == "TransactWriteItems" && call.body["TransactItems"][0]["Update"].is_object()
}

/// Whether this is the transaction that finishes a deletion.
pub(crate) fn is_finish(call: &Call<'_>) -> bool {
    call.operation == "TransactWriteItems" && call.body["TransactItems"][0]["Delete"].is_object()
}

/// Whether this is a count-ahead or a release.
pub(crate) fn is_progress(call: &Call<'_>) -> bool {
    call.operation == "UpdateItem"
        && call.body["UpdateExpression"]
            .as_str()
            .is_some_and(|update| update.contains("counted"))
}

pub(crate) fn throttled() -> Action {
    error(
        StatusCode::BAD_REQUEST,
        "ProvisionedThroughputExceededException",
    )
}

pub(crate) fn internal_error() -> Action {
    error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError")
}

pub(crate) fn transaction_in_progress() -> Action {
    error(StatusCode::BAD_REQUEST, "TransactionInProgressException")
}

pub(crate) fn error(status: StatusCode, code: &str) -> Action {
    let body = json!({
        "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
        "message": "made by the fault layer",
    });
    Action::Answer(status, body)
}

pub(crate) fn transaction_conflict() -> Action {
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "message": "Transaction cancelled [TransactionConflict, None]",
        "CancellationReasons": [
            {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"},
            {"Code": "None"},
        ],
    });
    Action::Answer(StatusCode::BAD_REQUEST, body)
}

/// The longest chain of requests of which each was sent after the one before
/// was answered.
pub(crate) fn serial_round_trips(exchanges: &[Exchange]) -> usize {
    let mut by_end: Vec<_> = exchanges.to_vec();
    by_end.sort_by_key(|exchange| exchange.ended);
    let mut chain = 0;
    let mut free_from = None;
    for exchange in by_end {
        if free_from.is_none_or(|at| exchange.begun >= at) {
            chain += 1;
            free_from = Some(exchange.ended);
        }
    }
    chain
}

/// The most requests of an operation that were on their way at the same time.
pub(crate) fn most_at_once(exchanges: &[Exchange], operation: &str) -> usize {
    let of = exchanges
        .iter()
        .filter(|exchange| exchange.operation == operation);
    let of: Vec<_> = of.collect();
    let at_once = of.iter().map(|one| {
        let begun = one.begun;
        of.iter()
            .filter(|other| other.begun <= begun && begun < other.ended)
            .count()
    });
    at_once.max().unwrap()
}

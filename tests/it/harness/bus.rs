//! The event bus of one test: a stand-in for EventBridge with one bus, with the fault layer in
//! front. Each event that it takes is held to the OpenAPI document, and its deletion has to be
//! finished at that moment.

use std::{
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use campaigns::{
    record::{DeletionRef, RecordState},
    table::Table,
};
use hyper::{StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tokio::{runtime::Handle, task::block_in_place, time::Instant};

use super::{
    front::{self, Answer},
    proxy::{Action, Proxy},
};
use crate::http::description;

/// The name of the bus that exists.
pub(crate) const BUS: &str = "campaign-events";

/// The bus. To a test it is its proxy, so that faults are set as in `world.proxy`.
pub(crate) struct Bus {
    proxy: Proxy,
    taken: Arc<Mutex<Vec<Value>>>,
    /// A request was not as it has to be. Its connection is broken, which passes for a fault.
    failed: Arc<AtomicBool>,
}

impl Drop for Bus {
    fn drop(&mut self) {
        let failed = self.failed.load(Ordering::SeqCst);
        assert!(
            !failed || thread::panicking(),
            "a request to the bus is not as it has to be"
        );
    }
}

impl Deref for Bus {
    type Target = Proxy;

    fn deref(&self) -> &Self::Target {
        &self.proxy
    }
}

impl Bus {
    /// Starts a bus for the deletions in this table.
    pub(crate) async fn start(table: Table) -> Self {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let failed = Arc::new(AtomicBool::new(false));
        let (taking, failing) = (taken.clone(), failed.clone());
        let url = front::stand_in(move |_, headers, body| {
            let answered = AssertUnwindSafe(|| answer(&table, &taking, headers, body));
            catch_unwind(answered).unwrap_or_else(|_| {
                failing.store(true, Ordering::SeqCst);
                Answer::json(500, &Value::Null)
            })
        });
        Self {
            proxy: Proxy::before(&url.await).await,
            taken,
            failed,
        }
    }

    /// What the bus has taken: the details, in their order.
    pub(crate) fn taken(&self) -> Vec<Value> {
        self.taken.lock().unwrap().clone()
    }

    /// The id of each event that the bus has taken, once.
    pub(crate) fn ids(&self) -> Vec<String> {
        let taken = self.taken();
        let ids = taken
            .iter()
            .map(|detail| detail["id"].as_str().unwrap().to_owned());
        let mut ids: Vec<_> = ids.collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// How many requests of an operation have arrived.
    pub(crate) fn asked(&self, operation: &str) -> usize {
        let exchanges = self.exchanges();
        let of_it = exchanges.iter().filter(|call| call.operation == operation);
        of_it.count()
    }
}

fn answer(table: &Table, taken: &Mutex<Vec<Value>>, headers: &HeaderMap, body: &Value) -> Answer {
    let signed = headers["authorization"].to_str().unwrap();
    assert!(signed.contains("/events/aws4_request"), "{signed}");
    assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
    match headers["x-amz-target"].to_str().unwrap() {
        "AWSEvents.DescribeEventBus" if body["Name"] == BUS => {
            let arn = format!("arn:aws:events:us-east-1:123456789012:event-bus/{BUS}");
            Answer::json(200, &json!({"Name": BUS, "Arn": arn}))
        }
        "AWSEvents.DescribeEventBus" => {
            let message = "Event bus does not exist.";
            let error = json!({"__type": "ResourceNotFoundException", "message": message});
            Answer::json(400, &error)
        }
        "AWSEvents.PutEvents" => {
            for entry in body["Entries"].as_array().unwrap() {
                let detail: Value =
                    serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
                description::check_event(&json!({
                    "source": entry["Source"],
                    "detail-type": entry["DetailType"],
                    "detail": detail,
                }));
                assert_finished(table, &detail);
                // EventBridge, too, acknowledges what it drops for a bus that does not exist.
                if entry["EventBusName"] == BUS {
                    taken.lock().unwrap().push(detail);
                }
            }
            let entries = json!([{"EventId": "11710aed-b79e-4468-a20b-bb3c0c3b4860"}]);
            Answer::json(200, &json!({"FailedEntryCount": 0, "Entries": entries}))
        }
        other => panic!("{other}"),
    }
}

/// Asserts that the deletion of an event is finished now.
fn assert_finished(table: &Table, detail: &Value) {
    let of = DeletionRef {
        account_id: detail["accountId"].as_str().unwrap().to_owned(),
        deletion_id: detail["deletionId"].as_str().unwrap().to_owned(),
    };
    let deadline = Instant::now() + std::time::Duration::from_secs(10);
    let read = table.record(&of.account_id, &of.deletion_id, deadline);
    let record = block_in_place(|| Handle::current().block_on(read));
    let state = record.unwrap().unwrap().state;
    let completed_at = detail["completedAt"].as_str().unwrap().to_owned();
    assert_eq!(state, RecordState::Succeeded { completed_at });
}

/// An answer that says that the only event of a request was not taken.
pub(crate) fn refused_entry(code: &str) -> Action {
    let entry = json!({"ErrorCode": code, "ErrorMessage": "made by the fault layer"});
    let body = json!({"FailedEntryCount": 1, "Entries": [entry]});
    Action::Answer(StatusCode::OK, body)
}

/// An error of EventBridge.
pub(crate) fn error(code: &str) -> Action {
    let body = json!({"__type": code, "message": "made by the fault layer"});
    Action::Answer(StatusCode::BAD_REQUEST, body)
}

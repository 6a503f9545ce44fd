//! A DynamoDB for the simulation, in this process: the children of one campaign as a rule
//! that gives their keys, in partitions, and the embedded engine for everything else. It takes
//! time by the runtime's clock alone, and counts units.

use std::{
    fmt,
    ops::Sub,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
    },
    http::StatusCode,
};
use campaigns::clock::rfc3339;
use dynoxide::Database;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    partitions::{Ceiling, Partitions},
    proxy::units,
};

/// The kinds of the public reference in the order of their sort keys, with how many there are.
const KINDS: [(&str, usize); 6] = [
    ("ANALYTICS#", 30),
    ("CHAT#", 150),
    ("MESSAGE#", 420),
    ("PROSPECT#", 150),
    ("TASK#", 75),
    ("WEBHOOK#", 12),
];
/// The numbers that ids are made of.
const IDS: usize = 1 << 32;
/// A page has 1 MB, and each child 1 KB.
const MOST_OF_A_PAGE: usize = 1_000;
/// The children that a read unit covers.
const IN_A_READ_UNIT: f64 = 4.0;

/// How the keys of messages begin; those of the other kinds are ids.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Messages {
    WithIds,
    /// Dates of a year.
    WithDates,
}
/// The first date, epoch seconds, and how many there are.
const DATES: (i64, usize) = (1_735_689_600, 365 * 24 * 3_600);

/// The keys of the children: ids that are spread evenly over each kind, as hashes are.
struct Keys {
    /// Where each kind begins; the last one is the number of all.
    begins: Vec<usize>,
    messages: Messages,
}

impl Keys {
    fn new(children: usize, messages: Messages) -> Self {
        let whole: usize = KINDS.iter().map(|(_, part)| part).sum();
        let mut begins = vec![0];
        for part in 1..KINDS.len() {
            let sum: usize = KINDS[..part].iter().map(|(_, part)| part).sum();
            begins.push(children * sum / whole);
        }
        begins.push(children);
        Self { begins, messages }
    }

    fn len(&self) -> usize {
        *self.begins.last().unwrap()
    }

    fn key(&self, position: usize) -> String {
        let kind = self.begins.partition_point(|begin| *begin <= position) - 1;
        let (begin, end) = (self.begins[kind], self.begins[kind + 1]);
        if self.has_date(kind) {
            let (first, many) = DATES;
            let after = (position - begin) * many / (end - begin);
            let date = rfc3339(first + i64::try_from(after).unwrap());
            return format!("{}{date}#{position:08}", KINDS[kind].0);
        }
        let (at, step) = (position - begin, IDS / (end - begin));
        let id = at * step + position.wrapping_mul(2_654_435_761) % step;
        format!("{}{id:08x}", KINDS[kind].0)
    }

    fn has_date(&self, kind: usize) -> bool {
        matches!(self.messages, Messages::WithDates) && KINDS[kind].0 == "MESSAGE#"
    }

    /// How many keys come before this text.
    fn before(&self, text: &str) -> usize {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from.midpoint(to);
            if self.key(middle).as_str() < text {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        from
    }

    /// The position of a child's key.
    fn position(&self, key: &str) -> usize {
        let kind = KINDS
            .iter()
            .position(|(kind, _)| key.starts_with(kind))
            .unwrap();
        let position = if self.has_date(kind) {
            let (_, position) = key.rsplit_once('#').unwrap();
            position.parse().unwrap()
        } else {
            let id = usize::from_str_radix(&key[KINDS[kind].0.len()..], 16).unwrap();
            let (begin, end) = (self.begins[kind], self.begins[kind + 1]);
            begin + id / (IDS / (end - begin))
        };
        assert_eq!(self.key(position), key);
        position
    }
}

/// The children.
struct Children {
    keys: Keys,
    is_there: Vec<bool>,
    partitions: Partitions,
    counted: Counted,
}

/// What the service has counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) read_units: f64,
    pub(crate) write_units: f64,
    pub(crate) deleted: u64,
    pub(crate) unprocessed: u64,
    pub(crate) requests: u64,
}

impl Sub for Counted {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            read_units: self.read_units - before.read_units,
            write_units: self.write_units - before.write_units,
            deleted: self.deleted - before.deleted,
            unprocessed: self.unprocessed - before.unprocessed,
            requests: self.requests - before.requests,
        }
    }
}

/// The service.
pub(crate) struct Service {
    engine: Database,
    latency: Duration,
    begun: Mutex<Instant>,
    children: Mutex<Children>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

/// The connection of a client to the service.
#[derive(Clone, Debug)]
struct Connection(Arc<Service>);

impl HttpConnector for Connection {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let service = self.0.clone();
        HttpConnectorFuture::new(async move {
            sleep(service.latency).await;
            let target = request.headers().get("x-amz-target").unwrap();
            let (_, operation) = target.split_once('.').unwrap();
            let asked = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
            let (status, said) = service.answer(operation, asked);
            let status = StatusCode::try_from(status).unwrap();
            Ok(HttpResponse::new(status, said.to_string().into()))
        })
    }
}

impl Service {
    pub(crate) fn new(
        children: usize,
        messages: Messages,
        ceiling: Ceiling,
        latency: Duration,
    ) -> Arc<Self> {
        let keys = Keys::new(children, messages);
        Arc::new(Self {
            engine: Database::memory().unwrap(),
            latency,
            begun: Mutex::new(Instant::now()),
            children: Mutex::new(Children {
                is_there: vec![true; children],
                partitions: Partitions::new(children, ceiling),
                keys,
                counted: Counted::default(),
            }),
        })
    }

    pub(crate) fn connector(self: &Arc<Self>) -> SharedHttpConnector {
        SharedHttpConnector::new(Connection(self.clone()))
    }

    /// Notes that a deletion begins; what was counted before.
    pub(crate) fn begin(&self) -> Counted {
        *self.begun.lock().unwrap() = Instant::now();
        self.counted()
    }

    pub(crate) fn counted(&self) -> Counted {
        self.children.lock().unwrap().counted.clone()
    }

    pub(crate) fn partitions(&self) -> Partitions {
        self.children.lock().unwrap().partitions.clone()
    }

    /// How many children are left.
    pub(crate) fn left(&self) -> usize {
        let children = self.children.lock().unwrap();
        children
            .is_there
            .iter()
            .filter(|is_there| **is_there)
            .count()
    }

    fn answer(&self, operation: &str, mut asked: Value) -> (u16, Value) {
        let mut children = self.children.lock().unwrap();
        children.counted.requests += 1;
        match operation {
            "BatchWriteItem" => {
                return children.delete(&asked, self.begun.lock().unwrap().elapsed());
            }
            "Query" => return (200, children.page(&asked)),
            _ => {}
        }
        if operation != "CreateTable" {
            asked["ReturnConsumedCapacity"] = "TOTAL".into();
        }
        let said = self.by_engine(operation, asked);
        let units = units(&said["ConsumedCapacity"]);
        if operation == "GetItem" {
            children.counted.read_units += units;
        } else {
            children.counted.write_units += units;
        }
        (200, said)
    }

    fn by_engine(&self, operation: &str, asked: Value) -> Value {
        macro_rules! by {
            ($call:ident) => {
                serde_json::to_value(
                    self.engine
                        .$call(serde_json::from_value(asked).unwrap())
                        .unwrap(),
                )
            };
        }
        let said = match operation {
            "CreateTable" => by!(create_table),
            "GetItem" => by!(get_item),
            "PutItem" => by!(put_item),
            "UpdateItem" => by!(update_item),
            "TransactWriteItems" => by!(transact_write_items),
            _ => panic!("the simulation knows no {operation}"),
        };
        said.unwrap()
    }
}

impl Children {
    fn delete(&mut self, asked: &Value, now: Duration) -> (u16, Value) {
        let (table, writes) = asked["RequestItems"]
            .as_object()
            .unwrap()
            .iter()
            .next()
            .unwrap();
        let mut back = Vec::new();
        let writes = writes.as_array().unwrap();
        for write in writes {
            let key = write["DeleteRequest"]["Key"]["SK"]["S"].as_str().unwrap();
            let position = self.keys.position(key);
            if self.partitions.takes(position, now) {
                self.is_there[position] = false;
            } else {
                back.push(write.clone());
            }
        }
        let deleted = writes.len() - back.len();
        self.counted.deleted += deleted as u64;
        self.counted.unprocessed += back.len() as u64;
        self.counted.write_units += deleted as f64;
        if deleted == 0 {
            let kind = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
            return (
                400,
                json!({"__type": kind, "message": "The partition takes no more."}),
            );
        }
        let unprocessed = if back.is_empty() {
            json!({})
        } else {
            json!({ table: back })
        };
        let consumed = json!([{ "TableName": table, "CapacityUnits": deleted }]);
        (
            200,
            json!({"UnprocessedItems": unprocessed, "ConsumedCapacity": consumed}),
        )
    }

    fn page(&mut self, asked: &Value) -> Value {
        let limit = asked["Limit"]
            .as_u64()
            .map_or(MOST_OF_A_PAGE, |limit| usize::try_from(limit).unwrap());
        let after = asked["ExclusiveStartKey"]["SK"]["S"].as_str();
        // What comes before a text with a character of zero behind it, comes up to the text.
        let up_to = |text: &str| self.keys.before(&format!("{text}\0"));
        let through = asked["ExpressionAttributeValues"][":through"]["S"].as_str();
        let range = after.map_or(0, up_to)..through.map_or(self.keys.len(), up_to);
        let mut found = range.filter(|position| self.is_there[*position]);
        let is_backwards = asked["ScanIndexForward"] == false;
        let positions: Vec<usize> = if is_backwards {
            found.rev().take(limit).collect()
        } else {
            found.by_ref().take(limit.min(MOST_OF_A_PAGE)).collect()
        };
        let item = |position: &usize| json!({"SK": {"S": self.keys.key(*position)}});
        let items: Vec<Value> = positions.iter().map(item).collect();
        let units = (items.len() as f64 / IN_A_READ_UNIT).ceil().max(1.0);
        self.counted.read_units += units;
        let consumed = json!({"TableName": asked["TableName"], "CapacityUnits": units});
        let mut said = json!({"Count": items.len(), "ScannedCount": items.len(), "ConsumedCapacity": consumed});
        if items.len() == limit.min(MOST_OF_A_PAGE) {
            let partition = &asked["ExpressionAttributeValues"][":PK"];
            said["LastEvaluatedKey"] = json!({"PK": partition, "SK": items.last().unwrap()["SK"]});
        }
        said["Items"] = items.into();
        said
    }
}

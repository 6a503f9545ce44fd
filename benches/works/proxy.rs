//! The proxy in front of the endpoint, which takes time, has partitions, and returns writes
//! unprocessed.

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::HeaderMap,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::partitions::{Ceiling, Partitions};

/// What has gone through the proxy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) requests: u64,
    /// Writes in batches that were done.
    pub(crate) writes: u64,
    /// Unprocessed writes.
    pub(crate) handed_back: u64,
    /// Read and write units, where there are partitions.
    pub(crate) units: f64,
    /// What the partitions allow at best, seconds, if there are any.
    pub(crate) best: Option<f64>,
    /// For each split, the seconds until it was followed; `None` if it never was.
    pub(crate) followed: Vec<Option<f64>>,
}

/// The keys of a campaign in their partitions.
struct Table {
    /// In order.
    keys: Vec<String>,
    partitions: Mutex<Partitions>,
    /// When the first batch came.
    begun: OnceLock<Instant>,
}

struct State {
    target: String,
    client: Client<HttpConnector, Full<Bytes>>,
    latency: Duration,
    table: Option<Table>,
    traffic: Mutex<Traffic>,
}

/// The proxy.
pub(crate) struct Proxy {
    url: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Starts a proxy. With a ceiling, these keys are in partitions.
    pub(crate) async fn start(
        target: &str,
        latency: Duration,
        ceiling: Option<Ceiling>,
        keys: Vec<String>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let state = Arc::new(State {
            target: target.to_owned(),
            client: Client::builder(TokioExecutor::new()).build(connector),
            latency,
            table: ceiling.map(|ceiling| Table {
                partitions: Mutex::new(Partitions::new(keys.len(), ceiling)),
                keys,
                begun: OnceLock::new(),
            }),
            traffic: Mutex::default(),
        });
        let serving = state.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let state = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(state.clone(), request));
                    // A client that ends breaks its connection.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { url, state, task }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let traffic = self.state.traffic.lock().unwrap().clone();
        let Some(table) = &self.state.table else {
            return traffic;
        };
        let partitions = table.partitions.lock().unwrap();
        let followed = partitions.followed().into_iter();
        Traffic {
            best: Some(partitions.best().as_secs_f64()),
            followed: followed.map(|it| it.map(|it| it.as_secs_f64())).collect(),
            ..traffic
        }
    }
}

impl Table {
    /// Takes out of a batch what its partitions do not take now.
    fn throttle(&self, batch: &mut Value) -> Throttled {
        let now = self.begun.get_or_init(Instant::now).elapsed();
        let tables = batch["RequestItems"].as_object_mut().unwrap();
        let (name, writes) = tables.iter_mut().next().unwrap();
        let writes = writes.as_array_mut().unwrap();
        let mut partitions = self.partitions.lock().unwrap();
        let takes = |write: &Value| {
            let key = write["DeleteRequest"]["Key"]["SK"]["S"].as_str().unwrap();
            let position = self.keys.partition_point(|other| other.as_str() < key);
            partitions.takes(position, now)
        };
        let (applied, back): (Vec<Value>, Vec<Value>) = writes.drain(..).partition(takes);
        *writes = applied;
        Throttled {
            taken: writes.len(),
            handed_back: back.len(),
            back: (!back.is_empty()).then(|| json!({ name.clone(): back })),
        }
    }
}

/// What became of the writes of a batch.
struct Throttled {
    taken: usize,
    handed_back: usize,
    /// The `UnprocessedItems`, if there are any.
    back: Option<Value>,
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    tokio::time::sleep(state.latency).await;
    let target = head.headers.get("x-amz-target");
    let is_batch = target.is_some_and(|target| target.as_bytes().ends_with(b".BatchWriteItem"));
    let Some(table) = &state.table else {
        // Each of the writes of a batch has a key.
        let deletes = body.windows(15).filter(|it| it == b"\"DeleteRequest\"");
        note(&state, if is_batch { deletes.count() } else { 0 }, 0);
        return forward(&state, &head.headers, body).await;
    };
    let mut asked: Value = serde_json::from_slice(&body).unwrap();
    asked["ReturnConsumedCapacity"] = "TOTAL".into();
    let throttled = is_batch.then(|| table.throttle(&mut asked));
    let (taken, handed_back) = throttled
        .as_ref()
        .map_or((0, 0), |it| (it.taken, it.handed_back));
    note(&state, taken, handed_back);
    if is_batch && taken == 0 {
        // DynamoDB throttles the request when it can do nothing of it.
        return Ok(json_answer(
            StatusCode::BAD_REQUEST,
            &json!({
                "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
                "message": "The partition takes no more.",
            }),
        ));
    }
    let response = forward(&state, &head.headers, asked.to_string().into()).await?;
    let (mut head, body) = response.into_parts();
    let mut body = body.collect().await.unwrap_or_default().to_bytes();
    let mut said: Value = serde_json::from_slice(&body).unwrap();
    state.traffic.lock().unwrap().units += units(&said["ConsumedCapacity"]);
    if let Some(back) = throttled.and_then(|throttled| throttled.back) {
        said["UnprocessedItems"] = back;
        body = Bytes::from(said.to_string());
        // The checksum of another body.
        head.headers.remove("x-amz-crc32");
    }
    Ok(Response::from_parts(head, Full::new(body)))
}

/// Sends a request to the endpoint.
async fn forward(
    state: &State,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let mut forwarded = Request::post(&state.target);
    for (name, value) in headers {
        if name != "host" && name != "content-length" {
            forwarded = forwarded.header(name, value);
        }
    }
    let forwarded = forwarded.body(Full::new(body)).unwrap();
    let response = state.client.request(forwarded).await.unwrap();
    let (mut head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    head.headers.remove("content-length");
    Ok(Response::from_parts(head, Full::new(body)))
}

/// The units of a `ConsumedCapacity`: of one table, or of several.
pub(crate) fn units(consumed: &Value) -> f64 {
    match consumed {
        Value::Array(tables) => tables.iter().map(units).sum(),
        table => table["CapacityUnits"].as_f64().unwrap_or(0.0),
    }
}

fn note(state: &State, writes: usize, handed_back: usize) {
    let mut traffic = state.traffic.lock().unwrap();
    traffic.requests += 1;
    traffic.writes += writes as u64;
    traffic.handed_back += handed_back as u64;
}

pub(crate) fn json_answer(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(value.to_string()));
    *response.status_mut() = status;
    let json = "application/x-amz-json-1.0".parse().unwrap();
    response.headers_mut().insert("content-type", json);
    response
}

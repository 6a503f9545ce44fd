//! The endpoint: the embedded engine in another process, and the proxy in front of
//! it that takes time and hands writes back.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// `campaigns serve`, of which the endpoint alone is used.
pub(crate) struct Engine {
    child: Child,
    url: String,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Err: it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor time of a process so far, seconds.
pub(crate) fn cpu_of(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    // utime and stime, in ticks of 10 ms (proc(5), fields 14 and 15).
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

impl Engine {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_campaigns"))
            .args(["serve", "--port", "0", "--dynamodb-port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let mut printed = String::new();
        while !printed.contains("Ctrl-C stops") {
            printed += &lines.next().expect("campaigns serve has ended").unwrap();
        }
        let (_, url) = printed.split_once("its DynamoDB at ").unwrap();
        let url = url.split_whitespace().next().unwrap().to_owned();
        Self { child, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn cpu(&self) -> f64 {
        cpu_of(self.child.id())
    }

    /// Puts a campaign with this many children, of the kinds and sizes of `seed`.
    pub(crate) fn seed(&self, campaign: &str, items: usize) {
        let seeded = Command::new(env!("CARGO_BIN_EXE_campaigns"))
            .args([
                "seed",
                campaign,
                "--total",
                &items.to_string(),
                "--endpoint-url",
                &self.url,
            ])
            .output()
            .unwrap();
        assert!(
            seeded.status.success(),
            "{}",
            String::from_utf8_lossy(&seeded.stderr)
        );
    }

    /// How many children the first page of a campaign shows.
    pub(crate) async fn left(&self, campaign: &str) -> usize {
        let page = self.page(campaign, &Value::Null).await;
        let items = page["Items"].as_array().unwrap().iter();
        items.filter(|item| item["SK"]["S"] != "CAMPAIGN").count()
    }

    /// The sort keys of a campaign at which its partitions end, by the shares of its items;
    /// the last one ends nowhere.
    pub(crate) async fn borders(&self, campaign: &str, shares: &[f64]) -> Vec<String> {
        let (mut keys, mut after) = (Vec::new(), Value::Null);
        loop {
            let page = self.page(campaign, &after).await;
            let items = page["Items"].as_array().unwrap().iter();
            keys.extend(items.map(|item| item["SK"]["S"].as_str().unwrap().to_owned()));
            after = page["LastEvaluatedKey"].clone();
            if after.is_null() {
                break;
            }
        }
        let mut sum = 0.0;
        let border = |share: &f64| {
            sum += share;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a number of items"
            )]
            let at = (sum * keys.len() as f64) as usize;
            keys[at].clone()
        };
        shares[..shares.len() - 1].iter().map(border).collect()
    }

    async fn page(&self, campaign: &str, after: &Value) -> Value {
        let mut query = json!({
            "TableName": "campaigns", "ConsistentRead": true, "ProjectionExpression": "PK, SK",
            "KeyConditionExpression": "PK = :campaign",
            "ExpressionAttributeValues": {":campaign": {"S": format!("CAMPAIGN#{campaign}")}},
        });
        if !after.is_null() {
            query["ExclusiveStartKey"] = after.clone();
        }
        let request = Request::post(&self.url)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", "DynamoDB_20120810.Query")
            .header("x-amz-date", "20260101T000000Z")
            .header("authorization", "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
            .body(Full::<Bytes>::from(query.to_string()))
            .unwrap();
        let client: Client<HttpConnector, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let page: Value = serde_json::from_slice(&body).unwrap();
        assert!(page["Items"].is_array(), "{page}");
        page
    }
}

/// Writes that each partition takes, as a token bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ceiling {
    pub(crate) per_second: f64,
    pub(crate) burst: f64,
    /// The shares of the items that the partitions have, in the order of the sort key.
    pub(crate) shares: &'static [f64],
}

/// What has gone through the proxy.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) requests: u64,
    /// Writes in batches that were done.
    pub(crate) writes: u64,
    /// Unprocessed writes.
    pub(crate) handed_back: u64,
}

struct State {
    target: String,
    client: Client<HttpConnector, Full<Bytes>>,
    latency: Duration,
    ceiling: Option<Ceiling>,
    /// The last key of each partition but the last.
    borders: Vec<String>,
    /// Of each partition, tokens, and when they were counted.
    buckets: Mutex<Vec<(f64, Instant)>>,
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
    pub(crate) async fn start(
        target: &str,
        latency: Duration,
        ceiling: Option<Ceiling>,
        borders: Vec<String>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let state = Arc::new(State {
            target: target.to_owned(),
            client: Client::builder(TokioExecutor::new()).build(connector),
            latency,
            ceiling,
            buckets: Mutex::new(vec![
                (
                    ceiling.map_or(0.0, |ceiling| ceiling.burst),
                    Instant::now()
                );
                borders.len() + 1
            ]),
            borders,
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
        *self.state.traffic.lock().unwrap()
    }
}

impl State {
    /// Returns whether the partition of a write takes it now.
    fn takes(&self, write: &Value) -> bool {
        let Some(ceiling) = self.ceiling else {
            return true;
        };
        let key = write["DeleteRequest"]["Key"]["SK"]["S"].as_str().unwrap();
        let partition = self.borders.partition_point(|border| border.as_str() < key);
        let (tokens, filled_at) = &mut self.buckets.lock().unwrap()[partition];
        let now = Instant::now();
        let filled = (now - *filled_at).as_secs_f64() * ceiling.per_second;
        *tokens = (*tokens + filled).min(ceiling.burst);
        *filled_at = now;
        let takes = *tokens >= 1.0;
        if takes {
            *tokens -= 1.0;
        }
        takes
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let mut body = body.collect().await?.to_bytes();
    tokio::time::sleep(state.latency).await;
    let target = head
        .headers
        .get("x-amz-target")
        .map(|target| target.to_str().unwrap());
    let is_batch = target.is_some_and(|target| target.ends_with(".BatchWriteItem"));
    let mut back = None;
    if is_batch && state.ceiling.is_some() {
        let mut batch: Value = serde_json::from_slice(&body).unwrap();
        let tables = batch["RequestItems"].as_object_mut().unwrap();
        let (table, writes) = tables.iter_mut().next().unwrap();
        let (table, writes) = (table.clone(), writes.as_array_mut().unwrap());
        let (taken, handed_back): (Vec<Value>, Vec<Value>) =
            writes.drain(..).partition(|write| state.takes(write));
        *writes = taken;
        note(&state, writes.len(), handed_back.len());
        if writes.is_empty() {
            // DynamoDB throttles the request when it can do nothing of it.
            return Ok(json_answer(
                StatusCode::BAD_REQUEST,
                &json!({
                    "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
                    "message": "The partition takes no more.",
                }),
            ));
        }
        if !handed_back.is_empty() {
            back = Some(json!({ table: handed_back }));
        }
        body = Bytes::from(batch.to_string());
    } else if is_batch {
        // Each of the writes of a batch has a key.
        let writes = body
            .windows(15)
            .filter(|window| window == b"\"DeleteRequest\"")
            .count();
        note(&state, writes, 0);
    } else {
        note(&state, 0, 0);
    }
    let mut forwarded = Request::post(&state.target);
    for (name, value) in &head.headers {
        if name != "host" && name != "content-length" {
            forwarded = forwarded.header(name, value);
        }
    }
    let forwarded = forwarded.body(Full::new(body)).unwrap();
    let response = state.client.request(forwarded).await.unwrap();
    let (mut head, body) = response.into_parts();
    let mut body = body.collect().await?.to_bytes();
    if let Some(back) = back {
        let mut said: Value = serde_json::from_slice(&body).unwrap();
        said["UnprocessedItems"] = back;
        body = Bytes::from(said.to_string());
        // The checksum of another body.
        head.headers.remove("x-amz-crc32");
    }
    head.headers.remove("content-length");
    Ok(Response::from_parts(head, Full::new(body)))
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

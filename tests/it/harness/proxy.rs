//! The fault layer: an HTTP proxy in front of the endpoint that does what
//! networks and DynamoDB do and no local engine does by itself. It throttles,
//! returns unprocessed items, conflicts, fails, loses requests, loses answers, and
//! delivers requests after their sender has given up on them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

/// A request that arrived at the proxy.
pub(crate) struct Call<'a> {
    /// DynamoDB's name of the operation.
    pub(crate) operation: &'a str,
    /// How many requests came before it.
    pub(crate) number: usize,
    /// How many of the same operation came before it.
    pub(crate) nth: usize,
    /// Its body, which may be changed.
    pub(crate) body: &'a mut Value,
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

/// What happens to a request.
#[derive(Clone)]
pub(crate) enum Action {
    /// It goes through.
    Pass,
    /// It goes through after a while.
    Delay(Duration),
    /// It never arrives.
    LoseRequest,
    /// It is applied, and its answer never arrives.
    LoseAnswer,
    /// Its sender sees it lost; it is applied after a while.
    Late(Duration),
    /// Its sender sees it lost; it is applied once this is notified.
    LateUntil(Arc<Notify>),
    /// It is answered with this instead.
    Answer(StatusCode, Value),
    /// All but this many writes of a batch are applied; the rest is unprocessed.
    Unprocessed(usize),
    /// It is applied and then there is never an answer.
    Hang,
    /// It goes through once this is notified.
    Wait(Arc<Notify>),
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

/// An exchange as the proxy saw it.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) operation: String,
    pub(crate) body: Value,
    pub(crate) answer: Bytes,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
}

type Policy = Arc<dyn Fn(&mut Call<'_>) -> Action + Send + Sync>;
type Matches = Arc<dyn Fn(&Call<'_>) -> bool + Send + Sync>;

/// A request that waits in the proxy.
#[derive(Clone)]
pub(crate) struct Pause {
    reached: Arc<Notify>,
    resumed: Arc<Notify>,
}

impl Pause {
    /// Waits until the request is in the proxy.
    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Lets the request through.
    pub(crate) fn resume(&self) {
        self.resumed.notify_one();
    }
}

pub(crate) struct Proxy {
    state: Arc<State>,
    url: String,
    task: JoinHandle<()>,
}

/// A request that may be a late one.
struct Undecided(Arc<State>);

impl Drop for Undecided {
    fn drop(&mut self) {
        self.0.late.fetch_sub(1, Ordering::SeqCst);
    }
}

struct State {
    target: String,
    client: Client<HttpConnector, Full<Bytes>>,
    policy: Mutex<Policy>,
    pauses: Mutex<Vec<(Matches, Pause)>>,
    page_limit: Mutex<Option<u64>>,
    date: Mutex<Option<String>>,
    counts: Mutex<HashMap<String, usize>>,
    exchanges: Mutex<Vec<Exchange>>,
    late: AtomicUsize,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub(crate) async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            target,
            client: Client::builder(TokioExecutor::new()).build_http(),
            policy: Mutex::new(Arc::new(|_| Action::Pass)),
            pauses: Mutex::default(),
            page_limit: Mutex::new(None),
            date: Mutex::new(None),
            counts: Mutex::default(),
            exchanges: Mutex::default(),
            late: AtomicUsize::new(0),
        });
        let serving = state.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let state = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| state.clone().serve(request));
                    // A connection that the proxy breaks on purpose ends with an error.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { state, url, task }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Sets what happens to requests from now on; counting starts again.
    pub(crate) fn policy(&self, policy: impl Fn(&mut Call<'_>) -> Action + Send + Sync + 'static) {
        *self.state.policy.lock().unwrap() = Arc::new(policy);
        self.state.pauses.lock().unwrap().clear();
        self.start_counting();
    }

    /// Pauses the first request that matches, until it is resumed; the others are
    /// subject to the policy. Counting starts again.
    pub(crate) fn pause_at(
        &self,
        matches: impl Fn(&Call<'_>) -> bool + Send + Sync + 'static,
    ) -> Pause {
        let pause = Pause {
            reached: Arc::default(),
            resumed: Arc::default(),
        };
        let pauses = &self.state.pauses;
        pauses
            .lock()
            .unwrap()
            .push((Arc::new(matches), pause.clone()));
        self.start_counting();
        pause
    }

    /// Pauses the `nth` request of an operation, from 0.
    pub(crate) fn pause_at_nth(&self, operation: &'static str, nth: usize) -> Pause {
        self.pause_at(move |call| call.operation == operation && call.nth == nth)
    }

    fn start_counting(&self) {
        self.state.counts.lock().unwrap().clear();
        self.state.exchanges.lock().unwrap().clear();
    }

    /// Requests go through from now on.
    pub(crate) fn pass(&self) {
        self.policy(|_| Action::Pass);
    }

    /// Pages of a campaign's partition have at most this many items.
    pub(crate) fn page_limit(&self, items: u64) {
        *self.state.page_limit.lock().unwrap() = Some(items);
    }

    /// Answers have this `Date`.
    pub(crate) fn date(&self, date: &str) {
        *self.state.date.lock().unwrap() = Some(date.to_owned());
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.state.exchanges.lock().unwrap().clone()
    }

    /// Waits until every late request has been applied.
    pub(crate) async fn settle(&self) {
        while self.state.late.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
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

impl State {
    async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, std::io::Error> {
        let begun = Instant::now();
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?;
        let target = head.headers.get("x-amz-target").unwrap();
        let operation = target.to_str().unwrap().rsplit('.').next().unwrap();
        let operation = operation.to_owned();
        let mut body: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
        let page_limit = *self.page_limit.lock().unwrap();
        if operation == "Query"
            && let Some(limit) = page_limit
        {
            body["Limit"] = limit.into();
        }
        // Counted as late until it is clear that it is not, so that `settle`,
        // called by whom the policy has woken, waits for it.
        self.late.fetch_add(1, Ordering::SeqCst);
        let action = self.decide(&operation, &mut body);
        let mut undecided = Some(Undecided(self.clone()));
        let lost = || std::io::Error::other("lost by the fault layer");
        let begins_late = matches!(
            action,
            Action::Late(_) | Action::LateUntil(_) | Action::LoseAnswer | Action::Hang
        );
        if !begins_late {
            undecided.take();
        }
        let mut answer = match action {
            Action::Pass => self.forward(&head, &body).await,
            Action::Delay(delay) => {
                tokio::time::sleep(delay).await;
                self.forward(&head, &body).await
            }
            Action::LoseRequest => return Err(lost()),
            Action::LoseAnswer => {
                // Applied even if the sender goes away meanwhile.
                let applied = self.later(head, body, std::future::ready(()));
                undecided.take();
                applied.await.unwrap();
                return Err(lost());
            }
            Action::Late(delay) => {
                drop(self.later(head, body, async move { tokio::time::sleep(delay).await }));
                return Err(lost());
            }
            Action::LateUntil(notify) => {
                drop(self.later(head, body, async move { notify.notified().await }));
                return Err(lost());
            }
            Action::Answer(status, value) => answer(status, &value),
            Action::Unprocessed(count) => self.unprocessed(&head, &body, count).await,
            Action::Hang => {
                let applied = self.later(head, body.clone(), std::future::ready(()));
                undecided.take();
                applied.await.unwrap();
                std::future::pending().await
            }
            Action::Wait(notify) => {
                notify.notified().await;
                self.forward(&head, &body).await
            }
        };
        if let Some(date) = &*self.date.lock().unwrap() {
            answer.headers_mut().insert("date", date.parse().unwrap());
        }
        let answered = answer.body().clone().collect().await;
        self.exchanges.lock().unwrap().push(Exchange {
            operation,
            body,
            answer: answered.unwrap().to_bytes(),
            begun,
            ended: Instant::now(),
        });
        Ok(answer)
    }

    fn decide(&self, operation: &str, body: &mut Value) -> Action {
        let policy = self.policy.lock().unwrap().clone();
        let (number, nth) = {
            let mut counts = self.counts.lock().unwrap();
            let number = counts.values().sum();
            let nth = counts.entry(operation.to_owned()).or_default();
            *nth += 1;
            (number, *nth - 1)
        };
        let mut call = Call {
            operation,
            number,
            nth,
            body,
        };
        let mut pauses = self.pauses.lock().unwrap();
        if let Some(at) = pauses.iter().position(|(matches, _)| matches(&call)) {
            let (_, pause) = pauses.remove(at);
            pause.reached.notify_one();
            return Action::Wait(pause.resumed);
        }
        drop(pauses);
        policy(&mut call)
    }

    fn later(
        self: &Arc<Self>,
        head: Parts,
        body: Value,
        when: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let state = self.clone();
        state.late.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            when.await;
            state.forward(&head, &body).await;
            state.late.fetch_sub(1, Ordering::SeqCst);
        })
    }

    async fn forward(&self, head: &Parts, body: &Value) -> Response<Full<Bytes>> {
        let mut request = Request::post(&self.target);
        for (name, value) in &head.headers {
            if name != "content-length" && name != "host" {
                request = request.header(name, value);
            }
        }
        let request = request.body(Full::from(body.to_string())).unwrap();
        let (head, body) = match self.client.request(request).await {
            Ok(response) => response.into_parts(),
            // The endpoint closed a connection that was idle: as if down.
            Err(_) => return answer(StatusCode::SERVICE_UNAVAILABLE, &json!({})),
        };
        let body = body.collect().await.unwrap().to_bytes();
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = head.status;
        for name in ["content-type", "x-amzn-requestid"] {
            if let Some(value) = head.headers.get(name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        response
    }

    async fn unprocessed(&self, head: &Parts, body: &Value, count: usize) -> Response<Full<Bytes>> {
        let items = body["RequestItems"].as_object().unwrap();
        let (table, writes) = items.iter().next().unwrap();
        let writes = writes.as_array().unwrap();
        let (back, through) = writes.split_at(count.min(writes.len()));
        let mut said = json!({});
        if !through.is_empty() {
            let mut applied = body.clone();
            applied["RequestItems"][table] = json!(through);
            let response = self.forward(head, &applied).await;
            let body = response.into_body().collect().await.unwrap().to_bytes();
            said = serde_json::from_slice(&body).unwrap();
        }
        said["UnprocessedItems"] = json!({table: back});
        answer(StatusCode::OK, &said)
    }
}

fn answer(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(value.to_string()));
    *response.status_mut() = status;
    let json = "application/x-amz-json-1.0".parse().unwrap();
    response.headers_mut().insert("content-type", json);
    response
}

//! The fault layer: an HTTP proxy in front of an endpoint that does what networks
//! and services do and no local engine does by itself. It throttles, conflicts, fails,
//! loses requests, loses answers, breaks off in the middle of either, and delivers
//! requests after their sender has given up on them. What it has to know of a service
//! is in a file of the service's own.

mod dynamodb;
mod payload;
mod s3;
mod state;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use hyper::{
    Response, StatusCode, body::Bytes, http::request::Parts, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Barrier, Notify},
    task::JoinHandle,
};

use self::state::State;
pub(crate) use self::{
    dynamodb::{
        error, internal_error, is_claim, is_finish, is_progress, most_at_once, serial_round_trips,
        throttled, transaction_conflict, transaction_in_progress,
    },
    s3::{Object, access_denied, expired_token, slow_down},
};

/// What the proxy has to know of a service: the bodies of its requests, as DynamoDB's
/// are by default.
pub(crate) trait Service: Clone + Send + Sync + 'static {
    /// The service's name of a request's operation, and its body.
    fn read(head: &Parts, body: Bytes) -> (String, Self);

    /// The bytes of a body.
    fn bytes(&self) -> Bytes;

    /// An answer that the service could have given.
    fn answer(status: StatusCode, value: &Value) -> Response<Bytes>;

    /// The body without this many of its writes, unless that is all, and what says in its
    /// answer that they are unprocessed.
    fn split(&self, _unprocessed: usize) -> (Option<Self>, Unprocessed) {
        panic!("this service has no unprocessed writes")
    }
}

/// Makes an answer one with unprocessed writes; without one, nothing was left to apply.
pub(crate) type Unprocessed = Box<dyn FnOnce(Option<Bytes>) -> Value + Send>;

/// A request that arrived at the proxy.
pub(crate) struct Call<'a, S = Value> {
    /// The service's name of the operation.
    pub(crate) operation: &'a str,
    /// Its path, as it was sent.
    pub(crate) path: &'a str,
    /// How many requests came before it.
    pub(crate) number: usize,
    /// How many of the same operation came before it.
    pub(crate) nth: usize,
    /// Its body, which may be changed.
    pub(crate) body: &'a mut S,
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
    /// It goes through once as many are on their way as this waits for, and a moment
    /// later, so that one too many shows.
    Together(Arc<Barrier>),
    /// The first half of it arrives, then its connection breaks.
    HalfRequest,
    /// It is applied, and the connection breaks in the middle of its answer.
    HalfAnswer,
}

/// An exchange as the proxy saw it.
#[derive(Clone, Debug)]
pub(crate) struct Exchange<S = Value> {
    pub(crate) operation: String,
    pub(crate) path: String,
    pub(crate) body: S,
    pub(crate) answer: Bytes,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
}

type Policy<S> = Arc<dyn Fn(&mut Call<'_, S>) -> Action + Send + Sync>;
type Matches<S> = Arc<dyn Fn(&Call<'_, S>) -> bool + Send + Sync>;
type Edit<S> = Arc<dyn Fn(&str, &mut S) + Send + Sync>;

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

pub(crate) struct Proxy<S: Service = Value> {
    state: Arc<State<S>>,
    url: String,
    task: JoinHandle<()>,
}

impl<S: Service> Drop for Proxy<S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<S: Service> Proxy<S> {
    /// Starts a proxy before an endpoint.
    pub(crate) async fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State::before(target));
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
    pub(crate) fn policy(
        &self,
        policy: impl Fn(&mut Call<'_, S>) -> Action + Send + Sync + 'static,
    ) {
        *self.state.policy.lock().unwrap() = Arc::new(policy);
        self.state.pauses.lock().unwrap().clear();
        self.start_counting();
    }

    /// Pauses the first request that matches, until it is resumed; the others are
    /// subject to the policy. Counting starts again.
    pub(crate) fn pause_at(
        &self,
        matches: impl Fn(&Call<'_, S>) -> bool + Send + Sync + 'static,
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

    /// Changes every request before the policy sees it.
    fn edit(&self, edit: impl Fn(&str, &mut S) + Send + Sync + 'static) {
        *self.state.edit.lock().unwrap() = Arc::new(edit);
    }

    /// Answers have this `Date`.
    pub(crate) fn date(&self, date: &str) {
        *self.state.date.lock().unwrap() = Some(date.to_owned());
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange<S>> {
        self.state.exchanges.lock().unwrap().clone()
    }

    /// Waits until every late request has been applied.
    pub(crate) async fn settle(&self) {
        while self.state.late.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

//! What happens to one request in the proxy: it is decided, done, and recorded.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
    http::request::Parts,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{
    Action, Call, Edit, Exchange, Matches, Pause, Policy, Service,
    payload::{Payload, half, whole},
};

/// How long requests that wait for one another are held once all are there.
const MOMENT: Duration = Duration::from_millis(200);

/// A request that may be a late one.
struct Undecided(Arc<AtomicUsize>);

impl Undecided {
    /// Counted as late until it is clear that it is not, so that `settle`, called by
    /// whom the policy has woken, waits for it.
    fn begin(late: &Arc<AtomicUsize>) -> Self {
        late.fetch_add(1, Ordering::SeqCst);
        Self(late.clone())
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) struct State<S> {
    target: String,
    client: Client<HttpConnector, Payload>,
    pub(super) policy: Mutex<Policy<S>>,
    pub(super) pauses: Mutex<Vec<(Matches<S>, Pause)>>,
    pub(super) edit: Mutex<Edit<S>>,
    pub(super) date: Mutex<Option<String>>,
    pub(super) counts: Mutex<HashMap<String, usize>>,
    pub(super) exchanges: Mutex<Vec<Exchange<S>>>,
    pub(super) late: Arc<AtomicUsize>,
}

impl<S: Service> State<S> {
    /// The state of a proxy before an endpoint.
    pub(super) fn before(target: &str) -> Self {
        Self {
            target: target.trim_end_matches('/').to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            policy: Mutex::new(Arc::new(|_| Action::Pass)),
            pauses: Mutex::default(),
            edit: Mutex::new(Arc::new(|_, _| ())),
            date: Mutex::new(None),
            counts: Mutex::default(),
            exchanges: Mutex::default(),
            late: Arc::default(),
        }
    }

    pub(super) async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Payload>, std::io::Error> {
        let begun = Instant::now();
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?;
        let (operation, mut body) = S::read(&head, body.to_bytes());
        let path = head.uri.path().to_owned();
        let edit = self.edit.lock().unwrap().clone();
        edit(&operation, &mut body);
        let undecided = Undecided::begin(&self.late);
        let action = self.decide(&operation, &path, &mut body);
        let is_cut = matches!(action, Action::HalfAnswer);
        let mut answer = self.act(action, undecided, &head, &body).await?;
        if let Some(date) = &*self.date.lock().unwrap() {
            answer.headers_mut().insert("date", date.parse().unwrap());
        }
        self.exchanges.lock().unwrap().push(Exchange {
            operation,
            path,
            body,
            answer: answer.body().clone(),
            begun,
            ended: Instant::now(),
        });
        if is_cut {
            let length = answer.body().len().into();
            answer.headers_mut().insert(CONTENT_LENGTH, length);
            return Ok(answer.map(|bytes| half(&bytes)));
        }
        Ok(answer.map(whole))
    }

    fn decide(&self, operation: &str, path: &str, body: &mut S) -> Action {
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
            path,
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

    /// Does what was decided for a request. Its answer, if its sender gets one.
    async fn act(
        self: &Arc<Self>,
        action: Action,
        undecided: Undecided,
        head: &Parts,
        body: &S,
    ) -> Result<Response<Bytes>, std::io::Error> {
        let lost = || std::io::Error::other("lost by the fault layer");
        let begins_late = matches!(
            action,
            Action::Late(_) | Action::LateUntil(_) | Action::LoseAnswer | Action::Hang
        );
        let mut undecided = Some(undecided).filter(|_| begins_late);
        match action {
            Action::Pass | Action::HalfAnswer => {}
            Action::Delay(delay) => tokio::time::sleep(delay).await,
            Action::Wait(notify) => notify.notified().await,
            Action::Together(barrier) => {
                barrier.wait().await;
                tokio::time::sleep(MOMENT).await;
            }
            Action::LoseRequest => return Err(lost()),
            Action::HalfRequest => {
                let bytes = body.bytes();
                self.send(head, &bytes, half(&bytes)).await;
                return Err(lost());
            }
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
            Action::Answer(status, value) => return Ok(S::answer(status, &value)),
            Action::Unprocessed(count) => return Ok(self.unprocessed(head, body, count).await),
            Action::Hang => {
                let applied = self.later(head, body, std::future::ready(()));
                undecided.take();
                applied.await.unwrap();
                return std::future::pending().await;
            }
        }
        Ok(self.forward(head, body).await)
    }

    fn later(
        self: &Arc<Self>,
        head: &Parts,
        body: &S,
        when: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let (state, head, body) = (self.clone(), head.clone(), body.clone());
        state.late.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            when.await;
            state.forward(&head, &body).await;
            state.late.fetch_sub(1, Ordering::SeqCst);
        })
    }

    async fn forward(&self, head: &Parts, body: &S) -> Response<Bytes> {
        let bytes = body.bytes();
        self.send(head, &bytes, whole(bytes.clone())).await
    }

    /// Sends a request to the endpoint, which is promised these bytes and sent this payload.
    /// The host stays, since it is signed.
    async fn send(&self, head: &Parts, promised: &Bytes, payload: Payload) -> Response<Bytes> {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder()
            .method(&head.method)
            .uri(format!("{}{path}", self.target));
        for (name, value) in &head.headers {
            request = if name == CONTENT_LENGTH {
                request.header(name, promised.len())
            } else {
                request.header(name, value)
            };
        }
        // The endpoint closed a connection that was idle, or did not get all: as if down.
        let down = |_| S::answer(StatusCode::SERVICE_UNAVAILABLE, &Value::Null);
        let answer = self.client.request(request.body(payload).unwrap()).await;
        let (answered, body) = match answer {
            Ok(answer) => answer.into_parts(),
            Err(error) => return down(error),
        };
        let mut answer = Response::new(body.collect().await.unwrap().to_bytes());
        *answer.status_mut() = answered.status;
        *answer.headers_mut() = answered.headers;
        answer.headers_mut().remove(CONNECTION);
        answer.headers_mut().remove(TRANSFER_ENCODING);
        if head.method != Method::HEAD {
            answer.headers_mut().remove(CONTENT_LENGTH);
        }
        answer
    }

    async fn unprocessed(&self, head: &Parts, body: &S, count: usize) -> Response<Bytes> {
        let (applied, unprocessed) = body.split(count);
        let said = match applied {
            Some(applied) => Some(self.forward(head, &applied).await.into_body()),
            None => None,
        };
        S::answer(StatusCode::OK, &unprocessed(said))
    }
}

//! The built functions under a stand-in for Lambda's Runtime API: it hands
//! out events and takes the answers, as Lambda does.

use std::{
    collections::VecDeque,
    io::Read,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

use crate::harness::World;

const INVOCATION_ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";
const TRACE_ID: &str = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700";

/// What the function answered an event with.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Response(Value),
    Error(Value),
}

#[derive(Default)]
struct Queue {
    events: Mutex<VecDeque<Value>>,
    answers: Mutex<Vec<Answer>>,
    changed: Notify,
}

/// A function's binary.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Binary {
    Api,
    Drain,
    Cleanup,
}

/// A running function.
pub(crate) struct Function {
    child: Child,
    queue: Arc<Queue>,
    server: JoinHandle<()>,
}

impl Drop for Function {
    fn drop(&mut self) {
        self.server.abort();
        // Err: it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Function {
    /// Starts a function over the proxy of this world, which gets these events,
    /// one after another.
    pub(crate) async fn start(
        binary: Binary,
        world: &World,
        events: Vec<Value>,
        environment: &[(&str, &str)],
    ) -> Self {
        let queue = Arc::new(Queue {
            events: Mutex::new(events.into()),
            ..Queue::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = queue.clone();
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let queue = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| serve(queue.clone(), request));
                    // The function's end breaks its connection.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        let child = start(
            binary,
            &[
                ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
                ("TABLE_NAME", world.table.name()),
                ("AWS_ENDPOINT_URL_DYNAMODB", &world.proxy.url()),
            ],
            environment,
        );
        Self {
            child,
            queue,
            server,
        }
    }

    /// Waits for this many answers.
    pub(crate) async fn answers(&self, expected: usize) -> Vec<Answer> {
        let answered = async {
            while self.queue.answers.lock().unwrap().len() < expected {
                self.queue.changed.notified().await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_mins(1), answered).await;
        assert!(in_time.is_ok(), "the function does not answer");
        std::mem::take(&mut *self.queue.answers.lock().unwrap())
    }

    /// Sends its process a signal.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Kills its process; what it has printed.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        let mut printed = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        let mut stderr = self.child.stderr.take().unwrap();
        stdout.read_to_string(&mut printed).unwrap();
        stderr.read_to_string(&mut printed).unwrap();
        printed
    }
}

/// Sends a process a signal, through the shell's own `kill`: a slim machine has
/// no program of the name.
pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {process}")])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Runs `api` over these events, one after another; its answers and its log.
pub(crate) async fn run_api(
    world: &World,
    events: Vec<Value>,
    environment: &[(&str, &str)],
) -> (Vec<Answer>, String) {
    let expected = events.len();
    let function = Function::start(Binary::Api, world, events, environment).await;
    let answers = function.answers(expected).await;
    (answers, function.kill())
}

/// Starts a function with this environment and no other.
pub(crate) fn start(binary: Binary, environment: &[(&str, &str)], more: &[(&str, &str)]) -> Child {
    let path = match binary {
        Binary::Api => env!("CARGO_BIN_EXE_api"),
        Binary::Drain => env!("CARGO_BIN_EXE_drain"),
        Binary::Cleanup => env!("CARGO_BIN_EXE_cleanup"),
    };
    Command::new(path)
        .env_clear()
        .envs([
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_LAMBDA_FUNCTION_NAME", "function"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ])
        .envs(environment.iter().copied())
        .envs(more.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn serve(
    queue: Arc<Queue>,
    request: Request<Incoming>,
) -> Result<Response<Full<hyper::body::Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    if path.ends_with("/invocation/next") {
        let event = queue.events.lock().unwrap().pop_front();
        let Some(event) = event else {
            return std::future::pending().await;
        };
        let deadline = campaigns::clock::now_ms() + 29_000;
        let response = Response::builder()
            .header("lambda-runtime-aws-request-id", INVOCATION_ID)
            .header("lambda-runtime-deadline-ms", deadline.to_string())
            .header(
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-1:123456789012:function:api",
            )
            .header("lambda-runtime-trace-id", TRACE_ID)
            .body(Full::from(event.to_string()))
            .unwrap();
        return Ok(response);
    }
    let body = request.into_body().collect().await?.to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or(json!(null));
    let answer = if path.ends_with("/response") {
        Answer::Response(body)
    } else {
        Answer::Error(body)
    };
    queue.answers.lock().unwrap().push(answer);
    queue.changed.notify_one();
    let mut accepted = Response::new(Full::from("{}"));
    *accepted.status_mut() = hyper::StatusCode::ACCEPTED;
    Ok(accepted)
}

/// The lines that a function has logged. Each names its invocation and trace, but
/// those from before the first.
pub(crate) fn log_lines(printed: &str) -> Vec<Value> {
    let lines = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")));
    let lines: Vec<Value> = lines
        .filter(|line: &Value| line["_aws"].is_null())
        .collect();
    for line in &lines {
        assert_eq!(line["span"]["invocation_id"], INVOCATION_ID, "{line}");
        assert_eq!(line["span"]["trace_id"], TRACE_ID, "{line}");
    }
    lines
}

/// The metrics that a function has written: each name with its outcome, if it has
/// that dimension, and its value.
pub(crate) fn metrics(printed: &str) -> Vec<(String, Value)> {
    let mut metrics = Vec::new();
    for line in printed.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(directive) = line["_aws"]["CloudWatchMetrics"].get(0) else {
            continue;
        };
        assert_eq!(directive["Namespace"], "Campaigns");
        assert_eq!(line["FunctionName"], "function");
        assert_eq!(line["invocation_id"], INVOCATION_ID);
        let of_outcome = match directive["Dimensions"].as_array().unwrap().as_slice() {
            [dimensions] if *dimensions == json!(["FunctionName"]) => String::new(),
            [dimensions] if *dimensions == json!(["FunctionName", "Outcome"]) => {
                format!(" {}", line["Outcome"].as_str().unwrap())
            }
            other => panic!("{other:?}"),
        };
        for metric in directive["Metrics"].as_array().unwrap() {
            let name = metric["Name"].as_str().unwrap();
            metrics.push((format!("{name}{of_outcome}"), line[name].clone()));
        }
    }
    metrics.sort_by_key(|metric| format!("{metric:?}"));
    metrics
}

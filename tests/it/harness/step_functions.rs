//! A stand-in for Step Functions that records what it is asked to start.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use campaigns::{deletion::HandOff, sdk};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{ACCOUNT, World, delete_event, n, s};

pub(crate) const ARN: &str = "arn:aws:states:us-east-1:123456789012:stateMachine:Deletions";

/// Claims `campaign_1` and leaves all of it.
pub(crate) async fn claimed(world: &World) -> String {
    let mut event = delete_event("campaign_1");
    event["headers"]["prefer"] = "respond-async".into();
    let reply = world.send(event).await;
    assert_eq!(reply.status, 202);
    reply.deletion_id()
}

/// A stand-in for the Step Functions service: what it was asked, and how it
/// answers next.
pub(crate) struct StepFunctions {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Value>>>,
    pub(crate) hand_off: HandOff,
}

/// How the stand-in answers.
#[derive(Clone, Copy)]
pub(crate) enum Start {
    Started,
    AlreadyExists,
    Refused,
    Broken,
    Hang,
}

impl StepFunctions {
    /// Answers the first requests with these, and every other one with the last.
    pub(crate) async fn answering(answers: &[Start]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        let answers = Arc::new(Mutex::new(VecDeque::from(answers.to_vec())));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, answers) = (seen.clone(), answers.clone());
                tokio::spawn(async move {
                    let service = service_fn(|request: Request<Incoming>| {
                        start(seen.clone(), answers.clone(), request)
                    });
                    // A client that gives up breaks its connection.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        let sdk = sdk::on_this_machine(&url);
        Self {
            url,
            asked,
            hand_off: HandOff::to_state_machine(Some(ARN.to_owned()), &sdk),
        }
    }

    pub(crate) fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

async fn start(
    seen: Arc<Mutex<Vec<Value>>>,
    answers: Arc<Mutex<VecDeque<Start>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    assert_eq!(
        request.headers()["x-amz-target"],
        "AWSStepFunctions.StartExecution"
    );
    let body = request.into_body().collect().await?.to_bytes();
    seen.lock()
        .unwrap()
        .push(serde_json::from_slice(&body).unwrap());
    let next = {
        let mut answers = answers.lock().unwrap();
        if answers.len() > 1 {
            answers.pop_front().unwrap()
        } else {
            answers[0]
        }
    };
    let error = |kind: &str| json!({"__type": kind, "message": "made by the stand-in"});
    let (status, body) = match next {
        Start::Started => (
            StatusCode::OK,
            json!({"executionArn": "arn:aws:states:x", "startDate": 1_700_000_000.0}),
        ),
        Start::AlreadyExists => (StatusCode::BAD_REQUEST, error("ExecutionAlreadyExists")),
        Start::Refused => (StatusCode::BAD_REQUEST, error("AccessDeniedException")),
        Start::Broken => (StatusCode::INTERNAL_SERVER_ERROR, error("InternalFailure")),
        Start::Hang => std::future::pending().await,
    };
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    Ok(response)
}

/// Lets a deletion's lease end, or have ended, at this time, epoch milliseconds.
pub(crate) async fn end_lease(world: &World, id: &str, at_ms: i64) {
    world
        .table
        .client()
        .update_item()
        .table_name(world.table.name())
        .key("PK", s(&format!("ACCOUNT#{ACCOUNT}")))
        .key("SK", s(&format!("DELETION#{id}")))
        // What its worker still has on the way is refused.
        .update_expression("SET leaseUntil = :now ADD version :one")
        .expression_attribute_values(":now", n(at_ms))
        .expression_attribute_values(":one", n(1))
        .send()
        .await
        .unwrap();
}

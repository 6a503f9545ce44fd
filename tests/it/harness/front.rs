//! What stands in front of the API and changes what passes, as gateways and proxies do; and
//! a stand-in for a service that answers by itself.

use std::{convert::Infallible, sync::Arc};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::HeaderMap,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor, rt::TokioIo};
use serde_json::Value;
use tokio::net::TcpListener;

/// An answer before it is sent.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.to_string().into(),
        }
    }
}

/// Starts a server that answers each request by this function, and returns its URL.
async fn serve<F, A>(answer: F) -> String
where
    F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let answered = answer(request);
                    async move {
                        let answer = answered.await;
                        let mut response = Response::new(Full::new(answer.body));
                        *response.status_mut() = answer.status;
                        *response.headers_mut() = answer.headers;
                        Ok::<_, Infallible>(response)
                    }
                });
                // A client that gives up breaks its connection.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    url
}

/// Starts a proxy before `target`: `path` changes the path and query of each request, and
/// `answer` each answer, of which it is told the method and path.
pub(crate) async fn before(
    target: String,
    path: impl Fn(&str) -> String + Send + Sync + 'static,
    answer: impl Fn(&str, &mut Answer) + Send + Sync + 'static,
) -> String {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let answer = Arc::new(answer);
    serve(move |request| {
        let (head, _) = request.into_parts();
        let asked = format!("{} {}", head.method, head.uri);
        let uri = format!("{target}{}", path(&head.uri.to_string()));
        let mut forwarded = Request::builder().method(head.method).uri(uri);
        for (name, value) in &head.headers {
            if name != "host" {
                forwarded = forwarded.header(name, value);
            }
        }
        let forwarded = client.request(forwarded.body(Full::default()).unwrap());
        let answer = answer.clone();
        async move {
            let (head, body) = forwarded.await.unwrap().into_parts();
            let mut answered = Answer {
                status: head.status,
                headers: head.headers,
                body: body.collect().await.unwrap().to_bytes(),
            };
            answer(&asked, &mut answered);
            answered
        }
    })
    .await
}

/// Starts a stand-in for a service, which answers each request (method and path, headers,
/// body) by itself.
pub(crate) async fn stand_in(
    answer: impl Fn(&str, &HeaderMap, &Value) -> Answer + Send + Sync + 'static,
) -> String {
    let answer = Arc::new(answer);
    serve(move |request| {
        let answer = answer.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let asked = format!("{} {}", head.method, head.uri);
            answer(&asked, &head.headers, &body)
        }
    })
    .await
}

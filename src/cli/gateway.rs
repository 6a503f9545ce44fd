//! A stand-in for the API Gateway HTTP API: turns each HTTP request into a payload
//! 2.0 event, passes it to the handler that `api` runs, and sends the answer. Like the gateway, it
//! matches the route on the path as sent and decodes the path once. The page of the local server is
//! answered here, beside the API.

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::page::{Page, origin};
use crate::{
    clock::{now_ms, now_rfc3339},
    http::{Api, PATHS, Path},
};

/// The largest body that the gateway takes, bytes ("Quotas for configuring and
/// running an HTTP API": 10 MB).
const BODY_LIMIT: usize = 10 * 1024 * 1024;

/// The most bytes that the request line and the headers may have (the same quotas:
/// 10,240).
const HEAD_LIMIT: usize = 10_240;

/// Serves the API, and the page if there is one, until the future is dropped.
pub async fn serve(listener: TcpListener, api: Api, page: Option<Page>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // This connection broke, or too many are open: the others continue.
                tracing::warn!("a connection was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (api, page) = (api.clone(), page.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| answer(&api, page.as_ref(), request, peer));
            // A connection that breaks concerns its client alone.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                // A client that closes its sending side still gets the answer.
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    api: &Api,
    page: Option<&Page>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    if head_size(&head) > HEAD_LIMIT {
        return Ok(by_itself(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    if let Err(foreign) = origin::check(&head) {
        let (status, code, message) = foreign.public();
        return Ok(error(status, &json!({ "error": code, "message": message })));
    }
    if let Some(page) = page
        && let Some(answer) = page.answer(&head).await
    {
        return Ok(answer);
    }
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return Ok(by_itself(StatusCode::PAYLOAD_TOO_LARGE));
    };
    let request_id = Uuid::new_v4().to_string();
    let event = event(&head, &body.to_bytes(), peer, &request_id);
    let Ok(event) = serde_json::from_value::<ApiGatewayV2httpRequest>(event) else {
        return Ok(by_itself(StatusCode::BAD_REQUEST));
    };
    // A function continues when its caller disconnects.
    let api = api.clone();
    let answer = tokio::spawn(async move { api.handle(&event, &request_id, None).await });
    let Ok(answer) = answer.await else {
        return Ok(by_itself(StatusCode::INTERNAL_SERVER_ERROR));
    };
    Ok(response(answer).unwrap_or_else(|| by_itself(StatusCode::INTERNAL_SERVER_ERROR)))
}

/// The size of the request line and the headers in bytes, without separators.
fn head_size(head: &hyper::http::request::Parts) -> usize {
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len());
    head.uri.to_string().len() + headers.sum::<usize>()
}

/// An answer that the gateway gives itself, without calling the function.
fn by_itself(status: StatusCode) -> Response<Full<Bytes>> {
    let message = status.canonical_reason().unwrap_or_default();
    error(status, &json!({ "message": message }))
}

fn error(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// Returns the route of a path as sent, and the parameter's value.
fn route<'a>(method: &str, path: &'a str) -> Option<(&'static Path, &'a str)> {
    PATHS
        .iter()
        .filter(|known| known.method == method)
        .find_map(|known| {
            let rest = path.strip_prefix(known.text)?;
            let rest = rest.strip_suffix(known.suffix)?;
            let is_match = match known.parameter {
                Some(_) => !rest.is_empty() && !rest.contains('/'),
                None => rest.is_empty(),
            };
            is_match.then_some((known, rest))
        })
}

/// The event of a request, as API Gateway documents it ("AWS Lambda proxy
/// integrations for HTTP APIs", payload format 2.0).
fn event(
    head: &hyper::http::request::Parts,
    body: &Bytes,
    peer: SocketAddr,
    request_id: &str,
) -> Value {
    let path = head.uri.path();
    let method = head.method.as_str();
    let decoded = decode(path);
    let matched = route(method, path);
    let query = head.uri.query().unwrap_or_default();
    let route_key = match matched {
        None => "$default".to_owned(),
        Some((path, _)) => format!("{method} {path}"),
    };
    let mut event = json!({
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": decoded,
        "rawQueryString": query,
        "headers": headers(&head.headers),
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": "127.0.0.1",
            "domainPrefix": "local",
            "http": {
                "method": method,
                "path": decoded,
                "protocol": "HTTP/1.1",
                "sourceIp": peer.ip().to_string(),
                "userAgent": header(&head.headers, "user-agent"),
            },
            "requestId": request_id,
            "routeKey": route_key,
            "stage": "$default",
            "time": now_rfc3339(),
            "timeEpoch": now_ms(),
        },
        "isBase64Encoded": false,
    });
    if let Some((path, rest)) = matched
        && let Some(parameter) = path.parameter
    {
        event["pathParameters"] = json!({ parameter: decode(rest) });
    }
    if !query.is_empty() {
        event["queryStringParameters"] = json!(parameters(query));
    }
    if !body.is_empty() {
        if let Ok(text) = std::str::from_utf8(body) {
            event["body"] = text.into();
        } else {
            event["body"] = BASE64_STANDARD.encode(body).into();
            event["isBase64Encoded"] = true.into();
        }
    }
    event
}

fn decode(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

fn header(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter();
    let values: Vec<_> = values
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    values.join(",")
}

/// Header names are lower-case, repeated headers are joined by commas.
fn headers(headers: &HeaderMap) -> BTreeMap<&str, String> {
    headers
        .keys()
        .map(|name| (name.as_str(), header(headers, name.as_str())))
        .collect()
}

/// Repeated parameters are joined by commas.
fn parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::<String, String>::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        parameters
            .entry(name.into_owned())
            .and_modify(|joined| {
                joined.push(',');
                joined.push_str(&value);
            })
            .or_insert_with(|| value.to_string());
    }
    parameters
}

fn response(answer: ApiGatewayV2httpResponse) -> Option<Response<Full<Bytes>>> {
    let body = answer
        .body
        .map_or_else(Bytes::new, |body| Bytes::copy_from_slice(body.as_ref()));
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = u16::try_from(answer.status_code)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())?;
    *response.headers_mut() = answer.headers;
    Some(response)
}

//! The `api` function: one event of an HTTP API to one answer.

use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;

use crate::http::Api;

/// An event that the function cannot answer over HTTP.
#[derive(Debug, thiserror::Error)]
#[error("the event is not an API Gateway HTTP API event (payload format 2.0)")]
pub struct NotAnHttpEvent;

impl From<NotAnHttpEvent> for Diagnostic {
    fn from(error: NotAnHttpEvent) -> Self {
        Self {
            error_type: "NotAnHttpEvent".to_owned(),
            error_message: error.to_string(),
        }
    }
}

/// Answers one invocation. The event is parsed here rather than by the runtime,
/// whose error messages can quote it.
///
/// # Errors
/// [`NotAnHttpEvent`], the one case in which there is no request to answer.
pub async fn handle(
    api: &Api,
    event: LambdaEvent<Value>,
) -> Result<ApiGatewayV2httpResponse, NotAnHttpEvent> {
    let (event, context) = event.into_parts();
    let Some(event) = parse(event) else {
        let request_id = context.request_id;
        tracing::error!(request_id, "refused request {request_id}: {NotAnHttpEvent}");
        return Err(NotAnHttpEvent);
    };
    let deadline = super::deadline(&context);
    Ok(api.handle(&event, &context.request_id, deadline).await)
}

/// Parses an event. A query parameter with an empty list of values is none that a gateway
/// sends, and `query_map` 0.7.0 panics when it reads one.
fn parse(event: Value) -> Option<ApiGatewayV2httpRequest> {
    let query = event
        .get("queryStringParameters")
        .and_then(Value::as_object);
    let is_empty_list = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    if query.is_some_and(|query| query.values().any(is_empty_list)) {
        return None;
    }
    serde_json::from_value(event).ok()
}

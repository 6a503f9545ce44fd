//! Reads a request from the event's own fields. A URI parser would cut a path at
//! `#` and fold `..`, and so could turn one campaign's id into another's. Nothing
//! here decodes a path: the gateway already has, once.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use lambda_http::{
    aws_lambda_events::apigw::ApiGatewayV2httpRequest,
    http::{HeaderValue, Method, header},
};

use super::paths::{DESCRIPTION, KEYS, PATHS, RECEIPT};
use crate::refusal::Refusal;

/// A path and method that this service answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `DELETE /v1/campaigns/{id}`.
    DeleteCampaign {
        /// The id as it stands in the event, not yet checked.
        id: String,
        /// What precedes `/v1`: a stage or an API mapping.
        prefix: String,
    },
    /// `POST /v1/deletions`.
    DeleteCampaigns {
        /// What precedes `/v1`.
        prefix: String,
    },
    /// `GET /v1/deletions/{deletionId}`.
    GetDeletion {
        /// The id as it stands in the event, not yet checked.
        id: String,
    },
    /// `GET /v1/deletions/{deletionId}/receipt`.
    GetReceipt {
        /// The id as it stands in the event, not yet checked.
        id: String,
        /// What precedes `/v1`: a part of the API's address.
        prefix: String,
    },
    /// `GET /v1/jwks.json`.
    Keys,
    /// `GET /v1/deletions`.
    ListDeletions,
    /// `GET /v1/openapi.json`.
    Description,
}

/// Finds the route of a request.
///
/// # Errors
/// [`Refusal::UnknownPath`] and [`Refusal::MethodNotAllowed`].
pub(super) fn route(event: &ApiGatewayV2httpRequest) -> Result<Route, Refusal> {
    let http = &event.request_context.http;
    let path = event.raw_path.as_deref().or(http.path.as_deref());
    let path = path.unwrap_or_default();
    // The first one in the path: whatever comes later is part of its parameter.
    let (at, found) = PATHS
        .iter()
        .filter_map(|known| Some((path.find(known.text)?, known)))
        .min_by_key(|(at, known)| (*at, std::cmp::Reverse(known.text.len())))
        .ok_or(Refusal::UnknownPath)?;
    let (prefix, rest) = path.split_at(at);
    let rest = rest.strip_prefix(found.text).unwrap_or_default();
    if !is_prefix(event, prefix) {
        return Err(Refusal::UnknownPath);
    }
    let given = found
        .parameter
        .and_then(|name| event.path_parameters.get(name));
    // A parameter that ends like the suffix is a malformed id: the gateway has matched it.
    let may_be_receipt =
        found.parameter == Some("deletionId") && given.is_none_or(|id| !id.ends_with(RECEIPT));
    let receipt_of = rest.strip_suffix(RECEIPT).filter(|_| may_be_receipt);
    let rest = receipt_of.unwrap_or(rest);
    let id = match found.parameter {
        None if rest.is_empty() => String::new(),
        None => return Err(Refusal::UnknownPath),
        Some(_) => match given {
            Some(id) => id.clone(),
            // The gateway has matched no parameter, so a slash belongs to the path.
            None if rest.contains('/') => return Err(Refusal::UnknownPath),
            None => rest.to_owned(),
        },
    };
    let has = |method: &Method| {
        let mut known = PATHS.iter().filter(|known| known.text == found.text);
        known.any(|known| known.method == *method)
    };
    if !has(&http.method) {
        return Err(Refusal::MethodNotAllowed(if has(&Method::DELETE) {
            "DELETE"
        } else if has(&Method::POST) {
            "GET, POST"
        } else {
            "GET"
        }));
    }
    let prefix = prefix.to_owned();
    Ok(match found.parameter {
        Some("id") => Route::DeleteCampaign { id, prefix },
        Some(_) if receipt_of.is_some() => Route::GetReceipt { id, prefix },
        Some(_) => Route::GetDeletion { id },
        None if found.text == KEYS => Route::Keys,
        None if found.text == DESCRIPTION => Route::Description,
        None if http.method == Method::POST => Route::DeleteCampaigns { prefix },
        None => Route::ListDeletions,
    })
}

/// Returns whether this can stand before the route: the stage (`/prod`), or, where the
/// gateway says that the route has matched, an API mapping (`/outreach/eu`).
fn is_prefix(event: &ApiGatewayV2httpRequest, prefix: &str) -> bool {
    let context = &event.request_context;
    let unmatched = [&event.route_key, &context.route_key]
        .into_iter()
        .any(|route| route.as_deref() == Some("$default"));
    match prefix.strip_prefix('/') {
        None => prefix.is_empty(),
        Some(stage) if context.stage.as_deref() == Some(stage) => true,
        Some(_) if unmatched => false,
        Some(segments) => segments
            .split('/')
            .all(|segment| !matches!(segment, "" | "." | "..")),
    }
}

/// The bytes of the `Authorization` header.
pub(super) fn authorization(event: &ApiGatewayV2httpRequest) -> Option<&[u8]> {
    event
        .headers
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes)
}

/// Returns the request's body, decoded if the gateway has encoded it.
pub(super) fn body(event: &ApiGatewayV2httpRequest) -> Cow<'_, [u8]> {
    let body = event.body.as_deref().unwrap_or_default();
    if event.is_base64_encoded
        && let Ok(decoded) = BASE64_STANDARD.decode(body)
    {
        return decoded.into();
    }
    body.as_bytes().into()
}

/// Refuses a body that asks for a dry run: the query asks for one, and a deletion
/// that was not meant cannot be undone. Any other body is ignored.
///
/// # Errors
/// [`Refusal::Validation`].
pub(super) fn no_dry_run_in_body(event: &ApiGatewayV2httpRequest) -> Result<(), Refusal> {
    let body = body(event);
    let text = String::from_utf8_lossy(&body);
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let asks = match serde_json::from_str::<serde_json::Value>(text) {
        Ok(body) => DRY_RUN_MEMBERS.iter().any(|name| body.get(name).is_some()),
        // Other programs read objects that this parser does not.
        Err(_) => text.starts_with('{') && DRY_RUN_MEMBERS.iter().any(|name| text.contains(name)),
    };
    if asks {
        return Err(invalid(
            "The body asks for a dry run: send '?validateOnly=true' in the query instead",
        ));
    }
    Ok(())
}

/// The members of a body that ask for a dry run.
const DRY_RUN_MEMBERS: [&str; 2] = ["validateOnly", "dryRun"];

pub(super) fn invalid(why: &'static str) -> Refusal {
    Refusal::Validation(Cow::Borrowed(why))
}

/// An event of a DELETE with these members, for the tests of what is read from it.
#[cfg(test)]
#[expect(
    clippy::needless_pass_by_value,
    reason = "reads better where it is called"
)]
pub(super) fn event(members: serde_json::Value) -> ApiGatewayV2httpRequest {
    let mut event = serde_json::json!({
        "version": "2.0",
        "requestContext": {"http": {"method": "DELETE"}},
    });
    for (name, value) in members.as_object().unwrap() {
        event[name] = value.clone();
    }
    serde_json::from_value(event).unwrap()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn delete(id: &str, prefix: &str) -> Route {
        Route::DeleteCampaign {
            id: id.into(),
            prefix: prefix.into(),
        }
    }

    #[test]
    fn the_id_is_taken_unchanged() {
        for (path, id) in [
            ("/v1/campaigns/campaign_1", "campaign_1"),
            ("/v1/campaigns/campaign_1#x", "campaign_1#x"),
            ("/v1/campaigns/campaign_1?x", "campaign_1?x"),
            ("/v1/campaigns/campaign_1%23x", "campaign_1%23x"),
            ("/v1/campaigns/..", ".."),
            ("/v1/campaigns/", ""),
        ] {
            assert_eq!(
                route(&event(json!({"rawPath": path}))).unwrap(),
                delete(id, "")
            );
        }
        let decoded = json!({"rawPath": "/v1/campaigns/a/b", "pathParameters": {"id": "a/b"}});
        assert_eq!(route(&event(decoded)).unwrap(), delete("a/b", ""));
    }

    #[test]
    fn an_id_cannot_smuggle_in_another_route() {
        let path = "/v1/campaigns/x/v1/campaigns/campaign_1";
        assert!(matches!(
            route(&event(json!({"rawPath": path}))),
            Err(Refusal::UnknownPath)
        ));
        let decoded =
            json!({"rawPath": path, "pathParameters": {"id": "x/v1/campaigns/campaign_1"}});
        assert_eq!(
            route(&event(decoded)).unwrap(),
            delete("x/v1/campaigns/campaign_1", "")
        );
    }

    #[test]
    fn deletions_are_read_by_id_and_listed() {
        let get = |path: &str| {
            route(&event(json!({
                "rawPath": path,
                "requestContext": {"http": {"method": "GET"}},
            })))
        };
        assert_eq!(get("/v1/deletions").unwrap(), Route::ListDeletions);
        for (path, id) in [
            ("/v1/deletions/x", "x"),
            ("/prod/v1/deletions/x", "x"),
            ("/v1/deletions/", ""),
        ] {
            assert_eq!(get(path).unwrap(), Route::GetDeletion { id: id.into() });
        }
        for path in ["/v1/deletionsx", "/v1/deletions/x/y", "/v1/deletion"] {
            assert!(matches!(get(path), Err(Refusal::UnknownPath)), "{path}");
        }
        for (path, allowed) in [("/v1/deletions", "GET, POST"), ("/v1/deletions/x", "GET")] {
            let delete = event(json!({"rawPath": path}));
            assert!(matches!(
                route(&delete),
                Err(Refusal::MethodNotAllowed(methods)) if methods == allowed
            ));
        }
        for prefix in ["", "/prod"] {
            let post = event(json!({
                "rawPath": format!("{prefix}/v1/deletions"),
                "requestContext": {"http": {"method": "POST"}},
            }));
            let prefix = prefix.to_owned();
            assert_eq!(route(&post).unwrap(), Route::DeleteCampaigns { prefix });
        }
        // The first route in a path is the path's.
        let path = "/v1/campaigns/x/v1/deletions/y";
        let decoded = json!({"rawPath": path, "pathParameters": {"id": "x/v1/deletions/y"}});
        assert_eq!(
            route(&event(decoded)).unwrap(),
            delete("x/v1/deletions/y", "")
        );
    }

    #[test]
    fn a_stage_or_a_mapping_before_the_route_is_kept() {
        for prefix in ["/prod", "/outreach/eu"] {
            let path = format!("{prefix}/v1/campaigns/c1");
            assert_eq!(
                route(&event(json!({"rawPath": path}))).unwrap(),
                delete("c1", prefix)
            );
        }
    }

    #[test]
    fn before_a_route_that_did_not_match_only_the_stage_is_allowed() {
        for (path, stage, taken) in [
            ("/v1/campaigns/c1", "$default", true),
            ("/prod/v1/campaigns/c1", "prod", true),
            ("/exports/v1/campaigns/c1", "$default", false),
            ("/exports/v1/campaigns/c1", "prod", false),
        ] {
            let unmatched = event(json!({
                "rawPath": path,
                "routeKey": "$default",
                "requestContext": {"stage": stage, "http": {"method": "DELETE"}},
            }));
            assert_eq!(route(&unmatched).is_ok(), taken, "{path}");
        }
    }

    #[test]
    fn other_paths_and_methods_are_refused() {
        for path in [
            "/",
            "",
            "/v1/campaigns",
            "/v1/campaign/c1",
            "/v1/campaigns/c1/x",
            "/../v1/campaigns/c1",
            "//v1/campaigns/c1",
            "x/v1/campaigns/c1",
        ] {
            assert!(
                matches!(
                    route(&event(json!({"rawPath": path}))),
                    Err(Refusal::UnknownPath)
                ),
                "{path}"
            );
        }
        let get = json!({
            "rawPath": "/v1/campaigns/c1",
            "requestContext": {"http": {"method": "GET"}},
        });
        assert!(matches!(
            route(&event(get)),
            Err(Refusal::MethodNotAllowed("DELETE"))
        ));
    }

    proptest::proptest! {
        #[test]
        fn any_path_is_read_or_refused(path in "\\PC{0,80}") {
            let event = event(json!({ "rawPath": path }));
            if let Ok(Route::DeleteCampaign { id, prefix }) = route(&event) {
                proptest::prop_assert_eq!(format!("{prefix}/v1/campaigns/{id}"), path);
            }
        }
    }
}

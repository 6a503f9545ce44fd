//! Reading a request off the event's own fields. A URI parser would cut a path
//! at `#` and fold `..`, and so could turn one campaign's id into another's;
//! nothing here decodes a path, since the gateway has done it once already.

use std::{borrow::Cow, collections::BTreeMap};

use lambda_http::{
    aws_lambda_events::apigw::ApiGatewayV2httpRequest,
    http::{HeaderValue, Method, header},
};

use crate::{deletion::deletion_id, error::Error};

/// A path and method that this service answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `DELETE /v1/campaigns/{id}`.
    DeleteCampaign {
        /// The id as it stands in the event, not yet checked.
        id: String,
        /// What stands before `/v1`: a stage or an API mapping.
        prefix: String,
    },
    /// `GET /v1/deletions/{deletionId}`.
    GetDeletion {
        /// The id as it stands in the event, not yet checked.
        id: String,
    },
    /// `GET /v1/deletions`.
    ListDeletions,
}

/// A path of this service.
#[derive(Debug)]
pub struct Path {
    /// What it is, or, before a parameter, begins with.
    pub text: &'static str,
    /// The parameter after it.
    pub parameter: Option<&'static str>,
    /// The one method that it has.
    pub method: Method,
}

/// Every path of this service: the routes of the template.
pub const PATHS: [Path; 3] = [
    Path {
        text: "/v1/campaigns/",
        parameter: Some("id"),
        method: Method::DELETE,
    },
    Path {
        text: "/v1/deletions/",
        parameter: Some("deletionId"),
        method: Method::GET,
    },
    Path {
        text: "/v1/deletions",
        parameter: None,
        method: Method::GET,
    },
];

/// Finds the route of a request.
///
/// # Errors
/// [`Error::UnknownPath`] and [`Error::MethodNotAllowed`].
pub(super) fn route(event: &ApiGatewayV2httpRequest) -> Result<Route, Error> {
    let http = &event.request_context.http;
    let path = event.raw_path.as_deref().or(http.path.as_deref());
    let path = path.unwrap_or_default();
    // The first that stands in the path: what comes later is in its parameter.
    let (at, found) = PATHS
        .iter()
        .filter_map(|known| Some((path.find(known.text)?, known)))
        .min_by_key(|(at, known)| (*at, std::cmp::Reverse(known.text.len())))
        .ok_or(Error::UnknownPath)?;
    let (prefix, rest) = path.split_at(at);
    let rest = rest.strip_prefix(found.text).unwrap_or_default();
    if !is_prefix(event, prefix) {
        return Err(Error::UnknownPath);
    }
    let id = match found.parameter {
        None if rest.is_empty() => String::new(),
        None => return Err(Error::UnknownPath),
        Some(parameter) => match event.path_parameters.get(parameter) {
            Some(id) => id.clone(),
            // The gateway has matched no parameter, so a slash is one of the path.
            None if rest.contains('/') => return Err(Error::UnknownPath),
            None => rest.to_owned(),
        },
    };
    if http.method != found.method {
        return Err(Error::MethodNotAllowed(if found.method == Method::DELETE {
            "DELETE"
        } else {
            "GET"
        }));
    }
    Ok(match found.parameter {
        Some("id") => Route::DeleteCampaign {
            id,
            prefix: prefix.to_owned(),
        },
        Some(_) => Route::GetDeletion { id },
        None => Route::ListDeletions,
    })
}

/// Whether this can stand before the route: the stage (`/prod`), or, where the
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

/// The query's parameters, each of which must be one of `known` and given once:
/// a misspelt dry run must not delete.
///
/// # Errors
/// [`Error::Validation`].
fn parameters(
    event: &ApiGatewayV2httpRequest,
    known: &[&str],
) -> Result<BTreeMap<String, String>, Error> {
    let raw = event.raw_query_string.as_deref().unwrap_or_default();
    // Events made by hand may carry the parsed form alone.
    let given: Vec<(Cow<'_, str>, Cow<'_, str>)> = if raw.is_empty() {
        event
            .query_string_parameters
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    } else {
        form_urlencoded::parse(raw.as_bytes()).collect()
    };
    let mut parameters = BTreeMap::new();
    for (name, value) in given {
        let Some(name) = known.iter().find(|known| **known == name) else {
            let known = match known {
                [] => "none is known here".to_owned(),
                known => format!("known here: {}", known.join(", ")),
            };
            return Err(Error::Validation(
                format!("Unknown query parameter; {known}").into(),
            ));
        };
        if parameters
            .insert((*name).to_owned(), value.into_owned())
            .is_some()
        {
            return Err(Error::Validation(
                format!("The query parameter '{name}' is given more than once").into(),
            ));
        }
    }
    Ok(parameters)
}

/// Whether this is a dry run.
///
/// # Errors
/// [`Error::Validation`].
pub(super) fn validate_only(event: &ApiGatewayV2httpRequest) -> Result<bool, Error> {
    match parameters(event, &["validateOnly"])?
        .get("validateOnly")
        .map(String::as_str)
    {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(invalid(
            "The query parameter 'validateOnly' must be 'true' or 'false'",
        )),
    }
}

/// Refuses any query.
///
/// # Errors
/// [`Error::Validation`].
pub(super) fn no_parameters(event: &ApiGatewayV2httpRequest) -> Result<(), Error> {
    parameters(event, &[]).map(drop)
}

/// How many deletions to list, and after which one.
///
/// # Errors
/// [`Error::Validation`].
pub(super) fn page(event: &ApiGatewayV2httpRequest) -> Result<(usize, Option<String>), Error> {
    let mut parameters = parameters(event, &["limit", "after"])?;
    let limit = match parameters.get("limit") {
        None => DEFAULT_LIMIT,
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => text
            .parse()
            .ok()
            .filter(|limit| LIMITS.contains(limit))
            .ok_or_else(bad_limit)?,
        Some(_) => return Err(bad_limit()),
    };
    let after = match parameters.remove("after") {
        None => None,
        Some(after) => Some(deletion_id(&after).ok_or_else(|| {
            invalid("The query parameter 'after' must be the id of a deletion, a UUID")
        })?),
    };
    Ok((limit, after))
}

/// How many deletions are listed when nothing is said.
const DEFAULT_LIMIT: usize = 20;
/// How many may be asked for.
const LIMITS: std::ops::RangeInclusive<usize> = 1..=100;

fn bad_limit() -> Error {
    invalid("The query parameter 'limit' must be a whole number from 1 to 100")
}

pub(super) fn invalid(why: &'static str) -> Error {
    Error::Validation(Cow::Borrowed(why))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads better where it is called"
    )]
    fn event(value: Value) -> ApiGatewayV2httpRequest {
        let mut event = json!({
            "version": "2.0",
            "requestContext": {"http": {"method": "DELETE"}},
        });
        for (name, value) in value.as_object().unwrap() {
            event[name] = value.clone();
        }
        serde_json::from_value(event).unwrap()
    }

    fn delete(id: &str, prefix: &str) -> Route {
        Route::DeleteCampaign {
            id: id.into(),
            prefix: prefix.into(),
        }
    }

    #[test]
    fn the_id_is_taken_as_it_stands() {
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
            Err(Error::UnknownPath)
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
            assert!(matches!(get(path), Err(Error::UnknownPath)), "{path}");
        }
        for path in ["/v1/deletions", "/v1/deletions/x"] {
            let delete = event(json!({"rawPath": path}));
            assert!(matches!(
                route(&delete),
                Err(Error::MethodNotAllowed("GET"))
            ));
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
    fn a_page_is_one_to_a_hundred_deletions_after_a_uuid() {
        const ID: &str = "0190a8c2-b5c2-7e3f-8000-00000000000a";
        for (query, expected) in [
            ("", Some((20, None))),
            ("limit=1", Some((1, None))),
            ("limit=100", Some((100, None))),
            (&format!("after={ID}&limit=5"), Some((5, Some(ID)))),
            (
                &format!("after={}", ID.to_uppercase()),
                Some((20, Some(ID))),
            ),
            ("limit=0", None),
            ("limit=101", None),
            ("limit=x", None),
            ("limit=", None),
            ("limit=%2B5", None),
            ("limit=-1", None),
            ("limit=5&limit=5", None),
            ("after=", None),
            ("after=x", None),
            (&format!("after=%7B{ID}%7D"), None),
            (&format!("after={}", ID.replace('-', "")), None),
            ("order=asc", None),
        ] {
            let read = page(&event(json!({"rawQueryString": query}))).ok();
            let expected = expected.map(|(limit, after)| (limit, after.map(ToOwned::to_owned)));
            assert_eq!(read, expected, "{query}");
        }
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
                    Err(Error::UnknownPath)
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
            Err(Error::MethodNotAllowed("DELETE"))
        ));
    }

    #[test]
    fn only_one_well_spelt_validate_only_is_taken() {
        for (query, expected) in [
            ("", Some(false)),
            ("validateOnly=true", Some(true)),
            ("validateOnly=false", Some(false)),
            ("validateOnly=true&", Some(true)),
            ("validateOnly", None),
            ("validateOnly=", None),
            ("validateOnly=True", None),
            ("validateOnly=1", None),
            ("validateonly=true", None),
            ("dry_run=true", None),
            ("validateOnly=true&validateOnly=true", None),
            ("validateOnly=true&x=1", None),
            ("validateOnly%20=true", None),
        ] {
            let read = validate_only(&event(json!({"rawQueryString": query}))).ok();
            assert_eq!(read, expected, "{query}");
        }
        let by_hand = json!({"queryStringParameters": {"validateOnly": "true"}});
        assert!(validate_only(&event(by_hand)).unwrap());
        let repeated = json!({"queryStringParameters": {"validateOnly": "true,false"}});
        assert!(validate_only(&event(repeated)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn nothing_but_the_exact_words_asks_for_a_dry_run_or_a_deletion(query in "[a-zA-Z=&%0-9+;]{0,40}") {
            let read = validate_only(&event(json!({"rawQueryString": query}))).ok();
            let said: Vec<_> = query.split('&').filter(|part| !part.is_empty()).collect();
            match said.as_slice() {
                [] | ["validateOnly=false"] => proptest::prop_assert_eq!(read, Some(false)),
                ["validateOnly=true"] => proptest::prop_assert_eq!(read, Some(true)),
                // Spelt with escapes it may be either, but never a deletion by mistake.
                _ => proptest::prop_assert!(read.is_none() || query.contains('%')),
            }
        }

        #[test]
        fn any_path_is_read_or_refused(path in "\\PC{0,80}") {
            let event = event(json!({ "rawPath": path }));
            if let Ok(Route::DeleteCampaign { id, prefix }) = route(&event) {
                proptest::prop_assert_eq!(format!("{prefix}/v1/campaigns/{id}"), path);
            }
        }
    }
}

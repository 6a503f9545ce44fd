//! Reading a request off the event's own fields. A URI parser would cut a path
//! at `#` and fold `..`, and so could turn one campaign's id into another's;
//! nothing here decodes a path, since the gateway has done it once already.

use std::borrow::Cow;

use lambda_http::{
    aws_lambda_events::apigw::ApiGatewayV2httpRequest,
    http::{HeaderValue, Method, header},
};

use crate::error::Error;

/// What stands before a campaign id in a path.
const CAMPAIGNS: &str = "/v1/campaigns/";

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
}

/// Finds the route of a request.
///
/// # Errors
/// [`Error::UnknownPath`] and [`Error::MethodNotAllowed`].
pub(super) fn route(event: &ApiGatewayV2httpRequest) -> Result<Route, Error> {
    let http = &event.request_context.http;
    let path = event.raw_path.as_deref().or(http.path.as_deref());
    let (prefix, rest) = path
        .unwrap_or_default()
        .split_once(CAMPAIGNS)
        .filter(|(prefix, _)| is_prefix(event, prefix))
        .ok_or(Error::UnknownPath)?;
    let id = match event.path_parameters.get("id") {
        Some(id) => id.as_str(),
        // The gateway has matched no parameter, so a slash is one of the path.
        None if rest.contains('/') => return Err(Error::UnknownPath),
        None => rest,
    };
    if http.method != Method::DELETE {
        return Err(Error::MethodNotAllowed("DELETE"));
    }
    Ok(Route::DeleteCampaign {
        id: id.to_owned(),
        prefix: prefix.to_owned(),
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

/// Whether this is a dry run. Anything in the query but one `validateOnly` of
/// `true` or `false` is an error: a misspelt dry run must not delete.
///
/// # Errors
/// [`Error::Validation`].
pub(super) fn validate_only(event: &ApiGatewayV2httpRequest) -> Result<bool, Error> {
    let raw = event.raw_query_string.as_deref().unwrap_or_default();
    let mut found = None;
    // Events made by hand may carry the parsed form alone.
    let parameters: Vec<(Cow<'_, str>, Cow<'_, str>)> = if raw.is_empty() {
        event
            .query_string_parameters
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    } else {
        form_urlencoded::parse(raw.as_bytes()).collect()
    };
    for (name, value) in parameters {
        if name != "validateOnly" {
            return Err(invalid(
                "Unknown query parameter; 'validateOnly' is the only one",
            ));
        }
        let value = match value.as_ref() {
            "true" => true,
            "false" => false,
            _ => {
                return Err(invalid(
                    "The query parameter 'validateOnly' must be 'true' or 'false'",
                ));
            }
        };
        if found.replace(value).is_some() {
            return Err(invalid(
                "The query parameter 'validateOnly' is given more than once",
            ));
        }
    }
    Ok(found.unwrap_or(false))
}

/// The entity tags of `If-Match` (RFC 9110, section 13.1.1) that can match:
/// `None` for no header and for `*`. Weak tags are read and never match, since
/// the comparison is strong.
///
/// # Errors
/// [`Error::Validation`].
pub(super) fn if_match(event: &ApiGatewayV2httpRequest) -> Result<Option<Vec<String>>, Error> {
    let lines = event.headers.get_all(header::IF_MATCH);
    let mut tags = Vec::new();
    let mut any_line = false;
    for line in lines {
        any_line = true;
        let line = line
            .to_str()
            .map_err(|_| invalid("The If-Match header is not ASCII"))?;
        if line.trim() == "*" && event.headers.get_all(header::IF_MATCH).iter().count() == 1 {
            return Ok(None);
        }
        entity_tags(line, &mut tags).ok_or_else(|| {
            invalid("The If-Match header must be '*' or a list of quoted entity tags")
        })?;
    }
    if !any_line {
        return Ok(None);
    }
    if tags.is_empty() {
        return Err(invalid("The If-Match header is empty"));
    }
    Ok(Some(
        tags.into_iter()
            .filter(|tag| !tag.starts_with("W/"))
            .collect(),
    ))
}

/// Reads a list of entity tags (RFC 9110, section 8.8.3), quotes included;
/// empty list elements are allowed (section 5.6.1).
fn entity_tags(list: &str, tags: &mut Vec<String>) -> Option<()> {
    let mut rest = list.trim_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let opaque = rest.strip_prefix("W/").unwrap_or(rest);
        let inner = opaque.strip_prefix('"')?;
        let length = inner.find('"')?;
        let tag = inner.get(..length)?;
        if !tag.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x7e)) {
            return None;
        }
        let end = rest.len() - inner.len() + length + 1;
        tags.push(rest.get(..end)?.to_owned());
        let after = rest.get(end..)?.trim_start_matches([' ', '\t']);
        if !after.is_empty() && !after.starts_with(',') {
            return None;
        }
        rest = after.trim_start_matches([' ', '\t', ',']);
    }
    Some(())
}

fn invalid(why: &'static str) -> Error {
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

    #[test]
    fn entity_tags_are_read_as_the_standard_says() {
        let read = |header: &str| if_match(&event(json!({"headers": {"if-match": header}})));
        assert_eq!(if_match(&event(json!({}))).unwrap(), None);
        assert_eq!(read("*").unwrap(), None);
        let list = |tags: &[&str]| Some(tags.iter().map(|tag| (*tag).to_owned()).collect());
        assert_eq!(read("\"a\"").unwrap(), list(&["\"a\""]));
        assert_eq!(
            read("\"a\", , W/\"b\" ,\"c,d\"").unwrap(),
            list(&["\"a\"", "\"c,d\""])
        );
        assert_eq!(read("W/\"a\"").unwrap(), list(&[]));
        for malformed in [
            "",
            " ",
            ",",
            "a",
            "\"a",
            "\"a\" \"b\"",
            "*, \"a\"",
            "w/\"a\"",
            "\"a b\"",
        ] {
            assert!(read(malformed).is_err(), "{malformed}");
        }
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
        fn any_header_and_any_path_is_read_or_refused(path in "\\PC{0,80}", header in "[ -~]{0,60}") {
            let event = event(json!({"rawPath": path, "headers": {"if-match": header}}));
            if let Ok(Route::DeleteCampaign { id, prefix }) = route(&event) {
                proptest::prop_assert_eq!(format!("{prefix}/v1/campaigns/{id}"), path);
            }
            if let Ok(Some(tags)) = if_match(&event) {
                proptest::prop_assert!(tags.iter().all(|tag| header.contains(tag.as_str())));
            }
        }
    }
}

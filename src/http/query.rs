//! The query's parameters. A misspelt or repeated one is an error: it may have
//! been meant for a dry run.

use std::{borrow::Cow, collections::BTreeMap, ops::RangeInclusive};

use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;

use super::request::invalid;
use crate::{
    record::{DeletionReason, InvalidReason, deletion_id},
    refusal::Refusal,
};

/// The longest query, bytes. The longest meaningful one has fewer than 100.
const LONGEST: usize = 1_024;

/// The query's parameters, each of which must be one of `known` and given once:
/// a misspelt dry run must not delete.
///
/// # Errors
/// [`Refusal::Validation`].
fn parameters(
    event: &ApiGatewayV2httpRequest,
    known: &[&str],
) -> Result<BTreeMap<String, String>, Refusal> {
    let raw = event.raw_query_string.as_deref().unwrap_or_default();
    if raw.len() > LONGEST {
        return Err(invalid("The query is longer than 1024 bytes"));
    }
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
            return Err(Refusal::Validation(
                format!("Unknown query parameter; {known}").into(),
            ));
        };
        if parameters
            .insert((*name).to_owned(), value.into_owned())
            .is_some()
        {
            return Err(Refusal::Validation(
                format!("The query parameter '{name}' is given more than once").into(),
            ));
        }
    }
    Ok(parameters)
}

/// The query of a DELETE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeleteQuery {
    /// Whether this is a dry run.
    pub(super) validate_only: bool,
    /// Whether everything is archived before it is deleted, if the query says so.
    pub(super) archive: Option<bool>,
    /// Why the campaign is deleted, if the query says so.
    pub(super) reason: Option<DeletionReason>,
}

/// Reads the query of a DELETE.
///
/// # Errors
/// [`Refusal::Validation`].
pub(super) fn delete(event: &ApiGatewayV2httpRequest) -> Result<DeleteQuery, Refusal> {
    let parameters = parameters(event, &["validateOnly", "archive", "reason"])?;
    Ok(DeleteQuery {
        validate_only: flag(&parameters, "validateOnly")?.unwrap_or(false),
        archive: flag(&parameters, "archive")?,
        reason: parameters
            .get("reason")
            .map(|text| reason(text))
            .transpose()?,
    })
}

fn reason(text: &str) -> Result<DeletionReason, Refusal> {
    let why = |error: InvalidReason| Refusal::Validation(error.to_string().into());
    DeletionReason::parse(text).map_err(why)
}

/// Reads a parameter that is `true` or `false`, if it is given.
fn flag(parameters: &BTreeMap<String, String>, name: &str) -> Result<Option<bool>, Refusal> {
    match parameters.get(name).map(String::as_str) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(Refusal::Validation(
            format!("The query parameter '{name}' must be 'true' or 'false'").into(),
        )),
    }
}

/// Refuses any query.
///
/// # Errors
/// [`Refusal::Validation`].
pub(super) fn no_parameters(event: &ApiGatewayV2httpRequest) -> Result<(), Refusal> {
    parameters(event, &[]).map(drop)
}

/// How many deletions to list, and after which one.
///
/// # Errors
/// [`Refusal::Validation`].
pub(super) fn page(event: &ApiGatewayV2httpRequest) -> Result<(usize, Option<String>), Refusal> {
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

/// How many deletions are listed by default.
const DEFAULT_LIMIT: usize = 20;
/// How many may be asked for.
const LIMITS: RangeInclusive<usize> = 1..=100;

fn bad_limit() -> Refusal {
    invalid("The query parameter 'limit' must be a whole number from 1 to 100")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::request::event;

    fn validate_only(event: &ApiGatewayV2httpRequest) -> Result<bool, Refusal> {
        delete(event).map(|query| query.validate_only)
    }

    #[test]
    fn an_archive_is_wanted_or_not_or_left_to_the_settings() {
        for (query, expected) in [
            ("", Some(None)),
            ("archive=true", Some(Some(true))),
            ("archive=false", Some(Some(false))),
            ("validateOnly=true&archive=false", Some(Some(false))),
            ("archive=yes", None),
            ("archive=", None),
            ("archive", None),
            ("Archive=true", None),
            ("archive=true&archive=true", None),
            ("archive=true&archive=false", None),
        ] {
            let read = delete(&event(json!({"rawQueryString": query}))).ok();
            assert_eq!(read.map(|query| query.archive), expected, "{query}");
        }
    }

    #[test]
    fn a_reason_is_a_word_and_given_once() {
        let longest = format!("reason={}", "a".repeat(40));
        for (query, expected) in [
            ("", Some(None)),
            ("reason=erasure-request", Some(Some("erasure-request"))),
            ("reason=erasure%2Drequest", Some(Some("erasure-request"))),
            (&longest, Some(longest.strip_prefix("reason="))),
            (&format!("{longest}a"), None),
            ("reason=", None),
            ("reason", None),
            ("reason=Erasure", None),
            ("reason=jane+doe", None),
            ("reason=a&reason=a", None),
        ] {
            let read = delete(&event(json!({"rawQueryString": query}))).ok();
            let read = read
                .as_ref()
                .map(|query| query.reason.as_ref().map(DeletionReason::as_str));
            assert_eq!(read, expected, "{query}");
        }
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
    }
}

//! The request headers that say how to delete: `If-Match`, `Prefer` and
//! `Idempotency-Key`, each read as its standard says.

use std::time::Duration;

use lambda_http::{
    aws_lambda_events::apigw::ApiGatewayV2httpRequest,
    http::{HeaderName, HeaderValue, header},
};

use super::request::invalid;
use crate::{idempotency::IdempotencyKey, refusal::Refusal};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest header that is looked into, bytes. The gateway takes 10,240 for all
/// of them and the request line together ("Quotas for configuring and running an
/// HTTP API").
const LONGEST: usize = 4_096;

/// A header's text, if it is printable ASCII and not too long.
fn text<'a>(name: &HeaderName, value: &'a HeaderValue) -> Result<&'a str, Refusal> {
    let refused = |why: &str| Refusal::Validation(format!("The {name} header {why}").into());
    if value.len() > LONGEST {
        return Err(refused("is longer than 4096 bytes"));
    }
    value
        .to_str()
        .map_err(|_| refused("is not printable ASCII"))
}

/// The preferences (RFC 7240) that this service knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Preferences {
    /// `respond-async`: answer 202 instead of deleting.
    respond_async: bool,
    /// `wait`: answer after this many seconds at the latest.
    wait_seconds: Option<u64>,
}

impl Preferences {
    /// How long the request may work, of the `longest` that it may at all.
    pub(super) fn inline_budget(self, longest: Duration) -> Duration {
        match (self.wait_seconds, self.respond_async) {
            (Some(seconds), _) => Duration::from_secs(seconds).min(longest),
            (None, true) => Duration::ZERO,
            (None, false) => longest,
        }
    }

    /// `Preference-Applied`, if there is anything to say. A wait beyond
    /// `longest` is shortened, and the header gives the wait that is applied.
    pub(super) fn applied(self, longest: Duration) -> Option<HeaderValue> {
        let respond_async = self.respond_async.then(|| "respond-async".to_owned());
        let wait = self
            .wait_seconds
            .map(|seconds| format!("wait={}", seconds.min(longest.as_secs())));
        let applied: Vec<String> = respond_async.into_iter().chain(wait).collect();
        let applied = (!applied.is_empty()).then(|| applied.join(", "))?;
        HeaderValue::from_str(&applied).ok()
    }
}

/// Reads `Prefer` (RFC 7240, section 2): unknown preferences are ignored,
/// and if one is repeated, the first applies.
///
/// # Errors
/// [`Refusal::Validation`] for a `wait` that is not a number of seconds.
pub(super) fn preferences(event: &ApiGatewayV2httpRequest) -> Result<Preferences, Refusal> {
    let mut preferences = Preferences::default();
    for line in event.headers.get_all(PREFER) {
        let line = text(&PREFER, line)?;
        for preference in split_outside_quotes(line, ',') {
            let preference = split_outside_quotes(preference, ';').into_iter().next();
            let preference = preference.unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let value = value.trim();
            let value = unquoted(value).unwrap_or_else(|| value.to_owned());
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" if value.is_empty() => preferences.respond_async = true,
                "wait" if preferences.wait_seconds.is_none() => {
                    preferences.wait_seconds = Some(delta_seconds(&value)?);
                }
                _ => {}
            }
        }
    }
    Ok(preferences)
}

/// One or more digits (RFC 9110, section 10.2.3); a number that is too
/// large to store becomes the largest one.
fn delta_seconds(text: &str) -> Result<u64, Refusal> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid(
            "The preference 'wait' must be a whole number of seconds, as in 'Prefer: wait=10'",
        ));
    }
    Ok(text.parse().unwrap_or(u64::MAX))
}

/// Reads `Idempotency-Key`: 1 to 255 printable ASCII characters, quoted (the
/// strings of RFC 8941, section 3.3.3) or not. Quoted and unquoted are the same
/// key.
///
/// # Errors
/// [`Refusal::Validation`].
pub(super) fn idempotency_key(
    event: &ApiGatewayV2httpRequest,
) -> Result<Option<IdempotencyKey>, Refusal> {
    // The gateway joins repeated headers: two are one key with a comma in it.
    let Some(line) = event.headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let refused =
        || invalid("The Idempotency-Key header must be 1 to 255 printable ASCII characters");
    let text = text(&IDEMPOTENCY_KEY, line)?.trim();
    let key = match text.strip_prefix('"') {
        Some(_) => unquoted(text).ok_or_else(refused)?,
        None => text.to_owned(),
    };
    IdempotencyKey::new(&key).map(Some).ok_or_else(refused)
}

/// The content of a quoted string; `None` if the text is not one.
fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut said = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => said.push(characters.next().filter(|c| matches!(c, '"' | '\\'))?),
            '"' => return None,
            other => said.push(other),
        }
    }
    // A last quote that was escaped does not end the string.
    (text.len() >= 2).then_some(said)
}

/// The parts of a list; a separator within quotes does not count.
fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut in_quotes = false;
    let mut escaped = false;
    text.split(|character: char| {
        match character {
            _ if escaped => escaped = false,
            '\\' if in_quotes => escaped = true,
            '"' => in_quotes = !in_quotes,
            other => return other == separator && !in_quotes,
        }
        false
    })
    .collect()
}

/// The entity tags of `If-Match` (RFC 9110, section 13.1.1) that can match:
/// `None` for no header and for `*`. Weak tags are read and never match, since
/// the comparison is strong.
///
/// # Errors
/// [`Refusal::Validation`].
pub(super) fn if_match(event: &ApiGatewayV2httpRequest) -> Result<Option<Vec<String>>, Refusal> {
    let lines = event.headers.get_all(header::IF_MATCH);
    let mut tags = Vec::new();
    let mut any_line = false;
    for line in lines {
        any_line = true;
        let line = text(&header::IF_MATCH, line)?;
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

/// Refuses `If-Match` where there are several campaigns: one tag cannot be that of all, and to
/// ignore it would delete what was not reviewed.
///
/// # Errors
/// [`Refusal::Validation`].
pub(super) fn no_if_match(event: &ApiGatewayV2httpRequest) -> Result<(), Refusal> {
    match event.headers.get(header::IF_MATCH) {
        None => Ok(()),
        Some(_) => Err(invalid(
            "The If-Match header is for one campaign: send DELETE /v1/campaigns/{id}",
        )),
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::request::event;

    fn prefer(header: &str) -> Option<(bool, Option<u64>)> {
        preferences(&event(json!({"headers": {"prefer": header}})))
            .ok()
            .map(|read| (read.respond_async, read.wait_seconds))
    }

    #[test]
    fn preferences_are_read_as_the_standard_says() {
        for (header, expected) in [
            ("", Some((false, None))),
            ("respond-async", Some((true, None))),
            ("Respond-Async", Some((true, None))),
            ("respond-async=\"\"", Some((true, None))),
            ("respond-async=no", Some((false, None))),
            ("wait=10", Some((false, Some(10)))),
            ("wait = \"10\" ; strictly", Some((false, Some(10)))),
            ("respond-async, wait=5", Some((true, Some(5)))),
            ("wait=1, wait=2", Some((false, Some(1)))),
            ("wait=1, wait=soon", Some((false, Some(1)))),
            (
                "wait=99999999999999999999999",
                Some((false, Some(u64::MAX))),
            ),
            (
                "return=minimal, handling=lenient; x=\"a,wait=3\"",
                Some((false, None)),
            ),
            ("x=\"\\\",wait=3\", wait=4", Some((false, Some(4)))),
            (",,;;==,", Some((false, None))),
            ("waiting=x", Some((false, None))),
            ("wait", None),
            ("wait=", None),
            ("wait=abc", None),
            ("wait=-1", None),
            ("wait=+1", None),
            ("wait=1.5", None),
            ("wait=1 2", None),
        ] {
            assert_eq!(prefer(header), expected, "{header}");
        }
        let applied = |header: &str| {
            let read = preferences(&event(json!({"headers": {"prefer": header}}))).unwrap();
            let longest = Duration::from_secs(20);
            let applied = read.applied(longest);
            let applied = applied.map(|value| value.to_str().unwrap().to_owned());
            (applied, read.inline_budget(longest).as_secs())
        };
        for (header, header_applied, seconds) in [
            ("", None, 20),
            ("foo", None, 20),
            ("respond-async", Some("respond-async"), 0),
            ("wait=0", Some("wait=0"), 0),
            ("wait=7, respond-async", Some("respond-async, wait=7"), 7),
            ("wait=100", Some("wait=20"), 20),
        ] {
            let expected = (header_applied.map(ToOwned::to_owned), seconds);
            assert_eq!(applied(header), expected, "{header}");
        }
    }

    #[test]
    fn an_idempotency_key_is_the_same_quoted_or_not() {
        let read = |header: &str| {
            idempotency_key(&event(json!({"headers": {"idempotency-key": header}}))).ok()
        };
        assert_eq!(idempotency_key(&event(json!({}))).unwrap(), None);
        let plain = read("abc-123").unwrap();
        assert!(plain.is_some());
        assert_eq!(read(" \"abc-123\" ").unwrap(), plain);
        assert_ne!(read("ABC-123").unwrap(), plain);
        assert_eq!(read("\"a\\\"b\"").unwrap(), read("a\"b").unwrap());
        let longest = "k".repeat(255);
        assert!(read(&longest).unwrap().is_some());
        assert!(read(&format!("\"{longest}\"")).unwrap().is_some());
        for malformed in [
            "",
            " ",
            "\"\"",
            "\"",
            "\"abc",
            "\"a\"b\"",
            "\"a\\",
            "\"a\\\"",
            "\"a\\b\"",
            "schlüssel",
            "a\tb",
            &"k".repeat(256),
        ] {
            assert_eq!(read(malformed), None, "{malformed}");
        }
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
        fn any_header_is_read_or_refused(header in "[ -~]{0,60}") {
            let names = ["if-match", "prefer", "idempotency-key"];
            let headers: serde_json::Map<_, _> =
                names.iter().map(|name| ((*name).to_owned(), header.as_str().into())).collect();
            let event = event(json!({ "headers": headers }));
            if let Ok(Some(tags)) = if_match(&event) {
                proptest::prop_assert!(tags.iter().all(|tag| header.contains(tag.as_str())));
            }
            if let Ok(read) = preferences(&event) {
                let longest = Duration::from_secs(20);
                proptest::prop_assert!(read.inline_budget(longest) <= longest);
            }
            let _ = idempotency_key(&event);
        }
    }
}

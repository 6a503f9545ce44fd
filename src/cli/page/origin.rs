//! Who a browser says it calls, and for whom. The server listens on this machine alone, but every
//! page in a browser of this machine can send requests to it: under a name of its own that now
//! points here (DNS rebinding), or across sites. Programs that are no browsers send no `Origin`.

use hyper::{
    Method, StatusCode,
    header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN},
    http::{request::Parts, uri::Authority},
};

use crate::cli::connect::is_loopback;

/// What a browser says of the page that sends a request, and of what it is for (W3C, "Fetch
/// Metadata Request Headers").
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DESTINATION: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Foreign {
    /// It is for another machine.
    Host,
    /// A page of another origin sends it.
    Origin,
}

impl Foreign {
    /// Returns the status, code and message of the answer.
    pub(in crate::cli) fn public(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Host => (
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected_request",
                "The Host header must name this machine: 127.0.0.1 or localhost",
            ),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "Pages of other origins may not call this server",
            ),
        }
    }
}

/// Checks that a request is for this machine and, if a browser sends it, that it is for a page of
/// this server or an address that a person has opened.
pub(in crate::cli) fn check(head: &Parts) -> Result<(), Foreign> {
    let host = one(&head.headers, &HOST).ok_or(Foreign::Host)?;
    let is_here = |authority: &str| {
        authority.parse::<Authority>().is_ok() && is_loopback(&format!("http://{authority}"))
    };
    let named = head.uri.authority();
    if !is_here(host) || named.is_some_and(|named| !is_here(named.as_str())) {
        return Err(Foreign::Host);
    }
    if head.headers.contains_key(ORIGIN) {
        let own = format!("http://{host}");
        let is_own = one(&head.headers, &ORIGIN).is_some_and(|it| it.eq_ignore_ascii_case(&own));
        return if is_own { Ok(()) } else { Err(Foreign::Origin) };
    }
    let says = |name: &HeaderName| one(&head.headers, name);
    let is_opened = head.method == Method::GET
        && says(&MODE) == Some("navigate")
        && says(&DESTINATION) == Some("document");
    match head.headers.get(SITE).map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) if is_opened => Ok(()),
        Some(_) => Err(Foreign::Origin),
    }
}

/// Returns the text of a header that is there once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn checked(method: Method, uri: &str, headers: &[(&str, &str)]) -> Result<(), Foreign> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for host in [
            "127.0.0.1:3000",
            "localhost:3000",
            "LocalHost",
            "[::1]:3000",
            "127.0.0.1",
        ] {
            assert_eq!(
                checked(Method::GET, "/", &[("host", host)]),
                Ok(()),
                "{host}"
            );
        }
        for host in [
            "evil.example:3000",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "127.0.0.1@evil.example",
            "10.0.0.1:3000",
            "0.0.0.0:3000",
            "",
            "127.0.0.1:3000/../x",
        ] {
            let checked = checked(Method::GET, "/", &[("host", host)]);
            assert_eq!(checked, Err(Foreign::Host), "{host}");
        }
        assert_eq!(checked(Method::GET, "/", &[]), Err(Foreign::Host));
        let twice = [("host", "127.0.0.1"), ("host", "127.0.0.1")];
        assert_eq!(checked(Method::GET, "/", &twice), Err(Foreign::Host));
        let absolute = checked(
            Method::GET,
            "http://evil.example/",
            &[("host", "127.0.0.1")],
        );
        assert_eq!(absolute, Err(Foreign::Host));
    }

    #[test]
    fn only_the_own_origin_may_send_requests() {
        const HOST: (&str, &str) = ("host", "127.0.0.1:3000");
        for method in [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS] {
            let from = |origin| checked(method.clone(), "/v1/x", &[HOST, ("origin", origin)]);
            assert_eq!(from("http://127.0.0.1:3000"), Ok(()));
            for origin in [
                "http://127.0.0.1:3001",
                "http://localhost:3000",
                "https://127.0.0.1:3000",
                "http://evil.example",
                "null",
                "",
            ] {
                assert_eq!(from(origin), Err(Foreign::Origin), "{method} {origin}");
            }
        }
        let twice = [
            HOST,
            ("origin", "http://127.0.0.1:3000"),
            ("origin", "null"),
        ];
        assert_eq!(checked(Method::GET, "/", &twice), Err(Foreign::Origin));
    }

    #[test]
    fn another_site_may_link_here_and_nothing_else() {
        let from = |method, site, mode, destination| {
            let headers = [
                ("host", "127.0.0.1:3000"),
                ("sec-fetch-site", site),
                ("sec-fetch-mode", mode),
                ("sec-fetch-dest", destination),
            ];
            checked(method, "/", &headers)
        };
        for site in ["cross-site", "same-site"] {
            assert_eq!(from(Method::GET, site, "navigate", "document"), Ok(()));
            for (method, mode, destination) in [
                (Method::POST, "navigate", "document"),
                (Method::GET, "navigate", "iframe"),
                (Method::GET, "no-cors", "script"),
                (Method::GET, "no-cors", "image"),
                (Method::DELETE, "cors", "empty"),
            ] {
                let refused = from(method, site, mode, destination);
                assert_eq!(refused, Err(Foreign::Origin), "{mode} {destination}");
            }
        }
        for site in ["same-origin", "none"] {
            assert_eq!(from(Method::DELETE, site, "cors", "empty"), Ok(()));
        }
    }
}

//! The paths of this service: what the routes of the template are, what the local server
//! routes, and what the description has.

use std::fmt;

use lambda_http::http::Method;

/// A path of this service.
#[derive(Debug)]
pub struct Path {
    /// The path, or the part of it before a parameter.
    pub text: &'static str,
    /// The parameter after it.
    pub parameter: Option<&'static str>,
    /// What follows the parameter.
    pub suffix: &'static str,
    /// A method that it has.
    pub method: Method,
}

impl fmt::Display for Path {
    /// Writes the path as the routes of a gateway have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)?;
        if let Some(parameter) = self.parameter {
            write!(f, "{{{parameter}}}")?;
        }
        f.write_str(self.suffix)
    }
}

/// Every path of this service, with each of its methods: the routes of the template.
pub const PATHS: [Path; 7] = [
    Path {
        text: "/v1/campaigns/",
        parameter: Some("id"),
        suffix: "",
        method: Method::DELETE,
    },
    Path {
        text: "/v1/deletions/",
        parameter: Some("deletionId"),
        suffix: "",
        method: Method::GET,
    },
    Path {
        text: "/v1/deletions/",
        parameter: Some("deletionId"),
        suffix: RECEIPT,
        method: Method::GET,
    },
    Path {
        text: "/v1/deletions",
        parameter: None,
        suffix: "",
        method: Method::GET,
    },
    Path {
        text: "/v1/deletions",
        parameter: None,
        suffix: "",
        method: Method::POST,
    },
    Path {
        text: KEYS,
        parameter: None,
        suffix: "",
        method: Method::GET,
    },
    Path {
        text: DESCRIPTION,
        parameter: None,
        suffix: "",
        method: Method::GET,
    },
];

/// What follows the id of a deletion, for its receipt.
pub(super) const RECEIPT: &str = "/receipt";

/// Where the keys are that verify receipts.
pub(super) const KEYS: &str = "/v1/jwks.json";

/// Where the description of the API is.
pub(super) const DESCRIPTION: &str = "/v1/openapi.json";

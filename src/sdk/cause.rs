//! Why a call failed, fit for a log and for a terminal.

use std::{error::Error, fmt};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::result::ConnectorError;

const UNSENT: &str = "the request could not be sent";

/// Why a call failed: the operation, the error code and the service's message; never an
/// item, a header or a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause(String);

impl Cause {
    /// Returns the cause of a request that could not be built.
    #[must_use]
    pub fn unbuilt(error: &BuildError) -> Self {
        Self(error.to_string())
    }

    /// Returns a cause in words.
    #[must_use]
    pub fn because(why: &str) -> Self {
        Self(why.to_owned())
    }

    /// Returns the cause of a failed call.
    #[must_use]
    pub fn of<E: ProvideErrorMetadata>(operation: &'static str, error: &SdkError<E>) -> Self {
        let why = match error {
            SdkError::ServiceError(service) => format!(
                "{} ({}): {}",
                service.err().code().unwrap_or("no error code"),
                service.raw().status(),
                service.err().message().unwrap_or("no message"),
            ),
            SdkError::TimeoutError(_) => "the attempt timed out".to_owned(),
            SdkError::ResponseError(_) => "the answer was unreadable".to_owned(),
            SdkError::DispatchFailure(dispatch) => {
                let error = dispatch.as_connector_error();
                error.map_or_else(|| UNSENT.to_owned(), unsent)
            }
            SdkError::ConstructionFailure(_) => "the request could not be built".to_owned(),
            _ => "unknown failure".to_owned(),
        };
        Self(format!("{operation}: {why}"))
    }

    /// Returns the cause of a request to another server that was not answered.
    #[must_use]
    pub fn of_connection(error: &ConnectorError) -> Self {
        Self(unsent(error))
    }

    /// Returns the cause of a call whose deadline came before an answer.
    #[must_use]
    pub fn deadline(operation: &'static str) -> Self {
        Self(format!("{operation}: the deadline passed first"))
    }
}

/// Returns why a request was not sent. Errors of the network and of credentials are
/// given in full; any other one may quote the request with its headers and body.
fn unsent(error: &ConnectorError) -> String {
    if error.is_io() || error.is_timeout() {
        return in_one_line(error);
    }
    let credentials = credentials_error(error);
    credentials.map_or_else(|| UNSENT.to_owned(), |error| in_one_line(error))
}

/// Returns the error about credentials among an error and its sources.
pub(super) fn credentials_error<'a>(
    error: &'a (dyn Error + 'static),
) -> Option<&'a CredentialsError> {
    with_sources(error).find_map(|error| error.downcast_ref())
}

/// Returns an error and its sources in one line.
pub(super) fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let texts = with_sources(error).map(ToString::to_string);
    let text = texts.collect::<Vec<_>>().join(": ");
    // Some of the SDK's have lists of several lines.
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    lines.join("; ")
}

fn with_sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        (*error).source()
    })
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::get_item::GetItemError;
    use aws_smithy_runtime_api::{
        client::{orchestrator::HttpResponse, result::ConnectorError},
        http::StatusCode,
    };

    use super::*;

    const SECRET: &str = "the item and the key of a request";

    #[derive(Debug, thiserror::Error)]
    #[error("failed to apply endpoint to request: {SECRET}")]
    struct Quoting;

    /// Every way in which a request can fail before or instead of an answer.
    fn failures() -> Vec<SdkError<GetItemError>> {
        let response = || HttpResponse::new(StatusCode::try_from(200).unwrap(), SECRET.into());
        vec![
            SdkError::construction_failure(Quoting),
            SdkError::timeout_error(Quoting),
            SdkError::dispatch_failure(ConnectorError::other(Quoting.into(), None)),
            SdkError::dispatch_failure(ConnectorError::user(Quoting.into())),
            SdkError::response_error(Quoting, response()),
        ]
    }

    #[test]
    fn no_cause_quotes_a_request() {
        for failure in failures() {
            let cause = Cause::of("GetItem", &failure).to_string();
            assert!(cause.starts_with("GetItem: "), "{cause}");
            assert!(!cause.contains(SECRET), "{cause}");
        }
    }

    #[test]
    fn network_and_credentials_say_what_is_wrong() {
        let refused = std::io::Error::other("connection refused");
        let missing = CredentialsError::provider_error("the session has ended");
        for (error, expected) in [
            (ConnectorError::io(refused.into()), "connection refused"),
            (
                ConnectorError::other(missing.into(), None),
                "the session has ended",
            ),
        ] {
            let failure = SdkError::<GetItemError>::dispatch_failure(error);
            let cause = Cause::of("GetItem", &failure).to_string();
            assert!(cause.contains(expected), "{cause}");
        }
    }
}

//! The table's settings, as its descriptions show them, and the time at which the service
//! answered. Only a terminal reads them: no function has these rights.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_sdk_dynamodb::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::BeforeDeserializationInterceptorContextRef,
    },
    error::{BoxError, ProvideErrorMetadata},
    types::{PointInTimeRecoveryDescription, TableDescription, TimeToLiveDescription},
};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::time::Instant;

use super::{
    Table, TableError,
    retry::{Failure, until_answered},
};
use crate::sdk::{self, Cause};

/// Why a setting could not be read.
#[derive(Debug)]
pub enum Unread {
    /// There is no such table in this Region and account.
    Missing,
    /// The right to this operation is missing.
    Denied(&'static str),
    /// The endpoint does not know this operation, as emulators do not.
    Unknown(&'static str),
    /// The endpoint refused the signature or the credentials.
    Unsigned(Cause),
    /// There was no answer.
    Unanswered(Cause),
    /// Anything else.
    Refused(Cause),
}

/// The difference between the service's clock and this machine's, as the last answer
/// showed it.
#[derive(Clone, Debug, Default)]
pub struct ServiceClock(Arc<Mutex<Option<time::Duration>>>);

impl ServiceClock {
    /// Returns by how much the service's clock was ahead of this machine's; `None` if no
    /// answer had a `Date`.
    #[must_use]
    pub fn ahead(&self) -> Option<time::Duration> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[dyn_dispatch_hint]
impl Intercept for ServiceClock {
    fn name(&self) -> &'static str {
        "ServiceClock"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        if let Some(date) = date.and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok()) {
            let ahead = date - OffsetDateTime::now_utc();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        }
        Ok(())
    }
}

impl Table {
    /// Returns the same table, whose answers set this clock.
    #[must_use]
    pub fn watched_by(&self, clock: ServiceClock) -> Self {
        let config = self.client().config().to_builder().interceptor(clock);
        Self {
            client: Client::from_conf(config.build()),
            ..self.clone()
        }
    }

    /// Returns the Region that is called.
    #[must_use]
    pub fn region(&self) -> &str {
        self.client()
            .config()
            .region()
            .map_or("no Region", AsRef::as_ref)
    }

    /// Reads the table's description.
    ///
    /// # Errors
    /// [`Unread`].
    pub async fn description(&self, deadline: Instant) -> Result<TableDescription, Unread> {
        const OPERATION: &str = "DescribeTable";
        let request = self.client().describe_table().table_name(self.name());
        let answer = until_answered(OPERATION, deadline, || request.clone().send()).await;
        let answer = answer.map_err(|failure| unread(OPERATION, "dynamodb:DescribeTable", failure));
        answer?.table.ok_or_else(|| incomplete(OPERATION))
    }

    /// Reads whether and by which attribute items expire.
    ///
    /// # Errors
    /// [`Unread`].
    pub async fn time_to_live(&self, deadline: Instant) -> Result<TimeToLiveDescription, Unread> {
        const OPERATION: &str = "DescribeTimeToLive";
        let request = self
            .client()
            .describe_time_to_live()
            .table_name(self.name());
        let answer = until_answered(OPERATION, deadline, || request.clone().send()).await;
        let answer =
            answer.map_err(|failure| unread(OPERATION, "dynamodb:DescribeTimeToLive", failure));
        answer?
            .time_to_live_description
            .ok_or_else(|| incomplete(OPERATION))
    }

    /// Reads for how long the table can be restored.
    ///
    /// # Errors
    /// [`Unread`].
    pub async fn recovery(
        &self,
        deadline: Instant,
    ) -> Result<PointInTimeRecoveryDescription, Unread> {
        const OPERATION: &str = "DescribeContinuousBackups";
        let request = self
            .client()
            .describe_continuous_backups()
            .table_name(self.name());
        let answer = until_answered(OPERATION, deadline, || request.clone().send()).await;
        let answer = answer
            .map_err(|failure| unread(OPERATION, "dynamodb:DescribeContinuousBackups", failure));
        answer?
            .continuous_backups_description
            .and_then(|backups| backups.point_in_time_recovery_description)
            .ok_or_else(|| incomplete(OPERATION))
    }
}

fn incomplete(operation: &'static str) -> Unread {
    Unread::Refused(Cause::because(&format!(
        "{operation}: the answer is incomplete"
    )))
}

fn unread<E: ProvideErrorMetadata + fmt::Debug>(
    operation: &'static str,
    right: &'static str,
    failure: Failure<E>,
) -> Unread {
    let error = match failure {
        Failure::Answered(error) => error,
        Failure::Table(
            TableError::Busy(cause) | TableError::NoAnswer(cause) | TableError::Refused(cause),
        ) => return Unread::Unanswered(cause),
        Failure::Table(other) => return Unread::Refused(Cause::because(&other.to_string())),
    };
    let cause = Cause::of(operation, &error);
    let code = error.as_service_error().and_then(|error| error.code());
    match code {
        Some("ResourceNotFoundException" | "TableNotFoundException") => Unread::Missing,
        Some("AccessDeniedException") => Unread::Denied(right),
        Some("UnknownOperationException") => Unread::Unknown(operation),
        Some("MissingAuthenticationTokenException" | "IncompleteSignatureException") => {
            Unread::Unsigned(cause)
        }
        _ if sdk::is_of_signing(&error) || sdk::has_no_credentials(&error) => {
            Unread::Unsigned(cause)
        }
        _ => Unread::Refused(cause),
    }
}

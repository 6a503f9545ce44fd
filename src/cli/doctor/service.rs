//! Whether the service answers: Region, credentials, endpoint, and the clock.

use aws_sdk_dynamodb::types::TableDescription;

use super::{
    super::{
        CliError,
        connect::{Connect, patience},
    },
    check::Check,
};
use crate::{
    sdk::SetupError,
    table::{ServiceClock, Table, Unread},
};

/// The largest difference of clocks with which DynamoDB accepts a signature, seconds
/// ("Elements of an AWS API request signature", IAM user guide).
const SIGNATURE_BOUND: i64 = 300;
/// The largest difference that is not worth a word, seconds: leases are 30 seconds by
/// default, and `Date` has whole seconds.
const NOTICEABLE: i64 = 5;

/// The table's service, as far as it can be reached.
#[derive(Debug)]
pub(super) struct Service {
    /// `None` if no request can be sent.
    pub(super) table: Option<Table>,
    /// The table's description, or why it could not be read.
    pub(super) description: Result<TableDescription, Unread>,
}

impl Service {
    /// Asks for the table's description, and returns what that says about the service.
    pub(super) async fn of(connect: &Connect) -> Result<(Self, Vec<Check>), CliError> {
        let table = match connect.table().await {
            Ok(table) => table,
            Err(error @ CliError::Config(_)) => return Err(error),
            Err(error) => return Ok((Self::unreachable(&error), unreachable(&error))),
        };
        let clock = ServiceClock::default();
        let table = table.watched_by(clock.clone());
        let description = table.description(patience()).await;
        let endpoint = connect.url();
        let endpoint = endpoint.as_deref().unwrap_or("the endpoint of AWS");
        let checks = vec![
            Check::ok("region", format!("{} at {endpoint}", table.region())),
            credentials(&description, connect.is_loopback()),
            answers(&description, endpoint),
            skew(clock.ahead()),
            exists(&table, &description, endpoint),
        ];
        let service = Self {
            table: Some(table),
            description,
        };
        Ok((service, checks))
    }

    fn unreachable(error: &CliError) -> Self {
        let cause = crate::sdk::Cause::because(&error.to_string());
        Self {
            table: None,
            description: Err(Unread::Unanswered(cause)),
        }
    }

    /// Returns whether the description shows this index.
    pub(super) fn has_index(&self, name: &str) -> bool {
        let description = self.description.as_ref().ok();
        let mut indexes = description
            .into_iter()
            .flat_map(TableDescription::global_secondary_indexes);
        indexes.any(|index| index.index_name() == Some(name))
    }

    /// Returns the table, if it was found and described, or may be there.
    pub(super) fn usable(&self) -> Option<&Table> {
        match &self.description {
            Ok(_) | Err(Unread::Denied(_) | Unread::Unknown(_) | Unread::Refused(_)) => {
                self.table.as_ref()
            }
            Err(_) => None,
        }
    }

    /// Returns the table and its description, or skipped checks with these names.
    pub(super) fn described(
        &self,
        names: &[&'static str],
    ) -> Result<(&Table, &TableDescription), Vec<Check>> {
        match (&self.table, &self.description) {
            (Some(table), Ok(description)) => Ok((table, description)),
            (_, Err(why)) => Err(names.iter().map(|name| Check::unread(name, why)).collect()),
            (None, Ok(_)) => Err(Vec::new()),
        }
    }
}

/// The checks of a service that no request can be sent to.
fn unreachable(error: &CliError) -> Vec<Check> {
    let name = match error {
        CliError::Setup(SetupError::NoRegion | SetupError::BadRegion(_)) => "region",
        CliError::Setup(SetupError::NoCredentials(_)) => "credentials",
        _ => "endpoint",
    };
    let skipped = ["region", "credentials", "endpoint", "clock", "table"];
    let skipped = skipped.into_iter().map(|other| {
        if other == name {
            let remedy = "Set it as for any program that uses the AWS SDK \
                          (AWS_PROFILE, AWS_REGION, --endpoint-url).";
            Check::failed(name, error.to_string(), remedy)
        } else {
            Check::skipped(other, "no request was sent", "Mend the failed check first.")
        }
    });
    skipped.collect()
}

fn credentials(description: &Result<TableDescription, Unread>, is_local: bool) -> Check {
    const NAME: &str = "credentials";
    match description {
        Err(Unread::Unsigned(cause)) => Check::failed(
            NAME,
            cause.to_string(),
            "Sign in again, or choose other credentials (AWS_PROFILE); \
             see the check `clock`, too.",
        ),
        Err(Unread::Unanswered(_)) => {
            Check::skipped(NAME, "there was no answer", "Mend the endpoint first.")
        }
        _ if is_local => Check::ok(NAME, "none are needed on this machine"),
        _ => Check::ok(NAME, "accepted"),
    }
}

fn answers(description: &Result<TableDescription, Unread>, endpoint: &str) -> Check {
    match description {
        Err(Unread::Unanswered(cause)) => Check::failed(
            "endpoint",
            format!("{endpoint}: {cause}"),
            "Check the network, the proxy (HTTPS_PROXY) and --endpoint-url.",
        ),
        _ => Check::ok("endpoint", format!("{endpoint} answers")),
    }
}

fn skew(ahead: Option<time::Duration>) -> Check {
    const NAME: &str = "clock";
    const REMEDY: &str = "Set this machine's clock by a time server \
                          (`timedatectl set-ntp true`, chrony or systemd-timesyncd).";
    let Some(ahead) = ahead.map(time::Duration::whole_seconds) else {
        let why = "no answer had a Date";
        return Check::skipped(NAME, why, "Run this against the table in AWS.");
    };
    let seconds = ahead.unsigned_abs();
    let side = if ahead > 0 { "behind" } else { "ahead of" };
    let seen = format!("this machine's clock is {seconds} s {side} the service's");
    match ahead.abs() {
        0..=NOTICEABLE => Check::ok(NAME, "within a few seconds of the service's"),
        6..=SIGNATURE_BOUND => Check::warning(NAME, seen, REMEDY),
        _ => Check::failed(
            NAME,
            format!("{seen}; requests are refused beyond {SIGNATURE_BOUND} s"),
            REMEDY,
        ),
    }
}

fn exists(table: &Table, description: &Result<TableDescription, Unread>, endpoint: &str) -> Check {
    const NAME: &str = "table";
    let name = table.name();
    let region = table.region();
    let description = match description {
        Ok(description) => description,
        Err(Unread::Missing) => {
            return Check::failed(
                NAME,
                format!("no table {name} in Region {region} ({endpoint})"),
                "Give its name with --table-name (the output TableName of the stack), and its \
                 Region with AWS_REGION: a table is visible in its own Region alone.",
            );
        }
        Err(why) => return Check::unread(NAME, why),
    };
    let status = description
        .table_status()
        .map_or("", |status| status.as_str());
    let seen = format!(
        "{name} in {region}, {status}, about {} items",
        description.item_count().unwrap_or(0)
    );
    match status {
        "ACTIVE" | "UPDATING" => Check::ok(NAME, seen),
        "INACCESSIBLE_ENCRYPTION_CREDENTIALS" => Check::failed(
            NAME,
            seen,
            "Enable the table's KMS key again, and allow its use.",
        ),
        _ => Check::failed(NAME, seen, "Wait until the table is ACTIVE."),
    }
}

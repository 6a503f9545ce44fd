//! Every environment variable that this code reads, with its default and unit.
//! Values are checked once, at the start: a bad one stops the process with the
//! variable's name, the value, and what is allowed.

mod archive;
mod events;
mod receipts;
mod retention;

use std::{fmt::Display, num::NonZeroU32, ops::RangeInclusive, str::FromStr, time::Duration};

pub use self::{
    archive::{
        ARCHIVE_BUCKET, ARCHIVE_DAYS, ARCHIVE_MODE, ARCHIVE_PREFIX, ArchiveMode, ArchiveSettings,
        DEFAULT_ARCHIVE_PREFIX,
    },
    events::{EVENT_BUS_NAME, event_bus_name},
    receipts::{PITR_DAYS, PITR_RANGE, RECEIPT_ISSUER, RECEIPT_KEY_IDS, ReceiptSettings},
    retention::{
        CleanupSettings, MAX_CAMPAIGNS_PER_RUN, MAX_DELETE_SHARE_PERCENT, MAX_RUNNING_CLEANUPS,
        Mode, RETENTION_DAYS, RETENTION_MODE, RETENTION_STATUSES, RetentionSettings,
    },
};

use crate::record::LONGEST_LEASE_SECONDS;

/// A variable that is missing or has a value that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {problem}; allowed: {allowed}")]
pub struct ConfigError {
    variable: &'static str,
    problem: String,
    allowed: String,
}

impl ConfigError {
    /// An error about this variable, which has this value, or none.
    #[must_use]
    pub fn new(variable: &'static str, value: Option<&str>, allowed: impl Into<String>) -> Self {
        Self {
            variable,
            problem: value.map_or_else(|| "is not set".to_owned(), |value| format!("is '{value}'")),
            allowed: allowed.into(),
        }
    }
}

/// The settings of the deletion itself, shared by every way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletionSettings {
    /// `LEASE_SECONDS`: how long a worker may be silent before another one may
    /// take its deletion over.
    pub lease: Duration,
    /// `MAX_WRITE_UNITS_PER_SECOND`: the pace of a deletion that somebody asked
    /// for, in consumed write units; `None` for as fast as the table allows.
    pub pace: Option<NonZeroU32>,
    /// `MAX_RETENTION_WRITE_UNITS_PER_SECOND`: the same for a deletion that
    /// retention has started.
    pub retention_pace: Option<NonZeroU32>,
    /// `AUDIT_RETENTION_DAYS`: how long the record of a finished deletion is kept;
    /// `None` for indefinitely.
    pub audit_retention: Option<Duration>,
    /// Where deletions archive; `None` for nowhere.
    pub archive: Option<ArchiveSettings>,
    /// `EVENT_BUS_NAME`: where finished deletions are announced; `None` for nowhere.
    pub event_bus: Option<String>,
}

/// The settings of the `drain` function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainSettings {
    /// `TABLE_NAME`.
    pub table_name: String,
    /// What every way in shares.
    pub deletion: DeletionSettings,
}

/// The settings of the `api` function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// `TABLE_NAME`.
    pub table_name: String,
    /// `INLINE_BUDGET_SECONDS`: how long one request may take before it answers 202.
    pub inline_budget: Duration,
    /// `RATE_LIMIT_PER_MINUTE`: how many requests a key may make to each route in
    /// a minute; `None` for any number.
    pub rate_limit: Option<NonZeroU32>,
    /// `STATE_MACHINE_ARN`: what continues a deletion; `None` for nothing.
    pub state_machine_arn: Option<String>,
    /// What signs receipts; nothing if it has no keys.
    pub receipts: ReceiptSettings,
    /// What every way in shares.
    pub deletion: DeletionSettings,
}

/// `TABLE_NAME`: the table that everything is in. Required on Lambda.
pub const TABLE_NAME: &str = "TABLE_NAME";
/// `INLINE_BUDGET_SECONDS`, seconds. An HTTP API gives up after 30 seconds
/// (integration timeout, "Quotas for configuring and running an HTTP API").
pub const INLINE_BUDGET_SECONDS: &str = "INLINE_BUDGET_SECONDS";
/// `LEASE_SECONDS`, seconds.
pub const LEASE_SECONDS: &str = "LEASE_SECONDS";

/// `STATE_MACHINE_ARN`: the Step Functions state machine that calls `drain`.
pub const STATE_MACHINE_ARN: &str = "STATE_MACHINE_ARN";

/// `RATE_LIMIT_PER_MINUTE`, requests of a key to each route; 0 for no limit.
pub const RATE_LIMIT_PER_MINUTE: &str = "RATE_LIMIT_PER_MINUTE";
/// `MAX_WRITE_UNITS_PER_SECOND`, consumed write units per second; 0 for
/// no limit.
pub const MAX_WRITE_UNITS_PER_SECOND: &str = "MAX_WRITE_UNITS_PER_SECOND";
/// `MAX_RETENTION_WRITE_UNITS_PER_SECOND`, consumed write units per second; by
/// default what [`MAX_WRITE_UNITS_PER_SECOND`] is.
pub const MAX_RETENTION_WRITE_UNITS_PER_SECOND: &str = "MAX_RETENTION_WRITE_UNITS_PER_SECOND";
/// `AUDIT_RETENTION_DAYS`, days; 0 keeps records indefinitely.
pub const AUDIT_RETENTION_DAYS: &str = "AUDIT_RETENTION_DAYS";

/// The default of [`INLINE_BUDGET_SECONDS`].
pub const DEFAULT_INLINE_BUDGET_SECONDS: u64 = 20;
/// The default of [`LEASE_SECONDS`].
pub const DEFAULT_LEASE_SECONDS: u64 = 30;
/// The default of [`RATE_LIMIT_PER_MINUTE`].
pub const DEFAULT_RATE_LIMIT: u32 = 60;
/// The default of [`TABLE_NAME`] in a terminal.
pub const DEFAULT_TABLE_NAME: &str = "campaigns";

/// The seconds that [`INLINE_BUDGET_SECONDS`] may be. 0 claims and answers 202.
pub const INLINE_BUDGET_RANGE: RangeInclusive<u64> = 0..=29;
/// The seconds that [`LEASE_SECONDS`] may be.
pub const LEASE_RANGE: RangeInclusive<u64> = 1..=LONGEST_LEASE_SECONDS;
/// The requests per minute that [`RATE_LIMIT_PER_MINUTE`] may be. An item takes
/// 1,000 writes a second, so the maximum is effectively no limit.
pub const RATE_LIMIT_RANGE: RangeInclusive<u32> = 0..=1_000_000;
/// The days that a retention may be, 0 for none: more than a hundred years is a
/// mistake.
pub const DAYS_RANGE: RangeInclusive<u64> = 0..=36_500;
/// The write units per second that a pace may be, 0 for no limit. A table takes
/// 40,000 by default ("Service, account, and table quotas"), so the maximum is
/// effectively no limit.
pub const PACE_RANGE: RangeInclusive<u32> = 0..=1_000_000;

impl DrainSettings {
    /// Reads the settings through `lookup`, which is [`environment`] in a
    /// process and a map in a test.
    ///
    /// # Errors
    /// [`ConfigError`] for the first variable that is missing or not allowed.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Ok(Self {
            table_name: table_name(lookup(TABLE_NAME))?,
            deletion: DeletionSettings::read(lookup)?,
        })
    }
}

impl ApiSettings {
    /// Reads the settings, as [`DrainSettings::read`] does.
    ///
    /// # Errors
    /// As [`DrainSettings::read`].
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Ok(Self {
            table_name: table_name(lookup(TABLE_NAME))?,
            inline_budget: seconds(
                &lookup,
                INLINE_BUDGET_SECONDS,
                DEFAULT_INLINE_BUDGET_SECONDS,
                INLINE_BUDGET_RANGE,
            )?,
            rate_limit: NonZeroU32::new(number(
                &lookup,
                RATE_LIMIT_PER_MINUTE,
                DEFAULT_RATE_LIMIT,
                RATE_LIMIT_RANGE,
            )?),
            state_machine_arn: state_machine_arn(lookup(STATE_MACHINE_ARN))?,
            receipts: ReceiptSettings::read(&lookup)?,
            deletion: DeletionSettings::read(lookup)?,
        })
    }
}

impl DeletionSettings {
    /// Reads the settings, as [`DrainSettings::read`] does.
    ///
    /// # Errors
    /// As [`DrainSettings::read`].
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let pace = number(&lookup, MAX_WRITE_UNITS_PER_SECOND, 0, PACE_RANGE)?;
        let retention_pace = number(
            &lookup,
            MAX_RETENTION_WRITE_UNITS_PER_SECOND,
            pace,
            PACE_RANGE,
        )?;
        Ok(Self {
            lease: seconds(&lookup, LEASE_SECONDS, DEFAULT_LEASE_SECONDS, LEASE_RANGE)?,
            pace: NonZeroU32::new(pace),
            retention_pace: NonZeroU32::new(retention_pace),
            audit_retention: days(number(&lookup, AUDIT_RETENTION_DAYS, 0, DAYS_RANGE)?),
            archive: ArchiveSettings::read(&lookup)?,
            event_bus: event_bus_name(lookup(EVENT_BUS_NAME))?,
        })
    }
}

/// Returns whole days as a duration; `None` for 0.
#[must_use]
pub fn days(days: u64) -> Option<Duration> {
    (days > 0).then(|| Duration::from_hours(24 * days))
}

/// Returns a variable of the process's environment. One that is set to nothing counts
/// as unset, as it does for the AWS SDKs.
#[must_use]
pub fn environment(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok();
    value.filter(|value| !value.is_empty())
}

/// Checks the ARN of a state machine. An empty one counts as unset: `sam local` cannot
/// leave a variable of the template unset.
///
/// # Errors
/// [`ConfigError`].
pub fn state_machine_arn(value: Option<String>) -> Result<Option<String>, ConfigError> {
    match value {
        Some(arn) if arn.is_empty() => Ok(None),
        Some(arn) if arn.starts_with("arn:") && arn.contains(":stateMachine:") => Ok(Some(arn)),
        Some(other) => Err(ConfigError::new(
            STATE_MACHINE_ARN,
            Some(&other),
            "the ARN of a state machine, or nothing",
        )),
        None => Ok(None),
    }
}

/// Checks a table name against DynamoDB's rule: 3 to 255 characters of
/// `[A-Za-z0-9_.-]` ("Naming rules").
///
/// # Errors
/// [`ConfigError`].
pub fn table_name(value: Option<String>) -> Result<String, ConfigError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    match value {
        Some(name) if (3..=255).contains(&name.len()) && name.bytes().all(allowed) => Ok(name),
        other => Err(ConfigError::new(
            TABLE_NAME,
            other.as_deref(),
            "the name of a DynamoDB table, 3 to 255 characters of A-Z a-z 0-9 _ . -",
        )),
    }
}

/// Reads whole seconds within `range`.
fn seconds(
    lookup: impl Fn(&str) -> Option<String>,
    variable: &'static str,
    default: u64,
    range: RangeInclusive<u64>,
) -> Result<Duration, ConfigError> {
    number(lookup, variable, default, range).map(Duration::from_secs)
}

/// Reads a whole number within `range`, or its default when the variable is
/// not set.
fn number<T>(
    lookup: impl Fn(&str) -> Option<String>,
    variable: &'static str,
    default: T,
    range: RangeInclusive<T>,
) -> Result<T, ConfigError>
where
    T: FromStr + PartialOrd + Display,
{
    let Some(text) = lookup(variable) else {
        return Ok(default);
    };
    match text.parse() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => Err(ConfigError::new(
            variable,
            Some(&text),
            format!(
                "a whole number from {} to {} (default {default})",
                range.start(),
                range.end()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<ApiSettings, ConfigError> {
        ApiSettings::read(|variable| {
            pairs
                .iter()
                .find(|(name, _)| *name == variable)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_defaults_need_a_table_name_only() {
        let settings = read(&[("TABLE_NAME", "campaigns")]).unwrap();
        assert_eq!(settings.inline_budget, Duration::from_secs(20));
        assert_eq!(settings.deletion.lease, Duration::from_secs(30));
        assert_eq!(settings.state_machine_arn, None);
        let arn = "arn:aws:states:eu-central-1:123456789012:stateMachine:Deletions";
        for (value, expected) in [("", None), (arn, Some(arn.to_owned()))] {
            let pairs = [("TABLE_NAME", "campaigns"), ("STATE_MACHINE_ARN", value)];
            assert_eq!(read(&pairs).unwrap().state_machine_arn, expected);
        }
    }

    #[test]
    fn a_bad_value_is_named_with_the_allowed_ones() {
        for (pairs, expected) in [
            (
                vec![],
                "TABLE_NAME is not set; allowed: the name of a DynamoDB table",
            ),
            (
                vec![("TABLE_NAME", "a b")],
                "TABLE_NAME is 'a b'; allowed: ",
            ),
            (
                vec![("TABLE_NAME", "campaigns"), ("LEASE_SECONDS", "0")],
                "LEASE_SECONDS is '0'; allowed: a whole number from 1 to 3600 (default 30)",
            ),
            (
                vec![
                    ("TABLE_NAME", "campaigns"),
                    ("INLINE_BUDGET_SECONDS", "soon"),
                ],
                "INLINE_BUDGET_SECONDS is 'soon'; allowed: a whole number from 0 to 29 (default 20)",
            ),
            (
                vec![("TABLE_NAME", "campaigns"), ("INLINE_BUDGET_SECONDS", "-1")],
                "INLINE_BUDGET_SECONDS is '-1'; allowed: ",
            ),
            (
                vec![("TABLE_NAME", "campaigns"), ("INLINE_BUDGET_SECONDS", "")],
                "INLINE_BUDGET_SECONDS is ''; allowed: ",
            ),
            (
                vec![("TABLE_NAME", "campaigns"), ("STATE_MACHINE_ARN", "drain")],
                "STATE_MACHINE_ARN is 'drain'; allowed: the ARN of a state machine, or nothing",
            ),
        ] {
            let error = read(&pairs).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}

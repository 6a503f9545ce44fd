//! The options that say how a deletion is done, where it archives, and where it is announced.

use std::{num::NonZeroU32, ops::RangeInclusive};

use clap::{
    Args,
    builder::{NonEmptyStringValueParser, RangedI64ValueParser},
};

use super::{
    CliError,
    connect::{Connect, configuration, from_environment, service_url},
};
use crate::{
    archive::ArchiveStore,
    config::{
        ARCHIVE_BUCKET, ARCHIVE_DAYS, ARCHIVE_MODE, ARCHIVE_PREFIX, AUDIT_RETENTION_DAYS,
        ConfigError, DAYS_RANGE, DEFAULT_ARCHIVE_PREFIX, DEFAULT_LEASE_SECONDS, DeletionSettings,
        EVENT_BUS_NAME, LEASE_RANGE, LEASE_SECONDS, MAX_RETENTION_WRITE_UNITS_PER_SECOND,
        MAX_WRITE_UNITS_PER_SECOND, PACE_RANGE, PITR_DAYS, PITR_RANGE, RECEIPT_ISSUER,
        RECEIPT_KEY_IDS, ReceiptSettings, event_bus_name,
    },
    events::EventBus,
    receipts::Receipts,
    sdk::{EVENTBRIDGE_ENDPOINT_URL, KMS_ENDPOINT_URL},
};

/// The variable that names the endpoint of S3.
const S3_ENDPOINT_URL: &str = "AWS_ENDPOINT_URL_S3";

/// The options that say how a deletion is done.
#[derive(Args, Clone, Debug)]
pub(super) struct DeletionOptions {
    /// Seconds that a worker may be silent before another one may take over.
    #[arg(
        long,
        env = LEASE_SECONDS,
        value_name = "N",
        default_value_t = DEFAULT_LEASE_SECONDS,
        value_parser = number_in(LEASE_RANGE)
    )]
    lease_seconds: u64,
    #[command(flatten)]
    pace: Pace,
    /// Write units per second that a deletion started by retention may consume; by
    /// default, the value of --max-write-units-per-second.
    #[arg(
        long,
        env = MAX_RETENTION_WRITE_UNITS_PER_SECOND,
        value_name = "N",
        value_parser = number_in(PACE_RANGE)
    )]
    max_retention_write_units_per_second: Option<u32>,
    /// How many days the record of a finished deletion is kept; 0 to keep it indefinitely.
    #[arg(
        long,
        env = AUDIT_RETENTION_DAYS,
        value_name = "N",
        default_value_t = 0,
        value_parser = number_in(DAYS_RANGE)
    )]
    audit_retention_days: u64,
    #[command(flatten)]
    prefix: ArchivePrefix,
    #[command(flatten)]
    pub(super) events: EventOptions,
    /// `default` to archive unless told otherwise, `request` to archive only if told to.
    #[arg(long, env = ARCHIVE_MODE, value_name = "MODE", default_value = "default")]
    archive_mode: String,
    /// After how many days the bucket's lifecycle removes an archive; 0 if it does not.
    #[arg(
        long,
        env = ARCHIVE_DAYS,
        value_name = "N",
        default_value_t = 0,
        value_parser = number_in(DAYS_RANGE)
    )]
    archive_days: u64,
}

/// The option that says where finished deletions are announced.
#[derive(Args, Clone, Debug)]
pub(super) struct EventOptions {
    /// The EventBridge event bus that gets an event for each finished deletion; without it, none
    /// is sent.
    #[arg(
        long,
        env = EVENT_BUS_NAME,
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new()
    )]
    event_bus_name: Option<String>,
}

/// The option that says how fast a deletion or a restore may be.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Write units per second that may be consumed, of which a restore counts one for each item;
    /// 0 for no limit.
    #[arg(
        long,
        env = MAX_WRITE_UNITS_PER_SECOND,
        value_name = "N",
        default_value_t = 0,
        value_parser = number_in(PACE_RANGE)
    )]
    max_write_units_per_second: u32,
}

impl Pace {
    /// Returns the pace; `None` for no limit.
    pub(super) fn units(self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.max_write_units_per_second)
    }
}

/// The option that says where in a bucket archives are.
#[derive(Args, Clone, Debug)]
struct ArchivePrefix {
    /// The start of every key in the bucket of archives.
    #[arg(long, env = ARCHIVE_PREFIX, value_name = "PREFIX", default_value = DEFAULT_ARCHIVE_PREFIX)]
    archive_prefix: String,
}

/// The options that say in which bucket archives are. `serve` has none of them: it archives in
/// the S3 that it serves.
#[derive(Args, Clone, Debug)]
pub(super) struct ArchiveBucket {
    /// The S3 bucket that deletions archive in; without it, there is no archive.
    #[arg(
        long,
        env = ARCHIVE_BUCKET,
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new()
    )]
    archive_bucket: Option<String>,
    /// The S3 endpoint; by default, the one in the SDK's own configuration.
    #[arg(long, env = S3_ENDPOINT_URL, value_name = "URL")]
    s3_endpoint_url: Option<String>,
}

/// The options that say where the archives to be read are.
#[derive(Args, Clone, Debug)]
pub(super) struct ArchiveOptions {
    #[command(flatten)]
    pub(super) bucket: ArchiveBucket,
    #[command(flatten)]
    prefix: ArchivePrefix,
}

/// The options that say what signs receipts.
#[derive(Args, Clone, Debug)]
pub(super) struct ReceiptOptions {
    /// KMS keys that sign receipts, joined by commas, as the functions have them; without one,
    /// there are no receipts.
    #[arg(long, env = RECEIPT_KEY_IDS, value_name = "IDS", requires = "receipt_issuer")]
    receipt_key_ids: Option<String>,
    /// `iss` of the receipts, as the functions have it: by default, theirs is the address of the
    /// API.
    #[arg(long, env = RECEIPT_ISSUER, value_name = "URL")]
    receipt_issuer: Option<String>,
    /// How many days the table's point-in-time recovery reaches back; 0 if it is off.
    #[arg(
        long,
        env = PITR_DAYS,
        value_name = "N",
        default_value_t = 0,
        value_parser = number_in(PITR_RANGE)
    )]
    pitr_days: u64,
}

/// Returns a parser of numbers in this range, which says for any other number what is
/// allowed.
#[must_use]
pub(super) fn number_in<T>(range: RangeInclusive<T>) -> RangedI64ValueParser<T>
where
    T: TryFrom<i64> + TryInto<i64> + Clone + Send + Sync + 'static,
    <T as TryFrom<i64>>::Error: std::error::Error + Send + Sync + 'static,
{
    let (least, most) = range.into_inner();
    let bound = |number: T| number.try_into().unwrap_or(i64::MAX);
    RangedI64ValueParser::new().range(bound(least)..=bound(most))
}

impl DeletionOptions {
    /// Returns the settings of a deletion, read as a function reads them. Without a bucket,
    /// there is no archive.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(super) fn settings(
        &self,
        bucket: Option<&ArchiveBucket>,
    ) -> Result<DeletionSettings, ConfigError> {
        DeletionSettings::read(|variable| match variable {
            ARCHIVE_BUCKET => bucket.and_then(|bucket| bucket.archive_bucket.clone()),
            other => self.value(other),
        })
    }

    /// Returns the options on which a claimed deletion still depends, where they are not the
    /// default. Where it archives is in its record.
    #[must_use]
    pub(super) fn of_a_claimed_deletion(&self) -> Vec<String> {
        let lease = DEFAULT_LEASE_SECONDS.to_string();
        let defaults = [
            (LEASE_SECONDS, "--lease-seconds", lease.as_str()),
            (
                MAX_WRITE_UNITS_PER_SECOND,
                "--max-write-units-per-second",
                "0",
            ),
            (AUDIT_RETENTION_DAYS, "--audit-retention-days", "0"),
            (EVENT_BUS_NAME, "--event-bus-name", ""),
        ];
        let given = defaults
            .into_iter()
            .filter_map(|(variable, option, default)| {
                let value = self.value(variable).filter(|value| value != default)?;
                Some([option.to_owned(), value])
            });
        given.flatten().collect()
    }

    /// Returns the value of the option that corresponds to a variable.
    #[must_use]
    pub(super) fn value(&self, variable: &str) -> Option<String> {
        match variable {
            LEASE_SECONDS => Some(self.lease_seconds.to_string()),
            MAX_WRITE_UNITS_PER_SECOND => Some(self.pace.max_write_units_per_second.to_string()),
            MAX_RETENTION_WRITE_UNITS_PER_SECOND => self
                .max_retention_write_units_per_second
                .map(|units| units.to_string()),
            AUDIT_RETENTION_DAYS => Some(self.audit_retention_days.to_string()),
            EVENT_BUS_NAME => self.events.event_bus_name.clone(),
            ARCHIVE_PREFIX => Some(self.prefix.archive_prefix.clone()),
            ARCHIVE_MODE => Some(self.archive_mode.clone()),
            ARCHIVE_DAYS => Some(self.archive_days.to_string()),
            _ => None,
        }
    }
}

impl EventOptions {
    /// Returns the bus's name, if one is given.
    pub(super) fn name(&self) -> Option<&str> {
        self.event_bus_name.as_deref()
    }

    /// Returns the bus for deletions in the table that `connect` names. Beside a table on this
    /// machine, only an endpoint that is given is called.
    ///
    /// # Errors
    /// [`CliError`], as for [`Connect::table`].
    pub(super) async fn bus(&self, connect: &Connect) -> Result<EventBus, CliError> {
        let Some(name) = event_bus_name(self.event_bus_name.clone())? else {
            return Ok(EventBus::default());
        };
        let config = match service_url(EVENTBRIDGE_ENDPOINT_URL) {
            Some(url) => configuration(EVENTBRIDGE_ENDPOINT_URL, &url).await?,
            None if connect.is_loopback() => {
                return Err(CliError::Refused(format!(
                    "an event bus beside a table on this machine needs {EVENTBRIDGE_ENDPOINT_URL}"
                )));
            }
            None => from_environment().await?,
        };
        Ok(EventBus::named(Some(name), &config))
    }
}

impl ReceiptOptions {
    /// Returns what signs the receipts of deletions in the table that `connect` names, and what
    /// they name. Beside a table on this machine, only an endpoint that is given is called.
    ///
    /// # Errors
    /// [`CliError`], as for [`Connect::table`].
    pub(super) async fn receipts(
        &self,
        connect: &Connect,
    ) -> Result<(Receipts, ReceiptSettings), CliError> {
        let settings = ReceiptSettings::read(|variable| match variable {
            RECEIPT_KEY_IDS => self.receipt_key_ids.clone(),
            RECEIPT_ISSUER => self.receipt_issuer.clone(),
            PITR_DAYS => Some(self.pitr_days.to_string()),
            _ => None,
        })?;
        if settings.key_ids.is_empty() {
            return Ok((Receipts::default(), settings));
        }
        let config = match service_url(KMS_ENDPOINT_URL) {
            Some(url) => configuration(KMS_ENDPOINT_URL, &url).await?,
            None if connect.is_loopback() => {
                return Err(CliError::Refused(format!(
                    "receipts beside a table on this machine need {KMS_ENDPOINT_URL}"
                )));
            }
            None => from_environment().await?,
        };
        let receipts = Receipts::by_kms(settings.key_ids.clone(), &config);
        Ok((receipts, settings))
    }
}

impl ArchiveOptions {
    /// Returns the start of every key.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix.archive_prefix
    }
}

impl ArchiveBucket {
    /// Returns the bucket, if one is given.
    pub(super) fn name(&self) -> Option<&str> {
        self.archive_bucket.as_deref()
    }

    /// Returns the endpoint of S3, if one is given.
    pub(super) fn endpoint_url(&self) -> Option<String> {
        let given = self.s3_endpoint_url.clone();
        given.or_else(|| service_url(S3_ENDPOINT_URL))
    }

    /// Returns the store of archives for deletions in the table that `connect` names. Beside a
    /// table on this machine, only an endpoint that is given is called: S3 of AWS is never
    /// meant.
    ///
    /// # Errors
    /// [`CliError`], as for [`Connect::table`].
    pub(super) async fn store(&self, connect: &Connect) -> Result<ArchiveStore, CliError> {
        let config = match self.endpoint_url() {
            Some(url) => configuration(S3_ENDPOINT_URL, &url).await?,
            None if connect.is_loopback() && self.archive_bucket.is_some() => {
                let why = "an archive beside a table on this machine needs --s3-endpoint-url";
                return Err(CliError::Refused(why.to_owned()));
            }
            None if connect.is_loopback() => return Ok(ArchiveStore::default()),
            None => from_environment().await?,
        };
        Ok(ArchiveStore::new(config))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: DeletionOptions,
    }

    #[test]
    fn what_a_claimed_deletion_depends_on_is_named_unless_default() {
        let all = [
            ["--lease-seconds", "60"],
            ["--max-write-units-per-second", "500"],
            ["--audit-retention-days", "7"],
            ["--event-bus-name", "default"],
        ];
        let all = all.concat();
        for given in [&all[..], &[]] {
            let command = Command::parse_from([&["it"], given].concat());
            assert_eq!(command.options.of_a_claimed_deletion(), given);
        }
    }
}

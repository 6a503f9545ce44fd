//! The settings of the scheduled clean-up: which campaigns are past retention,
//! and how many of them may be deleted at once.

use std::time::Duration;

use super::{
    ConfigError, DAYS_RANGE, DeletionSettings, STATE_MACHINE_ARN, TABLE_NAME, days, number,
    state_machine_arn, table_name,
};
use crate::campaign::DELETABLE;

/// The settings of the `cleanup` function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupSettings {
    /// `TABLE_NAME`.
    pub table_name: String,
    /// `STATE_MACHINE_ARN`: what continues a deletion; `None` to drain in place.
    pub state_machine_arn: Option<String>,
    /// Which campaigns are deleted without a request for each.
    pub retention: RetentionSettings,
    /// What every way in shares.
    pub deletion: DeletionSettings,
}

/// Which campaigns are past retention, and how many may be deleted at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionSettings {
    /// `RETENTION_DAYS`: how long after its completion, or else its last change, a
    /// campaign is past retention; `None` if none ever is.
    pub age: Option<Duration>,
    /// `RETENTION_STATUSES`: campaigns with other statuses are never past retention.
    pub statuses: Vec<String>,
    /// `RETENTION_MODE`.
    pub mode: Mode,
    /// `MAX_CAMPAIGNS_PER_RUN`: how many deletions one run starts.
    pub max_campaigns_per_run: usize,
    /// `MAX_RUNNING_CLEANUPS`: how many deletions of campaigns past retention run
    /// at once, including those of earlier runs.
    pub max_running: usize,
    /// `MAX_DELETE_SHARE_PERCENT`: a run in which more than this share of the
    /// campaigns with these statuses is past retention deletes nothing; 100 for no
    /// such guard.
    pub max_delete_share_percent: u64,
}

/// What a clean-up does with campaigns past retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It lists them.
    Report,
    /// It deletes them.
    Enforce,
}

/// `RETENTION_DAYS`, days.
pub const RETENTION_DAYS: &str = "RETENTION_DAYS";
/// `RETENTION_STATUSES`, joined by commas.
pub const RETENTION_STATUSES: &str = "RETENTION_STATUSES";
/// `RETENTION_MODE`.
pub const RETENTION_MODE: &str = "RETENTION_MODE";
/// `MAX_CAMPAIGNS_PER_RUN`.
pub const MAX_CAMPAIGNS_PER_RUN: &str = "MAX_CAMPAIGNS_PER_RUN";
/// `MAX_RUNNING_CLEANUPS`.
pub const MAX_RUNNING_CLEANUPS: &str = "MAX_RUNNING_CLEANUPS";
/// `MAX_DELETE_SHARE_PERCENT`, percent.
pub const MAX_DELETE_SHARE_PERCENT: &str = "MAX_DELETE_SHARE_PERCENT";

/// The memory of a run grows with this, by about a kilobyte each.
const MOST_CAMPAIGNS_PER_RUN: usize = 10_000;
/// Each is read every second while a run waits for one to finish.
const MOST_RUNNING: usize = 100;

const DEFAULT_STATUSES: &str = "completed,archived";

impl CleanupSettings {
    /// Reads the settings, as [`super::DrainSettings::read`] does.
    ///
    /// # Errors
    /// As [`super::DrainSettings::read`].
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Ok(Self {
            table_name: table_name(lookup(TABLE_NAME))?,
            state_machine_arn: state_machine_arn(lookup(STATE_MACHINE_ARN))?,
            retention: RetentionSettings::read(&lookup)?,
            deletion: DeletionSettings::read(lookup)?,
        })
    }
}

impl RetentionSettings {
    /// Reads the settings, as [`super::DrainSettings::read`] does.
    ///
    /// # Errors
    /// As [`super::DrainSettings::read`].
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Ok(Self {
            age: days(number(&lookup, RETENTION_DAYS, 0, DAYS_RANGE)?),
            statuses: statuses(lookup(RETENTION_STATUSES))?,
            mode: mode(lookup(RETENTION_MODE).as_deref())?,
            max_campaigns_per_run: number(
                &lookup,
                MAX_CAMPAIGNS_PER_RUN,
                50,
                1..=MOST_CAMPAIGNS_PER_RUN,
            )?,
            max_running: number(&lookup, MAX_RUNNING_CLEANUPS, 5, 1..=MOST_RUNNING)?,
            max_delete_share_percent: number(&lookup, MAX_DELETE_SHARE_PERCENT, 50, 0..=100)?,
        })
    }
}

fn statuses(value: Option<String>) -> Result<Vec<String>, ConfigError> {
    let text = value.unwrap_or_else(|| DEFAULT_STATUSES.to_owned());
    let mut statuses: Vec<String> = text.split(',').map(|s| s.trim().to_owned()).collect();
    statuses.sort();
    statuses.dedup();
    if statuses.iter().all(|s| DELETABLE.contains(&s.as_str())) {
        return Ok(statuses);
    }
    Err(ConfigError::new(
        RETENTION_STATUSES,
        Some(&text),
        format!(
            "statuses in which a campaign may be deleted, joined by commas: {} (default {DEFAULT_STATUSES})",
            DELETABLE.join(",")
        ),
    ))
}

fn mode(value: Option<&str>) -> Result<Mode, ConfigError> {
    match value {
        None | Some("report") => Ok(Mode::Report),
        Some("enforce") => Ok(Mode::Enforce),
        other => Err(ConfigError::new(
            RETENTION_MODE,
            other,
            "report or enforce (default report)",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<RetentionSettings, ConfigError> {
        RetentionSettings::read(|variable| {
            let mut pairs = pairs.iter();
            let (_, value) = pairs.find(|(name, _)| *name == variable)?;
            Some((*value).to_owned())
        })
    }

    #[test]
    fn retention_is_off_by_default_and_then_reports() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.age, None);
        assert_eq!(settings.mode, Mode::Report);
        assert_eq!(settings.statuses, ["archived", "completed"]);
        assert_eq!(settings.max_campaigns_per_run, 50);
        assert_eq!(settings.max_running, 5);
        assert_eq!(settings.max_delete_share_percent, 50);
    }

    #[test]
    fn settings_are_read() {
        let settings = read(&[
            ("RETENTION_DAYS", "30"),
            ("RETENTION_STATUSES", "failed, ended,failed"),
            ("RETENTION_MODE", "enforce"),
        ])
        .unwrap();
        assert_eq!(settings.age, Some(Duration::from_hours(720)));
        assert_eq!(settings.statuses, ["ended", "failed"]);
        assert_eq!(settings.mode, Mode::Enforce);
    }

    #[test]
    fn a_bad_value_is_named_with_the_allowed_ones() {
        for (variable, value) in [
            ("RETENTION_DAYS", "-1"),
            ("RETENTION_DAYS", "soon"),
            ("RETENTION_DAYS", "36501"),
            ("RETENTION_STATUSES", "completed,active"),
            ("RETENTION_STATUSES", "deleting"),
            ("RETENTION_STATUSES", "Completed"),
            ("RETENTION_STATUSES", ""),
            ("RETENTION_MODE", "delete"),
            ("RETENTION_MODE", ""),
            ("MAX_CAMPAIGNS_PER_RUN", "0"),
            ("MAX_CAMPAIGNS_PER_RUN", "10001"),
            ("MAX_RUNNING_CLEANUPS", "0"),
            ("MAX_DELETE_SHARE_PERCENT", "101"),
            ("MAX_DELETE_SHARE_PERCENT", "half"),
        ] {
            let error = read(&[(variable, value)]).unwrap_err().to_string();
            let expected = format!("{variable} is '{value}'; allowed: ");
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}

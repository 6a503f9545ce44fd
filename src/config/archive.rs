//! Where deletions archive what they delete.

use super::{ConfigError, DAYS_RANGE, number};

/// `ARCHIVE_BUCKET`: the S3 bucket of archives; unset for no archive.
pub const ARCHIVE_BUCKET: &str = "ARCHIVE_BUCKET";
/// `ARCHIVE_PREFIX`: what every key begins with.
pub const ARCHIVE_PREFIX: &str = "ARCHIVE_PREFIX";
/// `ARCHIVE_MODE`: `default` or `request`.
pub const ARCHIVE_MODE: &str = "ARCHIVE_MODE";
/// `ARCHIVE_DAYS`: after how many days the bucket's lifecycle removes an object; unset or 0 if
/// it does not, or that is not known.
pub const ARCHIVE_DAYS: &str = "ARCHIVE_DAYS";

/// The default of [`ARCHIVE_PREFIX`].
pub const DEFAULT_ARCHIVE_PREFIX: &str = "deletions/";

/// The longest prefix, bytes: a key has 1,024 at most, and what follows fewer than 400.
const LONGEST_PREFIX: usize = 512;

/// Where deletions archive, and which of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSettings {
    /// `ARCHIVE_BUCKET`.
    pub bucket: String,
    /// `ARCHIVE_PREFIX`; empty, or with a slash at its end.
    pub prefix: String,
    /// `ARCHIVE_MODE`.
    pub mode: ArchiveMode,
    /// `ARCHIVE_DAYS`; `None` if that is not known.
    pub days: Option<u64>,
}

/// Which deletions archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveMode {
    /// All, unless a request says `archive=false`.
    Default,
    /// Only those whose request says `archive=true`.
    Request,
}

impl ArchiveSettings {
    /// Reads the settings; `None` without a bucket. The others are checked even then.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(super) fn read(
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ConfigError> {
        // An empty one counts as unset: `sam local` cannot leave a variable unset.
        let value = |variable: &str| lookup(variable).filter(|value| !value.is_empty());
        let prefix = prefix(value(ARCHIVE_PREFIX))?;
        let mode = mode(value(ARCHIVE_MODE).as_deref())?;
        let days = number(value, ARCHIVE_DAYS, 0, DAYS_RANGE)?;
        let Some(bucket) = bucket(value(ARCHIVE_BUCKET))? else {
            return Ok(None);
        };
        Ok(Some(Self {
            bucket,
            prefix,
            mode,
            days: (days > 0).then_some(days),
        }))
    }
}

/// Checks a bucket's name (S3 user guide, "General purpose bucket naming rules").
fn bucket(value: Option<String>) -> Result<Option<String>, ConfigError> {
    let Some(name) = value else {
        return Ok(None);
    };
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let is_edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    let is_name = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| allowed(*b))
        && is_edge(bytes.first())
        && is_edge(bytes.last())
        && !name.contains("..");
    if is_name {
        Ok(Some(name))
    } else {
        Err(ConfigError::new(
            ARCHIVE_BUCKET,
            Some(&name),
            "the name of an S3 bucket, 3 to 63 characters of a-z 0-9 - .",
        ))
    }
}

/// Checks the prefix of keys. It has only characters that need no escape (S3 user guide,
/// "Naming Amazon S3 objects": safe characters), and no part that a path would resolve.
fn prefix(value: Option<String>) -> Result<String, ConfigError> {
    let prefix = value.unwrap_or_else(|| DEFAULT_ARCHIVE_PREFIX.to_owned());
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/-_.=".contains(&b);
    let parts = || prefix.strip_suffix('/').unwrap_or_default().split('/');
    let is_prefix = prefix.len() <= LONGEST_PREFIX
        && prefix.bytes().all(allowed)
        && parts().all(|part| !part.is_empty() && !part.trim_matches('.').is_empty());
    if is_prefix {
        Ok(prefix)
    } else {
        Err(ConfigError::new(
            ARCHIVE_PREFIX,
            Some(&prefix),
            format!(
                "names of A-Z a-z 0-9 - _ . = with a slash after each, {LONGEST_PREFIX} \
                 characters at most (default {DEFAULT_ARCHIVE_PREFIX})"
            ),
        ))
    }
}

fn mode(value: Option<&str>) -> Result<ArchiveMode, ConfigError> {
    match value {
        None | Some("default") => Ok(ArchiveMode::Default),
        Some("request") => Ok(ArchiveMode::Request),
        Some(other) => Err(ConfigError::new(
            ARCHIVE_MODE,
            Some(other),
            "default or request (default default)",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<ArchiveSettings>, String> {
        let lookup = |variable: &str| {
            let pair = pairs.iter().find(|(name, _)| *name == variable);
            pair.map(|(_, value)| (*value).to_owned())
        };
        ArchiveSettings::read(lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_bucket_there_is_no_archive() {
        for pairs in [
            &[][..],
            &[("ARCHIVE_BUCKET", "")],
            &[("ARCHIVE_MODE", "default"), ("ARCHIVE_DAYS", "0")],
        ] {
            assert_eq!(read(pairs).unwrap(), None);
        }
        let defaults = read(&[("ARCHIVE_BUCKET", "my-bucket.1")]).unwrap().unwrap();
        assert_eq!(
            defaults,
            ArchiveSettings {
                bucket: "my-bucket.1".to_owned(),
                prefix: "deletions/".to_owned(),
                mode: ArchiveMode::Default,
                days: None,
            }
        );
    }

    #[test]
    fn a_bad_value_is_named_even_without_a_bucket() {
        for (variable, values) in [
            (
                "ARCHIVE_BUCKET",
                &["ab", "A-bucket", "-a-b", "a..b", "a/b", "s3://bucket"][..],
            ),
            (
                "ARCHIVE_PREFIX",
                &["deletions", "/", "/a/", "a//", "../", "a/./", "a b/", "ä/"],
            ),
            ("ARCHIVE_MODE", &["true", "Default", "always"]),
            ("ARCHIVE_DAYS", &["-1", "1.5", "forever"]),
        ] {
            for value in values {
                let error = read(&[(variable, value)]).unwrap_err();
                let expected = format!("{variable} is '{value}'; allowed: ");
                assert!(error.starts_with(&expected), "{error}");
            }
        }
    }
}

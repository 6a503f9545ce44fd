//! What signs the receipts of deletions, and what they name.

use std::ops::RangeInclusive;

use super::{ConfigError, number};

/// `RECEIPT_KEY_IDS`: KMS keys, joined by commas; the first one signs, all are published. Unset
/// for no receipts.
pub const RECEIPT_KEY_IDS: &str = "RECEIPT_KEY_IDS";
/// `RECEIPT_ISSUER`: `iss` of every receipt; by default, the address of the API.
pub const RECEIPT_ISSUER: &str = "RECEIPT_ISSUER";
/// `PITR_DAYS`: how many days the table's point-in-time recovery reaches back; unset or 0 if it
/// is off, or that is not known.
pub const PITR_DAYS: &str = "PITR_DAYS";

/// The days that [`PITR_DAYS`] may be (DynamoDB API reference, `RecoveryPeriodInDays`), and 0.
pub const PITR_RANGE: RangeInclusive<u64> = 0..=35;

/// The most keys: each is asked for once in a process before keys are published.
const MOST_KEYS: usize = 10;
/// The longest id of a key (KMS API reference, `KeyId`).
const LONGEST_KEY: usize = 2_048;
/// The longest issuer, characters.
const LONGEST_ISSUER: usize = 255;

/// What signs the receipts of deletions, and what they name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiptSettings {
    /// `RECEIPT_KEY_IDS`; none for no receipts.
    pub key_ids: Vec<String>,
    /// `RECEIPT_ISSUER`; `None` for the address of the API.
    pub issuer: Option<String>,
    /// `PITR_DAYS`; `None` if that is not known.
    pub pitr_days: Option<u64>,
}

impl ReceiptSettings {
    /// Reads the settings. An empty value counts as unset: `sam local` cannot leave a variable
    /// unset.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let value = |variable: &str| lookup(variable).filter(|value| !value.is_empty());
        let days = number(value, PITR_DAYS, 0, PITR_RANGE)?;
        Ok(Self {
            key_ids: key_ids(value(RECEIPT_KEY_IDS))?,
            issuer: issuer(value(RECEIPT_ISSUER))?,
            pitr_days: (days > 0).then_some(days),
        })
    }
}

/// Checks the ids of keys. An alias is refused: its key may change, and with it what a receipt
/// that is kept is verified with.
fn key_ids(value: Option<String>) -> Result<Vec<String>, ConfigError> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let ids: Vec<String> = value.split(',').map(|id| id.trim().to_owned()).collect();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'/' | b'-' | b'_');
    let is_id = |id: &String| {
        (1..=LONGEST_KEY).contains(&id.len()) && id.bytes().all(allowed) && !id.contains("alias/")
    };
    let is_once = |(at, id): (usize, &String)| !ids.iter().take(at).any(|other| other == id);
    if ids.len() <= MOST_KEYS && ids.iter().all(is_id) && ids.iter().enumerate().all(is_once) {
        Ok(ids)
    } else {
        let allowed = format!(
            "up to {MOST_KEYS} ids or ARNs of KMS keys, joined by commas, none twice and no alias"
        );
        Err(ConfigError::new(RECEIPT_KEY_IDS, Some(&value), allowed))
    }
}

fn issuer(value: Option<String>) -> Result<Option<String>, ConfigError> {
    let is_issuer =
        |text: &String| text.len() <= LONGEST_ISSUER && text.bytes().all(|b| b.is_ascii_graphic());
    match value {
        Some(text) if !is_issuer(&text) => Err(ConfigError::new(
            RECEIPT_ISSUER,
            Some(&text),
            "a URL or another text without spaces, 1 to 255 characters of ASCII",
        )),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variable: &str, value: &str) -> Result<ReceiptSettings, String> {
        let read = ReceiptSettings::read(|name| (name == variable).then(|| value.to_owned()));
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_ids_or_arns_each_given_once() {
        const ARN: &str = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab";
        for (value, expected) in [
            ("", vec![]),
            ("1234abcd-12ab", vec!["1234abcd-12ab"]),
            (ARN, vec![ARN]),
            ("mrk-1, mrk-2", vec!["mrk-1", "mrk-2"]),
        ] {
            assert_eq!(read(RECEIPT_KEY_IDS, value).unwrap().key_ids, expected);
        }
        let many = ["a"; 11].join(",");
        for value in [",", "a,", "a,a", "alias/receipts", "a b", "ä", &many] {
            let error = read(RECEIPT_KEY_IDS, value).unwrap_err();
            assert!(error.starts_with("RECEIPT_KEY_IDS is '"), "{error}");
        }
    }

    #[test]
    fn days_and_issuer_are_checked_and_may_be_left_out() {
        let none = read("", "").unwrap();
        assert_eq!(none, ReceiptSettings::default());
        assert_eq!(read(PITR_DAYS, "35").unwrap().pitr_days, Some(35));
        assert_eq!(read(PITR_DAYS, "0").unwrap().pitr_days, None);
        let url = "https://api.example.com";
        assert_eq!(
            read(RECEIPT_ISSUER, url).unwrap().issuer.as_deref(),
            Some(url)
        );
        for (variable, value) in [(PITR_DAYS, "36"), (PITR_DAYS, "x"), (RECEIPT_ISSUER, "a b")] {
            assert!(read(variable, value).is_err(), "{value}");
        }
    }
}

//! Keys by the date in them, as in `WEBHOOK#2025-03-07T12:30:00.123Z#id`. By their characters,
//! there would be months with all of ten digits, and ninety minutes in an hour.

use super::{Scale, common};
use crate::clock::{epoch_seconds, rfc3339};

/// How long a date with a time is, to the second.
const LENGTH: usize = "2025-03-07T12:30:00".len();
/// How long a date is without a time.
const DAY: usize = "2025-03-07".len();

/// The keys of a range by the date that comes after what they have in common, epoch seconds.
pub(super) struct Dates<'a> {
    /// What comes before it.
    prefix: &'a str,
    /// What is between the date and the time.
    separator: &'a str,
}

impl<'a> Dates<'a> {
    /// Returns the scale of the keys from `first` to `last`, if it is a date that tells them apart.
    pub(super) fn of(first: &'a str, last: &str) -> Option<Self> {
        let end = common(first, last);
        let date = |key: &str, at| key.get(at..).and_then(seconds);
        let mut places = (end + 1).saturating_sub(LENGTH)..=end;
        let differs = |at: &usize| {
            let (from, to) = (date(first, *at), date(last, *at));
            from.is_some() && to.is_some() && from != to
        };
        let at = places.find(differs)?;
        let separator = first
            .get(at + DAY..=at + DAY)
            .filter(|between| *between == " ");
        Some(Self {
            prefix: first.get(..at)?,
            separator: separator.unwrap_or("T"),
        })
    }
}

impl Scale for Dates<'_> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a date is less than 2^38 seconds"
    )]
    fn position(&self, key: &str) -> Option<f64> {
        seconds(key.strip_prefix(self.prefix)?).map(|seconds| seconds as f64)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a position is between two dates"
    )]
    fn key_at(&self, position: f64) -> String {
        let mut date = rfc3339(position as i64);
        date.truncate(LENGTH);
        format!("{}{}", self.prefix, date.replace('T', self.separator))
    }
}

/// The date that a text begins with, with or without a time; epoch seconds.
fn seconds(text: &str) -> Option<i64> {
    let day = text.get(..DAY)?;
    let at = |time: &str| epoch_seconds(&format!("{day}T{time}Z"));
    let has_time = matches!(text.as_bytes().get(DAY), Some(b'T' | b' '));
    let time = text.get(DAY + 1..LENGTH).filter(|_| has_time);
    time.and_then(at).or_else(|| at("00:00:00"))
}

//! The clock, in the three forms that the table stores: RFC 3339 text, epoch
//! seconds and epoch milliseconds. Clocks serve efficiency and display; no
//! correctness depends on them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Milliseconds since the epoch.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Seconds since the epoch.
#[must_use]
pub fn now_seconds() -> i64 {
    now_ms() / 1000
}

/// Now as RFC 3339 in UTC, whole seconds, with `Z`.
#[must_use]
pub fn now_rfc3339() -> String {
    rfc3339(now_seconds())
}

/// The last second that RFC 3339 can write: the end of the year 9999, epoch seconds.
pub const LAST_SECOND: i64 = 253_402_300_799;

/// Epoch seconds as RFC 3339 in UTC, whole seconds, with `Z`. Any time after
/// [`LAST_SECOND`] becomes that one, any time before the year 0 the epoch.
#[must_use]
pub fn rfc3339(epoch_seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(epoch_seconds.min(LAST_SECOND))
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

/// The epoch seconds of an RFC 3339 text; `None` if it is not one.
#[must_use]
pub fn epoch_seconds(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(at.unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds_in_utc() {
        assert_eq!(rfc3339(1_705_764_600), "2024-01-20T15:30:00Z");
        assert_eq!(epoch_seconds("2024-01-20T15:30:00Z"), Some(1_705_764_600));
        assert_eq!(
            epoch_seconds("2024-01-20T17:30:00.999+02:00"),
            Some(1_705_764_600)
        );
        assert_eq!(epoch_seconds("2024-01-20"), None);
        assert_eq!(now_rfc3339().len(), "2024-01-20T15:30:00Z".len());
    }
}

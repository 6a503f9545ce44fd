//! Where a deletion archives what it deletes, as its claim has promised.

use std::fmt::Write as _;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Record;
use crate::clock::{epoch_seconds, rfc3339};

/// The archive of one deletion. All but [`Archive::archived`] is fixed at the claim, and
/// every worker goes by it, whatever its own settings say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The S3 bucket.
    pub bucket: String,
    /// What every key begins with.
    pub prefix: String,
    /// After how many days the bucket's lifecycle removes an object; `None` if that is
    /// not known.
    pub days: Option<u64>,
    /// What was put so far.
    pub archived: Archived,
}

/// How much was put into an archive. Workers that follow each other put some items twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Archived {
    /// Objects.
    pub objects: u64,
    /// Bytes, compressed.
    pub bytes: u64,
}

/// The most bytes of an account's id in a key, escaped: a key has 1,024 at most (S3 user
/// guide, "Naming Amazon S3 objects").
const LONGEST_ACCOUNT: usize = 256;

const SECONDS_OF_A_DAY: i64 = 86_400;

impl Archive {
    /// Returns what the keys of a deletion's objects begin with.
    #[must_use]
    pub fn folder(&self, account_id: &str, deletion_id: &str) -> String {
        folder(&self.prefix, account_id, deletion_id)
    }

    /// Returns where the objects of a deletion are, as a URI.
    #[must_use]
    pub fn location(&self, account_id: &str, deletion_id: &str) -> String {
        let folder = self.folder(account_id, deletion_id);
        format!("s3://{}/{folder}", self.bucket)
    }

    /// Returns when the last object expires, RFC 3339, if the deletion was completed at this
    /// time: S3 adds the days to when an object was put, and rounds up to the next midnight
    /// UTC.
    #[must_use]
    pub fn expires_at(&self, completed_at: &str) -> Option<String> {
        let days = i64::try_from(self.days?).ok()?;
        let last = epoch_seconds(completed_at)?.saturating_add(days * SECONDS_OF_A_DAY);
        let midnight = last.div_euclid(SECONDS_OF_A_DAY) + i64::from(last % SECONDS_OF_A_DAY != 0);
        Some(rfc3339(midnight * SECONDS_OF_A_DAY))
    }
}

/// What a deletion has archived, as it is shown to its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveView {
    /// A URI of S3.
    location: String,
    /// How many items are in it, without the campaign item: those that were counted.
    items: u64,
    /// Its size, bytes.
    bytes: u64,
    /// When the bucket's lifecycle removes it, RFC 3339, once that is known.
    expires_at: Option<String>,
}

impl ArchiveView {
    /// Returns the view of a record's archive; `None` if it has none.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let archive = record.archive.as_ref()?;
        Some(Self {
            location: archive.location(&record.account_id, &record.deletion_id),
            items: record.progress.counted.total(),
            bytes: archive.archived.bytes,
            expires_at: record.completed_at().and_then(|at| archive.expires_at(at)),
        })
    }
}

/// Returns what the keys of a deletion's objects begin with.
#[must_use]
pub fn folder(prefix: &str, account_id: &str, deletion_id: &str) -> String {
    format!("{}{deletion_id}/", account_folder(prefix, account_id))
}

/// Returns what the keys of an account's archives begin with. Its id is escaped, so that no
/// id reaches another account's folder; one that is too long is a hash.
#[must_use]
pub fn account_folder(prefix: &str, account_id: &str) -> String {
    let mut escaped = String::new();
    for byte in account_id.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            escaped.push(char::from(byte));
        } else {
            // Err: never, for a String.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    if escaped.len() > LONGEST_ACCOUNT {
        escaped = format!("sha256-{}", hex::encode(Sha256::digest(account_id)));
    }
    format!("{prefix}{escaped}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_account_reaches_the_folder_of_another() {
        for (account, expected) in [
            ("account_1", "a/account_1/"),
            ("a/b", "a/a%2Fb/"),
            ("..", "a/%2E%2E/"),
            ("a%2Fb", "a/a%252Fb/"),
            ("ä", "a/%C3%A4/"),
        ] {
            assert_eq!(account_folder("a/", account), expected);
        }
        let long = account_folder("a/", &"/".repeat(1_024));
        assert_eq!(long.len(), "a/sha256-/".len() + 64);
    }

    #[test]
    fn an_object_expires_at_the_midnight_after_its_days() {
        let archive = |days| Archive {
            bucket: "b".to_owned(),
            prefix: String::new(),
            days,
            archived: Archived::default(),
        };
        for (days, completed_at, expected) in [
            (None, "2026-01-01T10:00:00Z", None),
            (
                Some(1),
                "2026-01-01T10:00:00Z",
                Some("2026-01-03T00:00:00Z"),
            ),
            (
                Some(30),
                "2026-01-01T00:00:00Z",
                Some("2026-01-31T00:00:00Z"),
            ),
            (Some(30), "then", None),
        ] {
            let at = archive(days).expires_at(completed_at);
            assert_eq!(at.as_deref(), expected, "{completed_at}");
        }
    }
}

//! The deletion record: the only state of a deletion. It is versioned, and
//! every write to it is conditional on the version that its writer last saw, so
//! a paused, late or repeated writer changes nothing.

mod archive;
mod event;
mod range;
mod reason;
mod receipt;

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::{
    archive::{Archive, ArchiveView, Archived, account_folder, folder},
    event::Event,
    range::Range,
    reason::{DeletionReason, InvalidReason},
    receipt::Claims,
};
use crate::{campaign::CampaignId, counts::Counts};

/// The longest lease, seconds: longer than any function runs.
pub const LONGEST_LEASE_SECONDS: u64 = 3_600;

/// Who requested a deletion: `requestedBy` of its record.
///
/// Stored as text: the key's id, `retention`, `cli` or `unknown`. A key whose id is
/// one of these words, or begins like an escaped id, is stored as `key:<id>`, so no
/// key is ever taken for retention or a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requester {
    /// The bearer of the API key with this id.
    Key(String),
    /// The scheduled clean-up, for a campaign past retention.
    Retention,
    /// An operator at a terminal.
    Cli,
    /// Not known: the record of the deletion was lost, and the clean-up has claimed
    /// the campaign again.
    Unknown,
}

impl Requester {
    const RETENTION: &str = "retention";
    const CLI: &str = "cli";
    const UNKNOWN: &str = "unknown";
    const ESCAPE: &str = "key:";

    /// Returns the stored form.
    #[must_use]
    pub fn as_stored(&self) -> Cow<'_, str> {
        match self {
            Self::Retention => Self::RETENTION.into(),
            Self::Cli => Self::CLI.into(),
            Self::Unknown => Self::UNKNOWN.into(),
            Self::Key(id)
                if [Self::RETENTION, Self::CLI, Self::UNKNOWN].contains(&id.as_str())
                    || id.starts_with(Self::ESCAPE) =>
            {
                format!("{}{id}", Self::ESCAPE).into()
            }
            Self::Key(id) => id.into(),
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        match text {
            Self::RETENTION => Self::Retention,
            Self::CLI => Self::Cli,
            Self::UNKNOWN => Self::Unknown,
            key => Self::Key(key.strip_prefix(Self::ESCAPE).unwrap_or(key).to_owned()),
        }
    }
}

impl fmt::Display for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_stored())
    }
}

/// Names one deletion: the payload of `drain`, and so the input of the state
/// machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletionRef {
    /// The account that owns the campaign.
    pub account_id: String,
    /// The deletion's id.
    pub deletion_id: String,
}

impl DeletionRef {
    /// Returns the reference to the deletion of this record.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self {
            account_id: record.account_id.clone(),
            deletion_id: record.deletion_id.clone(),
        }
    }
}

/// A deletion record as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// A UUID, version 7.
    pub deletion_id: String,
    /// The campaign that is deleted.
    pub campaign_id: CampaignId,
    /// Its name when it was claimed: shown to its owner, never logged.
    pub campaign_name: String,
    /// The account that owns it.
    pub account_id: String,
    /// Who requested the deletion.
    pub requested_by: Requester,
    /// Why, if the requester has said.
    pub reason: Option<DeletionReason>,
    /// The campaign's status before it was claimed.
    pub previous_status: String,
    /// Running or succeeded.
    pub state: RecordState,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339; the last write of the record.
    pub updated_at: String,
    /// Counts and marks.
    pub progress: Progress,
    /// Where everything is archived before it is deleted; `None` for nowhere.
    pub archive: Option<Archive>,
    /// Whether the campaign item was another one at the end, which stays.
    pub campaign_replaced: bool,
    /// Raised by one with every write.
    pub version: u64,
    /// The lease under which the record was last written: a random id.
    pub owner: Option<String>,
    /// When the lease ends, epoch milliseconds.
    pub lease_until_ms: i64,
}

/// Returns a deletion id in its stored form, a UUID with hyphens in lower case;
/// `None` if the text is not a UUID with hyphens.
#[must_use]
pub fn deletion_id(text: &str) -> Option<String> {
    let id = Uuid::try_parse(text).ok()?.hyphenated().to_string();
    // The other forms of a UUID have other lengths.
    (id.len() == text.len()).then_some(id)
}

/// Whether a deletion has finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// There is work left.
    Running,
    /// Everything is gone; the record never changes again.
    Succeeded {
        /// RFC 3339.
        completed_at: String,
    },
}

impl RecordState {
    /// Returns the stored form: `running` or `succeeded`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Running => Self::RUNNING,
            Self::Succeeded { .. } => Self::SUCCEEDED,
        }
    }

    /// `state` of a running deletion.
    pub const RUNNING: &str = "running";
    /// `state` of a finished deletion.
    pub const SUCCEEDED: &str = "succeeded";
}

/// The progress of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Everything counted so far, in all passes.
    pub counted: Counts,
    /// The ranges of this pass, in order: together they are the whole partition, without a
    /// gap. One, unless the deletion was worth splitting.
    pub ranges: Vec<Range>,
    /// Which read of the partition from its start this is, from 1.
    pub pass: u64,
    /// When the pace has caught up with ("paid for") what was consumed, epoch
    /// milliseconds: the debt stays with the deletion, whoever works on it.
    pub paid_until_ms: Option<i64>,
}

impl Progress {
    /// Returns the progress of a deletion that was just claimed.
    #[must_use]
    pub fn start() -> Self {
        Self {
            counted: Counts::default(),
            ranges: vec![Range::default()],
            pass: 1,
            paid_until_ms: None,
        }
    }
}

impl Record {
    /// Returns whether the lease has expired or was released, by the clock of `now_ms`
    /// (epoch milliseconds). One that would last longer than any lease was written by a
    /// clock that was wrong, and keeps nobody from taking over.
    #[must_use]
    pub fn lease_ended(&self, now_ms: i64) -> bool {
        self.lease_until_ms <= now_ms || self.lease_is_impossible(now_ms)
    }

    fn lease_is_impossible(&self, now_ms: i64) -> bool {
        // Twice, since clocks differ.
        let longest = i64::try_from(LONGEST_LEASE_SECONDS * 2_000).unwrap_or(i64::MAX);
        self.lease_until_ms > now_ms.saturating_add(longest)
    }

    /// Returns whether a running deletion has no active worker: its lease ended
    /// more than two lease lengths ago, by the clock of `now_ms` (epoch
    /// milliseconds).
    #[must_use]
    pub fn is_stalled(&self, lease: std::time::Duration, now_ms: i64) -> bool {
        let two_leases = i64::try_from(lease.as_millis().saturating_mul(2)).unwrap_or(i64::MAX);
        self.state == RecordState::Running
            && (self.lease_until_ms.saturating_add(two_leases) < now_ms
                || self.lease_is_impossible(now_ms))
    }

    /// Returns when the deletion finished, RFC 3339.
    #[must_use]
    pub fn completed_at(&self) -> Option<&str> {
        match &self.state {
            RecordState::Running => None,
            RecordState::Succeeded { completed_at } => Some(completed_at),
        }
    }
}

#[cfg(test)]
impl Record {
    /// A deletion of `campaign_1` that was just claimed, whose lease ends then.
    pub(crate) fn example(lease_until_ms: i64) -> Self {
        Self {
            deletion_id: "0190a8c2-b5c2-7e3f-8000-000000000000".to_owned(),
            campaign_id: CampaignId::parse("campaign_1").unwrap(),
            campaign_name: String::new(),
            account_id: "account_1".to_owned(),
            requested_by: Requester::Cli,
            reason: None,
            previous_status: "paused".to_owned(),
            state: RecordState::Running,
            started_at: String::new(),
            updated_at: String::new(),
            progress: Progress::start(),
            archive: None,
            campaign_replaced: false,
            version: 1,
            owner: None,
            lease_until_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_named_retention_or_cli_is_treated_as_a_key() {
        for (requester, stored) in [
            (Requester::Retention, "retention"),
            (Requester::Cli, "cli"),
            (Requester::Unknown, "unknown"),
            (Requester::Key("unknown".into()), "key:unknown"),
            (Requester::Key("key_1".into()), "key_1"),
            (Requester::Key("retention".into()), "key:retention"),
            (Requester::Key("cli".into()), "key:cli"),
            (Requester::Key("key:cli".into()), "key:key:cli"),
        ] {
            assert_eq!(requester.as_stored(), stored);
            assert_eq!(Requester::from_stored(stored), requester);
        }
    }

    #[test]
    fn a_deletion_is_stalled_two_leases_after_its_lease_ended() {
        let mut record = Record::example(1_000);
        let lease = std::time::Duration::from_secs(30);
        for (now_ms, lease_ended, stalled) in [
            (999, false, false),
            (1_000, true, false),
            (61_000, true, false),
            (61_001, true, true),
            (1_000_000, true, true),
        ] {
            assert_eq!(record.lease_ended(now_ms), lease_ended, "{now_ms}");
            assert_eq!(record.is_stalled(lease, now_ms), stalled, "{now_ms}");
        }
        record.state = RecordState::Succeeded {
            completed_at: String::new(),
        };
        assert!(!record.is_stalled(lease, 1_000_000));
    }
}

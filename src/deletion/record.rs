//! The deletion record: the only state of a deletion. It is versioned, and
//! every write to it is conditional on the version that its writer last saw, so
//! a paused, late or repeated writer changes nothing.

use uuid::Uuid;

use super::Counts;
use crate::campaign::CampaignId;

/// `requestedBy` of a deletion that retention has started.
pub const BY_RETENTION: &str = "retention";
/// `requestedBy` of a deletion that was started from a terminal.
pub const BY_CLI: &str = "cli";

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
    /// A key id, `retention`, or `cli`.
    pub requested_by: String,
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
    /// Raised by one with every write.
    pub version: u64,
    /// The hold that wrote last.
    pub owner: Option<String>,
    /// When the lease ends, epoch milliseconds.
    pub lease_until_ms: i64,
}

/// A deletion id in the form in which it is stored: a UUID with hyphens, in
/// lower case. `None` if it is none.
#[must_use]
pub fn deletion_id(text: &str) -> Option<String> {
    let id = Uuid::try_parse(text).ok()?.hyphenated().to_string();
    // The other forms of a UUID have other lengths.
    (id.len() == text.len()).then_some(id)
}

/// Whether a deletion is done.
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
    /// `state` of a running deletion.
    pub const RUNNING: &str = "running";
    /// `state` of a deletion that is done.
    pub const SUCCEEDED: &str = "succeeded";
}

/// How far a deletion has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Everything counted so far, in all passes.
    pub counted: Counts,
    /// In this pass, keys up to and with this one are counted.
    pub counted_through: Option<String>,
    /// In this pass, every delete up to and with this key is acknowledged.
    pub deleted_through: Option<String>,
    /// Which reading of the partition from its start this is, from 1.
    pub pass: u64,
}

impl Progress {
    /// The progress of a deletion that was just claimed.
    #[must_use]
    pub fn start() -> Self {
        Self {
            counted: Counts::default(),
            counted_through: None,
            deleted_through: None,
            pass: 1,
        }
    }

    /// The progress in which another pass begins: marks start anew, counts stay.
    /// Only right once every delete of the pass before is acknowledged.
    #[must_use]
    pub fn next_pass(&self) -> Self {
        Self {
            counted: self.counted.clone(),
            counted_through: None,
            deleted_through: None,
            pass: self.pass + 1,
        }
    }

    /// Counts the keys of a page (in sort-key order) that are not counted yet,
    /// and moves `counted_through` to its last key, never back.
    pub fn count_page(&mut self, sort_keys: &[String]) {
        for key in sort_keys {
            if self.counted_through.as_ref().is_none_or(|mark| key > mark) {
                self.counted.add(key);
            }
        }
        let last = sort_keys.last().cloned();
        if last > self.counted_through {
            self.counted_through = last;
        }
    }
}

impl Record {
    /// Whether the lease has run out or was released, by the clock of `now_ms`
    /// (epoch milliseconds).
    #[must_use]
    pub fn lease_ended(&self, now_ms: i64) -> bool {
        self.lease_until_ms <= now_ms
    }

    /// Whether nobody is at a running deletion: its lease ended more than two
    /// lease lengths ago, by the clock of `now_ms` (epoch milliseconds).
    #[must_use]
    pub fn is_stalled(&self, lease: std::time::Duration, now_ms: i64) -> bool {
        let two_leases = i64::try_from(lease.as_millis().saturating_mul(2)).unwrap_or(i64::MAX);
        self.state == RecordState::Running
            && self.lease_until_ms.saturating_add(two_leases) < now_ms
    }

    /// When the deletion was done, RFC 3339.
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
            requested_by: BY_CLI.to_owned(),
            previous_status: "paused".to_owned(),
            state: RecordState::Running,
            started_at: String::new(),
            updated_at: String::new(),
            progress: Progress::start(),
            version: 1,
            owner: None,
            lease_until_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn keys_up_to_the_mark_are_not_counted_again_and_the_mark_never_moves_back() {
        let mut progress = Progress::start();
        progress.count_page(&keys(&["CHAT#1", "CHAT#2"]));
        progress.count_page(&keys(&["CHAT#1"]));
        assert_eq!(progress.counted.total(), 2);
        assert_eq!(progress.counted_through.as_deref(), Some("CHAT#2"));
        progress.count_page(&keys(&["CHAT#2", "CHAT#3"]));
        assert_eq!(progress.counted.total(), 3);
        assert_eq!(progress.counted_through.as_deref(), Some("CHAT#3"));
    }

    #[test]
    fn a_running_deletion_is_stalled_two_leases_after_its_lease_has_ended() {
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

    #[test]
    fn another_pass_counts_from_the_start_again() {
        let mut progress = Progress::start();
        progress.count_page(&keys(&["CHAT#1"]));
        progress.deleted_through = Some("CHAT#1".into());
        let mut next = progress.next_pass();
        assert_eq!((next.pass, next.deleted_through.as_deref()), (2, None));
        next.count_page(&keys(&["CHAT#1"]));
        assert_eq!(next.counted.total(), 2);
    }

    proptest::proptest! {
        #[test]
        fn keys_are_counted_once_however_pages_are_cut_and_read_again(
            mut all in proptest::collection::btree_set("[A-D]{1,3}#[0-9]{1,2}", 0..60),
            cuts in proptest::collection::vec((1_usize..9, 0_usize..9), 0..60),
        ) {
            all.remove("");
            let all: Vec<String> = all.into_iter().collect();
            let mut progress = Progress::start();
            let mut at = 0;
            for (length, back) in cuts {
                // A takeover reads again what was counted and may be deleted or not.
                let from = at - back.min(at);
                let to = (from + length).min(all.len());
                if from < to {
                    progress.count_page(&all[from..to]);
                    at = at.max(to);
                }
            }
            proptest::prop_assert_eq!(progress.counted.total(), at as u64);
            proptest::prop_assert_eq!(progress.counted_through.as_ref(), at.checked_sub(1).map(|last| &all[last]));
        }
    }
}

//! What the slices of this process have done for each deletion, for the page of the local server:
//! the record has the counts, and nothing of unprocessed writes. In no Lambda function.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Deletions, SliceStats};

/// The most deletions that are remembered: whatever was tallied before is forgotten then.
const MOST: usize = 10_000;

/// What the slices of a process have done, by deletion id. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<HashMap<String, Tallied>>>);

/// What the slices of a process have done for one deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tallied {
    /// How many slices have ended.
    pub slices: u64,
    /// How many deletes were acknowledged.
    pub deleted: u64,
    /// How many deletes were unprocessed and had to be sent again.
    pub unprocessed: u64,
    /// Write units that the deletes have consumed.
    pub consumed: f64,
}

impl Deletions {
    /// Returns the same use case, which adds what its slices do to `tally`.
    #[must_use]
    pub fn tallied_in(self, tally: Tally) -> Self {
        Self { tally, ..self }
    }
}

impl Tally {
    /// Adds a slice that has ended.
    pub(super) fn add(&self, deletion_id: &str, stats: &SliceStats) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(deletion_id) {
            all.clear();
        }
        let tallied = all.entry(deletion_id.to_owned()).or_default();
        tallied.slices += 1;
        tallied.deleted += stats.deleted;
        tallied.unprocessed += stats.unprocessed;
        tallied.consumed += stats.consumed;
    }

    /// Returns what was done for a deletion; `None` if no slice of this process has ended.
    #[must_use]
    pub fn of(&self, deletion_id: &str) -> Option<Tallied> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(deletion_id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_add_up_and_old_deletions_are_forgotten() {
        let tally = Tally::default();
        let stats = SliceStats {
            moved: true,
            deleted: 25,
            unprocessed: 3,
            consumed: 25.5,
        };
        tally.add("a", &stats);
        tally.clone().add("a", &stats);
        let expected = Tallied {
            slices: 2,
            deleted: 50,
            unprocessed: 6,
            consumed: 51.0,
        };
        assert_eq!(tally.of("a"), Some(expected));
        assert_eq!(tally.of("b"), None);
        for at in 0..MOST {
            tally.add(&at.to_string(), &stats);
        }
        assert_eq!(tally.of("a"), None);
    }
}

//! The ranges that a pass works on. Each covers the keys after one border up to and
//! including another, and has marks of its own.

use crate::counts::Counts;

/// A range of sort keys, and how far a pass has come in it. The default is the whole
/// partition before anything is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The keys after this one; `None` for the start of the partition.
    pub after: Option<String>,
    /// The keys up to and including this one; `None` for the end of the partition.
    pub through: Option<String>,
    /// In this pass, the range's keys up to and including this one are counted.
    pub counted_through: Option<String>,
    /// In this pass, every delete of the range up to and including this key is acknowledged.
    pub deleted_through: Option<String>,
}

impl Range {
    /// Returns whether this is the whole partition.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.after.is_none() && self.through.is_none()
    }

    /// Returns the key after which to continue; `None` for the start of the partition.
    #[must_use]
    pub fn start(&self) -> Option<&str> {
        self.deleted_through.as_deref().or(self.after.as_deref())
    }

    /// Returns whether a key is counted in this pass.
    #[must_use]
    pub fn has_counted(&self, key: &str) -> bool {
        self.counted_through
            .as_deref()
            .is_some_and(|mark| key <= mark)
    }

    /// Counts the keys of a page (in sort-key order) that are not counted yet, and moves
    /// `counted_through` to its last key, never back.
    pub fn count_page(&mut self, sort_keys: &[String], counted: &mut Counts) {
        for key in sort_keys.iter().filter(|key| !self.has_counted(key)) {
            counted.add(key);
        }
        let last = sort_keys.last().cloned();
        if last > self.counted_through {
            self.counted_through = last;
        }
    }

    /// Cuts the range at a key: returns the part after it. Only what is neither counted
    /// nor read may be cut off, so that the marks stay with the first part.
    #[must_use]
    pub fn split_off(&mut self, at: String) -> Self {
        Self {
            after: Some(at.clone()),
            through: self.through.replace(at),
            counted_through: None,
            deleted_through: None,
        }
    }

    /// Takes in the range before this one, in which everything that was found is deleted. This
    /// range's marks then hold for both; without one, the border is the mark.
    pub fn take_in(&mut self, done: &Self) {
        let border = std::mem::replace(&mut self.after, done.after.clone());
        self.counted_through = self.counted_through.take().or_else(|| border.clone());
        self.deleted_through = self.deleted_through.take().or(border);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn keys_up_to_the_mark_are_not_counted_again() {
        let (mut range, mut counted) = (Range::default(), Counts::default());
        range.count_page(&keys(&["CHAT#1", "CHAT#2"]), &mut counted);
        range.count_page(&keys(&["CHAT#1"]), &mut counted);
        assert_eq!(counted.total(), 2);
        assert_eq!(range.counted_through.as_deref(), Some("CHAT#2"));
        range.count_page(&keys(&["CHAT#2", "CHAT#3"]), &mut counted);
        assert_eq!(counted.total(), 3);
        assert_eq!(range.counted_through.as_deref(), Some("CHAT#3"));
    }

    #[test]
    fn a_range_that_is_split_and_taken_in_again_keeps_its_marks() {
        let mark = |text: &str| Some(text.to_owned());
        let mut first = Range {
            counted_through: mark("b"),
            deleted_through: mark("a"),
            ..Range::default()
        };
        let mut second = first.split_off("m".to_owned());
        assert_eq!(
            (first.through.as_deref(), second.start()),
            (Some("m"), Some("m"))
        );
        assert!(!second.has_counted("n") && second.through.is_none());
        second.take_in(&first);
        assert!(second.is_whole());
        assert_eq!(second.start(), Some("m"));
        assert!(second.has_counted("m") && !second.has_counted("n"));
        second.counted_through = mark("z");
        let mut third = second.split_off("z".to_owned());
        third.take_in(&second);
        assert_eq!(third.counted_through, mark("z"));
    }

    proptest::proptest! {
        #[test]
        fn keys_are_counted_once_however_pages_are_cut(
            mut all in proptest::collection::btree_set("[A-D]{1,3}#[0-9]{1,2}", 0..60),
            cuts in proptest::collection::vec((1_usize..9, 0_usize..9), 0..60),
        ) {
            all.remove("");
            let all: Vec<String> = all.into_iter().collect();
            let (mut range, mut counted) = (Range::default(), Counts::default());
            let mut at = 0;
            for (length, back) in cuts {
                // A takeover reads again what was counted and may be deleted or not.
                let from = at - back.min(at);
                let to = (from + length).min(all.len());
                if from < to {
                    range.count_page(&all[from..to], &mut counted);
                    at = at.max(to);
                }
            }
            proptest::prop_assert_eq!(counted.total(), at as u64);
            proptest::prop_assert_eq!(range.counted_through.as_ref(), at.checked_sub(1).map(|last| &all[last]));
        }
    }
}

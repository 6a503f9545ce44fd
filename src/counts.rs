//! What a campaign consists of, and how it is counted. **To add an item kind,
//! add a line to `KINDS`**: the sort-key prefix decides the counter, and the
//! counter's name is used in the record, in every answer, and in the terminal.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error, ser::SerializeMap};

/// The sort key of the campaign item itself. It sorts in the middle of its
/// partition and is deleted last, by the finish.
pub const CAMPAIGN_SORT_KEY: &str = "CAMPAIGN";

/// A counter of `deletedItems`.
#[derive(Debug, PartialEq, Eq)]
struct Counter {
    name: &'static str,
    /// Whether the counter is shown when it is zero.
    always: bool,
}

const COUNTERS: [Counter; 8] = [
    always("prospects"),
    always("chats"),
    always("messages"),
    always("tasks"),
    always("webhookEvents"),
    always("analytics"),
    non_zero("webhookDeliveries"),
    non_zero(OTHER),
];

const OTHER: &str = "other";

/// Sort-key prefix to counter. A sort key that has none of these prefixes is
/// counted as `other`, for example `PROSPECT` without a `#`.
const KINDS: [(&str, &str); 8] = [
    ("PROSPECT#", "prospects"),
    ("CHAT#", "chats"),
    ("MESSAGE#", "messages"),
    ("TASK#", "tasks"),
    ("WEBHOOK#", "webhookEvents"),
    ("ANALYTICS#", "analytics"),
    ("ACTIVITY#", "analytics"),
    ("DELIVERY#", "webhookDeliveries"),
];

/// Returns where each kind begins in a partition, in the order of sort keys.
#[must_use]
pub fn first_keys() -> [&'static str; KINDS.len()] {
    let mut keys = KINDS.map(|(prefix, _)| prefix);
    keys.sort_unstable();
    keys
}

const fn always(name: &'static str) -> Counter {
    Counter { name, always: true }
}

const fn non_zero(name: &'static str) -> Counter {
    Counter {
        name,
        always: false,
    }
}

fn position(name: &str) -> Option<usize> {
    COUNTERS.iter().position(|counter| counter.name == name)
}

/// Deleted items by kind: `deletedItems` of the answers, `counted` of the record.
///
/// Serialized in the order of the public reference; the six documented counters
/// are always there, the others when they are not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; COUNTERS.len()]);

impl Counts {
    /// Counts the item with this sort key. The campaign item is not a child and
    /// must not be given.
    pub fn add(&mut self, sort_key: &str) {
        let counter = KINDS
            .iter()
            .find(|(prefix, _)| sort_key.starts_with(prefix))
            .map_or(OTHER, |(_, counter)| counter);
        if let Some(counter) = position(counter).and_then(|at| self.0.get_mut(at)) {
            *counter += 1;
        }
    }

    /// All items.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The counters that are shown, with their names, in the order of the reference.
    pub fn shown(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        COUNTERS
            .iter()
            .zip(self.0)
            .filter(|(counter, count)| counter.always || *count > 0)
            .map(|(counter, count)| (counter.name, count))
    }

    /// Every counter with its name, in the order of the reference.
    pub fn every(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        COUNTERS
            .iter()
            .zip(self.0)
            .map(|(counter, count)| (counter.name, count))
    }

    /// Reads counters by name. `None` when a name is not known: such a record
    /// was written by a newer version, and resuming it would lose counts.
    #[must_use]
    pub fn from_names(named: &BTreeMap<&str, u64>) -> Option<Self> {
        let mut counts = Self::default();
        for (name, count) in named {
            *position(name).and_then(|at| counts.0.get_mut(at))? = *count;
        }
        Some(counts)
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, count) in self.shown() {
            map.serialize_entry(name, &count)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = BTreeMap::<String, u64>::deserialize(deserializer)?;
        let named = named.iter().map(|(name, count)| (name.as_str(), *count));
        Self::from_names(&named.collect()).ok_or_else(|| D::Error::custom("unknown kind of item"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_counter() {
        for (prefix, counter) in KINDS {
            let mut counts = Counts::default();
            counts.add(&format!("{prefix}1"));
            assert_eq!(
                counts.0.get(position(counter).unwrap()),
                Some(&1),
                "{prefix}"
            );
            assert_eq!(counts.total(), 1);
        }
    }

    #[test]
    fn sort_keys_that_merely_begin_alike_are_other() {
        let mut counts = Counts::default();
        for key in [
            "PROSPECT",
            "PROSPECTS#1",
            "CAMPAIGN#shadow",
            "CAMPAIGNS",
            "prospect#1",
            "",
        ] {
            counts.add(key);
        }
        assert_eq!(
            serde_json::to_string(&counts).unwrap(),
            r#"{"prospects":0,"chats":0,"messages":0,"tasks":0,"webhookEvents":0,"analytics":0,"other":6}"#
        );
    }

    #[test]
    fn counts_are_read_by_their_names() {
        let mut counts = Counts::default();
        for key in ["CHAT#1", "DELIVERY#1", "ACTIVITY#1", "ANALYTICS#1", "x"] {
            counts.add(key);
        }
        let named: BTreeMap<_, _> = counts.shown().collect();
        assert_eq!(Counts::from_names(&named), Some(counts));
        assert_eq!(
            Counts::from_names(&BTreeMap::from([("unheardOf", 1)])),
            None
        );
    }
}

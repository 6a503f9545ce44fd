//! Where to cut a range: halfway, by the characters that its keys are made of, between what
//! was read and the last key. Any string serves as a border, whether or not there is such a key.

/// How many characters are told apart after what all keys have in common: enough for a
/// border, and few enough to be exact in a floating-point number.
const CHARACTERS: usize = 10;

/// From how many keys of a page the characters are taken.
const SAMPLE: usize = 100;

/// The keys of a range on a scale from 0 to 1.
pub(super) struct Scale<'a> {
    /// What the keys have in common.
    prefix: &'a str,
    /// The characters that come after it, in order.
    alphabet: Vec<char>,
}

/// A cut of a range.
#[derive(Debug, PartialEq)]
pub(super) struct Cut {
    /// The border.
    pub(super) at: String,
    /// How many keys are left before and after it together, as far as the last page tells.
    pub(super) left: f64,
}

impl<'a> Scale<'a> {
    /// Returns the scale of the keys from `first` to `last`, made of the characters of a
    /// page of them.
    pub(super) fn new(first: &'a str, last: &str, page: &[String]) -> Self {
        let mut end = first
            .bytes()
            .zip(last.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        while !first.is_char_boundary(end) {
            end -= 1;
        }
        let prefix = first.get(..end).unwrap_or_default();
        let keys = page.iter().step_by(page.len().div_ceil(SAMPLE).max(1));
        let keys = keys.map(String::as_str).chain([first, last]);
        let mut alphabet: Vec<char> = keys
            .filter_map(|key| key.strip_prefix(prefix))
            .flat_map(|rest| rest.chars().take(CHARACTERS))
            .collect();
        alphabet.sort_unstable();
        alphabet.dedup();
        Self { prefix, alphabet }
    }

    /// The end of a key is a character of its own, before all others.
    #[expect(
        clippy::cast_precision_loss,
        reason = "there are far fewer characters than 2^52"
    )]
    fn base(&self) -> f64 {
        self.alphabet.len() as f64 + 1.0
    }

    /// Returns the position of a key.
    #[expect(
        clippy::cast_precision_loss,
        reason = "there are far fewer characters than 2^52"
    )]
    fn position(&self, key: &str) -> f64 {
        let Some(rest) = key.strip_prefix(self.prefix) else {
            return if key < self.prefix { 0.0 } else { 1.0 };
        };
        let mut weight = 1.0;
        let mut position = 0.0;
        for character in rest.chars().take(CHARACTERS) {
            weight /= self.base();
            let rank = self.alphabet.partition_point(|other| *other < character);
            position += weight * (rank as f64 + 1.0);
        }
        position
    }

    /// Returns a key at a position.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a position is between 0 and 1"
    )]
    fn key_at(&self, mut position: f64) -> String {
        let mut key = self.prefix.to_owned();
        for _ in 0..CHARACTERS {
            position *= self.base();
            let rank = position as usize;
            position -= position.floor();
            match rank.checked_sub(1).and_then(|rank| self.alphabet.get(rank)) {
                Some(character) => key.push(*character),
                None => break,
            }
        }
        key
    }

    /// Returns the cut halfway between two keys, after a page with this first and last one;
    /// `None` if there is nothing between them.
    #[expect(clippy::cast_precision_loss, reason = "a page has at most 1,000 keys")]
    pub(super) fn cut(&self, reached: &str, last: &str, page: &[String]) -> Option<Cut> {
        let (from, to) = (self.position(reached), self.position(last));
        let at = self.key_at(f64::midpoint(from, to));
        if at.as_str() <= reached || at.as_str() >= last {
            return None;
        }
        let span = self.position(page.last()?) - self.position(page.first()?);
        let left = if span > 0.0 {
            page.len() as f64 * (to - from) / span
        } else {
            f64::INFINITY
        };
        Some(Cut { at, left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(keys: &[String], read: std::ops::Range<usize>) -> Option<Cut> {
        let page = &keys[read];
        let (reached, last) = (page.last().unwrap(), keys.last().unwrap());
        Scale::new(page.first().unwrap(), last, page).cut(reached, last, page)
    }

    /// Asserts that a cut of what comes after the first page is near the middle.
    fn cuts_near_the_middle(mut keys: Vec<String>) {
        keys.sort();
        let read = 0..keys.len() / 10;
        let cut = cut(&keys, read.clone()).unwrap();
        let number = |keys: usize| f64::from(u32::try_from(keys).unwrap());
        let left = number(keys.len() - read.end);
        let before = number(keys[read.end..].partition_point(|key| *key <= cut.at));
        assert!(
            (0.3..0.7).contains(&(before / left)),
            "{before} of {left}: {cut:?}"
        );
        assert!((0.5..2.0).contains(&(cut.left / left)), "{left}: {cut:?}");
    }

    #[test]
    fn a_cut_is_near_the_middle_whatever_the_keys_are_made_of() {
        let keys = |key: fn(u64) -> String| (0..4_000).map(key).collect();
        cuts_near_the_middle(keys(|n| format!("CHAT#{n:09}")));
        cuts_near_the_middle(keys(|_| format!("CHAT#{}", uuid::Uuid::new_v4())));
        cuts_near_the_middle(keys(|n| {
            format!("m-{:016x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))
        }));
        let greek = |digit: char| "αβγδεζηθικ".chars().nth(digit as usize - '0' as usize);
        cuts_near_the_middle(keys(|n| format!("TASK#{n:05}")));
        let in_greek = (0..4_000).map(|n| format!("{n:05}").chars().filter_map(greek).collect());
        cuts_near_the_middle(in_greek.collect());
    }

    #[test]
    fn a_key_is_found_again_at_its_position() {
        let page = ["CHAT#a", "CHAT#bc", "CHAT#ccab"].map(ToOwned::to_owned);
        let scale = Scale::new(&page[0], &page[2], &page);
        // Three characters and the end of a key: exact in binary.
        for key in ["CHAT#a", "CHAT#bc", "CHAT#ccab", "CHAT#abcabcabca"] {
            assert_eq!(scale.key_at(scale.position(key)), key);
        }
        let is_at = |key: &str, position: f64| (scale.position(key) - position).abs() < 1e-9;
        assert!(is_at("CHAT#", 0.0) && is_at("CHAT#c", 0.75));
        // Keys that begin otherwise are before all of these, or after them.
        assert!(is_at("BOT#z", 0.0) && is_at("TASK#a", 1.0));
    }

    #[test]
    fn there_is_no_cut_where_there_is_nothing_between() {
        let keys = ["a".to_owned(), "a".to_owned() + &"0".repeat(20)];
        assert_eq!(cut(&keys, 0..1), None);
        assert_eq!(cut(&keys[..1], 0..1), None);
    }

    proptest::proptest! {
        #[test]
        fn a_cut_is_between_what_was_read_and_the_last_key(
            keys in proptest::collection::btree_set("\\PC{1,8}", 2..60),
            read in 1_usize..60,
        ) {
            let keys: Vec<String> = keys.into_iter().collect();
            let read = read.min(keys.len() - 1);
            if let Some(cut) = cut(&keys, 0..read) {
                proptest::prop_assert!(keys[read - 1] < cut.at && cut.at < keys[keys.len() - 1]);
                proptest::prop_assert!(cut.left >= 0.0);
            }
        }
    }
}

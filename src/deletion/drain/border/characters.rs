//! Keys by their characters: as digits of a number whose base is how many different ones
//! there are.

use super::{SAMPLE, Scale, common};

/// How many characters are told apart after what all keys have in common: enough for a
/// border, and few enough to be exact in a floating-point number.
const CHARACTERS: usize = 10;

/// In how many places separators are looked for.
const PLACES: usize = 2 * CHARACTERS;

/// The keys of a range on a scale from 0 to 1.
pub(super) struct Characters<'a> {
    /// What the keys have in common.
    prefix: &'a str,
    /// The separators that come after it: in each place, what all keys have there, unless that
    /// is a letter or a digit. They tell no keys apart.
    separators: Vec<Option<char>>,
    /// The other characters that come after it, in order.
    alphabet: Vec<char>,
}

impl<'a> Characters<'a> {
    /// Returns the scale of the keys from `first` to `last`, made of the characters of a
    /// page of them.
    pub(super) fn of(first: &'a str, last: &str, page: &[String]) -> Self {
        let prefix = first.get(..common(first, last)).unwrap_or_default();
        let keys = page.iter().step_by(page.len().div_ceil(SAMPLE).max(1));
        let keys = keys.chain(page.last()).map(String::as_str);
        let keys = keys.chain([first, last]);
        let rests: Vec<&str> = keys.filter_map(|key| key.strip_prefix(prefix)).collect();
        let separators: Vec<_> = (0..PLACES).map(|place| separator(&rests, place)).collect();
        let rests = rests.iter();
        let mut alphabet: Vec<char> = rests.flat_map(|rest| digits(rest, &separators)).collect();
        alphabet.sort_unstable();
        alphabet.dedup();
        Self {
            prefix,
            separators,
            alphabet,
        }
    }

    /// The end of a key is a character of its own, before all others.
    #[expect(
        clippy::cast_precision_loss,
        reason = "there are far fewer characters than 2^52"
    )]
    fn base(&self) -> f64 {
        self.alphabet.len() as f64 + 1.0
    }
}

impl Scale for Characters<'_> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "there are far fewer characters than 2^52"
    )]
    fn position(&self, key: &str) -> Option<f64> {
        let Some(rest) = key.strip_prefix(self.prefix) else {
            return Some(if key < self.prefix { 0.0 } else { 1.0 });
        };
        let mut weight = 1.0;
        let mut position = 0.0;
        for character in digits(rest, &self.separators) {
            weight /= self.base();
            let rank = self.alphabet.partition_point(|other| *other < character);
            position += weight * (rank as f64 + 1.0);
        }
        Some(position)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a position is between 0 and 1"
    )]
    fn key_at(&self, mut position: f64) -> String {
        let mut key = self.prefix.to_owned();
        let mut separators = self.separators.iter();
        for _ in 0..CHARACTERS {
            key.extend(separators.by_ref().map_while(|separator| *separator));
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
}

/// The separator in a place; `None` if there is a letter or a digit, or not the same in all keys
/// that are as long.
fn separator(rests: &[&str], place: usize) -> Option<char> {
    let mut here = rests.iter().filter_map(|rest| rest.chars().nth(place));
    let first = here.next()?;
    let is_one = !first.is_alphanumeric() && here.all(|other| other == first);
    is_one.then_some(first)
}

/// The characters that tell keys apart.
fn digits(rest: &str, separators: &[Option<char>]) -> impl Iterator<Item = char> {
    let places = separators.iter().copied().chain(std::iter::repeat(None));
    let characters = rest.chars().zip(places);
    let digits = characters.filter(|(character, separator)| Some(*character) != *separator);
    digits.map(|(character, _)| character).take(CHARACTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_again_at_its_position() {
        let page = ["CHAT#a", "CHAT#bc", "CHAT#ccab"].map(ToOwned::to_owned);
        let scale = Characters::of(&page[0], &page[2], &page);
        // Three characters and the end of a key: exact in binary.
        for key in ["CHAT#a", "CHAT#bc", "CHAT#ccab", "CHAT#abcabcabca"] {
            assert_eq!(scale.key_at(scale.position(key).unwrap()), key);
        }
        let is_at =
            |key: &str, position: f64| (scale.position(key).unwrap() - position).abs() < 1e-9;
        assert!(is_at("CHAT#", 0.0) && is_at("CHAT#c", 0.75));
        // Keys that begin otherwise are before all of these, or after them.
        assert!(is_at("BOT#z", 0.0) && is_at("TASK#a", 1.0));
    }

    #[test]
    fn separators_tell_no_keys_apart() {
        let page = ["a-b/c", "b-a/ab", "c-c/a"].map(ToOwned::to_owned);
        let scale = Characters::of(&page[0], &page[2], &page);
        assert_eq!(scale.alphabet, ['a', 'b', 'c']);
        for key in ["a-b/c", "b-a/ab", "c-", "a-a/b"] {
            assert_eq!(scale.key_at(scale.position(key).unwrap()), key);
        }
        // Where it is not one.
        let order = ["b-a/a", "b-a/b", "b-b", "bca", "c"];
        let positions: Vec<f64> = order
            .iter()
            .map(|key| scale.position(key).unwrap())
            .collect();
        assert!(positions.is_sorted(), "{positions:?}");
    }
}

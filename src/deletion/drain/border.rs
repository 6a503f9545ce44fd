//! Where to cut a range: halfway between what was read and the last key, as far as what the
//! keys are made of tells. Any string serves as a border, whether or not there is such a key.

mod characters;
mod dates;

use self::{characters::Characters, dates::Dates};

/// From how many keys of a page it is told what they are made of.
const SAMPLE: usize = 100;
/// At how many places the keys of a page have to be to tell how close they are, unless it has
/// fewer keys.
const LEAST_PLACES: usize = 4;

/// A cut of a range.
#[derive(Debug, PartialEq)]
pub(super) struct Cut {
    /// The border.
    pub(super) at: String,
    /// How many keys are left before and after it together, if the last page tells.
    pub(super) left: Option<f64>,
}

/// The keys of a range as numbers, in the same order.
trait Scale {
    /// Returns the position of a key; `None` if it has none here.
    fn position(&self, key: &str) -> Option<f64>;

    /// Returns a key at a position.
    fn key_at(&self, position: f64) -> String;
}

/// Returns the cut halfway between two keys, after this page of the range; `None` if there is
/// nothing between them.
pub(super) fn cut(reached: &str, last: &str, page: &[String]) -> Option<Cut> {
    let first = page.first()?;
    let by_time = Dates::of(first, last).and_then(|dates| halfway(&dates, reached, last, page));
    by_time.or_else(|| halfway(&Characters::of(first, last, page), reached, last, page))
}

#[expect(clippy::cast_precision_loss, reason = "a page has at most 1,000 keys")]
fn halfway(scale: &impl Scale, reached: &str, last: &str, page: &[String]) -> Option<Cut> {
    let (from, to) = (scale.position(reached)?, scale.position(last)?);
    if from >= to {
        return None;
    }
    let at = scale.key_at(f64::midpoint(from, to));
    if at.as_str() <= reached || at.as_str() >= last {
        return None;
    }
    let span = scale.position(page.last()?)? - scale.position(page.first()?)?;
    let left = has_moments(scale, page).then(|| page.len() as f64 * (to - from) / span);
    Some(Cut {
        at,
        left: left.filter(|left| left.is_finite() && *left >= 0.0),
    })
}

/// Returns whether the keys of a page are at enough places to tell how close they are: two days
/// of keys with nothing but the day are not.
fn has_moments(scale: &impl Scale, page: &[String]) -> bool {
    let sample = page.iter().step_by(page.len().div_ceil(SAMPLE).max(1));
    let mut places: Vec<f64> = sample.filter_map(|key| scale.position(key)).collect();
    places.dedup();
    places.len() >= LEAST_PLACES.min(page.len()).max(2)
}

/// How many bytes two keys have in common at their start.
fn common(a: &str, b: &str) -> usize {
    let mut end = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    while !a.is_char_boundary(end) {
        end -= 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::btree_set;

    use super::*;

    fn cut(keys: &[String], read: std::ops::Range<usize>) -> Option<Cut> {
        let page = &keys[read];
        super::cut(page.last().unwrap(), keys.last().unwrap(), page)
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
        let factor = cut.left.unwrap() / left;
        assert!((0.5..2.0).contains(&factor), "{left}: {cut:?}");
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
        cuts_near_the_middle(keys(|n| format!("ROW#{:02}-{:02}-x", n / 100, n % 100)));
    }

    /// Keys of so many days, as many on each: a page is of a few hours, or of several months.
    #[test]
    fn dates_are_cut_by_time() {
        for days in [2, 30, 90, 400, 4_000] {
            let at = |n: i64| crate::clock::rfc3339(1_730_000_000 + n * days * 86_400 / 4_000);
            let keys = |key: &dyn Fn(i64) -> String| (0..4_000).map(key).collect();
            cuts_near_the_middle(keys(&|n| format!("WEBHOOK#{}#{n:05}", at(n))));
            cuts_near_the_middle(keys(&|n| at(n).replace('T', " ")));
            if days >= 30 {
                cuts_near_the_middle(keys(&|n| format!("DAY#{}#{n:05}", &at(n)[..10])));
            }
        }
    }

    /// Why a date is taken for a time.
    #[test]
    fn by_its_characters_a_range_of_dates_seems_far_larger() {
        let at = |n: i64| crate::clock::rfc3339(1_730_000_000 + n * 90 * 86_400 / 20_000);
        let keys: Vec<String> = (0..20_000).map(|n| format!("{}#{n:05}", at(n))).collect();
        let (page, last) = (&keys[..250], keys.last().unwrap());
        let characters = Characters::of(&page[0], last, page);
        let left = halfway(&characters, &page[249], last, page).unwrap().left;
        assert!(left.unwrap() > 100.0 * 19_750.0, "{left:?}");
        let left = cut(&keys, 0..250).unwrap().left.unwrap();
        assert!((15_000.0..25_000.0).contains(&left), "{left}");
    }

    #[test]
    fn a_page_of_one_moment_does_not_tell_how_much_is_left() {
        let at = |n: u32| format!("CHAT#2025-01-0{}#{:05}", 1 + n / 1_000, n);
        let keys: Vec<String> = (0..4_000).map(at).collect();
        let cut = cut(&keys, 0..400).unwrap();
        assert_eq!(
            (cut.at.as_str(), cut.left),
            ("CHAT#2025-01-02T12:00:00", None)
        );
        // In one day, the characters after it tell.
        let cut = super::cut(&keys[3_100], &keys[3_999], &keys[3_000..3_100]).unwrap();
        assert!(cut.at.starts_with("CHAT#2025-01-04#035"), "{cut:?}");
        let left = cut.left.unwrap();
        assert!((500.0..1_800.0).contains(&left), "{left}");
    }

    /// As other programs write them: not all keys have a date, nor the same kind of it.
    #[test]
    fn keys_with_and_without_dates_are_cut_somewhere_between() {
        let mut keys: Vec<String> = [
            "2025-01-01",
            "2025-01-02T10:00",
            "2025-13-01",
            "2025-1-1",
            "20250101",
            "zz",
        ]
        .iter()
        .flat_map(|date| (0..10).map(move |n| format!("DAY#{date}#{n}")))
        .collect();
        keys.sort();
        for read in 1..keys.len() {
            if let Some(cut) = cut(&keys, 0..read) {
                assert!(
                    keys[read - 1] < cut.at && cut.at < keys[keys.len() - 1],
                    "{cut:?}"
                );
            }
        }
    }

    #[test]
    fn there_is_no_cut_where_there_is_nothing_between() {
        let keys = ["a".to_owned(), "a".to_owned() + &"0".repeat(20)];
        assert_eq!(cut(&keys, 0..1), None);
        assert_eq!(cut(&keys[..1], 0..1), None);
    }

    fn is_cut_between(
        keys: BTreeSet<String>,
        read: usize,
    ) -> Result<(), proptest::test_runner::TestCaseError> {
        let keys: Vec<String> = keys.into_iter().collect();
        let read = read.min(keys.len() - 1);
        if let Some(cut) = cut(&keys, 0..read) {
            proptest::prop_assert!(keys[read - 1] < cut.at && cut.at < keys[keys.len() - 1]);
            proptest::prop_assert!(cut.left.is_none_or(|left| left >= 0.0));
        }
        Ok(())
    }

    proptest::proptest! {
        #[test]
        fn a_cut_is_between_what_was_read_and_the_last_key(
            keys in btree_set("\\PC{1,8}", 2..60),
            read in 1_usize..60,
        ) {
            is_cut_between(keys, read)?;
        }

        #[test]
        fn a_cut_of_dates_is_between_them_however_they_are_written(
            keys in btree_set(
                "(2025-0[1-3]-[0-3][0-9][ T#_]){1,2}([0-2][0-9]:[0-5][0-9]:[0-5][0-9])?[Zx#]{0,2}",
                2..60,
            ),
            read in 1_usize..60,
        ) {
            is_cut_between(keys, read)?;
        }
    }
}

//! The ranges of a deletion as attributes of its record. A single range has its marks in
//! `countedThrough` and `deletedThrough`; several are a list, `ranges`, and then
//! `countedThrough` is a Boolean. A worker that knows of no ranges cannot read such a record,
//! so it leaves the deletion alone instead of counting by the marks of another range. The
//! record of a deletion that archives has a list even for a single range, so that no worker
//! that knows of no archive deletes anything.

use aws_sdk_dynamodb::types::AttributeValue;

use crate::record::{Range, Record};

const RANGES: &str = "ranges";
const COUNTED_THROUGH: &str = "countedThrough";
const DELETED_THROUGH: &str = "deletedThrough";

/// Returns each attribute of the ranges; `None` for one that has to be removed.
pub(super) fn attributes(
    ranges: &[Range],
    has_archive: bool,
) -> [(&'static str, Option<AttributeValue>); 3] {
    let mark = |mark: &Option<String>| mark.as_deref().map(text);
    match ranges {
        [only] if only.is_whole() && !has_archive => [
            (COUNTED_THROUGH, mark(&only.counted_through)),
            (DELETED_THROUGH, mark(&only.deleted_through)),
            (RANGES, None),
        ],
        several => {
            let list = several.iter().map(range).collect();
            [
                (COUNTED_THROUGH, Some(AttributeValue::Bool(true))),
                (DELETED_THROUGH, None),
                (RANGES, Some(AttributeValue::L(list))),
            ]
        }
    }
}

fn text(key: &str) -> AttributeValue {
    AttributeValue::S(key.to_owned())
}

fn range(range: &Range) -> AttributeValue {
    let members = [
        ("after", &range.after),
        ("through", &range.through),
        (COUNTED_THROUGH, &range.counted_through),
        (DELETED_THROUGH, &range.deleted_through),
    ];
    let set = members
        .into_iter()
        .filter_map(|(name, key)| Some((name.to_owned(), text(key.as_deref()?))));
    AttributeValue::M(set.collect())
}

/// Returns the attributes that an older worker cannot read. A finished record needs none
/// of them.
pub(super) fn unreadable(record: &Record) -> &'static [&'static str] {
    match &record.progress.ranges[..] {
        [only] if only.is_whole() && record.archive.is_none() => &[],
        _ => &[COUNTED_THROUGH, RANGES],
    }
}

/// Reads the ranges of a record: `None` if they are not the whole partition, in order.
pub(super) fn read(list: &AttributeValue) -> Option<Vec<Range>> {
    let ranges = list.as_l().ok()?.iter().map(read_range);
    let ranges: Option<Vec<Range>> = ranges.collect();
    ranges.filter(|ranges| are_whole(ranges))
}

fn read_range(value: &AttributeValue) -> Option<Range> {
    let members = value.as_m().ok()?;
    let member = |name: &str| members.get(name).and_then(|key| key.as_s().ok()).cloned();
    let are_keys = members.values().all(AttributeValue::is_s);
    are_keys.then(|| Range {
        after: member("after"),
        through: member("through"),
        counted_through: member(COUNTED_THROUGH),
        deleted_through: member(DELETED_THROUGH),
    })
}

/// Returns whether ranges are the whole partition: in order, without a gap, each with its
/// marks inside.
fn are_whole(ranges: &[Range]) -> bool {
    let Some(last) = ranges.last() else {
        return false;
    };
    let mut border = &None;
    for range in ranges {
        let reaches = |key: &Option<String>| {
            let Some(key) = key else { return true };
            range.through.as_ref().is_none_or(|through| key <= through)
                && range.after.as_ref().is_none_or(|after| key >= after)
        };
        let is_inside = [&range.after, &range.counted_through, &range.deleted_through]
            .into_iter()
            .all(reaches);
        if &range.after != border || !is_inside {
            return false;
        }
        border = &range.through;
        if border.is_none() && !std::ptr::eq(range, last) {
            return false;
        }
    }
    border.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(at: &[&str]) -> Vec<Range> {
        let mut ranges = vec![Range::default()];
        for at in at {
            let next = ranges.last_mut().unwrap().split_off((*at).to_owned());
            ranges.push(next);
        }
        ranges
    }

    fn read_again(ranges: &[Range]) -> Option<Vec<Range>> {
        let [_, _, (_, list)] = attributes(ranges, false);
        read(&list.unwrap())
    }

    #[test]
    fn ranges_are_read_as_they_were_written() {
        let mut several = split(&["CHAT#", "MESSAGE#5"]);
        several[1].counted_through = Some("CHAT#7".to_owned());
        several[1].deleted_through = Some("CHAT#3".to_owned());
        assert_eq!(read_again(&several), Some(several));
    }

    #[test]
    fn a_worker_that_knows_of_no_ranges_cannot_read_several() {
        let [(name, value), ..] = attributes(&split(&["CHAT#"]), false);
        assert_eq!(
            (name, value),
            (COUNTED_THROUGH, Some(AttributeValue::Bool(true)))
        );
    }

    #[test]
    fn ranges_with_a_gap_an_overlap_or_a_mark_outside_are_refused() {
        let several = split(&["CHAT#", "MESSAGE#"]);
        let is_refused = |change: fn(&mut Vec<Range>)| {
            let mut changed = several.clone();
            change(&mut changed);
            read_again(&changed).is_none()
        };
        assert!(!is_refused(|_| ()));
        assert!(is_refused(|ranges| drop(ranges.remove(1))));
        assert!(is_refused(|ranges| drop(ranges.pop())));
        assert!(is_refused(
            |ranges| ranges[1].after = Some("CHAT".to_owned())
        ));
        assert!(is_refused(
            |ranges| ranges[1].through = Some("CHAS".to_owned())
        ));
        assert!(is_refused(
            |ranges| ranges[2].counted_through = Some("C".to_owned())
        ));
        assert!(is_refused(
            |ranges| ranges[0].deleted_through = Some("D".to_owned())
        ));
        assert!(is_refused(|ranges| ranges[0].through = None));
        assert!(read(&AttributeValue::L(Vec::new())).is_none());
        assert!(read(&AttributeValue::Bool(true)).is_none());
    }
}

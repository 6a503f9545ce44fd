//! Lanes over pages in memory.

use super::*;

#[tokio::test]
async fn a_lane_is_cut_after_what_was_read_and_before_its_end() {
    let page = Page {
        sort_keys: ["C", "F"].map(ToOwned::to_owned).into(),
        next: Some("F".to_owned()),
    };
    // As after a takeover: more is counted than was read.
    for (counted, last) in [(None, "F"), (Some("H"), "H")] {
        let range = Range {
            counted_through: counted.map(ToOwned::to_owned),
            through: Some("X".to_owned()),
            ..Range::default()
        };
        let mut lane = Lane::of(1, ReadAhead::of(vec![page.clone()]), range.clone());
        assert!(lane.read().await.1.unwrap());
        // The end, and what is in the range after it.
        for at in ["A", "C", last, "X", "Z"] {
            assert_eq!(lane.split_off(at.to_owned()), None, "{at}");
            assert_eq!(lane.range(), &range);
        }
        let second = lane.split_off(format!("{last}~")).unwrap();
        assert_eq!(second.start(), Some(format!("{last}~").as_str()));
        assert_eq!(lane.range().through, second.after);
    }
}

#[tokio::test]
async fn lanes_read_no_more_than_can_be_deleted() {
    let keys = |n: usize| (0..n).map(|key| format!("{key:03}")).collect();
    let lane = |id, n| {
        let page = Page {
            sort_keys: keys(n),
            next: Some("999".to_owned()),
        };
        Lane::of(id, ReadAhead::of(vec![page]), Range::default())
    };
    for (can_delete, asked) in [
        (f64::INFINITY, [1, 1, 1]),
        (0.0, [0, 0, 0]),
        // 190 are held; a page of 100 more is as near to 240 as none.
        (240.0, [0, 1, 0]),
        (339.0, [0, 1, 0]),
        (340.0, [0, 1, 1]),
        (440.0, [1, 1, 1]),
    ] {
        let mut lanes = [lane(1, 100), lane(2, 30), lane(3, 60)];
        for lane in &mut lanes {
            assert!(lane.read().await.1.unwrap());
        }
        read_on(&mut lanes, can_delete);
        assert_eq!(lanes.map(|lane| lane.pages.asked()), asked, "{can_delete}");
    }
    // Whoever holds nothing has to read, to find out that nothing is left.
    let mut lanes = [Lane::of(1, ReadAhead::of(Vec::new()), Range::default())];
    read_on(&mut lanes, 0.0);
    assert_eq!(lanes[0].pages.asked(), 1);
    read_on(&mut lanes, f64::INFINITY);
    assert_eq!(lanes[0].pages.asked(), PAGES_AHEAD);
    // How large a page is, is not known: it may have as many keys as a page can have.
    let empty = |id| Lane::of(id, ReadAhead::of(Vec::new()), Range::default());
    for (can_delete, asked) in [(0.0, 1), (499.0, 1), (1_500.0, 2), (f64::INFINITY, 3)] {
        let mut lanes = [1, 2, 3].map(empty);
        for _ in 0..3 {
            read_on(&mut lanes, can_delete);
        }
        let all: usize = lanes.iter().map(|lane| lane.pages.asked()).sum();
        assert_eq!(all, asked, "{can_delete}");
    }
    // Whoever has deleted all that it held has to read, too.
    let mut lanes = [lane(1, 100)];
    assert!(lanes[0].read().await.1.unwrap());
    lanes[0].open();
    let all = lanes[0].take(100);
    lanes[0].answered(&all, Vec::new());
    read_on(&mut lanes, 0.0);
    assert_eq!(lanes[0].pages.asked(), 1);
}

#[tokio::test]
async fn the_mark_follows_what_is_acknowledged_without_a_gap() {
    let page = Page {
        sort_keys: ["A", "B", "C", "D"].map(ToOwned::to_owned).into(),
        next: None,
    };
    let mut lane = Lane::of(1, ReadAhead::of(vec![page]), Range::default());
    assert!(lane.read().await.1.unwrap());
    lane.open();
    let (first, second) = (lane.take(2), lane.take(2));
    lane.answered(&second, Vec::new());
    assert_eq!(
        (
            lane.range().deleted_through.as_deref(),
            lane.unacknowledged()
        ),
        (None, 2)
    );
    lane.answered(&first, vec!["B".to_owned()]);
    assert_eq!(lane.range().deleted_through.as_deref(), Some("A"));
    assert_eq!(lane.take(9), ["B"]);
    lane.answered(&["B".to_owned()], Vec::new());
    assert_eq!(lane.range().deleted_through.as_deref(), Some("D"));
    assert!(lane.is_done());
}

//! What is measured: how many children, behind what, and by whom.

use std::time::Duration;

use crate::partitions::{Ceiling, Splits};

/// What is to be deleted, and behind what.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) says: &'static str,
    pub(crate) items: usize,
    /// Of each request, and of its answer together.
    pub(crate) latency: Duration,
    /// Writes per second that each partition takes.
    pub(crate) ceiling: Option<Ceiling>,
    pub(crate) rounds: usize,
    pub(crate) against: Against,
}

/// Who else does a work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    Nobody,
    Peers,
    /// `api` with an archive.
    Archiving,
}

pub(crate) const LATENCY: Duration = Duration::from_millis(5);

/// One partition, which takes what a partition of DynamoDB does.
pub(crate) const ONE: Ceiling = Ceiling {
    per_second: 1_000.0,
    burst: 500.0,
    shares: &[1.0],
    splits: None,
};

pub(crate) const WORKS: [Work; 10] = [
    Work {
        name: "A",
        says: "837 children, 5 ms to the table",
        items: 837,
        latency: LATENCY,
        ceiling: None,
        rounds: 7,
        against: Against::Peers,
    },
    Work {
        name: "B",
        says: "24,000 children, 5 ms to the table",
        items: 24_000,
        latency: LATENCY,
        ceiling: None,
        rounds: 3,
        against: Against::Peers,
    },
    Work {
        name: "C",
        says: "4,000 children, 1,000 writes a second and half a second of burst",
        items: 4_000,
        latency: LATENCY,
        ceiling: Some(ONE),
        rounds: 3,
        against: Against::Peers,
    },
    Work {
        name: "D",
        says: "200,000 children, as fast as the endpoint goes",
        items: 200_000,
        latency: Duration::ZERO,
        ceiling: None,
        rounds: 1,
        against: Against::Peers,
    },
    Work {
        name: "E",
        says: "100,000 children in partitions of 10, 20, 30 and 40 %, 1,000 writes a second each",
        items: 100_000,
        latency: LATENCY,
        ceiling: Some(Ceiling {
            shares: &[0.1, 0.2, 0.3, 0.4],
            ..ONE
        }),
        rounds: 1,
        against: Against::Peers,
    },
    Work {
        name: "F",
        says: "80,000 children in a partition that splits for heat, up to 8",
        items: 80_000,
        latency: LATENCY,
        ceiling: Some(Ceiling {
            splits: Some(Splits {
                after: Duration::from_secs(5),
                most: 8,
            }),
            ..ONE
        }),
        rounds: 1,
        against: Against::Peers,
    },
    Work {
        name: "G",
        says: "40,000 children in a partition that never splits",
        items: 40_000,
        latency: LATENCY,
        ceiling: Some(ONE),
        rounds: 1,
        against: Against::Nobody,
    },
    Work {
        name: "G2",
        says: "40,000 children, three quarters in one partition, a quarter in another",
        items: 40_000,
        latency: LATENCY,
        ceiling: Some(Ceiling {
            shares: &[0.75, 0.25],
            ..ONE
        }),
        rounds: 1,
        against: Against::Nobody,
    },
    Work {
        name: "B-archive",
        says: "24,000 children, 5 ms to the table, 15 ms for a put",
        items: 24_000,
        latency: LATENCY,
        ceiling: None,
        rounds: 7,
        against: Against::Archiving,
    },
    Work {
        name: "C-archive",
        says: "4,000 children, 1,000 writes a second and half a second of burst, 15 ms for a put",
        items: 4_000,
        latency: LATENCY,
        ceiling: Some(ONE),
        rounds: 3,
        against: Against::Archiving,
    },
];

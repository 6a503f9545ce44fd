//! How long one invocation may take. The budget covers everything that the
//! invocation does, and keeps some of it for releasing the deletion and
//! answering.

use std::time::Duration;

use tokio::time::Instant;

/// The time in which an invocation answers even if it is given no time to work.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is kept at the end for the answer to an outstanding record write, the
/// release and the hand-off, or for a look at what became of a claim: at most
/// this, and at most a quarter of the whole. Each takes milliseconds to tens of
/// them.
const RESERVE: Duration = Duration::from_millis(1_500);

/// How long a slice works when the invocation has no deadline of its own.
const SLICE: Duration = Duration::from_mins(1);

/// What is kept of the invocation's own deadline, for the runtime to send the answer.
const MARGIN: Duration = Duration::from_millis(250);

/// The instants that end the parts of an invocation, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// No read and no delete goes on beyond this.
    pub work_until: Instant,
    /// Nothing is read to check a request, and nothing is claimed, beyond this:
    /// the same as `work_until`, unless there is no time to work at all.
    pub claim_until: Instant,
    /// Nothing is waited for beyond this.
    pub answer_by: Instant,
}

impl Budget {
    /// A budget that begins at `start`, works for `inline` at most, and ends
    /// before the invocation's own deadline. With less than a second of
    /// `inline`, a second is still taken to check, claim and answer.
    #[must_use]
    pub fn new(start: Instant, inline: Duration, invocation_deadline: Option<Instant>) -> Self {
        let mut answer_by = start + inline.max(SHORTEST);
        if let Some(deadline) = invocation_deadline {
            answer_by = answer_by.min(deadline - MARGIN).max(start);
        }
        let claim_until = answer_by - RESERVE.min((answer_by - start) / 4);
        Self {
            work_until: (start + inline).min(claim_until),
            claim_until,
            answer_by,
        }
    }

    /// The budget of a slice: as long as the invocation's own deadline allows.
    #[must_use]
    pub fn of_slice(start: Instant, invocation_deadline: Option<Instant>) -> Self {
        let work = invocation_deadline.map_or(SLICE, |deadline| deadline - start);
        Self::new(start, work, invocation_deadline)
    }

    /// Whether there is no time left to work.
    #[must_use]
    pub fn work_is_over(&self) -> bool {
        Instant::now() >= self.work_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_reserve_is_kept_within_the_inline_budget() {
        let start = Instant::now();
        let budget = Budget::new(start, 20 * SECOND, Some(start + 28 * SECOND));
        assert_eq!(budget.answer_by, start + 20 * SECOND);
        assert_eq!(budget.work_until, start + 20 * SECOND - RESERVE);
        assert_eq!(budget.claim_until, budget.work_until);
        let short = Budget::new(start, SECOND, None);
        assert_eq!(short.answer_by, start + SECOND);
        assert_eq!(short.work_until, start + SECOND * 3 / 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_invocations_deadline_comes_first() {
        let start = Instant::now();
        let budget = Budget::new(start, 20 * SECOND, Some(start + 3 * SECOND));
        assert_eq!(budget.answer_by, start + 3 * SECOND - MARGIN);
        let over = Budget::new(start, 20 * SECOND, Some(start));
        assert_eq!(over.answer_by, start);
        assert!(over.work_is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn no_time_to_work_leaves_time_to_claim_and_answer() {
        let start = Instant::now();
        let budget = Budget::new(start, Duration::ZERO, None);
        assert!(budget.work_is_over());
        assert_eq!(budget.claim_until, start + SHORTEST * 3 / 4);
        assert_eq!(budget.answer_by, start + SHORTEST);
    }
}

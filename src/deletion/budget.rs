//! How long one invocation may take. The budget covers everything that the
//! invocation does, and keeps some of it for releasing the deletion and
//! answering.

use std::time::Duration;

use tokio::time::Instant;

/// The time that an invocation has to answer even if it has none to work.
const SHORTEST: Duration = Duration::from_secs(1);

/// The reserve at the end for an outstanding record write, the release and the
/// hand-off, or for a read of what became of a claim: at most this, and at most a
/// quarter of the whole. Each takes milliseconds to tens of milliseconds.
const RESERVE: Duration = Duration::from_millis(1_500);

/// The hand-off's own part of the reserve, a third: it comes last, and the writes
/// before it must not use up its time.
const HAND_OFF_PART: u32 = 3;

/// How long a slice works when the invocation has no deadline of its own.
const SLICE: Duration = Duration::from_mins(1);

/// The time kept before the invocation's own deadline for the runtime to send the answer.
const MARGIN: Duration = Duration::from_millis(250);

/// The instants that end the parts of an invocation, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The end of reads and deletes.
    pub work_until: Instant,
    /// The end of checks and claims: the same as `work_until`, unless there is no time
    /// to work at all.
    pub claim_until: Instant,
    /// The end of waiting for a write of a record.
    pub write_until: Instant,
    /// The end of all waiting.
    pub answer_by: Instant,
}

impl Budget {
    /// Returns a budget that begins at `start`, works for `inline` at most, and ends
    /// before the invocation's own deadline. With less than a second of
    /// `inline`, a second is still taken to check, claim and answer.
    #[must_use]
    pub fn new(start: Instant, inline: Duration, invocation_deadline: Option<Instant>) -> Self {
        let mut answer_by = start + inline.max(SHORTEST);
        if let Some(deadline) = invocation_deadline {
            answer_by = answer_by.min(deadline - MARGIN).max(start);
        }
        let reserve = RESERVE.min((answer_by - start) / 4);
        let claim_until = answer_by - reserve;
        Self {
            work_until: (start + inline).min(claim_until),
            claim_until,
            write_until: answer_by - reserve / HAND_OFF_PART,
            answer_by,
        }
    }

    /// Returns the same budget without time to work: it checks, claims and hands off,
    /// and takes no longer than that needs.
    #[must_use]
    pub fn claim_only(self, start: Instant) -> Self {
        Self {
            work_until: start,
            ..self
        }
    }

    /// Returns the same budget with work for at most `wait` from `start`. The time to
    /// release and hand off is not shortened: after a short wait, it is added on top.
    #[must_use]
    pub fn wait(self, start: Instant, wait: Duration) -> Self {
        let work = wait.saturating_sub(RESERVE.min(wait / 4));
        let work_until = self.work_until.min(start + work);
        let answer_by = self.answer_by.min(work_until + RESERVE);
        Self {
            work_until,
            claim_until: self.claim_until.min(work_until),
            write_until: self.write_until.min(answer_by - RESERVE / HAND_OFF_PART),
            answer_by,
        }
    }

    /// Returns the budget of a slice: as long as the invocation's own deadline allows.
    #[must_use]
    pub fn of_slice(start: Instant, invocation_deadline: Option<Instant>) -> Self {
        let work = invocation_deadline.map_or(SLICE, |deadline| deadline - start);
        Self::new(start, work, invocation_deadline)
    }

    /// Returns whether the time to work is over.
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
        assert_eq!(budget.write_until, budget.work_until + SECOND);
        let claiming = budget.claim_only(start);
        assert!(claiming.work_is_over());
        assert_eq!(claiming.claim_until, budget.claim_until);
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
    async fn a_short_wait_keeps_the_time_to_hand_off() {
        let start = Instant::now();
        let budget = Budget::new(start, 20 * SECOND, Some(start + 28 * SECOND));
        let waiting = budget.wait(start, SECOND);
        assert_eq!(waiting.work_until, start + SECOND * 3 / 4);
        assert_eq!(waiting.claim_until, waiting.work_until);
        assert_eq!(waiting.write_until, waiting.work_until + SECOND);
        assert_eq!(waiting.answer_by, waiting.work_until + RESERVE);
        // Its time to hand off is that of a request without a wait.
        let hand_off = |budget: Budget| budget.answer_by - budget.write_until;
        assert_eq!(hand_off(waiting), hand_off(budget));
        assert_eq!(budget.wait(start, 20 * SECOND), budget);
        let late = Budget::new(start, 20 * SECOND, Some(start + 2 * SECOND));
        assert!(late.wait(start, SECOND).answer_by <= late.answer_by);
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

//! How long one invocation may take. The budget covers everything that the
//! invocation does, and keeps some of it for releasing the deletion and
//! answering.

use std::time::Duration;

use tokio::time::Instant;

/// The time in which an invocation answers even if it is given no time to work.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is kept at the end for an outstanding record write and the release: at
/// most this, and at most a quarter of the whole. Both are single writes that
/// take milliseconds; this leaves room for one attempt that gets no answer in
/// a second and is repeated.
const RESERVE: Duration = Duration::from_millis(1_500);

/// What is kept of the invocation's own deadline, for the runtime to send the answer.
const MARGIN: Duration = Duration::from_millis(250);

/// The instants by which an invocation stops working, and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// No read and no delete goes on beyond this.
    pub work_until: Instant,
    /// No record write is waited for beyond this.
    pub answer_by: Instant,
}

impl Budget {
    /// A budget that begins at `start`, works for `inline` at most, and ends
    /// before the invocation's own deadline.
    #[must_use]
    pub fn new(start: Instant, inline: Duration, invocation_deadline: Option<Instant>) -> Self {
        let mut answer_by = start + inline.max(SHORTEST);
        if let Some(deadline) = invocation_deadline {
            answer_by = answer_by.min(deadline - MARGIN).max(start);
        }
        let reserve = RESERVE.min((answer_by - start) / 4);
        Self {
            work_until: (start + inline).min(answer_by - reserve),
            answer_by,
        }
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
    async fn no_time_to_work_leaves_time_to_answer() {
        let start = Instant::now();
        let budget = Budget::new(start, Duration::ZERO, None);
        assert!(budget.work_is_over());
        assert_eq!(budget.answer_by, start + SHORTEST);
    }
}

//! The limit of batches in flight: a first wave; slow start, up to the size of that
//! wave; then additive increase, with multiplicative decrease on unanswered batches.
//! (Unprocessed items set the rate instead: `adaptive_rate.rs`.)

/// The batches of the first wave: 20 batches of 25 are 500 deletes, half of what one
/// partition takes in a second (service quota: 1,000 write units a second for each
/// partition).
const FIRST_WAVE: usize = 20;
/// The batches of the first wave if everything is one page: all of it at once, in a
/// single round trip. A page of up to 1,000 keys is what a partition takes in a
/// second.
const WHOLE_PAGE: usize = 40;
/// The limit after the first wave: low, since these batches are unprocessed if that
/// wave was all that the partition takes at once.
const START: f64 = 4.0;
/// The highest limit: more would only wait in the table's queue.
const HIGHEST: f64 = 64.0;

/// The limit of batches in flight.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    size: f64,
    /// Batches of the first wave that are still to be sent.
    first: usize,
    /// Up to this size it grows by slow start.
    slow_start_until: f64,
    /// Answers that say nothing of this size: they belong to the first wave, or to
    /// batches sent before the last decrease.
    settling: usize,
}

impl Default for ConcurrencyLimit {
    fn default() -> Self {
        Self {
            size: START,
            first: FIRST_WAVE,
            #[expect(clippy::cast_precision_loss, reason = "it is 20")]
            slow_start_until: FIRST_WAVE as f64,
            settling: 0,
        }
    }
}

impl ConcurrencyLimit {
    /// Returns whether one more batch may be sent.
    pub(super) fn is_open(&self, in_flight: usize) -> bool {
        // In range by construction: 1.0 to HIGHEST.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the value is between 1 and 64"
        )]
        let size = self.size as usize;
        self.first > 0 || in_flight < size
    }

    /// Notes that everything that is left to delete is one page.
    pub(super) fn open_for_a_page(&mut self) {
        self.first = WHOLE_PAGE;
    }

    /// Notes that a batch is sent.
    pub(super) fn sent(&mut self) {
        if self.first > 0 {
            self.first -= 1;
            self.settling += 1;
        }
    }

    /// Notes that a batch succeeded: the limit rises by one for each of them in slow
    /// start, and then by one for each limit's worth.
    pub(super) fn succeeded(&mut self) {
        if self.settling > 0 {
            self.settling -= 1;
            return;
        }
        let more = if self.size < self.slow_start_until {
            1.0
        } else {
            1.0 / self.size
        };
        self.size = (self.size + more).min(HIGHEST);
    }

    /// Notes that the table throttled a batch, in part or as a whole.
    pub(super) fn throttled(&mut self) {
        self.settling = self.settling.saturating_sub(1);
    }

    /// Notes that a batch was not answered: halves the limit, once for all that was in
    /// flight.
    pub(super) fn unanswered(&mut self, in_flight: usize) {
        self.first = 0;
        if self.settling > 0 {
            self.settling -= 1;
            return;
        }
        self.size = (self.size / 2.0).max(1.0);
        self.slow_start_until = self.size;
        self.settling = in_flight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as many as may be sent.
    fn fill(limit: &mut ConcurrencyLimit, in_flight: &mut usize) -> usize {
        let before = *in_flight;
        while limit.is_open(*in_flight) {
            limit.sent();
            *in_flight += 1;
        }
        *in_flight - before
    }

    /// How many may be in flight.
    fn size(limit: &ConcurrencyLimit) -> usize {
        (0..100)
            .find(|in_flight| !limit.is_open(*in_flight))
            .unwrap()
    }

    #[test]
    fn slow_start_follows_the_first_wave() {
        let (mut limit, mut in_flight) = (ConcurrencyLimit::default(), 0);
        assert_eq!(fill(&mut limit, &mut in_flight), 20);
        let mut waves = Vec::new();
        for _ in 0..5 {
            for _ in 0..std::mem::take(&mut in_flight) {
                limit.succeeded();
            }
            waves.push(fill(&mut limit, &mut in_flight));
        }
        assert_eq!(waves, [4, 8, 16, 20, 21]);
    }

    #[test]
    fn one_page_is_sent_in_one_wave() {
        let mut limit = ConcurrencyLimit::default();
        limit.open_for_a_page();
        assert_eq!(fill(&mut limit, &mut 0), 40);
    }

    #[test]
    fn the_limit_halves_once_for_all_in_flight_and_stays_above_zero() {
        let (mut limit, mut in_flight) = (ConcurrencyLimit::default(), 0);
        fill(&mut limit, &mut in_flight);
        for _ in 0..20 + 16 {
            limit.succeeded();
        }
        assert_eq!(size(&limit), 20);
        for _ in 0..20 {
            limit.unanswered(19);
        }
        assert_eq!(size(&limit), 10);
        // No slow start again.
        for _ in 0..11 {
            limit.succeeded();
        }
        assert_eq!(size(&limit), 11);
        for _ in 0..1_000 {
            limit.unanswered(0);
        }
        assert_eq!(size(&limit), 1);
    }

    #[test]
    fn a_first_wave_without_an_answer_is_not_followed_by_more() {
        let mut limit = ConcurrencyLimit::default();
        limit.open_for_a_page();
        limit.sent();
        limit.unanswered(0);
        assert_eq!(size(&limit), 4);
    }

    #[test]
    fn unprocessed_writes_of_the_first_wave_keep_the_limit() {
        let (mut limit, mut in_flight) = (ConcurrencyLimit::default(), 0);
        fill(&mut limit, &mut in_flight);
        for _ in 0..19 {
            limit.succeeded();
        }
        limit.throttled();
        assert_eq!(size(&limit), 4);
        limit.succeeded();
        assert_eq!(size(&limit), 5);
    }

    #[test]
    fn the_limit_rises_to_its_maximum() {
        let mut limit = ConcurrencyLimit::default();
        fill(&mut limit, &mut 0);
        for _ in 0..10_000 {
            limit.succeeded();
        }
        assert_eq!(size(&limit), 64);
    }
}

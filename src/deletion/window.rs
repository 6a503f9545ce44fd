//! How many batches are in flight: a first wave; slow start, until there are as
//! many as in that wave; and then additive increase, with multiplicative decrease
//! on batches that had no answer. (What is handed back sets the pace.)

/// How many batches go first: 20 batches of 25 are 500 deletes, half of what one
/// partition takes in a second (service quota: 1,000 write units a second for each
/// partition).
const FIRST_WAVE: usize = 20;
/// How many go first of what is one page: all of it at once, in a single round trip.
/// A page of up to 1,000 keys is what a partition takes in a second.
const WHOLE_PAGE: usize = 40;
/// Where the window starts behind the first wave: few, since these are handed back
/// if that wave was all that the partition takes at once.
const START: f64 = 4.0;
/// More in flight would only wait in the table's queue.
const MOST: f64 = 64.0;

/// The number of batches that may be in flight.
#[derive(Debug)]
pub(super) struct Window {
    size: f64,
    /// Batches of the first wave that are still to be sent.
    first: usize,
    /// Up to this size it grows by slow start.
    slow_start_until: f64,
    /// Answers that say nothing of this size: they belong to the first wave, or to
    /// batches sent before the last decrease.
    settling: usize,
}

impl Default for Window {
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

impl Window {
    /// Whether one more batch may be sent.
    pub(super) fn is_open(&self, in_flight: usize) -> bool {
        // In range by construction: 1.0 to MOST.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the value is between 1 and 64"
        )]
        let size = self.size as usize;
        self.first > 0 || in_flight < size
    }

    /// Everything that is left to delete is one page.
    pub(super) fn open_for_a_page(&mut self) {
        self.first = WHOLE_PAGE;
    }

    /// A batch is sent.
    pub(super) fn sent(&mut self) {
        if self.first > 0 {
            self.first -= 1;
            self.settling += 1;
        }
    }

    /// A batch went through: one more batch for each of them by slow start, and
    /// then for each window's worth.
    pub(super) fn went_through(&mut self) {
        if self.settling > 0 {
            self.settling -= 1;
            return;
        }
        let more = if self.size < self.slow_start_until {
            1.0
        } else {
            1.0 / self.size
        };
        self.size = (self.size + more).min(MOST);
    }

    /// The table has taken less than a batch.
    pub(super) fn came_back(&mut self) {
        self.settling = self.settling.saturating_sub(1);
    }

    /// A batch had no answer: half the window, but once for all that was in flight.
    pub(super) fn had_no_answer(&mut self, in_flight: usize) {
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
    fn fill(window: &mut Window, in_flight: &mut usize) -> usize {
        let before = *in_flight;
        while window.is_open(*in_flight) {
            window.sent();
            *in_flight += 1;
        }
        *in_flight - before
    }

    /// How many may be in flight.
    fn size(window: &Window) -> usize {
        (0..100)
            .find(|in_flight| !window.is_open(*in_flight))
            .unwrap()
    }

    #[test]
    fn few_are_sent_behind_the_first_wave_and_then_twice_as_many_each_time() {
        let (mut window, mut in_flight) = (Window::default(), 0);
        assert_eq!(fill(&mut window, &mut in_flight), 20);
        let mut waves = Vec::new();
        for _ in 0..5 {
            for _ in 0..std::mem::take(&mut in_flight) {
                window.went_through();
            }
            waves.push(fill(&mut window, &mut in_flight));
        }
        assert_eq!(waves, [4, 8, 16, 20, 21]);
    }

    #[test]
    fn one_page_is_one_wave() {
        let mut window = Window::default();
        window.open_for_a_page();
        assert_eq!(fill(&mut window, &mut 0), 40);
    }

    #[test]
    fn a_window_halves_once_for_what_was_in_flight_and_never_closes() {
        let (mut window, mut in_flight) = (Window::default(), 0);
        fill(&mut window, &mut in_flight);
        for _ in 0..20 + 16 {
            window.went_through();
        }
        assert_eq!(size(&window), 20);
        for _ in 0..20 {
            window.had_no_answer(19);
        }
        assert_eq!(size(&window), 10);
        // No slow start again.
        for _ in 0..11 {
            window.went_through();
        }
        assert_eq!(size(&window), 11);
        for _ in 0..1_000 {
            window.had_no_answer(0);
        }
        assert_eq!(size(&window), 1);
    }

    #[test]
    fn a_first_wave_without_an_answer_is_not_followed_by_more() {
        let mut window = Window::default();
        window.open_for_a_page();
        window.sent();
        window.had_no_answer(0);
        assert_eq!(size(&window), 4);
    }

    #[test]
    fn what_comes_back_of_the_first_wave_leaves_the_window_as_it_is() {
        let (mut window, mut in_flight) = (Window::default(), 0);
        fill(&mut window, &mut in_flight);
        for _ in 0..19 {
            window.went_through();
        }
        window.came_back();
        assert_eq!(size(&window), 4);
        window.went_through();
        assert_eq!(size(&window), 5);
    }

    #[test]
    fn a_window_grows_up_to_its_most() {
        let mut window = Window::default();
        fill(&mut window, &mut 0);
        for _ in 0..10_000 {
            window.went_through();
        }
        assert_eq!(size(&window), 64);
    }
}

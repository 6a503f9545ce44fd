//! How many batches are in flight: additive increase, multiplicative decrease
//! on batches that had no answer. (What is handed back sets the pace.)

/// Where a window starts: 20 batches of 25 are 500 deletes, half of what one
/// partition takes in a second (service quota: 1,000 write units a second for each
/// partition). What is too much of it is handed back, and is paid for in time.
const START: f64 = 20.0;
/// Where it starts for what is one page: all of it at once, in a single round trip.
/// A page of up to 1,000 keys is what a partition takes in a second.
const WHOLE_PAGE: f64 = 40.0;
/// More in flight would only wait in the table's queue.
const MOST: f64 = 64.0;

/// The number of batches that may be in flight.
#[derive(Debug)]
pub(super) struct Window {
    size: f64,
    /// Answers that still belong to batches sent before the last decrease.
    settling: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            size: START,
            settling: 0,
        }
    }
}

impl Window {
    /// How many batches may be in flight, 1 or more.
    pub(super) fn size(&self) -> usize {
        // In range by construction: 1.0 to MOST.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the value is between 1 and 64"
        )]
        let size = self.size as usize;
        size
    }

    /// Everything that is left to delete is one page.
    pub(super) fn open_for_a_page(&mut self) {
        self.size = self.size.max(WHOLE_PAGE);
    }

    /// A batch went through: one more batch for each window's worth of them.
    pub(super) fn went_through(&mut self) {
        self.settling = self.settling.saturating_sub(1);
        self.size = (self.size + 1.0 / self.size).min(MOST);
    }

    /// A batch had no answer: half the window, but once for all that was in flight.
    pub(super) fn had_no_answer(&mut self, in_flight: usize) {
        if self.settling > 0 {
            self.settling -= 1;
            return;
        }
        self.size = (self.size / 2.0).max(1.0);
        self.settling = in_flight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_halves_once_for_what_was_in_flight_and_never_closes() {
        let mut window = Window::default();
        for _ in 0..20 {
            window.had_no_answer(19);
        }
        assert_eq!(window.size(), 10);
        for _ in 0..1_000 {
            window.had_no_answer(0);
        }
        assert_eq!(window.size(), 1);
    }

    #[test]
    fn a_window_grows_by_one_for_each_windows_worth_up_to_its_most() {
        let mut window = Window::default();
        for _ in 0..22 {
            window.went_through();
        }
        assert_eq!(window.size(), 21);
        for _ in 0..10_000 {
            window.went_through();
        }
        assert_eq!(window.size(), 64);
    }
}

//! The `cleanup` function: stalled deletions, and campaigns past retention, called by
//! a schedule.

use std::process::ExitCode;

fn main() -> ExitCode {
    campaigns::lambda::run_cleanup()
}

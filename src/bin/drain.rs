//! The `drain` function: one slice of one deletion, called by the state machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    campaigns::lambda::run_drain()
}

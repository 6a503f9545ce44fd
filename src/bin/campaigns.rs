//! The `campaigns` command line; without arguments, the service on this machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    campaigns::cli::run()
}

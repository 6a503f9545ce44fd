//! The `api` function: `DELETE /v1/campaigns/{id}` behind an API Gateway HTTP API.

use std::process::ExitCode;

fn main() -> ExitCode {
    campaigns::lambda::run_api()
}

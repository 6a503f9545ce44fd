//! The terminal: the whole service on this machine (`serve`), and the commands of
//! operators and developers on a table. None of this is in a Lambda function.

mod archive;
mod audit;
mod cleanup;
pub mod connect;
mod console;
mod delete;
pub mod demo;
mod doctor;
mod driver;
pub mod engine;
pub mod gateway;
mod key;
mod list;
pub mod local_s3;
mod options;
pub mod page;
mod print;
mod receipt;
mod restore;
pub mod seed;
mod serve;
mod status;
mod web;

use std::{ffi::OsString, num::NonZeroUsize, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, builder::Resettable};

use crate::{
    archive::{ArchiveError, BadArchive},
    config::ConfigError,
    sdk::SetupError,
    table::TableError,
    telemetry::{self, Format},
};

/// Delete campaigns and everything in them, on DynamoDB.
///
/// Without a command, `serve` runs.
#[derive(Parser)]
#[command(name = "campaigns", version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  campaigns serve
  campaigns seed big --total 100000 --endpoint-url http://127.0.0.1:8000
  campaigns delete campaign_123 --dry-run --endpoint-url http://127.0.0.1:8000
  campaigns list --status paused --endpoint-url http://127.0.0.1:8000
  campaigns audit --account account_demo --format csv \\
    --endpoint-url http://127.0.0.1:8000
  campaigns cleanup --retention-days 90 --endpoint-url http://127.0.0.1:8000
  campaigns key issue --account account_demo \\
    --endpoint-url http://127.0.0.1:8000

Exit codes: 0 success, 1 refused or failed, 2 wrong usage.";

#[derive(Subcommand)]
enum Command {
    /// Serve the API on this machine, over an embedded DynamoDB with demo data.
    Serve(serve::Serve),
    /// Show a table in a browser, with the operator's own credentials.
    Console(console::Console),
    /// Create the table and the demo data at another endpoint on this machine.
    Demo(demo::Demo),
    /// Fill a campaign of any size.
    Seed(seed::Seed),
    /// Delete campaigns and everything in them.
    Delete(delete::Delete),
    /// Show the status of deletions.
    Status(status::Status),
    /// List campaigns.
    List(list::List),
    /// Export an account's deletions.
    Audit(audit::Audit),
    /// List, show and verify what deletions have archived.
    #[command(subcommand)]
    Archive(archive::Archive),
    /// Get and verify receipts of deletions.
    #[command(subcommand)]
    Receipt(receipt::Receipt),
    /// Put back what a deletion has archived.
    Restore(restore::Restore),
    /// Resume stalled deletions and delete campaigns past retention.
    Cleanup(cleanup::Cleanup),
    /// Check a table and a deployment, and say what to do.
    Doctor(doctor::Doctor),
    /// Issue, list and revoke API keys.
    #[command(subcommand)]
    Key(key::Key),
}

/// The exit code of wrong usage, as `clap` has it.
const WRONG_USAGE: u8 = 2;

/// Why a command failed. The terminal shows its text and nothing else.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Something was refused; the text says what and what to do.
    #[error("{0}")]
    Refused(String),
    /// The table failed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An archive is not whole.
    #[error(transparent)]
    BadArchive(#[from] BadArchive),
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting of the AWS SDK is wrong or missing.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// An answer could not be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Runs the command line and returns the process's exit code.
#[must_use]
pub fn run() -> ExitCode {
    let cli: Cli = parse(std::env::args_os());
    match start(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the output, for example `head`, has seen enough.
        Err(CliError::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            print::remark(&format!("campaigns: {error}"));
            match error {
                CliError::Config(_) => ExitCode::from(WRONG_USAGE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Parses the command line. A variable that is set to an empty value counts as unset, as
/// it does for the functions and the AWS SDKs.
fn parse<T: CommandFactory + FromArgMatches>(arguments: impl IntoIterator<Item = OsString>) -> T {
    let mut matches = without_empty_variables(T::command()).get_matches_from(arguments);
    T::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit())
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let ignores_endpoints = connect::ignores_endpoints();
    command
        .mut_args(|argument| {
            let is_unset = argument.get_env().is_some_and(|name| {
                std::env::var_os(name).is_some_and(|value| value.is_empty())
                    || (ignores_endpoints && name == connect::ENDPOINT_URL)
            });
            // `--days -1` is a number that is not allowed, not an unknown option.
            let takes_value = argument.get_action().takes_values();
            let argument = argument.allow_negative_numbers(takes_value);
            if is_unset {
                argument.env(Resettable::Reset)
            } else {
                argument
            }
        })
        .mut_subcommands(without_empty_variables)
}

fn start(command: Option<Command>) -> Result<(), CliError> {
    telemetry::start(Format::Text);
    let command = command.unwrap_or_else(|| Command::Serve(serve::Serve::by_default()));
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    tokio::runtime::Builder::new_multi_thread()
        // Whatever TOKIO_WORKER_THREADS says, of which a bad value is a panic.
        .worker_threads(threads)
        .enable_all()
        .build()?
        .block_on(async {
            match command {
                Command::Serve(serve) => serve.run().await,
                Command::Console(console) => Box::pin(console.run()).await,
                Command::Demo(demo) => demo.run().await,
                Command::Seed(seed) => seed.run().await,
                Command::Delete(delete) => Box::pin(delete.run()).await,
                Command::Status(status) => status.run().await,
                Command::List(list) => list.run().await,
                Command::Audit(audit) => audit.run().await,
                Command::Archive(archive) => Box::pin(archive.run()).await,
                Command::Receipt(receipt) => receipt.run().await,
                Command::Restore(restore) => Box::pin(restore.run()).await,
                Command::Cleanup(cleanup) => Box::pin(cleanup.run()).await,
                Command::Doctor(doctor) => Box::pin(doctor.run()).await,
                Command::Key(key) => key.run().await,
            }
        })
}

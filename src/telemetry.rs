//! Logs: JSON lines on Lambda, readable ones on a terminal. Only this project's
//! own lines are written: the SDK and the Lambda runtime print whole requests
//! and events, and so keys and items, at their lower levels, and no level of
//! ours may do that.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::ConfigError;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object for each line, on standard output, as Lambda expects it.
    Json,
    /// For eyes, on standard error.
    Text,
}

/// `RUST_LOG`: the level of this project's lines.
pub const RUST_LOG: &str = "RUST_LOG";

const LEVELS: [LevelFilter; 6] = [
    LevelFilter::OFF,
    LevelFilter::ERROR,
    LevelFilter::WARN,
    LevelFilter::INFO,
    LevelFilter::DEBUG,
    LevelFilter::TRACE,
];

/// Starts logging at the level in `RUST_LOG`, or `info`.
///
/// # Errors
/// [`ConfigError`] when `RUST_LOG` is no level. A second call changes nothing.
pub fn start(format: Format) -> Result<(), ConfigError> {
    let level = match std::env::var(RUST_LOG) {
        // `LevelFilter::from_str` takes numbers and nothing, too.
        Ok(level) => LEVELS
            .into_iter()
            .find(|known| known.to_string() == level.to_ascii_lowercase())
            .ok_or_else(|| {
                let allowed = "off, error, warn, info, debug or trace";
                ConfigError::new(RUST_LOG, Some(&level), allowed)
            })?,
        Err(_) => LevelFilter::INFO,
    };
    // The library; the binaries are mains without a line of their own.
    let own = Targets::new().with_target("campaigns", level);
    let registry = tracing_subscriber::registry().with(own);
    // Err: a subscriber is set already, which then stays.
    let _ = match format {
        Format::Json => registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_span_list(false),
            )
            .try_init(),
        Format::Text => registry
            .with(
                fmt::layer()
                    .with_target(false)
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    };
    Ok(())
}

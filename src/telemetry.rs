//! Logs: JSON lines on Lambda, readable ones on a terminal. Only this project's
//! own lines are written: at their lower levels, the SDK and the Lambda
//! runtime print whole requests and events, including keys and items, which no
//! level of ours may do.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::environment;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object for each line, on standard output, as Lambda expects it.
    Json,
    /// For people to read, on standard error.
    Text,
}

/// `RUST_LOG`: a level, or directives such as `info,hyper=warn`, of which only those for this
/// project apply.
pub const RUST_LOG: &str = "RUST_LOG";

/// This library's target; the binaries log nothing of their own.
const TARGET: &str = "campaigns";

/// Starts logging at the level in `RUST_LOG`, or `info`. A value that cannot be read may
/// be meant for another program, so it does not stop this one. A second call changes nothing.
pub fn start(format: Format) {
    let value = environment(RUST_LOG).unwrap_or_default();
    let own = own_lines(&value);
    let registry = tracing_subscriber::registry().with(own.clone().unwrap_or_else(at_info));
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
                    .with_ansi(std::io::stderr().is_terminal() && environment("NO_COLOR").is_none())
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    };
    if own.is_none() {
        tracing::warn!("RUST_LOG is not a valid filter, so lines are logged at level info");
    }
}

fn at_info() -> Targets {
    Targets::new().with_target(TARGET, LevelFilter::INFO)
}

/// Returns what the directives say about this project's lines, and about no others;
/// `None` if they cannot be read.
fn own_lines(directives: &str) -> Option<Targets> {
    if directives.trim().is_empty() {
        return Some(at_info());
    }
    let said: Targets = directives.parse().ok()?;
    let is_own = |target: &str| target == TARGET || target.starts_with("campaigns::");
    let default = said.default_level().unwrap_or(LevelFilter::INFO);
    let own = Targets::new().with_target(TARGET, default);
    Some(own.with_targets(said.iter().filter(|(target, _)| is_own(target))))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn directives_for_other_programs_change_nothing_here() {
        for (directives, level) in [
            ("", Level::INFO),
            (" ", Level::INFO),
            ("info,hyper=warn", Level::INFO),
            ("hyper=trace", Level::INFO),
            ("hyper", Level::INFO),
            ("DEBUG", Level::DEBUG),
            ("warn,campaigns=debug", Level::DEBUG),
            ("warn,campaigns::table=debug", Level::WARN),
            ("error,aws_config=trace", Level::ERROR),
        ] {
            let own = own_lines(directives).unwrap();
            assert!(own.would_enable("campaigns::http", &level), "{directives}");
            let finer = [
                Level::ERROR,
                Level::WARN,
                Level::INFO,
                Level::DEBUG,
                Level::TRACE,
            ];
            let finer = finer.into_iter().find(|finer| *finer > level);
            let enables =
                |target: &str| finer.is_some_and(|finer| own.would_enable(target, &finer));
            assert!(!enables("campaigns::http"), "{directives}");
            for other in ["hyper", "aws_config", "lambda_runtime"] {
                assert!(
                    !own.would_enable(other, &Level::ERROR),
                    "{directives}: {other}"
                );
            }
        }
        for unreadable in ["info,hyper=loud", "[span{id=1}]=debug"] {
            assert!(own_lines(unreadable).is_none(), "{unreadable}");
        }
    }
}

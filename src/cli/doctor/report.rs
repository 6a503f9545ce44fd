//! What `campaigns doctor` prints.

use std::io::{IsTerminal, Write, stdout};

use console::{Term, measure_text_width, style};
use serde::Serialize;

use super::{
    super::{CliError, print},
    check::{Check, Status},
};
use crate::config::environment;

/// The widest line, also where standard output is no terminal.
const WIDTH: usize = 80;
/// The columns of the status and the name, with the space after them.
const STATUS: usize = 9;
const NAME: usize = 25;

#[derive(Serialize)]
struct Document<'a> {
    checks: &'a [Check],
}

/// Prints the checks as JSON or as text.
pub(super) fn print(checks: &[Check], as_json: bool) -> Result<(), CliError> {
    if as_json {
        return print::json(&Document { checks });
    }
    let mut out = stdout().lock();
    let has_colour = stdout().is_terminal()
        && Term::stdout().features().colors_supported()
        && environment("NO_COLOR").is_none();
    writeln!(out, "{}", text(checks, has_colour))?;
    out.flush()?;
    Ok(())
}

/// Returns the lines of all checks, and how many have which status.
fn text(checks: &[Check], has_colour: bool) -> String {
    let mut lines: Vec<String> = checks
        .chunk_by(|one, other| {
            // What is skipped for one reason is said once.
            one.status == Status::Skipped
                && other.status == Status::Skipped
                && (&one.seen, &one.remedy) == (&other.seen, &other.remedy)
        })
        .flat_map(|group| entry(group, has_colour))
        .collect();
    let counts = [Status::Ok, Status::Warning, Status::Failed, Status::Skipped].map(|status| {
        let count = checks.iter().filter(|check| check.status == status).count();
        format!("{count} {}", status.as_str())
    });
    lines.push(format!("{} checks: {}", checks.len(), counts.join(", ")));
    lines.join("\n")
}

/// Returns the lines of checks that share their status and text.
fn entry(group: &[Check], has_colour: bool) -> Vec<String> {
    let Some(check) = group.first() else {
        return Vec::new();
    };
    let status = format!("{:STATUS$}", check.status.as_str());
    let status = if has_colour {
        colour(check.status, &status)
    } else {
        status
    };
    let mut lines = Vec::new();
    let column = WIDTH - STATUS - NAME;
    let is_wide = |text: &str| {
        let mut words = text.split_whitespace();
        words.any(|word| measure_text_width(word) > column)
    };
    if let [check] = group
        && !is_wide(&check.seen)
    {
        for (number, line) in wrapped(&check.seen, column).iter().enumerate() {
            lines.push(match number {
                0 => format!("{status}{:NAME$}{line}", check.name),
                _ => format!("{:indent$}{line}", "", indent = STATUS + NAME),
            });
        }
    } else {
        // Names that share a reason, and what has a word that is too wide for the column.
        let names: Vec<_> = group.iter().map(|check| check.name).collect();
        let names = wrapped(&names.join(", "), WIDTH - STATUS);
        for (number, line) in names.iter().enumerate() {
            let before = if number == 0 { &status } else { "         " };
            lines.push(format!("{before}{line}"));
        }
        let seen = wrapped(&check.seen, WIDTH - STATUS);
        lines.extend(seen.iter().map(|line| format!("{:STATUS$}{line}", "")));
    }
    for line in check.remedy.iter().flat_map(|remedy| remedy.lines()) {
        let broken = remedy(line, WIDTH - STATUS - 2);
        lines.extend(broken.iter().map(|line| format!("{:STATUS$}  {line}", "")));
    }
    lines
}

fn colour(status: Status, text: &str) -> String {
    let styled = style(text).force_styling(true);
    match status {
        Status::Ok => styled.green().to_string(),
        Status::Warning => styled.yellow().to_string(),
        Status::Failed => styled.red().to_string(),
        Status::Skipped => styled.dim().to_string(),
    }
}

/// Returns whether a line is a command to paste, which is continued with a backslash.
fn is_command(line: &str) -> bool {
    ["aws ", "campaigns ", "curl "]
        .iter()
        .any(|program| line.starts_with(program))
}

/// Returns a line as lines of at most `width` columns, broken between words. A word that
/// is wider, as an ARN may be, stays whole.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    broken(line, width, "")
}

/// The same for a line of a remedy.
fn remedy(line: &str, width: usize) -> Vec<String> {
    broken(line, width, if is_command(line) { " \\" } else { "" })
}

fn broken(line: &str, width: usize, continued: &str) -> Vec<String> {
    let line = print::plain(line);
    let mut lines = Vec::new();
    let mut current = String::new();
    for word in line.split_whitespace() {
        let wide = measure_text_width(&current) + 1 + measure_text_width(word) + continued.len();
        if !current.is_empty() && wide > width {
            lines.push(std::mem::take(&mut current) + continued);
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(word);
    }
    lines.push(current);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        vec![
            Check::ok("table", "campaigns in eu-central-1"),
            Check::failed(
                "time-to-live",
                "items do not expire, so idempotency keys stay for longer than one line has room",
                "Enable it:\naws dynamodb update-time-to-live --table-name campaigns \
                 --time-to-live-specification AttributeName=ttlAt,Enabled=true",
            ),
            Check::skipped("tls", "no --api-url", "Give one."),
            Check::skipped("api", "no --api-url", "Give one."),
            Check::skipped("other", "not that", "Give one."),
        ]
    }

    #[test]
    fn every_line_fits_into_80_columns() {
        for has_colour in [false, true] {
            for line in text(&checks(), has_colour).lines() {
                assert!(measure_text_width(line) <= WIDTH, "{line}");
            }
        }
    }

    #[test]
    fn a_remedy_is_indented_and_its_command_can_be_pasted() {
        let text = text(&checks(), false);
        assert!(text.contains("\n           Enable it:\n"), "{text}");
        let (_, command) = text.split_once("Enable it:").unwrap();
        let (command, _) = command.split_once("\nskipped").unwrap();
        let command = command.replace("\\\n", "");
        let words: Vec<_> = command.split_whitespace().collect();
        assert_eq!(words.first(), Some(&"aws"));
        assert_eq!(words.last(), Some(&"AttributeName=ttlAt,Enabled=true"));
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn what_is_skipped_for_one_reason_is_said_once() {
        let text = text(&checks(), false);
        assert!(
            text.contains("skipped  tls, api\n         no --api-url"),
            "{text}"
        );
        assert!(text.contains("skipped  other "), "{text}");
        assert!(
            text.ends_with("5 checks: 1 ok, 0 warning, 1 failed, 3 skipped"),
            "{text}"
        );
    }
}

//! What commands print: tables that fit the terminal, JSON, lines, and counts in
//! words. Everything that others wrote is shown without control characters, so a
//! campaign's name cannot move the cursor or colour the screen.

use std::{
    fmt,
    io::{IsTerminal, Write, stderr, stdout},
};

use console::{Term, measure_text_width, pad_str, style, truncate_str};
use indicatif::{HumanCount, ProgressState, ProgressStyle};
use serde::Serialize;

use super::CliError;
use crate::{config::environment, counts::Counts, deletion::DeletionView};

/// The space between two columns.
const GAP: usize = 2;
/// The width below which a column that gives way is dropped instead of shortened.
const NARROWEST: usize = 8;

/// Writes a line to standard output.
pub(super) fn line(text: &str) -> Result<(), CliError> {
    let mut out = stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Writes a remark to standard error, without control characters. If that fails, there is
/// nothing left to do.
pub(super) fn remark(text: &str) {
    let _ = writeln!(stderr().lock(), "{}", plain(text));
}

/// Returns how a shell finds this program. `cargo run` starts it by its path, which may be
/// relative to a directory that another shell is not in.
pub(super) fn program() -> String {
    let started_as = std::env::args().next().unwrap_or_default();
    let path = started_as
        .contains(std::path::MAIN_SEPARATOR)
        .then(std::env::current_exe)
        .and_then(Result::ok);
    path.map_or_else(
        || "campaigns".to_owned(),
        |path| path.to_string_lossy().into_owned(),
    )
}

/// Returns these words, quoted for a POSIX shell.
pub(super) fn quoted(words: &[String]) -> String {
    // A word that cannot be quoted has a NUL, which no command line can have given.
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

/// Fails if a list leaves out what cannot be read, so that its exit code says it.
pub(super) fn complete(left_out: usize, what: &str) -> Result<(), CliError> {
    match left_out {
        0 => Ok(()),
        _ => Err(CliError::Refused(format!(
            "the list is incomplete: {left_out} {what} cannot be read"
        ))),
    }
}

/// Writes one JSON document to standard output.
pub(super) fn json(value: &impl Serialize) -> Result<(), CliError> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Writes a JSON document to standard output, in one line.
pub(super) fn json_line(value: &impl Serialize) -> Result<(), CliError> {
    line(&serde_json::to_string(value)?)
}

/// Returns text that others wrote, with its control characters replaced, including the
/// invisible ones that change the direction of text.
pub(super) fn plain(text: &str) -> String {
    let is_control = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| if is_control(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Returns the counts that are not zero, in words.
pub(super) fn kinds(counts: &Counts) -> String {
    let kinds: Vec<String> = counts
        .shown()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    if kinds.is_empty() {
        "nothing".to_owned()
    } else {
        kinds.join(", ")
    }
}

/// Returns the style of a progress bar. `{rate}` in the template is a whole number,
/// and `{wide_msg}` is cut at the end of the line.
pub(super) fn progress_style(template: &str) -> ProgressStyle {
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is not negative and far from 2^64"
        )]
        let rate = state.per_sec() as u64;
        // Err: the line has no room left, and shows less.
        let _ = write!(out, "{}/s", HumanCount(rate));
    })
}

/// Prints one deletion.
pub(super) fn print_deletion(view: &DeletionView<'_>, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return json(view);
    }
    table_of(std::slice::from_ref(view)).print()?;
    if let Some(reason) = view.reason() {
        line(&format!("reason: {reason}"))?;
    }
    line(&format!("deleted: {}", kinds(view.deleted_items())))
}

/// Returns a table of deletions.
pub(super) fn table_of(views: &[DeletionView<'_>]) -> Table {
    let mut table = Table::new(&[
        Column::Kept("DELETION"),
        Column::Kept("CAMPAIGN"),
        Column::Kept("STATUS"),
        Column::Kept("ITEMS"),
        Column::GivesWay("REQUESTED BY", 2),
        Column::Drops("STARTED", 3),
        Column::Drops("LAST WRITE", 4),
        Column::Drops("COMPLETED", 1),
    ]);
    for view in views {
        table.row(view.cells());
    }
    table
}

/// What a column does when the terminal is too narrow for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// It always stays, in full.
    Kept(&'static str),
    /// It is shortened, and then dropped: the one with the highest number first.
    GivesWay(&'static str, u8),
    /// The same, but never shortened; for a time, for example.
    Drops(&'static str, u8),
}

impl Column {
    fn header(self) -> &'static str {
        match self {
            Self::Kept(header) | Self::GivesWay(header, _) | Self::Drops(header, _) => header,
        }
    }

    fn turn(self) -> Option<u8> {
        match self {
            Self::Kept(_) => None,
            Self::GivesWay(_, turn) | Self::Drops(_, turn) => Some(turn),
        }
    }
}

/// A table of rows.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    /// The widths of what is written already, header included; empty before that.
    written: Vec<usize>,
}

impl Table {
    /// Returns a table without rows.
    pub(super) fn new(columns: &[Column]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
            written: Vec::new(),
        }
    }

    /// Returns how many rows are not written yet.
    pub(super) fn waiting(&self) -> usize {
        self.rows.len()
    }

    /// Writes the rows so far to standard output and forgets them, so that a long table takes no
    /// memory. Rows that follow are below the same header, and at least as wide.
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        if !self.rows.is_empty() || self.written.is_empty() {
            self.print()?;
            self.written = self.natural_widths();
            self.rows.clear();
        }
        Ok(())
    }

    /// Adds a row: a cell for each column.
    pub(super) fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells = cells.into_iter().map(|cell| plain(cell.as_ref()));
        self.rows.push(cells.collect());
    }

    /// Writes the table to standard output: no wider than the terminal, or in full if
    /// standard output is not a terminal.
    pub(super) fn print(&self) -> Result<(), CliError> {
        self.write(&mut stdout().lock())
    }

    /// Writes the table to `out`, which is standard output or a test's buffer.
    pub(super) fn write(&self, out: &mut impl Write) -> Result<(), CliError> {
        let is_terminal = stdout().is_terminal();
        let width = is_terminal.then(|| usize::from(Term::stdout().size().1));
        // `console` knows terminals without colours.
        let can_colour = Term::stdout().features().colors_supported();
        let has_colour = is_terminal && can_colour && environment("NO_COLOR").is_none();
        writeln!(out, "{}", self.text(width, has_colour))?;
        out.flush()?;
        Ok(())
    }

    /// Returns the lines of the table, each `width` columns wide at most.
    fn text(&self, width: Option<usize>, has_colour: bool) -> String {
        let widths = self.widths(width);
        let headers = self.columns.iter().map(|column| column.header().to_owned());
        let headers: Vec<String> = headers.collect();
        let is_begun = !self.written.is_empty();
        let rows = std::iter::once(&headers).skip(usize::from(is_begun));
        let rows = rows.chain(&self.rows);
        let lines = rows.map(|row| {
            let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
            let cells = cells.map(|(cell, width)| {
                let cell = truncate_str(cell, *width, "…");
                let padded = pad_str(&cell, *width, console::Alignment::Left, None).into_owned();
                if has_colour { colour(&padded) } else { padded }
            });
            let line = cells.collect::<Vec<_>>().join(&" ".repeat(GAP));
            line.trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Returns the width that each column needs.
    fn natural_widths(&self) -> Vec<usize> {
        let cell_width =
            |row: &Vec<String>, at: usize| row.get(at).map_or(0, |c| measure_text_width(c));
        let columns = self.columns.iter().enumerate();
        let widths = columns.map(|(at, column)| {
            let cells = self.rows.iter().map(|row| cell_width(row, at)).max();
            let written = self.written.get(at).copied().unwrap_or(0);
            cells.unwrap_or(0).max(column.header().len()).max(written)
        });
        widths.collect()
    }

    /// Returns the width of each column; 0 for one that is dropped.
    fn widths(&self, width: Option<usize>) -> Vec<usize> {
        let mut widths = self.natural_widths();
        let Some(limit) = width else {
            return widths;
        };
        let mut giving: Vec<(u8, usize)> = self
            .columns
            .iter()
            .enumerate()
            .filter_map(|(at, column)| Some((column.turn()?, at)))
            .collect();
        giving.sort_unstable();
        while let Some((_, at)) = giving.pop() {
            let excess = total(&widths).saturating_sub(limit);
            if let Some(width) = widths.get_mut(at).filter(|_| excess > 0) {
                let rest = width.saturating_sub(excess);
                let drops = matches!(self.columns.get(at), Some(Column::Drops(..)));
                *width = if drops || rest < NARROWEST { 0 } else { rest };
            }
        }
        widths
    }
}

fn total(widths: &[usize]) -> usize {
    let shown = widths.iter().filter(|width| **width > 0);
    shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1)
}

/// Colours a cell that is a status.
fn colour(cell: &str) -> String {
    let styled = style(cell).force_styling(true);
    match cell.trim_end() {
        "succeeded" | "active" => styled.green().to_string(),
        "running" | "deleting" => styled.cyan().to_string(),
        "stalled" | "revoked" | "unreadable" => styled.yellow().to_string(),
        _ => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[
            Column::Kept("ID"),
            Column::GivesWay("NAME", 1),
            Column::Kept("STATUS"),
            Column::GivesWay("UPDATED", 2),
        ]);
        table.row([
            "campaign_1",
            "A name of thirty characters ..",
            "active",
            "2026-01-01T00:00:00Z",
        ]);
        table.row(["c2", "", "paused", ""]);
        table
    }

    #[test]
    fn a_table_is_no_wider_than_the_terminal() {
        for width in [30, 40, 80, 100, 140] {
            for line in table().text(Some(width), true).lines() {
                assert!(measure_text_width(line) <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn columns_are_shortened_and_then_dropped_in_their_order() {
        let header = |width| {
            let text = table().text(Some(width), false);
            text.lines().next().unwrap().to_owned()
        };
        assert!(header(80).contains("UPDATED"));
        assert!(!header(50).contains("UPDATED"));
        assert!(header(50).contains("NAME"));
        assert!(!header(22).contains("NAME"));
        assert!(header(10).contains("STATUS"));
        assert!(table().text(Some(45), false).contains('…'));
    }

    #[test]
    fn a_pipe_gets_every_cell_in_full_without_colour() {
        let text = table().text(None, false);
        assert!(text.contains("A name of thirty characters .."));
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn control_characters_of_others_are_not_printed() {
        let mut table = Table::new(&[Column::Kept("NAME")]);
        table.row(["\u{1b}[2J\u{1b}[1;1Hdone\r\n\u{202e}x"]);
        let text = table.text(None, true);
        assert_eq!(text.lines().count(), 2);
        assert!(
            text.chars().all(|c| !c.is_control() || c == '\n'),
            "{text:?}"
        );
    }
}

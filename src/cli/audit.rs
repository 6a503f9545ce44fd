//! `campaigns audit`: exports the deletion records of an account, page by page, as
//! proof of what was deleted. It has ids, counts and times, and no campaign names,
//! since these often contain the names of people.

mod spreadsheet;

use std::{
    borrow::Cow,
    io::{self, Write},
};

use clap::{Args, ValueEnum};
use serde::Serialize;

use self::spreadsheet::as_text;
use super::{
    CliError,
    connect::{Connect, account_id, patience},
    print::{Column, Table as TextTable, kinds},
};
use crate::{
    clock::epoch_seconds,
    counts::Counts,
    record::{DeletionReason, Record},
    table::{Table, UnreadableRecord},
};

/// How many records are read at once. Each page is printed as a table of its own.
const PAGE: usize = 500;

/// `campaigns audit`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  campaigns audit --account account_demo --endpoint-url http://127.0.0.1:8000
  campaigns audit --account account_1 --since 2026-11-01 --until 2026-11-30 \\
    --format csv

Newest first. The account's whole history is read, even with --since or --until.")]
pub(super) struct Audit {
    /// The account whose deletions are exported.
    #[arg(long, value_parser = account_id)]
    account: String,
    /// Only deletions that started at this time or later: a date, or a time in RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = begin)]
    since: Option<i64>,
    /// Only deletions that started at this time or earlier: a date, with the whole of
    /// that day, or a time in RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = end)]
    until: Option<i64>,
    /// The format of the export.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A table to read.
    Table,
    /// CSV with a header; cells are escaped so that no spreadsheet runs them as formulas.
    Csv,
    /// A JSON object on each line.
    Jsonl,
}

/// A deletion as it is exported.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    deletion_id: &'a str,
    account_id: &'a str,
    campaign_id: &'a str,
    requested_by: Cow<'a, str>,
    reason: Option<&'a str>,
    previous_status: &'a str,
    status: &'static str,
    started_at: &'a str,
    last_processed_at: &'a str,
    completed_at: Option<&'a str>,
    processed: u64,
    deleted_items: &'a Counts,
}

/// The columns of CSV, before those of the counters.
const COLUMNS: [&str; 11] = [
    "deletionId",
    "accountId",
    "campaignId",
    "requestedBy",
    "reason",
    "previousStatus",
    "status",
    "startedAt",
    "lastProcessedAt",
    "completedAt",
    "processed",
];

impl Audit {
    pub(super) async fn run(self) -> Result<(), CliError> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since > until
        {
            return Err(CliError::Refused(
                "--since is later than --until".to_owned(),
            ));
        }
        let table = self.connect.table().await?;
        let mut out = Writer::new(self.format, io::stdout().lock());
        match self.export(&table, &mut out).await {
            // The reader of the output has seen enough.
            Err(CliError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            exported => exported,
        }
    }

    async fn export<W: Write>(&self, table: &Table, out: &mut Writer<W>) -> Result<(), CliError> {
        let mut after = None;
        let mut unreadable = Vec::new();
        loop {
            let until = patience();
            let page = table
                .history(&self.account, None, after, PAGE, until, until)
                .await?;
            let wanted = page.records.iter().filter(|record| self.wants(record));
            out.page(&wanted.map(Entry::of).collect::<Vec<_>>())?;
            unreadable.extend(page.unreadable);
            after = page.after;
            if after.is_none() {
                return complete(&unreadable);
            }
        }
    }

    fn wants(&self, record: &Record) -> bool {
        let Some(started) = epoch_seconds(&record.started_at) else {
            return true;
        };
        self.since.is_none_or(|since| started >= since)
            && self.until.is_none_or(|until| started <= until)
    }
}

/// Fails if records are missing from an export, and names them.
fn complete(unreadable: &[UnreadableRecord]) -> Result<(), CliError> {
    if unreadable.is_empty() {
        return Ok(());
    }
    let named: Vec<_> = unreadable.iter().map(ToString::to_string).collect();
    Err(CliError::Refused(format!(
        "the export is incomplete: {}",
        named.join("; ")
    )))
}

impl<'a> Entry<'a> {
    fn of(record: &'a Record) -> Self {
        Self {
            deletion_id: &record.deletion_id,
            account_id: &record.account_id,
            campaign_id: record.campaign_id.as_str(),
            requested_by: record.requested_by.as_stored(),
            reason: record.reason.as_ref().map(DeletionReason::as_str),
            previous_status: &record.previous_status,
            status: record.state.as_str(),
            started_at: &record.started_at,
            last_processed_at: &record.updated_at,
            completed_at: record.completed_at(),
            processed: record.progress.counted.total(),
            deleted_items: &record.progress.counted,
        }
    }

    fn cells(&self) -> impl Iterator<Item = String> {
        let counts = self.deleted_items.every().map(|(_, count)| count);
        let texts = [
            self.deletion_id,
            self.account_id,
            self.campaign_id,
            &self.requested_by,
            self.reason.unwrap_or_default(),
            self.previous_status,
            self.status,
            self.started_at,
            self.last_processed_at,
            self.completed_at.unwrap_or_default(),
        ]
        .map(as_text);
        let counts = std::iter::once(self.processed).chain(counts);
        texts
            .into_iter()
            .chain(counts.map(|count| count.to_string()))
    }
}

fn header() -> impl Iterator<Item = &'static str> {
    let counters = Counts::default()
        .every()
        .map(|(name, _)| name)
        .collect::<Vec<_>>();
    COLUMNS.into_iter().chain(counters)
}

/// Writes page after page.
enum Writer<W: Write> {
    Table(W),
    Csv(Box<csv::Writer<W>>, bool),
    Jsonl(W),
}

impl<W: Write> Writer<W> {
    fn new(format: Format, out: W) -> Self {
        match format {
            Format::Table => Self::Table(out),
            Format::Csv => Self::Csv(Box::new(csv::Writer::from_writer(out)), false),
            Format::Jsonl => Self::Jsonl(out),
        }
    }

    fn page(&mut self, entries: &[Entry<'_>]) -> Result<(), CliError> {
        match self {
            Self::Table(out) => {
                let mut text = TextTable::new(&[
                    Column::Kept("DELETION"),
                    Column::Kept("CAMPAIGN"),
                    Column::Kept("STATUS"),
                    Column::GivesWay("REQUESTED BY", 3),
                    Column::Drops("REASON", 5),
                    Column::Drops("STARTED", 1),
                    Column::Drops("COMPLETED", 2),
                    Column::GivesWay("DELETED", 4),
                ]);
                for entry in entries {
                    text.row([
                        entry.deletion_id,
                        entry.campaign_id,
                        entry.status,
                        &entry.requested_by,
                        entry.reason.unwrap_or_default(),
                        entry.started_at,
                        entry.completed_at.unwrap_or_default(),
                        &kinds(entry.deleted_items),
                    ]);
                }
                text.write(out)?;
            }
            Self::Csv(csv, has_header) => {
                if !std::mem::replace(has_header, true) {
                    csv.write_record(header()).map_err(of_writing)?;
                }
                for entry in entries {
                    csv.write_record(entry.cells()).map_err(of_writing)?;
                }
                csv.flush()?;
            }
            Self::Jsonl(out) => {
                for entry in entries {
                    serde_json::to_writer(&mut *out, entry).map_err(io::Error::from)?;
                    writeln!(out)?;
                }
                out.flush()?;
            }
        }
        Ok(())
    }
}

/// Returns the error of writing itself: whoever closes a pipe early has enough.
fn of_writing(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Returns the first second of a day, or a time itself.
fn begin(text: &str) -> Result<i64, String> {
    time_or_day(text, "T00:00:00Z")
}

/// Returns the last second of a day, or a time itself.
fn end(text: &str) -> Result<i64, String> {
    time_or_day(text, "T23:59:59Z")
}

fn time_or_day(text: &str, time: &str) -> Result<i64, String> {
    epoch_seconds(text)
        .or_else(|| epoch_seconds(&format!("{text}{time}")))
        .ok_or_else(|| "must be a date (2026-11-25) or a time (2026-11-25T12:00:00Z)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        campaign::CampaignId,
        record::{Progress, RecordState, Requester},
    };

    fn record(account: &str, previous_status: &str) -> Record {
        let mut progress = Progress::start();
        progress.counted.add("CHAT#1");
        progress.counted.add("strange");
        Record {
            deletion_id: "0190a8c2-b5c2-7e3f-8000-000000000000".into(),
            campaign_id: CampaignId::parse("campaign_1").unwrap(),
            campaign_name: "For Jane Doe".into(),
            account_id: account.into(),
            requested_by: Requester::Retention,
            reason: None,
            previous_status: previous_status.into(),
            state: RecordState::Running,
            started_at: "2026-01-01T00:00:00Z".into(),
            updated_at: "2026-01-01T00:00:01Z".into(),
            progress,
            archive: None,
            campaign_replaced: false,
            version: 1,
            owner: None,
            lease_until_ms: 0,
        }
    }

    fn written(format: Format, records: &[Record]) -> String {
        let mut out = Vec::new();
        let mut writer = Writer::new(format, &mut out);
        for record in records {
            writer.page(&[Entry::of(record)]).unwrap();
        }
        drop(writer);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_cell_is_never_a_formula_and_stays_one_cell() {
        let csv = written(
            Format::Csv,
            &[
                record("=1+1", "@x"),
                record("a,\"b\"\nc", "\t=2"),
                record("-1", "+1"),
            ],
        );
        let mut read = csv::Reader::from_reader(csv.as_bytes());
        let columns: Vec<_> = read
            .headers()
            .unwrap()
            .iter()
            .map(ToOwned::to_owned)
            .collect();
        assert_eq!(columns.len(), 19);
        let cells: Vec<_> = read
            .records()
            .map(|row| row.unwrap())
            .map(|row| (row[1].to_owned(), row[5].to_owned(), row[18].to_owned()))
            .collect();
        let cell = |a: &str, b: &str| (a.to_owned(), b.to_owned(), "1".to_owned());
        assert_eq!(
            cells,
            [
                cell("'=1+1", "'@x"),
                cell("a,\"b\"\nc", "'\t'=2"),
                cell("'-1", "'+1")
            ]
        );
    }

    #[test]
    fn no_format_has_the_campaigns_name() {
        for format in [Format::Table, Format::Csv, Format::Jsonl] {
            let text = written(format, &[record("account_1", "paused")]);
            assert!(text.contains("campaign_1"), "{text}");
            assert!(!text.contains("Jane"), "{text}");
        }
    }

    #[test]
    fn a_day_is_a_whole_day() {
        assert_eq!(begin("2026-11-25"), Ok(1_795_564_800));
        assert_eq!(end("2026-11-25"), Ok(1_795_564_800 + 86_399));
        assert_eq!(begin("2026-11-25T01:00:00+01:00"), Ok(1_795_564_800));
        for text in ["", "yesterday", "2026-13-01", "25.11.2026"] {
            assert!(begin(text).is_err(), "{text}");
        }
    }
}

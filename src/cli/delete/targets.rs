//! Which campaigns a command deletes: those that are named, those of a file, or those with a
//! status that are old enough. Only their ids are kept, so 100,000 of them take some megabytes.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, builder::PossibleValuesParser};

use crate::{
    campaign::{CampaignId, DELETABLE},
    cli::{
        CliError,
        connect::{account_id, patience},
        options::number_in,
        print,
    },
    clock::{epoch_seconds, now_seconds},
    table::Table,
};

/// The longest line that is read whole, bytes. An id has 64, and what is longer is none.
const LONGEST_LINE: u64 = 1_024;
/// The most malformed lines that are named.
const MOST_NAMED: usize = 5;
/// How many deletions run at once by default: as many partitions' worth of writes, at most.
const DEFAULT_AT_ONCE: u32 = 4;
/// How many may: as many as one request of the API claims at once.
const AT_ONCE: RangeInclusive<u32> = 1..=16;
const DAY: u64 = 24 * 60 * 60;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The options that say which campaigns, when they are not named.
#[derive(Args, Debug)]
pub(super) struct Selection {
    /// Delete the campaigns whose ids are in this file, one per line; `-` for standard input.
    /// Empty lines and lines that begin with `#` are skipped.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ids", "status"])]
    from: Option<PathBuf>,
    /// Delete the campaigns with this status that are older than --older-than, and only
    /// those that have not changed since they were listed.
    #[arg(
        long,
        value_name = "STATUS",
        value_parser = PossibleValuesParser::new(DELETABLE),
        conflicts_with = "ids",
        requires = "older_than"
    )]
    status: Option<String>,
    /// Days since the campaign's completion, or else its last change, as in `90d`.
    #[arg(long, value_name = "DAYS", value_parser = days, requires = "status")]
    older_than: Option<Duration>,
    /// Only campaigns of this account.
    #[arg(long, value_parser = account_id, requires = "status")]
    account: Option<String>,
    /// How many deletions run at once. --max-write-units-per-second bounds each of them.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_AT_ONCE, value_parser = number_in(AT_ONCE))]
    pub(super) at_once: u32,
}

/// A campaign that is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) id: CampaignId,
    /// The state in which it was listed, if it may be deleted in that state alone.
    pub(super) etag: Option<String>,
}

/// Parses a number of days, as in `90d`.
fn days(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('d').unwrap_or_default();
    let days = number.parse::<u32>().ok().filter(|days| *days > 0);
    let days = days.filter(|_| number.bytes().all(|b| b.is_ascii_digit()));
    let days = days.ok_or("must be a number of days of 1 or more, as in 90d")?;
    Ok(Duration::from_secs(u64::from(days) * DAY))
}

impl Selection {
    /// Returns whether the campaigns are not named in the command itself.
    pub(super) fn is_given(&self) -> bool {
        self.from.is_some() || self.status.is_some()
    }

    /// Returns the campaigns: these, or those that are selected. The second part is how many
    /// could not be read.
    pub(super) async fn targets(
        &self,
        ids: &[CampaignId],
        table: &Table,
    ) -> Result<(Vec<Target>, usize), CliError> {
        if let (Some(status), Some(age)) = (&self.status, self.older_than) {
            return self.listed(status, age, table).await;
        }
        let ids = match &self.from {
            None => ids.to_vec(),
            Some(path) => read(path)?,
        };
        let all = ids.len();
        let ids = once(ids);
        if ids.len() < all {
            let repeated = all - ids.len();
            print::remark(&format!(
                "campaigns: {repeated} repeated ids are taken once"
            ));
        }
        let targets = ids.into_iter().map(|id| Target { id, etag: None });
        Ok((targets.collect(), 0))
    }

    async fn listed(
        &self,
        status: &str,
        age: Duration,
        table: &Table,
    ) -> Result<(Vec<Target>, usize), CliError> {
        let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        let cutoff = now_seconds().saturating_sub(age);
        let (mut targets, mut left_out) = (Vec::new(), 0);
        let mut listing = table.campaigns_by_status(status);
        while let Some(page) = listing.next_page(patience()).await? {
            for listed in page {
                let since = epoch_seconds(listed.since());
                let campaign = listed.campaign;
                let is_other = |account: &String| campaign.account_id != *account;
                if self.account.as_ref().is_some_and(is_other) {
                    continue;
                }
                let Some(since) = since else {
                    left_out += 1;
                    let id = &campaign.id;
                    print::remark(&format!("campaigns: the age of campaign {id} is not known"));
                    continue;
                };
                if since < cutoff {
                    targets.push(Target {
                        etag: Some(campaign.etag().unwrap_or_default()),
                        id: campaign.id,
                    });
                }
            }
            for unreadable in listing.take_unreadable() {
                left_out += 1;
                print::remark(&format!("campaigns: {unreadable}"));
            }
        }
        Ok((targets, left_out))
    }
}

/// Reads the ids in a file, or on standard input.
fn read(path: &Path) -> Result<Vec<CampaignId>, CliError> {
    let (name, ids) = if path == Path::new("-") {
        let name = "standard input".to_owned();
        (name, parse(&mut std::io::stdin().lock()))
    } else {
        let name = path.display().to_string();
        let file = File::open(path).and_then(|file| parse(&mut BufReader::new(file)));
        (name, file)
    };
    let refused = |why: &str| Err(CliError::Refused(format!("{name} {why}")));
    match ids {
        Err(error) => refused(&format!("cannot be read: {error}")),
        Ok(Err(why)) => refused(&format!("{why}, so nothing is deleted")),
        Ok(Ok(ids)) if ids.is_empty() => refused("names no campaign"),
        Ok(Ok(ids)) => Ok(ids),
    }
}

/// Parses ids, one a line; says which lines are malformed if any is.
fn parse(file: &mut impl BufRead) -> std::io::Result<Result<Vec<CampaignId>, String>> {
    let (mut ids, mut malformed, mut named) = (Vec::new(), 0_usize, Vec::new());
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let mut start = file.by_ref().take(LONGEST_LINE);
        if start.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if start.limit() == 0 && !line.ends_with(b"\n") {
            file.skip_until(b'\n')?;
        }
        let text = match number {
            1 => line.strip_prefix(BOM).unwrap_or(&line),
            _ => &line,
        };
        let text = text.trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            continue;
        }
        match CampaignId::parse(&String::from_utf8_lossy(text)) {
            Ok(id) => ids.push(id),
            Err(why) => {
                malformed += 1;
                if named.len() < MOST_NAMED {
                    named.push(format!("line {number}: {why}"));
                }
            }
        }
    }
    if malformed == 0 {
        return Ok(Ok(ids));
    }
    let more = match malformed - named.len() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let named = named.join("; ");
    Ok(Err(format!("has malformed lines ({named}{more})")))
}

/// Returns each id once, at its first place.
fn once(ids: Vec<CampaignId>) -> Vec<CampaignId> {
    let mut sorted: Vec<(&CampaignId, usize)> = ids.iter().zip(0..).collect();
    sorted.sort_unstable();
    let mut is_repeated = vec![false; ids.len()];
    for pair in sorted.windows(2) {
        if let [(first, _), (second, at)] = pair
            && first == second
            && let Some(repeated) = is_repeated.get_mut(*at)
        {
            *repeated = true;
        }
    }
    let kept = ids.into_iter().zip(is_repeated);
    kept.filter(|(_, repeated)| !repeated)
        .map(|(id, _)| id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8]) -> Result<Vec<String>, String> {
        let ids = parse(&mut BufReader::with_capacity(7, text)).unwrap()?;
        Ok(once(ids).iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_file_may_have_what_editors_and_exports_put_there() {
        for text in [
            &b"a\nb"[..],
            b"a\nb\n",
            b"a\r\nb\r\n",
            b"\xef\xbb\xbfa\r\n\r\nb",
            b"\xef\xbb\xbf# of today\n\n  a  \n\t\nb\t\n#c\n # d\n",
            b"a\nb\na\nb\na",
        ] {
            assert_eq!(parsed(text).unwrap(), ["a", "b"], "{text:?}");
        }
        let comment = [b"# ", "x".repeat(100_000).as_bytes(), b"\na\nb"].concat();
        assert_eq!(parsed(&comment).unwrap(), ["a", "b"]);
        for text in [&b""[..], b"\n\r\n", b"# nothing\n"] {
            assert!(parsed(text).unwrap().is_empty());
        }
    }

    #[test]
    fn a_malformed_line_is_named_by_its_number() {
        let long = "a".repeat(5_000);
        for (text, named) in [
            ("a\n\nb c\nd".to_owned(), "line 3: "),
            ("a#1\r\n".to_owned(), "line 1: "),
            (format!("a\n{long}\nb"), "line 2: The campaign id is longer"),
            ("a\n\u{feff}b".to_owned(), "line 2: "),
            ("\u{e4}".to_owned(), "line 1: "),
        ] {
            let why = parsed(text.as_bytes()).unwrap_err();
            assert!(why.contains(named) && !why.contains(';'), "{why}");
        }
        let why = parsed(b"\xff\xfea\0\n\0").unwrap_err();
        assert!(
            why.contains("line 1: ") && why.contains("line 2: "),
            "{why}"
        );
        let why = parsed("a b\n".repeat(8).as_bytes()).unwrap_err();
        assert!(
            why.contains("line 5: ") && why.contains("; and 3 more"),
            "{why}"
        );
        assert!(!why.contains("line 6"), "{why}");
    }

    #[test]
    fn an_age_is_a_number_of_days() {
        assert_eq!(days("90d"), Ok(Duration::from_secs(90 * DAY)));
        for text in [
            "",
            "d",
            "90",
            "0d",
            "-1d",
            "+1d",
            "1.5d",
            "90days",
            "d90",
            "99999999999d",
        ] {
            assert!(days(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_file_is_read_or_refused(text in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            if let Ok(ids) = parsed(&text) {
                proptest::prop_assert!(ids.iter().all(|id| CampaignId::parse(id).is_ok()));
            }
        }
    }
}

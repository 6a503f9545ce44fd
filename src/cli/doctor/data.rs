//! What is in the table: campaigns, deletions, keys and records, and whether this service
//! can read them.

use super::{
    super::{
        connect::patience,
        status::{Running, running},
    },
    check::Check,
    service::Service,
};
use crate::{
    campaign::{DELETABLE, Status},
    clock::now_ms,
    config::DeletionSettings,
    record::Record,
    table::{
        Sampled, Table, TableError,
        keys::{STATUS_INDEX, UNFINISHED_INDEX},
    },
};

/// How many pages of 1 MB are scanned at most: the whole of a small table, and never more
/// than about 4,000 read units.
const PAGES: u32 = 32;
/// How many things are named in one check.
const NAMED: usize = 3;
/// How long a deletion may be stalled before its clean-up must have come: twice the
/// template's schedule, milliseconds.
const CLEANUP_OVERDUE_MS: i64 = 30 * 60 * 1_000;

const NAMES: [&str; 6] = [
    "campaigns",
    "running-deletions",
    "clean-up",
    "stored-campaigns",
    "stored-keys",
    "stored-records",
];

/// Checks what is in the table.
pub(super) async fn checks(service: &Service, settings: &DeletionSettings) -> Vec<Check> {
    // Without the right to describe the table, its items may be readable.
    let table = match (service.usable(), &service.description) {
        (Some(table), _) => table,
        (None, Err(why)) => return NAMES.map(|name| Check::unread(name, why)).into(),
        (None, Ok(_)) => return Vec::new(),
    };
    let mut checks = vec![campaigns(table).await];
    checks.extend(match running(table).await {
        Ok(running) => deletions(service, &running, settings),
        Err(error) => vec![
            denied("running-deletions", &error),
            Check::skipped("clean-up", error.to_string(), "Mend the check above first."),
        ],
    });
    checks.extend(sampled(table).await);
    checks
}

/// A check of what the functions read, too.
fn denied(name: &'static str, error: &TableError) -> Check {
    Check::failed(
        name,
        error.to_string(),
        format!(
            "Allow dynamodb:GetItem and dynamodb:Query on the table, and dynamodb:Query on \
             its index {STATUS_INDEX}: the functions need them, too."
        ),
    )
}

/// Returns the first few of many, and how many more there are.
fn some(all: &[String]) -> String {
    let mut named: Vec<_> = all.iter().take(NAMED).cloned().collect();
    if all.len() > NAMED {
        named.push(format!("and {} more", all.len() - NAMED));
    }
    named.join("; ")
}

/// Reads the first page of each status in the index.
async fn campaigns(table: &Table) -> Check {
    const NAME: &str = "campaigns";
    let mut count = 0;
    let mut unreadable = Vec::new();
    for status in [Status::ACTIVE, Status::DELETING]
        .into_iter()
        .chain(DELETABLE)
    {
        let mut listing = table.campaigns_by_status(status);
        match listing.next_page(patience()).await {
            Ok(page) => count += page.unwrap_or_default().len(),
            Err(error) => return denied(NAME, &error),
        }
        let entries = listing.take_unreadable();
        unreadable.extend(entries.iter().map(ToString::to_string));
    }
    if unreadable.is_empty() {
        return Check::ok(NAME, format!("{count} in the index, all readable"));
    }
    Check::failed(
        NAME,
        some(&unreadable),
        "Only campaign items may have campaignStatus and updatedAt, and each needs an accountId \
         (docs/table.md); the clean-up skips these as `corrupt`.",
    )
}

fn deletions(service: &Service, running: &Running, settings: &DeletionSettings) -> Vec<Check> {
    const NAME: &str = "running-deletions";
    let now = now_ms();
    let lease_ms = i64::try_from(settings.lease.as_millis()).unwrap_or(i64::MAX);
    let stalled: Vec<_> = running
        .records
        .iter()
        .filter(|record| record.is_stalled(settings.lease, now))
        .collect();
    let ids = stalled.iter().map(|record| record.deletion_id.clone());
    let ids: Vec<_> = ids.collect();
    let check = if !running.has_index && service.has_index(UNFINISHED_INDEX) {
        Check::failed(
            NAME,
            format!("the index {UNFINISHED_INDEX} cannot be read"),
            format!(
                "Allow dynamodb:Query on the index {UNFINISHED_INDEX} of the table: the clean-up \
                 needs it, too."
            ),
        )
    } else if !running.unreadable.is_empty() {
        Check::failed(
            NAME,
            some(&running.unreadable),
            "Deploy the version that has written these records, or restore their attributes.",
        )
    } else if !stalled.is_empty() {
        Check::warning(
            NAME,
            format!("{} stalled: {}", stalled.len(), some(&ids)),
            "Resume them, and read the logs of drain and of the state machine:\n\
             campaigns cleanup --mode enforce",
        )
    } else if let [first, ..] = &running.unclaimed[..] {
        Check::warning(
            NAME,
            format!(
                "{} campaigns have status `deleting` but no deletion, for example {first}",
                running.unclaimed.len()
            ),
            "A writer without a fence has set it (docs/table.md). Send DELETE again.",
        )
    } else {
        Check::ok(NAME, format!("{}, none stalled", running.records.len()))
    };
    vec![check, cleanup(&stalled, lease_ms)]
}

/// Clean-up resumes what is stalled, so nothing stays so for long where it runs.
fn cleanup(stalled: &[&Record], lease_ms: i64) -> Check {
    const NAME: &str = "clean-up";
    let overdue_ms = now_ms() - CLEANUP_OVERDUE_MS - 2 * lease_ms;
    let overdue: Vec<_> = stalled
        .iter()
        .filter(|record| record.lease_until_ms < overdue_ms)
        .map(|record| record.deletion_id.clone())
        .collect();
    if overdue.is_empty() {
        return Check::ok(NAME, "nothing has waited for it for more than 30 minutes");
    }
    Check::failed(
        NAME,
        format!("stalled for more than 30 minutes: {}", some(&overdue)),
        "The clean-up does not run, or fails. Look at its rule (the output CleanupRuleName) and \
         its log:\n\
         aws events describe-rule --name RULE",
    )
}

/// Reads stored items by a bounded scan.
async fn sampled(table: &Table) -> Vec<Check> {
    let names = ["stored-campaigns", "stored-keys", "stored-records"];
    let sample = match table.sample(PAGES, patience()).await {
        Ok(sample) => sample,
        Err(error) => {
            let remedy = "Allow dynamodb:Scan to see them; no function needs it.";
            let skipped = names.map(|name| Check::skipped(name, error.to_string(), remedy));
            return skipped.into();
        }
    };
    let extent = if sample.is_whole {
        format!("of all {} items", sample.items)
    } else {
        format!("of the first {} items ({PAGES} MB)", sample.items)
    };
    let remedies = [
        "A DELETE of such a campaign is answered with 500. Restore the attribute \
         (docs/table.md).",
        "Such a key is refused with 401. Issue another one, and revoke it:\n\
         campaigns key revoke KEY_ID",
        "Deploy the version that has written these records, or restore their attributes.",
    ];
    let kinds = [&sample.campaigns, &sample.api_keys, &sample.records];
    let found = names.into_iter().zip(kinds).zip(remedies);
    let checks = found.map(|((name, kind), remedy)| of_kind(name, kind, &extent, remedy));
    checks.collect()
}

fn of_kind(name: &'static str, kind: &Sampled, extent: &str, remedy: &str) -> Check {
    if kind.unreadable.is_empty() {
        return Check::ok(name, format!("{} {extent}, all readable", kind.count));
    }
    let unreadable = kind.unreadable.len();
    let seen = format!(
        "{unreadable} {extent} cannot be read: {}",
        some(&kind.unreadable)
    );
    Check::failed(name, seen, remedy)
}

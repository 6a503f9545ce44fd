//! The table's settings: keys, indexes, throughput, expiry, recovery, protection, and what
//! else deletes cost or copy.

mod indexes;

use std::num::NonZeroU32;

use aws_sdk_dynamodb::types::{
    BillingMode, GlobalSecondaryIndexWarmThroughputDescription, MultiRegionConsistency,
    OnDemandThroughput, PointInTimeRecoveryDescription, PointInTimeRecoveryStatus,
    ProvisionedThroughputDescription, StreamViewType, TableDescription,
    TableWarmThroughputDescription, TimeToLiveDescription, TimeToLiveStatus,
};

use self::indexes::{keys, local_indexes, other_indexes, status_index, unfinished_index};
use super::{super::connect::patience, check::Check, service::Service};
use crate::table::{Table, Unread, keys::TIME_TO_LIVE};

/// What one partition takes, write units a second ("Best practices for designing and using
/// partition keys effectively", DynamoDB developer guide). A deletion without a pace takes
/// as much.
const PARTITION_WRITE_UNITS: i64 = 1_000;

/// The names of the checks of the description, in their order.
const NAMES: [&str; 12] = [
    "keys",
    "status-index",
    "unfinished-index",
    "billing",
    "write-throughput",
    "deletion-protection",
    "encryption",
    "local-indexes",
    "other-indexes",
    "stream",
    "replicas",
    "time-to-live",
];

/// Checks the table's settings; deletions consume `pace` write units per second.
pub(super) async fn checks(service: &Service, pace: Option<NonZeroU32>) -> Vec<Check> {
    let (table, description) = match service.described(&NAMES) {
        Ok(described) => described,
        Err(mut skipped) => {
            skipped.extend(match &service.description {
                Err(why) => vec![Check::unread("point-in-time-recovery", why)],
                Ok(_) => Vec::new(),
            });
            return skipped;
        }
    };
    let pace = pace.map_or(PARTITION_WRITE_UNITS, |pace| i64::from(pace.get()));
    vec![
        keys(description),
        status_index(description),
        unfinished_index(description),
        billing(description, pace),
        write_throughput(description, pace),
        deletion_protection(table, description),
        encryption(description),
        local_indexes(description),
        other_indexes(description),
        stream(description),
        replicas(table, description),
        time_to_live(table, table.time_to_live(patience()).await),
        recovery(table, table.recovery(patience()).await),
    ]
}

fn is_on_demand(description: &TableDescription) -> bool {
    let mode = description
        .billing_mode_summary()
        .and_then(|billing| billing.billing_mode());
    mode == Some(&BillingMode::PayPerRequest)
}

fn billing(description: &TableDescription, pace: i64) -> Check {
    const NAME: &str = "billing";
    if is_on_demand(description) {
        return Check::ok(NAME, "on demand");
    }
    let units = description
        .provisioned_throughput()
        .and_then(ProvisionedThroughputDescription::write_capacity_units)
        .unwrap_or(0);
    let seen = format!("provisioned: {units} write units a second");
    if units >= pace {
        return Check::ok(NAME, seen);
    }
    Check::warning(
        NAME,
        format!("{seen}; a deletion takes up to {pace}"),
        "Switch the table to on-demand mode, or bound deletions by MAX_WRITE_UNITS_PER_SECOND: \
         otherwise they throttle the table's other writers.",
    )
}

/// Limits below what a deletion consumes, of the table and of its indexes.
fn write_throughput(description: &TableDescription, pace: i64) -> Check {
    const NAME: &str = "write-throughput";
    let mut low = Vec::new();
    let mut note = |what: String, units: Option<i64>| {
        // -1 stands for no maximum.
        if let Some(units) = units.filter(|units| (0..pace).contains(units)) {
            low.push(format!("{what} is {units}"));
        }
    };
    let table = description.on_demand_throughput();
    let table = table.and_then(OnDemandThroughput::max_write_request_units);
    note("the table's on-demand maximum".to_owned(), table);
    let warm = description.warm_throughput();
    let warm = warm.and_then(TableWarmThroughputDescription::write_units_per_second);
    note("the table's warm throughput".to_owned(), warm);
    for index in description.global_secondary_indexes() {
        let name = index.index_name().unwrap_or_default();
        let most = index.on_demand_throughput();
        let most = most.and_then(OnDemandThroughput::max_write_request_units);
        note(format!("the on-demand maximum of index {name}"), most);
        let warm = index.warm_throughput();
        let warm =
            warm.and_then(GlobalSecondaryIndexWarmThroughputDescription::write_units_per_second);
        note(format!("the warm throughput of index {name}"), warm);
    }
    if low.is_empty() {
        return Check::ok(NAME, format!("nothing below {pace} write units a second"));
    }
    Check::warning(
        NAME,
        format!(
            "{}; a deletion takes up to {pace} write units a second",
            low.join(", ")
        ),
        "Raise it, or bound deletions by MAX_WRITE_UNITS_PER_SECOND.",
    )
}

fn deletion_protection(table: &Table, description: &TableDescription) -> Check {
    const NAME: &str = "deletion-protection";
    if description.deletion_protection_enabled() == Some(true) {
        return Check::ok(NAME, "on");
    }
    let remedy = format!(
        "Protect the table itself from being deleted:\n\
         aws dynamodb update-table --table-name {} --deletion-protection-enabled",
        table.name()
    );
    Check::warning(NAME, "off", remedy)
}

fn encryption(description: &TableDescription) -> Check {
    const NAME: &str = "encryption";
    let Some(encryption) = description.sse_description() else {
        return Check::ok(NAME, "with a key that DynamoDB owns");
    };
    let key = encryption.kms_master_key_arn().unwrap_or("a KMS key");
    // The seven days: API reference, `TableDescription`, `TableStatus`.
    if let Some(since) = encryption.inaccessible_encryption_date_time() {
        return Check::failed(
            NAME,
            format!("{key} cannot be used since {since}"),
            "Enable the key again, and let the functions' roles use it (TableKeyArn of the \
             template): when it was inaccessible for more than seven days, DynamoDB archives the \
             table.",
        );
    }
    Check::ok(NAME, format!("with {key}"))
}

fn stream(description: &TableDescription) -> Check {
    const NAME: &str = "stream";
    let specification = description.stream_specification();
    let view = specification
        .filter(|stream| stream.stream_enabled())
        .map(|stream| stream.stream_view_type());
    let Some(view) = view else {
        return Check::ok(NAME, "none");
    };
    let view = view.map_or("of an unknown view", StreamViewType::as_str);
    // The 24 hours: developer guide, "DynamoDB encryption at rest usage notes".
    if view.contains("OLD_IMAGE") || view.contains("OLD_AND") || view.contains("AND_OLD") {
        return Check::warning(
            NAME,
            format!("on, {view}: every deleted item stays readable for 24 hours"),
            "Name its readers where you promise deletion, or use KEYS_ONLY or NEW_IMAGE.",
        );
    }
    Check::ok(NAME, format!("on, {view}, without what was deleted"))
}

fn replicas(table: &Table, description: &TableDescription) -> Check {
    const NAME: &str = "replicas";
    let own = table.region();
    let replicas = description.replicas().iter();
    let others: Vec<_> = replicas
        .filter_map(|replica| replica.region_name())
        .filter(|region| *region != own)
        .collect();
    if others.is_empty() {
        return Check::ok(NAME, "none");
    }
    let others = others.join(", ");
    if description.multi_region_consistency() == Some(&MultiRegionConsistency::Strong) {
        return Check::warning(
            NAME,
            format!("also in {others}, strongly consistent"),
            "Try it with --live: a claim is a transaction, which such tables may refuse.",
        );
    }
    Check::failed(
        NAME,
        format!("also in {others}, eventually consistent"),
        "Conditions and consistent reads hold within one Region only. Write in one Region, and \
         deny writes in the others; or remove the replicas.",
    )
}

fn time_to_live(table: &Table, expiry: Result<TimeToLiveDescription, Unread>) -> Check {
    const NAME: &str = "time-to-live";
    let remedy = format!(
        "Enable it, unless items of yours use {TIME_TO_LIVE} for something else: expired \
         idempotency keys and records stay otherwise.\n\
         aws dynamodb update-time-to-live --table-name {} \
         --time-to-live-specification AttributeName={TIME_TO_LIVE},Enabled=true",
        table.name()
    );
    let expiry = match expiry {
        Ok(expiry) => expiry,
        Err(why) => return Check::unread(NAME, &why),
    };
    let is_on = matches!(
        expiry.time_to_live_status(),
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
    );
    match expiry.attribute_name().filter(|_| is_on) {
        Some(TIME_TO_LIVE) => Check::ok(NAME, format!("on, by {TIME_TO_LIVE}")),
        Some(other) => Check::failed(NAME, format!("on, but by {other}"), remedy),
        None => Check::failed(NAME, "off", remedy),
    }
}

fn recovery(table: &Table, recovery: Result<PointInTimeRecoveryDescription, Unread>) -> Check {
    const NAME: &str = "point-in-time-recovery";
    let recovery = match recovery {
        Ok(recovery) => recovery,
        Err(why) => return Check::unread(NAME, &why),
    };
    if recovery.point_in_time_recovery_status() == Some(&PointInTimeRecoveryStatus::Enabled) {
        // What it is unless it was set: API reference, `PointInTimeRecoverySpecification`.
        let days = recovery.recovery_period_in_days().unwrap_or(35);
        return Check::ok(
            NAME,
            format!("on: what is deleted can be restored for {days} days"),
        );
    }
    let remedy = format!(
        "Without it, nothing that was deleted by mistake can be restored:\n\
         aws dynamodb update-continuous-backups --table-name {} \
         --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
        table.name()
    );
    Check::warning(NAME, "off", remedy)
}

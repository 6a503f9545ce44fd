//! The table's settings.

use aws_sdk_dynamodb::{
    operation::create_table::builders::CreateTableFluentBuilder,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
        Projection, ProjectionType, ScalarAttributeType,
    },
};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::{Report, healthy, report};
use crate::harness::{
    World,
    proxy::{Action, error},
};

/// A table of this name whose sort key has this type, and whose index projects this.
fn creation(
    world: &World,
    name: &str,
    sort_key: ScalarAttributeType,
    projected: &[&str],
) -> CreateTableFluentBuilder {
    let key = |name: &str, kind| {
        let element = KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind);
        element.build().unwrap()
    };
    let projection = Projection::builder()
        .projection_type(ProjectionType::Include)
        .set_non_key_attributes(Some(projected.iter().map(ToString::to_string).collect()));
    let index = GlobalSecondaryIndex::builder()
        .index_name("CampaignsByStatus")
        .key_schema(key("campaignStatus", KeyType::Hash))
        .key_schema(key("updatedAt", KeyType::Range))
        .projection(projection.build());
    let mut creation = world
        .table
        .client()
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key("PK", KeyType::Hash))
        .key_schema(key("SK", KeyType::Range))
        .global_secondary_indexes(index.build().unwrap());
    for (attribute, kind) in [
        ("PK", ScalarAttributeType::S),
        ("SK", sort_key),
        ("campaignStatus", ScalarAttributeType::S),
        ("updatedAt", ScalarAttributeType::S),
    ] {
        let definition = AttributeDefinition::builder()
            .attribute_name(attribute)
            .attribute_type(kind);
        creation = creation.attribute_definitions(definition.build().unwrap());
    }
    creation
}

async fn report_on(world: &World, name: &str) -> Report {
    let url = world.proxy.url();
    Report::of(&["--table-name", name, "--endpoint-url", &url]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_like_the_templates_has_no_fault() {
    let world = healthy().await;
    world.put_campaign("campaign_1", &[]).await;
    let before = world.dump().await;
    let report = report(&world, &[]).await;
    report.assert_healthy();
    for name in [
        "region",
        "endpoint",
        "clock",
        "table",
        "keys",
        "status-index",
        "unfinished-index",
        "billing",
        "write-throughput",
        "encryption",
        "local-indexes",
        "other-indexes",
        "stream",
        "replicas",
        "time-to-live",
        "campaigns",
        "running-deletions",
        "clean-up",
        "stored-campaigns",
        "stored-keys",
        "stored-records",
    ] {
        report.assert(name, "ok", "");
    }
    assert_eq!(world.dump().await, before);
    // Neither engine writes without being asked to.
    for exchange in world.proxy.exchanges() {
        let is_read = ["Describe", "Get", "Query", "Scan"];
        let operation = &exchange.operation;
        assert!(
            is_read.iter().any(|read| operation.starts_with(read)),
            "{operation}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_key_types_and_projections_are_found() {
    let world = World::new().await;
    let all = [
        "accountId",
        "name",
        "completedAt",
        "deletionId",
        "deletionProtection",
    ];
    let typed = format!("{}-typed", world.table.name());
    let creation_of =
        |name: &str, kind, projected: &[&str]| creation(&world, name, kind, projected);
    creation_of(&typed, ScalarAttributeType::N, &all)
        .send()
        .await
        .unwrap();
    let report = report_on(&world, &typed).await;
    report.assert(
        "keys",
        "failed",
        "PK (S) and SK (N); needed: PK (S) and SK (S)",
    );
    report.assert("status-index", "ok", "");
    report.assert(
        "unfinished-index",
        "warning",
        "there is no index Unfinished",
    );

    let narrow = format!("{}-narrow", world.table.name());
    let projected = ["accountId", "name", "completedAt", "deletionId"];
    creation_of(&narrow, ScalarAttributeType::S, &projected)
        .send()
        .await
        .unwrap();
    let report = report_on(&world, &narrow).await;
    report.assert("keys", "ok", "");
    report.assert("status-index", "failed", "missing: deletionProtection");
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_do_not_expire_are_found() {
    let world = World::new().await;
    report(&world, &[])
        .await
        .assert("time-to-live", "failed", "off");
    let other = json!({"TimeToLiveDescription": {
        "TimeToLiveStatus": "ENABLED", "AttributeName": "expires",
    }});
    world.proxy.policy(move |call| match call.operation {
        "DescribeTimeToLive" => Action::Answer(StatusCode::OK, other.clone()),
        _ => Action::Pass,
    });
    report(&world, &[])
        .await
        .assert("time-to-live", "failed", "by expires");
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_says_for_how_many_days() {
    let world = healthy().await;
    for (description, status, seen) in [
        (
            json!({"PointInTimeRecoveryStatus": "DISABLED"}),
            "warning",
            "off",
        ),
        (
            json!({"PointInTimeRecoveryStatus": "ENABLED", "RecoveryPeriodInDays": 7}),
            "ok",
            "for 7 days",
        ),
    ] {
        world.proxy.policy(move |call| match call.operation {
            "DescribeContinuousBackups" => Action::Answer(
                StatusCode::OK,
                json!({"ContinuousBackupsDescription": {
                    "ContinuousBackupsStatus": "ENABLED",
                    "PointInTimeRecoveryDescription": description,
                }}),
            ),
            _ => Action::Pass,
        });
        let report = report(&world, &[]).await;
        report.assert("point-in-time-recovery", status, seen);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_named_and_fails_where_it_is_needed() {
    let world = healthy().await;
    let denied = |operation: &'static str| {
        world.proxy.policy(move |call| {
            if call.operation == operation {
                error(StatusCode::BAD_REQUEST, "AccessDeniedException")
            } else {
                Action::Pass
            }
        });
    };
    denied("Query");
    let functions = report(&world, &[]).await;
    functions.assert("campaigns", "failed", "AccessDeniedException");
    functions.assert("running-deletions", "failed", "AccessDeniedException");
    let remedy = functions.check("campaigns")["remedy"].as_str().unwrap();
    assert!(
        remedy.contains("dynamodb:Query on its index CampaignsByStatus"),
        "{remedy}"
    );
    world.proxy.policy(|call| {
        if call.body["IndexName"] == "Unfinished" {
            return error(StatusCode::BAD_REQUEST, "AccessDeniedException");
        }
        Action::Pass
    });
    let cleanup = report(&world, &[]).await;
    cleanup.assert(
        "running-deletions",
        "failed",
        "the index Unfinished cannot be read",
    );
    for (operation, check) in [
        ("DescribeTable", "table"),
        ("DescribeTable", "keys"),
        ("DescribeTimeToLive", "time-to-live"),
        ("DescribeContinuousBackups", "point-in-time-recovery"),
        ("Scan", "stored-keys"),
    ] {
        denied(operation);
        let report = report(&world, &[]).await;
        report.assert(check, "skipped", "");
        let check = report.check(check).to_string();
        assert!(check.contains(&format!("dynamodb:{operation}")), "{check}");
        report.assert("campaigns", "ok", "");
    }
}

/// The description that the engine gives.
async fn description(world: &World) -> Value {
    let table = world.proxied_table().await;
    let described = table.client().describe_table().table_name(table.name());
    described.send().await.unwrap();
    let exchanges = world.proxy.exchanges();
    let exchange = exchanges
        .iter()
        .rfind(|exchange| exchange.operation == "DescribeTable");
    serde_json::from_slice(&exchange.unwrap().answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_description_shows_is_judged() {
    let world = healthy().await;
    let described = description(&world).await;
    let replica = json!([{"RegionName": "us-east-1"}, {"RegionName": "eu-west-1"}]);
    let key = "arn:aws:kms:us-east-1:123456789012:key/1";
    let faults = [
        (
            "LocalSecondaryIndexes",
            json!([index("ByName")]),
            "local-indexes",
            "warning",
            "ByName",
        ),
        (
            "OnDemandThroughput",
            json!({"MaxWriteRequestUnits": 500, "MaxReadRequestUnits": -1}),
            "write-throughput",
            "warning",
            "the table's on-demand maximum is 500",
        ),
        (
            "WarmThroughput",
            json!({"WriteUnitsPerSecond": 700, "ReadUnitsPerSecond": 1000, "Status": "ACTIVE"}),
            "write-throughput",
            "warning",
            "the table's warm throughput is 700",
        ),
        (
            "StreamSpecification",
            json!({"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"}),
            "stream",
            "warning",
            "stays readable for 24 hours",
        ),
        (
            "StreamSpecification",
            json!({"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"}),
            "stream",
            "ok",
            "KEYS_ONLY",
        ),
        (
            "Replicas",
            replica,
            "replicas",
            "failed",
            "eu-west-1, eventually consistent",
        ),
        (
            "DeletionProtectionEnabled",
            json!(true),
            "deletion-protection",
            "ok",
            "on",
        ),
        (
            "DeletionProtectionEnabled",
            json!(false),
            "deletion-protection",
            "warning",
            "off",
        ),
        (
            "BillingModeSummary",
            json!({"BillingMode": "PROVISIONED"}),
            "billing",
            "warning",
            "provisioned: 0 write units",
        ),
        (
            "SSEDescription",
            json!({"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": key,
                "InaccessibleEncryptionDateTime": 1_700_000_000.0}),
            "encryption",
            "failed",
            "cannot be used since 2023-11-14T22:13:20Z",
        ),
        (
            "TableStatus",
            json!("INACCESSIBLE_ENCRYPTION_CREDENTIALS"),
            "table",
            "failed",
            "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
        ),
    ];
    for (member, value, check, status, seen) in faults {
        let mut changed = described.clone();
        changed["Table"][member] = value;
        judged(&world, changed, check, status, seen).await;
    }
}

/// Pasted without it, the command would change a table of that name at AWS.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_for_the_table_names_its_endpoint() {
    let world = healthy().await;
    let mut changed = description(&world).await;
    changed["Table"]["DeletionProtectionEnabled"] = json!(false);
    world.proxy.policy(move |call| match call.operation {
        "DescribeTable" => Action::Answer(StatusCode::OK, changed.clone()),
        _ => Action::Pass,
    });
    let report = report(&world, &[]).await;
    let remedy = report.check("deletion-protection")["remedy"].to_string();
    let endpoint = format!(" --endpoint-url {}", world.proxy.url());
    assert_eq!(remedy.matches(&endpoint).count(), 1, "{remedy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_indexes_and_consistent_replicas_are_warnings() {
    let world = healthy().await;
    let mut strong = description(&world).await;
    let mut other = strong.clone();
    strong["Table"]["Replicas"] = json!([{"RegionName": "eu-west-1"}]);
    strong["Table"]["MultiRegionConsistency"] = json!("STRONG");
    judged(&world, strong, "replicas", "warning", "strongly consistent").await;
    let indexes = other["Table"]["GlobalSecondaryIndexes"].as_array_mut();
    indexes.unwrap().push(index("ByText"));
    judged(&world, other, "other-indexes", "warning", "ByText").await;
}

/// An index of this name.
fn index(name: &str) -> Value {
    json!({"IndexName": name, "IndexStatus": "ACTIVE",
        "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"}})
}

async fn judged(world: &World, changed: Value, check: &str, status: &str, seen: &str) {
    world.proxy.policy(move |call| match call.operation {
        "DescribeTable" => Action::Answer(StatusCode::OK, changed.clone()),
        _ => Action::Pass,
    });
    report(world, &[]).await.assert(check, status, seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pace_below_the_throughput_needs_no_warning() {
    let world = healthy().await;
    let mut changed = description(&world).await;
    changed["Table"]["OnDemandThroughput"] = json!({"MaxWriteRequestUnits": 500});
    world.proxy.policy(move |call| match call.operation {
        "DescribeTable" => Action::Answer(StatusCode::OK, changed.clone()),
        _ => Action::Pass,
    });
    for (pace, status) in [("400", "ok"), ("600", "warning")] {
        let report = report(&world, &["--max-write-units-per-second", pace]).await;
        report.assert("write-throughput", status, "");
    }
}

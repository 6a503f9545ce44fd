//! The template, held to the code: what it sets, allows and routes is what the code reads,
//! calls and answers.

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use campaigns::config::{ApiSettings, CleanupSettings, ConfigError, DrainSettings};
use serde_json::{Map, Value, json};

use crate::{
    harness::bus::{BUS, error},
    harness::function::{Answer, Binary, Function},
    harness::proxy::Exchange,
    harness::step_functions::{ARN, Start, StepFunctions, end_lease},
    harness::{ACCOUNT, World, delete_event, event, s},
};

const TEMPLATE: &str = include_str!("../../../template.yaml");
const LOCAL: &str = include_str!("../../../events/env.json");
const DEPLOYING: &str = include_str!("../../../docs/deploying.md");

/// Variables that are read by others than this code's settings.
const OTHERS: [&str; 5] = [
    "RUST_LOG",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_EVENTBRIDGE",
    "AWS_ENDPOINT_URL_KMS",
];

/// The template as JSON; a short form as `{"!Ref": …}`.
pub(super) fn template() -> Value {
    fn plain(yaml: yaml_serde::Value) -> Value {
        use yaml_serde::Value as Yaml;
        match yaml {
            Yaml::Null => Value::Null,
            Yaml::Bool(bool) => bool.into(),
            Yaml::Number(number) => serde_json::to_value(number).unwrap(),
            Yaml::String(text) => text.into(),
            Yaml::Sequence(items) => items.into_iter().map(plain).collect(),
            Yaml::Mapping(map) => map
                .into_iter()
                .map(|(name, value)| (name.as_str().unwrap().to_owned(), plain(value)))
                .collect::<Map<_, _>>()
                .into(),
            Yaml::Tagged(tagged) => json!({tagged.tag.to_string(): plain(tagged.value)}),
        }
    }
    plain(yaml_serde::from_str(TEMPLATE).unwrap())
}

fn function(name: &str) -> Value {
    template()["Resources"][name]["Properties"].clone()
}

fn variables(name: &str) -> Map<String, Value> {
    let variables = function(name)["Environment"]["Variables"].clone();
    variables.as_object().unwrap().clone()
}

/// What a variable is set to in a stack with no parameter given.
fn by_default(value: &Value) -> String {
    let template = template();
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if let Some([condition, yes, no]) = value["!If"].as_array().map(Vec::as_slice) {
        // Of the conditions of variables, this one alone holds by default.
        return by_default(if condition == "MakesTable" { yes } else { no });
    }
    match value["!Ref"].as_str() {
        Some("DeletionStateMachine") => ARN.to_owned(),
        Some("Table") => "campaigns".to_owned(),
        Some(parameter) => text(&template["Parameters"][parameter]["Default"]),
        None => text(value),
    }
}

type Read = fn(&dyn Fn(&str) -> Option<String>) -> Result<(), ConfigError>;

/// The functions, and how each reads its settings.
const FUNCTIONS: [(&str, Read); 3] = [
    ("ApiFunction", |lookup| ApiSettings::read(lookup).map(drop)),
    ("DrainFunction", |lookup| {
        DrainSettings::read(lookup).map(drop)
    }),
    ("CleanupFunction", |lookup| {
        CleanupSettings::read(lookup).map(drop)
    }),
];

#[test]
fn every_variable_is_read_and_set_or_has_a_default() {
    for (name, read) in FUNCTIONS {
        let set = variables(name);
        let seen = RefCell::new(BTreeSet::new());
        let lookup = |variable: &str| {
            seen.borrow_mut().insert(variable.to_owned());
            set.get(variable).map(by_default)
        };
        // With what the template sets by default, each function starts.
        read(&lookup).unwrap();
        let seen = seen.into_inner();
        for variable in set.keys().filter(|set| !OTHERS.contains(&set.as_str())) {
            assert!(seen.contains(variable), "{name} does not read {variable}");
        }
        for variable in seen.iter().map(String::as_str).chain(OTHERS) {
            let row = format!("| `{variable}` |");
            let said = DEPLOYING.contains(&row) || DEPLOYING.contains(&format!("(`{variable}`)"));
            assert!(said, "docs/deploying.md does not describe {variable}");
        }
    }
}

#[test]
fn a_function_starts_with_the_ends_of_every_range() {
    let template = template();
    for (name, read) in FUNCTIONS {
        let set = variables(name);
        let mut bounds = 0;
        for (variable, value) in &set {
            let parameter = value["!Ref"].as_str().unwrap_or_default();
            let said = template["Parameters"][parameter]["ConstraintDescription"].as_str();
            let range = said.and_then(|said| said.strip_prefix("a whole number from "));
            let Some((least, most)) = range.and_then(|range| range.split_once(" to ")) else {
                continue;
            };
            for bound in [least, most] {
                let lookup = |asked: &str| match set.get(asked) {
                    Some(_) if asked == variable => Some(bound.to_owned()),
                    other => other.map(by_default),
                };
                read(&lookup).unwrap();
                bounds += 1;
            }
        }
        assert!(bounds >= 8, "{name}: {bounds}");
    }
}

#[test]
fn every_variable_for_sam_local_is_declared_in_the_template() {
    let local: Value = serde_json::from_str(LOCAL).unwrap();
    for (function, set) in local.as_object().unwrap() {
        for variable in set.as_object().unwrap().keys() {
            // `sam local` drops a variable that is not, without a word, and the
            // function would talk to AWS.
            assert!(variables(function).contains_key(variable), "{variable}");
        }
    }
}

#[test]
fn every_parameter_is_used_and_says_what_it_is() {
    let template = template();
    for (name, parameter) in template["Parameters"].as_object().unwrap() {
        assert!(parameter["Description"].is_string(), "{name}");
        let is_used = TEMPLATE.contains(&format!("!Ref {name}"))
            || TEMPLATE.contains(&format!("${{{name}}}"));
        assert!(is_used, "{name}");
    }
}

#[test]
fn the_code_has_the_routes_of_the_template() {
    let events = function("ApiFunction")["Events"].clone();
    let routes = events.as_object().unwrap().values().filter_map(|event| {
        let properties = &event["Properties"];
        let path = properties["Path"].as_str()?;
        Some(format!("{} {path}", properties["Method"].as_str().unwrap()))
    });
    let known = campaigns::http::PATHS.map(|path| format!("{} {path}", path.method));
    assert_eq!(routes.collect::<BTreeSet<_>>(), BTreeSet::from(known));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_the_template_is_the_one_that_the_code_makes() {
    let world = World::new().await;
    let described = world.table.client().describe_table();
    let described = described
        .table_name(world.table.name())
        .send()
        .await
        .unwrap();
    let made = described.table.unwrap();
    let properties = template()["Resources"]["Table"]["Properties"].clone();
    let schema = |keys: &[aws_sdk_dynamodb::types::KeySchemaElement]| -> Value {
        let keys = keys.iter().map(
            |key| json!({"AttributeName": key.attribute_name, "KeyType": key.key_type.as_str()}),
        );
        keys.collect()
    };
    assert_eq!(properties["KeySchema"], schema(made.key_schema()));
    let sorted = |mut attributes: Vec<Value>| {
        attributes.sort_by_key(ToString::to_string);
        attributes
    };
    let attributes = made.attribute_definitions().iter().map(|attribute| {
        json!({"AttributeName": attribute.attribute_name, "AttributeType": attribute.attribute_type.as_str()})
    });
    let template_attributes = properties["AttributeDefinitions"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(sorted(template_attributes), sorted(attributes.collect()));
    let of_template = properties["GlobalSecondaryIndexes"].as_array().unwrap();
    assert_eq!(of_template.len(), made.global_secondary_indexes().len());
    for index in made.global_secondary_indexes() {
        let name = index.index_name.as_deref().unwrap();
        let of_template = of_template
            .iter()
            .find(|of_template| of_template["IndexName"] == name)
            .unwrap();
        assert_eq!(of_template["KeySchema"], schema(index.key_schema()));
        let projection = index.projection.as_ref().unwrap();
        assert_eq!(
            of_template["Projection"]["ProjectionType"],
            projection.projection_type.as_ref().unwrap().as_str()
        );
        let projected: BTreeSet<_> = projection
            .non_key_attributes()
            .iter()
            .map(String::as_str)
            .collect();
        let names = of_template["Projection"]["NonKeyAttributes"].as_array();
        let names = names.into_iter().flatten();
        let names: BTreeSet<_> = names.map(|name| name.as_str().unwrap()).collect();
        assert_eq!(names, projected);
    }
    assert_eq!(
        properties["TimeToLiveSpecification"]["AttributeName"],
        "ttlAt"
    );
    assert_eq!(properties["DeletionProtectionEnabled"], true);
}

/// What IAM checks for a request: an action on the table, or on the index. A
/// transaction is checked as the writes in it.
fn checked(exchange: &Exchange) -> Vec<(String, bool)> {
    let body = &exchange.body;
    if exchange.operation != "TransactWriteItems" {
        let on_index = body["IndexName"].is_string();
        return vec![(format!("dynamodb:{}", exchange.operation), on_index)];
    }
    let items = body["TransactItems"].as_array().unwrap().iter();
    let writes = items.flat_map(|item| item.as_object().unwrap().keys());
    writes
        .map(|write| match write.as_str() {
            "ConditionCheck" => "dynamodb:ConditionCheckItem".to_owned(),
            write => format!("dynamodb:{write}Item"),
        })
        .map(|action| (action, false))
        .collect()
}

/// What the role of a function allows: actions on the table, or on the index. What Lambda
/// itself does with the role (logs, traces, failed events), DynamoDB with the table's key, and
/// what goes to S3 and EventBridge is checked on the translated template. `keeps_events` says
/// whether what events need of the table counts.
fn allowed(name: &str, keeps_events: bool) -> BTreeSet<(String, bool)> {
    assert_eq!(function(name)["Role"]["!GetAtt"], format!("{name}Role.Arn"));
    let role = function(&format!("{name}Role"));
    let statements = role["Policies"][0]["PolicyDocument"]["Statement"].clone();
    let statements = statements.as_array().unwrap().clone();
    let mut allowed = BTreeSet::new();
    for statement in statements {
        // One that a condition can take away.
        let statement = match statement.get("!If") {
            Some(chosen) => chosen[1].clone(),
            None => statement,
        };
        let sid = statement["Sid"].as_str().unwrap();
        let elsewhere = [
            "Archive",
            "PublishKeys",
            "SendEvents",
            "SignReceipts",
            "UseTableKey",
            "WriteLogs",
            "WriteTraces",
            "ReportFailures",
        ];
        if elsewhere.contains(&sid) || (sid == "KeepEvents" && !keeps_events) {
            continue;
        }
        assert_eq!(statement["Effect"], "Allow");
        let resource = statement["Resource"].to_string();
        assert!(!resource.contains('*'), "{resource}");
        let actions = match &statement["Action"] {
            Value::String(action) => vec![action.clone()],
            actions => serde_json::from_value(actions.clone()).unwrap(),
        };
        for action in actions {
            assert!(
                !action.contains('*') && !action.contains("Scan"),
                "{action}"
            );
            allowed.insert((action, resource.contains("index/")));
        }
    }
    allowed
}

/// Lets a built function handle these events; what it has answered and printed,
/// and what was asked of DynamoDB.
pub(super) async fn drive(
    binary: Binary,
    world: &World,
    events: Vec<Value>,
    more: &[(&str, &str)],
) -> (Vec<Answer>, String, BTreeSet<(String, bool)>) {
    let expected = events.len();
    let function = Function::start(binary, world, events, more).await;
    let answers = function.answers(expected).await;
    let asked = world.proxy.exchanges().iter().flat_map(checked).collect();
    (answers, function.kill(), asked)
}

pub(super) async fn put(world: &World, id: &str, status: &str) {
    let attributes = [("campaignStatus", s(status))];
    world.put_campaign(id, &attributes).await;
    let children: Vec<_> = (0..30).map(|number| format!("CHAT#{number}")).collect();
    world.put_children(id, &children).await;
}

/// Claims a campaign, and leaves it stalled.
pub(super) async fn put_stalled(world: &World, id: &str) -> Value {
    put(world, id, "paused").await;
    let mut claim = delete_event(id);
    claim["headers"]["prefer"] = "respond-async".into();
    let deletion_id = world.send(claim).await.deletion_id();
    end_lease(world, &deletion_id, 0).await;
    json!({"accountId": ACCOUNT, "deletionId": deletion_id})
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_allows_exactly_what_its_function_calls() {
    let step_functions = StepFunctions::answering(&[Start::Started]).await;
    let state_machine = [
        ("STATE_MACHINE_ARN", ARN),
        ("AWS_ENDPOINT_URL_SFN", step_functions.url.as_str()),
    ];
    let starts = ("states:StartExecution".to_owned(), false);

    let world = World::new().await;
    for id in ["campaign_1", "campaign_2"] {
        put(&world, id, "paused").await;
    }
    let mut with_key = delete_event("campaign_1");
    with_key["headers"]["idempotency-key"] = "once".into();
    let mut handed_on = delete_event("campaign_2");
    handed_on["headers"]["prefer"] = "respond-async".into();
    let mut events = vec![with_key.clone(), with_key, handed_on];
    events.extend(["get-deletion", "list-deletions", "not-found"].map(event));
    world.proxy.pass();
    let (_, _, mut asked) = drive(Binary::Api, &world, events, &state_machine).await;
    assert_eq!(step_functions.asked().len(), 1);
    asked.insert(starts.clone());
    assert_eq!(asked, allowed("ApiFunction", false));

    let payload = put_stalled(&world, "campaign_3").await;
    world.proxy.pass();
    let (_, _, asked) = drive(Binary::Drain, &world, vec![payload], &[]).await;
    assert_eq!(asked, allowed("DrainFunction", false));

    put_stalled(&world, "campaign_4").await;
    put(&world, "campaign_5", "completed").await;
    world.proxy.pass();
    let retention = [("RETENTION_DAYS", "30"), ("RETENTION_MODE", "enforce")];
    let settings = [&state_machine[..], &retention].concat();
    // It ends when its time is over: no worker drains what it has claimed.
    let events = vec![event("schedule")];
    let (_, _, mut asked) = drive(Binary::Cleanup, &world, events, &settings).await;
    assert_eq!(step_functions.asked().len(), 3);
    asked.insert(starts);
    assert_eq!(asked, allowed("CleanupFunction", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_bus_each_role_allows_what_events_need_too() {
    let step_functions = StepFunctions::answering(&[Start::Started]).await;
    let world = World::new().await;
    let url = world.bus.url();
    let more = [
        ("EVENT_BUS_NAME", BUS),
        ("AWS_ENDPOINT_URL_EVENTBRIDGE", url.as_str()),
        ("STATE_MACHINE_ARN", ARN),
        ("AWS_ENDPOINT_URL_SFN", step_functions.url.as_str()),
    ];
    let payload = put_stalled(&world, "campaign_1").await;
    world.proxy.pass();
    let (_, _, asked) = drive(Binary::Drain, &world, vec![payload], &more[..2]).await;
    assert_eq!(asked, allowed("DrainFunction", true));
    // The api needs no more than without a bus; its event is left to the clean-up.
    put(&world, "campaign_2", "paused").await;
    world.bus.policy(|_| error("AccessDeniedException"));
    world.proxy.pass();
    let events = vec![delete_event("campaign_2")];
    let (_, _, asked) = drive(Binary::Api, &world, events, &more).await;
    assert!(asked.is_subset(&allowed("ApiFunction", true)));
    world.bus.pass();
    put_stalled(&world, "campaign_3").await;
    put(&world, "campaign_4", "completed").await;
    world.proxy.pass();
    let retention = [("RETENTION_DAYS", "30"), ("RETENTION_MODE", "enforce")];
    let settings = [&more[..], &retention].concat();
    let events = vec![event("schedule")];
    let (_, _, mut asked) = drive(Binary::Cleanup, &world, events, &settings).await;
    asked.insert(("states:StartExecution".to_owned(), false));
    assert_eq!(asked, allowed("CleanupFunction", true));
    assert_eq!(world.bus.ids().len(), 2);
}

#[test]
fn every_function_has_log_retention_and_tracing() {
    let template = template();
    for name in ["ApiFunction", "DrainFunction", "CleanupFunction"] {
        let function = function(name);
        let log = function["LoggingConfig"]["LogGroup"]["!Ref"]
            .as_str()
            .unwrap();
        let retention = &template["Resources"][log]["Properties"]["RetentionInDays"];
        assert_eq!(retention, &json!({"!Ref": "LogRetentionDays"}));
        let tracing = json!({"!If": ["Traces", "Active", "PassThrough"]});
        assert_eq!(function["Tracing"], tracing);
        let timeout = Duration::from_secs(function["Timeout"].as_u64().unwrap());
        assert!(timeout <= Duration::from_mins(5));
    }
}

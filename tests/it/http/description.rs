//! The description of the API (OpenAPI 3.1), to which every answer in every test
//! is held: its status, its body, and each of its headers.

use std::{collections::HashMap, sync::LazyLock};

use campaigns::{deletion::Error, refusal::Refusal, table::TableError};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::harness::{Reply, World, event};

const TEXT: &str = include_str!("../../../src/http/openapi.json");

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(TEXT).unwrap());

/// What a response of the document says.
struct Described {
    body: Validator,
    /// By name in lower case: whether it has to be there, and what it may be.
    headers: HashMap<String, (bool, Validator)>,
}

/// Responses by method and path, and by status.
static DESCRIBED: LazyLock<HashMap<(String, String), Described>> = LazyLock::new(|| {
    let mut described = HashMap::new();
    for (route, operation) in operations() {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let response = resolved(response);
            let headers = response["headers"].as_object().unwrap().iter();
            let headers = headers.map(|(name, header)| {
                let header = resolved(header);
                let is_required = header["required"] == true;
                (
                    name.to_lowercase(),
                    (is_required, validator(&header["schema"])),
                )
            });
            let body = validator(&response["content"]["application/json"]["schema"]);
            let headers = headers.collect();
            described.insert((route.clone(), status.clone()), Described { body, headers });
        }
    }
    described
});

/// Every operation, by its method and path.
fn operations() -> Vec<(String, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| {
            (format!("{} {path}", method.to_uppercase()), operation)
        })
    });
    operations.collect()
}

/// What a reference refers to.
fn resolved(value: &Value) -> &Value {
    match value["$ref"].as_str() {
        Some(pointer) => DOCUMENT
            .pointer(pointer.strip_prefix('#').unwrap())
            .unwrap(),
        None => value,
    }
}

fn validator(schema: &Value) -> Validator {
    let whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": DOCUMENT["components"],
        "allOf": [schema],
    });
    let options = jsonschema::options().should_validate_formats(true);
    options.build(&whole).unwrap()
}

/// The content of the only webhook.
static EVENT: LazyLock<&Value> = LazyLock::new(|| {
    let webhook = &DOCUMENT["webhooks"]["campaign.deleted"]["post"];
    &webhook["requestBody"]["content"]["application/json"]
});

static EVENT_SCHEMA: LazyLock<Validator> = LazyLock::new(|| validator(&EVENT["schema"]));

/// Holds an event to the document.
pub(crate) fn check_event(event: &Value) {
    if let Err(error) = EVENT_SCHEMA.validate(event) {
        panic!("{error} in {event}");
    }
}

/// The path of the document that a request is for.
fn path(event: &Value) -> Option<&'static str> {
    let raw = event["rawPath"].as_str()?;
    let (_, path) = raw.split_once("/v1/")?;
    match path {
        "openapi.json" => Some("/v1/openapi.json"),
        "jwks.json" => Some("/v1/jwks.json"),
        "deletions" => Some("/v1/deletions"),
        path if path.starts_with("campaigns/") => Some("/v1/campaigns/{id}"),
        path if path.ends_with("/receipt") => Some("/v1/deletions/{deletionId}/receipt"),
        path if path.starts_with("deletions/") => Some("/v1/deletions/{deletionId}"),
        _ => None,
    }
}

/// Holds an answer to the document.
pub(crate) fn check(event: &Value, reply: &Reply) {
    let is_route = reply.body["message"] != "There is no such route";
    let Some(path) = path(event).filter(|_| is_route) else {
        return;
    };
    // What is not a method of the path has the same answer, whichever operation is asked for.
    let method = event["requestContext"]["http"]["method"].as_str();
    let route = format!("{} {path}", method.unwrap_or_default());
    let is_known = operations().iter().any(|(known, _)| *known == route);
    let other = operations().into_iter().find(|(known, _)| {
        let (_, of) = known.split_once(' ').unwrap();
        of == path
    });
    let route = if is_known { route } else { other.unwrap().0 };
    assert!(is_known || reply.status == 405, "{route}: {reply:?}");
    let key = (route, reply.status.to_string());
    let described = DESCRIBED.get(&key);
    let described = described.unwrap_or_else(|| panic!("{key:?} is not described: {reply:?}"));
    if let Err(error) = described.body.validate(&reply.body) {
        panic!("{key:?}: {error} in {reply:?}");
    }
    for (name, value) in &reply.headers {
        if name == "content-type" {
            assert_eq!(value, "application/json");
            continue;
        }
        let header = described.headers.get(name);
        let (_, header) = header.unwrap_or_else(|| panic!("{key:?} has {name}: {reply:?}"));
        assert!(header.is_valid(&json!(value)), "{key:?}: {name} is {value}");
    }
    for (name, (is_required, _)) in &described.headers {
        let is_there = reply.headers.contains_key(name);
        assert!(is_there || !is_required, "{key:?} has no {name}: {reply:?}");
    }
}

#[test]
fn every_example_matches_its_schema() {
    for (route, operation) in operations() {
        let responses = operation["responses"].as_object().unwrap().iter();
        let contents = responses.map(|(status, response)| (status.as_str(), resolved(response)));
        let body = operation.get("requestBody").map(|body| ("body", body));
        for (of, described) in contents.chain(body) {
            let content = &described["content"]["application/json"];
            let validator = validator(&content["schema"]);
            let examples = content["examples"].as_object();
            for (name, example) in examples.into_iter().flatten() {
                let valid = validator.validate(&example["value"]);
                assert!(valid.is_ok(), "{route} {of} {name}: {valid:?}");
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let schema = validator(&parameter["schema"]);
            if let Some(example) = parameter.get("example") {
                assert!(schema.is_valid(example), "{route}: {parameter}");
            }
        }
    }
}

#[test]
fn the_examples_of_the_event_match_and_others_do_not() {
    let examples = EVENT["examples"].as_object().unwrap();
    assert_eq!(examples.len(), 2);
    for example in examples.values() {
        check_event(&example["value"]);
        for (pointer, wrong) in [
            ("/source", json!("aws.s3")),
            ("/detail-type", json!("campaign.created")),
            ("/detail/id", json!("1")),
            ("/detail/completedAt", json!(null)),
            ("/detail/deletedItems", json!({})),
            ("/detail/campaignName", json!("Q4")),
            ("/detail/reason", json!("Because of Ada")),
            ("/detail/campaignReplaced", json!(false)),
        ] {
            let mut changed = example["value"].clone();
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap()[name] = wrong;
            assert!(!EVENT_SCHEMA.is_valid(&changed), "{changed}");
        }
    }
}

/// The headers of an answer that some gateways rename to `x-amzn-Remapped-...`, as REST APIs
/// and function URLs do.
const RENAMED: [&str; 6] = [
    "authorization",
    "connection",
    "content-length",
    "date",
    "server",
    "www-authenticate",
];

#[test]
fn no_header_is_promised_that_a_gateway_may_rename() {
    let mut described = 0;
    for ((path, status), response) in &*DESCRIBED {
        for (name, (is_required, _)) in &response.headers {
            described += u32::from(name == "www-authenticate");
            let is_renamed = RENAMED.contains(&name.as_str());
            assert!(
                !(is_renamed && *is_required),
                "{path} {status} promises {name}"
            );
        }
    }
    assert!(described > 0);
}

#[test]
fn every_error_is_described_with_its_message() {
    let corrupt = TableError::Corrupt {
        kind: "item",
        attribute: "id",
    };
    let refusals = [
        Refusal::MethodNotAllowed("DELETE"),
        Refusal::MissingApiKey,
        Refusal::InvalidApiKeyFormat,
        Refusal::InvalidApiKey,
        Refusal::SubscriptionInactive,
        Refusal::RateLimited(7),
        Refusal::MissingScope,
        Refusal::Validation("The deletion id must be a UUID".into()),
        Refusal::CampaignNotFound,
        Refusal::ForeignCampaign,
        Refusal::CampaignActive,
        Refusal::DeletionProtected,
        Refusal::InvalidStatus("scheduled".to_owned()),
        Refusal::PreconditionFailed,
        Refusal::DeletionNotFound,
        Refusal::DeletionRunning,
        Refusal::NoReceipts,
        Refusal::IdempotencyKeyReused,
    ];
    let refusals = refusals.map(Error::from);
    for error in refusals.into_iter().chain([Error::Table(corrupt)]) {
        let public = error.public();
        let status = public.status.to_string();
        let operations = operations();
        let responses = operations.iter();
        let responses = responses.filter_map(|(_, operation)| operation["responses"].get(&status));
        let found = responses.map(resolved).any(|response| {
            let examples = &response["content"]["application/json"]["examples"];
            examples.as_object().unwrap().values().any(|example| {
                let example = &example["value"];
                example["error"] == public.code && example["message"] == public.message.as_ref()
            })
        });
        assert!(found, "{error:?} has no example");
    }
}

#[test]
fn the_code_has_the_paths_of_the_document() {
    let mut described: Vec<_> = operations().into_iter().map(|(route, _)| route).collect();
    let mut known = campaigns::http::PATHS.map(|path| format!("{} {path}", path.method));
    described.sort();
    known.sort();
    assert_eq!(described, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_served_without_a_key() {
    let world = World::new().await;
    let mut described = event("no-key");
    described["rawPath"] = "/v1/openapi.json".into();
    described["requestContext"]["http"]["method"] = "GET".into();
    described.as_object_mut().unwrap().remove("pathParameters");
    let reply = world.send(described.clone()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(&reply.body, &*DOCUMENT);
    assert!(world.proxy.exchanges().is_empty());
    described["rawQueryString"] = "x=1".into();
    world.send(described).await.assert(400, "validation_error");
}

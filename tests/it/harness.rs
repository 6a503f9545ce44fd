//! A world for one test: an engine, a fresh table, the fault layer in front of
//! it, and the real handler behind that.

pub(crate) mod bucket;
pub(crate) mod bus;
pub(crate) mod dying;
pub(crate) mod front;
pub(crate) mod function;
pub(crate) mod kms;
pub(crate) mod proxy;
pub(crate) mod step_functions;
pub(crate) mod terminal;
pub(crate) mod worlds;

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    path::Path,
    time::Duration,
};

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use campaigns::{
    archive::ArchiveStore,
    campaign::CampaignId,
    cleanup::Cleanup,
    cli::{
        connect::Connect,
        engine::Engine,
        seed::{Children, Plan},
    },
    clock::now_ms,
    config::{DeletionSettings, Mode, RetentionSettings},
    deletion::{Deletions, HandOff, Slice},
    events::EventBus,
    http::Api,
    lambda, sdk,
    table::Table,
};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use uuid::Uuid;

use self::{bucket::Bucket, bus::Bus, proxy::Proxy};
use crate::http::description;

/// The environment variable that names another endpoint than the embedded one.
const ENDPOINT: &str = "TEST_DYNAMODB_ENDPOINT_URL";

/// The account of the key in `events/`, and that key.
pub(crate) use campaigns::cli::demo::{DEMO_ACCOUNT as ACCOUNT, EVENTS_KEY as KEY};
/// The id of that key.
pub(crate) const KEY_ID: &str = "key_demo";

pub(crate) type Item = HashMap<String, AttributeValue>;
/// Every item of a table, by its key, in a form that can be compared.
pub(crate) type Dump = BTreeMap<(String, String), Value>;

pub(crate) struct World {
    /// The table, without faults in between.
    pub(crate) table: Table,
    pub(crate) proxy: Proxy,
    pub(crate) s3: Bucket,
    /// Whether workers have access to it.
    pub(crate) has_s3: bool,
    pub(crate) bus: Bus,
    pub(crate) settings: DeletionSettings,
    pub(crate) retention: RetentionSettings,
    pub(crate) inline_budget: Duration,
    pub(crate) rate_limit: Option<NonZeroU32>,
    pub(crate) hand_off: HandOff,
    /// `None` when the endpoint is another process's.
    _engine: Option<Engine>,
}

/// An answer of the handler.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: i64,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Reply {
    #[track_caller]
    pub(crate) fn assert(&self, status: i64, error: &str) {
        assert_eq!(
            (self.status, self.body["error"].as_str()),
            (status, Some(error)),
            "{self:?}"
        );
    }

    pub(crate) fn deleted_items(&self) -> &Value {
        &self.body["deletionSummary"]["deletedItems"]
    }

    pub(crate) fn deletion_id(&self) -> String {
        let id = self.body["deletionSummary"]["deletionId"].as_str();
        id.unwrap().to_owned()
    }
}

pub(crate) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(crate) fn n(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// The counts of the public reference.
pub(crate) fn reference_counts() -> Value {
    json!({
        "prospects": 150, "chats": 150, "messages": 420, "tasks": 75,
        "webhookEvents": 12, "analytics": 30,
    })
}

/// `events/NAME.json`.
pub(crate) fn event(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("events")
        .join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The event of a DELETE by the demo key.
pub(crate) fn delete_event(id: &str) -> Value {
    let mut event = event("delete");
    set_id(&mut event, id);
    event
}

/// Makes an event one for this id, as the gateway hands it over.
pub(crate) fn set_id(event: &mut Value, id: &str) {
    let path = format!("/v1/campaigns/{id}");
    event["rawPath"] = path.clone().into();
    event["requestContext"]["http"]["path"] = path.into();
    event["pathParameters"] = json!({ "id": id });
}

/// The endpoint that the tests are to run on, if it is not the embedded one.
pub(crate) fn endpoint() -> Option<String> {
    std::env::var(ENDPOINT).ok()
}

impl World {
    pub(crate) async fn new() -> Self {
        if let Some(url) = endpoint() {
            return Self::over(None, url).await;
        }
        let engine = Engine::start(0, None).await.unwrap();
        let url = engine.endpoint_url();
        Self::over(Some(engine), url).await
    }

    /// A world over the endpoint of another process.
    pub(crate) async fn at(url: String) -> Self {
        Self::over(None, url).await
    }

    async fn over(engine: Option<Engine>, url: String) -> Self {
        let table_name = format!("campaigns-{}", Uuid::new_v4().simple());
        let connect = |url: String| Connect {
            table_name: table_name.clone(),
            endpoint_url: Some(url),
        };
        let table = connect(url.clone()).table().await.unwrap();
        assert!(
            table
                .create()
                .await
                .unwrap_or_else(|error| { panic!("no table could be made at {url}: {error}") })
        );
        let world = Self {
            bus: Bus::start(table.clone()).await,
            table,
            proxy: Proxy::start(url).await,
            s3: Bucket::start().await,
            has_s3: true,
            settings: DeletionSettings {
                lease: Duration::from_secs(30),
                pace: None,
                retention_pace: None,
                audit_retention: None,
                archive: None,
                event_bus: None,
            },
            retention: RetentionSettings {
                age: None,
                statuses: vec!["archived".to_owned(), "completed".to_owned()],
                mode: Mode::Enforce,
                max_campaigns_per_run: 50,
                max_running: 5,
                max_delete_share_percent: 100,
            },
            inline_budget: Duration::from_secs(20),
            rate_limit: None,
            hand_off: HandOff::None,
            _engine: engine,
        };
        world.put_key(KEY, &[]).await;
        world
    }

    /// A world whose leases end after this time.
    pub(crate) fn lease(mut self, milliseconds: u64) -> Self {
        self.settings.lease = Duration::from_millis(milliseconds);
        self
    }

    /// A world in which finished deletions are announced.
    pub(crate) fn announcing(mut self) -> Self {
        self.settings.event_bus = Some(bus::BUS.to_owned());
        self
    }

    pub(crate) fn inline_budget(mut self, milliseconds: u64) -> Self {
        self.inline_budget = Duration::from_millis(milliseconds);
        self
    }

    /// A new handler over the proxy, as a new function instance would be.
    pub(crate) async fn api(&self) -> Api {
        let table = self.proxied_table().await;
        let deletions = self.deletions_in(table.clone());
        Api::new(table, deletions, self.inline_budget, self.rate_limit)
    }

    /// The use case over the proxy, as a new function instance would have it.
    pub(crate) async fn deletions(&self) -> Deletions {
        self.deletions_in(self.proxied_table().await)
    }

    /// The table through the proxy, with a client of its own.
    pub(crate) async fn proxied_table(&self) -> Table {
        let connect = Connect {
            table_name: self.table.name().to_owned(),
            endpoint_url: Some(self.proxy.url()),
        };
        connect.table().await.unwrap()
    }

    fn deletions_in(&self, table: Table) -> Deletions {
        let store = if self.has_s3 {
            ArchiveStore::new(sdk::on_this_machine(&self.s3.url()))
        } else {
            ArchiveStore::default()
        };
        let sdk = sdk::on_this_machine(&self.bus.url());
        let bus = EventBus::named(self.settings.event_bus.clone(), &sdk);
        Deletions::new(table, self.settings.clone(), self.hand_off.clone())
            .archiving_in(store)
            .announcing_on(bus)
    }

    /// Hands a payload to a new `drain` that may run for this long.
    pub(crate) async fn drain(&self, payload: Value, runs: Duration) -> Result<Slice, Value> {
        let deletions = self.deletions().await;
        let event = LambdaEvent::new(payload, runs_for(runs));
        lambda::handle_drain(&deletions, event)
            .await
            .map_err(diagnostic)
    }

    /// Hands an event to a new `cleanup` that may run for this long.
    pub(crate) async fn cleanup_for(&self, event: Value, runs: Duration) -> Result<Value, Value> {
        let table = self.proxied_table().await;
        let deletions = self.deletions_in(table.clone());
        let cleanup = Cleanup::new(table, deletions, self.retention.clone());
        let event = LambdaEvent::new(event, runs_for(runs));
        let summary = Box::pin(lambda::handle_cleanup(&cleanup, event)).await;
        let summary = summary.map_err(diagnostic)?;
        Ok(serde_json::to_value(summary).unwrap())
    }

    /// What a new `cleanup` says to a scheduled event.
    pub(crate) async fn cleanup(&self) -> Value {
        let runs = Duration::from_mins(1);
        self.cleanup_for(event("schedule"), runs).await.unwrap()
    }

    /// Hands an event to a new handler.
    pub(crate) async fn send(&self, event: Value) -> Reply {
        send(&self.api().await, event).await
    }

    pub(crate) async fn delete(&self, id: &str) -> Reply {
        self.send(delete_event(id)).await
    }

    /// DELETE until nothing remains: the last answer but the 202s.
    pub(crate) async fn delete_until_done(&self, id: &str) -> Reply {
        for _ in 0..200 {
            let reply = self.delete(id).await;
            if reply.status != 202 {
                return reply;
            }
            tokio::time::sleep(self.settings.lease.min(Duration::from_millis(50))).await;
        }
        panic!("the deletion of {id} does not end");
    }

    pub(crate) async fn put(&self, item: Item) {
        self.table
            .client()
            .put_item()
            .table_name(self.table.name())
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
    }

    /// Puts a key of the demo account; `attributes` replace the usual ones.
    pub(crate) async fn put_key(&self, key: &str, attributes: &[(&str, AttributeValue)]) {
        let hash = campaigns::auth::ApiKey::new(key).unwrap().hash();
        let scopes = vec!["campaigns:delete".to_owned(), "deletions:read".to_owned()];
        let mut item = item(&[
            ("PK", s(&format!("APIKEY#{hash}"))),
            ("SK", s("APIKEY")),
            ("keyId", s(KEY_ID)),
            ("accountId", s(ACCOUNT)),
            ("scopes", AttributeValue::Ss(scopes)),
            ("state", s("active")),
            ("subscription", s("active")),
            ("createdAt", s("2026-01-01T00:00:00Z")),
        ]);
        for (name, value) in attributes {
            item.insert((*name).to_owned(), value.clone());
        }
        self.put(item).await;
    }

    /// Puts a campaign item alone; `attributes` replace the usual ones.
    pub(crate) async fn put_campaign(&self, id: &str, attributes: &[(&str, AttributeValue)]) {
        self.put(campaign(id, attributes)).await;
    }

    /// Puts children with these sort keys.
    pub(crate) async fn put_children(&self, id: &str, sort_keys: &[String]) {
        let child = |key: &String| item(&[("PK", s(&format!("CAMPAIGN#{id}"))), ("SK", s(key))]);
        self.put_all(sort_keys.iter().map(child).collect()).await;
    }

    /// Puts items, many at a time.
    pub(crate) async fn put_all(&self, items: Vec<Item>) {
        for batch in items.chunks(25) {
            let puts = batch.iter().map(|item| {
                let put = PutRequest::builder().set_item(Some(item.clone())).build();
                WriteRequest::builder().put_request(put.unwrap()).build()
            });
            let answer = self
                .table
                .client()
                .batch_write_item()
                .request_items(self.table.name(), puts.collect())
                .send()
                .await
                .unwrap();
            assert!(answer.unprocessed_items.unwrap_or_default().is_empty());
        }
    }

    /// A paused campaign with these children.
    pub(crate) async fn seed(&self, id: &str, children: Children) {
        let plan = Plan {
            id: CampaignId::parse(id).unwrap(),
            name: "Q4 Enterprise Outreach".to_owned(),
            account_id: ACCOUNT.to_owned(),
            status: "paused".to_owned(),
            deletion_protection: false,
            children,
        };
        assert!(plan.put(&self.table, |_| ()).await.unwrap());
    }

    /// Everything in the table.
    pub(crate) async fn dump(&self) -> Dump {
        let mut dump = Dump::new();
        let mut from = None;
        loop {
            let answer = self
                .table
                .client()
                .scan()
                .table_name(self.table.name())
                .consistent_read(true)
                .set_exclusive_start_key(from)
                .send()
                .await
                .unwrap();
            for item in answer.items.unwrap_or_default() {
                let text = |name: &str| item[name].as_s().unwrap().clone();
                dump.insert((text("PK"), text("SK")), plain(&item));
            }
            from = answer.last_evaluated_key;
            if from.is_none() {
                return dump;
            }
        }
    }

    /// The deletion records of the demo account.
    pub(crate) async fn records(&self) -> Vec<Value> {
        let dump = self.dump().await;
        dump.into_iter()
            .filter(|((pk, sk), _)| pk.starts_with("ACCOUNT#") && sk.starts_with("DELETION#"))
            .map(|(_, item)| item)
            .collect()
    }

    /// The unsent events.
    pub(crate) async fn unsent_events(&self) -> Vec<Value> {
        let dump = self.dump().await;
        dump.into_iter()
            .filter(|((pk, sk), _)| pk.starts_with("ACCOUNT#") && sk.starts_with("EVENT#"))
            .map(|(_, item)| item)
            .collect()
    }

    /// The sort keys that are left in a campaign's partition.
    pub(crate) async fn left(&self, id: &str) -> Vec<String> {
        let partition = format!("CAMPAIGN#{id}");
        let dump = self.dump().await;
        dump.into_keys()
            .filter(|(pk, _)| *pk == partition)
            .map(|(_, sk)| sk)
            .collect()
    }

    /// Asserts that the campaign is gone, once, with these counts.
    #[track_caller]
    pub(crate) fn assert_gone<'a>(
        &'a self,
        id: &'a str,
        counts: &'a Value,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let left = self.left(id).await;
            assert!(left.is_empty(), "{caller}: {id} has {left:?} left");
            let records = self.records().await;
            let records: Vec<_> = records
                .iter()
                .filter(|record| record["campaignId"] == id)
                .collect();
            assert_eq!(records.len(), 1, "{caller}: {records:#?}");
            assert_eq!(records[0]["state"], "succeeded", "{caller}");
            assert_eq!(&records[0]["counted"], counts, "{caller}");
        }
    }
}

/// The context of an invocation that may run for this long.
fn runs_for(runs: Duration) -> Context {
    let mut context = Context::default();
    let runs = i64::try_from(runs.as_millis()).unwrap();
    context.deadline = u64::try_from(now_ms() + runs).unwrap();
    context
}

/// A function's error as Lambda hands it on.
fn diagnostic(error: impl Into<lambda_runtime::Diagnostic>) -> Value {
    let diagnostic = error.into();
    json!({"errorType": diagnostic.error_type, "errorMessage": diagnostic.error_message})
}

/// Hands an event to a handler.
pub(crate) async fn send(api: &Api, event: Value) -> Reply {
    let mut context = Context::default();
    context.request_id.push_str("invocation");
    let invoked = LambdaEvent::new(event.clone(), context);
    let response = Box::pin(lambda::handle_http(api, invoked)).await;
    let response = serde_json::to_value(response.unwrap()).unwrap();
    let text = response["body"].as_str().unwrap().to_owned();
    let headers = response["headers"].as_object().unwrap();
    let reply = Reply {
        status: response["statusCode"].as_i64().unwrap(),
        headers: headers
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect(),
        body: serde_json::from_str(&text).unwrap(),
        text,
    };
    assert_eq!(reply.headers["content-type"], "application/json");
    // The keys that verify receipts are the only answer that may be kept.
    let is_kept = reply.status == 200 && event["rawPath"] == "/v1/jwks.json";
    let kept = if is_kept {
        "public, max-age=3600"
    } else {
        "no-store"
    };
    assert_eq!(reply.headers["cache-control"], kept);
    assert!(!reply.headers["x-request-id"].is_empty());
    description::check(&event, &reply);
    reply
}

pub(crate) fn item(attributes: &[(&str, AttributeValue)]) -> Item {
    attributes
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

/// A campaign item; `attributes` replace the usual ones.
pub(crate) fn campaign(id: &str, attributes: &[(&str, AttributeValue)]) -> Item {
    let mut item = item(&[
        ("PK", s(&format!("CAMPAIGN#{id}"))),
        ("SK", s("CAMPAIGN")),
        ("id", s(id)),
        ("name", s("Q4 Enterprise Outreach")),
        ("accountId", s(ACCOUNT)),
        ("campaignStatus", s("paused")),
        ("createdAt", s("2026-01-01T00:00:00Z")),
        ("updatedAt", s("2026-01-02T03:04:05Z")),
    ]);
    for (name, value) in attributes {
        item.insert((*name).to_owned(), value.clone());
    }
    item
}

/// An item as plain JSON.
fn plain(item: &Item) -> Value {
    fn value(attribute: &AttributeValue) -> Value {
        match attribute {
            AttributeValue::S(text) => text.as_str().into(),
            AttributeValue::N(number) => serde_json::from_str(number).unwrap(),
            AttributeValue::Bool(bool) => (*bool).into(),
            AttributeValue::Null(_) => Value::Null,
            AttributeValue::M(map) => plain(map),
            AttributeValue::L(list) => list.iter().map(value).collect(),
            AttributeValue::Ss(set) => {
                let mut set = set.clone();
                set.sort();
                json!({ "SS": set })
            }
            other => panic!("unexpected attribute {other:?}"),
        }
    }
    item.iter()
        .map(|(name, attribute)| (name.clone(), value(attribute)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

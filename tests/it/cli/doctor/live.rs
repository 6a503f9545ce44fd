//! `--live`: a whole run, and what is left of it.

mod steps;

use std::{
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use campaigns::cli::connect::Connect;
use futures_util::stream::{self, StreamExt};
use tokio::sync::Notify;
use uuid::Uuid;

use super::Report;
use crate::harness::{
    Dump, World,
    function::signal,
    item, n,
    proxy::{Action, Proxy, throttled},
    s,
    terminal::{Serve, command, fails},
};

/// The names of the checks of a run, in their order.
const STEPS: [&str; 12] = [
    "leftovers",
    "live-campaigns",
    "dry-run",
    "if-match",
    "active-campaign",
    "delete",
    "neighbours",
    "replay",
    "progress",
    "asynchronous-delete",
    "receipt",
    "removal",
];

/// A running `campaigns serve`, and a world over its table with a proxy before it.
struct Served {
    serve: Serve,
    world: World,
    before: Dump,
}

impl Served {
    async fn start() -> Self {
        let serve = Serve::start(&[]);
        let mut world = World::at(serve.endpoint_url()).await;
        let connect = Connect {
            table_name: "campaigns".to_owned(),
            endpoint_url: Some(serve.endpoint_url()),
        };
        world.table = connect.table().await.unwrap();
        // Others, whose names begin as those of a run do.
        let other = Uuid::new_v4();
        world.put_campaign(&format!("doctor-{other}"), &[]).await;
        world
            .put_children(&format!("doctor-{other}"), &["CHAT#1".to_owned()])
            .await;
        world
            .put_campaign("doctor-", &[("accountId", s("doctor-"))])
            .await;
        let before = world.dump().await;
        Self {
            serve,
            world,
            before,
        }
    }

    fn arguments(&self) -> Vec<String> {
        self.arguments_at(&self.world.proxy.url())
    }

    fn arguments_at(&self, url: &str) -> Vec<String> {
        let api = self.serve.after("The API is at ").trim_end_matches(',');
        let arguments = ["--table-name", "campaigns", "--endpoint-url", url];
        let live = ["--api-url", api, "--live"];
        [&arguments[..], &live]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    async fn report(&self) -> Report {
        let arguments = self.arguments();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        Report::once(&arguments).await
    }

    fn spawn(&self) -> Child {
        self.spawn_at(&self.world.proxy.url())
    }

    fn spawn_at(&self, url: &str) -> Child {
        let mut command = command();
        command
            .arg("doctor")
            .args(self.arguments_at(url))
            .arg("--json");
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    async fn assert_as_before(&self, what: &str) {
        assert_eq!(self.world.dump().await, self.before, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_run_leaves_the_table_as_it_was() {
    let served = Served::start().await;
    let report = served.report().await;
    report.assert_healthy();
    for name in STEPS {
        report.assert(name, "ok", "");
    }
    report.assert("dry-run", "ok", "60 children");
    report.assert("delete", "ok", "60 children");
    // With the key that the run has issued.
    report.assert("key", "ok", "valid");
    report.assert("decoded-once", "ok", "");
    served.assert_as_before("a whole run").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn live_needs_a_url_and_asks_before_it_writes_elsewhere() {
    let output = command().args(["doctor", "--live"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let elsewhere = ["--endpoint-url", "http://10.255.255.1:8000"];
    let live = ["--live", "--api-url", "http://127.0.0.1:9"];
    let output = command().arg("doctor").args(elsewhere).args(live).output();
    fails(&output.unwrap(), 1, "pass --yes to make and delete");
}

/// Kills a run at its request of this number, and lets another one clean up.
async fn killed_at(number: usize) {
    let served = Served::start().await;
    let pause = served
        .world
        .proxy
        .pause_at(move |call| call.number == number);
    let mut run = served.spawn();
    pause.reached().await;
    run.kill().unwrap();
    run.wait().unwrap();
    // The connection is gone, and the request with it.
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.world.proxy.pass();
    let report = served.report().await;
    report.assert_healthy();
    report.assert("removal", "ok", "");
    served
        .assert_as_before(&format!("killed at {number}"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_run_leaves_is_taken_away_by_the_next() {
    let served = Served::start().await;
    served.world.proxy.pass();
    served.report().await.assert_healthy();
    let exchanges = served.world.proxy.exchanges();
    let writes: Vec<_> = exchanges
        .iter()
        .enumerate()
        .filter(|(_, exchange)| {
            let operation = exchange.operation.as_str();
            ["PutItem", "BatchWriteItem", "DeleteItem"].contains(&operation)
        })
        .map(|(number, _)| number)
        .collect();
    assert!(writes.len() > 15, "{writes:?}");
    // The journal, the key, and others up to the last, which deletes the journal.
    let step = writes.len() / 6;
    let mut chosen = vec![writes[0], writes[1], writes[2]];
    chosen.extend(writes.iter().skip(2 + step).step_by(step).copied());
    chosen.push(writes[writes.len() - 1]);
    // Two at a time, each with a server of its own.
    let runs = stream::iter(chosen);
    runs.for_each_concurrent(2, killed_at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_and_requests_change_nothing() {
    let served = Served::start().await;
    for lost in [Action::LoseAnswer, Action::LoseRequest, throttled()] {
        let action = lost.clone();
        served.world.proxy.policy(move |call| match call.nth % 3 {
            1 => action.clone(),
            _ => Action::Pass,
        });
        let report = served.report().await;
        report.assert_healthy();
        report.assert("removal", "ok", "");
        served.assert_as_before("lost answers").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_interrupted_takes_everything_away() {
    for name in ["INT", "TERM"] {
        let served = Served::start().await;
        let pause = served.world.proxy.pause_at_nth("BatchWriteItem", 1);
        let run = served.spawn();
        pause.reached().await;
        signal(run.id(), name);
        tokio::time::sleep(Duration::from_millis(200)).await;
        pause.resume();
        let output = tokio::task::spawn_blocking(move || run.wait_with_output().unwrap());
        let report = Report::read(&output.await.unwrap());
        report.assert("interrupted", "failed", "stopped by a signal");
        report.assert("removal", "ok", "");
        served.assert_as_before(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_alive_is_left_alone() {
    let served = Served::start().await;
    // The other run cannot put its campaigns yet, and says that it is alive.
    let proxy = Proxy::start(served.serve.endpoint_url()).await;
    let (is_free, reached) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let (free, reach) = (is_free.clone(), reached.clone());
    proxy.policy(move |call| {
        if call.operation == "BatchWriteItem" && !free.load(Ordering::SeqCst) {
            reach.notify_one();
            return throttled();
        }
        Action::Pass
    });
    let other = served.spawn_at(&proxy.url());
    reached.notified().await;
    let report = served.report().await;
    report.assert("leftovers", "warning", "1 other runs are at work");
    report.assert("removal", "ok", "");
    let journals = |dump: &Dump| dump.keys().filter(|(pk, _)| pk == "DOCTOR").count();
    assert_eq!(journals(&served.world.dump().await), 1);
    is_free.store(true, Ordering::SeqCst);
    let output = tokio::task::spawn_blocking(move || other.wait_with_output().unwrap());
    Report::read(&output.await.unwrap()).assert_healthy();
    served.assert_as_before("two runs").await;
}

/// A journal that names what is not of its run must not take it away.
#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_another_account_is_left_alone() {
    let served = Served::start().await;
    let world = &served.world;
    let id = Uuid::new_v4();
    world.put_campaign(&format!("doctor-{id}"), &[]).await;
    world
        .put_children(&format!("doctor-{id}"), &["CHAT#1".to_owned()])
        .await;
    let journal = [
        ("PK", s("DOCTOR")),
        ("SK", s(&format!("RUN#{id}"))),
        ("keyHash", s("0")),
        ("beats", n(0)),
    ];
    world.put(item(&journal)).await;
    let before = world.dump().await;
    let report = served.report().await;
    report.assert("leftovers", "failed", "belongs to another account");
    report.assert("removal", "ok", "");
    assert_eq!(world.dump().await, before);
}

//! Events from a terminal, and the file of events of the local server.

use std::{fs, path::PathBuf};

use serde_json::Value;
use uuid::Uuid;

use super::{assert_announced, finished, put_unsent, world};
use crate::{
    harness::{
        World,
        bus::BUS,
        terminal::{Serve, command, fails, stdout},
    },
    http::description,
};

/// Runs a command over the table and the bus of this world.
fn run(world: &World, arguments: &[&str], more: &[&str]) -> std::process::Output {
    let mut command = command();
    command
        .args(arguments)
        .args(["--table-name", world.table.name()])
        .args(["--endpoint-url", &world.proxy.url()])
        .args(more)
        .env("AWS_ENDPOINT_URL_EVENTBRIDGE", world.bus.url());
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_announces_what_it_deletes() {
    let world = world(13, 30_000).await;
    let deleted = run(
        &world,
        &["delete", "campaign_1", "--json"],
        &["--event-bus-name", BUS],
    );
    let deleted: Value = serde_json::from_str(&stdout(&deleted)).unwrap();
    let taken = world.bus.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0]["requestedBy"], "cli");
    assert_eq!(taken[0]["id"], deleted["deletionId"]);
    assert_announced(&world, &finished(&world).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_of_a_terminal_sends_what_is_unsent() {
    let world = World::new().await.announcing();
    let id = put_unsent(&world, 1).await;
    let bus = ["--event-bus-name", BUS];
    let report = stdout(&run(&world, &["cleanup"], &bus));
    assert!(report.contains("1 events are unsent"), "{report}");
    assert!(world.bus.exchanges().is_empty());
    let enforce = ["cleanup", "--mode", "enforce"];
    let cleaned = stdout(&run(&world, &enforce, &bus));
    assert!(
        cleaned.contains("1 events sent, 0 still unsent"),
        "{cleaned}"
    );
    assert_announced(&world, &[id]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_beside_a_local_table_needs_an_endpoint() {
    let world = world(3, 30_000).await;
    let before = world.dump().await;
    let mut without = command();
    without
        .args(["delete", "campaign_1", "--event-bus-name", BUS])
        .args(["--table-name", world.table.name()])
        .args(["--endpoint-url", &world.proxy.url()])
        .env_remove("AWS_ENDPOINT_URL_EVENTBRIDGE");
    let why = "an event bus beside a table on this machine needs AWS_ENDPOINT_URL_EVENTBRIDGE";
    fails(&without.output().unwrap(), 1, why);
    let bad = run(
        &world,
        &["delete", "campaign_1"],
        &["--event-bus-name", "a/b"],
    );
    fails(&bad, 2, "EVENT_BUS_NAME is 'a/b'; allowed: ");
    assert_eq!(world.dump().await, before);
}

fn file() -> PathBuf {
    std::env::temp_dir().join(format!("campaigns-events-{}", Uuid::new_v4().simple()))
}

fn lines(file: &PathBuf) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    let line = |line: &str| serde_json::from_str(line).unwrap();
    text.lines().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_server_appends_a_line_for_each_deletion() {
    let file = file();
    let events = ["--events", file.to_str().unwrap()];
    let mut ids = Vec::new();
    // The file is continued by another server.
    for _ in 0..2 {
        let serve = Serve::start(&events);
        assert!(lines(&file).len() == ids.len());
        let (status, body) = serve.paste("Delete \"Q4 Enterprise Outreach\"").await;
        assert_eq!(status, 200);
        ids.push(body["deletionSummary"]["deletionId"].clone());
        // Refused: no event.
        assert_eq!(serve.paste("Refused, since it is active").await.0, 409);
        serve.interrupt();
    }
    let lines = lines(&file);
    for line in &lines {
        description::check_event(line);
        assert_eq!(line["detail"]["deletedItems"]["messages"], 420);
    }
    let said: Vec<_> = lines
        .iter()
        .map(|line| line["detail"]["id"].clone())
        .collect();
    assert_eq!(said, ids);
    fs::remove_file(file).unwrap();
}

#[test]
fn a_file_of_events_that_cannot_be_written_is_named() {
    let mut serve = command();
    serve.args(["serve", "--port", "0", "--dynamodb-port", "0"]);
    serve.args(["--events", "/nonexistent/events"]);
    let output = serve.output().unwrap();
    fails(&output, 1, "cannot write events to /nonexistent/events: ");
}

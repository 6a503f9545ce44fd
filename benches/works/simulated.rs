//! H: a deletion that takes hours, in minutes: the whole use case with the SDK's client, by a
//! clock that advances when nothing else is to be done. What is simulated is DynamoDB's
//! children (`service.rs`) and time: requests take as long as they are said to, and computing
//! takes none.

use std::{sync::Arc, time::Duration};

use aws_smithy_runtime_api::client::http::http_client_fn;
use campaigns::{
    campaign::CampaignId,
    cli::seed::{Children, Plan},
    config::DeletionSettings,
    deletion::{Budget, DeletionRequest, Deletions, End, HandOff, Outcome},
    record::DeletionRef,
    sdk,
    table::Table,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    partitions::Ceiling,
    service::Service,
    settings::{GB_SECOND, REQUEST},
};

pub(crate) const NAME: &str = "H";

const SAYS: &str = "10,000,000 children of 1 KB over 1, 4 and 16 partitions, simulated";

const CHILDREN: usize = 10_000_000;
const LATENCY: Duration = Duration::from_millis(5);
const PARTITIONS: [&[f64]; 3] = [&[1.0], &[0.25; 4], &[1.0 / 16.0; 16]];

/// As in the template: how long `api` works for a request, and the functions' own deadlines.
const INLINE: Duration = Duration::from_secs(20);
const API: Duration = Duration::from_secs(29);
const SLICE: Duration = Duration::from_mins(5);
/// The functions' memory, GB.
const API_MEMORY: f64 = 0.5;
const DRAIN_MEMORY: f64 = 0.25;

/// Dollars for a write unit, a read unit and a transition, in us-east-1, on demand, November
/// 2026.
const WRITE_UNIT: f64 = 0.625e-6;
const READ_UNIT: f64 = 0.125e-6;
const TRANSITION: f64 = 0.025e-3;
/// The transitions of a slice, and of an execution beside its slices.
const OF_A_SLICE: f64 = 5.0;
const OF_AN_EXECUTION: f64 = 4.0;

/// Deletes each campaign, all at the same time.
pub(crate) fn deletions() -> Value {
    println!("\n{NAME}: {SAYS}");
    println!(
        "  {:>10} {:>10} {:>8} {:>7} {:>12} {:>12} {:>7} {:>8}",
        "partitions",
        "seconds",
        "of best",
        "slices",
        "write units",
        "read units",
        "back",
        "dollars"
    );
    let runs = PARTITIONS.map(|shares| std::thread::spawn(move || deletion(shares)));
    let runs = runs.map(|run| run.join().unwrap());
    for run in &runs {
        let number = |name: &str| run[name].as_f64().unwrap();
        println!(
            "  {:>10} {:>10.1} {:>8.3} {:>7} {:>12} {:>12} {:>6.2}% {:>8.3}",
            number("partitions"),
            number("seconds"),
            number("toTheBest"),
            number("slices"),
            number("writeUnits"),
            number("readUnits"),
            number("handedBackShare") * 100.0,
            number("dollars"),
        );
    }
    json!({ "work": NAME, "says": SAYS, "runs": runs })
}

/// Deletes a campaign over partitions with these shares.
fn deletion(shares: &'static [f64]) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let ceiling = Ceiling {
            per_second: 1_000.0,
            burst: 500.0,
            shares,
            splits: None,
        };
        let service = Service::new(CHILDREN, ceiling, LATENCY);
        let (table, campaign) = table(&service).await;
        let before = service.counted();
        let (begun, slices) = (Instant::now(), run(&table, &campaign).await);
        let seconds = begun.elapsed().as_secs_f64();
        assert_eq!(service.left(), 0, "children are left");
        let counted = service.counted();
        let (writes, reads) = (
            counted.write_units - before.write_units,
            counted.read_units - before.read_units,
        );
        let inline = INLINE.as_secs_f64().min(seconds);
        let functions = (inline * API_MEMORY + (seconds - inline) * DRAIN_MEMORY) * GB_SECOND;
        let calls = (1.0 + f64::from(slices)) * REQUEST;
        let transitions = (OF_A_SLICE * f64::from(slices) + OF_AN_EXECUTION) * TRANSITION;
        let dollars = writes * WRITE_UNIT + reads * READ_UNIT + functions + calls + transitions;
        json!({
            "partitions": shares.len(), "seconds": seconds,
            "toTheBest": seconds / service.best().as_secs_f64(), "slices": slices,
            "requests": counted.requests - before.requests, "writeUnits": writes, "readUnits": reads,
            "handedBackShare": counted.unprocessed as f64 / counted.deleted as f64,
            "dollarsWrites": writes * WRITE_UNIT, "dollarsReads": reads * READ_UNIT,
            "dollarsFunctions": functions + calls, "dollarsTransitions": transitions, "dollars": dollars,
        })
    })
}

/// The table with the campaign item in it.
async fn table(service: &Arc<Service>) -> (Table, CampaignId) {
    let connector = service.connector();
    let config = sdk::on_this_machine("http://127.0.0.1:1").into_builder();
    let config = config.http_client(http_client_fn(move |_, _| connector.clone()));
    let table = Table::new(sdk::dynamodb(&config.build()), "campaigns".to_owned());
    assert!(table.create().await.unwrap());
    let id = CampaignId::parse("simulated").unwrap();
    let plan = Plan {
        id: id.clone(),
        name: "Simulated".to_owned(),
        account_id: "account_1".to_owned(),
        status: "paused".to_owned(),
        deletion_protection: false,
        children: Children::default(),
    };
    assert!(plan.put(&table, |_| ()).await.unwrap());
    (table, id)
}

/// Deletes the campaign as `api` and then `drain` do; how many slices `drain` took.
async fn run(table: &Table, campaign: &CampaignId) -> u32 {
    let settings = DeletionSettings::read(|_| None).unwrap();
    let deletions = Deletions::new(table.clone(), settings, HandOff::None);
    let begun = Instant::now();
    let budget = Budget::new(begun, INLINE, Some(begun + API));
    let found = table.campaign(campaign, budget.claim_until).await.unwrap();
    let request = DeletionRequest::by_terminal(found.as_ref().unwrap());
    let deleted = deletions
        .delete(&request, async { Ok(found) }, budget)
        .await;
    let mut outcome: Outcome = deleted.unwrap();
    let of = DeletionRef {
        account_id: request.account_id.clone(),
        deletion_id: outcome.record.deletion_id.clone(),
    };
    let mut slices = 0;
    while outcome.end != End::Complete {
        assert_ne!(outcome.end, End::Attached);
        slices += 1;
        let begun = Instant::now();
        let budget = Budget::of_slice(begun, Some(begun + SLICE));
        outcome = deletions.resume(&of, budget).await.unwrap().unwrap();
    }
    assert_eq!(outcome.record.progress.counted.total(), CHILDREN as u64);
    slices
}

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
    report::followed,
    service::{Counted, Messages, Service},
    settings::{GB_SECOND, REQUEST},
    works::{LATENCY, ONE, Work},
};

pub(crate) const NAME: &str = "H";

const SAYS: &str = "10,000,000 children of 1 KB over 1, 4 and 16 partitions, simulated";

const CHILDREN: usize = 10_000_000;
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

/// What a simulated deletion came to.
struct Done {
    seconds: f64,
    best: f64,
    slices: u32,
    counted: Counted,
    followed: Vec<Option<f64>>,
}

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
    let runs = PARTITIONS.map(|shares| {
        let ceiling = Ceiling { shares, ..ONE };
        (
            shares.len(),
            std::thread::spawn(move || deletion(CHILDREN, Messages::WithIds, ceiling, LATENCY)),
        )
    });
    let runs = runs.map(|(partitions, run)| {
        let done = run.join().unwrap();
        let of_best = done.seconds / done.best;
        let back = done.counted.unprocessed as f64 / done.counted.deleted as f64;
        let Counted { write_units, read_units, .. } = done.counted;
        let (functions, transitions) = (functions(&done), transitions(&done));
        let table = write_units * WRITE_UNIT + read_units * READ_UNIT;
        let dollars = table + functions + transitions;
        println!(
            "  {partitions:>10} {:>10.1} {of_best:>8.3} {:>7} {write_units:>12} {read_units:>12} {:>6.2}% {dollars:>8.3}",
            done.seconds,
            done.slices,
            back * 100.0,
        );
        json!({
            "partitions": partitions, "seconds": done.seconds, "toTheBest": of_best,
            "slices": done.slices, "requests": done.counted.requests, "writeUnits": write_units,
            "readUnits": read_units, "handedBackShare": back, "dollarsTable": table,
            "dollarsFunctions": functions, "dollarsTransitions": transitions, "dollars": dollars,
        })
    });
    json!({ "work": NAME, "says": SAYS, "runs": runs })
}

/// What the functions cost, by their time.
fn functions(done: &Done) -> f64 {
    let inline = INLINE.as_secs_f64().min(done.seconds);
    let memory = inline * API_MEMORY + (done.seconds - inline) * DRAIN_MEMORY;
    memory * GB_SECOND + (1.0 + f64::from(done.slices)) * REQUEST
}

fn transitions(done: &Done) -> f64 {
    (OF_A_SLICE * f64::from(done.slices) + OF_AN_EXECUTION) * TRANSITION
}

/// Simulates another work: what our own deletion takes of the table, by the same clock.
pub(crate) fn work(work: &Work) {
    let Some(ceiling) = work.ceiling else {
        println!("  not simulated: it has no ceiling");
        return;
    };
    for (messages, says) in [
        (Messages::WithIds, "simulated"),
        (Messages::WithDates, "with dates in the keys of messages"),
    ] {
        let done = deletion(work.items, messages, ceiling, work.latency);
        let items = work.items as f64;
        println!(
            "  {says}: {:.2} s, {:.3} of the {:.2} s that are best; {:.1} % back; {:.4} units a child",
            done.seconds,
            done.seconds / done.best,
            done.best,
            done.counted.unprocessed as f64 / items * 100.0,
            (done.counted.write_units + done.counted.read_units) / items,
        );
        if !done.followed.is_empty() {
            println!("  splits followed after {}", followed(&done.followed));
        }
    }
}

/// Deletes a campaign of this many children in these partitions.
fn deletion(children: usize, messages: Messages, ceiling: Ceiling, latency: Duration) -> Done {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let service = Service::new(children, messages, ceiling, latency);
        let (table, campaign) = table(&service).await;
        let before = service.begin();
        let (begun, (slices, total)) = (Instant::now(), run(&table, &campaign).await);
        let seconds = begun.elapsed().as_secs_f64();
        assert_eq!(service.left(), 0, "children are left");
        assert_eq!(total, children as u64, "children are not counted");
        let partitions = service.partitions();
        let followed = partitions.followed().into_iter();
        Done {
            seconds,
            best: partitions.best().as_secs_f64(),
            slices,
            counted: service.counted() - before,
            followed: followed.map(|it| it.map(|it| it.as_secs_f64())).collect(),
        }
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

/// Deletes the campaign as `api` and then `drain` do; how many slices `drain` took, and how
/// many children the record has counted.
async fn run(table: &Table, campaign: &CampaignId) -> (u32, u64) {
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
    (slices, outcome.record.progress.counted.total())
}

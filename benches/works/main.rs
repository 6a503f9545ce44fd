//! Whole deletions, side by side: the built `api` and what one would take
//! instead, on the same embedded endpoint in another process, behind a proxy that
//! models the network and a partition's ceiling; and cold starts under Amazon's
//! Lambda Runtime Interface Emulator. Everything is on 127.0.0.1.
//!
//! `cargo bench` runs every work; `cargo bench -- A C cold` runs these. Results are
//! printed, and written to `target/bench/works.json` and `works.svg`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot continue has to stop, and its numbers are small"
)]

mod chart;
mod cold;
mod endpoint;
mod settings;
mod subjects;

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde_json::{Value, json};

use self::{
    endpoint::{Ceiling, Engine, Proxy, Traffic},
    subjects::{SUBJECTS, Subject, Tools},
};

/// What is to be deleted, and behind what.
struct Work {
    name: &'static str,
    says: &'static str,
    items: usize,
    /// Of each request, and of its answer together.
    latency: Duration,
    /// Writes per second that the partition takes.
    ceiling: Option<Ceiling>,
    rounds: usize,
}

const WORKS: [Work; 5] = [
    Work {
        name: "A",
        says: "837 children, 5 ms to the table",
        items: 837,
        latency: Duration::from_millis(5),
        ceiling: None,
        rounds: 7,
    },
    Work {
        name: "B",
        says: "24,000 children, 5 ms to the table",
        items: 24_000,
        latency: Duration::from_millis(5),
        ceiling: None,
        rounds: 3,
    },
    Work {
        name: "C",
        says: "4,000 children, 1,000 writes a second and half a second of burst",
        items: 4_000,
        latency: Duration::from_millis(5),
        ceiling: Some(Ceiling {
            per_second: 1_000.0,
            burst: 500.0,
            shares: &[1.0],
        }),
        rounds: 3,
    },
    Work {
        name: "D",
        says: "200,000 children, as fast as the endpoint goes",
        items: 200_000,
        latency: Duration::ZERO,
        ceiling: None,
        rounds: 1,
    },
    Work {
        name: "E",
        says: "100,000 children in partitions of 10, 20, 30 and 40 %, 1,000 writes a second each",
        items: 100_000,
        latency: Duration::from_millis(5),
        ceiling: Some(Ceiling {
            per_second: 1_000.0,
            burst: 500.0,
            shares: &[0.1, 0.2, 0.3, 0.4],
        }),
        rounds: 1,
    },
];

/// One deletion by one subject.
struct Run {
    seconds: f64,
    /// Of the subject's process, seconds.
    cpu: f64,
    traffic: Traffic,
    /// Of the endpoint's process, seconds.
    endpoint_cpu: f64,
    /// Resident, KiB; of `api` alone.
    peak_kib: Option<u64>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let tools = Tools::installed();
    let engine = Engine::start();
    let mut results = Vec::new();
    for work in WORKS
        .iter()
        .filter(|work| wanted.is_empty() || wanted.iter().any(|w| w == work.name))
    {
        println!("\n{}: {}", work.name, work.says);
        let mut runs: BTreeMap<&str, Vec<Run>> = BTreeMap::new();
        for round in 0..work.rounds {
            // Interleaved, and each round begins with another one.
            for turn in 0..SUBJECTS.len() {
                let subject = &SUBJECTS[(turn + round) % SUBJECTS.len()];
                let run = measure(&engine, &tools, work, subject, round).await;
                runs.entry(subject.name).or_default().push(run);
            }
        }
        results.push(report(work, &runs));
    }
    if wanted.is_empty() || wanted.iter().any(|w| w == cold::NAME) {
        results.push(cold::starts(&tools));
    }
    let results = Value::from(results);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("works.json"),
        serde_json::to_string_pretty(&results).unwrap(),
    )
    .unwrap();
    fs::write(folder.join("works.svg"), chart::svg(&results)).unwrap();
    println!("\nwritten to {}", folder.display());
}

async fn measure(
    engine: &Engine,
    tools: &Tools,
    work: &Work,
    subject: &Subject,
    round: usize,
) -> Run {
    let campaign = format!(
        "{}-{}-{round}",
        work.name,
        subject.file.unwrap_or("api").replace(['.', '_'], "-")
    );
    engine.seed(&campaign, work.items);
    let shares = work.ceiling.map_or(&[1.0][..], |ceiling| ceiling.shares);
    let borders = engine.borders(&campaign, shares).await;
    let proxy = Proxy::start(engine.url(), work.latency, work.ceiling, borders).await;
    let cpu = engine.cpu();
    let done = subject.delete(tools, &proxy, &campaign).await;
    let run = Run {
        seconds: done.seconds,
        cpu: done.cpu,
        traffic: proxy.traffic(),
        endpoint_cpu: engine.cpu() - cpu,
        peak_kib: done.peak_kib,
    };
    // The peers leave the campaign item or not; nothing else may be there.
    assert_eq!(
        engine.left(&campaign).await,
        0,
        "{} has left something",
        subject.name
    );
    run
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints what a work has come to, and gives it as JSON.
fn report(work: &Work, runs: &BTreeMap<&str, Vec<Run>>) -> Value {
    let of = |name: &str, value: fn(&Run) -> f64| median(runs[name].iter().map(value).collect());
    let ours = SUBJECTS[0].name;
    let fastest = SUBJECTS[1..].iter().map(|peer| peer.name);
    let fastest = fastest
        .min_by(|a, b| of(a, |r| r.seconds).total_cmp(&of(b, |r| r.seconds)))
        .unwrap();
    println!(
        "  {:<22} {:>8} {:>8} {:>12} {:>10} {:>8}",
        "", "seconds", "ratio", "CPU µs/item", "endpoint", "back"
    );
    let mut rows = Vec::new();
    for Subject { name, .. } in &SUBJECTS {
        let seconds = of(name, |run| run.seconds);
        let ratio = seconds / of(fastest, |run| run.seconds);
        let cpu = of(name, |run| run.cpu) / work.items as f64 * 1e6;
        let endpoint = of(name, |run| run.endpoint_cpu / run.seconds);
        let back = of(name, |run| {
            run.traffic.handed_back as f64 / run.traffic.writes.max(1) as f64
        });
        println!(
            "  {name:<22} {seconds:>8.3} {ratio:>8.2} {cpu:>12.1} {:>9.0}% {:>7.1}%",
            endpoint * 100.0,
            back * 100.0
        );
        rows.push(json!({
            "subject": name, "seconds": seconds, "toTheFastestPeer": ratio, "cpuMicrosecondsPerItem": cpu,
            "endpointCpuShare": endpoint, "handedBackShare": back,
        }));
    }
    let peak = runs[ours].iter().filter_map(|run| run.peak_kib).max();
    let requests = median(
        runs[ours]
            .iter()
            .map(|run| run.traffic.requests as f64)
            .collect(),
    );
    println!(
        "  {ours}: {:.2} of the time of {fastest}, {:.3} of its CPU; {requests} requests, peak {} KiB",
        of(ours, |r| r.seconds) / of(fastest, |r| r.seconds),
        of(ours, |r| r.cpu) / of(fastest, |r| r.cpu),
        peak.unwrap_or_default(),
    );
    let settings = settings::table(of(ours, |r| r.seconds), of(ours, |r| r.cpu));
    let bound = work.ceiling.map(|ceiling| {
        let largest = ceiling.shares.iter().copied().fold(0.0, f64::max);
        (work.items as f64 * largest - ceiling.burst) / ceiling.per_second
    });
    if let Some(bound) = bound {
        let share = bound / of(ours, |r| r.seconds) * 100.0;
        println!("  the ceiling itself takes {bound:.2} s: {ours} works at {share:.0} % of it");
    }
    json!({
        "work": work.name, "says": work.says, "items": work.items, "fastestPeer": fastest,
        "ceilingSeconds": bound, "peakKib": peak, "requests": requests, "memorySettings": settings, "subjects": rows,
    })
}

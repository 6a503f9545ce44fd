//! Whole deletions, side by side: the built `api` and what one would take
//! instead, on the same embedded endpoint in another process, behind a proxy that
//! models the network and partitions with their ceilings; a large one, simulated; and cold
//! starts under Amazon's Lambda Runtime Interface Emulator. Everything is on 127.0.0.1.
//!
//! `cargo bench` runs every work; `cargo bench -- A C cold` runs these, and leaves the
//! results of others as they were. With `--ours`, no peer runs and none is installed; with
//! `--simulated`, no process either, and nothing is written. Otherwise, results are printed, and
//! written to `target/bench/works.json` and `works.svg`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot continue has to stop, and its numbers are small"
)]

mod bucket;
mod chart;
mod cold;
mod endpoint;
mod many;
mod partitions;
mod proxy;
mod report;
mod service;
mod settings;
mod simulated;
mod subjects;
mod works;

use std::{cell::LazyCell, fs, path::Path};

use serde_json::Value;

use self::{
    bucket::Bucket,
    endpoint::Engine,
    proxy::Proxy,
    report::{Run, Runs, report},
    subjects::{ARCHIVING, SUBJECTS, Subject, Tools},
    works::{Against, WORKS, Work},
};

/// What is run.
struct Wanted {
    names: Vec<String>,
    only_ours: bool,
    is_simulated: bool,
}

impl Wanted {
    fn read() -> Self {
        let (options, names): (Vec<String>, _) =
            std::env::args().skip(1).partition(|it| it.starts_with('-'));
        let has = |name: &str| options.iter().any(|option| option == name);
        Self {
            names,
            only_ours: has("--ours"),
            is_simulated: has("--simulated"),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|it| it == name)
    }
}

/// The peers' libraries, installed once they are needed.
type LazyTools = LazyCell<Tools>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let wanted = Wanted::read();
    let tools = LazyTools::new(Tools::installed);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&folder).unwrap();
    for work in WORKS.iter().filter(|work| wanted.has(work.name)) {
        println!("\n{}: {}", work.name, work.says);
        if wanted.is_simulated {
            tokio::task::spawn_blocking(|| simulated::work(work))
                .await
                .unwrap();
            continue;
        }
        let subjects = match work.against {
            Against::Peers if !wanted.only_ours => &SUBJECTS[..],
            Against::Peers | Against::Nobody => &SUBJECTS[..1],
            Against::Archiving => &ARCHIVING[..],
        };
        let runs = runs(work, subjects, &tools).await;
        keep(&folder, report(work, subjects, &runs));
    }
    if wanted.has(simulated::NAME) {
        let simulated = tokio::task::spawn_blocking(simulated::deletions);
        keep(&folder, simulated.await.unwrap());
    }
    if wanted.has(many::NAME) && !wanted.is_simulated {
        keep(&folder, many::runs(&tools, wanted.only_ours).await);
    }
    // Most of them are peers.
    if wanted.has(cold::NAME) && !wanted.only_ours {
        keep(&folder, cold::starts(&tools));
    }
    println!("\nwritten to {}", folder.display());
}

/// Puts a result in place of an earlier one of the same work.
fn keep(folder: &Path, result: Value) {
    let file = folder.join("works.json");
    let earlier = fs::read(&file).ok();
    let earlier = earlier.and_then(|text| serde_json::from_slice(&text).ok());
    let mut results: Vec<Value> = earlier.unwrap_or_default();
    results.retain(|other| other["work"] != result["work"]);
    results.push(result);
    results.sort_by_key(|result| result["work"].as_str().unwrap().to_owned());
    fs::write(&file, serde_json::to_string_pretty(&results).unwrap()).unwrap();
    fs::write(folder.join("works.svg"), chart::svg(&results)).unwrap();
}

async fn runs(work: &Work, subjects: &'static [Subject], tools: &LazyTools) -> Runs {
    let engine = Engine::start();
    let mut runs = Runs::new();
    for round in 0..work.rounds {
        // Interleaved, and each round begins with another one.
        for turn in 0..subjects.len() {
            let subject = &subjects[(turn + round) % subjects.len()];
            let run = measure(&engine, tools, work, subject, round).await;
            runs.entry(subject.name).or_default().push(run);
        }
    }
    runs
}

async fn measure(
    engine: &Engine,
    tools: &LazyTools,
    work: &Work,
    subject: &Subject,
    round: usize,
) -> Run {
    let by = match subject.file {
        Some(file) => file,
        None if subject.archives => "archiving",
        None => "api",
    };
    let campaign = format!("{}-{}-{round}", work.name, by.replace(['.', '_'], "-"));
    engine.seed(&campaign, work.items);
    let keys = engine.keys(&campaign).await;
    let proxy = Proxy::start(engine.url(), work.latency, work.ceiling, keys).await;
    let bucket = Bucket::start().await;
    let cpu = engine.cpu();
    let done = subject.delete(tools, &proxy, &bucket, &campaign).await;
    let run = Run {
        seconds: done.seconds,
        cpu: done.cpu,
        traffic: proxy.traffic(),
        endpoint_cpu: engine.cpu() - cpu,
        peak_kib: done.peak_kib,
        puts: bucket.puts(),
    };
    // The peers leave the campaign item or not; nothing else may be there.
    assert_eq!(
        engine.left(&campaign).await,
        0,
        "{} has left something",
        subject.name
    );
    if subject.archives {
        // What is read when a pass is split is read, and archived, again.
        let items = work.items as u64 + 1;
        assert!(run.puts.items >= items, "not everything is archived");
    }
    run
}

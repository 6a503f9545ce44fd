//! What a work has come to: printed, and as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    bucket::Puts,
    proxy::Traffic,
    settings,
    subjects::Subject,
    works::{Against, Work},
};

/// One deletion by one subject.
pub(crate) struct Run {
    pub(crate) seconds: f64,
    /// Of the subject's process, seconds.
    pub(crate) cpu: f64,
    pub(crate) traffic: Traffic,
    /// Of the endpoint's process, seconds.
    pub(crate) endpoint_cpu: f64,
    /// Resident, KiB; of `api` alone.
    pub(crate) peak_kib: Option<u64>,
    pub(crate) puts: Puts,
}

/// The runs of each subject, by its name.
pub(crate) type Runs = BTreeMap<&'static str, Vec<Run>>;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median of a figure over a subject's runs.
fn of(runs: &[Run], value: fn(&Run) -> f64) -> f64 {
    median(runs.iter().map(value).collect())
}

/// Prints what a work has come to, and gives it as JSON.
pub(crate) fn report(work: &Work, subjects: &[Subject], runs: &Runs) -> Value {
    let ours = subjects[0].name;
    let seconds = |name: &str| of(&runs[name], |run| run.seconds);
    let peers = subjects.iter().filter(|it| it.file.is_some());
    let peers = peers.map(|it| it.name);
    let fastest = peers.min_by(|a, b| seconds(a).total_cmp(&seconds(b)));
    println!(
        "  {:<24} {:>8} {:>8} {:>12} {:>10} {:>8}",
        "", "seconds", "ratio", "CPU µs/item", "endpoint", "back"
    );
    let rows: Vec<Value> = subjects
        .iter()
        .map(|it| row(work, it.name, &runs[it.name], fastest.map(seconds)))
        .collect();
    let mut report = json!({
        "work": work.name, "says": work.says, "items": work.items, "fastestPeer": fastest,
        "subjects": rows,
    });
    if let Some(fastest) = fastest {
        let cpu = |name: &str| of(&runs[name], |run| run.cpu);
        println!(
            "  {ours}: {:.2} of the time of {fastest}, {:.3} of its CPU",
            seconds(ours) / seconds(fastest),
            cpu(ours) / cpu(fastest),
        );
    }
    if work.against == Against::Archiving {
        of_archiving(&runs[ours], &runs[subjects[1].name], &mut report);
    }
    of_ours(work, &runs[ours], &mut report);
    report
}

/// What an archive takes.
fn of_archiving(without: &[Run], with: &[Run], report: &mut Value) {
    // Of each round, since the machine is faster in one than in another.
    let ratios = without.iter().zip(with);
    let ratio = median(ratios.map(|(a, b)| b.seconds / a.seconds).collect());
    let cpu = of(with, |run| run.cpu) / of(without, |run| run.cpu);
    let Puts { objects, bytes, .. } = with[0].puts;
    let peak = |runs: &[Run]| runs.iter().filter_map(|run| run.peak_kib).max();
    println!(
        "  with an archive: {ratio:.3} of the time, {cpu:.2} of the CPU; {objects} puts of {bytes} bytes in all; \
         peak {} KiB",
        peak(with).unwrap_or_default()
    );
    report["archiving"] = json!({
        "toWithout": ratio, "cpuToWithout": cpu, "puts": objects, "bytes": bytes, "peakKib": peak(with),
    });
}

fn row(work: &Work, name: &str, runs: &[Run], fastest: Option<f64>) -> Value {
    let seconds = of(runs, |run| run.seconds);
    let ratio = fastest.map(|fastest| seconds / fastest);
    let cpu = of(runs, |run| run.cpu) / work.items as f64 * 1e6;
    let endpoint = of(runs, |run| run.endpoint_cpu / run.seconds);
    let back = of(runs, |run| {
        run.traffic.handed_back as f64 / run.traffic.writes.max(1) as f64
    });
    println!(
        "  {name:<24} {seconds:>8.3} {:>8} {cpu:>12.1} {:>9.0}% {:>7.1}%",
        ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")),
        endpoint * 100.0,
        back * 100.0
    );
    json!({
        "subject": name, "seconds": seconds, "toTheFastestPeer": ratio, "cpuMicrosecondsPerItem": cpu,
        "endpointCpuShare": endpoint, "handedBackShare": back,
    })
}

/// What is reported of our own runs alone.
fn of_ours(work: &Work, runs: &[Run], report: &mut Value) {
    let peak = runs.iter().filter_map(|run| run.peak_kib).max();
    let requests = of(runs, |run| run.traffic.requests as f64);
    println!(
        "  {requests} requests, peak {} KiB",
        peak.unwrap_or_default()
    );
    report["requests"] = requests.into();
    report["peakKib"] = peak.into();
    report["memorySettings"] =
        settings::table(of(runs, |run| run.seconds), of(runs, |run| run.cpu)).into();
    if runs.iter().any(|run| run.traffic.best.is_none()) {
        return;
    }
    let best = of(runs, |run| run.traffic.best.unwrap_or(f64::NAN));
    let to_best = of(runs, |run| {
        run.seconds / run.traffic.best.unwrap_or(f64::NAN)
    });
    let units = of(runs, |run| run.traffic.units) / work.items as f64;
    println!(
        "  the partitions allow {best:.2} s at best: this is {to_best:.3} of it, with {units:.4} units a child"
    );
    let splits = &runs[0].traffic.followed;
    if !splits.is_empty() {
        println!("  splits followed after {}", followed(splits));
    }
    report["bestSeconds"] = best.into();
    report["toTheBest"] = to_best.into();
    report["unitsPerChild"] = units.into();
    report["splitsFollowedSeconds"] = json!(splits);
}

/// The times until splits were followed, in words.
pub(crate) fn followed(splits: &[Option<f64>]) -> String {
    let times = splits
        .iter()
        .map(|it| it.map_or("never".to_owned(), |it| format!("{it:.1} s")));
    times.collect::<Vec<_>>().join(", ")
}

//! Many campaigns by one command: `campaigns delete --from`, and what one would write instead.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::{Value, json};

use crate::{LazyTools, endpoint::Engine, proxy::Proxy, subjects::environment, works::LATENCY};

pub(crate) const NAME: &str = "many";

const SAYS: &str = "1,000 campaigns of 100 children, 5 ms to the table";
/// How many children each campaign has.
const CHILDREN: usize = 100;

/// One way to delete many campaigns.
struct Way {
    name: &'static str,
    /// How many campaigns it deletes: fewer of those that take minutes for a few.
    campaigns: usize,
    by: By,
}

enum By {
    /// `campaigns delete --from`, with these options.
    Us(&'static [&'static str]),
    /// A program in `benches/peers`, run by this one.
    Peer(&'static str, &'static str),
}

const WAYS: [Way; 6] = [
    Way {
        name: "campaigns delete --from, listed first",
        campaigns: 1_000,
        by: By::Us(&[]),
    },
    Way {
        name: "the same, --json",
        campaigns: 1_000,
        by: By::Us(&["--json"]),
    },
    Way {
        name: "the same, --json --at-once 16",
        campaigns: 1_000,
        by: By::Us(&["--json", "--at-once", "16"]),
    },
    Way {
        name: "boto3, one after the other",
        campaigns: 1_000,
        by: By::Peer("venv/bin/python", "boto3_many.py"),
    },
    Way {
        name: "boto3, 4 threads",
        campaigns: 1_000,
        by: By::Peer("venv/bin/python", "boto3_many_threads.py"),
    },
    Way {
        name: "a shell loop of `aws dynamodb`",
        campaigns: 5,
        by: By::Peer("bash", "aws_loop.sh"),
    },
];

/// Runs each of them once, and one that names 100,000 campaigns of which there are none.
pub(crate) async fn runs(tools: &LazyTools, only_ours: bool) -> Value {
    println!("\n{NAME}: {SAYS}");
    println!(
        "  {:<40} {:>9} {:>9} {:>12} {:>10} {:>10}",
        "", "campaigns", "seconds", "ms/campaign", "requests/c", "peak MiB"
    );
    let engine = Engine::start();
    let ways = WAYS.iter().enumerate();
    let ways = ways.filter(|(_, way)| !only_ours || matches!(way.by, By::Us(_)));
    let mut runs = Vec::new();
    for (at, way) in ways {
        let ids: Vec<String> = (0..way.campaigns)
            .map(|n| format!("many-{at}-{n}"))
            .collect();
        for id in &ids {
            engine.seed(id, CHILDREN);
        }
        runs.push(measure(&engine, tools, way, &ids).await);
        for id in &ids {
            assert_eq!(
                engine.left(id).await,
                0,
                "{} has left something of {id}",
                way.name
            );
        }
    }
    let none: Vec<String> = (0..100_000).map(|n| format!("none-{n}")).collect();
    let way = Way {
        name: "100,000 that are not there, --json",
        campaigns: none.len(),
        by: By::Us(&["--json", "--at-once", "16"]),
    };
    runs.push(measure(&engine, tools, &way, &none).await);
    json!({ "work": NAME, "says": SAYS, "runs": runs })
}

async fn measure(engine: &Engine, tools: &LazyTools, way: &Way, ids: &[String]) -> Value {
    let proxy = Proxy::start(engine.url(), LATENCY, None, Vec::new()).await;
    let file = std::env::temp_dir().join(format!("campaigns-many-{}", std::process::id()));
    std::fs::write(&file, ids.join("\n")).unwrap();
    let is_there = !ids[0].starts_with("none");
    let mut command = match way.by {
        By::Us(options) => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_campaigns"));
            command
                .args(["delete", "--yes", "--from"])
                .arg(&file)
                .args(options);
            command
        }
        By::Peer(program, script) => {
            let folder = tools.folder();
            let own = folder.join(program);
            let program = if own.exists() {
                own
            } else {
                PathBuf::from(program)
            };
            let mut command = Command::new(program);
            command.arg(folder.join(script)).arg(&file);
            command.env("PATH", path_with(&folder.join("venv/bin")));
            command
        }
    };
    command.envs(environment(proxy.url())).stdout(Stdio::null());
    let (seconds, status, peak_kib) = tokio::task::spawn_blocking(move || timed(command))
        .await
        .unwrap();
    assert_eq!(
        status,
        if is_there { Some(0) } else { Some(1) },
        "{}",
        way.name
    );
    std::fs::remove_file(file).unwrap();
    let (campaigns, requests) = (ids.len() as f64, proxy.traffic().requests as f64);
    println!(
        "  {:<40} {:>9} {:>9.1} {:>12.2} {:>10.1} {:>10.1}",
        way.name,
        ids.len(),
        seconds,
        seconds * 1_000.0 / campaigns,
        requests / campaigns,
        peak_kib as f64 / 1_024.0,
    );
    std::io::stdout().flush().unwrap();
    json!({
        "way": way.name,
        "campaigns": ids.len(),
        "seconds": seconds,
        "requests": requests,
        "peakKiB": peak_kib,
    })
}

/// The time that a command took, its exit code, and its memory at its peak, as it was last
/// seen: of the process itself, not of those that it starts.
fn timed(mut command: Command) -> (f64, Option<i32>, u64) {
    let begun = Instant::now();
    let mut child = command.spawn().unwrap();
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return (begun.elapsed().as_secs_f64(), status.code(), peak);
        }
        let status = std::fs::read_to_string(&status_file).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let seen = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(seen.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn path_with(folder: &Path) -> std::ffi::OsString {
    let before = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&before));
    std::env::join_paths(folders).unwrap()
}

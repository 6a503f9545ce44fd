//! Cold starts: from process start to the first answer, under Amazon's emulator, by
//! `tests/emulator/emulator.py cold`.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::subjects::{Tools, run};

pub(crate) const NAME: &str = "cold";

const SAYS: &str = "process start to the first answer, with one round trip to the table";

/// As `tests/emulator/emulator.py` calls them.
const SUBJECTS: [&str; 5] = [
    "api (this)",
    "api, with a bucket",
    "hello, lambda_http",
    "Python, boto3",
    "Node SDK",
];

/// How often each one starts.
const RUNS: &str = "15";

/// Starts `api`, a hello that does nothing, and peers that make one read.
pub(crate) fn starts(tools: &Tools) -> Value {
    println!("\n{NAME}: {SAYS}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    run(Command::new(cargo).current_dir(root).args([
        "build",
        "--release",
        "--quiet",
        "--locked",
        "--example",
        "hello",
    ]));
    // Where cargo has put this bench: target/release/deps.
    let this = std::env::current_exe().unwrap();
    let built = this.parent().unwrap().parent().unwrap();
    let emulator = tools.folder().join("emulator");
    let result = tools.folder().join("cold.json");
    run(Command::new("python3")
        .arg(root.join("tests/emulator/emulator.py"))
        .args([
            "cold",
            "--runs",
            RUNS,
            "--bootstrap",
            env!("CARGO_BIN_EXE_api"),
        ])
        .args(["--campaigns", env!("CARGO_BIN_EXE_campaigns")])
        .arg("--hello")
        .arg(built.join("examples/hello"))
        .arg("--emulator")
        .arg(emulator)
        .arg("--peers")
        .arg(tools.folder())
        .arg("--json")
        .arg(&result));
    let medians: Value = serde_json::from_slice(&std::fs::read(result).unwrap()).unwrap();
    let of = |name: &str| medians[name].as_f64().unwrap();
    let [ours, with_a_bucket, hello, python, _] = SUBJECTS.map(of);
    println!(
        "  {:.1} times hello's, {:.1} with a bucket; Python takes {:.0} times as long",
        ours / hello,
        with_a_bucket / hello,
        python / ours
    );
    let subjects = SUBJECTS.map(|name| json!({ "subject": name, "seconds": of(name) / 1_000.0 }));
    json!({ "work": NAME, "says": SAYS, "toHello": ours / hello, "subjects": subjects })
}

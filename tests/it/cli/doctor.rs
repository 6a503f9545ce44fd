//! `campaigns doctor`: each check in a world in which it fails, and in one in which it does
//! not.

mod archive;
mod data;
mod gateway;
mod live;
mod service;
mod settings;
mod surroundings;

use std::process::Output;

use serde_json::Value;

use crate::harness::{World, terminal::command};

/// What a run has said.
pub(crate) struct Report {
    pub(crate) code: Option<i32>,
    checks: Vec<Value>,
    /// The text of a second run, its lines joined as they are to be read.
    text: Option<String>,
}

impl Report {
    /// Runs it twice, for its JSON and for its text.
    pub(crate) async fn of(arguments: &[&str]) -> Self {
        Self::with(arguments, &[]).await
    }

    /// The same with these variables.
    pub(crate) async fn with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let text = ran(arguments, variables).await;
        let json = ran(&[arguments, &["--json"]].concat(), variables).await;
        assert_eq!(text.status.code(), json.status.code());
        let mut report = Self::read(&json);
        let text = String::from_utf8(text.stdout).unwrap();
        for line in text.lines() {
            // A name that is wider stays whole, also where a command goes on after it.
            let is_word = !line.trim().trim_end_matches(" \\").contains(' ');
            assert!(line.chars().count() <= 80 || is_word, "{line}");
        }
        report.text = Some(joined(&text));
        report
    }

    /// Runs it once, for its JSON.
    pub(crate) async fn once(arguments: &[&str]) -> Self {
        let output = ran(&[arguments, &["--json"]].concat(), &[]).await;
        Self::read(&output)
    }

    pub(crate) fn read(output: &Output) -> Self {
        let said = serde_json::from_slice::<Value>(&output.stdout);
        let said = said.unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let report = Self {
            code: output.status.code(),
            checks: said["checks"].as_array().unwrap().clone(),
            text: None,
        };
        let failed = report
            .checks
            .iter()
            .any(|check| check["status"] == "failed");
        assert_eq!(report.code, Some(i32::from(failed)), "{said:#}");
        report
    }

    #[track_caller]
    pub(crate) fn check(&self, name: &str) -> &Value {
        let mut found = self.checks.iter().filter(|check| check["name"] == name);
        let check = found.next();
        let check = check.unwrap_or_else(|| panic!("no {name} in {:#?}", self.checks));
        assert!(found.next().is_none(), "{name} is there twice");
        check
    }

    /// Asserts a check's status and what it has seen, and that the remedy is in the text.
    #[track_caller]
    pub(crate) fn assert(&self, name: &str, status: &str, seen: &str) {
        let check = self.check(name);
        assert_eq!(check["status"], status, "{check:#}");
        let text = check["seen"].as_str().unwrap();
        assert!(text.contains(seen), "{seen}: {check:#}");
        let remedy = check["remedy"].as_str();
        assert_eq!(remedy.is_some(), status != "ok", "{check:#}");
        // Pasted without them, a command would change what has the same name at AWS, or the table
        // that a variable names.
        for line in remedy.into_iter().flat_map(str::lines) {
            let is_of = |begin: &[&str]| begin.iter().any(|begin| line.starts_with(begin));
            let of_the_table = is_of(&["aws dynamodb ", "campaigns key ", "campaigns cleanup "]);
            let is_local = line.contains(" --endpoint-url http://127.0.0.1:");
            assert_eq!(is_local, of_the_table || is_of(&["aws s3api "]), "{line}");
            assert!(line.contains(" --table-name ") || !of_the_table, "{line}");
        }
        if let (Some(remedy), Some(printed)) = (remedy, &self.text) {
            assert!(printed.contains(&joined(remedy)), "{remedy}\n{printed}");
        }
    }

    /// Asserts that a check is not there.
    #[track_caller]
    pub(crate) fn assert_without(&self, name: &str) {
        let mut found = self.checks.iter().filter(|check| check["name"] == name);
        assert!(found.next().is_none(), "{name}");
    }

    /// Asserts that nothing has failed.
    #[track_caller]
    pub(crate) fn assert_healthy(&self) {
        let failed = self
            .checks
            .iter()
            .filter(|check| check["status"] == "failed");
        let failed: Vec<_> = failed.collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }
}

/// Returns text without its line breaks, continuations and indentation.
fn joined(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| *word != "\\");
    words.collect::<Vec<_>>().join(" ")
}

async fn ran(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = command();
    command.arg("doctor").args(arguments);
    command.envs(variables.iter().copied());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// A world whose table has what the template's has.
async fn healthy() -> World {
    let world = World::new().await;
    world.table.enable_time_to_live().await.unwrap();
    world
}

/// The report on a world's table, through its proxy.
async fn report(world: &World, more: &[&str]) -> Report {
    let url = world.proxy.url();
    let table = ["--table-name", world.table.name(), "--endpoint-url", &url];
    Report::of(&[&table, more].concat()).await
}

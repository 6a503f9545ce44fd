//! The built `campaigns` as a process.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request, body::Bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;

use super::function::signal;

/// The path of the built `campaigns`.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_campaigns");

pub(crate) fn command() -> Command {
    without_variables(Command::new(PROGRAM))
}

fn without_variables(mut command: Command) -> Command {
    for variable in [
        "TABLE_NAME",
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_ENDPOINT_URL",
        "RUST_LOG",
    ] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
pub(crate) fn fails(output: &Output, code: i32, message: &str) {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(message), "{stderr}");
    if code == 1 {
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

/// A running `campaigns serve`, and what it has printed.
pub(crate) struct Serve {
    child: Child,
    printed: String,
}

impl Serve {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(&std::env::temp_dir(), arguments)
    }

    /// The same, in this directory.
    pub(crate) fn start_in(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = command();
        command.current_dir(directory);
        Self::spawn(command, arguments)
    }

    /// The same, by a command that is given the program and its arguments.
    pub(crate) fn start_by(mut by: Command, arguments: &[&str]) -> Self {
        by.arg(PROGRAM);
        Self::spawn(without_variables(by), arguments)
    }

    /// Another command that serves until it is stopped, with its arguments.
    pub(crate) fn start_command(arguments: &[&str]) -> Self {
        Self::until_served(command(), arguments)
    }

    fn spawn(command: Command, arguments: &[&str]) -> Self {
        let serve = ["serve", "--port", "0", "--dynamodb-port", "0"];
        Self::until_served(command, &[&serve[..], arguments].concat())
    }

    fn until_served(mut command: Command, arguments: &[&str]) -> Self {
        let mut child = command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let mut printed = String::new();
        while !printed.contains("Ctrl-C stops") {
            printed += &lines.next().expect("serve ended").unwrap();
            printed.push('\n');
        }
        Self { child, printed }
    }

    pub(crate) fn after(&self, text: &str) -> &str {
        let (_, after) = self.printed.split_once(text).unwrap();
        after.split_whitespace().next().unwrap()
    }

    pub(crate) fn endpoint_url(&self) -> String {
        self.after("its DynamoDB at ").to_owned()
    }

    /// Runs the pasted line that is printed below this text.
    pub(crate) async fn paste(&self, below: &str) -> (u16, Value) {
        let (_, after) = self.printed.split_once(below).unwrap();
        let line = after.lines().nth(1).unwrap();
        let (url, header) = line.split_once("-H").unwrap();
        let url = url.split_whitespace().last().unwrap().trim_matches('\'');
        let (_, authorization) = header.split_once(": ").unwrap();
        delete(url, authorization.trim_matches('\'')).await
    }

    /// Ctrl-C; what it prints then.
    pub(crate) fn interrupt(mut self) -> String {
        signal(self.child.id(), "INT");
        let mut rest = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success());
        rest
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // Already gone if it was interrupted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) async fn delete(url: &str, authorization: &str) -> (u16, Value) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::builder()
        .method(Method::DELETE)
        .uri(url)
        .header("authorization", authorization)
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = client.request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

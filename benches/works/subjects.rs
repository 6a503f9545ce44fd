//! Who deletes: the built `api`, as Lambda runs it, and its peers.

use std::{
    cell::LazyCell,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Instant,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};

use crate::{
    bucket::Bucket,
    endpoint::cpu_of,
    proxy::{Proxy, json_answer},
};

/// One who deletes.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// In `benches/peers`; `None` for `api`.
    pub(crate) file: Option<&'static str>,
    /// Whether it archives what it deletes.
    pub(crate) archives: bool,
}

impl Subject {
    const fn api(name: &'static str, archives: bool) -> Self {
        Self {
            name,
            file: None,
            archives,
        }
    }

    const fn peer(name: &'static str, file: &'static str) -> Self {
        Self {
            name,
            file: Some(file),
            archives: false,
        }
    }
}

/// The first is ours.
pub(crate) const SUBJECTS: [Subject; 7] = [
    Subject::api("api (this)", false),
    Subject::peer("boto3 batch_writer", "boto3_batch_writer.py"),
    Subject::peer("boto3, 16 threads", "boto3_threads.py"),
    Subject::peer("Node SDK, 16 in flight", "node_sdk.mjs"),
    Subject::peer("ElectroDB", "electrodb.mjs"),
    Subject::peer("boto3, by kind", "boto3_by_kind.py"),
    Subject::peer("Node SDK, by kind", "node_by_kind.mjs"),
];

/// Without an archive, and with one.
pub(crate) const ARCHIVING: [Subject; 2] = [
    Subject::api("api (this)", false),
    Subject::api("api, archiving", true),
];

/// What a deletion came to.
pub(crate) struct Done {
    pub(crate) seconds: f64,
    pub(crate) cpu: f64,
    pub(crate) peak_kib: Option<u64>,
}

/// Where the peers' libraries are.
pub(crate) struct Tools(PathBuf);

const PYTHON: &str = "boto3==1.40.0";
/// The AWS CLI, of the same release of the library below both.
const CLI: &str = "awscli==1.42.0";
/// It brings the emulator, and needs to run nothing else of it.
const EMULATOR: &str = "aws-sam-cli==1.170.0";
const NODE: [&str; 3] = [
    "electrodb@3.9.3",
    "@aws-sdk/client-dynamodb@3.1169.0",
    "@aws-sdk/lib-dynamodb@3.1169.0",
];

pub(crate) fn run(command: &mut Command) {
    let status = command.status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{command:?} has failed"
    );
}

impl Tools {
    /// Installs them where `.ci/run` keeps its tools, if they are not there.
    pub(crate) fn installed() -> Self {
        let folder = std::env::var("CAMPAIGNS_CI_TOOLS").map_or_else(
            |_| PathBuf::from(std::env::var("HOME").unwrap()).join(".cache/campaigns-ci"),
            PathBuf::from,
        );
        let folder = folder.join("bench");
        let packages = format!("{PYTHON} {CLI} {EMULATOR} {}", NODE.join(" "));
        if std::fs::read_to_string(folder.join("packages"))
            .ok()
            .as_ref()
            != Some(&packages)
        {
            println!("installing the peers' libraries in {}", folder.display());
            std::fs::create_dir_all(&folder).unwrap();
            run(Command::new("python3")
                .args(["-m", "venv"])
                .arg(folder.join("venv")));
            let pip = || {
                let mut pip = Command::new(folder.join("venv/bin/pip"));
                pip.args(["install", "--quiet"]);
                pip
            };
            run(pip().args([PYTHON, CLI]));
            run(pip().args(["--no-deps", EMULATOR]));
            run(Command::new("npm")
                .args([
                    "install",
                    "--silent",
                    "--no-audit",
                    "--no-fund",
                    "--ignore-scripts",
                    "--prefix",
                ])
                .arg(&folder)
                .args(NODE));
            let emulator = format!(
                "ln -sf {0}/venv/lib/*/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64 {0}/emulator \
                 && chmod +x {0}/emulator",
                folder.display()
            );
            run(Command::new("sh").args(["-c", &emulator]));
            std::fs::write(folder.join("packages"), packages).unwrap();
        }
        // Node looks for libraries beside the script.
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
        for file in std::fs::read_dir(peers).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
        Self(folder)
    }

    /// The folder of the peers, with their libraries.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }
}

pub(crate) fn environment(endpoint_url: &str) -> [(&'static str, String); 9] {
    [
        ("TABLE_NAME", "campaigns".to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", endpoint_url.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "local".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ("RATE_LIMIT_PER_MINUTE", "60".to_owned()),
        ("INLINE_BUDGET_SECONDS", "29".to_owned()),
        ("NODE_NO_WARNINGS", "1".to_owned()),
    ]
}

impl Subject {
    /// Deletes a campaign. A peer needs its libraries.
    pub(crate) async fn delete(
        &self,
        tools: &LazyCell<Tools>,
        proxy: &Proxy,
        bucket: &Bucket,
        campaign: &str,
    ) -> Done {
        match self.file {
            None => delete_by_api(proxy, self.archives.then_some(bucket), campaign).await,
            Some(file) => {
                let (file, folder) = (file.to_owned(), tools.0.clone());
                let (environment, campaign) = (environment(proxy.url()), campaign.to_owned());
                let peer = move || delete_by_peer(&folder, &file, environment, &campaign);
                tokio::task::spawn_blocking(peer).await.unwrap()
            }
        }
    }
}

fn delete_by_peer(
    folder: &Path,
    file: &str,
    environment: [(&'static str, String); 9],
    campaign: &str,
) -> Done {
    let is_python = Path::new(file).extension().is_some_and(|kind| kind == "py");
    let interpreter = if is_python {
        folder.join("venv/bin/python")
    } else {
        "node".into()
    };
    let output = Command::new(interpreter)
        .arg(folder.join(file))
        .arg(campaign)
        .envs(environment)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{file} has failed");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    Done {
        seconds: said["seconds"].as_f64().unwrap(),
        cpu: said["cpu"].as_f64().unwrap(),
        peak_kib: None,
    }
}

/// Lambda's Runtime API, as far as one function needs it: events go in, and the
/// answers come out.
struct Runtime {
    events: tokio::sync::Mutex<mpsc::Receiver<Value>>,
    answers: Mutex<Vec<Value>>,
    answered: Notify,
}

async fn serve(
    runtime: Arc<Runtime>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    if request.uri().path().ends_with("/invocation/next") {
        let Some(event) = runtime.events.lock().await.recv().await else {
            return std::future::pending().await;
        };
        let deadline = campaigns::clock::now_ms() + 60_000;
        let response = Response::builder()
            .header(
                "lambda-runtime-aws-request-id",
                "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
            )
            .header("lambda-runtime-deadline-ms", deadline.to_string())
            .header(
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-1:123456789012:function:api",
            )
            .body(Full::from(event.to_string()))
            .unwrap();
        return Ok(response);
    }
    let body = request.into_body().collect().await?.to_bytes();
    runtime
        .answers
        .lock()
        .unwrap()
        .push(serde_json::from_slice(&body).unwrap());
    runtime.answered.notify_one();
    Ok(json_answer(StatusCode::ACCEPTED, &json!({})))
}

/// Hands the event of a DELETE to a built `api` that is warm, and waits for 200.
async fn delete_by_api(proxy: &Proxy, bucket: Option<&Bucket>, campaign: &str) -> Done {
    let (sender, receiver) = mpsc::channel(1);
    let runtime = Arc::new(Runtime {
        events: tokio::sync::Mutex::new(receiver),
        answers: Mutex::default(),
        answered: Notify::new(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = runtime.clone();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let runtime = serving.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| serve(runtime.clone(), request));
                // The function's end breaks its connection.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    let archive = bucket.map(|bucket| {
        [
            ("ARCHIVE_BUCKET", "archive"),
            ("AWS_ENDPOINT_URL_S3", bucket.url()),
        ]
    });
    let mut api = Command::new(env!("CARGO_BIN_EXE_api"))
        .envs(environment(proxy.url()))
        .envs(archive.into_iter().flatten())
        .env("AWS_LAMBDA_RUNTIME_API", address)
        .env("AWS_LAMBDA_FUNCTION_NAME", "api")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let answer = async |event: Value| {
        sender.send(event).await.unwrap();
        runtime.answered.notified().await;
        runtime.answers.lock().unwrap().pop().unwrap()
    };
    // The first one warms it up.
    assert_eq!(answer(event("not-found", None)).await["statusCode"], 404);
    let cpu = cpu_of(api.id());
    let begun = Instant::now();
    let mut deleted = answer(event("delete", Some(campaign))).await;
    // What takes longer than one request: the next one continues, as `drain` would.
    while deleted["statusCode"] == 202 {
        deleted = answer(event("delete", Some(campaign))).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(deleted["statusCode"], 200, "{deleted}");
    let cpu = cpu_of(api.id()) - cpu;
    let status = std::fs::read_to_string(format!("/proc/{}/status", api.id())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak_kib = peak.trim().trim_end_matches(" kB").parse().ok();
    api.kill().unwrap();
    api.wait().unwrap();
    server.abort();
    Done {
        seconds,
        cpu,
        peak_kib,
    }
}

fn event(name: &str, campaign: Option<&str>) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("events/{name}.json"));
    let mut event: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    if let Some(campaign) = campaign {
        event["rawPath"] = format!("/v1/campaigns/{campaign}").into();
        event["pathParameters"] = json!({ "id": campaign });
    }
    event
}

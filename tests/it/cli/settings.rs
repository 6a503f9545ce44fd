//! What the environment, profiles and options of a machine may do to a command, and
//! what they may not.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use hyper::StatusCode;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
};
use uuid::Uuid;

use crate::{
    harness::function::{Answer, Binary, Function},
    harness::proxy::{Action, error},
    harness::terminal::{Serve, command, fails, run, stdout},
    harness::{World, delete_event},
};

/// An endpoint that is not of this machine to the terminal, and is all the same.
fn elsewhere(world: &World) -> String {
    world.proxy.url().replace("127.0.0.1", "0.0.0.0")
}

fn list(world: &World, url: &str) -> Command {
    let mut command = command();
    command.args(["list", "--table-name", world.table.name()]);
    command.args(["--endpoint-url", url]);
    command
}

/// A directory for one test.
fn directory() -> PathBuf {
    let directory = std::env::temp_dir().join(format!("campaigns-{}", Uuid::new_v4().simple()));
    fs::create_dir(&directory).unwrap();
    directory
}

/// A process without credentials and region, wherever it runs.
fn without_settings(mut command: Command, home: &Path) -> Command {
    command
        .env_clear()
        .env("HOME", home)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn no_ambient_setting_matters_on_this_machine() {
    let world = World::new().await;
    let home = directory();
    let config = home.join("config");
    fs::write(
        &config,
        "[profile broken]\nsso_session = nowhere\nregion = a b\n[[[",
    )
    .unwrap();
    for settings in [
        vec![("AWS_PROFILE", "missing")],
        vec![
            ("AWS_PROFILE", "broken"),
            ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ],
        vec![("AWS_ACCESS_KEY_ID", "")],
        vec![("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "")],
        vec![("AWS_USE_FIPS_ENDPOINT", "true")],
        vec![("AWS_USE_DUALSTACK_ENDPOINT", "true")],
        vec![("AWS_REGION", "eu central-1")],
        vec![("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "")],
        vec![("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")],
        vec![
            ("AWS_ENDPOINT_URL", "nonsense"),
            ("AWS_ENDPOINT_URL_SFN", "nonsense"),
        ],
        vec![
            ("SSL_CERT_FILE", "/nonexistent"),
            ("SSL_CERT_DIR", "/nonexistent"),
        ],
        vec![
            ("HTTP_PROXY", "http://127.0.0.1:9"),
            ("ALL_PROXY", "http://127.0.0.1:9"),
        ],
        vec![("AWS_MAX_ATTEMPTS", "many"), ("AWS_RETRY_MODE", "odd")],
        vec![("TABLE_NAME", ""), ("RUST_LOG", ""), ("LEASE_SECONDS", "")],
        vec![
            ("RUST_LOG", "info,hyper=warn"),
            ("NO_COLOR", "1"),
            ("TERM", "dumb"),
        ],
        vec![("RUST_LOG", "info,hyper=loud")],
        vec![("LANG", "xx_YY"), ("LC_ALL", "C")],
    ] {
        let mut command = list(&world, &world.proxy.url());
        let output = command.envs(settings.clone()).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{settings:?}: {shown}");
        assert!(stdout(&output).starts_with("ID"), "{settings:?}");
    }
}

#[test]
fn a_setting_that_waiting_cannot_fix_is_reported_at_once() {
    let home = directory();
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    let region = ("AWS_REGION", "eu-central-1");
    for (arguments, settings, expected) in [
        (vec![], vec![region], "no AWS credentials: "),
        (
            vec![],
            vec![region, ("AWS_PROFILE", "missing")],
            "no AWS credentials: ",
        ),
        (vec![], keys.to_vec(), "AWS_REGION is not set; allowed: "),
        (
            vec![],
            [&keys[..], &[("AWS_REGION", "eu central-1")]].concat(),
            "AWS_REGION is 'eu central-1'; allowed: ",
        ),
        (
            vec!["--endpoint-url", "localhost:8000"],
            vec![],
            "AWS_ENDPOINT_URL_DYNAMODB is 'localhost:8000'; allowed: a URL such as http://127",
        ),
        (
            vec![],
            vec![("AWS_ENDPOINT_URL", "localhost")],
            "is 'localhost'; allowed: a URL such as ",
        ),
        (
            vec!["--endpoint-url", "http://127.0.0.1:1"],
            vec![],
            "nothing is listening at http://127.0.0.1:1: start `campaigns serve`",
        ),
        (
            vec![],
            [
                &keys[..],
                &[
                    region,
                    ("SSL_CERT_FILE", "/nonexistent"),
                    ("SSL_CERT_DIR", "/nonexistent"),
                ],
            ]
            .concat(),
            "there are no CA certificates on this machine: ",
        ),
        (
            vec!["--endpoint-url", "http://10.255.255.1:8000"],
            [&keys[..], &[region, ("AWS_USE_FIPS_ENDPOINT", "true")]].concat(),
            "AWS_ENDPOINT_URL_DYNAMODB is set, and so is AWS_USE_FIPS_ENDPOINT; allowed: only one",
        ),
        (
            vec!["--endpoint-url", "http://10.255.255.1:8000"],
            [&keys[..], &[region, ("AWS_USE_DUALSTACK_ENDPOINT", "true")]].concat(),
            "AWS_ENDPOINT_URL_DYNAMODB is set, and so is AWS_USE_DUALSTACK_ENDPOINT; allowed: ",
        ),
    ] {
        let mut command = without_settings(command(), &home);
        command.arg("list").args(arguments).envs(settings);
        let begun = Instant::now();
        fails(&command.output().unwrap(), 1, expected);
        assert!(begun.elapsed() < Duration::from_secs(8), "{expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_does_not_start_with_what_cannot_work() {
    for (binary, name) in [
        (env!("CARGO_BIN_EXE_api"), "api"),
        (env!("CARGO_BIN_EXE_drain"), "drain"),
        (env!("CARGO_BIN_EXE_cleanup"), "cleanup"),
    ] {
        let home = directory();
        let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        let region = ("AWS_REGION", "eu-central-1");
        for (settings, expected) in [
            (keys.to_vec(), "AWS_REGION is not set; allowed: "),
            (vec![region], "no AWS credentials: "),
            (
                [
                    &keys[..],
                    &[region, ("AWS_ENDPOINT_URL_DYNAMODB", "localhost:8000")],
                ]
                .concat(),
                "AWS_ENDPOINT_URL_DYNAMODB is 'localhost:8000'; allowed: ",
            ),
        ] {
            let mut command = without_settings(Command::new(binary), &home);
            let output = command
                .envs([
                    ("TABLE_NAME", "campaigns"),
                    ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1"),
                ])
                .envs([
                    ("AWS_LAMBDA_FUNCTION_NAME", "f"),
                    ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
                ])
                .envs([("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")])
                .envs(settings)
                .output()
                .unwrap();
            fails(&output, 1, &format!("{name}: {expected}"));
        }
    }
}

/// A proxy that notes the hosts it is asked for, and connects to none.
async fn recording_proxy() -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut line = String::new();
            if BufReader::new(stream).read_line(&mut line).await.is_ok() {
                let _ = asked.send(line);
            }
        }
    });
    (url, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_calls_through_the_proxy_and_to_fips_endpoints() {
    let world = World::new().await;
    for (fips, host) in [
        ("false", "dynamodb.us-east-1.amazonaws.com:443"),
        ("true", "dynamodb-fips.us-east-1.amazonaws.com:443"),
    ] {
        let (proxy, mut seen) = recording_proxy().await;
        let settings = [
            ("HTTPS_PROXY", proxy.as_str()),
            ("AWS_USE_FIPS_ENDPOINT", fips),
            // As the template sets it, so that `sam local` can replace it.
            ("AWS_ENDPOINT_URL_DYNAMODB", ""),
            ("INLINE_BUDGET_SECONDS", "2"),
        ];
        let event = delete_event("campaign_1");
        let function = Function::start(Binary::Api, &world, vec![event], &settings).await;
        let asked = tokio::time::timeout(Duration::from_secs(20), seen.recv()).await;
        let asked = asked.unwrap().unwrap();
        assert!(asked.starts_with(&format!("CONNECT {host} ")), "{asked}");
        let answers = function.answers(1).await;
        assert!(matches!(&answers[0], Answer::Response(answer) if answer["statusCode"] == 500));
        function.kill();
    }
}

/// What is right when it is sent again, and is sent again once.
const OF_SIGNING: [&str; 5] = [
    "InvalidSignatureException",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "ExpiredTokenException",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_request_refused_for_its_signature_is_sent_again_once() {
    for code in OF_SIGNING {
        let world = World::new().await;
        world.put_campaign("campaign_1", &[]).await;
        world
            .put_children("campaign_1", &["CHAT#1".to_owned()])
            .await;
        // The first request of each kind, as that of a new process whose clock is off.
        world.proxy.policy(move |call| match call.nth {
            0 => error(StatusCode::BAD_REQUEST, code),
            _ => Action::Pass,
        });
        let reply = world.delete("campaign_1").await;
        assert_eq!(reply.status, 200, "{code}: {}", reply.body);
        assert_eq!(reply.deleted_items()["chats"], 1, "{code}");

        world
            .proxy
            .policy(move |_| error(StatusCode::BAD_REQUEST, code));
        let begun = Instant::now();
        let output = list(&world, &world.proxy.url()).output().unwrap();
        fails(&output, 1, code);
        assert!(begun.elapsed() < Duration::from_secs(5), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_credentials_are_read_again() {
    let world = World::new().await;
    let home = directory();
    let runs = home.join("runs");
    let credentials = r#"{"Version":1,"AccessKeyId":"a","SecretAccessKey":"b"}"#;
    let process = home.join("credentials.sh");
    let script = format!(
        "#!/bin/sh\necho run >> {}\necho '{credentials}'\n",
        runs.display()
    );
    fs::write(&process, script).unwrap();
    let config = home.join("config");
    let profile = format!(
        "[profile process]\nregion = us-east-1\ncredential_process = sh {}\n",
        process.display()
    );
    fs::write(&config, profile).unwrap();
    let listed = |expected_runs: usize| {
        let _ = fs::remove_file(&runs);
        let mut command = without_settings(list(&world, &elsewhere(&world)), &home);
        command.envs([
            ("AWS_PROFILE", "process"),
            ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ]);
        stdout(&command.output().unwrap());
        assert_eq!(
            fs::read_to_string(&runs).unwrap().lines().count(),
            expected_runs
        );
    };
    listed(1);
    world.proxy.policy(|call| match call.nth {
        0 => error(StatusCode::BAD_REQUEST, "ExpiredTokenException"),
        _ => Action::Pass,
    });
    listed(2);
}

#[test]
fn a_profile_of_identity_center_says_how_to_sign_in() {
    let home = directory();
    let config = home.join("config");
    fs::write(
        &config,
        "[profile staff]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Admin\n\
         region = eu-central-1\n[sso-session corp]\nsso_region = eu-central-1\n\
         sso_start_url = https://corp.awsapps.com/start\n",
    )
    .unwrap();
    let mut command = without_settings(command(), &home);
    command.args(["list"]).envs([
        ("AWS_PROFILE", "staff"),
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
    ]);
    let output = command.output().unwrap();
    fails(&output, 1, "no AWS credentials: ");
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    // Its token is what is missing, not this program's support of it.
    assert!(
        said.contains("token") && !said.contains("feature"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_the_same_everywhere() {
    let world = World::new().await;
    let url = world.proxy.url();
    let long = "a".repeat(1_025);
    for account in ["", " ", "a\nb", long.as_str()] {
        for arguments in [
            vec!["key", "issue", "--account", account],
            vec!["key", "list", "--account", account],
            vec!["list", "--account", account],
            vec!["status", "--account", account],
            vec!["audit", "--account", account],
            vec!["seed", "campaign_1", "--account", account],
        ] {
            let at = [
                "--table-name",
                world.table.name(),
                "--endpoint-url",
                url.as_str(),
            ];
            let output = run(&[&arguments[..], &at[..]].concat());
            fails(&output, 2, "must be 1 to 1024 bytes, not blank");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_state_machine_has_its_own_confirmation() {
    let world = World::new().await;
    world.put_campaign("campaign_1", &[]).await;
    let before = world.dump().await;
    let arn = "arn:aws:states:eu-central-1:123456789012:stateMachine:production";
    let url = world.proxy.url();
    let output = command()
        .args([
            "delete",
            "campaign_1",
            "--no-wait",
            "--table-name",
            world.table.name(),
        ])
        .args(["--endpoint-url", &url])
        .env("STATE_MACHINE_ARN", arn)
        .env_remove("AWS_ENDPOINT_URL_SFN")
        .output()
        .unwrap();
    fails(
        &output,
        1,
        &format!("pass --yes to start executions of {arn}"),
    );
    assert_eq!(world.dump().await, before);
    // Nothing is asked for what is not done: without --no-wait, this terminal drains.
    let output = command()
        .args(["delete", "campaign_1", "--table-name", world.table.name()])
        .args(["--endpoint-url", &url])
        .env("STATE_MACHINE_ARN", arn)
        .output()
        .unwrap();
    assert!(stdout(&output).contains("succeeded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_options_of_serve_are_read_as_a_function_reads_them() {
    let serve = Serve::start(&[
        "--rate-limit-per-minute",
        "1",
        "--inline-budget-seconds",
        "0",
    ]);
    let (status, _) = serve.paste("Delete \"Q4").await;
    assert_eq!(status, 202);
    let (status, body) = serve.paste("Delete \"Q4").await;
    assert_eq!(
        (status, body["error"].as_str()),
        (429, Some("rate_limit_exceeded"))
    );
    for (option, value) in [
        ("--rate-limit-per-minute", "1000001"),
        ("--inline-budget-seconds", "30"),
    ] {
        let output = run(&[
            "serve",
            "--port",
            "0",
            "--dynamodb-port",
            "0",
            option,
            value,
        ]);
        fails(&output, 2, option);
    }
    let output = run(&[
        "serve",
        "--port",
        "0",
        "--dynamodb-port",
        "0",
        "--table-name",
        "a b",
    ]);
    fails(&output, 2, "TABLE_NAME is 'a b'; allowed: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_of_the_option_is_the_one_that_is_called() {
    let world = World::new().await;
    let home = directory();
    let config = home.join("config");
    let nobody = "http://127.0.0.1:1";
    let profile = format!(
        "[default]\nendpoint_url = {nobody}\nservices = all\n[services all]\ndynamodb =\n  endpoint_url = {nobody}\n"
    );
    fs::write(&config, profile).unwrap();
    let mut command = without_settings(list(&world, &elsewhere(&world)), &home);
    command.envs([
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_ENDPOINT_URL", nobody),
        ("AWS_ENDPOINT_URL_DYNAMODB", nobody),
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
    ]);
    assert!(stdout(&command.output().unwrap()).starts_with("ID"));
}

//! `campaigns receipt`, and the keys of the local server.

use std::{fs, path::PathBuf};

use serde_json::Value;
use uuid::Uuid;

use crate::harness::terminal::{Serve, fails, run, stdout};

/// A new folder, which is removed again.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("receipts-{}", Uuid::new_v4().simple()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Deletes the demo campaign; its deletion, and the key that it was deleted with.
async fn deleted(serve: &Serve) -> (String, String, String) {
    let (status, body) = serve.paste("Delete \"Q4 Enterprise Outreach\"").await;
    assert_eq!(status, 200);
    let id = body["deletionSummary"]["deletionId"]
        .as_str()
        .unwrap()
        .to_owned();
    let url = serve
        .after("The API is at ")
        .trim_end_matches(',')
        .to_owned();
    let key = serve.after("Bearer ").trim_matches('\'').to_owned();
    (id, url, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_got_and_verified_with_kept_keys() {
    let folder = Folder::new();
    let serve = Serve::start(&[]);
    let (id, url, key) = deleted(&serve).await;
    let get = ["receipt", "get", &id, "--api-url", &url, "--key", &key];
    let receipt = stdout(&run(&get));
    let file = folder.file("receipt.jws", &receipt);
    let jwks = format!("{url}/v1/jwks.json");
    let said = stdout(&run(&["receipt", "verify", &file, "--jwks", &jwks]));
    for expected in [
        "The receipt holds",
        "campaign_123",
        &id,
        &url,
        "837 items",
        "others: not known",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build_http::<http_body_util::Empty<hyper::body::Bytes>>();
    let answer = client.get(jwks.parse().unwrap()).await.unwrap();
    let body = http_body_util::BodyExt::collect(answer.into_body())
        .await
        .unwrap();
    let kept = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    let kept = folder.file("jwks.json", &kept);
    serve.interrupt();
    // Whoever has signed it is gone.
    let json = stdout(&run(&[
        "receipt", "verify", &file, "--jwks", &kept, "--json",
    ]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["jti"], id);
    let mut other = receipt.clone().into_bytes();
    other[40] ^= 1;
    let changed = folder.file("changed.jws", &String::from_utf8_lossy(&other));
    let verify = |file: &str, jwks: &str| run(&["receipt", "verify", file, "--jwks", jwks]);
    fails(&verify(&changed, &kept), 1, "the receipt does not hold: ");
    fails(
        &verify(&kept, &kept),
        1,
        "it is not the receipt of a deletion",
    );
    fails(&verify("/nowhere", &kept), 1, "cannot read /nowhere");
    fails(&verify(&file, "/nowhere"), 1, "cannot read /nowhere");
    fails(&verify(&file, &file), 1, "cannot read ");
    fails(&run(&get), 1, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_given_says_why() {
    let serve = Serve::start(&[]);
    let (id, url, key) = deleted(&serve).await;
    let get = |id: &str, key: &str| run(&["receipt", "get", id, "--api-url", &url, "--key", key]);
    let unknown = Uuid::new_v4().to_string();
    fails(&get(&unknown, &key), 1, "404 not_found: Deletion not found");
    fails(&get(&id, &"x".repeat(40)), 1, "401 invalid_api_key");
    // A generated key may begin with a hyphen.
    let hyphens = format!("-I{}", &"-".repeat(38));
    fails(&get(&id, &hyphens), 1, "401 invalid_api_key");
    fails(&get(&id, "-I"), 2, "must be 40 characters");
    fails(&get("x", &key), 2, "must be the id of a deletion");
    let json = [
        "receipt",
        "get",
        &id,
        "--api-url",
        &url,
        "--key",
        &key,
        "--json",
    ];
    let json: Value = serde_json::from_str(&stdout(&run(&json))).unwrap();
    assert_eq!(json["claims"]["sub"], "campaign_123");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_server_signs_with_a_key_of_ones_own() {
    let folder = Folder::new();
    // Made with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256
    let key = folder.file("key.pem", KEY);
    let mut kids = Vec::new();
    for arguments in [
        &["--receipt-key", key.as_str()][..],
        &["--receipt-key", &key],
        &[],
    ] {
        let serve = Serve::start(arguments);
        let (id, url, api_key) = deleted(&serve).await;
        let get = ["receipt", "get", &id, "--api-url", &url, "--key", &api_key];
        let receipt = stdout(&run(&get));
        kids.push(
            jsonwebtoken::decode_header(receipt.trim())
                .unwrap()
                .kid
                .unwrap(),
        );
    }
    assert_eq!(kids[0], kids[1]);
    assert_ne!(kids[0], kids[2]);
    let bad = folder.file("bad.pem", "no key");
    for (file, why) in [
        (bad.as_str(), "no private key of P-256"),
        ("/nowhere", "cannot read the key"),
    ] {
        let serve = [
            "serve",
            "--port",
            "0",
            "--dynamodb-port",
            "0",
            "--receipt-key",
            file,
        ];
        fails(&run(&serve), 1, why);
    }
}

/// A key for tests alone.
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQclvy9/ayNk8JOkx\n\
v9VWZPSoYKIo6IA+0N6mCtyOI5ihRANCAARJzFUu5kG28cuQ4C9HNIk2qGNIC8bS\n\
5by5EtHaDYv5brX8YaeMCrMrgl/XXBk6R4NWOPVuAW64R/r5wa3ragUT\n\
-----END PRIVATE KEY-----
";

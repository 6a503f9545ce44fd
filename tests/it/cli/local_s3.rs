//! The local S3: what it takes, what it refuses, and what is left of a refusal. An archive
//! is checked against it, so where it is milder than S3, a test would show nothing.

use std::{collections::HashMap, fs, process::Command};

use aws_sdk_s3::{
    Client,
    config::{Builder, Credentials},
    primitives::ByteStream,
    types::{ChecksumAlgorithm, ChecksumMode},
};
use campaigns::{cli::local_s3::BUCKET, sdk};

use crate::harness::{
    bucket::{Bucket, Stored, client, code, put},
    proxy::Action,
    terminal::{Serve, fails, run},
};

/// Some other SHA-256 than that of the object.
const WRONG: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

fn stored(bytes: &[u8]) -> Stored {
    Stored {
        bytes: bytes.to_vec(),
        content_type: Some("application/gzip".to_owned()),
        metadata: HashMap::from([("items".to_owned(), "7".to_owned())]),
    }
}

#[tokio::test]
async fn an_object_comes_back_as_it_was_put() {
    let bucket = Bucket::start().await;
    let client = bucket.client();
    for (key, bytes) in [
        ("deletions/account/id/data/a-1.json.gz", &b"\x1f\x8b\0"[..]),
        ("deletions/ä b#%/../.id", b""),
        ("deletions/large", &vec![7; 3 * 1024 * 1024]),
    ] {
        put(&client, key, bytes).await.unwrap();
        assert_eq!(bucket.object(key).await.unwrap(), stored(bytes), "{key}");
        assert_eq!(bucket.keys(key).await, [key]);
        let head = client.head_object().bucket(BUCKET).key(key);
        let head = head.checksum_mode(ChecksumMode::Enabled);
        let head = head.send().await.unwrap();
        assert_eq!(head.content_length, i64::try_from(bytes.len()).ok());
        assert_eq!(head.metadata.unwrap()["items"], "7");
        assert!(head.checksum_sha256.is_some());
    }
    let key = "deletions/account/id/data/a-1.json.gz";
    put(&client, key, b"again").await.unwrap();
    assert_eq!(bucket.object(key).await.unwrap(), stored(b"again"));
    let file = bucket.directory.join(BUCKET).join(key);
    assert_eq!(fs::read(file).unwrap(), b"again");
}

#[tokio::test]
async fn a_wrong_checksum_is_refused_and_nothing_is_stored() {
    let bucket = Bucket::start().await;
    put(&bucket.client(), "kept", b"kept").await.unwrap();
    for key in ["kept", "new"] {
        let wrong = bucket.client().put_object().bucket(BUCKET).key(key);
        let wrong = wrong.checksum_sha256(WRONG);
        let wrong = wrong.body(ByteStream::from_static(b"other"));
        assert_eq!(wrong.send().await.map_err(code).unwrap_err(), "BadDigest");
        // The same, changed on the way.
        bucket.policy(|call| {
            call.body.0 = vec![b'x'; call.body.0.len()].into();
            Action::Pass
        });
        let changed = put(&bucket.proxied(), key, b"other").await;
        assert_eq!(changed.unwrap_err(), "IncompleteBody");
    }
    assert_eq!(bucket.object("kept").await.unwrap(), stored(b"kept"));
    assert_eq!(bucket.keys("").await, ["kept"]);
}

#[tokio::test]
async fn an_object_changed_on_the_disk_fails_its_checksum() {
    let bucket = Bucket::start().await;
    put(&bucket.client(), "key", b"bytes").await.unwrap();
    fs::write(bucket.directory.join(BUCKET).join("key"), b"bytez").unwrap();
    let get = bucket.client().get_object().bucket(BUCKET).key("key");
    let got = get.checksum_mode(ChecksumMode::Enabled).send().await;
    assert!(got.unwrap().body.collect().await.is_err());
}

#[tokio::test]
async fn other_checksums_and_conditions_are_not_ignored() {
    let bucket = Bucket::start().await;
    let client = bucket.client();
    let put = |algorithm| {
        let put = client.put_object().bucket(BUCKET).key("key");
        let put = put.checksum_algorithm(algorithm);
        put.body(ByteStream::from_static(b"bytes"))
    };
    let sha256 = || put(ChecksumAlgorithm::Sha256);
    for put in [
        put(ChecksumAlgorithm::Crc32),
        sha256().if_match("\"tag\""),
        sha256().content_md5("AA=="),
    ] {
        let refused = put.send().await.map_err(code).unwrap_err();
        assert_eq!(refused, "NotImplemented");
    }
    let delete = client.delete_object().bucket(BUCKET).key("key");
    let refused = delete.send().await.map_err(code).unwrap_err();
    assert_eq!(refused, "NotImplemented");
    assert_eq!(bucket.keys("").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_puts_of_a_new_object_wins() {
    let bucket = Bucket::start().await;
    let puts = (0..20_u8).map(|byte| {
        let put = bucket.client().put_object().bucket(BUCKET).key("key");
        let put = put.checksum_algorithm(ChecksumAlgorithm::Sha256);
        let put = put.if_none_match("*").body(ByteStream::from(vec![byte; 9]));
        tokio::spawn(async move { put.send().await.map(|_| byte).map_err(code) })
    });
    let mut won = Vec::new();
    for put in puts.collect::<Vec<_>>() {
        match put.await.unwrap() {
            Ok(byte) => won.push(byte),
            Err(code) => assert_eq!(code, "PreconditionFailed"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(bucket.object("key").await.unwrap().bytes, [won[0]; 9]);
}

#[tokio::test]
async fn a_listing_has_pages_and_folders() {
    let bucket = Bucket::start().await;
    let keys = ["a/1/x", "a/1/y", "a/2", "a/3/x", "a/3/y", "a0", "b/1"];
    for key in keys {
        put(&bucket.client(), key, b"").await.unwrap();
    }
    assert_eq!(bucket.keys("").await, keys);
    assert_eq!(bucket.keys("a/").await, keys[..5]);
    assert_eq!(bucket.keys("a/1").await, keys[..2]);
    for page in 1..5 {
        let client = bucket.client();
        let list = client.list_objects_v2().bucket(BUCKET);
        let list = list.prefix("a/").delimiter("/").max_keys(page);
        let mut pages = list.into_paginator().send();
        let mut shown = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.unwrap();
            let folders = page.common_prefixes.unwrap_or_default();
            shown.extend(folders.into_iter().map(|folder| folder.prefix.unwrap()));
            let objects = page.contents.unwrap_or_default();
            shown.extend(objects.into_iter().map(|object| object.key.unwrap()));
        }
        shown.sort();
        assert_eq!(shown, ["a/1/", "a/2", "a/3/"], "pages of {page}");
    }
}

#[tokio::test]
async fn a_missing_bucket_and_other_keys_are_refused() {
    let bucket = Bucket::start().await;
    let client = bucket.client();
    let missing = client.put_object().bucket("missing").key("key");
    let missing = missing.checksum_algorithm(ChecksumAlgorithm::Sha256);
    let missing = missing.body(ByteStream::from_static(b"bytes"));
    assert_eq!(
        missing.send().await.map_err(code).unwrap_err(),
        "NoSuchBucket"
    );
    let missing = client.get_object().bucket("missing").key("key");
    assert_eq!(
        missing.send().await.map_err(code).unwrap_err(),
        "NoSuchBucket"
    );
    let missing = client.list_objects_v2().bucket("missing").send().await;
    assert_eq!(missing.map_err(code).unwrap_err(), "NoSuchBucket");
    assert!(!bucket.directory.join("missing").exists());
    for (key, secret, expected) in [
        ("local", "other", "SignatureDoesNotMatch"),
        ("other", "local", "InvalidAccessKeyId"),
    ] {
        let credentials = Credentials::new(key, secret, None, None, "test");
        let config = Builder::from(&sdk::on_this_machine(&bucket.url()));
        let config = config.credentials_provider(credentials);
        let other = Client::from_conf(config.force_path_style(true).build());
        let refused = put(&other, "key", b"bytes").await.unwrap_err();
        assert_eq!(refused, expected);
    }
    assert_eq!(bucket.keys("").await, [""; 0]);
}

#[tokio::test]
async fn a_directory_that_fails_is_an_error_of_s3() {
    let bucket = Bucket::start().await;
    let client = bucket.client();
    let deletions = bucket.directory.join(BUCKET).join("deletions");
    fs::write(&deletions, b"a file in the place of a folder").unwrap();
    let failed = put(&client, "deletions/key", b"bytes").await;
    assert_eq!(failed.unwrap_err(), "InternalError");
    fs::remove_file(&deletions).unwrap();
    let incoming = bucket.directory.join(".incoming");
    assert_eq!(fs::read_dir(&incoming).unwrap().count(), 0);
    fs::remove_dir(&incoming).unwrap();
    let failed = put(&client, "deletions/key", b"bytes").await;
    assert_eq!(failed.unwrap_err(), "InternalError");
    assert_eq!(bucket.keys("").await, [""; 0]);
    fs::create_dir(&incoming).unwrap();
    put(&client, "deletions/key", b"bytes").await.unwrap();
    fs::remove_dir_all(&bucket.directory).unwrap();
    let failed = put(&client, "deletions/key", b"bytes").await;
    assert_eq!(failed.unwrap_err(), "NoSuchBucket");
}

#[tokio::test]
async fn a_full_disk_is_an_error_of_s3() {
    let directory = std::env::temp_dir().join(format!("campaigns-{}", uuid::Uuid::new_v4()));
    // No file may grow beyond 64 blocks of 512 or 1,024 bytes, as the shell has it.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""]);
    let archive = ["--archive", directory.to_str().unwrap(), "--s3-port", "0"];
    let serve = Serve::start_by(limited, &archive);
    let client = client(serve.after("Its S3 is at "));
    put(&client, "before", b"bytes").await.unwrap();
    let failed = put(&client, "large", &vec![7; 128 * 1024]).await;
    assert_eq!(failed.unwrap_err(), "InternalError");
    put(&client, "after", b"bytes").await.unwrap();
    let listed = client.list_objects_v2().bucket(BUCKET).send().await;
    let listed = listed.unwrap().contents.unwrap();
    let keys: Vec<_> = listed.iter().filter_map(|object| object.key()).collect();
    assert_eq!(keys, ["after", "before"]);
    drop(serve);
    fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn serve_keeps_its_archive_and_has_it_alone() {
    let directory = std::env::temp_dir().join(format!("campaigns-{}", uuid::Uuid::new_v4()));
    let archive = ["--archive", directory.to_str().unwrap(), "--s3-port", "0"];
    let serve = Serve::start(&archive);
    let url = serve.after("Its S3 is at ").to_owned();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    put(&client(&url), "key", b"bytes").await.unwrap();
    let other = [
        &["serve", "--port", "0", "--dynamodb-port", "0"],
        &archive[..],
    ]
    .concat();
    fails(&run(&other), 1, "is in use by another `campaigns serve`");
    serve.interrupt();
    let stopped = put(&client(&url), "key", b"bytes").await;
    assert_eq!(stopped.unwrap_err(), "lost");
    let serve = Serve::start(&archive);
    let again = client(serve.after("Its S3 is at "));
    let got = again.get_object().bucket(BUCKET).key("key").send().await;
    let got = got.unwrap().body.collect().await.unwrap();
    assert_eq!(got.to_vec(), b"bytes");
    drop(serve);
    fs::remove_dir_all(&directory).unwrap();
    fs::write(&directory, b"").unwrap();
    fails(&run(&other), 1, "cannot keep an archive in ");
    fs::remove_file(directory).unwrap();
    fails(&run(&["serve", "--s3-port", "9001"]), 2, "--archive");
}

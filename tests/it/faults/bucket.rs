//! The faults of the bucket are what they say: what the sender sees, and what is stored.

use std::time::Duration;

use campaigns::cli::local_s3::BUCKET;

use crate::harness::{
    World,
    bucket::{Bucket, put},
    proxy::{Action, access_denied, expired_token, slow_down},
};

#[tokio::test]
async fn each_fault_of_a_put_is_what_it_says() {
    let bucket = World::new().await.s3;
    let late = Duration::from_millis(200);
    for (fault, seen, is_stored) in [
        (Action::Pass, Ok(()), true),
        (Action::Delay(late), Ok(()), true),
        (Action::LoseRequest, Err("lost"), false),
        (Action::HalfRequest, Err("lost"), false),
        (Action::LoseAnswer, Err("lost"), true),
        (Action::Late(late), Err("lost"), false),
        (slow_down(), Err("SlowDown"), false),
        (access_denied(), Err("AccessDenied"), false),
        (expired_token(), Err("ExpiredToken"), false),
    ] {
        let is_late = matches!(fault, Action::Late(_));
        let key = format!("deletions/{}", uuid::Uuid::new_v4());
        bucket.policy(move |call| match (call.operation, call.nth) {
            ("PutObject", 0) => fault.clone(),
            _ => Action::Pass,
        });
        let put = put(&bucket.proxied(), &key, &vec![7; 100_000]).await;
        assert_eq!(put, seen.map_err(ToOwned::to_owned));
        let stored = bucket.keys(&key).await;
        assert_eq!(stored.len(), usize::from(is_stored), "{seen:?}");
        bucket.settle().await;
        let stored = bucket.keys(&key).await;
        assert_eq!(stored.len(), usize::from(is_stored || is_late), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_can_be_paused() {
    let bucket = Bucket::start().await;
    let pause = bucket.pause_at(|call| call.path.ends_with("/manifest.json"));
    let client = bucket.proxied();
    put(&client, "data/1", b"bytes").await.unwrap();
    let paused = tokio::spawn(async move { put(&client, "manifest.json", b"bytes").await });
    pause.reached().await;
    assert_eq!(bucket.keys("").await, ["data/1"]);
    pause.resume();
    paused.await.unwrap().unwrap();
    assert_eq!(bucket.keys("").await, ["data/1", "manifest.json"]);
    let paths: Vec<_> = bucket.exchanges().into_iter().map(|e| e.path).collect();
    assert_eq!(paths, ["/archive/data/1", "/archive/manifest.json"]);
}

#[tokio::test]
async fn half_an_answer_is_not_taken_for_an_object() {
    let bucket = Bucket::start().await;
    put(&bucket.client(), "key", &vec![7; 100_000])
        .await
        .unwrap();
    let get = || bucket.proxied().get_object().bucket(BUCKET).key("key");
    let got = get().send().await.unwrap().body.collect().await;
    assert_eq!(got.unwrap().to_vec(), vec![7; 100_000]);
    bucket.policy(|_| Action::HalfAnswer);
    let got = get().send().await.unwrap();
    assert_eq!(got.content_length, Some(100_000));
    assert!(got.body.collect().await.is_err());
}

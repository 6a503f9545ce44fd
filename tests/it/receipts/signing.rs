//! The key: it signs, or there is no receipt; never a wrong one, and never one that is unsigned.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use serde_json::json;

use super::{KEYS, Kms, assert_holds, deleted, keys, receipt_of, signing};
use crate::harness::{
    proxy::{Action, internal_error},
    send,
    worlds::world,
};

fn refused(code: &str) -> Action {
    Action::Answer(
        StatusCode::BAD_REQUEST,
        json!({"__type": code, "message": "made by the fault layer"}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_does_not_sign_gives_no_receipt() {
    let world = world(5).await;
    let id = deleted(&world).await;
    for operation in ["GetPublicKey", "Sign"] {
        for action in [
            refused("DisabledException"),
            refused("AccessDeniedException"),
            refused("KMSInvalidStateException"),
            Action::Answer(StatusCode::OK, json!({})),
            Action::Answer(
                StatusCode::OK,
                json!({"Signature": "AAAA", "PublicKey": "AAAA"}),
            ),
        ] {
            let kms = Kms::start().await;
            let api = signing(&world, &kms, &KEYS[..1]).await;
            let fault = action.clone();
            kms.policy(move |call| match call.operation {
                called if called == operation => fault.clone(),
                _ => Action::Pass,
            });
            let reply = send(&api, receipt_of(&id)).await;
            reply.assert(503, "unavailable");
            assert_eq!(reply.headers["retry-after"], "2");
            // Waiting would not help.
            assert_eq!(kms.asked(operation), 1);
            kms.pass();
            assert_holds(&api, &send(&api, receipt_of(&id)).await).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_or_lost_request_is_repeated() {
    let world = world(5).await;
    let id = deleted(&world).await;
    for (action, answered) in [
        (refused("ThrottlingException"), 2),
        (refused("ExpiredTokenException"), 2),
        (
            Action::Answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                json!({"__type": "KMSInternalException"}),
            ),
            2,
        ),
        (Action::LoseAnswer, 1),
    ] {
        let kms = Kms::start().await;
        let api = signing(&world, &kms, &KEYS[..1]).await;
        kms.policy(move |call| match call.nth {
            // The answer to the second one is the first that arrives, if one was lost.
            0 => action.clone(),
            _ => Action::Pass,
        });
        assert_holds(&api, &send(&api, receipt_of(&id)).await).await;
        let asked = (kms.asked("GetPublicKey"), kms.asked("Sign"));
        assert_eq!(asked, (answered, answered));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_key_is_not_waited_for_longer_than_its_time() {
    let world = world(5).await;
    let id = deleted(&world).await;
    for action in [Action::Hang, refused("ThrottlingException")] {
        let kms = Kms::start().await;
        let api = signing(&world, &kms, &KEYS[..1]).await;
        kms.policy(move |call| match call.operation {
            "Sign" => action.clone(),
            _ => Action::Pass,
        });
        let begun = Instant::now();
        send(&api, receipt_of(&id)).await.assert(503, "unavailable");
        assert!(
            begun.elapsed() < Duration::from_secs(7),
            "{:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_keys_signature_is_never_sent() {
    let world = world(5).await;
    let kms = Kms::start().await;
    let id = deleted(&world).await;
    let api = signing(&world, &kms, &KEYS[..1]).await;
    kms.policy(|call| {
        if call.operation == "Sign" {
            call.body["KeyId"] = KEYS[1].into();
        }
        Action::Pass
    });
    send(&api, receipt_of(&id)).await.assert(503, "unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_an_earlier_key_still_verify() {
    let world = world(5).await;
    let kms = Kms::start().await;
    let id = deleted(&world).await;
    let before = signing(&world, &kms, &KEYS[..1]).await;
    let early = send(&before, receipt_of(&id)).await;
    // The second key signs from now on; the first one is still published.
    let after = signing(&world, &kms, &[KEYS[1], KEYS[0]]).await;
    let late = send(&after, receipt_of(&id)).await;
    assert_holds(&after, &late).await;
    let published = send(&after, keys()).await;
    let kid = |receipt: &crate::harness::Reply| {
        let text = receipt.body["receipt"].as_str().unwrap();
        jsonwebtoken::decode_header(text).unwrap().kid.unwrap()
    };
    let kids: Vec<_> = (published.body["keys"].as_array().unwrap().iter())
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kids, [kid(&late), kid(&early)]);
    assert_eq!(published.headers["cache-control"], "public, max-age=3600");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_published_whole_or_not_at_all() {
    let world = world(1).await;
    let kms = Kms::start().await;
    for keys_given in [&[KEYS[0], "unknown"], &[KEYS[0], KEYS[2]]] {
        let api = signing(&world, &kms, keys_given).await;
        let reply = send(&api, keys()).await;
        reply.assert(503, "unavailable");
        let mut queried = keys();
        queried["rawQueryString"] = "a=b".into();
        send(&api, queried).await.assert(400, "validation_error");
    }
    // The table is not asked.
    world.proxy.policy(|_| internal_error());
    let api = signing(&world, &kms, &KEYS[..2]).await;
    assert_eq!(send(&api, keys()).await.status, 200);
}

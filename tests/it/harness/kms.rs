//! KMS for one test: a stand-in with keys of its own, with the fault layer in front.

use std::ops::Deref;

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::header::HeaderMap;
use p256::{
    PublicKey,
    ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner},
    elliptic_curve::Generate,
    pkcs8::EncodePublicKey,
};
use serde_json::{Value, json};

use super::{
    front::{self, Answer},
    proxy::Proxy,
};

/// The keys that exist, the last of which belongs to another curve.
pub(crate) const KEYS: [&str; 3] = ["first", "second", "of-another-curve"];

/// KMS. To a test it is its proxy, so that faults are set as in `world.proxy`.
pub(crate) struct Kms(Proxy);

impl Deref for Kms {
    type Target = Proxy;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Kms {
    pub(crate) async fn start() -> Self {
        let keys = [(); 2].map(|()| SigningKey::generate());
        let url = front::stand_in(move |_, headers, body| answer(&keys, headers, body));
        Self(Proxy::before(&url.await).await)
    }

    /// How many requests of an operation have arrived.
    pub(crate) fn asked(&self, operation: &str) -> usize {
        let exchanges = self.exchanges();
        let of_it = exchanges.iter().filter(|call| call.operation == operation);
        of_it.count()
    }
}

fn answer(keys: &[SigningKey; 2], headers: &HeaderMap, body: &Value) -> Answer {
    let signed = headers["authorization"].to_str().unwrap();
    assert!(signed.contains("/kms/aws4_request"), "{signed}");
    let at = KEYS.iter().position(|id| body["KeyId"] == *id);
    let target = headers["x-amz-target"].to_str().unwrap();
    let Some(key) = at.and_then(|at| keys.get(at)) else {
        // A key of P-384: its `SubjectPublicKeyInfo` is none of P-256.
        return match at {
            Some(_) => Answer::json(
                200,
                &json!({"PublicKey": BASE64_STANDARD.encode([0x30, 0x76])}),
            ),
            None => Answer::json(
                400,
                &json!({"__type": "NotFoundException", "message": "no key"}),
            ),
        };
    };
    match target {
        "TrentService.GetPublicKey" => {
            let public = PublicKey::from(key.verifying_key());
            let public = public.to_public_key_der().unwrap();
            Answer::json(
                200,
                &json!({
                    "KeySpec": "ECC_NIST_P256",
                    "KeyUsage": "SIGN_VERIFY",
                    "PublicKey": BASE64_STANDARD.encode(public),
                }),
            )
        }
        "TrentService.Sign" => {
            assert_eq!(body["MessageType"], "DIGEST");
            assert_eq!(body["SigningAlgorithm"], "ECDSA_SHA_256");
            let digest = BASE64_STANDARD.decode(body["Message"].as_str().unwrap());
            let signature: Signature = key.sign_prehash(&digest.unwrap()).unwrap();
            let signature = BASE64_STANDARD.encode(signature.to_der());
            Answer::json(200, &json!({"Signature": signature}))
        }
        other => panic!("{other}"),
    }
}

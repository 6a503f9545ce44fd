//! Public keys, as KMS gives them and as they are published (RFC 7517).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use p256::{ecdsa::VerifyingKey, pkcs8::DecodePublicKey};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A public key on the curve P-256, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    verifying: VerifyingKey,
    x: String,
    y: String,
    kid: String,
}

/// A published key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Jwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    y: String,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
    kid: String,
}

/// Published keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JwkSet {
    /// Each of them.
    pub keys: Vec<Jwk>,
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` in DER; `None` if it is not one of P-256.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        let key = VerifyingKey::from_public_key_der(der).ok()?;
        Self::new(key)
    }

    /// Returns the key with its coordinates and its name; `None` for the point at infinity.
    pub(super) fn new(verifying: VerifyingKey) -> Option<Self> {
        let point = verifying.to_sec1_point(false);
        let encoded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = (encoded(point.x()?), encoded(point.y()?));
        Some(Self {
            verifying,
            kid: thumbprint(&x, &y),
            x,
            y,
        })
    }

    pub(super) fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// Returns its name: the same wherever the key is published.
    pub(super) fn kid(&self) -> &str {
        &self.kid
    }
}

/// Returns the thumbprint of a key (RFC 7638): the SHA-256 of its required members, in
/// alphabetical order and without spaces.
fn thumbprint(x: &str, y: &str) -> String {
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}

impl Jwk {
    pub(super) fn of(key: &PublicKey) -> Self {
        Self {
            kty: "EC",
            crv: "P-256",
            x: key.x.clone(),
            y: key.y.clone(),
            usage: "sig",
            alg: "ES256",
            kid: key.kid.clone(),
        }
    }
}

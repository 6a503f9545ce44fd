//! Signed receipts of finished deletions, and the keys that verify them: a compact JWS
//! (RFC 7515) with ES256 (RFC 7518), and a JWK set (RFC 7517). This room alone calls KMS.

mod jwk;
mod kms;
#[cfg(feature = "cli")]
mod local;

use std::{fmt, sync::Arc};

use aws_config::SdkConfig;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use p256::ecdsa::{Signature, signature::hazmat::PrehashVerifier};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

pub use self::jwk::{Jwk, JwkSet};
#[cfg(feature = "cli")]
pub use self::local::LocalKey;
use self::{jwk::PublicKey, kms::KmsKey};
use crate::{record::Claims, sdk::Cause};

/// `typ` of a receipt, so that no other token of the same key passes for one.
pub const TYPE: &str = "deletion-receipt+jwt";

/// No receipt was made, or no key was found: the key does not sign.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReceiptError(Cause);

/// The keys of receipts, or none. Nothing is asked of KMS before it is needed.
#[derive(Clone, Default)]
pub struct Receipts(Option<Arc<[Key]>>);

/// A key that signs or has signed receipts.
enum Key {
    Kms(KmsKey),
    #[cfg(feature = "cli")]
    Local(LocalKey),
}

impl fmt::Debug for Receipts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receipts").finish()
    }
}

impl Receipts {
    /// Returns receipts that the first of these KMS keys signs; none if there is no key.
    #[must_use]
    pub fn by_kms(key_ids: Vec<String>, sdk: &SdkConfig) -> Self {
        if key_ids.is_empty() {
            return Self::default();
        }
        let keys = KmsKey::all(key_ids, sdk.clone());
        Self(Some(keys.into_iter().map(Key::Kms).collect()))
    }

    /// Returns receipts that a key of this machine signs.
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn by_local_key(key: LocalKey) -> Self {
        Self(Some([Key::Local(key)].into()))
    }

    /// Returns whether there are no receipts.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Signs the claims. The signature is verified before it is returned.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub async fn sign(
        &self,
        claims: &Claims<'_>,
        deadline: Instant,
    ) -> Result<String, ReceiptError> {
        let because = |why: &str| ReceiptError(Cause::because(why));
        let keys = self.0.as_deref().unwrap_or_default();
        let key = keys.first().ok_or_else(|| because("there is no key"))?;
        let public = key.public(deadline).await?;
        let header = json!({ "alg": "ES256", "kid": public.kid(), "typ": TYPE });
        let claims = serde_json::to_vec(claims).map_err(|error| because(&error.to_string()))?;
        let encoded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!(
            "{}.{}",
            encoded(header.to_string().as_bytes()),
            encoded(&claims)
        );
        let digest = Sha256::digest(&signed);
        let signature = key.sign(&digest, deadline).await?;
        let verified = public.verifying_key().verify_prehash(&digest, &signature);
        if verified.is_err() {
            return Err(because("the signature is not one of the key"));
        }
        Ok(format!("{signed}.{}", encoded(&signature.to_bytes())))
    }

    /// Returns every key, the one that signs first.
    ///
    /// # Errors
    /// [`ReceiptError`] if one of them is not known: without it, receipts that it has signed
    /// could not be verified.
    pub async fn keys(&self, deadline: Instant) -> Result<JwkSet, ReceiptError> {
        let mut keys = Vec::new();
        for key in self.0.as_deref().unwrap_or_default() {
            keys.push(Jwk::of(&key.public(deadline).await?));
        }
        Ok(JwkSet { keys })
    }
}

impl Key {
    /// Returns the public key.
    async fn public(&self, deadline: Instant) -> Result<PublicKey, ReceiptError> {
        match self {
            Self::Kms(key) => key.public(deadline).await,
            #[cfg(feature = "cli")]
            Self::Local(key) => Ok(key.public()),
        }
    }

    /// Signs a SHA-256 digest.
    async fn sign(&self, digest: &[u8], deadline: Instant) -> Result<Signature, ReceiptError> {
        match self {
            Self::Kms(key) => key.sign(digest, deadline).await,
            #[cfg(feature = "cli")]
            Self::Local(key) => key.sign(digest),
        }
    }
}

//! A key of this machine, for the local server: made for one run, or read from a file.

use p256::{
    ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner},
    elliptic_curve::Generate,
    pkcs8::DecodePrivateKey,
};

use super::{ReceiptError, jwk::PublicKey};
use crate::sdk::Cause;

/// A private key on the curve P-256. It is never printed.
pub struct LocalKey {
    key: SigningKey,
    public: PublicKey,
}

impl std::fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

impl LocalKey {
    /// Makes a key. `None`: the system has no randomness.
    #[must_use]
    pub fn generate() -> Option<Self> {
        Self::of(SigningKey::try_generate().ok()?)
    }

    /// Reads a key in PEM, as PKCS#8; `None` if the text is not one of P-256.
    #[must_use]
    pub fn from_pem(text: &str) -> Option<Self> {
        Self::of(SigningKey::from_pkcs8_pem(text).ok()?)
    }

    fn of(key: SigningKey) -> Option<Self> {
        let public = PublicKey::new(*key.verifying_key())?;
        Some(Self { key, public })
    }

    pub(super) fn public(&self) -> PublicKey {
        self.public.clone()
    }

    /// Signs a SHA-256 digest.
    pub(super) fn sign(&self, digest: &[u8]) -> Result<Signature, ReceiptError> {
        let signed = self.key.sign_prehash(digest);
        signed.map_err(|error| ReceiptError(Cause::because(&error.to_string())))
    }
}

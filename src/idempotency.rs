//! The `Idempotency-Key` of a request: a repeated request gets the answer of the
//! deletion that the first one claimed, even after that has finished.

use sha2::{Digest, Sha256};

/// How long a key is kept, seconds: 24 hours.
pub const KEPT_SECONDS: i64 = 24 * 60 * 60;

/// The longest key, characters.
pub const LONGEST: usize = 255;

/// An idempotency key, in the form in which it is stored: SHA-256 in lower-case
/// hex. The text that the caller sent is not kept anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// What a key was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// The deletion.
    pub deletion_id: String,
    /// The campaign of that deletion.
    pub campaign_id: String,
}

impl IdempotencyKey {
    /// Takes 1 to 255 printable ASCII characters.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let allowed =
            (1..=LONGEST).contains(&text.len()) && text.bytes().all(|b| matches!(b, 0x20..=0x7e));
        allowed.then(|| Self(hex::encode(Sha256::digest(text.as_bytes()))))
    }

    /// The stored form.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.0
    }
}

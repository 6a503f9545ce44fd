//! The `Idempotency-Key` of a request: a repeated request gets the answer of the
//! deletion that the first one claimed, even after that has finished.

use sha2::{Digest, Sha256};

use crate::campaign::CampaignId;

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

    /// Returns the key that one of several campaigns of a request has, so that their claims
    /// do not meet on one item. It is no key that a caller can send: none has a line break.
    #[must_use]
    pub fn of_campaign(&self, id: &CampaignId) -> Self {
        Self(hex::encode(Sha256::digest(format!("{}\n{id}", self.0))))
    }

    /// The stored form.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_campaign_of_a_key_has_a_key_of_its_own() {
        let id = |text: &str| CampaignId::parse(text).unwrap();
        let mut seen = BTreeSet::new();
        for text in ["k", "k1", "1"] {
            let key = IdempotencyKey::new(text).unwrap();
            assert!(seen.insert(key.hash().to_owned()));
            for campaign in ["1", "11", "c"] {
                let of = key.of_campaign(&id(campaign));
                assert_eq!(of, key.of_campaign(&id(campaign)));
                assert_eq!(of.hash().len(), key.hash().len());
                assert!(seen.insert(of.hash().to_owned()), "{text} {campaign}");
            }
        }
    }
}

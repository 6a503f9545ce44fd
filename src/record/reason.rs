//! Why a deletion was requested, in the requester's own word. A record of a privacy request
//! needs the nature of the request, and nothing personal.

use std::fmt;

/// The longest reason, characters.
const LONGEST: usize = 40;

/// A reason: a slug, such as `erasure-request`. Longer texts and other characters are
/// refused, so that nobody writes a name or an address into a record that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionReason(String);

/// A text is not a reason; the message is for the requester.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The reason must be 1 to {LONGEST} lower-case letters, digits and '-'")]
pub struct InvalidReason;

impl DeletionReason {
    /// Takes `[a-z0-9-]{1,40}`.
    ///
    /// # Errors
    /// [`InvalidReason`].
    pub fn parse(text: &str) -> Result<Self, InvalidReason> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_slug = (1..=LONGEST).contains(&text.len()) && text.bytes().all(allowed);
        is_slug.then(|| Self(text.to_owned())).ok_or(InvalidReason)
    }

    /// The reason as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeletionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_slug_of_one_to_forty_characters() {
        let longest = "a".repeat(40);
        for text in ["erasure-request", "a", "-", "gdpr-17", &longest] {
            assert_eq!(DeletionReason::parse(text).unwrap().as_str(), text);
        }
        for text in [
            "",
            "Erasure",
            "a b",
            "a_b",
            "jane@example.com",
            "ä",
            "a\n",
            &"a".repeat(41),
        ] {
            assert_eq!(DeletionReason::parse(text), Err(InvalidReason), "{text}");
        }
    }
}

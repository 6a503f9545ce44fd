//! The caller: the bearer token, the hash it is looked up by, and what the key
//! may do. The key itself exists here only between the header and the hash; it
//! is stored nowhere and its types do not print it.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::{record::Requester, refusal::Refusal};

/// The length of an API key, in characters.
pub const KEY_LENGTH: usize = 40;

/// The scope that `DELETE /v1/campaigns/{id}` needs.
pub const SCOPE_DELETE: &str = "campaigns:delete";
/// The scope that reading deletions needs.
pub const SCOPE_READ: &str = "deletions:read";
/// Every scope there is.
pub const SCOPES: [&str; 2] = [SCOPE_DELETE, SCOPE_READ];

/// The longest account id, bytes: a partition key has at most 2,048 ("Quotas in
/// Amazon DynamoDB"), of which this leaves room for any prefix.
pub const LONGEST_ACCOUNT_ID: usize = 1_024;

/// Returns whether a text is the id of an account: 1 to [`LONGEST_ACCOUNT_ID`]
/// bytes, not blank, without control characters. Every part of the service takes
/// the same ids.
#[must_use]
pub fn is_account_id(text: &str) -> bool {
    (1..=LONGEST_ACCOUNT_ID).contains(&text.len())
        && !text.trim().is_empty()
        && !text.chars().any(char::is_control)
}

/// An API key: 40 characters of `[A-Za-z0-9_-]`. `Debug` shows its name only.
pub struct ApiKey(String);

impl ApiKey {
    /// Parses a key; `None` if the text does not have the form of one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        (text.len() == KEY_LENGTH && text.bytes().all(allowed)).then(|| Self(text.to_owned()))
    }

    /// Reads the key from the bytes of an `Authorization` header (RFC 6750,
    /// section 2.1: the scheme is case-insensitive, then one space or more).
    ///
    /// # Errors
    /// [`Refusal::MissingApiKey`] when there is no header or an empty one,
    /// [`Refusal::InvalidApiKeyFormat`] when it is not `Bearer` and a key.
    pub fn from_header(header: Option<&[u8]>) -> Result<Self, Refusal> {
        let header = header.unwrap_or_default().trim_ascii();
        if header.is_empty() {
            return Err(Refusal::MissingApiKey);
        }
        let text = std::str::from_utf8(header).map_err(|_| Refusal::InvalidApiKeyFormat)?;
        let (scheme, key) = text.split_once(' ').ok_or(Refusal::InvalidApiKeyFormat)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::InvalidApiKeyFormat);
        }
        Self::new(key.trim_start_matches(' ')).ok_or(Refusal::InvalidApiKeyFormat)
    }

    /// The form in which a key is stored and looked up: SHA-256 in lower-case
    /// hex. Keys have 238 bits of entropy, so a slow password hash would add
    /// nothing.
    #[must_use]
    pub fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.0.as_bytes()))
    }

    /// The key's text, to be shown once, when the key is issued.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

/// The key item, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// The key's public name, which may be logged.
    pub key_id: String,
    /// The account that the key acts for.
    pub account_id: String,
    /// What the key may do.
    pub scopes: Vec<String>,
    /// `active`; anything else is revoked.
    pub state: String,
    /// `active`; anything else is inactive.
    pub subscription: String,
    /// Epoch seconds; `None` never expires.
    pub expires_at: Option<i64>,
}

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who requests what the caller requests.
    pub requester: Requester,
    /// The account that the caller acts for.
    pub account_id: String,
    /// What the caller may do.
    pub scopes: Vec<String>,
}

impl Principal {
    /// Returns whether the caller has this scope.
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|has| has == scope)
    }

    /// Refuses a caller who lacks this scope.
    ///
    /// # Errors
    /// [`Refusal::MissingScope`].
    pub fn require(&self, scope: &str) -> Result<(), Refusal> {
        if self.has(scope) {
            Ok(())
        } else {
            Err(Refusal::MissingScope)
        }
    }
}

impl StoredKey {
    /// Admits the bearer of this key if it is valid at `now` (epoch seconds) and
    /// its subscription is active, in this order. The scope is checked afterwards.
    ///
    /// # Errors
    /// [`Refusal::InvalidApiKey`] or [`Refusal::SubscriptionInactive`].
    pub fn admit(self, now: i64) -> Result<Principal, Refusal> {
        let expired = self.expires_at.is_some_and(|at| at <= now);
        if self.state != "active" || expired {
            return Err(Refusal::InvalidApiKey);
        }
        if self.subscription != "active" {
            return Err(Refusal::SubscriptionInactive);
        }
        Ok(Principal {
            requester: Requester::Key(self.key_id),
            account_id: self.account_id,
            scopes: self.scopes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGH0123_-";

    fn stored() -> StoredKey {
        StoredKey {
            key_id: "key_1".into(),
            account_id: "account_1".into(),
            scopes: vec![SCOPE_DELETE.into()],
            state: "active".into(),
            subscription: "active".into(),
            expires_at: None,
        }
    }

    #[test]
    fn a_bearer_key_is_read_whatever_the_case_of_its_scheme() {
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let header = format!("{scheme} {KEY}");
            let key = ApiKey::from_header(Some(header.as_bytes())).unwrap();
            assert_eq!(key.reveal(), KEY);
        }
    }

    #[test]
    fn no_header_and_an_empty_one_are_a_missing_key() {
        for header in [None, Some(&b""[..]), Some(&b"  "[..])] {
            assert!(matches!(
                ApiKey::from_header(header),
                Err(Refusal::MissingApiKey)
            ));
        }
    }

    #[test]
    fn anything_but_bearer_and_forty_characters_is_a_format_error() {
        let short = format!("Bearer {}", &KEY[1..]);
        let long = format!("Bearer {KEY}x");
        let inner = format!("Bearer {} {}", &KEY[..19], &KEY[20..]);
        let basic = format!("Basic {KEY}");
        let odd = format!("Bearer {}=", &KEY[1..]);
        let umlaut = format!("Bearer {}ä", &KEY[2..]);
        for header in [
            short.as_bytes(),
            long.as_bytes(),
            inner.as_bytes(),
            basic.as_bytes(),
            odd.as_bytes(),
            umlaut.as_bytes(),
            KEY.as_bytes(),
            b"Bearer",
            b"Bearer \xff\xff",
        ] {
            assert!(matches!(
                ApiKey::from_header(Some(header)),
                Err(Refusal::InvalidApiKeyFormat)
            ));
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_accepted_from_a_header_is_forty_characters(header in "(?i:bearer)? ?\\PC{0,45}") {
            if let Ok(key) = ApiKey::from_header(Some(header.as_bytes())) {
                let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
                proptest::prop_assert_eq!(key.reveal().len(), KEY_LENGTH);
                proptest::prop_assert!(key.reveal().chars().all(allowed));
                proptest::prop_assert!(header.trim().ends_with(key.reveal()));
            }
        }
    }

    #[test]
    fn a_key_is_stored_as_its_sha_256_and_never_printed() {
        let key = ApiKey::new(KEY).unwrap();
        assert_eq!(key.hash().len(), 64);
        assert!(
            key.hash()
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        );
        assert_eq!(format!("{key:?}"), "ApiKey");
    }

    #[test]
    fn validity_comes_before_subscription_and_scope() {
        let nothing = StoredKey {
            scopes: vec![],
            subscription: "cancelled".into(),
            ..stored()
        };
        let revoked = StoredKey {
            state: "revoked".into(),
            ..nothing.clone()
        };
        let expired = StoredKey {
            expires_at: Some(100),
            ..nothing.clone()
        };
        assert!(matches!(revoked.admit(0), Err(Refusal::InvalidApiKey)));
        assert!(matches!(expired.admit(100), Err(Refusal::InvalidApiKey)));
        assert!(matches!(
            nothing.admit(0),
            Err(Refusal::SubscriptionInactive)
        ));
        let admitted = stored().admit(0).unwrap();
        assert!(admitted.require(SCOPE_DELETE).is_ok());
        assert!(matches!(
            admitted.require(SCOPE_READ),
            Err(Refusal::MissingScope)
        ));
        let later = StoredKey {
            expires_at: Some(101),
            ..stored()
        };
        let requester = later.admit(100).unwrap().requester;
        assert_eq!(requester, Requester::Key("key_1".into()));
    }
}

//! Campaigns as a deletion sees them: the id, the status, and the policy of
//! what may be deleted.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::refusal::Refusal;

/// The longest campaign id, in characters.
pub const MAX_ID_LENGTH: usize = 64;

/// A campaign id that is safe to put into a key:
/// `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
///
/// `#` separates the parts of a key and `/` and `%` have a meaning in paths;
/// none of them can be in an id, so an id can never reach a neighbour's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CampaignId(String);

/// Why a text is not a campaign id; the message is for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCampaignId {
    /// Nothing was given.
    #[error("The campaign id is empty")]
    Empty,
    /// More than [`MAX_ID_LENGTH`] characters.
    #[error("The campaign id is longer than {MAX_ID_LENGTH} characters")]
    TooLong,
    /// A character outside the allowed set, or a first one that is no letter or digit.
    #[error(
        "The campaign id may contain letters, digits, '.', '_' and '-' only, and starts with a letter or digit"
    )]
    Character,
}

impl CampaignId {
    /// Parses an id exactly as it is: nothing is decoded, trimmed or cut.
    ///
    /// # Errors
    /// [`InvalidCampaignId`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidCampaignId> {
        let first = text.bytes().next().ok_or(InvalidCampaignId::Empty)?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if !first.is_ascii_alphanumeric() || !text.bytes().all(allowed) {
            return Err(InvalidCampaignId::Character);
        }
        if text.len() > MAX_ID_LENGTH {
            return Err(InvalidCampaignId::TooLong);
        }
        Ok(Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CampaignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The `campaignStatus` of a campaign. A status that this code does not know
/// stays text and is never deletable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status(String);

/// The statuses in which a campaign may be deleted.
pub const DELETABLE: [&str; 7] = [
    "draft",
    "paused",
    "completed",
    "archived",
    "ended",
    "stopped",
    "failed",
];

impl Status {
    /// The campaign is sending; it has to be paused first.
    pub const ACTIVE: &str = "active";
    /// The campaign is claimed by a deletion.
    pub const DELETING: &str = "deleting";

    /// Wraps the stored text as it is.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The status as stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether a deletion has claimed the campaign.
    #[must_use]
    pub fn is_deleting(&self) -> bool {
        self.0 == Self::DELETING
    }
}

/// An attribute as it was read, whatever its type. Items that other programs
/// wrote have attributes of any type, NULL included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Attribute {
    /// The item does not have it.
    #[default]
    Absent,
    /// NULL.
    Null,
    /// Text.
    Text(String),
    /// A number, as DynamoDB writes it.
    Number(String),
    /// A Boolean.
    Bool(bool),
    /// Any other type, by DynamoDB's name for it, such as `L`.
    Other(&'static str),
}

impl Attribute {
    /// Returns the text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The attributes that a claim is conditional on, exactly as they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// `updatedAt`.
    pub updated_at: Attribute,
    /// `deletionProtection`.
    pub deletion_protection: Attribute,
    /// `deletionId`.
    pub deletion_id: Attribute,
}

/// The campaign item, as far as a deletion needs it. An attribute that a deletion
/// does not need, such as the name or a time, never blocks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// The campaign's id.
    pub id: CampaignId,
    /// The campaign's name: shown to its owner, never logged. Empty if it is missing
    /// or is not text.
    pub name: String,
    /// The account that owns the campaign.
    pub account_id: String,
    /// The status as read.
    pub status: Status,
    /// RFC 3339; every change of the campaign updates it. The etag is derived from it.
    /// Empty if it is missing or is not text.
    pub updated_at: String,
    /// `None` if the attribute is absent or NULL; a value that is not a Boolean
    /// protects.
    pub deletion_protection: Option<bool>,
    /// The deletion that has claimed the campaign, if one has. Only a UUID counts.
    pub deletion_id: Option<String>,
    /// The attributes that a claim is conditional on.
    pub seen: Seen,
}

/// A campaign as the index of campaigns by status shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCampaign {
    /// The campaign.
    pub campaign: Campaign,
    /// RFC 3339, if the campaign was ever completed.
    pub completed_at: Option<String>,
}

impl ListedCampaign {
    /// Returns the time from which its age is counted, RFC 3339 if it is readable: when it was
    /// completed, or else last changed.
    #[must_use]
    pub fn since(&self) -> &str {
        let completed_at = self.completed_at.as_ref();
        completed_at.unwrap_or(&self.campaign.updated_at)
    }
}

/// An entry of the index that cannot be read as a campaign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("campaign {id} cannot be read: attribute {attribute} is missing or has the wrong type")]
pub struct UnreadableCampaign {
    /// The campaign's id, from its key.
    pub id: String,
    /// The attribute that cannot be read.
    pub attribute: &'static str,
    /// The account that owns it; `None` if that cannot be read either.
    pub account_id: Option<String>,
}

impl UnreadableCampaign {
    /// Returns whether it may be this account's: it is, or nobody can tell whose it is.
    #[must_use]
    pub fn may_be_of(&self, account_id: &str) -> bool {
        self.account_id
            .as_deref()
            .is_none_or(|owner| owner == account_id)
    }
}

impl Campaign {
    /// Returns the entity tag: `updatedAt`, quoted, or its SHA-256 if it has
    /// characters that a tag cannot have (RFC 9110, section 8.8.3). It covers the
    /// campaign item, not what is in the campaign. A campaign without a readable
    /// `updatedAt` has none, and no `If-Match` but `*` matches it.
    #[must_use]
    pub fn etag(&self) -> Option<String> {
        let text = self.seen.updated_at.text()?;
        if text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x7e)) {
            return Some(format!("\"{text}\""));
        }
        let digest = hex::encode(Sha256::digest(text.as_bytes()));
        Some(format!("\"sha256-{digest}\""))
    }

    /// Returns whether the campaign is protected from deletion.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.deletion_protection == Some(true)
    }

    /// Refuses an account that does not own the campaign, whatever its status.
    ///
    /// # Errors
    /// [`Refusal::ForeignCampaign`].
    pub fn check_owner(&self, account_id: &str) -> Result<(), Refusal> {
        if self.account_id == account_id {
            Ok(())
        } else {
            Err(Refusal::ForeignCampaign)
        }
    }

    /// The policy: an active campaign is refused, then a protected one, then
    /// one whose status is not in [`DELETABLE`]. An unknown status is refused,
    /// never deleted.
    ///
    /// # Errors
    /// [`Refusal::CampaignActive`], [`Refusal::DeletionProtected`] or
    /// [`Refusal::InvalidStatus`].
    pub fn check_deletable(&self) -> Result<(), Refusal> {
        if self.status.as_str() == Status::ACTIVE {
            return Err(Refusal::CampaignActive);
        }
        if self.is_protected() {
            return Err(Refusal::DeletionProtected);
        }
        if !DELETABLE.contains(&self.status.as_str()) {
            return Err(Refusal::InvalidStatus(self.status.as_str().to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn campaign(status: &str) -> Campaign {
        Campaign {
            id: CampaignId::parse("campaign_123").unwrap(),
            name: "Q4".into(),
            account_id: "account_1".into(),
            status: Status::new(status),
            updated_at: "2026-01-01T00:00:00Z".into(),
            deletion_protection: None,
            deletion_id: None,
            seen: Seen::default(),
        }
    }

    #[test]
    fn every_etag_is_a_valid_entity_tag() {
        let etag = |updated_at| {
            let mut campaign = campaign("paused");
            campaign.seen.updated_at = updated_at;
            campaign.etag()
        };
        let text = |text: &str| Attribute::Text(text.to_owned());
        assert_eq!(
            etag(text("2026-01-01T00:00:00Z")).unwrap(),
            "\"2026-01-01T00:00:00Z\""
        );
        for odd in ["2026-01-01 00:00:00Z", "\"", "\u{e4}", "a\nb"] {
            let tag = etag(text(odd)).unwrap();
            let inner = tag.trim_matches('"');
            assert!(inner.bytes().all(|b| b.is_ascii_graphic()), "{tag}");
            assert_ne!(Some(tag), etag(text("other text")));
        }
        assert_eq!(etag(Attribute::Null), None);
    }

    #[test]
    fn ids_of_the_allowed_form_are_kept_unchanged() {
        let longest = format!("a{}", "-".repeat(63));
        for id in ["campaign_123", "7", "a.b-c_D", longest.as_str()] {
            assert_eq!(CampaignId::parse(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn ids_that_could_reach_another_key_are_refused() {
        assert_eq!(CampaignId::parse(""), Err(InvalidCampaignId::Empty));
        assert_eq!(
            CampaignId::parse(&"a".repeat(65)),
            Err(InvalidCampaignId::TooLong)
        );
        for id in [
            "a#b", "a/b", "a%23b", "..", ".a", "-a", "_a", "a b", "a\0", "ä", "a?b", " a", "a\n",
        ] {
            assert_eq!(
                CampaignId::parse(id),
                Err(InvalidCampaignId::Character),
                "{id:?}"
            );
        }
    }

    #[test]
    fn only_the_listed_statuses_may_be_deleted() {
        for status in DELETABLE {
            assert!(campaign(status).check_deletable().is_ok(), "{status}");
        }
        assert!(matches!(
            campaign("active").check_deletable(),
            Err(Refusal::CampaignActive)
        ));
        for status in ["", "Paused", "scheduled", "deleting", "ACTIVE"] {
            assert!(
                matches!(campaign(status).check_deletable(), Err(Refusal::InvalidStatus(s)) if s == status),
                "{status}"
            );
        }
    }

    #[test]
    fn protection_is_checked_after_active_before_other_statuses() {
        let protected = |status| Campaign {
            deletion_protection: Some(true),
            ..campaign(status)
        };
        assert!(matches!(
            protected("active").check_deletable(),
            Err(Refusal::CampaignActive)
        ));
        for status in ["paused", "scheduled"] {
            assert!(matches!(
                protected(status).check_deletable(),
                Err(Refusal::DeletionProtected)
            ));
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_taken_is_of_the_allowed_form(text in "\\PC{0,70}") {
            let taken = CampaignId::parse(&text).is_ok();
            let mut characters = text.chars();
            let first = characters.next().is_some_and(|c| c.is_ascii_alphanumeric());
            let rest = characters.all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            proptest::prop_assert_eq!(taken, first && rest && text.chars().count() <= 64);
        }
    }
}

//! The rate limit of a key: N requests to each route in each minute of the clock.
//! A use is counted in the key's own item by the write that also reads it, so all
//! function instances share one counter and need no extra request. The write is
//! conditional on the item, so a guessed key creates nothing.
//!
//! An update cannot express "set to 1 if the minute has changed", so each minute has a
//! counter of its own, and those of earlier minutes are removed.

use std::num::NonZeroU32;

/// The length of a window, seconds.
pub const WINDOW_SECONDS: u64 = 60;

/// What the name of every counter begins with.
const PREFIX: &str = "rate#";

/// A route with a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitedRoute {
    /// `DELETE /v1/campaigns/{id}`.
    DeleteCampaign,
    /// `POST /v1/deletions`.
    DeleteCampaigns,
    /// `GET /v1/deletions/{deletionId}`.
    GetDeletion,
    /// `GET /v1/deletions/{deletionId}/receipt`.
    GetReceipt,
    /// `GET /v1/deletions`.
    ListDeletions,
}

impl LimitedRoute {
    /// The name of its policy in `RateLimit-Policy`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DeleteCampaign => "delete-campaign",
            Self::DeleteCampaigns => "delete-campaigns",
            Self::GetDeletion => "get-deletion",
            Self::GetReceipt => "get-receipt",
            Self::ListDeletions => "list-deletions",
        }
    }
}

/// The counter of a route in one minute: an attribute of a key's item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The route.
    pub route: LimitedRoute,
    minute: u64,
    /// When the minute ends, seconds from now.
    pub resets_in: u64,
}

impl Counter {
    /// The counter at `now` (epoch seconds).
    #[must_use]
    pub fn at(route: LimitedRoute, now: i64) -> Self {
        let now = u64::try_from(now).unwrap_or(0);
        Self {
            route,
            minute: now / WINDOW_SECONDS,
            resets_in: WINDOW_SECONDS - now % WINDOW_SECONDS,
        }
    }

    /// The attribute's name.
    #[must_use]
    pub fn attribute(&self) -> String {
        format!("{PREFIX}{}#{}", self.route.name(), self.minute)
    }

    /// Returns whether this is the name of a counter of an earlier minute. The
    /// previous minute still counts, for an instance whose clock is late.
    #[must_use]
    pub fn is_expired(&self, attribute: &str) -> bool {
        let minute = attribute
            .strip_prefix(PREFIX)
            .and_then(|counter| counter.rsplit('#').next())
            .and_then(|minute| minute.parse::<u64>().ok());
        minute.is_some_and(|minute| minute + 1 < self.minute)
    }
}

/// How much of its limit a key has used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Requests per window.
    pub limit: NonZeroU32,
    /// How often the key was used in this window, this request included.
    pub uses: u64,
    /// The counter.
    pub counter: Counter,
}

impl Usage {
    /// Returns whether this request is one too many.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.uses > u64::from(self.limit.get())
    }

    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10,
    /// sections 3 and 4).
    #[must_use]
    pub fn headers(&self) -> [(&'static str, String); 2] {
        let name = self.counter.route.name();
        let limit = self.limit;
        let left = u64::from(limit.get()).saturating_sub(self.uses);
        let resets_in = self.counter.resets_in;
        [
            (
                "ratelimit-policy",
                format!("\"{name}\";q={limit};w={WINDOW_SECONDS}"),
            ),
            ("ratelimit", format!("\"{name}\";r={left};t={resets_in}")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_a_counter_and_earlier_ones_expire() {
        let counter = Counter::at(LimitedRoute::GetDeletion, 6_030);
        assert_eq!(counter.attribute(), "rate#get-deletion#100");
        assert_eq!(counter.resets_in, 30);
        assert_eq!(Counter::at(LimitedRoute::GetDeletion, 6_000).resets_in, 60);
        assert_eq!(Counter::at(LimitedRoute::GetDeletion, 6_059).resets_in, 1);
        for (attribute, is_over) in [
            ("rate#get-deletion#98", true),
            ("rate#delete-campaign#7", true),
            ("rate#get-deletion#99", false),
            ("rate#get-deletion#100", false),
            ("rate#get-deletion#101", false),
            ("rate#x", false),
            ("98", false),
            ("state", false),
        ] {
            assert_eq!(counter.is_expired(attribute), is_over, "{attribute}");
        }
    }

    #[test]
    fn headers_state_the_remaining_requests() {
        let usage = |uses| Usage {
            limit: NonZeroU32::new(60).unwrap(),
            uses,
            counter: Counter::at(LimitedRoute::DeleteCampaign, 6_030),
        };
        for (uses, is_over, left) in [(1, false, 59), (60, false, 0), (61, true, 0)] {
            assert_eq!(usage(uses).is_over(), is_over);
            assert_eq!(
                usage(uses).headers(),
                [
                    (
                        "ratelimit-policy",
                        "\"delete-campaign\";q=60;w=60".to_owned()
                    ),
                    ("ratelimit", format!("\"delete-campaign\";r={left};t=30")),
                ]
            );
        }
    }
}

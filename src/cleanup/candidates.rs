//! Campaigns past retention: every campaign with one of the statuses is read from
//! the index, and the oldest are kept. Memory is bounded by how many are kept, not
//! by how many there are.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{NAMED, NAMED_SKIPPED, Reason};
use crate::{
    campaign::{Campaign, CampaignId, ListedCampaign, UnreadableCampaign},
    clock::epoch_seconds,
    config::RetentionSettings,
    table::{Table, TableError},
};

/// How many candidates are kept beyond those that a run may start: some may have
/// changed since the index was written, and are skipped.
const SPARE: usize = 1_000;

/// With fewer unprotected campaigns than this, any share of them may be past
/// retention.
const GUARDED_FROM: u64 = 20;

/// A campaign past retention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The campaign as the index shows it.
    pub campaign: Campaign,
    /// When it was completed, or else changed: epoch seconds.
    pub since: i64,
}

/// The oldest of all that were offered.
#[derive(Debug)]
struct Oldest<T> {
    kept: BTreeMap<(i64, CampaignId), T>,
    most: usize,
}

/// What reading every campaign found.
#[derive(Debug)]
pub(super) struct Found {
    /// How many campaigns there are with these statuses.
    pub(super) total: u64,
    /// How many of them are not protected.
    pub(super) unprotected: u64,
    /// How many of these are past retention.
    pub(super) deletable: u64,
    /// How many were skipped, for a reason in `skipped`.
    pub(super) skipped_count: u64,
    /// Campaigns that cannot be read, the first ones.
    pub(super) unreadable: Vec<UnreadableCampaign>,
    candidates: Oldest<Campaign>,
    skipped: Oldest<Reason>,
}

impl<T> Oldest<T> {
    fn new(most: usize) -> Self {
        let kept = BTreeMap::new();
        Self { kept, most }
    }

    fn offer(&mut self, since: i64, id: CampaignId, what: T) {
        self.kept.insert((since, id), what);
        if self.kept.len() > self.most {
            self.kept.pop_last();
        }
    }
}

impl Found {
    /// Looks at every campaign with one of the statuses; a campaign is past
    /// retention if its time is more than `age` before `now` (epoch seconds).
    pub(super) async fn look(
        table: &Table,
        settings: &RetentionSettings,
        age: Duration,
        now: i64,
        deadline: Instant,
    ) -> Result<Self, TableError> {
        let cutoff = now.saturating_sub(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        let mut found = Self {
            total: 0,
            unprotected: 0,
            deletable: 0,
            skipped_count: 0,
            unreadable: Vec::new(),
            candidates: Oldest::new((settings.max_campaigns_per_run + SPARE).max(NAMED)),
            skipped: Oldest::new(NAMED_SKIPPED),
        };
        for status in &settings.statuses {
            let mut listing = table.campaigns_by_status(status);
            while let Some(page) = listing.next_page(deadline).await? {
                for listed in page {
                    found.add(listed, cutoff);
                }
            }
            for unreadable in listing.take_unreadable() {
                found.total += 1;
                found.skipped_count += 1;
                found.unreadable.push(unreadable);
                found.unreadable.truncate(NAMED_SKIPPED);
            }
        }
        Ok(found)
    }

    fn add(&mut self, listed: ListedCampaign, cutoff: i64) {
        self.total += 1;
        let since = epoch_seconds(listed.since());
        let campaign = listed.campaign;
        let is_protected = campaign.is_protected();
        self.unprotected += u64::from(!is_protected);
        let Some(since) = since else {
            // Never deleted, and named before all that have a time.
            self.skip(i64::MIN, campaign.id, Reason::UnreadableTime);
            return;
        };
        if since >= cutoff {
            return;
        }
        if is_protected {
            self.skip(since, campaign.id, Reason::Protected);
        } else {
            self.deletable += 1;
            self.candidates.offer(since, campaign.id.clone(), campaign);
        }
    }

    fn skip(&mut self, since: i64, id: CampaignId, reason: Reason) {
        self.skipped_count += 1;
        self.skipped.offer(since, id, reason);
    }

    /// Returns whether the share past retention is so large that a mistake is likelier
    /// than intent.
    pub(super) fn is_guarded(&self, most_percent: u64) -> bool {
        most_percent < 100
            && self.deletable > 0
            && self.unprotected >= GUARDED_FROM
            && self.deletable.saturating_mul(100) > self.unprotected.saturating_mul(most_percent)
    }

    /// Returns the candidates, oldest first, and the oldest of those that were
    /// skipped.
    pub(super) fn into_parts(self) -> (Vec<Candidate>, Vec<(CampaignId, Reason)>) {
        let candidates = self.candidates.kept.into_iter();
        let candidates = candidates.map(|((since, _), campaign)| Candidate { campaign, since });
        let skipped = self.skipped.kept.into_iter();
        let skipped = skipped.map(|((_, id), reason)| (id, reason));
        (candidates.collect(), skipped.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        campaign::{Seen, Status},
        clock::rfc3339,
    };

    const CUTOFF: i64 = 1_000_000;

    fn found() -> Found {
        Found {
            total: 0,
            unprotected: 0,
            deletable: 0,
            skipped_count: 0,
            unreadable: Vec::new(),
            candidates: Oldest::new(3),
            skipped: Oldest::new(2),
        }
    }

    fn listed(id: &str, completed: Option<i64>, updated: i64) -> ListedCampaign {
        ListedCampaign {
            campaign: Campaign {
                id: CampaignId::parse(id).unwrap(),
                name: String::new(),
                account_id: "account_1".into(),
                status: Status::new("completed"),
                updated_at: rfc3339(updated),
                deletion_protection: None,
                deletion_id: None,
                seen: Seen::default(),
            },
            completed_at: completed.map(rfc3339),
        }
    }

    fn ids(candidates: &[Candidate]) -> Vec<&str> {
        let ids = candidates.iter().map(|found| found.campaign.id.as_str());
        ids.collect()
    }

    #[test]
    fn completed_at_comes_before_updated_at() {
        let mut found = found();
        for (id, completed, updated) in [
            ("completed_before", Some(CUTOFF - 1), CUTOFF + 5),
            ("completed_at", Some(CUTOFF), CUTOFF - 5),
            ("updated_before", None, CUTOFF - 2),
            ("updated_at", None, CUTOFF),
        ] {
            found.add(listed(id, completed, updated), CUTOFF);
        }
        assert_eq!((found.total, found.unprotected, found.deletable), (4, 4, 2));
        let (candidates, skipped) = found.into_parts();
        assert_eq!(ids(&candidates), ["updated_before", "completed_before"]);
        assert!(skipped.is_empty());
    }

    #[test]
    fn protected_campaigns_do_not_displace_candidates() {
        let mut found = found();
        for age in [3, 9, 1, 7, 5] {
            found.add(listed(&format!("c{age}"), None, CUTOFF - age), CUTOFF);
            let mut protected = listed(&format!("p{age}"), None, CUTOFF - 10 - age);
            protected.campaign.deletion_protection = Some(true);
            found.add(protected, CUTOFF);
        }
        assert_eq!(
            (found.unprotected, found.deletable, found.skipped_count),
            (5, 5, 5)
        );
        let (candidates, skipped) = found.into_parts();
        assert_eq!(ids(&candidates), ["c9", "c7", "c5"]);
        let skipped: Vec<_> = skipped
            .into_iter()
            .map(|(id, reason)| (id.to_string(), reason))
            .collect();
        let protected = |id: &str| (id.to_owned(), Reason::Protected);
        assert_eq!(skipped, [protected("p9"), protected("p7")]);
    }

    #[test]
    fn a_campaign_with_an_unreadable_time_is_kept() {
        for time in ["", "soon", "1970", "0000-00-00T00:00:00Z"] {
            let mut found = found();
            let mut unreadable = listed("c", None, 0);
            unreadable.completed_at = Some(time.to_owned());
            found.add(unreadable, CUTOFF);
            assert_eq!(
                (found.unprotected, found.deletable, found.skipped_count),
                (1, 0, 1)
            );
        }
    }

    #[test]
    fn the_guard_applies_from_twenty_campaigns_on() {
        for (deletable, unprotected, percent, guarded) in [
            (19, 19, 0, false),
            (20, 20, 50, true),
            (10, 20, 50, false),
            (11, 20, 50, true),
            (20, 20, 100, false),
            (1, 20, 0, true),
            (0, 20, 0, false),
            (67, 100, 66, true),
            (66, 100, 66, false),
        ] {
            let found = Found {
                total: unprotected + 1_000,
                unprotected,
                deletable,
                ..found()
            };
            assert_eq!(
                found.is_guarded(percent),
                guarded,
                "{deletable} of {unprotected}, {percent} %"
            );
        }
    }
}

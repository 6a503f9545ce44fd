//! Requests with a key: its scopes, and how the gateway hands paths and queries over.

use super::{
    super::{
        super::web::{Answer, Ask, Web},
        check::Check,
    },
    absent, get,
};
use crate::auth::{SCOPE_DELETE, SCOPE_READ, StoredKey};

/// Requests with a key.
pub(super) struct Keyed<'a> {
    pub(super) web: &'a Web,
    pub(super) key: &'a str,
}

impl Keyed<'_> {
    async fn ask(&self, method: &'static str, path: &str) -> Result<Answer, String> {
        let ask = Ask {
            method,
            key: Some(self.key),
            ..get(path)
        };
        self.web.ask(ask).await
    }

    pub(super) async fn dry_run(&self, id: &str) -> Result<Answer, String> {
        let path = format!("/v1/campaigns/{id}?validateOnly=true");
        self.ask("DELETE", &path).await
    }

    /// Whether the key may do what keys are for. An id that is not a UUID is 400 to those
    /// who may read deletions, and 403 to the others.
    pub(super) async fn scopes(
        &self,
        stored: &Result<Option<StoredKey>, String>,
        deleting: &Result<Answer, String>,
    ) -> Check {
        const NAME: &str = "key";
        let reading = self.ask("GET", "/v1/deletions/doctor").await;
        let (deleting, reading) = match (deleting, &reading) {
            (Ok(deleting), Ok(reading)) => (deleting, reading),
            (Err(why), _) | (_, Err(why)) => return unanswered(NAME, why),
        };
        if let Some(limited) = [deleting, reading]
            .into_iter()
            .find_map(|one| limited(NAME, one))
        {
            return limited;
        }
        let mut missing = Vec::new();
        for (scope, answer, expected) in [
            (SCOPE_DELETE, deleting, (404, "not_found")),
            (SCOPE_READ, reading, (400, "validation_error")),
        ] {
            let (status, error) = expected;
            if answer.is(403, "forbidden") {
                missing.push(scope);
            } else if !answer.is(status, error) {
                return refused(NAME, answer, stored);
            }
        }
        if missing.is_empty() {
            return Check::ok(NAME, format!("valid, with {SCOPE_DELETE} and {SCOPE_READ}"));
        }
        Check::failed(
            NAME,
            format!("the key lacks the scope {}", missing.join(" and ")),
            "Issue a key with the scopes that its bearer needs, all by default:\n\
             campaigns key issue --account ACCOUNT",
        )
    }

    /// An encoded character that no id has: it has to arrive in the id, which is refused.
    /// Cut off, the rest would be the id of another campaign.
    pub(super) async fn encoded(&self, name: &'static str, encoded: &str) -> Check {
        let answer = match self.dry_run(&format!("{}{encoded}x", absent())).await {
            Ok(answer) => answer,
            Err(why) => return unanswered(name, &why),
        };
        let is_of_campaign = answer.body["message"] == "Campaign not found";
        let sent = format!("an id with {encoded}: {}", answer.text());
        if answer.is(400, "validation_error") {
            Check::ok(name, format!("{sent}, as it should be"))
        } else if answer.is(404, "not_found") && !is_of_campaign {
            Check::ok(name, format!("{sent}: it is no route here"))
        } else if answer.is(404, "not_found") {
            Check::failed(
                name,
                format!("{sent}: the id was cut at the character"),
                "Do not use this API before this is mended: it can delete another campaign than \
                 the one that was named. The gateway must hand the decoded path to the function \
                 in the event (payload 2.0), and not put it into a URL again.",
            )
        } else {
            inconclusive(name, &answer)
        }
    }

    /// `%2D` is `-`, so an id with it is valid once it is decoded. `%252D` decoded once has a
    /// `%`, which no id has; decoded twice, it is valid.
    pub(super) async fn decoded_once(&self) -> Check {
        const NAME: &str = "decoded-once";
        const REMEDY: &str = "Whatever stands in front of the function must decode the path \
                              exactly once, as an HTTP API does. Look for a proxy or a rewrite \
                              that decodes it again.";
        let id = absent();
        let once = self.dry_run(&id.replacen('-', "%2D", 1)).await;
        let twice = self.dry_run(&id.replacen('-', "%252D", 1)).await;
        let (once, twice) = match (once, twice) {
            (Ok(once), Ok(twice)) => (once, twice),
            (Err(why), _) | (_, Err(why)) => return unanswered(NAME, &why),
        };
        if once.is(404, "not_found") && twice.is(400, "validation_error") {
            Check::ok(NAME, "%2D is decoded, and %252D is not decoded twice")
        } else if twice.is(404, "not_found") {
            let seen = "an id with %252D was decoded twice";
            Check::failed(NAME, seen, REMEDY)
        } else if once.is(400, "validation_error") {
            let seen = "an id with %2D was not decoded";
            Check::failed(NAME, seen, REMEDY)
        } else {
            inconclusive(NAME, &once)
        }
    }

    pub(super) async fn malformed_query(&self) -> Check {
        const NAME: &str = "malformed-query";
        let path = format!("/v1/campaigns/{}?validateonly=true", absent());
        let answer = match self.ask("DELETE", &path).await {
            Ok(answer) => answer,
            Err(why) => return unanswered(NAME, &why),
        };
        if answer.is(400, "validation_error") {
            return Check::ok(NAME, "400: an unknown parameter is refused");
        }
        if answer.is(404, "not_found") {
            return Check::failed(
                NAME,
                "a misspelt validateOnly was a real DELETE (of a campaign that does not exist)",
                "The gateway drops the query: pass it on unchanged.",
            );
        }
        inconclusive(NAME, &answer)
    }
}

pub(super) fn unanswered(name: &'static str, why: &str) -> Check {
    Check::failed(name, why, "Try again; then read the log of `api`.")
}

/// The key has used up its limit.
fn limited(name: &'static str, answer: &Answer) -> Option<Check> {
    let wait = answer.header("retry-after").unwrap_or("60");
    (answer.status == 429).then(|| {
        let seen = format!("the rate limit of the key: {}", answer.text());
        Check::skipped(name, seen, format!("Run this again in {wait} seconds."))
    })
}

/// An answer that leaves the question open.
fn inconclusive(name: &'static str, answer: &Answer) -> Check {
    if let Some(limited) = limited(name, answer) {
        return limited;
    }
    match answer.status {
        401 | 403 => Check::skipped(
            name,
            format!("the key is refused: {}", answer.text()),
            format!("Give a valid key with the scope {SCOPE_DELETE}."),
        ),
        _ => Check::failed(name, answer.text(), READ_LOG),
    }
}

const READ_LOG: &str = "Read the log of the function `api`, in which the answer's requestId is \
                        with its cause: its role may lack GetItem, Query, PutItem, UpdateItem, \
                        DeleteItem or BatchWriteItem on the table.";

/// A key that is refused before its scopes are looked at.
fn refused(
    name: &'static str,
    answer: &Answer,
    stored: &Result<Option<StoredKey>, String>,
) -> Check {
    if !matches!(answer.status, 401 | 403) {
        return Check::failed(name, answer.text(), READ_LOG);
    }
    let why = match stored {
        Ok(Some(stored)) => format!(
            "; in the table it is {}, its subscription {}",
            stored.state, stored.subscription
        ),
        Ok(None) => "; it is not in the table".to_owned(),
        Err(_) => String::new(),
    };
    Check::failed(
        name,
        format!("the key is refused: {}{why}", answer.text()),
        "Issue another one:\ncampaigns key issue --account ACCOUNT",
    )
}

//! What reaches the functions through the gateway, and what the caller receives. Every
//! request names campaigns that do not exist, and asks for a dry run.

mod keyed;

use uuid::Uuid;

use self::keyed::{Keyed, unanswered};
use super::{
    super::{
        connect::patience,
        web::{Answer, Ask, Web},
    },
    check::Check,
    service::Service,
};
use crate::{
    auth::{ApiKey, StoredKey},
    clock::now_seconds,
    table::Table,
};

/// What a gateway makes of `WWW-Authenticate` if it renames it.
const REMAPPED: &str = "x-amzn-remapped-www-authenticate";

/// The names of the checks, in their order.
const NAMES: [&str; 13] = [
    "tls",
    "api",
    "api-region",
    "missing-key",
    "unknown-route",
    "receipt-keys",
    "key",
    "api-table",
    "encoded-hash",
    "encoded-slash",
    "decoded-once",
    "malformed-query",
    "rate-limit",
];
/// How many of them need no key.
const WITHOUT_KEY: usize = 6;

/// Who calls the API, and what is known of its table.
pub(super) struct Caller<'a> {
    pub(super) web: Option<&'a Web>,
    pub(super) key: Option<&'a str>,
    pub(super) service: &'a Service,
}

impl Caller<'_> {
    pub(super) async fn checks(&self) -> Vec<Check> {
        let Some(web) = self.web else {
            let remedy = "Give the URL of the API (the output ApiUrl of the stack).";
            return NAMES
                .map(|name| Check::skipped(name, "no --api-url", remedy))
                .into();
        };
        let mut checks = vec![tls(web), api(web).await];
        if checks.iter().any(Check::is_failed) {
            let names = NAMES.iter().skip(checks.len());
            let skipped = names.map(|name| {
                Check::skipped(
                    name,
                    "the API was not asked",
                    "Mend the failed check first.",
                )
            });
            checks.extend(skipped.collect::<Vec<_>>());
            return checks;
        }
        checks.extend([
            region(web, self.service),
            missing_key(web).await,
            unknown_route(web).await,
            receipt_keys(web).await,
        ]);
        let Some(key) = self.key else {
            let names = NAMES.iter().skip(WITHOUT_KEY);
            let remedy = "Give a key:\ncampaigns key issue --account ACCOUNT";
            checks.extend(names.map(|name| Check::skipped(name, "no --key", remedy)));
            return checks;
        };
        let keyed = Keyed { web, key };
        let stored = stored(self.service, key).await;
        let first = keyed.dry_run(&absent()).await;
        checks.extend([
            keyed.scopes(&stored, &first).await,
            api_table(self.service, &stored, &first),
            keyed.encoded("encoded-hash", "%23").await,
            keyed.encoded("encoded-slash", "%2F").await,
            keyed.decoded_once().await,
            keyed.malformed_query().await,
            rate_limit(&first),
        ]);
        checks
    }
}

/// Returns the id of a campaign that does not exist.
fn absent() -> String {
    format!("doctor-{}", Uuid::new_v4())
}

fn get(path: &str) -> Ask<'_> {
    Ask {
        method: "GET",
        path,
        key: None,
        headers: &[],
    }
}

fn tls(web: &Web) -> Check {
    const NAME: &str = "tls";
    if web.is_https() {
        Check::ok(NAME, "https")
    } else if web.is_loopback() {
        Check::ok(NAME, "plain HTTP, on this machine")
    } else {
        Check::failed(
            NAME,
            "plain HTTP: keys can be read on the way",
            "Use https:// in --api-url. No request was sent.",
        )
    }
}

/// Looks whether the keys that verify receipts are published, as anybody would.
async fn receipt_keys(web: &Web) -> Check {
    const NAME: &str = "receipt-keys";
    const REMEDY: &str = "Read the log of the function `api`: a key may be disabled or deleted, or deny \
                          kms:GetPublicKey.";
    match web.ask(get("/v1/jwks.json")).await {
        Ok(answer) if answer.is(404, "not_found") => Check::without_receipts(NAME),
        Ok(answer) => match answer.body["keys"].as_array() {
            Some(keys) if answer.status == 200 && !keys.is_empty() => {
                Check::ok(NAME, format!("{} published", keys.len()))
            }
            _ => Check::failed(
                NAME,
                format!("GET /v1/jwks.json: {}", answer.text()),
                REMEDY,
            ),
        },
        Err(why) => Check::failed(NAME, why, REMEDY),
    }
}

async fn api(web: &Web) -> Check {
    const NAME: &str = "api";
    const REMEDY: &str = "Check --api-url (the output ApiUrl, without /v1), and the log of the \
                          function `api`: it may not have started.";
    match web.ask(get("/v1/openapi.json")).await {
        Ok(answer) if answer.status == 200 && answer.body["openapi"].is_string() => {
            let version = answer.body["info"]["version"].as_str().unwrap_or("unknown");
            Check::ok(NAME, format!("answers; version {version} of the API"))
        }
        Ok(answer) => {
            let seen = format!("GET /v1/openapi.json: {}", answer.text());
            Check::failed(NAME, seen, REMEDY)
        }
        Err(why) => Check::failed(NAME, why, REMEDY),
    }
}

/// A table is visible in its own Region alone, so another one in the host's name is a
/// table of the same name, but not the API's.
fn region(web: &Web, service: &Service) -> Check {
    let table = service.table.as_ref().map(Table::region);
    same_region(web.region(), table)
}

fn same_region(api: Option<&str>, table: Option<&str>) -> Check {
    const NAME: &str = "api-region";
    match (api, table) {
        (Some(api), Some(table)) if api == table => Check::ok(NAME, format!("{api}, as the table")),
        (Some(api), Some(table)) => Check::failed(
            NAME,
            format!("the API is in {api}, and the table was looked for in {table}"),
            format!("Set AWS_REGION={api}."),
        ),
        (None, _) => Check::skipped(
            NAME,
            "the API's name does not show its Region",
            "Use the output ApiUrl instead of a domain of your own.",
        ),
        (_, None) => Check::skipped(NAME, "no Region is set", "Mend the failed check first."),
    }
}

async fn missing_key(web: &Web) -> Check {
    const NAME: &str = "missing-key";
    let path = format!("/v1/campaigns/{}?validateOnly=true", absent());
    let ask = Ask {
        method: "DELETE",
        ..get(&path)
    };
    let answer = match web.ask(ask).await {
        Ok(answer) => answer,
        Err(why) => return Check::failed(NAME, why, "Try again; then read the log of `api`."),
    };
    if !answer.is(401, "missing_api_key") {
        return Check::failed(
            NAME,
            format!("without a key: {}", answer.text()),
            "Expected: 401 missing_api_key. Something in front of the function answers, or \
             adds an Authorization header: remove authorizers from the routes.",
        );
    }
    if answer.header("www-authenticate").is_some() {
        Check::ok(NAME, "401, with WWW-Authenticate")
    } else if answer.header(REMAPPED).is_some() {
        Check::warning(
            NAME,
            format!("401, with {REMAPPED} in place of WWW-Authenticate"),
            "The gateway renames it: callers must not rely on WWW-Authenticate.",
        )
    } else {
        Check::failed(
            NAME,
            "401 without WWW-Authenticate",
            "Let the gateway pass the function's headers on.",
        )
    }
}

async fn unknown_route(web: &Web) -> Check {
    const NAME: &str = "unknown-route";
    match web.ask(get("/v1/doctor")).await {
        Ok(answer) if answer.is(404, "not_found") => Check::ok(NAME, "404, in the API's own form"),
        Ok(answer) => Check::failed(
            NAME,
            format!("GET /v1/doctor: {}", answer.text()),
            "Expected: 404 not_found. Add a $default route to the function.",
        ),
        Err(why) => Check::failed(NAME, why, "Try again; then read the log of `api`."),
    }
}

/// Reads the item of a key; the error says why it could not be read.
async fn stored(service: &Service, key: &str) -> Result<Option<StoredKey>, String> {
    let (Some(table), Some(key)) = (&service.table, ApiKey::new(key)) else {
        return Err("the table was not read".to_owned());
    };
    let stored = table.stored_key(&key.hash(), patience()).await;
    stored.map_err(|error| error.to_string())
}

/// Whether the API and the table belong together.
fn api_table(
    service: &Service,
    stored: &Result<Option<StoredKey>, String>,
    first: &Result<Answer, String>,
) -> Check {
    const NAME: &str = "api-table";
    let name = service.table.as_ref().map_or("the table", Table::name);
    let (stored, answer) = match (stored, first) {
        (Ok(stored), Ok(answer)) => (stored, answer),
        (Err(why), _) => {
            return Check::skipped(NAME, why.clone(), "Allow dynamodb:GetItem on the table.");
        }
        (_, Err(why)) => return unanswered(NAME, why),
    };
    let is_known = answer.status != 401;
    let is_valid = stored
        .clone()
        .is_some_and(|stored| stored.admit(now_seconds()).is_ok());
    let remedy = "Give the table of the stack (the output TableName) with --table-name, and its \
                  Region with AWS_REGION.";
    match (stored, is_known) {
        (Some(_), true) => Check::ok(NAME, format!("the API uses {name}")),
        (None, true) => {
            let seen = format!("the API knows the key, and {name} does not have it");
            Check::failed(NAME, seen, remedy)
        }
        (Some(_), false) if is_valid => {
            let seen = format!("{name} has the key, and the API does not know it");
            Check::failed(NAME, seen, remedy)
        }
        _ => Check::skipped(NAME, "neither accepts the key", "Give a valid key."),
    }
}

fn rate_limit(first: &Result<Answer, String>) -> Check {
    const NAME: &str = "rate-limit";
    let answer = match first {
        Ok(answer) => answer,
        Err(why) => return unanswered(NAME, why),
    };
    if answer.status == 401 {
        return Check::skipped(NAME, "the key is not known", "Give a valid key.");
    }
    match (
        answer.header("ratelimit-policy"),
        answer.header("ratelimit"),
    ) {
        (Some(policy), Some(_)) => Check::ok(NAME, policy),
        _ => Check::failed(
            NAME,
            "off: an answer to a key has no RateLimit headers",
            "Set RateLimitPerMinute above 0. If it is, the function may not update the key's \
             item (dynamodb:UpdateItem; see RateLimitFailedOpenAlarm), or the gateway drops \
             the headers.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_in_another_region_than_the_table_fails() {
        let check = same_region(Some("eu-central-1"), Some("us-east-1"));
        assert!(check.is_failed(), "{check:?}");
        assert_eq!(
            check.remedy.as_deref(),
            Some("Set AWS_REGION=eu-central-1.")
        );
        assert!(!same_region(Some("eu-central-1"), Some("eu-central-1")).is_failed());
    }
}

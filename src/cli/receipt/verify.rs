//! Verifies a receipt, by a library that has no part in signing them.

use std::{
    collections::BTreeMap,
    io::{Read, stdin},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use jsonwebtoken::{
    Algorithm, DecodingKey, Header, Validation, decode, decode_header, jwk::JwkSet,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::{CliError, print, web};
use crate::{clock::rfc3339, receipts::TYPE, sdk};

/// How long the keys may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest receipt that is read, bytes. One has about a thousand.
const LONGEST: u64 = 64 * 1024;

/// `campaigns receipt verify`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Verify {
    /// The file of the receipt; `-` for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The keys of its issuer: a file that was kept, or a URL such as
    /// `https://api.example.com/v1/jwks.json`.
    #[arg(long, value_name = "FILE|URL")]
    jwks: String,
    /// Print what it says as JSON.
    #[arg(long)]
    json: bool,
}

/// What a receipt says.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    iss: String,
    jti: String,
    sub: String,
    iat: i64,
    account_id: String,
    requested_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    started_at: String,
    completed_at: String,
    deleted_items: BTreeMap<String, u64>,
    verified_empty: bool,
    passes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_replaced: Option<bool>,
    copies: BTreeMap<String, Option<String>>,
}

/// Why a receipt does not hold.
#[derive(Debug, thiserror::Error)]
enum Fault {
    /// It is not one of ours in form.
    #[error("it is not the receipt of a deletion: {0}")]
    Form(String),
    /// No key of this name is among the keys.
    #[error("none of the keys has the name that it gives, {}", print::plain(.0))]
    UnknownKey(String),
    /// The signature is not of these bytes by this key.
    #[error("its signature does not match: {0}")]
    Signature(jsonwebtoken::errors::Error),
}

impl Verify {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let receipt = self.receipt()?;
        let keys = self.keys().await?;
        let (kid, said) = verified(receipt.trim(), &keys)
            .map_err(|fault| CliError::Refused(format!("the receipt does not hold: {fault}")))?;
        if self.json {
            return print::json(&said);
        }
        print::line(&said.in_words(&kid))
    }

    fn receipt(&self) -> Result<String, CliError> {
        let mut text = String::new();
        if self.file.as_os_str() == "-" {
            stdin().take(LONGEST).read_to_string(&mut text)?;
        } else {
            let opened = std::fs::File::open(&self.file);
            let file = opened.map_err(|error| cannot_read(&self.file.display(), &error))?;
            let read = file.take(LONGEST).read_to_string(&mut text);
            read.map_err(|error| cannot_read(&self.file.display(), &error))?;
        }
        Ok(text)
    }

    /// Returns the keys in the file, or at the URL.
    async fn keys(&self) -> Result<JwkSet, CliError> {
        let is_url = ["http://", "https://"]
            .iter()
            .any(|scheme| self.jwks.starts_with(scheme));
        let keys: Value = if is_url {
            let uri = sdk::endpoint("--jwks", &self.jwks)?;
            let scheme = uri.scheme().cloned();
            let scheme =
                scheme.ok_or_else(|| CliError::Refused("--jwks has no scheme".to_owned()))?;
            let connector = sdk::web_client(&scheme, PATIENCE);
            let answer = web::send(&connector, "GET", self.jwks.clone(), Vec::new(), "").await;
            let answer = answer.map_err(|why| cannot_read(&self.jwks, &why))?;
            if answer.status != 200 {
                return Err(cannot_read(&self.jwks, &answer.explained()));
            }
            answer.body
        } else {
            let text = std::fs::read_to_string(&self.jwks);
            let text = text.map_err(|error| cannot_read(&self.jwks, &error))?;
            serde_json::from_str(&text).map_err(|error| cannot_read(&self.jwks, &error))?
        };
        serde_json::from_value(keys).map_err(|error| cannot_read(&self.jwks, &error))
    }
}

fn cannot_read(what: &dyn std::fmt::Display, why: &dyn std::fmt::Display) -> CliError {
    CliError::Refused(format!("cannot read {what}: {why}"))
}

/// Returns the name of the key that has signed a receipt, and what it says.
fn verified(receipt: &str, keys: &JwkSet) -> Result<(String, Said), Fault> {
    let of_form = |error: jsonwebtoken::errors::Error| Fault::Form(error.to_string());
    let header = decode_header(receipt).map_err(of_form)?;
    let kid = checked(&header)?;
    let key = keys
        .find(&kid)
        .ok_or_else(|| Fault::UnknownKey(kid.clone()))?;
    let key = DecodingKey::from_jwk(key).map_err(of_form)?;
    let mut validation = Validation::new(Algorithm::ES256);
    // A receipt never expires, and is for whoever has it.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let token = decode::<Value>(receipt, &key, &validation).map_err(Fault::Signature)?;
    let said: Said =
        serde_json::from_value(token.claims).map_err(|error| Fault::Form(error.to_string()))?;
    if said.verified_empty {
        Ok((kid, said))
    } else {
        Err(Fault::Form(
            "it does not say that nothing was left".to_owned(),
        ))
    }
}

/// Checks the header of a receipt; returns the name of its key. A header that must be
/// understood (`crit`), or that brings a key of its own, is none of ours.
fn checked(header: &Header) -> Result<String, Fault> {
    let form = |why: &str| Err(Fault::Form(why.to_owned()));
    if header.alg != Algorithm::ES256 {
        return form("it is not signed with ES256");
    }
    if header.typ.as_deref() != Some(TYPE) {
        return form("it is of another type");
    }
    let has_key = header.jwk.is_some() || header.jku.is_some() || header.x5u.is_some();
    if header.crit.is_some() || has_key || header.x5c.is_some() {
        return form("its header has members that no receipt has");
    }
    match &header.kid {
        Some(kid) => Ok(kid.clone()),
        None => form("it names no key"),
    }
}

impl Said {
    /// Returns what the receipt says, in words.
    fn in_words(&self, kid: &str) -> String {
        let counts: Vec<_> = self
            .deleted_items
            .iter()
            .filter(|(_, count)| **count > 0)
            .collect();
        let total: u64 = counts.iter().map(|(_, count)| **count).sum();
        let counts: Vec<_> = counts
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        let reason = self.reason.as_ref();
        let reason = reason.map_or_else(String::new, |reason| format!(", reason {reason}"));
        let replaced = if self.campaign_replaced == Some(true) {
            "\nAnother campaign of this id was there at the end, and stays."
        } else {
            ""
        };
        let copies = self.copies.iter().map(|(what, until)| {
            let until = until.as_deref().unwrap_or("not known");
            format!("\n  {}: {}", print::plain(what), print::plain(until))
        });
        let plain = |text: &String| print::plain(text);
        format!(
            "The receipt holds. {iss} has signed it at {signed}, with the key {kid}.
Campaign {sub} of account {account} was deleted, and nothing in it was left.
  deletion: {jti}
  requested by: {by}{reason}
  from {started} to {completed}; passes over the partition: {passes}
  deleted: {total} items: {counts}{replaced}
Copies that are known:{copies}",
            iss = plain(&self.iss),
            signed = rfc3339(self.iat),
            sub = plain(&self.sub),
            account = plain(&self.account_id),
            jti = plain(&self.jti),
            by = plain(&self.requested_by),
            reason = print::plain(&reason),
            started = plain(&self.started_at),
            completed = plain(&self.completed_at),
            passes = self.passes,
            counts = print::plain(&counts.join(", ")),
            copies = copies.collect::<String>(),
        )
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use jsonwebtoken::{EncodingKey, encode};
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        receipts::{LocalKey, Receipts},
        record::{Claims, Record, RecordState},
    };

    /// A receipt, and the keys that verify it.
    async fn signed() -> (String, JwkSet) {
        let record = Record {
            state: RecordState::Succeeded {
                completed_at: "2026-01-01T10:00:00Z".to_owned(),
            },
            ..Record::example(0)
        };
        let receipts = Receipts::by_local_key(LocalKey::generate().unwrap());
        let claims = Claims::of(&record, "https://api.example.com", None, 7).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let receipt = receipts.sign(&claims, deadline).await.unwrap();
        let keys = receipts.keys(deadline).await.unwrap();
        let keys = serde_json::from_value(serde_json::to_value(keys).unwrap()).unwrap();
        (receipt, keys)
    }

    #[tokio::test]
    async fn a_receipt_says_what_the_record_does() {
        let (receipt, keys) = signed().await;
        let (kid, said) = verified(&receipt, &keys).unwrap();
        assert_eq!(keys.keys[0].common.key_id, Some(kid.clone()));
        assert_eq!(
            keys.keys[0]
                .thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256)
                .unwrap(),
            kid
        );
        assert_eq!((said.sub.as_str(), said.iat), ("campaign_1", 7));
        assert!(said.in_words(&kid).contains("others: not known"));
    }

    #[tokio::test]
    async fn a_receipt_with_any_byte_changed_does_not_hold() {
        let (receipt, keys) = signed().await;
        for at in 0..receipt.len() {
            for byte in [b'A', b'B', b'_', b'.', b'=', b' '] {
                let mut changed = receipt.clone().into_bytes();
                if changed[at] == byte {
                    continue;
                }
                changed[at] = byte;
                let changed = String::from_utf8(changed).unwrap();
                assert!(verified(&changed, &keys).is_err(), "{changed}");
            }
        }
        for cut in 0..receipt.len() {
            assert!(verified(&receipt[..cut], &keys).is_err(), "{cut}");
        }
    }

    #[tokio::test]
    async fn only_the_issuers_key_and_algorithm_verify() {
        let (receipt, keys) = signed().await;
        let (_, others) = signed().await;
        let fault = verified(&receipt, &others).unwrap_err();
        assert!(matches!(fault, Fault::UnknownKey(_)), "{fault}");
        // Another key under the same name.
        let mut renamed = others;
        renamed.keys[0]
            .common
            .key_id
            .clone_from(&keys.keys[0].common.key_id);
        let fault = verified(&receipt, &renamed).unwrap_err();
        assert!(matches!(fault, Fault::Signature(_)), "{fault}");
    }

    #[tokio::test]
    async fn no_other_token_passes_for_a_receipt() {
        let (receipt, keys) = signed().await;
        let kid = keys.keys[0].common.key_id.clone();
        let parts: Vec<_> = receipt.split('.').collect();
        let with_header = |header: Value| {
            let header = BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
            format!("{header}.{}.{}", parts[1], parts[2])
        };
        for header in [
            json!({"alg": "none", "kid": kid, "typ": TYPE}),
            json!({"alg": "HS256", "kid": kid, "typ": TYPE}),
            json!({"alg": "ES256", "kid": kid, "typ": "JWT"}),
            json!({"alg": "ES256", "typ": TYPE}),
            json!({"alg": "ES256", "kid": kid, "typ": TYPE, "crit": ["b64"]}),
            json!({"alg": "ES256", "kid": kid, "typ": TYPE, "jku": "https://example.com"}),
        ] {
            assert!(
                verified(&with_header(header.clone()), &keys).is_err(),
                "{header}"
            );
        }
        // The public key as the secret of a symmetric signature.
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TYPE.to_owned());
        header.kid.clone_from(&kid);
        let public = serde_json::to_vec(&keys.keys[0]).unwrap();
        let forged = encode(&header, &json!({}), &EncodingKey::from_secret(&public)).unwrap();
        assert!(verified(&forged, &keys).is_err());
        for text in ["", ".", "..", "a.b.c", "{}", "no receipt"] {
            let fault = verified(text, &keys).unwrap_err();
            assert!(matches!(fault, Fault::Form(_)), "{text}: {fault}");
        }
    }
}

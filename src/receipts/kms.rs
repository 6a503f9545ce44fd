//! Keys in KMS (`ECC_NIST_P256`, `SIGN_VERIFY`): `GetPublicKey` once in a process, and `Sign`.
//! The SDK's client of KMS would add to every function what these two requests do not need.

use std::{sync::Arc, time::Duration};

use aws_config::SdkConfig;
use base64::{Engine, prelude::BASE64_STANDARD};
use p256::ecdsa::Signature;
use serde_json::{Value, json};
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout_at},
};

use super::{ReceiptError, jwk::PublicKey};
use crate::{
    sdk::{self, Cause, JsonAnswer, JsonService, KMS_ENDPOINT_URL},
    table::Backoff,
};

const SIGN: &str = "TrentService.Sign";
const GET_PUBLIC_KEY: &str = "TrentService.GetPublicKey";

/// How long one attempt may take: both requests take tens of milliseconds within a Region.
const ATTEMPT: Duration = Duration::from_secs(2);

/// One key.
#[derive(Debug)]
pub(super) struct KmsKey {
    id: String,
    public: OnceCell<PublicKey>,
    kms: Arc<Kms>,
}

/// KMS, with one connection pool for all keys.
#[derive(Debug)]
struct Kms {
    sdk: SdkConfig,
    service: OnceCell<JsonService>,
}

impl KmsKey {
    /// Returns the keys with these ids, which are ids or ARNs. Nothing is sent yet.
    pub(super) fn all(ids: Vec<String>, sdk: SdkConfig) -> Vec<Self> {
        let kms = Arc::new(Kms {
            sdk,
            service: OnceCell::new(),
        });
        let key = |id| Self {
            id,
            public: OnceCell::new(),
            kms: kms.clone(),
        };
        ids.into_iter().map(key).collect()
    }

    /// Returns the public key, which never changes.
    pub(super) async fn public(&self, deadline: Instant) -> Result<PublicKey, ReceiptError> {
        let public = self.public.get_or_try_init(async || {
            let body = json!({ "KeyId": self.id });
            let answer = self.kms.ask(GET_PUBLIC_KEY, &body, deadline).await?;
            let der = bytes(&answer, "PublicKey");
            let public = der.and_then(|der| PublicKey::from_der(&der));
            public.ok_or_else(|| because(GET_PUBLIC_KEY, "the key is not one of ECC_NIST_P256"))
        });
        public.await.cloned()
    }

    /// Signs a SHA-256 digest.
    pub(super) async fn sign(
        &self,
        digest: &[u8],
        deadline: Instant,
    ) -> Result<Signature, ReceiptError> {
        let body = json!({
            "KeyId": self.id,
            "Message": BASE64_STANDARD.encode(digest),
            "MessageType": "DIGEST",
            "SigningAlgorithm": "ECDSA_SHA_256",
        });
        let answer = self.kms.ask(SIGN, &body, deadline).await?;
        let der = bytes(&answer, "Signature");
        let signature = der.and_then(|der| Signature::from_der(&der).ok());
        signature.ok_or_else(|| because(SIGN, "the answer has no signature"))
    }
}

impl Kms {
    /// Sends a request until it is answered, unless waiting would not help.
    async fn ask(
        &self,
        target: &'static str,
        body: &Value,
        deadline: Instant,
    ) -> Result<Value, ReceiptError> {
        let service = self
            .service
            .get_or_try_init(|| JsonService::new(self.sdk.clone(), "kms", KMS_ENDPOINT_URL));
        let service = service.await.map_err(ReceiptError)?;
        let body = body.to_string();
        let mut backoff = Backoff::default();
        let mut first = None;
        loop {
            let until = deadline.min(Instant::now() + ATTEMPT);
            let cause = match timeout_at(until, Box::pin(service.call(target, &body))).await {
                Ok(Ok(answer)) if answer.status == 200 => return Ok(answer.body),
                Ok(Ok(answer)) if !is_transient(&answer) => {
                    return Err(ReceiptError(answer.cause(target)));
                }
                Ok(Ok(answer)) => answer.cause(target),
                Ok(Err(cause)) => cause,
                Err(_) => Cause::deadline(target),
            };
            // The first cause: later ones often only say that the time was up.
            let cause = first.get_or_insert(cause);
            if !backoff.wait(deadline).await {
                return Err(ReceiptError(cause.clone()));
            }
        }
    }
}

/// Returns whether the same request may be answered later (KMS API reference, the errors of
/// `Sign` and the common ones). Credentials that have expired are read again.
fn is_transient(answer: &JsonAnswer) -> bool {
    let code = answer.code();
    answer.status >= 500
        || answer.status == 429
        || code.contains("Throttl")
        || code.contains("LimitExceeded")
        || matches!(
            code,
            "DependencyTimeoutException" | "KMSInternalException" | "KeyUnavailableException"
        )
        || sdk::is_code_of_signing(code)
}

/// Returns a binary member of an answer.
fn bytes(answer: &Value, member: &str) -> Option<Vec<u8>> {
    let text = answer[member].as_str()?;
    BASE64_STANDARD.decode(text).ok()
}

fn because(target: &str, why: &str) -> ReceiptError {
    ReceiptError(Cause::because(&format!("{target}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_disabled_or_denied_is_not_asked_again() {
        let answer = |status, code: &str| JsonAnswer {
            status,
            body: json!({ "__type": code }),
        };
        for (status, code, expected) in [
            (400, "ThrottlingException", true),
            (400, "LimitExceededException", true),
            (500, "KMSInternalException", true),
            (500, "KeyUnavailableException", true),
            (500, "DependencyTimeoutException", true),
            (503, "", true),
            (400, "ExpiredTokenException", true),
            (400, "DisabledException", false),
            (400, "AccessDeniedException", false),
            (400, "NotFoundException", false),
            (400, "KMSInvalidStateException", false),
            (400, "InvalidKeyUsageException", false),
            (400, "", false),
        ] {
            let is_transient = is_transient(&answer(status, code));
            assert_eq!(is_transient, expected, "{status} {code}");
        }
    }
}

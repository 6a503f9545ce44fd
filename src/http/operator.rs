//! The operator of `campaigns console` as a caller: a token of that process takes the place of
//! the table's API keys. In no Lambda function.

use lambda_http::http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::percent_decode;

use crate::{
    auth::{ApiKey, Principal, SCOPES, is_account_id},
    record::Requester,
    refusal::Refusal,
};

/// The header that names the account for which the operator acts, percent-encoded: an account's
/// id may have characters that no header has.
pub const ACCOUNT: HeaderName = HeaderName::from_static("campaigns-account");

/// Whoever has the token that `campaigns console` has made for its run.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Hashed, as every key is, so that comparing it says nothing about the token.
    token_hash: String,
    account_id: Option<String>,
}

impl Operator {
    /// Returns the operator with this token, who acts for one account or, without one, for the
    /// account that each request names.
    #[must_use]
    pub fn new(token: &ApiKey, account_id: Option<String>) -> Self {
        Self {
            token_hash: token.hash(),
            account_id,
        }
    }

    /// Checks the token of a request.
    ///
    /// # Errors
    /// The refusals of an API key: [`Refusal::MissingApiKey`], [`Refusal::InvalidApiKeyFormat`]
    /// and [`Refusal::InvalidApiKey`].
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers.get(header::AUTHORIZATION);
        let token = ApiKey::from_header(given.map(HeaderValue::as_bytes))?;
        if token.hash() == self.token_hash {
            Ok(())
        } else {
            Err(Refusal::InvalidApiKey)
        }
    }

    /// Returns the operator as a caller, with every scope.
    ///
    /// # Errors
    /// As [`Operator::check`], and [`Refusal::Validation`] if no account is named.
    pub fn admit(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        self.check(headers)?;
        let account_id = match &self.account_id {
            Some(account_id) => account_id.clone(),
            None => account(headers)?,
        };
        Ok(Principal {
            requester: Requester::Cli,
            account_id,
            scopes: SCOPES.map(ToOwned::to_owned).to_vec(),
        })
    }
}

fn account(headers: &HeaderMap) -> Result<String, Refusal> {
    let wrong = || {
        let why = "The Campaigns-Account header must be the id of an account, percent-encoded";
        Refusal::Validation(why.into())
    };
    let given = headers.get(ACCOUNT).ok_or_else(wrong)?;
    let decoded = percent_decode(given.as_bytes()).decode_utf8();
    let account_id = decoded.map_err(|_| wrong())?;
    if is_account_id(&account_id) {
        Ok(account_id.into_owned())
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGH0123_-";

    fn headers(token: &str, account: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        headers.insert(header::AUTHORIZATION, bearer);
        if let Some(account) = account {
            headers.insert(ACCOUNT, HeaderValue::from_static(account));
        }
        headers
    }

    #[test]
    fn the_operator_acts_for_the_account_that_is_named() {
        let token = ApiKey::new(TOKEN).unwrap();
        let any = Operator::new(&token, None);
        let admitted = any.admit(&headers(TOKEN, Some("a%C3%A4%20b"))).unwrap();
        assert_eq!(admitted.account_id, "aä b");
        assert_eq!(admitted.requester, Requester::Cli);
        for account in [None, Some(""), Some("%00"), Some("%FF"), Some("%20")] {
            let refused = any.admit(&headers(TOKEN, account));
            assert!(
                matches!(refused, Err(Refusal::Validation(_))),
                "{account:?}"
            );
        }
        let one = Operator::new(&token, Some("account_1".to_owned()));
        let admitted = one.admit(&headers(TOKEN, Some("account_2"))).unwrap();
        assert_eq!(admitted.account_id, "account_1");
    }

    #[test]
    fn any_other_token_is_refused_as_a_key_is() {
        let operator = Operator::new(&ApiKey::new(TOKEN).unwrap(), None);
        let none = operator.admit(&HeaderMap::new());
        assert_eq!(none, Err(Refusal::MissingApiKey));
        let short = operator.admit(&headers(&TOKEN[1..], Some("a")));
        assert_eq!(short, Err(Refusal::InvalidApiKeyFormat));
        let other = TOKEN.replace('a', "b");
        let other = operator.admit(&headers(&other, Some("a")));
        assert_eq!(other, Err(Refusal::InvalidApiKey));
    }
}

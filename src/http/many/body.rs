//! The body of a request for several campaigns. A misspelt or repeated member is an error, and
//! nothing is claimed: it may have been meant for a dry run.

use std::{collections::HashMap, fmt};

use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use crate::{
    campaign::CampaignId,
    http::request::{self, invalid},
    record::DeletionReason,
    refusal::Refusal,
};

/// The longest body, bytes: more than 100 of the longest ids take, each character escaped.
const LONGEST: usize = 64 * 1024;

/// The most campaigns of one request.
const MOST_CAMPAIGNS: usize = 100;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// The campaigns, none of them twice.
    pub(super) campaign_ids: Vec<CampaignId>,
    /// Whether everything is archived before it is deleted, if the body says so.
    pub(super) archive: Option<bool>,
    /// Why they are deleted, if the body says so.
    pub(super) reason: Option<DeletionReason>,
    /// Whether this is a dry run.
    pub(super) validate_only: bool,
}

/// The members of a JSON object as they were written.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// Reads the body.
///
/// # Errors
/// [`Refusal::Validation`], which quotes nothing of it.
pub(super) fn read(event: &ApiGatewayV2httpRequest) -> Result<Order, Refusal> {
    let body = request::body(event);
    if body.len() > LONGEST {
        return Err(invalid("The body is longer than 65536 bytes"));
    }
    let Members(members) =
        serde_json::from_slice(&body).map_err(|_| invalid("The body must be a JSON object"))?;
    let (mut campaign_ids, mut archive, mut validate_only) = (None, None, None);
    let mut why = None;
    for (name, value) in members {
        let is_repeated = match name.as_str() {
            "campaignIds" => campaign_ids.replace(ids(&value)?).is_some(),
            "archive" => archive.replace(flag("archive", &value)?).is_some(),
            "reason" => why.replace(reason(&value)?).is_some(),
            "validateOnly" => validate_only
                .replace(flag("validateOnly", &value)?)
                .is_some(),
            _ => {
                return Err(invalid(
                    "Unknown member in the body; known here: campaignIds, archive, reason, \
                     validateOnly",
                ));
            }
        };
        if is_repeated {
            let why = format!("The member '{name}' is given more than once");
            return Err(Refusal::Validation(why.into()));
        }
    }
    Ok(Order {
        campaign_ids: campaign_ids.ok_or_else(bad_ids)?,
        archive,
        reason: why,
        validate_only: validate_only.unwrap_or(false),
    })
}

/// The refusal of something else than 1 to 100 ids.
pub(super) fn bad_ids() -> Refusal {
    invalid("The member 'campaignIds' must be an array of 1 to 100 campaign ids")
}

fn ids(value: &Value) -> Result<Vec<CampaignId>, Refusal> {
    let texts = value.as_array().ok_or_else(bad_ids)?;
    if !(1..=MOST_CAMPAIGNS).contains(&texts.len()) {
        return Err(bad_ids());
    }
    let refused = |at: usize, why: String| {
        Refusal::Validation(format!("The member 'campaignIds[{at}]': {why}").into())
    };
    let mut ids = Vec::with_capacity(texts.len());
    let mut places = HashMap::new();
    for (at, text) in texts.iter().enumerate() {
        let Some(text) = text.as_str() else {
            return Err(refused(at, "it must be text".to_owned()));
        };
        let id = CampaignId::parse(text).map_err(|why| refused(at, why.to_string()))?;
        if let Some(first) = places.insert(id.clone(), at) {
            return Err(refused(at, format!("it repeats 'campaignIds[{first}]'")));
        }
        ids.push(id);
    }
    Ok(ids)
}

fn reason(value: &Value) -> Result<DeletionReason, Refusal> {
    let text = value
        .as_str()
        .ok_or_else(|| invalid("The member 'reason' must be text"))?;
    DeletionReason::parse(text).map_err(|why| Refusal::Validation(why.to_string().into()))
}

fn flag(name: &'static str, value: &Value) -> Result<bool, Refusal> {
    value.as_bool().ok_or_else(|| {
        Refusal::Validation(format!("The member '{name}' must be true or false").into())
    })
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde_json::json;

    use super::*;
    use crate::http::request::event;

    fn order(body: &str) -> Result<Order, String> {
        read(&event(json!({ "body": body }))).map_err(|refusal| match refusal {
            Refusal::Validation(why) => why.into_owned(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_body_is_read_encoded_or_not() {
        let body = r#" {"campaignIds": ["b", "\u0061"], "archive": false} "#;
        let expected = Order {
            campaign_ids: ["b", "a"].map(|id| CampaignId::parse(id).unwrap()).to_vec(),
            archive: Some(false),
            reason: None,
            validate_only: false,
        };
        assert_eq!(order(body).unwrap(), expected);
        let encoded = json!({"body": BASE64_STANDARD.encode(body), "isBase64Encoded": true});
        assert_eq!(read(&event(encoded)).unwrap(), expected);
    }

    #[test]
    fn the_longest_ids_fit_with_every_character_escaped() {
        let ids: Vec<_> = (0..MOST_CAMPAIGNS)
            .map(|n| format!("{n:064}"))
            .map(|id| {
                let escaped: Vec<_> = id.bytes().map(|b| format!("\\u{b:04x}")).collect();
                format!("\"{}\"", escaped.concat())
            })
            .collect();
        let body = format!("{{\"campaignIds\": [{}]}}", ids.join(",\n"));
        assert_eq!(order(&body).unwrap().campaign_ids.len(), MOST_CAMPAIGNS);
        let padded = format!("{body}{}", " ".repeat(LONGEST));
        assert!(order(&padded).unwrap_err().contains("longer than"));
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in "\\PC{0,80}") {
            let _ = order(&body);
        }

        #[test]
        fn a_body_of_json_claims_what_it_names_or_nothing(
            name in "(campaignIds|campaignids|ids)",
            id in "[a-z#\" ]{0,4}",
            more in "(|, \"validateOnly\": (true|false|1|null)|, \"x\": 1)",
        ) {
            let id = serde_json::to_string(&id).unwrap();
            if let Ok(order) = order(&format!("{{\"{name}\": [{id}]{more}}}")) {
                proptest::prop_assert_eq!(&name, "campaignIds");
                proptest::prop_assert_eq!(format!("\"{}\"", order.campaign_ids[0]), id);
                proptest::prop_assert_eq!(order.validate_only, more.contains("true"));
            }
        }
    }
}

//! What a restore does beside putting items: it looks at what is there already.

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity};
use tokio::time::Instant;

use super::{
    Backoff, Table, TableError, built,
    item::Item,
    keys::{PK, SK},
    retry::{until_answered, whole},
};
use crate::sdk::Cause;

impl Table {
    /// Reads those of up to 100 items that exist, strongly consistent, by the keys of `items`.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn existing(
        &self,
        items: &[Item],
        deadline: Instant,
    ) -> Result<Vec<Item>, TableError> {
        const OPERATION: &str = "BatchGetItem";
        let key = |item: &Item| {
            let key = item
                .iter()
                .filter(|(name, _)| [PK, SK].contains(&name.as_str()));
            key.map(|(name, value)| (name.clone(), value.clone()))
                .collect::<Item>()
        };
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(items.iter().map(key).collect()))
            .consistent_read(true)
            .build();
        let mut keys = Some(built(keys)?);
        let (mut found, mut backoff) = (Vec::new(), Backoff::default());
        while let Some(left) = keys.take() {
            let request = self.client().batch_get_item();
            let request = request
                .request_items(self.name(), left)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            // What is there must not pass for missing.
            let send = || {
                whole(request.clone().send(), |answer| {
                    answer.consumed_capacity.is_some()
                })
            };
            let answer = until_answered(OPERATION, deadline, send)
                .await
                .map_err(|failure| failure.into_table_error(OPERATION))?;
            found.extend(answer.responses.unwrap_or_default().into_values().flatten());
            keys = answer
                .unprocessed_keys
                .unwrap_or_default()
                .into_values()
                .next();
            if keys.is_some() && !backoff.wait(deadline).await {
                return Err(TableError::Busy(Cause::deadline(OPERATION)));
            }
        }
        Ok(found)
    }
}

/// Returns whether two items are the same. DynamoDB returns the values of a set in any order.
#[must_use]
pub fn are_same(one: &Item, other: &Item) -> bool {
    let same = |(name, value): (&String, &AttributeValue)| {
        let other = other.get(name);
        other.is_some_and(|other| in_order(value.clone()) == in_order(other.clone()))
    };
    one.len() == other.len() && one.iter().all(same)
}

/// Returns a value with the values of every set in it in order.
fn in_order(value: AttributeValue) -> AttributeValue {
    match value {
        AttributeValue::Ss(mut values) => {
            values.sort_unstable();
            AttributeValue::Ss(values)
        }
        AttributeValue::Ns(mut values) => {
            values.sort_unstable();
            AttributeValue::Ns(values)
        }
        AttributeValue::Bs(mut values) => {
            values.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
            AttributeValue::Bs(values)
        }
        AttributeValue::L(values) => AttributeValue::L(values.into_iter().map(in_order).collect()),
        AttributeValue::M(members) => {
            let members = members.into_iter();
            AttributeValue::M(
                members
                    .map(|(name, value)| (name, in_order(value)))
                    .collect(),
            )
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_the_same_in_any_order_and_lists_are_not() {
        let item = |value: AttributeValue| Item::from([("a".to_owned(), value)]);
        let texts = |all: [&str; 2]| all.map(ToOwned::to_owned).to_vec();
        let list = |all: [&str; 2]| {
            AttributeValue::L(texts(all).into_iter().map(AttributeValue::S).collect())
        };
        let set = |all| AttributeValue::Ss(texts(all));
        let nested = |all| AttributeValue::M([("m".to_owned(), set(all))].into());
        assert!(are_same(&item(set(["1", "2"])), &item(set(["2", "1"]))));
        assert!(are_same(
            &item(nested(["1", "2"])),
            &item(nested(["2", "1"]))
        ));
        assert!(!are_same(&item(list(["1", "2"])), &item(list(["2", "1"]))));
        assert!(!are_same(&item(set(["1", "2"])), &item(set(["1", "3"]))));
        assert!(!are_same(&item(set(["1", "2"])), &Item::new()));
    }
}

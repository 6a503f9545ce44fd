//! Expressions of conditional writes: placeholders for names and values.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::item::Item;
use crate::campaign::Attribute;

/// Names and values of the expressions of one request. Every name is given as
/// `#name`, since many of ours are reserved words.
#[derive(Default)]
pub(super) struct Expressions {
    pub(super) names: HashMap<String, String>,
    pub(super) values: Item,
}

impl Expressions {
    pub(super) fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#{name}");
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    /// Returns a placeholder for a name that others chose, which may have any characters.
    pub(super) fn alias(&mut self, number: usize, name: &str) -> String {
        let placeholder = format!("#other{number}");
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    /// `#name = :value`.
    pub(super) fn assign(&mut self, name: &str, value_name: &str, value: AttributeValue) -> String {
        let placeholder = format!(":{value_name}");
        self.values.insert(placeholder.clone(), value);
        format!("{} = {placeholder}", self.name(name))
    }

    /// Returns the condition that an attribute is what was read, of any type.
    pub(super) fn is_as_seen(&mut self, name: &str, seen: &Attribute) -> String {
        let value = match seen {
            Attribute::Absent => None,
            Attribute::Null => Some(AttributeValue::Null(true)),
            Attribute::Text(value) => Some(text(value)),
            Attribute::Number(value) => Some(AttributeValue::N(value.clone())),
            Attribute::Bool(value) => Some(AttributeValue::Bool(*value)),
            Attribute::Other(kind) => {
                self.values.insert(format!(":{name}"), text(kind));
                return format!("attribute_type({}, :{name})", self.name(name));
            }
        };
        self.equals(name, value)
    }

    /// Returns the condition that an attribute has this value, or is absent.
    pub(super) fn equals(&mut self, name: &str, value: Option<AttributeValue>) -> String {
        match value {
            Some(value) => self.assign(name, name, value),
            None => format!("attribute_not_exists({})", self.name(name)),
        }
    }
}

pub(super) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(super) fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

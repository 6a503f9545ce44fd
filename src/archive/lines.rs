//! Items as lines of DynamoDB-JSON, compressed: `{"Item": {"PK": {"S": "..."}, ...}}`, the
//! format of DynamoDB's import from S3 (developer guide, "Amazon S3 import formats for
//! DynamoDB").
//! Numbers stay text and bytes stay bytes, so that what is read again is what was written.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use crate::table::item::Item;

/// How many bytes of lines are compressed at a time.
const BUFFER: usize = 32 * 1024;

/// An item has an attribute of a type that this program does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an item has an attribute of an unknown type")]
pub struct Unwritable;

/// A line of an object is not an item.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// It cannot be decompressed, or is cut.
    #[error("the object is not whole: {0}")]
    Compression(#[from] io::Error),
    /// It is not DynamoDB-JSON.
    #[error("line {0} is not an item in DynamoDB-JSON")]
    Format(usize),
}

/// Returns items as compressed lines.
///
/// # Errors
/// [`Unwritable`].
pub fn write_lines(items: &[Item]) -> Result<Vec<u8>, Unwritable> {
    // The fastest level: the next page waits for it. Names repeat, so it still takes off most.
    let gzip = GzEncoder::new(Vec::new(), Compression::fast());
    // Every write into the compression costs more than copying what serde_json writes: a few
    // bytes each.
    let mut lines = BufWriter::with_capacity(BUFFER, gzip);
    for item in items {
        serde_json::to_writer(&mut lines, &Line(item)).map_err(|_| Unwritable)?;
        lines.write_all(b"\n").map_err(|_| Unwritable)?;
    }
    let gzip = lines.into_inner().map_err(|_| Unwritable)?;
    gzip.finish().map_err(|_| Unwritable)
}

/// Returns an item as a line, without its end.
///
/// # Errors
/// [`Unwritable`].
#[cfg(feature = "cli")]
pub fn write_line(item: &Item) -> Result<String, Unwritable> {
    serde_json::to_string(&Line(item)).map_err(|_| Unwritable)
}

/// Reads compressed lines, one item after the other.
pub fn read_lines(compressed: impl Read) -> impl Iterator<Item = Result<Item, BadLine>> {
    let lines = BufReader::new(MultiGzDecoder::new(compressed)).lines();
    lines.enumerate().map(|(at, line)| {
        let read = serde_json::from_str(&line?).ok().and_then(read_line);
        read.ok_or(BadLine::Format(at + 1))
    })
}

/// A line of an object.
struct Line<'a>(&'a Item);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut line = to.serialize_map(Some(1))?;
        line.serialize_entry("Item", &Map(self.0))?;
        line.end()
    }
}

struct Map<'a>(&'a Item);

impl Serialize for Map<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, value)| (name, Typed(value))))
    }
}

/// A value with its type, as `{"S": "text"}`.
struct Typed<'a>(&'a AttributeValue);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let text = |bytes: &Blob| BASE64_STANDARD.encode(bytes.as_ref());
        let mut typed = to.serialize_map(Some(1))?;
        match self.0 {
            AttributeValue::S(value) => typed.serialize_entry("S", value),
            AttributeValue::N(value) => typed.serialize_entry("N", value),
            AttributeValue::B(value) => typed.serialize_entry("B", &text(value)),
            AttributeValue::Bool(value) => typed.serialize_entry("BOOL", value),
            AttributeValue::Null(value) => typed.serialize_entry("NULL", value),
            AttributeValue::Ss(values) => typed.serialize_entry("SS", values),
            AttributeValue::Ns(values) => typed.serialize_entry("NS", values),
            AttributeValue::Bs(values) => {
                let values: Vec<String> = values.iter().map(text).collect();
                typed.serialize_entry("BS", &values)
            }
            AttributeValue::L(values) => {
                let values: Vec<Typed<'_>> = values.iter().map(Typed).collect();
                typed.serialize_entry("L", &values)
            }
            AttributeValue::M(members) => typed.serialize_entry("M", &Map(members)),
            _ => Err(serde::ser::Error::custom(Unwritable)),
        }?;
        typed.end()
    }
}

fn read_line(line: Value) -> Option<Item> {
    match members(line)? {
        mut line if line.len() == 1 => map(line.remove("Item")?),
        _ => None,
    }
}

fn members(value: Value) -> Option<serde_json::Map<String, Value>> {
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

fn map(value: Value) -> Option<Item> {
    let members = members(value)?.into_iter();
    members
        .map(|(name, value)| Some((name, typed(value)?)))
        .collect::<Option<HashMap<_, _>>>()
}

fn typed(value: Value) -> Option<AttributeValue> {
    let mut members = members(value)?.into_iter();
    let (name, value) = members.next()?;
    if members.next().is_some() {
        return None;
    }
    Some(match (name.as_str(), value) {
        ("S", Value::String(value)) => AttributeValue::S(value),
        ("N", Value::String(value)) => AttributeValue::N(value),
        ("B", value) => AttributeValue::B(bytes(value)?),
        ("BOOL", Value::Bool(value)) => AttributeValue::Bool(value),
        ("NULL", Value::Bool(value)) => AttributeValue::Null(value),
        ("SS", value) => AttributeValue::Ss(each(value, text)?),
        ("NS", value) => AttributeValue::Ns(each(value, text)?),
        ("BS", value) => AttributeValue::Bs(each(value, bytes)?),
        ("L", value) => AttributeValue::L(each(value, typed)?),
        ("M", value) => AttributeValue::M(map(value)?),
        _ => return None,
    })
}

fn each<T>(value: Value, read: fn(Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::Array(values) => values.into_iter().map(read).collect(),
        _ => None,
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn bytes(value: Value) -> Option<Blob> {
    let bytes = BASE64_STANDARD.decode(text(value)?).ok()?;
    Some(Blob::new(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values of every type, nested, with what is odd in each.
    fn values() -> impl Strategy<Value = AttributeValue> {
        let number = prop_oneof!["-?[1-9][0-9]{0,37}", Just("1E-130".to_owned())];
        let bytes = || proptest::collection::vec(any::<u8>(), 0..20).prop_map(Blob::new);
        let leaf = prop_oneof![
            any::<String>().prop_map(AttributeValue::S),
            number.clone().prop_map(AttributeValue::N),
            bytes().prop_map(AttributeValue::B),
            any::<bool>().prop_map(AttributeValue::Bool),
            Just(AttributeValue::Null(true)),
            proptest::collection::vec(any::<String>(), 1..4).prop_map(AttributeValue::Ss),
            proptest::collection::vec(number, 1..4).prop_map(AttributeValue::Ns),
            proptest::collection::vec(bytes(), 1..4).prop_map(AttributeValue::Bs),
        ];
        leaf.prop_recursive(5, 30, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(AttributeValue::L),
                proptest::collection::hash_map(any::<String>(), inner, 0..5)
                    .prop_map(AttributeValue::M),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            items in proptest::collection::vec(
                proptest::collection::hash_map(any::<String>(), values(), 0..6),
                0..6,
            )
        ) {
            let written = write_lines(&items).unwrap();
            let read: Vec<Item> = read_lines(&written[..]).map(Result::unwrap).collect();
            prop_assert_eq!(read, items);
        }

        #[test]
        fn a_cut_object_is_an_error(length in 0.0..1.0_f64) {
            let items: Vec<Item> = (0..50)
                .map(|n: u32| HashMap::from([("SK".to_owned(), AttributeValue::S(n.to_string()))]))
                .collect();
            let written = write_lines(&items).unwrap();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "a part of a short length"
            )]
            let length = (written.len() as f64 * length) as usize;
            prop_assert!(read_lines(&written[..length]).any(|line| line.is_err()));
        }
    }

    #[test]
    fn a_line_that_is_not_an_item_is_named() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"Item": 1}"#,
            r#"{"Item": {}, "other": 1}"#,
            r#"{"Item": {"PK": "x"}}"#,
            r#"{"Item": {"PK": {"S": 1}}}"#,
            r#"{"Item": {"PK": {"N": 1}}}"#,
            r#"{"Item": {"PK": {"B": "*"}}}"#,
            r#"{"Item": {"PK": {"S": "a", "N": "1"}}}"#,
            r#"{"Item": {"PK": {"X": "a"}}}"#,
        ] {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(format!("{{\"Item\": {{}}}}\n{bad}\n").as_bytes())
                .unwrap();
            let object = gzip.finish().unwrap();
            let read: Vec<_> = read_lines(&object[..]).collect();
            assert!(read[0].is_ok());
            assert!(matches!(read[1], Err(BadLine::Format(2))), "{bad}");
        }
    }

    #[test]
    fn the_format_is_that_of_an_import() {
        let item = HashMap::from([("A".to_owned(), AttributeValue::N("1.50".to_owned()))]);
        let written = write_lines(&[item]).unwrap();
        let mut text = String::new();
        MultiGzDecoder::new(&written[..])
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "{\"Item\":{\"A\":{\"N\":\"1.50\"}}}\n");
    }
}

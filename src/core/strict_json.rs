//! Strict JSON: an object with a duplicate key is rejected, at any depth.
//!
//! JSON does not define the meaning of a duplicate key, and most parsers silently use the last value. If a file has
//! `"dryRun": true` and, further down, `"dryRun": false`, its author's intention is unknown.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Why a text was rejected.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// It is not valid JSON.
    #[error("{0}")]
    NotJson(serde_json::Error),
    /// An object has a duplicate key, at this path.
    #[error("duplicate key `{0}`")]
    Twice(String),
}

/// Reads a text that is one JSON value.
///
/// # Errors
/// If it is not valid JSON, or an object anywhere in it has a duplicate key.
pub fn read(text: &str) -> Result<Value, NotRead> {
    let twice = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { at: At::Root, twice: &twice }.deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| twice.take().map_or(NotRead::NotJson(error), NotRead::Twice))
}

/// A value as JSON text of at most 200 characters, for a message.
pub(crate) fn shown(value: &Value) -> String {
    /// A longer value would hide the rest of the message.
    const SHOWN: usize = 200;
    let mut text = value.to_string();
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A path in words, for a message: `countUnit in policies[0].rules[1].selection`. A name without an index is unchanged.
pub(crate) fn place_of(path: &str) -> String {
    match path.rsplit_once('.') {
        Some((parent, field)) if parent.contains('[') => format!("{field} in {parent}"),
        Some(_) | None => path.to_owned(),
    }
}

/// The path of a value.
#[derive(Clone, Copy)]
enum At<'a> {
    Root,
    Key(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Item(parent, place) => write!(f, "{parent}[{place}]"),
        }
    }
}

/// Reads the value at a path, and stores the path of a duplicate key.
struct Strict<'a> {
    at: At<'a>,
    twice: &'a RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) =
            list.next_element_seed(Strict { at: At::Item(&self.at, items.len()), twice: self.twice })?
        {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            let at = At::Key(&self.at, &key);
            if map.contains_key(&key) {
                self.twice.replace(Some(at.to_string()));
                return Err(A::Error::custom("duplicate key"));
            }
            let value = object.next_value_seed(Strict { at, twice: self.twice })?;
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_duplicate_key_is_reported_with_its_path() {
        for (text, named) in [
            (r#"{ "dryRun": true, "dryRun": false }"#, "dryRun"),
            (r#"{ "dryRun": true, "dry\u0052un": true }"#, "dryRun"),
            (r#"{ "detail": { "keepTags": [], "a": 1, "keepTags": ["b"] } }"#, "detail.keepTags"),
            (r#"{ "regions": [{}, { "repositories": [], "repositories": [] }] }"#, "regions[1].repositories"),
            (r#"[[{ "a": 1, "a": 1 }]]"#, "[0][0].a"),
            (r#"{ "": 1, "": 2 }"#, ""),
        ] {
            match read(text) {
                Err(NotRead::Twice(at)) => assert_eq!(at, named, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(
            read(r#"{ "a": { "a": 1 }, "b": { "a": 2 } }"#).unwrap(),
            json!({ "a": { "a": 1 }, "b": { "a": 2 } })
        );
    }

    #[test]
    fn invalid_json_is_rejected() {
        for text in ["", "{", "{} {}", "{\"a\":1,}", "01", "nul", "\"\\x\"", &"[".repeat(100_000)] {
            assert!(matches!(read(text), Err(NotRead::NotJson(_))), "{text:.20}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter_map("JSON has no such number", |number| {
                serde_json::Number::from_f64(number).map(Value::from)
            }),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(".*", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn all_other_json_is_read_as_by_any_parser(value in value()) {
            let text = value.to_string();
            prop_assert_eq!(read(&text).unwrap(), serde_json::from_str::<Value>(&text).unwrap());
        }
    }
}

//! JSON of which nothing is overlooked: an object that has a key twice is refused, at any depth.
//!
//! JSON leaves open what a key means that stands twice in an object, and most readers silently take the last. Whoever
//! wrote `"dryRun": true` and, further down, `"dryRun": false` has not said which of them is meant.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Why a text was not read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// It is no JSON.
    #[error("{0}")]
    NotJson(serde_json::Error),
    /// An object has a key twice.
    #[error("`{0}` stands twice")]
    Twice(String),
}

/// Reads a text that is one JSON value.
///
/// # Errors
/// When it is none, or an object anywhere in it has a key twice.
pub fn read(text: &str) -> Result<Value, NotRead> {
    let twice = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { at: At::Root, twice: &twice }.deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| twice.take().map_or(NotRead::NotJson(error), NotRead::Twice))
}

/// Where in the text a value stands.
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

/// A value that is to be read, and where it is noted that a key stands twice.
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
                return Err(A::Error::custom("a key stands twice"));
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
    fn a_key_that_stands_twice_is_named_with_where_it_stands() {
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
    fn what_is_no_json_is_none_here_either() {
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
        fn everything_else_is_read_as_by_any_reader(value in value()) {
            let text = value.to_string();
            prop_assert_eq!(read(&text).unwrap(), serde_json::from_str::<Value>(&text).unwrap());
        }
    }
}

//! Validates reports against their published schema, `events/report.schema.json`.
//!
//! The schema uses few of JSON Schema's keywords, so this test implements them. A crate for all of them would take
//! longer to build than everything under test. An unknown keyword fails. `tests/infra/check.py` checks the schema
//! itself with Python's `jsonschema`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("events/report.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
});

/// Returns the report if it conforms to its schema.
pub fn checked(report: Value) -> Value {
    if let Some(violation) = violation(&report) {
        panic!("{violation}");
    }
    report
}

/// The first difference from the schema, if there is one.
pub fn violation(report: &Value) -> Option<String> {
    violation_of(&SCHEMA, report, "report")
}

fn violation_of(schema: &Value, value: &Value, at: &str) -> Option<String> {
    schema
        .as_object()
        .unwrap()
        .iter()
        .find_map(|(keyword, rule)| violation_of_keyword(schema, keyword, rule, value, at))
}

fn violation_of_keyword(schema: &Value, keyword: &str, rule: &Value, value: &Value, at: &str) -> Option<String> {
    let unless = |holds: bool| (!holds).then(|| format!("{at} is {value}, against {keyword} {rule}"));
    match keyword {
        // The next two belong to `if`, and `properties` to `additionalProperties`.
        "$schema" | "$defs" | "title" | "description" | "then" | "else" => None,
        "$ref" => violation_of(SCHEMA.pointer(rule.as_str().unwrap().strip_prefix('#').unwrap()).unwrap(), value, at),
        "type" => {
            let is = |name: &Value| match name.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "null" => value.is_null(),
                "number" => value.is_number(),
                "integer" => value.is_u64() || value.is_i64(),
                name => panic!("the type {name}"),
            };
            unless(rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is)))
        }
        "const" => unless(value == rule),
        "enum" => unless(rule.as_array().unwrap().contains(value)),
        "minimum" => unless(value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap())),
        "pattern" => unless(value.as_str().is_none_or(|text| matches(rule.as_str().unwrap(), text))),
        "required" => {
            let misses = |name: &&Value| value.as_object().is_some_and(|it| !it.contains_key(name.as_str().unwrap()));
            rule.as_array().unwrap().iter().find(misses).map(|name| format!("{at} has no {name}"))
        }
        "properties" => {
            let mut known = value.as_object()?.iter().filter_map(|(name, value)| Some((name, value, rule.get(name)?)));
            known.find_map(|(name, value, schema)| violation_of(schema, value, &format!("{at}.{name}")))
        }
        "additionalProperties" => {
            assert_eq!(*rule, Value::Bool(false));
            let unknown = value.as_object()?.keys().find(|name| schema["properties"].get(name).is_none());
            unknown.map(|name| format!("{at} has {name}, which the schema does not know"))
        }
        "items" => {
            let mut items = value.as_array()?.iter().enumerate();
            items.find_map(|(place, item)| violation_of(rule, item, &format!("{at}[{place}]")))
        }
        "if" => {
            let branch = if violation_of(rule, value, at).is_none() { "then" } else { "else" };
            violation_of(&schema[branch], value, at)
        }
        keyword => panic!("the schema uses {keyword}, which is not checked here"),
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    thread_local! {
        static PATTERNS: RefCell<HashMap<String, Regex>> = RefCell::default();
    }
    PATTERNS.with_borrow_mut(|known| {
        known.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).unwrap()).is_match(text)
    })
}

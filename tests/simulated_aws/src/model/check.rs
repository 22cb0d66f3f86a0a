//! Checks a value against the shape in a model.
//!
//! The length of a list in an answer is not checked: AWS uses the same shapes for requests, and answers with empty lists.
//! Times are numbers in the JSON protocol (ECR, ECS). In REST-JSON (Lambda, Account Management) they are numbers too, unless
//! the model has another format. Then they are texts.

use std::fmt;

use serde_json::{Map, Value};

use super::members;

/// A deviation, and its path. The path is built only after a deviation is found, so a correct answer costs no time.
pub(super) struct Deviation {
    path: String,
    what: String,
}

impl Deviation {
    fn new(what: impl Into<String>) -> Self {
        Self { path: String::new(), what: what.into() }
    }

    fn under(self, step: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with(['[', '{']) { "" } else { "." };
        Self { path: format!("{step}{dot}{}", self.path), ..self }
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.what),
            path => write!(f, "{path}: {}", self.what),
        }
    }
}

/// Checks a structure by its name.
pub(super) fn structure(name: &str, value: &Value) -> Result<(), Deviation> {
    match value.as_object() {
        Some(fields) => check_structure(name, fields),
        None => Err(Deviation::new(format!("{value} is not a structure"))),
    }
}

fn check(facts: &Value, value: &Value) -> Result<(), Deviation> {
    let kind = facts["type"].as_str().unwrap_or_default();
    match (kind, value) {
        ("structure", Value::Object(fields)) => check_structure(facts["of"].as_str().unwrap_or_default(), fields),
        ("list", Value::Array(items)) => check_list(facts, items),
        ("map", Value::Object(entries)) => check_map(facts, entries),
        ("string", Value::String(text)) => check_text(facts, text),
        ("timestamp", Value::Number(_)) if facts["format"] == "unixTimestamp" => Ok(()),
        ("timestamp", Value::String(_)) if facts["format"] != "unixTimestamp" => Ok(()),
        ("integer", Value::Number(number)) if !number.is_f64() => Ok(()),
        ("document", _)
        | ("boolean", Value::Bool(_))
        | ("float", Value::Number(_))
        // Base64.
        | ("blob", Value::String(_)) => Ok(()),
        _ => Err(Deviation::new(format!("{value} is not of type {kind}"))),
    }
}

fn check_structure(name: &str, fields: &Map<String, Value>) -> Result<(), Deviation> {
    let members = members(name).ok_or_else(|| Deviation::new(format!("the table has no {name}")))?;
    // Clients read null as an absent member.
    let present = |name: &str| fields.get(name).filter(|value| !value.is_null());
    for (name, facts) in members {
        match present(name) {
            Some(value) => check(facts, value).map_err(|deviation| deviation.under(name))?,
            None if facts["required"] == true => return Err(Deviation::new("is required").under(name)),
            None => {}
        }
    }
    match fields.keys().find(|name| !members.contains_key(*name)) {
        Some(unknown) => Err(Deviation::new(format!("{name} has no such member")).under(unknown)),
        None => Ok(()),
    }
}

fn check_list(facts: &Value, items: &[Value]) -> Result<(), Deviation> {
    let mut items = items.iter().enumerate();
    items.try_for_each(|(index, item)| {
        check(&facts["each"], item).map_err(|deviation| deviation.under(&format!("[{index}]")))
    })
}

fn check_map(facts: &Value, entries: &Map<String, Value>) -> Result<(), Deviation> {
    entries.iter().try_for_each(|(key, value)| {
        let checked = check_text(&facts["key"], key).and_then(|()| check(&facts["each"], value));
        checked.map_err(|deviation| deviation.under(&format!("{{{key}}}")))
    })
}

fn check_text(facts: &Value, text: &str) -> Result<(), Deviation> {
    match facts.get("enum").and_then(Value::as_array) {
        Some(values) if values.iter().all(|value| value != text) => {
            Err(Deviation::new(format!("{text:?} is not in the model's enum")))
        }
        _ => Ok(()),
    }
}

//! Variations of an answer that its model allows: an absent or empty member, or an enum value newer than the model.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value};

use super::{declared, members};

/// A value in no enum of the models. AWS adds values to enums at any time.
const UNKNOWN_VALUE: &str = "NEWER_THAN_THE_MODEL";

/// A change of an answer that its model allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variation {
    /// The path of the member, such as `imageDetails[].imageTags`. `{}` stands for the values of a map.
    pub path: String,
    /// The change of the member.
    pub change: Change,
    /// The number of the only element to change in each list on the path, modulo the list's length. `None` for all elements.
    pub only: Option<usize>,
}

/// A change of one member of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The member is absent.
    Absent,
    /// The list, map, structure or text is empty. Numbers and booleans can't be.
    Empty,
    /// The text is a value in no enum.
    UnknownEnum,
}

/// Every variation of an operation's answer: each change in all elements of a list, and the same change in one element.
pub(crate) fn variations(operation: &str, answer: &Value) -> Vec<Variation> {
    // A page without a token is the last page, and an empty listing is empty. Both are other answers, and not incomplete.
    let is_token = |path: &str| ["nextToken", "NextToken", "NextMarker"].contains(&path);
    let pages = declared(operation).and_then(|facts| facts["pagination"]["result_key"].as_str());
    let is_a_list = operation.contains(":List");
    let is_listing = |path: &str, facts: &Value| {
        pages.map_or(is_a_list && facts["type"] == "list" && !path.contains('.'), |listed| listed == path)
    };
    let mut all = Vec::new();
    for (path, facts) in paths(operation) {
        let is_optional = facts["required"] != true && !path.ends_with([']', '}']);
        let optional = is_optional.then_some([Change::Absent, Change::Empty]).into_iter().flatten();
        let unknown = facts.get("enum").map(|_| Change::UnknownEnum);
        for change in optional.chain(unknown) {
            if is_token(&path) || change == Change::Empty && is_listing(&path, facts) {
                continue;
            }
            let everywhere = Variation { path: path.clone(), change, only: None };
            let changed = everywhere.clone().applied(answer.clone());
            if changed.is_none() {
                continue;
            }
            let mut hasher = DefaultHasher::new();
            (operation, &path).hash(&mut hasher);
            let place = usize::try_from(hasher.finish() % 1_000).unwrap_or_default();
            let at_one_place = Variation { only: Some(place), ..everywhere.clone() };
            let one_changed = at_one_place.applied(answer.clone());
            all.push(everywhere);
            all.extend(Some(at_one_place).filter(|_| one_changed.is_some() && one_changed != changed));
        }
    }
    all
}

impl Variation {
    /// The answer with the change; `None` if the change has no effect.
    pub(crate) fn applied(&self, mut answer: Value) -> Option<Value> {
        self.apply(&mut answer, &self.path).then_some(answer)
    }

    fn apply(&self, answer: &mut Value, path: &str) -> bool {
        if path.is_empty() {
            return self.change.apply(answer);
        }
        if let Some(rest) = path.strip_prefix("[]") {
            let items = answer.as_array_mut().map(Vec::as_mut_slice).unwrap_or_default();
            let only = self.only.map(|place| place % items.len().max(1));
            let items = items.iter_mut().enumerate().filter(|(place, _)| only.is_none_or(|only| only == *place));
            return self.in_each(items.map(|(_, item)| item), rest);
        }
        if let Some(rest) = path.strip_prefix("{}") {
            return self.in_each(answer.as_object_mut().into_iter().flat_map(|entries| entries.values_mut()), rest);
        }
        let (name, rest) = path.split_at(path.find(['.', '[', '{']).unwrap_or(path.len()));
        let Some(fields) = answer.as_object_mut() else { return false };
        if rest.is_empty() && self.change == Change::Absent {
            return fields.remove(name).is_some_and(|was| !was.is_null());
        }
        fields.get_mut(name).is_some_and(|value| self.apply(value, after_dot(rest)))
    }

    fn in_each<'a>(&self, values: impl Iterator<Item = &'a mut Value>, rest: &str) -> bool {
        // `any` would stop at the first changed value, and the others must change too.
        values.map(|value| self.apply(value, after_dot(rest))).filter(|changed| *changed).count() > 0
    }
}

impl Change {
    fn apply(self, value: &mut Value) -> bool {
        let changed = match (self, &*value) {
            (Self::Empty, Value::Array(items)) if !items.is_empty() => Value::Array(Vec::new()),
            (Self::Empty, Value::Object(fields)) if !fields.is_empty() => Value::Object(Map::new()),
            (Self::Empty, Value::String(text)) if !text.is_empty() => Value::from(""),
            (Self::UnknownEnum, Value::String(text)) if text != UNKNOWN_VALUE => Value::from(UNKNOWN_VALUE),
            _ => return false,
        };
        *value = changed;
        true
    }
}

fn after_dot(path: &str) -> &str {
    path.strip_prefix('.').unwrap_or(path)
}

/// The paths in an operation's answer, each with the model's facts about the member.
fn paths(operation: &str) -> Vec<(String, &'static Value)> {
    let mut found = Vec::new();
    let output = declared(operation).and_then(|facts| facts["output"].as_str());
    if let Some(name) = output {
        walk_structure(name, "", &mut Vec::new(), &mut |path, facts| found.push((path.to_owned(), facts)));
    }
    found
}

/// Visits the members of a structure. A structure inside itself is not visited again.
fn walk_structure(
    name: &'static str,
    path: &str,
    within: &mut Vec<&'static str>,
    visit: &mut impl FnMut(&str, &'static Value),
) {
    if within.contains(&name) {
        return;
    }
    within.push(name);
    let dot = if path.is_empty() { "" } else { "." };
    for (member, facts) in members(name).into_iter().flatten() {
        walk(facts, &format!("{path}{dot}{member}"), within, visit);
    }
    within.pop();
}

fn walk(
    facts: &'static Value,
    path: &str,
    within: &mut Vec<&'static str>,
    visit: &mut impl FnMut(&str, &'static Value),
) {
    visit(path, facts);
    match facts["type"].as_str() {
        Some("structure") => walk_structure(facts["of"].as_str().unwrap_or_default(), path, within, visit),
        Some("list") => walk(&facts["each"], &format!("{path}[]"), within, visit),
        Some("map") => walk(&facts["each"], &format!("{path}{{}}"), within, visit),
        _ => {}
    }
}

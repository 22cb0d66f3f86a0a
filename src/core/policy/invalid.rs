//! The error for a policy document that is not valid.

use std::fmt;

use serde_json::Value;

use crate::strict_json;

/// A policy that is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPolicy {
    /// The path of the invalid field: `[0].rules[1].selection.countUnit`.
    pub at: String,
    /// The invalid value; `None` if the field is missing.
    pub given: Option<Value>,
    /// What is wrong, and what is expected: a clause.
    pub problem: String,
}

impl std::error::Error for InvalidPolicy {}

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, given, problem } = self;
        let place = strict_json::place_of(at);
        match given {
            Some(given) => write!(f, "invalid value {} for {place}: {problem}", strict_json::shown(given)),
            None => write!(f, "missing {place}: {problem}"),
        }
    }
}

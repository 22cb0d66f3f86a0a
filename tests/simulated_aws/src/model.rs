//! AWS's own models of requests, answers and errors: `tests/models/operations.json`, which `derive.py` in the same folder
//! derives from botocore.
//!
//! The simulated account checks each request and answer against the models, so that it can't drift from AWS. Tests read
//! from them the optional members of each answer and the errors of each operation.

mod check;
pub(crate) mod member;

use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::page::PAGING;
use crate::request::{Request, ServiceError};

const TABLE: &str = include_str!("../../models/operations.json");
/// Errors that every operation can return. The models don't list them.
/// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html>.
const COMMON_ERRORS: [&str; 8] = [
    "AccessDeniedException",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
];

/// The first deviation of a request, or of its answer, from the model. Answers in XML are not checked.
pub(crate) fn complaint(request: &Request, answer: &Result<Value, ServiceError>) -> Option<String> {
    let operation = request.operation();
    let found = match answer {
        Err(error) if error.code == "UnknownOperationException" => return None,
        _ if declared(&operation).is_none() => Some("the models have no such operation".to_owned()),
        Err(error) => undeclared(&operation, error),
        Ok(answer) => of_answer(&operation, answer)
            .or_else(|| of_page(request, answer))
            .or_else(|| of_request(request).map(|what| format!("the request has {what}"))),
    };
    found.map(|what| format!("{operation}: {what}"))
}

/// The errors that an operation declares: code and HTTP status.
pub fn errors_of(operation: &str) -> Vec<(String, u16)> {
    let errors = declared(operation).and_then(|facts| facts["errors"].as_object());
    let status = |status: &Value| status.as_u64().and_then(|status| u16::try_from(status).ok());
    errors.into_iter().flatten().filter_map(|(code, it)| Some((code.clone(), status(it)?))).collect()
}

fn undeclared(operation: &str, error: &ServiceError) -> Option<String> {
    let is_declared = errors_of(operation).iter().any(|(code, status)| *code == error.code && *status == error.status);
    let is_fine = is_declared || COMMON_ERRORS.contains(&error.code.as_str());
    (!is_fine).then(|| format!("the model has no error {} with status {}", error.code, error.status))
}

fn of_answer(operation: &str, answer: &Value) -> Option<String> {
    let structure = declared(operation)?["output"].as_str()?;
    check::structure(structure, answer).err().map(|deviation| deviation.to_string())
}

/// Checks a request. The SDK sends the right types, but a list can be too long. Parameters in a path or a query are not
/// checked, because all of them are text.
fn of_request(request: &Request) -> Option<String> {
    let facts = declared(&request.operation())?;
    let mut body = request.body.clone();
    body.as_object_mut()?.remove(PAGING);
    let is_in_body = facts["method"] == "POST" && protocol(&request.service)? != "query";
    let structure = facts["input"].as_str().filter(|_| is_in_body)?;
    let too_long = |(name, facts): (&String, &Value)| {
        let (held, most) = (body[name].as_array()?.len() as u64, facts["max"].as_u64()?);
        (held > most).then(|| format!("{held} {name}, more than {most}"))
    };
    let deviation = check::structure(structure, &body).err().map(|deviation| deviation.to_string());
    deviation.or_else(|| members(structure)?.iter().find_map(too_long))
}

/// Whether a page has more items than the request or the model allows.
fn of_page(request: &Request, answer: &Value) -> Option<String> {
    let facts = declared(&request.operation())?;
    let pages = facts.get("pagination")?;
    let held = answer[pages["result_key"].as_str()?].as_array()?.len() as u64;
    let limit_key = pages["limit_key"].as_str()?;
    let asked = &request.body[limit_key];
    let asked = asked.as_u64().or_else(|| asked.as_str()?.parse().ok());
    let most = members(facts["input"].as_str()?)?[limit_key]["max"].as_u64();
    let limit = asked.into_iter().chain(most).min()?;
    (held > limit).then(|| format!("the page has {held} items, more than {limit}"))
}

/// The table of all models. If the file were not JSON, the table would be empty, and every answer a deviation.
fn table() -> &'static Value {
    static PARSED: OnceLock<Value> = OnceLock::new();
    PARSED.get_or_init(|| serde_json::from_str(TABLE).unwrap_or_default())
}

fn declared(operation: &str) -> Option<&'static Value> {
    table()["operations"].get(operation).filter(|facts| facts["absent"] != true)
}

fn protocol(service: &str) -> Option<&'static str> {
    table()["services"][service]["protocol"].as_str()
}

fn members(structure: &str) -> Option<&'static Map<String, Value>> {
    table()["structures"].get(structure)?.as_object()
}

#[cfg(test)]
mod tests;

//! What AWS's own models say that an operation may be asked and may answer: `tests/models/operations.json`, which
//! `derive.py` beside it derives from botocore.
//!
//! The simulated account is held to it, so that its world can't drift from AWS's; and a sweep learns from it what an answer
//! may lack, and which errors a call may meet.

mod check;
pub(crate) mod member;

use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::page::PAGING;
use crate::request::{Request, ServiceError};

const TABLE: &str = include_str!("../../models/operations.json");
/// Errors that every operation may answer, which the models leave out.
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

/// The first thing in a request, or in its answer, that the model does not allow. Answers in XML are beyond this.
pub(crate) fn complaint(request: &Request, answer: &Result<Value, ServiceError>) -> Option<String> {
    let operation = request.operation();
    let found = match answer {
        Err(error) if error.code == "UnknownOperationException" => return None,
        _ if declared(&operation).is_none() => Some("the models have no such operation".to_owned()),
        Err(error) => undeclared(&operation, error),
        Ok(answer) => of_answer(&operation, answer)
            .or_else(|| of_page(request, answer))
            .or_else(|| of_request(request).map(|what| format!("it was asked for {what}"))),
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
    (!is_fine).then(|| format!("it declares no error {} with status {}", error.code, error.status))
}

fn of_answer(operation: &str, answer: &Value) -> Option<String> {
    let structure = declared(operation)?["output"].as_str()?;
    check::structure(structure, answer).err().map(|deviation| deviation.to_string())
}

/// What the SDK sends keeps to the shapes, yet lists may be too long. Of what stands in a path or a query all is text.
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

/// Whether a page holds more than was asked for, or than there may be in one.
fn of_page(request: &Request, answer: &Value) -> Option<String> {
    let facts = declared(&request.operation())?;
    let pages = facts.get("pagination")?;
    let held = answer[pages["result_key"].as_str()?].as_array()?.len() as u64;
    let limit_key = pages["limit_key"].as_str()?;
    let asked = &request.body[limit_key];
    let asked = asked.as_u64().or_else(|| asked.as_str()?.parse().ok());
    let most = members(facts["input"].as_str()?)?[limit_key]["max"].as_u64();
    let limit = asked.into_iter().chain(most).min()?;
    (held > limit).then(|| format!("its page holds {held}, more than {limit}"))
}

/// The table; nothing at all, of which every answer is complained, were it not JSON.
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

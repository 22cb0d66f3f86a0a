//! A call on the wire: who makes it, where, and what it asks, whatever the protocol.

use serde_json::{Map, Value};

/// A call as a service sees it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) service: String,
    pub(crate) action: String,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) body: Value,
}

/// An error as a service answers it.
#[derive(Clone, Debug)]
pub(crate) struct ServiceError {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl ServiceError {
    pub(crate) fn new(status: u16, code: &str, message: &str) -> Self {
        Self { status, code: code.to_owned(), message: message.to_owned() }
    }
}

impl Request {
    /// The operation in IAM's notation.
    pub(crate) fn operation(&self) -> String {
        format!("{}:{}", self.service, self.action)
    }

    /// A required text.
    pub(crate) fn text(&self, name: &str, error: &str) -> Result<&str, ServiceError> {
        self.body[name]
            .as_str()
            .filter(|text| !text.is_empty())
            .ok_or_else(|| ServiceError::new(400, error, &format!("{name} is required")))
    }

    /// Reads who is calling from the signature, as the services do.
    pub(crate) fn parse(
        path: &str,
        target: Option<&str>,
        authorization: Option<&str>,
        body: &[u8],
    ) -> Result<Self, ServiceError> {
        let unsigned = || ServiceError::new(403, "MissingAuthenticationToken", "the request is not signed");
        let credential = authorization
            .and_then(|header| header.split_once("Credential="))
            .and_then(|(_, rest)| rest.split(',').next())
            .ok_or_else(unsigned)?;
        let [access_key, _date, region, service, "aws4_request"] = credential.split('/').collect::<Vec<_>>()[..] else {
            return Err(unsigned());
        };
        let account = access_key
            .strip_prefix("AKIASIM")
            .ok_or_else(|| ServiceError::new(403, "InvalidClientTokenId", "the security token is invalid"))?;
        let (action, body) = match (service, target) {
            (_, Some(target)) => (target.rsplit('.').next().unwrap_or_default().to_owned(), json(body)?),
            ("sts", None) => {
                let form = form(body);
                (form["Action"].as_str().unwrap_or_default().to_owned(), form)
            }
            // REST: the path names the operation.
            (_, None) => (capitalized(path.trim_start_matches('/')), json(body)?),
        };
        Ok(Self { service: service.to_owned(), action, account: account.to_owned(), region: region.to_owned(), body })
    }
}

fn json(body: &[u8]) -> Result<Value, ServiceError> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    serde_json::from_slice(body).map_err(|error| ServiceError::new(400, "SerializationException", &error.to_string()))
}

/// The AWS query protocol's parameters. No value that the tests send needs decoding.
fn form(body: &[u8]) -> Value {
    let text = String::from_utf8_lossy(body);
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), Value::from(value))).collect::<Map<_, _>>().into()
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

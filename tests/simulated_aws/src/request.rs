//! A call on the wire in any protocol: its caller, Region, operation and parameters.

use hyper::Uri;
use hyper::body::Bytes;
use serde_json::{Map, Value};

use crate::s3;

/// A call as a service sees it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) service: String,
    pub(crate) action: String,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) body: Value,
    /// The bytes of an S3 object, which come beside the parameters.
    pub(crate) payload: Bytes,
}

/// An error that a service returns.
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

    /// Parses a request. The caller's account, the Region and the service are in its signature.
    pub(crate) fn parse(
        (method, uri): (&str, &Uri),
        header: &dyn Fn(&str) -> Option<String>,
        payload: &Bytes,
    ) -> Result<Self, ServiceError> {
        let (target, authorization) = (header("x-amz-target"), header("authorization"));
        let body: &[u8] = payload;
        let unsigned = || ServiceError::new(403, "MissingAuthenticationToken", "the request is not signed");
        let credential = authorization
            .as_deref()
            .and_then(|header| header.split_once("Credential="))
            .and_then(|(_, rest)| rest.split(',').next())
            .ok_or_else(unsigned)?;
        let [access_key, _date, region, service, "aws4_request"] = credential.split('/').collect::<Vec<_>>()[..] else {
            return Err(unsigned());
        };
        let account = access_key
            .strip_prefix("AKIASIM")
            // MiniStack gives a function its account id as its access key.
            .or_else(|| Some(access_key).filter(|key| key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_digit())))
            .ok_or_else(|| ServiceError::new(403, "InvalidClientTokenId", "the security token is invalid"))?;
        let mut of_object = Bytes::new();
        let (action, body) = match (service, target.as_deref()) {
            (_, Some(target)) => (target.rsplit('.').next().unwrap_or_default().to_owned(), json(body)?),
            ("sts", None) => {
                let form = form(body);
                (form["Action"].as_str().unwrap_or_default().to_owned(), form)
            }
            ("lambda", None) => lambda_operation(uri),
            ("s3", None) => {
                if !s3::is_signed(body, header("x-amz-content-sha256").as_deref()) {
                    let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
                    return Err(ServiceError::new(400, "XAmzContentSHA256Mismatch", message));
                }
                of_object = payload.clone();
                s3::operation(method, uri.path(), pairs(uri.query().unwrap_or_default()), header)
            }
            // In REST, the path is the name of the operation.
            (_, None) => (capitalized(uri.path().trim_start_matches('/')), json(body)?),
        };
        let (service, account, region) = (service.to_owned(), account.to_owned(), region.to_owned());
        Ok(Self { service, action, account, region, body, payload: of_object })
    }
}

fn json(body: &[u8]) -> Result<Value, ServiceError> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    serde_json::from_slice(body).map_err(|error| ServiceError::new(400, "SerializationException", &error.to_string()))
}

/// The parameters in AWS's query protocol.
fn form(body: &[u8]) -> Value {
    pairs(&String::from_utf8_lossy(body)).into()
}

/// A call in Lambda's REST interface: the path has the operation and the function, the query has the other parameters.
fn lambda_operation(uri: &Uri) -> (String, Value) {
    let mut request = pairs(uri.query().unwrap_or_default());
    let path = uri.path().trim_start_matches("/2015-03-31/").trim_end_matches('/');
    let (action, function) = match path.split('/').collect::<Vec<_>>()[..] {
        ["functions"] => ("ListFunctions", None),
        ["event-source-mappings"] => ("ListEventSourceMappings", None),
        ["functions", name] => ("GetFunction", Some(name)),
        ["functions", name, "versions"] => ("ListVersionsByFunction", Some(name)),
        ["functions", name, "aliases"] => ("ListAliases", Some(name)),
        _ => ("Unknown", None),
    };
    if let Some(name) = function {
        request.insert("FunctionName".to_owned(), decoded(name).into());
    }
    (action.to_owned(), request.into())
}

fn pairs(text: &str) -> Map<String, Value> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), decoded(value).into())).collect()
}

/// Percent-encoded text.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let hex = others.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &others[2..];
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

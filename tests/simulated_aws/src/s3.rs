//! The operations of S3 that memory uses: <https://docs.aws.amazon.com/AmazonS3/latest/API/>. Errors and listings are XML.
//!
//! The path of a request begins with the bucket. Buckets are strongly consistent. A role that may not list a bucket gets 403
//! instead of 404: see [`Place::hide_missing_objects`](crate::Place::hide_missing_objects).

use std::collections::BTreeMap;

use hyper::body::Bytes;
use sha2::{Digest, Sha256};

use crate::request::{Request, ServiceError};
use crate::world::{Place, World};

/// The maximum number of keys per page. In S3 it is 1,000, which is more than any test needs.
const KEYS_PER_PAGE: usize = 3;

/// A bucket. Bucket names are unique over all accounts.
#[derive(Default)]
pub(crate) struct StoredBucket {
    pub(crate) account: String,
    pub(crate) region: String,
    /// Whether a missing object is denied, as for a role without `s3:ListBucket`.
    pub(crate) hides_missing: bool,
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
}

/// The answer.
pub(crate) struct Answered {
    pub(crate) content_type: &'static str,
    pub(crate) etag: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// The operation of a request, with its parameters. The first part of the path is the bucket.
pub(crate) fn operation(
    method: &str,
    path: &str,
    query: serde_json::Map<String, serde_json::Value>,
    header: &dyn Fn(&str) -> Option<String>,
) -> (String, serde_json::Value) {
    let path = path.trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let action = match (method, key) {
        ("GET", "") => "ListBucket",
        ("GET", _) => "GetObject",
        ("PUT", _) => "PutObject",
        _ => "Unknown",
    };
    let mut parameters = query;
    parameters.insert("Bucket".to_owned(), bucket.into());
    parameters.insert("Key".to_owned(), key.into());
    for (name, condition) in [("IfMatch", "if-match"), ("IfNoneMatch", "if-none-match")] {
        parameters.extend(header(condition).map(|value| (name.to_owned(), value.into())));
    }
    (action.to_owned(), parameters.into())
}

/// Whether the signature is that of this payload.
pub(crate) fn is_signed(payload: &[u8], content_sha256: Option<&str>) -> bool {
    content_sha256.is_some_and(|signed| signed == format!("{:x}", Sha256::digest(payload)))
}

pub(crate) fn answer(world: &mut World, request: &Request) -> Result<Answered, ServiceError> {
    let name = request.text("Bucket", "InvalidBucketName")?.to_owned();
    let key = request.body["Key"].as_str().unwrap_or_default().to_owned();
    let denied = || ServiceError::new(403, "AccessDenied", "Access Denied");
    let bucket = world.buckets.get_mut(&name);
    let bucket = bucket.ok_or_else(|| ServiceError::new(404, "NoSuchBucket", "The specified bucket does not exist"))?;
    if bucket.account != request.account {
        return Err(denied());
    }
    if bucket.region != request.region {
        let message = "The bucket you are attempting to access must be addressed using the specified endpoint.";
        return Err(ServiceError::new(301, "PermanentRedirect", message));
    }
    match request.action.as_str() {
        "ListBucket" if bucket.hides_missing => Err(denied()),
        "ListBucket" => list(bucket, request),
        "GetObject" => match bucket.objects.get(&key) {
            Some(body) => {
                Ok(Answered { content_type: "binary/octet-stream", etag: Some(etag_of(body)), body: body.clone() })
            }
            None if bucket.hides_missing => Err(denied()),
            None => Err(ServiceError::new(404, "NoSuchKey", "The specified key does not exist.")),
        },
        "PutObject" => put(bucket, request, key),
        action => Err(ServiceError::new(405, "MethodNotAllowed", action)),
    }
}

fn list(bucket: &StoredBucket, request: &Request) -> Result<Answered, ServiceError> {
    if request.body["list-type"] != "2" {
        return Err(ServiceError::new(501, "NotImplemented", "the first version of the listing"));
    }
    let prefix = request.body["prefix"].as_str().unwrap_or_default();
    let after = request.body["continuation-token"].as_str().unwrap_or_default();
    let below = bucket.objects.keys().filter(|key| key.starts_with(prefix));
    let mut keys: Vec<&String> = below.filter(|key| after.is_empty() || key.as_str() > after).collect();
    let is_truncated = keys.len() > KEYS_PER_PAGE;
    keys.truncate(KEYS_PER_PAGE);
    let next = keys.last().filter(|_| is_truncated);
    let next = next.map_or_else(String::new, |key| format!("<NextContinuationToken>{key}</NextContinuationToken>"));
    let contents: Vec<String> = keys.iter().map(|key| format!("<Contents><Key>{key}</Key></Contents>")).collect();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Prefix>{prefix}</Prefix>{next}\
         <KeyCount>{}</KeyCount><IsTruncated>{is_truncated}</IsTruncated>{}</ListBucketResult>",
        keys.len(),
        contents.concat()
    );
    Ok(Answered { content_type: "application/xml", etag: None, body: body.into_bytes() })
}

fn put(bucket: &mut StoredBucket, request: &Request, key: String) -> Result<Answered, ServiceError> {
    let failed = || {
        ServiceError::new(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
    };
    let there = bucket.objects.get(&key).map(|body| etag_of(body));
    if request.body["IfNoneMatch"] == "*" && there.is_some() {
        return Err(failed());
    }
    if let Some(expected) = request.body["IfMatch"].as_str() {
        match there {
            None => return Err(ServiceError::new(404, "NoSuchKey", "The specified key does not exist.")),
            Some(etag) if etag != expected => return Err(failed()),
            Some(_) => {}
        }
    }
    let body = request.payload.to_vec();
    let etag = Some(etag_of(&body));
    bucket.objects.insert(key, body);
    Ok(Answered { content_type: "application/xml", etag, body: Vec::new() })
}

/// An entity tag, with its quotes. In S3 it is often an MD5 sum, but clients must not rely on that.
fn etag_of(body: &[u8]) -> String {
    format!("\"{:x}\"", Sha256::digest(body))
}

pub(crate) fn error(error: &ServiceError) -> String {
    let ServiceError { code, message, .. } = error;
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    )
}

impl Place {
    /// Creates a bucket if it does not exist.
    pub fn bucket(&self, name: &str) {
        let mut world = self.world.lock();
        let bucket = world.buckets.entry(name.to_owned()).or_default();
        (bucket.account, bucket.region) = (self.account.clone(), self.region.clone());
    }

    /// Denies missing objects, as S3 does for a role that may not list the bucket.
    pub fn hide_missing_objects(&self, bucket: &str) {
        self.world.lock().buckets.entry(bucket.to_owned()).or_default().hides_missing = true;
    }

    /// The objects of a bucket.
    #[must_use]
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Bytes> {
        let world = self.world.lock();
        let objects = world.buckets.get(bucket).map(|bucket| bucket.objects.clone()).unwrap_or_default();
        objects.into_iter().map(|(key, body)| (key, body.into())).collect()
    }

    /// Puts an object without a condition. Without a body, this deletes the object.
    pub fn set_object(&self, bucket: &str, key: &str, body: Option<&[u8]>) {
        let mut world = self.world.lock();
        let objects = &mut world.buckets.entry(bucket.to_owned()).or_default().objects;
        match body {
            Some(body) => _ = objects.insert(key.to_owned(), body.to_vec()),
            None => _ = objects.remove(key),
        }
    }
}

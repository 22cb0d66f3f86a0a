//! S3, for the three calls of memory: list the objects below a prefix, get an object, put an object if it did not change.
//!
//! They are generic operations of the SDK's runtime. S3's own crate would add 12 crates for three calls, among them
//! checksums and caches that none of these calls uses. It would also enable the runtime's event streams for all others.

use std::fmt::{self, Write};
use std::sync::{Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::auth::{SigV4OperationSigningConfig, SigningOptions};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_runtime::service_clock_skew::{ServiceClockSkewClassifier, ServiceClockSkewInterceptor};
use aws_sdk_ecr::error::{ErrorMetadata, ProvideErrorMetadata};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{
    AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_types::SigningName;
use aws_types::region::SigningRegion;
use ecr_cleanup_core::account::Region;
use ecr_cleanup_core::call_error::CallError;

use super::{Aws, Caller};
use crate::deadline::Deadline;

/// The calls in IAM's notation.
const LIST_BUCKET: &str = "s3:ListBucket";
const GET_OBJECT: &str = "s3:GetObject";
const PUT_OBJECT: &str = "s3:PutObject";
/// The status of a put whose condition is false, and that of a put at the same time as another of the same object.
/// See <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>.
const CONDITION_FAILED: [u16; 2] = [412, 409];
/// A put with If-Match of an object that was deleted.
const NOT_FOUND: u16 = 404;

/// A bucket, reached with the credentials of the run.
#[derive(Debug)]
pub struct Bucket {
    name: Box<str>,
    aws: Aws,
    deadline: Deadline,
    operation: Mutex<S3>,
}

/// An object and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its entity tag, which changes with it.
    pub etag: String,
}

type S3 = Operation<Ask, Answer, S3Error>;

/// A request of any of the calls.
#[derive(Clone, Debug)]
struct Ask {
    method: &'static str,
    /// The path below the bucket, which begins with a slash, with a query.
    path: String,
    condition: Option<(&'static str, String)>,
    body: Vec<u8>,
}

#[derive(Debug)]
struct Answer {
    etag: Option<String>,
    body: Vec<u8>,
}

/// An error that S3 returns.
#[derive(Clone, Debug)]
struct S3Error {
    status: u16,
    meta: ErrorMetadata,
    /// The bucket's region, if it is another.
    region: Option<Region>,
}

impl fmt::Display for S3Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}: {}", self.status, self.meta)
    }
}

impl std::error::Error for S3Error {}

impl ProvideErrorMetadata for S3Error {
    fn meta(&self) -> &ErrorMetadata {
        &self.meta
    }
}

impl Aws {
    /// A bucket. The first call goes to the region of global services.
    #[must_use]
    pub fn bucket(&self, name: &str, deadline: Deadline) -> Bucket {
        let operation = Mutex::new(operation(&self.config, name));
        Bucket { name: name.into(), aws: self.clone(), deadline, operation }
    }
}

impl Bucket {
    /// The keys of all objects below a prefix.
    ///
    /// # Errors
    /// When they can't be listed in full.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, CallError> {
        let mut keys = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let next = token.as_ref().map_or(String::new(), |token| format!("&continuation-token={}", encoded(token)));
            let path = format!("/?list-type=2{next}&prefix={}", encoded(prefix));
            let ask = Ask { method: "GET", path, condition: None, body: Vec::new() };
            let answer = self.invoke(LIST_BUCKET, &ask, |_| ()).await?;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let is_whole = text.contains("<ListBucketResult") && text.trim_end().ends_with("</ListBucketResult>");
            if !is_whole {
                return Err(CallError::no_list(LIST_BUCKET));
            }
            keys.extend(texts_of(&text, "Key"));
            match texts_of(&text, "NextContinuationToken").next() {
                None => return Ok(keys),
                next if next == token => return Err(CallError::broke_off(LIST_BUCKET)),
                next => token = next,
            }
        }
    }

    /// An object; `None` if it does not exist.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn get(&self, key: &str) -> Result<Option<Got>, CallError> {
        let ask = Ask { method: "GET", path: format!("/{key}"), condition: None, body: Vec::new() };
        match self.invoke(GET_OBJECT, &ask, |_| ()).await {
            Ok(Answer { etag: Some(etag), body }) => Ok(Some(Got { bytes: body, etag })),
            Ok(Answer { etag: None, .. }) => Err(CallError::unexpected(GET_OBJECT, &"the object has no ETag")),
            Err(error) if error.code == "NoSuchKey" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts an object if its entity tag is still this one, or if it still does not exist. Returns its new entity tag;
    /// `None` if it was not put.
    ///
    /// # Errors
    /// When the call fails otherwise.
    pub async fn put(&self, key: &str, bytes: Vec<u8>, etag: Option<&str>) -> Result<Option<String>, CallError> {
        let condition = match etag {
            Some(etag) => ("if-match", etag.to_owned()),
            None => ("if-none-match", "*".to_owned()),
        };
        let ask = Ask { method: "PUT", path: format!("/{key}"), condition: Some(condition), body: bytes };
        let mut status = None;
        match self.invoke(PUT_OBJECT, &ask, |error| status = Some(error.status)).await {
            Ok(Answer { etag: Some(etag), .. }) => Ok(Some(etag)),
            Ok(Answer { etag: None, .. }) => Err(CallError::unexpected(PUT_OBJECT, &"the answer has no ETag")),
            Err(error) => match status {
                Some(status) if CONDITION_FAILED.contains(&status) => Ok(None),
                Some(NOT_FOUND) if etag.is_some() && error.code == "NoSuchKey" => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// The answer of a call. S3 redirects the first call to the bucket's own region, if that is another. `look_at` gets an
    /// error of S3 before it becomes a [`CallError`].
    async fn invoke(
        &self,
        api: &'static str,
        ask: &Ask,
        mut look_at: impl FnMut(&S3Error),
    ) -> Result<Answer, CallError> {
        let mut elsewhere = None;
        let first = self.invoke_once(api, ask, |error| {
            elsewhere.clone_from(&error.region);
            look_at(error);
        });
        match (first.await, elsewhere) {
            (Err(_), Some(region)) => {
                self.move_to(&region);
                self.invoke_once(api, ask, look_at).await
            }
            (answer, _) => answer,
        }
    }

    async fn invoke_once(
        &self,
        api: &'static str,
        ask: &Ask,
        mut look_at: impl FnMut(&S3Error),
    ) -> Result<Answer, CallError> {
        let operation = self.operation.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let call = async {
            let answer = operation.invoke(ask.clone()).await;
            if let Some(error) = answer.as_ref().err().and_then(|error| error.as_service_error()) {
                look_at(error);
            }
            answer
        };
        Caller::new(self.deadline).call(api, call).await
    }

    fn move_to(&self, region: &Region) {
        let operation = operation(&self.aws.config_in(region), &self.name);
        *self.operation.lock().unwrap_or_else(PoisonError::into_inner) = operation;
    }
}

fn operation(config: &SdkConfig, bucket: &str) -> S3 {
    let region = config.region().cloned().unwrap_or_else(|| aws_config::Region::from_static("us-east-1"));
    let (endpoint, path) = endpoint(config, region.as_ref(), bucket);
    let mut layer = Layer::new("s3");
    let mut signing_options = SigningOptions::default();
    signing_options.double_uri_encode = false;
    signing_options.content_sha256_header = true;
    signing_options.normalize_uri_path = false;
    layer.store_put(SigV4OperationSigningConfig {
        region: Some(SigningRegion::from(region)),
        name: Some(SigningName::from_static("s3")),
        signing_options,
        ..SigV4OperationSigningConfig::default()
    });
    layer.store_put(AuthSchemeOptionResolverParams::new(()));
    let mut components = RuntimeComponentsBuilder::new("s3");
    let by_signature = StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]);
    components.set_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(by_signature)));
    components.push_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()));
    if let Some(credentials) = config.credentials_provider() {
        components.set_identity_resolver(SCHEME_ID, credentials);
    }
    if let Some(cache) = config.identity_cache() {
        components.set_identity_cache(Some(cache));
    }
    let mut builder = Operation::builder()
        .service_name("s3")
        .operation_name("Object")
        .endpoint_url(&endpoint)
        .with_connection_poisoning()
        .retry_classifier(HttpStatusCodeClassifier::default())
        .retry_classifier(TransientErrorClassifier::<S3Error>::new())
        .retry_classifier(AwsErrorCodeClassifier::<S3Error>::new())
        // A clock that is wrong is corrected for signatures, as in the SDK's own clients.
        .retry_classifier(ServiceClockSkewClassifier::<S3Error>::new())
        .interceptor(ServiceClockSkewInterceptor::new())
        .runtime_plugin(StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components));
    if let Some(version) = config.behavior_version() {
        builder = builder.behavior_version(version);
    }
    if let Some(client) = config.http_client() {
        builder = builder.http_client(client);
    }
    if let Some(retries) = config.retry_config() {
        builder = builder.standard_retry(retries);
    }
    if let Some(timeouts) = config.timeout_config() {
        builder = builder.timeout_config(timeouts.clone());
    }
    if let Some(sleep) = config.sleep_impl() {
        builder = builder.sleep_impl(sleep);
    }
    if let Some(time) = config.time_source() {
        builder = builder.time_source(time);
    }
    builder
        .serializer(move |ask: Ask| {
            let mut request = HttpRequest::new(SdkBody::from(ask.body));
            request.set_method(ask.method)?;
            request.set_uri(format!("{path}{}", ask.path))?;
            // A browser shows an object as a page only if it has this type.
            if ask.method == "PUT" && ask.path.strip_suffix(".html").is_some() {
                request.headers_mut().try_insert("content-type", "text/html; charset=utf-8")?;
            }
            if let Some((name, value)) = ask.condition {
                request.headers_mut().try_insert(name, value)?;
            }
            Ok(request)
        })
        .deserializer(read)
        .build()
}

/// The endpoint of a bucket, with the path before a key. It is the bucket's own host, unless another endpoint is set. No
/// certificate matches the host of a bucket with a dot in its name, so such a bucket has the host of all buckets.
///
/// See <https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html>.
fn endpoint(config: &SdkConfig, region: &str, bucket: &str) -> (String, String) {
    if let Some(endpoint) = config.endpoint_url() {
        return (endpoint.to_owned(), format!("/{bucket}"));
    }
    let suffix = match region.split('-').next() {
        Some("cn") => "amazonaws.com.cn",
        Some("eusc") => "amazonaws.eu",
        _ if region.starts_with("us-iso-") => "c2s.ic.gov",
        _ if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        _ if region.starts_with("us-isof-") => "csp.hci.ic.gov",
        _ if region.starts_with("eu-isoe-") => "cloud.adc-e.uk",
        _ => "amazonaws.com",
    };
    let fips = if config.use_fips() == Some(true) { "-fips" } else { "" };
    let dual_stack = if config.use_dual_stack() == Some(true) { ".dualstack" } else { "" };
    let host = format!("s3{fips}{dual_stack}.{region}.{suffix}");
    if bucket.contains('.') {
        (format!("https://{host}"), format!("/{bucket}"))
    } else {
        (format!("https://{bucket}.{host}"), String::new())
    }
}

fn read(response: &HttpResponse) -> Result<Answer, OrchestratorError<S3Error>> {
    let header = |name: &str| response.headers().get(name).map(str::to_owned);
    let body = response.body().bytes().unwrap_or_default();
    let status = response.status();
    if status.is_success() {
        return Ok(Answer { etag: header("etag"), body: body.to_vec() });
    }
    let text = String::from_utf8_lossy(body);
    let of_status = match status.as_u16() {
        301 | 307 => "PermanentRedirect",
        403 => "AccessDenied",
        NOT_FOUND => "NotFound",
        412 => "PreconditionFailed",
        _ => "UnknownError",
    };
    let code = texts_of(&text, "Code").next().unwrap_or_else(|| of_status.to_owned());
    let message = texts_of(&text, "Message").next().unwrap_or_else(|| format!("S3 answers {}", status.as_u16()));
    let meta = ErrorMetadata::builder().code(code).message(message).build();
    // S3 names the bucket's region with other errors too. A call to another region is redirected, or its signature is wrong.
    let is_elsewhere = matches!(status.as_u16(), 301 | 307 | 400);
    let region = header("x-amz-bucket-region").filter(|_| is_elsewhere).and_then(|region| region.parse().ok());
    Err(OrchestratorError::operation(S3Error { status: status.as_u16(), meta, region }))
}

/// The texts of all elements of this name that contain no elements.
fn texts_of<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = String> + use<'a> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (text, after) = after.split_once(&close)?;
        rest = after;
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
        Some(text.replace("&amp;", "&"))
    })
}

/// A text, encoded for the value of a query.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_reached_at_its_own_host_where_a_certificate_allows_it() {
        let of = |region: &'static str, bucket: &str| {
            let config = SdkConfig::builder().region(aws_config::Region::from_static(region)).build();
            let (endpoint, path) = endpoint(&config, region, bucket);
            format!("{endpoint}{path}")
        };
        assert_eq!(of("eu-central-1", "memory"), "https://memory.s3.eu-central-1.amazonaws.com");
        assert_eq!(of("eu-central-1", "our.memory"), "https://s3.eu-central-1.amazonaws.com/our.memory");
        assert_eq!(of("cn-north-1", "memory"), "https://memory.s3.cn-north-1.amazonaws.com.cn");
        let config = SdkConfig::builder().endpoint_url("http://127.0.0.1:4566").build();
        assert_eq!(
            endpoint(&config, "us-west-2", "memory"),
            ("http://127.0.0.1:4566".to_owned(), "/memory".to_owned())
        );
        let fips = SdkConfig::builder().use_fips(true).use_dual_stack(true).build();
        assert_eq!(
            endpoint(&fips, "us-east-1", "memory").0,
            "https://memory.s3-fips.dualstack.us-east-1.amazonaws.com"
        );
    }

    #[test]
    fn texts_are_taken_out_of_xml() {
        let xml = concat!("<L><Key>a/b</Key><C><Key>x&amp;", "lt;", "&lt;</Key></C><Keys>no</Keys><Key>cut");
        assert_eq!(texts_of(xml, "Key").collect::<Vec<_>>(), ["a/b", "x&lt;<"]);
        assert_eq!(encoded("seen/a b+"), "seen%2Fa%20b%2B");
    }
}

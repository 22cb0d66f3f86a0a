//! The HTTP server. It checks the signature, applies faults and latency, and then returns the service's answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, DATE, ETAG, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::body::{Body, Dropped};
use crate::calls::Call;
use crate::clock::Clock;
use crate::fault::{Carried, Effect, Fault};
use crate::memory::Memory;
use crate::model::member::variations;
use crate::page::PAGING;
use crate::quota::Quota;
use crate::repository::Repository;
use crate::request::{Request, ServiceError};
use crate::start_error::StartError;
use crate::world::{Cluster, Place, Shared, World};
use crate::{ACCOUNT, REGION, account, ecr, ecs, functions, model, replication, s3, signature, sts};

/// The endpoint of an account in memory. Requests to it never leave the process.
const URL_IN_MEMORY: &str = "http://aws.simulated";
/// The latency of an account in memory. It makes concurrent calls overlap, as on the wire. If a test pauses the clock, it
/// costs no real time.
const LATENCY_IN_MEMORY: Duration = Duration::from_millis(1);

/// A simulated AWS account on loopback or in memory. It ends when it is dropped.
pub struct SimulatedAws {
    world: Shared,
    url: String,
    /// The server on loopback; `None` in memory.
    server: Option<JoinHandle<()>>,
}

impl SimulatedAws {
    /// Starts an empty account on any free port of loopback. One region is enabled in it.
    pub async fn start() -> Self {
        Self::start_on(0).await.expect("a port on loopback")
    }

    /// The same on this port. With 0, the operating system chooses a free port.
    ///
    /// # Errors
    /// When another program uses the port, or this user may not listen on it.
    pub async fn start_on(port: u16) -> Result<Self, StartError> {
        let failed = |cause| StartError::new(port, cause);
        let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
        let url = format!("http://{}", listener.local_addr().map_err(failed)?);
        let mut aws = Self::without_a_wire(Clock::OfTheMachine);
        aws.url = url;
        aws.server = Some(tokio::spawn(serve(listener, aws.world.clone())));
        Ok(aws)
    }

    /// Starts an account in memory. The SDK calls it through [`Self::http_client`]. Its clock is the runtime's, which a test
    /// may pause.
    #[must_use]
    pub fn in_memory() -> Self {
        let aws = Self::without_a_wire(Clock::of_the_runtime());
        aws.set_latency(LATENCY_IN_MEMORY);
        aws
    }

    fn without_a_wire(clock: Clock) -> Self {
        let world = Shared::new(clock);
        world.lock().region_statuses.insert(REGION.to_owned(), "ENABLED_BY_DEFAULT");
        Self { world, url: URL_IN_MEMORY.to_owned(), server: None }
    }

    /// Whether it listens on loopback.
    #[must_use]
    pub fn is_on_the_wire(&self) -> bool {
        self.server.is_some()
    }

    /// The HTTP client with which the SDK calls an account in memory.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(Memory(self.world.clone()))
    }

    /// The clock of this account, for clients that must have the same time.
    #[must_use]
    pub fn time_source(&self) -> SharedTimeSource {
        SharedTimeSource::new(self.world.clock)
    }

    /// The time of this account.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.world.clock.now()
    }

    /// The value for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A Region of an account.
    #[must_use]
    pub fn place(&self, account: &str, region: &str) -> Place {
        Place { world: self.world.clone(), account: account.to_owned(), region: region.to_owned() }
    }

    /// A Region of the default account. The account opts in to it.
    #[must_use]
    pub fn region(&self, region: &str) -> Place {
        self.world.lock().region_statuses.entry(region.to_owned()).or_insert("ENABLED");
        self.place(ACCOUNT, region)
    }

    /// Disables a Region. AWS rejects every call there.
    pub fn disable_region(&self, region: &str) {
        self.world.lock().region_statuses.insert(region.to_owned(), "DISABLED");
    }

    /// Creates a role that every caller may assume, and returns its ARN. Its credentials last one hour.
    pub fn role(&self, account: &str) -> String {
        self.role_for(account, Duration::from_hours(1))
    }

    /// The same with another lifetime of the credentials.
    pub fn role_for(&self, account: &str, lifetime: Duration) -> String {
        let arn = format!("arn:aws:iam::{account}:role/ecr-cleanup-usage");
        self.world.lock().roles.insert(arn.clone(), lifetime);
        arn
    }

    /// Sets the caller's ARN in `GetCallerIdentity`. Default: a session of the role `ecr-cleanup`.
    pub fn set_caller(&self, arn: &str) {
        self.world.lock().caller = Some(arn.to_owned());
    }

    /// Makes a role require an external id.
    pub fn ask_for_external_id(&self, role: &str, external_id: &str) {
        self.world.lock().external_ids.insert(role.to_owned(), external_id.to_owned());
    }

    /// A repository in the default account and Region.
    #[must_use]
    pub fn repository(&self, name: &str) -> Repository {
        self.place(ACCOUNT, REGION).repository(name)
    }

    /// A cluster in the default account and Region.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Cluster {
        self.place(ACCOUNT, REGION).cluster(name)
    }

    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        self.world.lock().faults.push(fault);
    }

    /// Sets a quota that these operations share, in each Region of each account. `burst` is the size of its token bucket,
    /// `per_second` the refill rate in calls per second. AWS throttles calls beyond it.
    pub fn set_quota(&self, operations: &[&str], burst: u32, per_second: u32) {
        self.world.lock().quotas.push(Quota::new(operations, burst, per_second));
    }

    /// Runs `happens` before every answer.
    pub fn before_every_call(&self, happens: impl FnMut(&Call) + Send + 'static) {
        self.world.lock().before_every_call = Some(Arc::new(Mutex::new(happens)));
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.world.lock().faults.clear();
    }

    /// Sets the latency of every answer.
    pub fn set_latency(&self, latency: Duration) {
        self.set_latency_of(move |_| latency);
    }

    /// Sets the latency of each answer by its call.
    pub fn set_latency_of(&self, latency: impl Fn(&Call) -> Duration + Send + Sync + 'static) {
        self.world.lock().latency = Some(Arc::new(latency));
    }

    /// Accepts answers that the models don't allow, if the deviation contains this text. Thus a test can be newer than the
    /// models.
    pub fn is_newer_than_its_models(&self, in_what: &str) {
        self.world.lock().accepted.push(in_what.to_owned());
    }

    /// Notes the variations of each answer in [`Call::variations`].
    pub fn note_variations(&self) {
        self.world.lock().notes_variations = true;
    }

    /// Makes every answer lack its `Date`.
    pub fn leave_dates_out(&self) {
        self.world.lock().dateless = true;
    }

    /// All calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.world.lock().calls.made.clone()
    }

    /// All calls of one operation so far.
    #[must_use]
    pub fn calls_of(&self, operation: &str) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.operation == operation);
        calls
    }

    /// Forgets all calls so far.
    pub fn forget_calls(&self) {
        self.world.lock().calls = crate::calls::Calls::default();
    }

    /// The highest number of concurrent calls of an operation in one Region of one account.
    #[must_use]
    pub fn peak_concurrency(&self, operation: &str) -> usize {
        self.world.lock().calls.peak(operation)
    }
}

impl Drop for SimulatedAws {
    fn drop(&mut self) {
        self.server.iter().for_each(JoinHandle::abort);
        let complaints = std::mem::take(&mut self.world.lock().complaints);
        // If the test has failed already, its own message is the important one.
        assert!(complaints.is_empty() || std::thread::panicking(), "AWS would not do this: {}", complaints.join("; "));
    }
}

async fn serve(listener: TcpListener, world: Shared) {
    while let Ok((stream, _)) = listener.accept().await {
        _ = stream.set_nodelay(true);
        let world = world.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| respond(request, &world));
            // A client may close its connection at any time. That is no error of the server.
            let connection =
                http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), service);
            _ = connection.await;
        });
    }
}

/// Answers a request from the wire or from memory.
pub(crate) async fn respond<B>(http: HttpRequest<B>, world: &Shared) -> Result<Response<Body>, Dropped>
where
    B: hyper::body::Body<Data = Bytes>,
{
    let (parts, body) = http.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let parsed = Request::parse((parts.method.as_str(), &parts.uri), &header, &body);
    let mut response = match parsed {
        Ok(request) => match signature::refusal(&request, header("x-amz-date").as_deref(), world.clock) {
            Some(error) => error_response(&request, &error),
            None => answer(request, world).await?,
        },
        Err(error) => json_error(&error),
    };
    if !world.lock().dateless {
        let date = HeaderValue::from_str(&signature::date(world.clock));
        response.headers_mut().extend(date.ok().map(|date| (DATE, date)));
    }
    Ok(response)
}

async fn answer(mut request: Request, world: &Shared) -> Result<Response<Body>, Dropped> {
    let call = Call {
        operation: request.operation(),
        account: request.account.clone(),
        region: request.region.clone(),
        request: request.body.clone(),
        at: Instant::now(),
        error: None,
        variations: Vec::new(),
    };
    let (place, latency, effect, happens) = {
        let mut world = world.lock();
        let place = world.calls.begin(call.clone());
        let effect = world.faults.iter_mut().find_map(|fault| fault.strikes(&request).then(|| fault.effect.clone()));
        let throttled = || Effect::error(400, "ThrottlingException", "Rate exceeded");
        let is_too_much = world.quotas.iter_mut().any(|quota| !quota.admits(&call));
        (place, world.latency.clone(), effect.or(is_too_much.then(throttled)), world.before_every_call.clone())
    };
    let latency = latency.map_or(Duration::ZERO, |latency| latency(&call));
    let delay = match effect {
        Some(Effect::Slow(delay) | Effect::Before(delay, _)) => latency + delay,
        _ => latency,
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if let Some(Effect::Before(_, happening)) = &effect {
        (happening.0)();
    }
    if let Some(happens) = happens {
        (happens.lock().unwrap_or_else(PoisonError::into_inner))(&call);
    }
    match effect {
        Some(Effect::NoAnswer) => std::future::pending::<()>().await,
        Some(Effect::Reset(Carried::NotOut)) => {
            world.lock().calls.end(place, Some("Reset"));
            return Err(Dropped);
        }
        Some(Effect::Garbage(text)) => {
            world.lock().calls.end(place, Some("Garbage"));
            return Ok(response(200, "application/x-amz-json-1.1", text.to_owned()));
        }
        Some(Effect::Paged(paging)) => request.body[PAGING] = paging.as_str().into(),
        _ => {}
    }
    let answer = answer_of_service(&request, world, effect.as_ref());
    {
        let mut world = world.lock();
        world.calls.end(place, answer.as_ref().err().map(|error| error.code.as_str()));
        if let (true, Ok(Answer::Json(value))) = (world.notes_variations, &answer) {
            world.calls.may_vary(place, variations(&request.operation(), value));
        }
    }
    let response = match answer {
        Ok(Answer::Json(value)) => response(200, "application/x-amz-json-1.1", value.to_string()),
        Ok(Answer::Xml(text)) => response(200, "text/xml", text),
        Ok(Answer::OfS3(answered)) => s3_response(answered),
        Err(error) => with_region(&request, world, error_response(&request, &error)),
    };
    match effect {
        Some(Effect::Reset(Carried::Out)) => Err(Dropped),
        Some(Effect::Truncated) => Ok(response.map(Body::truncated)),
        _ => Ok(response),
    }
}

enum Answer {
    Json(Value),
    Xml(String),
    OfS3(s3::Answered),
}

fn answer_of_service(request: &Request, world: &Shared, effect: Option<&Effect>) -> Result<Answer, ServiceError> {
    if let Some(Effect::Error { status, code, message }) = effect {
        return Err(ServiceError::new(*status, code, message));
    }
    let token = request.body.get("nextToken").or_else(|| request.body.get("Marker")).filter(|token| token.is_string());
    if matches!(effect, Some(Effect::ExpiredToken)) && token.is_some() {
        return Err(ServiceError::new(400, "InvalidParameterException", "the token has expired"));
    }
    let clock = world.clock;
    let mut world = world.lock();
    let enabled = world.region_statuses.get(&request.region).is_some_and(|status| status.starts_with("ENABLED"));
    let global = matches!(request.service.as_str(), "account" | "sts");
    if !enabled && !global {
        let message = "The security token included in the request is invalid.";
        return Err(ServiceError::new(400, "UnrecognizedClientException", message));
    }
    if request.service == "sts" {
        return sts::answer(&world, request, clock.now()).map(Answer::Xml);
    }
    if request.service == "s3" {
        return s3::answer(&mut world, request).map(Answer::OfS3);
    }
    let answer = json_of_service(&mut world, request, effect, clock);
    // A test may inject failure codes that no model has.
    if cfg!(debug_assertions) && !matches!(effect, Some(Effect::ImageFailures(_))) {
        let complaint = model::complaint(request, &answer);
        let complaint = complaint.filter(|it| !world.accepted.iter().any(|accepted| it.contains(accepted)));
        world.complaints.extend(complaint);
    }
    let mut value = answer?;
    if let Some(Effect::Varied(variation)) = effect {
        value = variation.applied(value.clone()).unwrap_or(value);
    }
    if let (Some(Effect::LeaveOut(arn)), Some(fields)) = (effect, value.as_object_mut()) {
        for list in fields.values_mut().filter_map(Value::as_array_mut) {
            list.retain(|item| !item.to_string().contains(&json!(arn).to_string()));
        }
    }
    if let (Some(Effect::RepeatToken), Some(token)) = (effect, token) {
        value["nextToken"] = token.clone();
    }
    Ok(Answer::Json(value))
}

/// The answer of a service with a JSON protocol, before faults change it.
fn json_of_service(
    world: &mut World,
    request: &Request,
    effect: Option<&Effect>,
    clock: Clock,
) -> Result<Value, ServiceError> {
    let key = (request.account.clone(), request.region.clone());
    match request.service.as_str() {
        "account" => account::answer(&world.region_statuses, request),
        "ecr" => {
            let caller = sts::caller(world.caller.as_deref(), request);
            let answer = ecr::answer(world.regions.entry(key).or_default(), request, &caller, effect, clock.seconds())?;
            if request.action == "BatchDeleteImage" {
                replication::carry_deletes(&mut world.regions, request, &answer);
            }
            Ok(answer)
        }
        "ecs" => ecs::answer(world.regions.entry(key).or_default(), request),
        "lambda" => functions::answer(world.regions.entry(key).or_default(), request),
        service => Err(ServiceError::new(400, "UnknownOperationException", service)),
    }
}

fn error_response(request: &Request, error: &ServiceError) -> Response<Body> {
    match request.service.as_str() {
        "sts" => response(error.status, "text/xml", sts::error(error)),
        "s3" => response(error.status, "application/xml", s3::error(error)),
        _ => json_error(error),
    }
}

fn s3_response(s3::Answered { content_type, etag, body }: s3::Answered) -> Response<Body> {
    let mut answer = Response::builder().header(CONTENT_TYPE, content_type);
    if let Some(etag) = etag {
        answer = answer.header(ETAG, etag);
    }
    answer.body(Body::whole(Bytes::from(body))).unwrap_or_default()
}

/// An error of S3, with the region of the bucket.
fn with_region(request: &Request, world: &Shared, mut response: Response<Body>) -> Response<Body> {
    if request.service == "s3" {
        let world = world.lock();
        let bucket = request.body["Bucket"].as_str().and_then(|name| world.buckets.get(name));
        let region = bucket.and_then(|bucket| HeaderValue::from_str(&bucket.region).ok());
        response.headers_mut().extend(region.map(|region| (HeaderName::from_static("x-amz-bucket-region"), region)));
    }
    response
}

fn json_error(error: &ServiceError) -> Response<Body> {
    let ServiceError { status, code, message } = error;
    response(*status, "application/x-amz-json-1.1", json!({ "__type": code, "message": message }).to_string())
}

fn response(status: u16, content_type: &str, body: String) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .body(Body::whole(Bytes::from(body)))
        .unwrap_or_default()
}

//! The HTTP server: signature, fault and latency, then the service's answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue};
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
use crate::world::{Cluster, Place, Shared, World};
use crate::{ACCOUNT, REGION, account, ecr, ecs, functions, model, replication, signature, sts};

/// What nobody resolves: requests to it never leave the process.
const URL_IN_MEMORY: &str = "http://aws.simulated";
/// How long an answer takes in memory, so that what is asked at once is under way at once, as on the wire. No second of
/// it is waited for where the time is paused.
const LATENCY_IN_MEMORY: Duration = Duration::from_millis(1);

/// AWS, until it is dropped: on loopback, or in memory.
pub struct SimulatedAws {
    world: Shared,
    url: String,
    /// What listens on loopback.
    server: Option<JoinHandle<()>>,
}

impl SimulatedAws {
    /// Starts on loopback, with one account in which one region is enabled, and nothing in it.
    pub async fn start() -> Self {
        Self::start_on(0).await
    }

    /// The same on a port of one's choice; 0 takes any.
    pub async fn start_on(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port on loopback");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let mut aws = Self::without_a_wire(Clock::OfTheMachine);
        aws.url = url;
        aws.server = Some(tokio::spawn(serve(listener, aws.world.clone())));
        aws
    }

    /// The same without a wire: whoever asks it does so through [`Self::http_client`], and its time is the runtime's, which
    /// a test may pause.
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

    /// What the SDK is to ask through, without a wire.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(Memory(self.world.clone()))
    }

    /// The clock that this account goes by, for whoever is to go by it too.
    #[must_use]
    pub fn time_source(&self) -> SharedTimeSource {
        SharedTimeSource::new(self.world.clock)
    }

    /// What that clock says.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.world.clock.now()
    }

    /// What `AWS_ENDPOINT_URL` is to be.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A region of an account.
    #[must_use]
    pub fn place(&self, account: &str, region: &str) -> Place {
        Place { world: self.world.clone(), account: account.to_owned(), region: region.to_owned() }
    }

    /// A region of the default account, enabled by opting in.
    #[must_use]
    pub fn region(&self, region: &str) -> Place {
        self.world.lock().region_statuses.entry(region.to_owned()).or_insert("ENABLED");
        self.place(ACCOUNT, region)
    }

    /// A region that the account has not opted into: every call there is refused.
    pub fn disable_region(&self, region: &str) {
        self.world.lock().region_statuses.insert(region.to_owned(), "DISABLED");
    }

    /// A role in another account that may be assumed; its ARN.
    pub fn role(&self, account: &str) -> String {
        self.role_for(account, Duration::from_hours(1))
    }

    /// The same with credentials that last this long.
    pub fn role_for(&self, account: &str, lifetime: Duration) -> String {
        let arn = format!("arn:aws:iam::{account}:role/ecr-cleanup-usage");
        self.world.lock().roles.insert(arn.clone(), lifetime);
        arn
    }

    /// Who calls, as `GetCallerIdentity` names it; a session of the role `ecr-cleanup` unless told otherwise.
    pub fn set_caller(&self, arn: &str) {
        self.world.lock().caller = Some(arn.to_owned());
    }

    /// Lets a role ask for an external id.
    pub fn ask_for_external_id(&self, role: &str, external_id: &str) {
        self.world.lock().external_ids.insert(role.to_owned(), external_id.to_owned());
    }

    /// A repository in the default place.
    #[must_use]
    pub fn repository(&self, name: &str) -> Repository {
        self.place(ACCOUNT, REGION).repository(name)
    }

    /// A cluster in the default place.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Cluster {
        self.place(ACCOUNT, REGION).cluster(name)
    }

    /// Lets something go wrong from now on.
    pub fn inject(&self, fault: Fault) {
        self.world.lock().faults.push(fault);
    }

    /// Lets these operations share a token bucket in every region of every account: so many calls at once, and so many a
    /// second after that. What is too much is throttled.
    pub fn set_quota(&self, operations: &[&str], burst: u32, per_second: u32) {
        self.world.lock().quotas.push(Quota::new(operations, burst, per_second));
    }

    /// Lets something happen before every call is answered.
    pub fn before_every_call(&self, happens: impl FnMut(&Call) + Send + 'static) {
        self.world.lock().before_every_call = Some(Arc::new(Mutex::new(happens)));
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.world.lock().faults.clear();
    }

    /// How long every answer takes from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.set_latency_of(move |_| latency);
    }

    /// The same, of each call its own.
    pub fn set_latency_of(&self, latency: impl Fn(&Call) -> Duration + Send + Sync + 'static) {
        self.world.lock().latency = Some(Arc::new(latency));
    }

    /// Lets it answer what no model has yet: whatever is complained of with this text.
    pub fn is_newer_than_its_models(&self, in_what: &str) {
        self.world.lock().accepted.push(in_what.to_owned());
    }

    /// Notes from now on how each answer may vary.
    pub fn note_variations(&self) {
        self.world.lock().notes_variations = true;
    }

    /// Leaves out of its answers when they were given.
    pub fn leave_dates_out(&self) {
        self.world.lock().dateless = true;
    }

    /// Every call so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.world.lock().calls.made.clone()
    }

    /// Every call of one operation so far.
    #[must_use]
    pub fn calls_of(&self, operation: &str) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.operation == operation);
        calls
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.world.lock().calls = crate::calls::Calls::default();
    }

    /// The most calls of an operation that were under way at once in one region of one account.
    #[must_use]
    pub fn peak_concurrency(&self, operation: &str) -> usize {
        self.world.lock().calls.peak(operation)
    }
}

impl Drop for SimulatedAws {
    fn drop(&mut self) {
        self.server.iter().for_each(JoinHandle::abort);
        let complaints = std::mem::take(&mut self.world.lock().complaints);
        // A test that fails already has its own to tell.
        assert!(complaints.is_empty() || std::thread::panicking(), "AWS would not do this: {}", complaints.join("; "));
    }
}

async fn serve(listener: TcpListener, world: Shared) {
    while let Ok((stream, _)) = listener.accept().await {
        _ = stream.set_nodelay(true);
        let world = world.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| respond(request, &world));
            // A client that goes away is none of the server's business.
            let connection =
                http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), service);
            _ = connection.await;
        });
    }
}

/// Answers a request, however it came here.
pub(crate) async fn respond<B>(http: HttpRequest<B>, world: &Shared) -> Result<Response<Body>, Dropped>
where
    B: hyper::body::Body<Data = Bytes>,
{
    let (parts, body) = http.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let parsed = Request::parse(&parts.uri, header("x-amz-target"), header(AUTHORIZATION.as_str()), &body);
    let mut response = match parsed {
        Ok(request) => match signature::refusal(&request, header("x-amz-date"), world.clock) {
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
        Err(error) => error_response(&request, &error),
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
    let answer = json_of_service(&mut world, request, effect, clock);
    // What a test lets ECR say of an image may be what no model has.
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

/// What the services that speak JSON answer of themselves.
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
        _ => json_error(error),
    }
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

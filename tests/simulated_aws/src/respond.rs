//! One request and its answer. It checks the signature, applies faults and latency, and then returns the service's answer.

use std::sync::PoisonError;
use std::time::Duration;

use aws_smithy_async::time::TimeSource;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, DATE, ETAG, HeaderName, HeaderValue};
use hyper::{Request as HttpRequest, Response};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::body::{Body, Dropped};
use crate::calls::Call;
use crate::clock::Clock;
use crate::fault::{Carried, Effect};
use crate::model::member::variations;
use crate::page::PAGING;
use crate::request::{Request, ServiceError};
use crate::world::{Shared, World};
use crate::{account, ecr, ecs, functions, model, replication, s3, signature, sts};

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

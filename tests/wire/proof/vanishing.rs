//! Every resource in a call is deleted just before it, with every error that AWS may return. The run continues as if
//! the resource had never existed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use ecr_cleanup_core::report::Outcome;
use serde_json::Value;
use simulated_aws::{Call, Fault, Image, Thing, errors_of};

use super::cases::{alone, chosen, each};
use super::sweep::{End, calls_of_a_run, end_of, lie, summary};
use super::world::{Location, World};

/// Without `PROOF=whole`, one of this many cases runs.
const SHARE: usize = 20;
/// The number of resources to test of each list in a call.
const OF_A_LIST: usize = 2;

/// A call before which a resource is deleted, and the answer: the natural one, or this error.
#[derive(Clone, Debug)]
struct Vanishing {
    call: Call,
    /// Its position among the resources in the call.
    thing: usize,
    error: Option<(String, u16)>,
}

/// The resources in a call, in the order of its parameters.
fn things(call: &Call) -> Vec<Thing> {
    let request = &call.request;
    let text = |name: &str| request[name].as_str();
    let mut things = Vec::new();
    if let Some(repository) = text("repositoryName") {
        things.push(Thing::Repository(repository.to_owned()));
        let ids = request["imageIds"].as_array().into_iter().flatten();
        let digests = ids.filter_map(|id| id["imageDigest"].as_str());
        things.extend(digests.take(OF_A_LIST).map(|digest| Thing::Image(repository.to_owned(), digest.to_owned())));
    }
    if let Some(function) = text("FunctionName") {
        let arn = function.split(':').take(7).collect::<Vec<_>>().join(":");
        things.push(Thing::Arn(arn.clone()));
        let version = text("Qualifier").filter(|version| *version != "$LATEST");
        things.extend(version.map(|version| Thing::Version(arn, version.to_owned())));
    }
    let arns = |value: &Value| -> Vec<Thing> {
        let items = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        let arns = items.iter().filter_map(Value::as_str).filter(|text| text.starts_with("arn:aws:ecs:"));
        arns.take(OF_A_LIST).map(|arn| Thing::Arn(arn.to_owned())).collect()
    };
    things.extend(request.as_object().into_iter().flat_map(|fields| fields.values()).flat_map(arns));
    things
}

fn vanishings(calls: &[Call]) -> Vec<Vanishing> {
    let mut all = Vec::new();
    for call in calls {
        for (place, thing) in things(call).into_iter().enumerate() {
            let errors = errors_of(&call.operation).into_iter().filter(|(code, _)| may_answer(code, &thing));
            let answers = std::iter::once(None).chain(errors.map(Some));
            all.extend(answers.map(|error| Vanishing { call: call.clone(), thing: place, error }));
        }
    }
    all
}

/// Whether a call may answer with this code because the resource no longer exists. A throttle says nothing about it,
/// and no code says that an existing resource doesn't exist.
fn may_answer(code: &str, thing: &Thing) -> bool {
    let is_throttle = ["LimitExceededException", "TooManyRequestsException"].contains(&code);
    let is_image = matches!(thing, Thing::Image(..));
    !(is_throttle || is_image && code == "RepositoryNotFoundException")
}

#[test]
fn what_vanishes_before_a_call_is_as_if_it_had_never_been() {
    let (of_calls, calls, undisturbed, _) = alone(calls_of_a_run());
    let cases = chosen("vanishing::what_vanishes_before_a_call", vanishings(&calls), SHARE);
    let nevers = Nevers::default();
    let failures = each(&cases, async |case| {
        let Vanishing { call, thing, error } = &case.of;
        let world = World::found();
        let call = world.own(call, &of_calls);
        let thing = things(&call)[*thing].clone();
        if let Some((code, status)) = error {
            world.aws.inject(Fault::error(&call.operation, *status, code).of_call(&call));
        }
        vanishes_before(&world, &call, &thing);
        let end = end_of(&world).await;
        let never = nevers.of(&case.of, &of_calls).await;
        let broken = difference(&world, &end, &never, &undisturbed)?;
        let neutral = |text: &str| world.neutral(text);
        let thing = neutral(&format!("{thing:?}"));
        let request = neutral(&call.request.to_string());
        let answered = error.as_ref().map_or("what follows", |(code, _)| code);
        Some(format!(
            "{broken}\n  {thing} vanished before {} {request}, which answers {answered}\n  repeat with: {}",
            call.operation, case.repeat_with,
        ))
    });
    let failures: Vec<String> = failures.into_iter().flatten().collect();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Deletes it at the first such call.
fn vanishes_before(world: &World, call: &Call, thing: &Thing) {
    let place = world.aws.place(&call.account, &call.region);
    let (call, thing, mut is_there) = (call.clone(), thing.clone(), true);
    world.aws.before_every_call(move |made| {
        let is_it = made.operation == call.operation
            && made.request == call.request
            && (&made.account, &made.region) == (&call.account, &call.region);
        if is_there && is_it {
            is_there = false;
            place.vanish(&thing);
        }
    });
}

/// The remaining images of a run that never saw the resource.
struct Never {
    before: BTreeSet<Location>,
    left: BTreeSet<Location>,
    /// The signature of a deleted image, if only its tag identifies the subject. It is kept if its subject was deleted
    /// before the run, and otherwise deleted with it.
    orphan: Option<Location>,
}

/// Those runs, by the deleted resource.
#[derive(Default)]
struct Nevers(Mutex<BTreeMap<(Thing, String, String), Arc<Never>>>);

impl Nevers {
    async fn of(&self, Vanishing { call, thing, .. }: &Vanishing, of_calls: &World) -> Arc<Never> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (things(call)[*thing].clone(), call.account.clone(), call.region.clone());
        if let Some(known) = lock().get(&key) {
            return Arc::clone(known);
        }
        let world = World::found();
        let call = world.own(call, of_calls);
        let thing = &things(&call)[*thing];
        let place = world.aws.place(&call.account, &call.region);
        assert!(place.vanish(thing), "{thing:?}");
        let before = world.images();
        let left = end_of(&world).await.left;
        let signature = |(name, digest): (&str, &str)| {
            let (repository, tag) = (place.repository(name), Image::tag_about(digest, ".sig"));
            let is_signed = repository.tags().contains(&tag);
            is_signed.then(|| (world.neutral(&call.region), name.to_owned(), repository.digest_of(&tag)))
        };
        let image = if let Thing::Image(name, digest) = thing { Some((name.as_str(), digest.as_str())) } else { None };
        let never = Arc::new(Never { before, left, orphan: image.and_then(signature) });
        lock().insert(key, Arc::clone(&never));
        never
    }
}

/// The differences between a run and the one that never saw the resource. Images read before the resource was deleted
/// may be kept in addition.
fn difference(world: &World, end: &End, never: &Never, undisturbed: &End) -> Option<String> {
    let Ok(report) = &end.report else { return Some(format!("it did not start: {}", summary(end))) };
    if report.outcome != Outcome::Completed || !report.usage.complete {
        return Some(format!("it was stopped: {}", summary(end)));
    }
    if let Some(lie) = lie(world, report, &end.left, &never.before) {
        return Some(lie);
    }
    if let Some(lost) = never.left.difference(&end.left).find(|left| Some(*left) != never.orphan.as_ref()) {
        return Some(format!("{lost:?} stays without it, and is gone"));
    }
    let may_stay: BTreeSet<_> = never.left.union(&undisturbed.left).cloned().collect();
    let stays = end.left.difference(&may_stay).next()?;
    Some(format!("{stays:?} goes without it, and stays: {}", summary(end)))
}

//! Every call with every possible fault, once and permanently.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ecr_cleanup_core::plan::ImageResult;
use ecr_cleanup_core::report::{Outcome, Report};
use serde_json::Value;
use simulated_aws::{Call, Fault};

use super::cases::{alone, chosen, each};
use super::world::{Location, World};
use crate::support::{RunError, forget, json_of};

/// Without `PROOF=whole`, one of this many cases runs.
const SHARE: usize = 24;

/// The allowed effect of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Nothing, for a single and a permanent fault.
    Nothing,
    /// Nothing, for a single fault.
    NothingOnce,
    /// A change that the report shows.
    Told,
}

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasts {
    Once,
    ForGood,
}

/// The result of a run.
pub struct End {
    pub left: BTreeSet<Location>,
    pub report: Result<Report, RunError>,
    /// The report without its times, as in a run in any other world.
    told: Option<Value>,
}

pub async fn end_of(world: &World) -> End {
    let report = world.run().await;
    let told = report.as_ref().ok().map(|report| {
        let text = world.neutral(&json_of(report).to_string());
        let mut told: Value = serde_json::from_str(&text).unwrap();
        // Worlds are created one after the other, and the ages of their images are counted from then.
        forget(&mut told, &["runId", "startedAt", "finishedAt", "imagePushedAt"]);
        told
    });
    End { left: world.images(), report, told }
}

/// Every call of a run without faults, each once.
pub async fn calls_of_a_run() -> (World, Vec<Call>, End, BTreeSet<Location>) {
    let world = World::found();
    let before = world.images();
    let end = end_of(&world).await;
    let calls: BTreeMap<_, _> = world
        .aws
        .calls()
        .into_iter()
        .map(|call| {
            ((call.operation.clone(), call.region.clone(), call.account.clone(), call.request.to_string()), call)
        })
        .collect();
    (world, calls.into_values().collect(), end, before)
}

#[tokio::test(start_paused = true)]
async fn the_world_of_the_sweep_has_something_of_everything() {
    let (world, calls, end, before) = calls_of_a_run().await;
    let report = end.report.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.warnings);
    assert_eq!(end.left, world.stays);
    assert!((80..140).contains(&calls.len()), "{} calls", calls.len());
    assert!(before.len() - end.left.len() > 100 && calls.iter().all(|call| call.error.as_deref().is_none_or(is_fine)));
    let operations: BTreeSet<&str> = calls.iter().map(|call| call.operation.as_str()).collect();
    assert!(operations.len() >= 24, "{operations:?}");
}

/// The answers of services if the resource does not exist.
fn is_fine(code: &str) -> bool {
    code.ends_with("PolicyNotFoundException") || code == "UnknownOperationException"
}

/// The calls with which a fault is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Every,
    /// Calls of a listing.
    Page,
    /// Calls of a listing for a later page.
    NextPage,
}

impl Reach {
    fn has(self, call: &Call) -> bool {
        let is_next = !call.request["nextToken"].is_null() || !call.request["Marker"].is_null();
        let is_page = is_next || call.operation.contains(":List") || !call.request["maxResults"].is_null();
        match self {
            Self::Every => true,
            Self::Page => is_page,
            Self::NextPage => is_next,
        }
    }
}

macro_rules! survives {
    ($($fault:ident: $make:expr, $expected:ident of $reach:ident;)*) => {$(
        #[test]
        fn $fault() {
            sweep(stringify!($fault), $make, Expected::$expected, Reach::$reach);
        }
    )*};
}

survives! {
    throttling: Fault::throttled, NothingOnce of Every;
    internal_errors: |operation| Fault::error(operation, 500, "InternalServerError"), NothingOnce of Every;
    unavailability: |operation| Fault::error(operation, 503, "ServiceUnavailable"), NothingOnce of Every;
    closed_connections: Fault::reset, NothingOnce of Every;
    lost_answers: Fault::lost_answer, NothingOnce of Every;
    truncated_answers: Fault::truncated, NothingOnce of Every;
    slowness: |operation| Fault::slow(operation, Duration::from_millis(40)), Nothing of Every;
    denials: Fault::denied, Told of Every;
    garbage: Fault::garbage, Told of Every;
    blank_answers: Fault::blank, Told of Every;
    expired_tokens: Fault::expired_token, Told of NextPage;
    repeated_tokens: Fault::repeated_token, Told of NextPage;
    duplicated_pages: Fault::duplicated_page, Nothing of Page;
    empty_pages: Fault::empty_page, Nothing of Page;
    silence: Fault::no_answer, NothingOnce of Every;
}

/// Runs once for every call with a single fault, and for the first call of each operation in each region of each
/// account with a permanent one.
fn sweep(name: &str, fault: fn(&str) -> Fault, expected: Expected, reach: Reach) {
    let (of_calls, calls, undisturbed, before) = alone(calls_of_a_run());
    let calls: Vec<&Call> = calls.iter().filter(|call| reach.has(call)).collect();
    let firsts: BTreeMap<_, &Call> =
        calls.iter().rev().map(|call| ((&call.operation, &call.region, &call.account), *call)).collect();
    let once = calls.iter().map(|call| (*call, Lasts::Once));
    let cases = once.chain(firsts.values().map(|call| (*call, Lasts::ForGood)));
    let cases = chosen(&format!("sweep::{name}"), cases, SHARE);
    let failures = each(&cases, async |case| {
        let (call, lasts) = case.of;
        let world = World::found();
        let fault = fault(&call.operation).of_call(&world.own(call, &of_calls));
        world.aws.inject(match lasts {
            Lasts::Once => fault.times(1),
            Lasts::ForGood => fault,
        });
        let end = end_of(&world).await;
        let broken = broken_promise(&world, call, lasts, expected, &end, &undisturbed, &before)?;
        Some(format!(
            "{broken}\n  {name} {lasts:?} of {} in {}: {}\n  repeat with: {}",
            call.operation,
            of_calls.neutral(&call.region),
            of_calls.neutral(&call.request.to_string()),
            case.repeat_with,
        ))
    });
    let failures: Vec<String> = failures.into_iter().flatten().collect();
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
}

/// The promise that a run broke.
fn broken_promise(
    world: &World,
    call: &Call,
    lasts: Lasts,
    expected: Expected,
    end: &End,
    undisturbed: &End,
    before: &BTreeSet<Location>,
) -> Option<String> {
    if let Some(lost) = world.stays.difference(&end.left).next() {
        return Some(format!("{lost:?} is used or protected, and gone"));
    }
    if let Some(report) = end.report.as_ref().ok()
        && let Some(lie) = lie(world, report, &end.left, before)
    {
        return Some(lie);
    }
    let unchanged = end.left == undisturbed.left && is_told_alike(end, undisturbed);
    let may_change = match expected {
        Expected::Nothing => false,
        Expected::NothingOnce => lasts == Lasts::ForGood,
        Expected::Told => true,
    };
    if !unchanged && !may_change {
        return Some(format!("it changed the result: {}", summary(end)));
    }
    if !unchanged && !tells_more(end, undisturbed) {
        return Some(format!("it changed something, and nothing tells of it: {}", summary(end)));
    }
    depends_on(call, end, undisturbed, before)
}

/// The first difference between the account and the report.
pub fn lie(world: &World, report: &Report, left: &BTreeSet<Location>, before: &BTreeSet<Location>) -> Option<String> {
    let mut planned = BTreeSet::new();
    for registry in &report.plan.registries {
        for repository in registry.repositories.iter().flatten() {
            for image in repository.decided.iter().flat_map(|decided| &decided.stale) {
                let region = world.neutral(registry.place.region.as_str());
                let location = (region, repository.repository_name.to_string(), image.image_digest.to_string());
                let is_left = left.contains(&location);
                let is_as_told = match &image.result {
                    ImageResult::Deleted | ImageResult::Gone => !is_left,
                    // Without an answer, it is unknown whether the call was carried out.
                    ImageResult::Failed(_) => true,
                    ImageResult::Archived => false,
                    ImageResult::Planned
                    | ImageResult::Kept
                    | ImageResult::NotAllowed(_)
                    | ImageResult::Skipped(_)
                    | ImageResult::NotAttempted(_) => is_left,
                };
                if !is_as_told {
                    return Some(format!("{location:?} is told as {:?}", image.result));
                }
                planned.insert(location);
            }
        }
    }
    let lost = before.difference(left).find(|location| !planned.contains(*location));
    lost.map(|location| format!("{location:?} is gone, and the report does not speak of it"))
}

/// Whether two runs have the same report. If the answer to a delete was lost, the next attempt finds that the images no
/// longer exist.
pub fn is_told_alike(end: &End, undisturbed: &End) -> bool {
    let plain = |told: &Option<Value>| {
        let mut told = told.clone()?;
        forget(&mut told, &["imagesDeleted", "bytesDeleted", "monthlySavingUsd"]);
        Some(told.to_string().replace(r#""result":"gone""#, r#""result":"deleted""#))
    };
    end.told == undisturbed.told || plain(&end.told) == plain(&undisturbed.told)
}

/// Whether the report shows that something went wrong.
pub fn tells_more(end: &End, undisturbed: &End) -> bool {
    let warnings = |end: &End| -> BTreeSet<String> {
        let told = end.told.iter().flat_map(|told| told["warnings"].as_array().into_iter().flatten());
        told.map(Value::to_string).collect()
    };
    match &end.report {
        Ok(report) => {
            // The report shows each skipped image.
            report.outcome != Outcome::Completed
                || report.totals.images_skipped > 0
                || !warnings(end).is_subset(&warnings(undisturbed))
        }
        Err(_) => true,
    }
}

/// Changes beyond the allowed reach of a fault. A fault in a repository affects that repository, and another ECR fault
/// that region. If usage is unknown, nothing is deleted at all.
fn depends_on(call: &Call, end: &End, undisturbed: &End, before: &BTreeSet<Location>) -> Option<String> {
    if end.left == undisturbed.left {
        return None;
    }
    if !call.operation.starts_with("ecr:") {
        return (end.left != *before).then(|| "usage is not known, and something was deleted".to_owned());
    }
    let region = if call.region.starts_with("sim-east") { "sim-east" } else { "sim-west" };
    let repository = call.request["repositoryName"].as_str();
    let depends = |location: &&Location| location.0 == region && repository.is_none_or(|name| location.1 == name);
    let stopped = end.left.difference(&undisturbed.left).find(|location| !depends(location));
    stopped.map(|location| format!("it stopped {location:?}, which does not depend on it"))
}

pub fn summary(end: &End) -> String {
    match &end.report {
        Ok(report) => format!("{:?}, {:?}, warnings {:?}", report.outcome, report.totals, report.warnings),
        Err(error) => error.to_string(),
    }
}

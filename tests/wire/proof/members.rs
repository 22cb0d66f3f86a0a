//! Varies every member of every answer in a run that its model lets AWS omit, leave empty, or set to a word that is
//! newer than the model: everywhere in the answer, and at a single place.
//!
//! `members.txt` contains the results, with one kind of member per line. So a change in the handling of absent members
//! appears there, and in reviews.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use ecr_cleanup_core::plan::Refusal;
use ecr_cleanup_core::report::Outcome;
use simulated_aws::{Call, Fault, Variation};

use super::cases::{alone, chosen, each, is_whole};
use super::sweep::{End, end_of, is_told_alike, lie, tells_more};
use super::world::{Location, World};

/// Without `PROOF=whole`, one of this many cases runs.
const SHARE: usize = 32;
/// Members whose absence has a defined meaning.
const SAYS_SOMETHING_ELSE: [(&str, &str, &str); 4] = [
    (
        "ecs:DescribeServiceRevisions",
        "serviceRevisions[].containerImages",
        "until the first task has started ECS has pinned no digest",
    ),
    (
        "ecs:DescribeServiceRevisions",
        "serviceRevisions[].containerImages[].imageDigest",
        "without version consistency ECS pins no digest",
    ),
    (
        "ecs:DescribeServiceDeployments",
        "serviceDeployments[].sourceServiceRevisions",
        "a service's first deployment comes from nothing",
    ),
    (
        "ecs:DescribeTaskDefinition",
        "taskDefinition.containerDefinitions[].image",
        "a container from before 2021 may have none, and can't be started",
    ),
];
/// The result of each kind.
const EXPECTED: &str = include_str!("members.txt");

/// A member of an operation's answers, with its variation.
type Kind = String;

fn kind(call: &Call, variation: &Variation) -> Kind {
    format!("{} {} {:?}", call.operation, variation.path, variation.change)
}

/// Every call of a run without variations, with the possible variations of its answer.
async fn variations_of_a_run() -> (World, Vec<(Call, Variation)>, End, BTreeSet<Location>) {
    let world = World::found();
    world.aws.note_variations();
    let before = world.images();
    let end = end_of(&world).await;
    // A repeated call gets the same answer.
    let calls: BTreeMap<String, Call> = world
        .aws
        .calls()
        .into_iter()
        .map(|call| (format!("{} {} {} {}", call.operation, call.region, call.account, call.request), call))
        .collect();
    let cases = calls.into_values().flat_map(|call| {
        let variations = call.variations.clone();
        variations.into_iter().map(move |variation| (call.clone(), variation))
    });
    let is_untold = |(call, variation): &(Call, Variation)| {
        !SAYS_SOMETHING_ELSE.iter().any(|(operation, path, _)| call.operation == *operation && variation.path == *path)
    };
    let cases = cases.filter(is_untold).collect();
    (world, cases, end, before)
}

#[test]
fn what_is_not_told_is_not_known() {
    let (of_calls, cases, undisturbed, before) = alone(variations_of_a_run());
    let expected: BTreeMap<&str, &str> = EXPECTED.lines().filter_map(|line| line.split_once(": ")).collect();
    let cases = chosen("members::what_is_not_told_is_not_known", cases, SHARE);
    let ends = each(&cases, async |case| {
        let (call, variation) = &case.of;
        let world = World::found();
        world.aws.inject(Fault::varied(&call.operation, variation).of_call(&world.own(call, &of_calls)));
        let end = end_of(&world).await;
        became(&world, &end, &undisturbed, &before).map_err(|broken| {
            format!(
                "{broken}\n  {variation:?} of {} in {}: {}\n  repeat with: {}",
                call.operation,
                of_calls.neutral(&call.region),
                of_calls.neutral(&call.request.to_string()),
                case.repeat_with,
            )
        })
    });
    let failures: Vec<&String> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
    assert!(
        failures.is_empty(),
        "{} cases:\n{}",
        failures.len(),
        failures.into_iter().cloned().collect::<Vec<_>>().join("\n")
    );
    let mut found: BTreeMap<Kind, BTreeSet<&str>> = BTreeMap::new();
    for (case, end) in cases.iter().zip(ends.into_iter().flatten()) {
        let kind = kind(&case.of.0, &case.of.1);
        let told = expected.get(kind.as_str()).unwrap_or(&"");
        let is_expected = told.split(", ").any(|it| it == end);
        assert!(is_whole() || is_expected, "{kind}: {end}, and not {told:?}\n  repeat with: {}", case.repeat_with);
        found.entry(kind).or_default().insert(end);
    }
    if is_whole() {
        let found = found.into_iter().fold(String::new(), |mut text, (kind, ends)| {
            _ = writeln!(text, "{kind}: {}", ends.into_iter().collect::<Vec<_>>().join(", "));
            text
        });
        assert!(found == EXPECTED, "members.txt would be:\n{found}");
    }
}

/// The result of a run, or the promise that it broke.
fn became(world: &World, end: &End, undisturbed: &End, before: &BTreeSet<Location>) -> Result<&'static str, String> {
    if let Some(lost) = world.stays.difference(&end.left).next() {
        return Err(format!("{lost:?} is used or protected, and gone"));
    }
    let report = match &end.report {
        Ok(report) => report,
        Err(_) if end.left == *before => return Ok("not started"),
        Err(error) => return Err(format!("it did not start, and deleted: {error}")),
    };
    if let Some(lie) = lie(world, report, &end.left, before) {
        return Err(lie);
    }
    if matches!(report.outcome, Outcome::Refused(Refusal::UsageIncomplete { .. })) {
        return if end.left == *before {
            Ok("usage incomplete")
        } else {
            Err("it deleted on incomplete usage".to_owned())
        };
    }
    if end.left == undisturbed.left {
        return Ok(if is_told_alike(end, undisturbed) { "the same" } else { "told otherwise" });
    }
    match (&report.outcome, tells_more(end, undisturbed)) {
        (Outcome::Completed | Outcome::Partial, true) => Ok("more stays and is told"),
        (Outcome::Completed | Outcome::Partial, false) => Ok("more stays"),
        (outcome, _) => Err(format!("{outcome:?}")),
    }
}

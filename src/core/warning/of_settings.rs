//! Warnings about the settings and their event.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};

use super::of_usage::listed;
use super::{About, Warning, WarningCode};
use crate::account::Region;
use crate::clock_skew::ClockSkew;
use crate::image::RepositoryName;
use crate::pattern::Pattern;
use crate::plan::{AppliedPolicy, Plan};
use crate::policy::{Policies, RuleName};
use crate::settings::{Candidates, GivenBy, Settings};

/// The warnings from the settings alone.
#[must_use]
pub fn of_settings(settings: &Settings) -> Vec<Warning> {
    let unseen: BTreeSet<Region> = match (&settings.regions, &settings.usage.regions) {
        (Some(cleaned), Some(read)) => cleaned - read,
        (Some(_) | None, None) | (None, Some(_)) => BTreeSet::new(),
    };
    let unseen = (!unseen.is_empty()).then(|| {
        let is = if unseen.len() == 1 { "is" } else { "are" };
        let regions = listed(&unseen);
        let message = format!(
            "{regions} {is} cleaned but not in usageRegions, so images that only workloads there use are not protected. If workloads run there, add {regions} to usageRegions."
        );
        Warning::new(WarningCode::CleanedUnseen, About::RUN, message)
    });
    let unused = settings.unused.map(|(setting, beside)| {
        Warning::new(
            WarningCode::NotUsed,
            About::RUN,
            format!("{setting} has no effect with {beside}. Remove one of them."),
        )
    });
    // A saved plan has every setting, given or not.
    let by = settings.given_by.get("keepUsedWithinDays");
    let is_given = by.is_some_and(|by| *by != GivenBy::File) && settings.rules.keep_used_within_days > 0;
    let without_memory = (is_given && settings.memory.is_none()).then(|| {
        let message =
            "keepUsedWithinDays has no effect without a memory. Set memory, or remove keepUsedWithinDays.".to_owned();
        Warning::new(WarningCode::NotUsed, About::RUN, message)
    });
    unseen.into_iter().chain(unused).chain(without_memory).collect()
}

/// The warnings about settings that match nothing in the plan.
#[must_use]
pub fn of_selection(settings: &Settings, plan: &Plan) -> Vec<Warning> {
    let all_are_listed = plan.registries.iter().all(|registry| registry.repositories.is_ok());
    let names: BTreeSet<&RepositoryName> = (plan.registries.iter())
        .flat_map(|registry| registry.repositories.iter().flatten())
        .map(|repository| &repository.repository_name)
        .collect();
    if !all_are_listed {
        return Vec::new();
    }
    if names.is_empty() {
        let message = "no repository is cleaned: no repository matches repositories and excludeRepositories. Check their patterns.".to_owned();
        let nothing = Warning::new(WarningCode::NoRepository, About::RUN, message);
        return if settings.repositories.is_everything() { Vec::new() } else { vec![nothing] };
    }
    match &settings.candidates {
        Candidates::NumberAndAge { .. } => Vec::new(),
        // The other policies can be for repositories that are not selected.
        Candidates::Policies(_) if !settings.repositories.is_everything() => Vec::new(),
        Candidates::Policies(policies) => {
            let idle = policies.without_repository(names.into_iter());
            let idle = idle.into_iter().map(policy_without_repository);
            idle.chain(rules_without_image(policies, plan)).collect()
        }
    }
}

/// The rules that select no image of any repository. If a repository could not be read, they are unknown.
fn rules_without_image(policies: &Policies, plan: &Plan) -> Vec<Warning> {
    let mut repositories = plan.registries.iter().flat_map(|registry| registry.repositories.iter().flatten());
    if repositories.any(|repository| repository.decided.is_err()) {
        return Vec::new();
    }
    let with_images = plan.decided().filter(|decided| decided.images > 0);
    let applied = with_images.filter_map(|decided| match decided.policy {
        Some(AppliedPolicy::Given(number)) => Some((number, &*decided.rules_without_image)),
        Some(AppliedPolicy::OfRepository | AppliedPolicy::None) | None => None,
    });
    policies
        .rules_without_image(applied)
        .into_iter()
        .map(|(rule, patterns)| rule_selects_nothing(rule, patterns))
        .collect()
}

fn rule_selects_nothing(rule: &RuleName, patterns: &[Pattern]) -> Warning {
    let patterns: Vec<String> = patterns.iter().map(|pattern| format!("`{pattern}`")).collect();
    let why = match patterns.as_slice() {
        [pattern] => format!("no image has a tag that matches {pattern}"),
        patterns => format!(
            "no image has tags that match all of {}. An image must match all patterns of a rule. For alternatives, write a rule for each pattern",
            patterns.join(", ")
        ),
    };
    let message = format!("{rule} selects no image of any repository: {why}.");
    Warning::new(WarningCode::RuleSelectsNothing, About::RUN, message)
}

fn policy_without_repository(number: usize) -> Warning {
    let message = format!(
        "policy {number} applies to no repository: its patterns match none, or earlier policies apply to all of them"
    );
    Warning::new(WarningCode::PolicyWithoutRepository, About::RUN, message)
}

/// The event's time is long ago.
#[must_use]
pub fn old_event(time: DateTime<Utc>) -> Warning {
    let message = format!(
        "the event's time is {}, over a day ago. Kept all images pushed since then, without counting them.",
        time.to_rfc3339_opts(SecondsFormat::Secs, true)
    );
    Warning::new(WarningCode::OldEvent, About::RUN, message)
}

/// The clock is wrong, and so are all ages.
#[must_use]
pub fn clock_skew(skew: &ClockSkew) -> Warning {
    let message = format!("{skew}. Image ages would be wrong, so a live run would delete nothing. Correct the clock.");
    Warning::new(WarningCode::ClockSkew, About::RUN, message)
}

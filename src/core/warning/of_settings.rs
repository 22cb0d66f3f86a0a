//! What the settings, and the event that they came in, give to know.

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
use crate::settings::{Candidates, Settings};

/// What the settings give to know.
#[must_use]
pub fn of_settings(settings: &Settings) -> Vec<Warning> {
    let unseen: BTreeSet<Region> = match (&settings.regions, &settings.usage.regions) {
        (Some(cleaned), Some(looked_in)) => cleaned - looked_in,
        (Some(_) | None, None) | (None, Some(_)) => BTreeSet::new(),
    };
    let unseen = (!unseen.is_empty()).then(|| {
        let message = format!(
            "{} is cleaned, and usageRegions leaves out what runs there: only what other regions run is known",
            listed(&unseen)
        );
        Warning::new(WarningCode::CleanedUnseen, About::RUN, message)
    });
    let unused = settings.unused.map(|(setting, beside)| {
        Warning::new(WarningCode::NotUsed, About::RUN, format!("{setting} has no effect beside {beside}"))
    });
    unseen.into_iter().chain(unused).collect()
}

/// What the plan gives to know about the settings.
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
        let message = "no repository is cleaned: repositories and excludeRepositories leave none".to_owned();
        let nothing = Warning::new(WarningCode::NoRepository, About::RUN, message);
        return if settings.repositories.is_everything() { Vec::new() } else { vec![nothing] };
    }
    match &settings.candidates {
        Candidates::NumberAndAge { .. } => Vec::new(),
        // What is not selected may be what the others are for.
        Candidates::Policies(_) if !settings.repositories.is_everything() => Vec::new(),
        Candidates::Policies(policies) => {
            let idle = policies.without_repository(names.into_iter());
            let idle = idle.into_iter().map(policy_without_repository);
            idle.chain(rules_without_image(policies, plan)).collect()
        }
    }
}

/// The rules that select nothing anywhere. Where not every repository could be read that is not known.
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
            "no image has tags for all of {}; patterns and prefixes of one rule are no alternatives, so write a rule for each",
            patterns.join(", ")
        ),
    };
    let message = format!("{rule} selects no image of any repository: {why}");
    Warning::new(WarningCode::RuleSelectsNothing, About::RUN, message)
}

fn policy_without_repository(number: usize) -> Warning {
    let message = format!(
        "policy {number} applies to no repository: its patterns match none, or earlier policies match them all"
    );
    Warning::new(WarningCode::PolicyWithoutRepository, About::RUN, message)
}

/// The event was sent long ago.
#[must_use]
pub fn old_event(time: DateTime<Utc>) -> Warning {
    let message = format!(
        "the event is from {}, over a day ago: images pushed since then are kept and not counted",
        time.to_rfc3339_opts(SecondsFormat::Secs, true)
    );
    Warning::new(WarningCode::OldEvent, About::RUN, message)
}

/// The clock that ages are told by is wrong.
#[must_use]
pub fn clock_skew(skew: &ClockSkew) -> Warning {
    let message = format!("{skew}, so that ages are not what they seem: a live run would be refused; set the clock");
    Warning::new(WarningCode::ClockSkew, About::RUN, message)
}

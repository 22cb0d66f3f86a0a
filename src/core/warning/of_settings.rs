//! What the settings, and the event that they came in, give to know.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};

use super::of_usage::listed;
use super::{About, Warning, WarningCode};
use crate::account::Region;
use crate::clock_skew::ClockSkew;
use crate::image::RepositoryName;
use crate::plan::Plan;
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
            idle.into_iter().map(policy_without_repository).collect()
        }
    }
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

//! The whole run on one screen. This is the only caller of every stage, and the last that knows whether it is dry.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::{join, join_all};
use serde_json::Value;

use crate::account::Region;
use crate::apply::apply;
use crate::aws::{Aws, CallError};
use crate::deadline::Deadline;
use crate::event::Event;
use crate::inventory::{self, Contents, Registry};
use crate::plan::{Decided, Plan, RegistryPlan, RepositoryPlan};
use crate::report::{Report, Run};
use crate::retention;
use crate::settings::{Environment, InvalidSettings, Mode, Settings};
use crate::telemetry;
use crate::usage::{self, Discovery, Places, UsageIncomplete};
use crate::warning::Warning;

/// An event older than this was replayed or held back, which a person should know.
const OLD_EVENT: TimeDelta = TimeDelta::days(1);

/// Why a run could not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A setting can't be used.
    #[error(transparent)]
    InvalidSettings(#[from] InvalidSettings),
    /// No region is named, and they can't be listed.
    #[error("no region is named and the enabled ones can't be listed: {0} (set region, or {remedy})", remedy = .0.remedy())]
    RegionsUnavailable(CallError),
    /// The account is not known.
    #[error("the account is not known, so nothing can be: {0} ({remedy})", remedy = .0.remedy())]
    AccountUnknown(CallError),
}

/// Runs once: reads the event, finds what is in use, decides on every image, and carries the plan out if it is live.
///
/// # Errors
/// When the run can't start. A live run that is refused is a [`Report`] that says so.
pub async fn run(payload: Value, environment: &Environment, aws: &Aws, deadline: Deadline) -> Result<Report, RunError> {
    let started_at = Utc::now();
    let event = Event::parse(payload)?;
    let settings = Settings::resolve(&event.settings, environment)?;
    let now = event.time.map_or(started_at, |time| time.min(started_at));

    let (places, registries) = settle_places(&settings, aws, deadline).await?;
    let (discovery, registries) = join(
        usage::discover(aws, places, deadline),
        inventory::list_registries(aws, registries, &settings.repositories, deadline),
    )
    .await;
    let plan = decide(aws, registries, &discovery, &settings, now, deadline).await;
    let warnings = warnings(&discovery, &plan, event.time, started_at);

    let (plan, refusal) = match settings.mode {
        Mode::DryRun => (plan, None),
        Mode::Live => match plan.approve(&discovery, settings.max_deletions) {
            Ok(approved) => (apply(aws, approved, deadline).await, None),
            Err((plan, refusal)) => (plan, Some(refusal)),
        },
    };
    let report = Report::new(Run {
        mode: settings.mode,
        started_at,
        finished_at: Utc::now(),
        discovery: &discovery,
        plan,
        refusal,
        price_per_gb_month: settings.price_per_gb_month,
        warnings,
    });
    telemetry::log_report(&report);
    Ok(report)
}

/// Settles in which account and regions workloads are looked for, and which regions' registries are cleaned.
async fn settle_places(
    settings: &Settings,
    aws: &Aws,
    deadline: Deadline,
) -> Result<(Places, BTreeSet<Region>), RunError> {
    let Settings { regions, usage_regions, .. } = settings;
    let enabled = async {
        match usage_regions {
            Some(regions) => Ok(regions.clone()),
            None => aws.enabled_regions(deadline).await,
        }
    };
    let (account, enabled) = join(aws.account_id(deadline), enabled).await;
    let account = account.map_err(RunError::AccountUnknown)?;
    match (enabled, regions) {
        (Ok(enabled), regions) => {
            let registries = regions.clone().unwrap_or_else(|| enabled.clone());
            Ok((Places { account, regions: enabled, regions_unknown: None }, registries))
        }
        // What runs in other regions stays unknown, so a live run will be refused; a dry run can still show a plan.
        (Err(error), Some(regions)) => {
            Ok((Places { account, regions: regions.clone(), regions_unknown: Some(error) }, regions.clone()))
        }
        (Err(error), None) => Err(RunError::RegionsUnavailable(error)),
    }
}

/// Reads each repository and decides on its images at once, so that only what is stale stays in memory.
async fn decide(
    aws: &Aws,
    registries: Vec<Registry>,
    discovery: &Discovery,
    settings: &Settings,
    now: DateTime<Utc>,
    deadline: Deadline,
) -> Plan {
    let registry_id = &discovery.places.account;
    let registries = join_all(registries.into_iter().map(async |Registry { region, repositories }| {
        let repositories = match repositories {
            Ok(names) => {
                let decide = |repository_name, contents: Result<Contents, CallError>| {
                    let usage = discovery.usage.of_repository(registry_id, &repository_name);
                    let decided = contents.map(|Contents { images, unnamed }| {
                        let decisions = retention::decide(&images, &usage, &settings.rules, now);
                        Decided::gather(images, unnamed, &decisions, &usage)
                    });
                    let plan = RepositoryPlan { repository_name, decided };
                    telemetry::log_repository(&region, &plan);
                    plan
                };
                Ok(inventory::read_repositories(aws, &region, names, deadline, decide).await)
            }
            Err(error) => Err(error),
        };
        RegistryPlan { registry_id: registry_id.clone(), region, repositories }
    }));
    Plan { registries: registries.await }
}

fn warnings(
    discovery: &Discovery,
    plan: &Plan,
    event_time: Option<DateTime<Utc>>,
    started_at: DateTime<Utc>,
) -> Vec<Warning> {
    let Discovery { places, usage, incomplete } = discovery;
    let mut warnings = Vec::new();
    if let Some(UsageIncomplete { causes, usable_regions }) = incomplete {
        warnings.extend(causes.iter().cloned().map(Warning::UsageIncomplete));
        if !usable_regions.is_empty() {
            warnings.push(Warning::UsableRegions(usable_regions.clone()));
        }
    }
    warnings.extend(
        usage
            .withheld()
            .iter()
            .map(|(repository, unreadable)| Warning::Withheld(repository.clone(), unreadable.clone())),
    );
    let cleaned = plan.registries.iter().map(|registry| registry.region.clone()).collect();
    if !usage.refers_to(&places.account, &cleaned) {
        warnings.push(Warning::NothingInUse(places.account.clone()));
    }
    warnings.extend(event_time.filter(|time| started_at - *time > OLD_EVENT).map(Warning::OldEvent));
    warnings
}

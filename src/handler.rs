//! The whole run on one screen. This is the only caller of every stage, and the last that knows whether it is dry.

mod attendance;
mod planner;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use chrono::TimeDelta;
use futures::future::join;
use serde_json::Value;

use crate::account::{AccountId, Region};
use crate::apply::apply;
use crate::aws::{Aws, CallError};
use crate::deadline::Deadline;
use crate::event::Event;
use crate::image::RepositoryName;
use crate::inventory;
use crate::progress::{Progress, Step};
use crate::pull_time::Principal;
use crate::report::{Report, Run};
use crate::settings::{Environment, InvalidSettings, Mode, Settings};
use crate::telemetry;
use crate::usage::{Discovery, FreshUsage, FreshnessLimits, OwnAccount, Sources};
use crate::warning::{self, Warning};
pub use attendance::{Attendance, Attended, ExplainedImage, ImageName, WantedImage};
use planner::Planner;

/// An event older than this was replayed or held back, which a person should know.
const OLD_EVENT: TimeDelta = TimeDelta::days(1);

/// What a run is bound by.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// When it must have answered.
    pub deadline: Deadline,
    /// How old the usage may be that it deletes on.
    pub freshness: FreshnessLimits,
}

impl Limits {
    /// Bound by this deadline, and by what the contract says of usage.
    #[must_use]
    pub fn until(deadline: Deadline) -> Self {
        Self { deadline, freshness: FreshnessLimits::CONTRACT }
    }
}

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
    /// What is to be carried out, or explained, belongs to another account.
    #[error("this is about account {expected}, and the credentials are those of account {actual}")]
    OtherAccount {
        /// The account that it is about.
        expected: AccountId,
        /// The account of the credentials.
        actual: AccountId,
    },
}

/// Runs once: reads the event, finds what is in use, decides on every image, and carries the plan out if it is live.
///
/// # Errors
/// When the run can't start. A live run that is refused is a [`Report`] that says so.
pub async fn run(payload: Value, environment: &Environment, aws: &Aws, limits: Limits) -> Result<Report, RunError> {
    let event = Event::parse(payload)?;
    Ok(Box::pin(attended(event, environment, aws, limits, &Attendance::NOBODY)).await?.report)
}

/// The same with somebody attending.
///
/// # Errors
/// When the run can't start.
pub async fn attended(
    event: Event,
    environment: &Environment,
    aws: &Aws,
    limits: Limits,
    attendance: &Attendance<'_>,
) -> Result<Attended, RunError> {
    let clock = aws.clock();
    let started_at = clock.utc();
    let Limits { deadline, freshness } = limits;
    let Attendance { progress, reviewed, wanted: _ } = *attendance;
    let settings = Settings::resolve(&event.settings, environment)?;
    let now = event.time.map_or(started_at, |time| time.min(started_at));

    progress.tell(Step::Settling);
    let (own, principal, registries) = settle_regions(&settings, aws, deadline).await?;
    let registry_id = own.account.clone();
    if let Some(expected) = attendance.other_account(&registry_id) {
        return Err(RunError::OtherAccount { expected: expected.clone(), actual: registry_id });
    }
    let ((sources, discovery), registries) = join(
        async {
            let sources = Sources::settle(aws, own, settings.usage.clone(), deadline).await;
            let discovery = sources.discover(deadline, progress).await;
            (sources, Arc::new(discovery))
        },
        inventory::list_registries(aws, registries, &settings.repositories, deadline, progress),
    )
    .await;
    telemetry::log_usage(&discovery);
    let planner = Planner {
        aws,
        registry_id: &registry_id,
        principal: &principal,
        discovery: &discovery,
        settings: &settings,
        now,
        deadline,
        attendance,
        explained: OnceLock::new(),
    };
    let (mut plan, of_repositories) = planner.plan(registries).await;
    let explained = planner.explained.into_inner();
    if let Some(reviewed) = reviewed {
        reviewed.restrict(&mut plan);
    }

    let (plan, refusal, discovery) = match settings.mode {
        Mode::DryRun => (plan, None, discovery),
        Mode::Live => match plan.approve(&discovery, settings.max_deletions) {
            Ok(approved) => {
                let usage = FreshUsage::new(&sources, Arc::clone(&discovery), freshness, deadline);
                let applied = apply(aws, approved, &usage, deadline, progress).await;
                telemetry::log_results(&applied);
                let latest = usage.into_latest();
                let refusal = applied.refusal_of_the_rest(&latest);
                (applied, refusal, latest)
            }
            Err((plan, refusal)) => (plan, Some(refusal), discovery),
        },
    };
    let mut warnings = warning::of_usage(&discovery, &registry_id, &plan);
    warnings.extend(reviewed.iter().flat_map(|reviewed| reviewed.warnings(&plan)));
    warnings.extend(of_repositories);
    warnings.extend(warning::of_settings(&settings));
    warnings.extend(warning::of_selection(&settings, &plan));
    warnings.extend(event.time.filter(|time| started_at - *time > OLD_EVENT).map(Warning::OldEvent));
    let report = Report::new(Run {
        mode: settings.mode,
        started_at,
        finished_at: clock.utc(),
        discovery: &discovery,
        plan,
        refusal,
        price_per_gb_month: settings.price_per_gb_month,
        warnings,
    });
    telemetry::log_report(&report);
    Ok(Attended { report, explained })
}

/// Finds what is in use, and nothing else. It is told with the account that asked.
///
/// # Errors
/// When it can't start.
pub async fn usage_alone(
    event: Event,
    environment: &Environment,
    aws: &Aws,
    deadline: Deadline,
    progress: &dyn Progress,
) -> Result<(AccountId, Discovery), RunError> {
    let settings = Settings::resolve(&event.settings, environment)?;
    progress.tell(Step::Settling);
    let (own, _, _) = settle_regions(&settings, aws, deadline).await?;
    let account = own.account.clone();
    let sources = Sources::settle(aws, own, settings.usage, deadline).await;
    Ok((account, sources.discover(deadline, progress).await))
}

/// Lists the repositories that would be cleaned, and nothing else; an error where a region's can't be listed.
///
/// # Errors
/// When it can't start.
pub async fn repositories_alone(
    settings: &Settings,
    aws: &Aws,
    deadline: Deadline,
    progress: &dyn Progress,
) -> Result<Result<BTreeSet<RepositoryName>, CallError>, RunError> {
    progress.tell(Step::Settling);
    let (_, _, registries) = settle_regions(settings, aws, deadline).await?;
    let listed = inventory::list_registries(aws, registries, &settings.repositories, deadline, progress).await;
    let names = listed.into_iter().map(|registry| registry.repositories).collect::<Result<Vec<_>, _>>();
    Ok(names.map(|names| names.into_iter().flatten().collect()))
}

/// Settles the account, who asks, the regions in which its workloads are looked for, and those whose registries are
/// cleaned.
async fn settle_regions(
    settings: &Settings,
    aws: &Aws,
    deadline: Deadline,
) -> Result<(OwnAccount, Principal, BTreeSet<Region>), RunError> {
    let enabled = async {
        match &settings.usage.regions {
            Some(regions) => Ok(regions.clone()),
            None => aws.enabled_regions(deadline).await,
        }
    };
    let (identity, enabled) = join(aws.caller_identity(deadline), enabled).await;
    let (account, principal) = identity.map_err(RunError::AccountUnknown)?;
    let (regions, regions_unknown, cleaned) = match (enabled, &settings.regions) {
        (Ok(regions), None) => (regions.clone(), None, regions),
        (Ok(mut regions), Some(cleaned)) => {
            if settings.usage.regions.is_none() {
                // Whatever the list says, what is cleaned is looked at.
                regions.extend(cleaned.iter().cloned());
            }
            (regions, None, cleaned.clone())
        }
        // What runs in other regions stays unknown, so a live run will be refused; a dry run can still show a plan.
        (Err(error), Some(cleaned)) => (cleaned.clone(), Some(error), cleaned.clone()),
        (Err(error), None) => return Err(RunError::RegionsUnavailable(error)),
    };
    Ok((OwnAccount { account, regions, regions_unknown }, principal, cleaned))
}

//! The whole run on one screen. This is the only caller of every stage, and the last that knows whether it is dry.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join;
use futures::lock::Mutex;
use futures::stream::{self, StreamExt};
use serde_json::Value;

use crate::account::{AccountId, Region};
use crate::apply::apply;
use crate::aws::{Aws, CallError};
use crate::deadline::Deadline;
use crate::event::Event;
use crate::image::RepositoryName;
use crate::inventory::{self, Contents, Registry};
use crate::plan::{Decided, Plan, RegistryPlan, RepositoryPlan};
use crate::report::{Report, Run};
use crate::retention::{self, Decision, KeepReason};
use crate::settings::{Environment, InvalidSettings, Mode, Settings};
use crate::sharing::Pullers;
use crate::telemetry;
use crate::usage::{Discovery, FreshUsage, FreshnessLimits, OwnAccount, Sources};
use crate::warning::{self, Warning};

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
}

/// Runs once: reads the event, finds what is in use, decides on every image, and carries the plan out if it is live.
///
/// # Errors
/// When the run can't start. A live run that is refused is a [`Report`] that says so.
pub async fn run(payload: Value, environment: &Environment, aws: &Aws, limits: Limits) -> Result<Report, RunError> {
    let started_at = Utc::now();
    let Limits { deadline, freshness } = limits;
    let event = Event::parse(payload)?;
    let settings = Settings::resolve(&event.settings, environment)?;
    let now = event.time.map_or(started_at, |time| time.min(started_at));

    let (own, registries) = settle_regions(&settings, aws, deadline).await?;
    let registry_id = own.account.clone();
    let ((sources, discovery), registries) = join(
        async {
            let sources = Sources::settle(aws, own, settings.usage.clone(), deadline).await;
            let discovery = sources.discover(deadline).await;
            (sources, Arc::new(discovery))
        },
        inventory::list_registries(aws, registries, &settings.repositories, deadline),
    )
    .await;
    telemetry::log_usage(&discovery);
    let planner = Planner { aws, registry_id: &registry_id, discovery: &discovery, settings: &settings, now, deadline };
    let (plan, shared) = planner.plan(registries).await;

    let (plan, refusal, discovery) = match settings.mode {
        Mode::DryRun => (plan, None, discovery),
        Mode::Live => match plan.approve(&discovery, settings.max_deletions) {
            Ok(approved) => {
                let usage = FreshUsage::new(&sources, Arc::clone(&discovery), freshness, deadline);
                let applied = apply(aws, approved, &usage, deadline).await;
                telemetry::log_results(&applied);
                let latest = usage.into_latest();
                let refusal = applied.refusal_of_the_rest(&latest);
                (applied, refusal, latest)
            }
            Err((plan, refusal)) => (plan, Some(refusal), discovery),
        },
    };
    let mut warnings = warning::of_usage(&discovery, &registry_id, &plan);
    warnings.extend(shared);
    warnings.extend(warning::of_regions(&settings));
    warnings.extend(event.time.filter(|time| started_at - *time > OLD_EVENT).map(Warning::OldEvent));
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

/// Settles the account, the regions in which its workloads are looked for, and those whose registries are cleaned.
async fn settle_regions(
    settings: &Settings,
    aws: &Aws,
    deadline: Deadline,
) -> Result<(OwnAccount, BTreeSet<Region>), RunError> {
    let enabled = async {
        match &settings.usage.regions {
            Some(regions) => Ok(regions.clone()),
            None => aws.enabled_regions(deadline).await,
        }
    };
    let (account, enabled) = join(aws.account_id(deadline), enabled).await;
    let account = account.map_err(RunError::AccountUnknown)?;
    match (enabled, &settings.regions) {
        (Ok(regions), None) => Ok((OwnAccount { account, regions: regions.clone(), regions_unknown: None }, regions)),
        (Ok(mut regions), Some(cleaned)) => {
            if settings.usage.regions.is_none() {
                // Whatever the list says, what is cleaned is looked at.
                regions.extend(cleaned.iter().cloned());
            }
            Ok((OwnAccount { account, regions, regions_unknown: None }, cleaned.clone()))
        }
        // What runs in other regions stays unknown, so a live run will be refused; a dry run can still show a plan.
        (Err(error), Some(cleaned)) => {
            Ok((OwnAccount { account, regions: cleaned.clone(), regions_unknown: Some(error) }, cleaned.clone()))
        }
        (Err(error), None) => Err(RunError::RegionsUnavailable(error)),
    }
}

/// ECR in a region, with what is asked of its registry once, and only where something is stale.
struct RegionalEcr<'a> {
    client: aws_sdk_ecr::Client,
    region: &'a Region,
    pullers: Mutex<Option<Result<Pullers, CallError>>>,
}

impl RegionalEcr<'_> {
    async fn pullers_of_registry(&self, deadline: Deadline) -> Result<Pullers, CallError> {
        let mut pullers = self.pullers.lock().await;
        if let Some(known) = &*pullers {
            return known.clone();
        }
        let read = inventory::read_pullers_of_registry(&self.client, deadline).await;
        pullers.insert(read).clone()
    }
}

/// What every repository is judged by.
struct Planner<'a> {
    aws: &'a Aws,
    registry_id: &'a AccountId,
    discovery: &'a Discovery,
    settings: &'a Settings,
    now: DateTime<Utc>,
    deadline: Deadline,
}

impl Planner<'_> {
    /// Reads each repository and decides on its images at once, so that only what is stale stays in memory.
    async fn plan(&self, registries: Vec<Registry>) -> (Plan, Vec<Warning>) {
        let plan_region = async |(place, Registry { region, repositories }): (usize, Registry)| {
            let mut warnings = Vec::new();
            let repositories = match repositories {
                Ok(names) => {
                    let ecr = RegionalEcr { client: self.aws.ecr(&region), region: &region, pullers: Mutex::default() };
                    let planned =
                        inventory::each_repository(names, async |name| self.plan_repository(&ecr, name).await);
                    let (plans, of_repositories): (Vec<_>, Vec<_>) = planned.await.into_iter().flatten().unzip();
                    warnings.extend(of_repositories.into_iter().flatten());
                    Ok(plans)
                }
                Err(error) => Err(error),
            };
            (place, RegistryPlan { registry_id: self.registry_id.clone(), region, repositories }, warnings)
        };
        let mut planned: Vec<_> = stream::iter(registries.into_iter().enumerate())
            .map(plan_region)
            .buffer_unordered(inventory::REGIONS_AT_ONCE)
            .collect()
            .await;
        planned.sort_unstable_by_key(|(place, ..)| *place);
        let (registries, warnings): (Vec<_>, Vec<_>) =
            planned.into_iter().map(|(_, registry, warnings)| (registry, warnings)).unzip();
        (Plan { registries }, warnings.into_iter().flatten().collect())
    }

    /// `None` where the repository was deleted in between.
    async fn plan_repository(
        &self,
        ecr: &RegionalEcr<'_>,
        repository_name: RepositoryName,
    ) -> Option<(RepositoryPlan, Option<Warning>)> {
        let (decided, warning) = match self.decide(ecr, &repository_name).await {
            Err(error) if error.code == "RepositoryNotFoundException" => return None,
            Ok((decided, warning)) => (Ok(decided), warning),
            Err(error) => (Err(error), None),
        };
        let plan = RepositoryPlan { repository_name, decided };
        telemetry::log_repository(ecr.region, &plan);
        Some((plan, warning))
    }

    async fn decide(
        &self,
        ecr: &RegionalEcr<'_>,
        repository_name: &RepositoryName,
    ) -> Result<(Decided, Option<Warning>), CallError> {
        let Contents { images, unnamed } = inventory::read_images(&ecr.client, repository_name, self.deadline).await?;
        let usage = self.discovery.usage.of_repository(self.registry_id, repository_name);
        let mut decisions = retention::decide(&images, &usage, &self.settings.rules, self.now);
        let mut warning = None;
        if decisions.iter().any(|decision| matches!(decision, Decision::Delete(_))) {
            let pullers = inventory::read_pullers(&ecr.client, repository_name, self.deadline).await?;
            let pullers = pullers.and(&ecr.pullers_of_registry(self.deadline).await?);
            let unseen = pullers.unseen(&self.discovery.accounts, &self.settings.accept_unseen_accounts);
            if let Some(unseen) = unseen {
                retention::withhold(&mut decisions, KeepReason::SharedElsewhere);
                warning = Some(Warning::SharedElsewhere(ecr.region.clone(), repository_name.clone(), unseen));
            }
        }
        Ok((Decided::gather(images, unnamed, &decisions, &usage), warning))
    }
}

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
use crate::inventory::{self, Contents, IndexContents, Registry};
use crate::manifest::Manifests;
use crate::plan::{Decided, Plan, RegistryPlan, RepositoryPlan};
use crate::pull_time::{IndexPulls, Principal};
use crate::report::{Report, Run};
use crate::retention::{self, KeepReason, Known};
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

    let (own, principal, registries) = settle_regions(&settings, aws, deadline).await?;
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
    let planner = Planner {
        aws,
        registry_id: &registry_id,
        principal: &principal,
        discovery: &discovery,
        settings: &settings,
        now,
        deadline,
    };
    let (plan, of_repositories) = planner.plan(registries).await;

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
    warnings.extend(of_repositories);
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

/// ECR in a region, with what is asked of its registry once, and only where that matters.
struct RegionalEcr<'a> {
    client: aws_sdk_ecr::Client,
    region: &'a Region,
    pullers: Mutex<Option<Result<Pullers, CallError>>>,
    index_pulls: Mutex<Option<Result<IndexPulls, CallError>>>,
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

    async fn index_pulls(&self, principal: &Principal, deadline: Deadline) -> IndexPulls {
        let mut index_pulls = self.index_pulls.lock().await;
        let known = match &*index_pulls {
            Some(known) => known,
            None => index_pulls.insert(inventory::read_index_pulls(&self.client, principal, deadline).await),
        };
        *known.as_ref().unwrap_or(&IndexPulls::MayBeOwn)
    }

    /// Whether pulls of indexes tell anything, and what should be known of that.
    fn into_index_pulls(self, principal: &Principal) -> (IndexPulls, Option<Warning>) {
        let region = self.region.clone();
        match self.index_pulls.into_inner() {
            // No manifest was read.
            None => (IndexPulls::default(), None),
            Some(Ok(IndexPulls::OfOthers)) => (IndexPulls::OfOthers, None),
            Some(Ok(IndexPulls::MayBeOwn)) => {
                let command = principal.register_command(&region);
                (IndexPulls::MayBeOwn, Some(Warning::IndexPullsIgnored(region, command)))
            }
            Some(Err(error)) => (IndexPulls::MayBeOwn, Some(Warning::IndexPullsUnknown(region, error))),
        }
    }
}

/// What every repository is judged by.
struct Planner<'a> {
    aws: &'a Aws,
    registry_id: &'a AccountId,
    principal: &'a Principal,
    discovery: &'a Discovery,
    settings: &'a Settings,
    now: DateTime<Utc>,
    deadline: Deadline,
}

impl Planner<'_> {
    /// Reads each repository and decides on its images at once, so that only what is stale stays in memory.
    async fn plan(&self, registries: Vec<Registry>) -> (Plan, Vec<Warning>) {
        let plan_region = async |(place, Registry { region, repositories }): (usize, Registry)| {
            let client = self.aws.ecr(&region);
            let ecr = RegionalEcr { client, region: &region, pullers: Mutex::default(), index_pulls: Mutex::default() };
            let mut warnings = Vec::new();
            let repositories = match repositories {
                Ok(names) => {
                    let planned =
                        inventory::each_repository(names, async |name| self.plan_repository(&ecr, name).await);
                    let (plans, of_repositories): (Vec<_>, Vec<_>) = planned.await.into_iter().flatten().unzip();
                    warnings.extend(of_repositories.into_iter().flatten());
                    Ok(plans)
                }
                Err(error) => Err(error),
            };
            let (index_pulls, warning) = ecr.into_index_pulls(self.principal);
            warnings.extend(warning);
            let registry_id = self.registry_id.clone();
            (place, RegistryPlan { registry_id, region, index_pulls, repositories }, warnings)
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
    ) -> Option<(RepositoryPlan, Vec<Warning>)> {
        let (decided, warnings) = match self.decide(ecr, &repository_name).await {
            Err(error) if error.code == "RepositoryNotFoundException" => return None,
            Ok((decided, warnings)) => (Ok(decided), warnings),
            Err(error) => (Err(error), Vec::new()),
        };
        let plan = RepositoryPlan { repository_name, decided };
        telemetry::log_repository(ecr.region, &plan);
        Some((plan, warnings))
    }

    async fn decide(
        &self,
        ecr: &RegionalEcr<'_>,
        repository_name: &RepositoryName,
    ) -> Result<(Decided, Vec<Warning>), CallError> {
        let Contents { images, unnamed } = inventory::read_images(&ecr.client, repository_name, self.deadline).await?;
        let usage = self.discovery.usage.of_repository(self.registry_id, repository_name);
        let rules = &self.settings.rules;
        let (now, index_pulls) = (self.now, IndexPulls::default());
        let unread = Known { images: &images, manifests: &Manifests::default(), index_pulls, usage: &usage, now };
        let (indexes, index_pulls) = if retention::needs_manifests(&unread, rules) {
            let index_pulls = ecr.index_pulls(self.principal, self.deadline);
            join(inventory::read_manifests(&ecr.client, repository_name, &images, self.deadline), index_pulls).await
        } else {
            (IndexContents::default(), index_pulls)
        };
        let known = Known { manifests: &indexes.manifests, index_pulls, ..unread };
        let mut decisions = retention::decide(&known, rules);
        let mut warnings = warning::of_indexes(ecr.region, repository_name, &indexes);
        if decisions.any_goes() {
            let pullers = inventory::read_pullers(&ecr.client, repository_name, self.deadline).await?;
            let pullers = pullers.and(&ecr.pullers_of_registry(self.deadline).await?);
            let unseen = pullers.unseen(&self.discovery.accounts, &self.settings.accept_unseen_accounts);
            if let Some(unseen) = unseen {
                decisions.withhold(KeepReason::SharedElsewhere);
                warnings.push(Warning::SharedElsewhere(ecr.region.clone(), repository_name.clone(), unseen));
            }
        }
        let unfetched = indexes.unfetched;
        let decided = Decided::gather(images, unnamed, &decisions, &usage, index_pulls);
        Ok((Decided { unfetched, ..decided }, warnings))
    }
}

//! From the repositories' names to the plan: each repository is read and decided on at once, so that only what is stale
//! stays in memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use futures::future::join;
use futures::lock::Mutex;
use futures::stream::{self, StreamExt};

use super::attendance::{Attendance, ExplainedImage};
use crate::account::{AccountId, Region};
use crate::aws::{Aws, CallError};
use crate::deadline::Deadline;
use crate::exact_sizes::{ExactSizes, Fate};
use crate::image::{Image, RepositoryName};
use crate::inventory::{self, Contents, IndexContents, Registry};
use crate::manifest::Manifests;
use crate::plan::{AppliedPolicy, Decided, ImageAtRisk, Plan, RegistryPlan, RepositoryPlan};
use crate::policy::{Applicable, Policy};
use crate::progress::Step;
use crate::pull_time::{IndexPulls, Principal};
use crate::retention::{self, Decision, Decisions, KeepReason, Known, Takes};
use crate::review;
use crate::settings::{Candidates, Settings};
use crate::sharing::Pullers;
use crate::telemetry;
use crate::usage::Discovery;
use crate::warning::{self, Warning};

/// What every repository is judged by.
pub(super) struct Planner<'a> {
    pub(super) aws: &'a Aws,
    pub(super) registry_id: &'a AccountId,
    pub(super) principal: &'a Principal,
    pub(super) discovery: &'a Discovery,
    pub(super) settings: &'a Settings,
    pub(super) now: DateTime<Utc>,
    pub(super) deadline: Deadline,
    pub(super) attendance: &'a Attendance<'a>,
    /// The image that is to be explained, once its repository was decided on.
    pub(super) explained: OnceLock<ExplainedImage>,
}

/// ECR in a region, with what is asked of its registry once and only where that matters.
struct RegionalEcr<'a> {
    client: aws_sdk_ecr::Client,
    region: &'a Region,
    pullers: Mutex<Option<Result<Pullers, CallError>>>,
    index_pulls: Mutex<Option<Result<IndexPulls, CallError>>>,
    /// Whether exact sizes were left out, since reading for them would count as pulling, or might.
    exact_sizes_refused: AtomicBool,
    /// Whether any index was read.
    indexes_read: AtomicBool,
    /// Held by the one repository whose blobs are being counted, so that those of one are in memory.
    counting: Mutex<()>,
    /// How many lifecycle policies could not be read for the audit, and why the first could not.
    not_audited: Mutex<Option<(u64, RepositoryName, CallError)>>,
}

impl Planner<'_> {
    /// Plans every repository, and tells what should be known of them.
    pub(super) async fn plan(&self, registries: Vec<Registry>) -> (Plan, Vec<Warning>) {
        let repositories = registries.iter().flat_map(|registry| registry.repositories.iter().flatten()).count();
        self.attendance.progress.tell(Step::ReadingRepositories { repositories });
        let mut planned: Vec<_> = stream::iter(registries.into_iter().enumerate())
            .map(async |(place, registry)| (place, self.plan_region(registry).await))
            .buffer_unordered(inventory::REGIONS_AT_ONCE)
            .collect()
            .await;
        planned.sort_unstable_by_key(|(place, _)| *place);
        let (registries, warnings): (Vec<_>, Vec<_>) = planned.into_iter().map(|(_, planned)| planned).unzip();
        (Plan { registries }, warnings.into_iter().flatten().collect())
    }

    async fn plan_region(&self, Registry { region, repositories }: Registry) -> (RegistryPlan, Vec<Warning>) {
        let ecr = RegionalEcr {
            client: self.aws.ecr(&region),
            region: &region,
            pullers: Mutex::default(),
            index_pulls: Mutex::default(),
            exact_sizes_refused: AtomicBool::default(),
            indexes_read: AtomicBool::default(),
            counting: Mutex::default(),
            not_audited: Mutex::default(),
        };
        let mut warnings = Vec::new();
        let repositories = match repositories {
            Ok(names) => {
                let planned = inventory::each_repository(names, async |name| self.plan_repository(&ecr, name).await);
                let (plans, of_repositories): (Vec<_>, Vec<_>) = planned.await.into_iter().flatten().unzip();
                warnings.extend(of_repositories.into_iter().flatten());
                Ok(plans)
            }
            Err(error) => Err(error),
        };
        let (index_pulls, of_region) = ecr.conclude(self.principal);
        warnings.extend(of_region);
        let registry_id = self.registry_id.clone();
        (RegistryPlan { registry_id, region, index_pulls, repositories }, warnings)
    }

    /// `None` where the repository was deleted in between.
    async fn plan_repository(
        &self,
        ecr: &RegionalEcr<'_>,
        repository_name: RepositoryName,
    ) -> Option<(RepositoryPlan, Vec<Warning>)> {
        let decided = self.decide(ecr, &repository_name).await;
        let repository = &repository_name;
        self.attendance.progress.tell(Step::RepositoryRead { region: ecr.region, repository });
        let (decided, warnings) = match decided {
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
        let is_used = |image: &Image| usage.holder(image.image_digest, &image.image_tags).is_some();
        let is_audited = self.settings.audit_lifecycle_policies && images.iter().any(is_used);
        let (applicable, own_policy) = self.policies(ecr, repository_name, is_audited).await?;
        let takes = match (&self.settings.candidates, &applicable) {
            (Candidates::NumberAndAge { untagged_older_than_days }, _) => {
                Takes::NumberAndAge { untagged_older_than_days: *untagged_older_than_days }
            }
            (Candidates::Policies(_), Some(policy)) => Takes::Policy(policy),
            (Candidates::Policies(_), None) => Takes::Nothing,
        };

        let rules = &self.settings.rules;
        let unread = Manifests::childless(&images);
        let (now, index_pulls) = (self.now, IndexPulls::default());
        let unread = Known { images: &images, manifests: &unread, index_pulls, usage: &usage, takes, now };
        let (indexes, known);
        if retention::needs_manifests(&unread, rules) {
            ecr.indexes_read.store(true, Ordering::Relaxed);
            let index_pulls = ecr.index_pulls(self.principal, self.deadline);
            let read = inventory::read_manifests(&ecr.client, repository_name, &images, self.deadline);
            let (read, index_pulls) = join(read, index_pulls).await;
            indexes = read;
            known = Known { manifests: &indexes.manifests, index_pulls, ..unread };
        } else {
            indexes = IndexContents::default();
            known = unread;
        }

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
        let at_risk = own_policy
            .filter(|_| is_audited)
            .map_or_else(Vec::new, |policy| ImageAtRisk::all(retention::audit(&known, &policy), &images, &usage));
        // What is deleted is worse than what is archived.
        if let Some(first) = at_risk.iter().max_by_key(|image| image.action) {
            let (region, name) = (ecr.region.clone(), repository_name.clone());
            warnings.push(Warning::AtRisk(region, name, at_risk.len(), first.clone()));
        }
        telemetry::log_kept(ecr.region, repository_name, &images, &decisions);
        let place = (self.registry_id, ecr.region, repository_name);
        let decision = (&known, rules, &decisions);
        self.attendance.explain(place, &self.discovery.usage, decision, &self.explained);
        let reviewed = self.attendance.reviewed.and_then(|plan| plan.of_repository(ecr.region, repository_name));
        let spared = reviewed.map_or_else(Vec::new, |reviewed| review::spared(reviewed, &images, &decisions, &usage));
        let only_in_use = retention::only_in_use(&known, rules);
        let unfetched = indexes.unfetched;
        let policy = match takes {
            Takes::NumberAndAge { .. } => None,
            Takes::Policy(policy) => Some(policy.number().map_or(AppliedPolicy::OfRepository, AppliedPolicy::Given)),
            Takes::Nothing => Some(AppliedPolicy::None),
        };
        let exact = match self.exact_sizes(ecr, repository_name, &images, unnamed, &decisions).await {
            Ok(exact) => exact,
            Err(warning) => {
                warnings.push(warning);
                None
            }
        };
        let decided = Decided::gather(images, unnamed, &decisions, &usage, &only_in_use);
        Ok((Decided { exact, policy, at_risk, unfetched, spared, ..decided }, warnings))
    }

    /// What the repository stores, each layer counted once, where that is asked for, something is to be deleted, and
    /// reading for it leaves no trace.
    async fn exact_sizes(
        &self,
        ecr: &RegionalEcr<'_>,
        repository_name: &RepositoryName,
        images: &[Image],
        unnamed: u64,
        decisions: &Decisions,
    ) -> Result<Option<ExactSizes>, Warning> {
        if !self.settings.exact_sizes || !decisions.any_is_deleted() {
            return Ok(None);
        }
        match ecr.index_pulls(self.principal, self.deadline).await {
            IndexPulls::OfOthers => {}
            // Reading would make every image look pulled, and keep it.
            IndexPulls::MayBeOwn => {
                ecr.exact_sizes_refused.store(true, Ordering::Relaxed);
                return Ok(None);
            }
        }
        let _one_at_a_time = ecr.counting.lock().await;
        let fate = |place: usize| match decisions.each()[place] {
            Decision::Delete(_) => Fate::Goes,
            Decision::Archive(_) | Decision::Keep { .. } => Fate::Stays,
        };
        inventory::read_exact_sizes(&ecr.client, repository_name, images, unnamed, fate, self.deadline)
            .await
            .map(Some)
            .map_err(|why| Warning::NotExact(ecr.region.clone(), repository_name.clone(), why))
    }

    /// The policy that decides on a repository, and the one that ECR has for it, read where either is asked for.
    async fn policies(
        &self,
        ecr: &RegionalEcr<'_>,
        repository_name: &RepositoryName,
        is_audited: bool,
    ) -> Result<(Option<Arc<Policy>>, Option<Arc<Policy>>), CallError> {
        let applicable = match &self.settings.candidates {
            Candidates::NumberAndAge { .. } => Applicable::None,
            Candidates::Policies(policies) => policies.for_repository(repository_name),
        };
        if !is_audited && applicable != Applicable::OfRepository {
            return Ok((applicable.given(), None));
        }
        let own = match inventory::read_lifecycle_policy(&ecr.client, repository_name, self.deadline).await {
            Ok(policy) => policy.map(Arc::new),
            Err(error) if applicable == Applicable::OfRepository || error.code == "RepositoryNotFoundException" => {
                return Err(error);
            }
            // It was only to be held against what is in use.
            Err(error) => {
                let mut not_audited = ecr.not_audited.lock().await;
                let (repositories, first, why) =
                    not_audited.get_or_insert_with(|| (0, repository_name.clone(), error.clone()));
                *repositories += 1;
                if repository_name < first {
                    // The first by name, since which fails first is chance.
                    (*first, *why) = (repository_name.clone(), error);
                }
                None
            }
        };
        let decides = if applicable == Applicable::OfRepository { own.clone() } else { applicable.given() };
        Ok((decides, own))
    }
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

    /// Whether pulls of indexes tell anything, and what should be known of the region.
    fn conclude(self, principal: &Principal) -> (IndexPulls, Vec<Warning>) {
        let region = self.region;
        let command = principal.register_command(region);
        let (index_pulls, unknown) = match self.index_pulls.into_inner() {
            // No manifest was read.
            None => (IndexPulls::default(), None),
            Some(Ok(index_pulls)) => (index_pulls, None),
            Some(Err(error)) => (IndexPulls::MayBeOwn, Some(error)),
        };
        let refused = self.exact_sizes_refused.into_inner();
        let refused = refused.then(|| Warning::ExactSizesRefused(region.clone(), unknown.clone(), command.clone()));
        let of_pulls = match (index_pulls, unknown) {
            _ if !self.indexes_read.into_inner() => None,
            (IndexPulls::OfOthers, _) => None,
            (IndexPulls::MayBeOwn, None) => Some(Warning::IndexPullsIgnored(region.clone(), command)),
            (IndexPulls::MayBeOwn, Some(error)) => Some(Warning::IndexPullsUnknown(region.clone(), error, command)),
        };
        let not_audited = self.not_audited.into_inner();
        let not_audited = not_audited
            .map(|(repositories, first, error)| Warning::NotAudited(region.clone(), repositories, first, error));
        (index_pulls, of_pulls.into_iter().chain(refused).chain(not_audited).collect())
    }
}

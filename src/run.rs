//! A whole run: discover usage, clean the registries, sum up. This is the only caller of every stage, and the lowest
//! module that knows whether a run is a dry run.
//!
//! Each of the three steps accepts and returns serializable values, so that they can run in different processes.

mod planner;
mod remember;
mod request;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ecr_cleanup_core::account::{AccountId, Place};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::image::RepositoryName;
use ecr_cleanup_core::memory::CarriedOut;
use ecr_cleanup_core::plan::{ApprovedPlan, Plan, Refusal};
use ecr_cleanup_core::report::{MemorySummary, Report, Run};
use ecr_cleanup_core::run_id::RunId;
use ecr_cleanup_core::settings::{InvalidSettings, Mode};
use ecr_cleanup_core::usage::Usage;
use ecr_cleanup_core::wanted::ExplainedImage;
use ecr_cleanup_core::warning::{self, Warning};
use futures::future::{join, join_all};
use serde::{Deserialize, Serialize};

pub use request::{Limits, Request};

use crate::apply::{Outdated, apply};
use crate::aws::Aws;
use crate::discovery::{FreshUsage, Identity, NotIdentified, Places, Reading, identify};
use crate::memory::{Claim, Memory, claim_plan};
use crate::progress::News;
use crate::registry::Registry;
use crate::telemetry;

/// An event older than this was replayed or delayed. The report warns about it.
const OLD_EVENT: TimeDelta = TimeDelta::days(1);

/// Why a run could not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A setting can't be used.
    #[error(transparent)]
    InvalidSettings(#[from] InvalidSettings),
    /// No region is set, and the enabled ones can't be listed.
    #[error("can't list the enabled Regions, and no Region is set: {0} ({remedy}). Set region to run without the list.", remedy = .0.remedy())]
    RegionsUnavailable(CallError),
    /// The account is not known.
    #[error("can't determine the AWS account: {0} ({remedy})", remedy = .0.remedy())]
    AccountUnknown(CallError),
    /// The plan to carry out, or the image to explain, belongs to another account.
    #[error("wrong account: the plan or image belongs to account {expected}, but the credentials to account {actual}")]
    OtherAccount {
        /// The account of that plan or image.
        expected: AccountId,
        /// The account of the credentials.
        actual: AccountId,
    },
}

/// A finished run. The report of a refused live run contains the refusal.
#[derive(Debug)]
pub struct Finished {
    /// Its report.
    pub report: Report,
    /// The image that was to be explained, in each registry that has it.
    pub explained: Vec<ExplainedImage>,
}

/// The inputs of every stage.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// AWS, with the credentials of the run.
    pub aws: &'a Aws,
    /// The account, the principal and the regions.
    pub identity: &'a Identity,
    /// The data of earlier runs.
    pub memory: &'a Memory,
    /// The id of the run.
    pub run_id: &'a RunId,
    /// When the run began.
    pub started_at: DateTime<Utc>,
}

impl Stage<'_> {
    /// The time to which ages are counted. A repeated run must not count images that the first run could not see.
    fn now(&self) -> DateTime<Utc> {
        self.request.sent_at.map_or(self.started_at, |time| time.min(self.started_at))
    }
}

/// A registry and the repositories to clean in it, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedRegistry {
    /// Its account and region.
    pub place: Place,
    /// The repositories; an error where they could not be listed.
    pub repositories: Result<Vec<RepositoryName>, CallError>,
}

/// The result of cleaning the registries.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaned {
    /// The decisions, with the results of a live run.
    pub plan: Plan,
    /// The latest usage.
    pub usage: Usage,
    /// How old usage may be at a delete.
    pub usage_age_limit: Duration,
    /// Why nothing, or nothing more, was deleted.
    pub refusal: Option<Refusal>,
    /// The warnings about repositories.
    pub warnings: Vec<Warning>,
    /// The image that was to be explained, in each registry that has it.
    #[serde(skip)]
    pub explained: Vec<ExplainedImage>,
}

/// Runs once: finds the images in use, decides on every image, and carries the plan out if the run is live.
///
/// # Errors
/// When the run can't start.
pub async fn run(request: &Request<'_>, aws: &Aws) -> Result<Finished, RunError> {
    let started_at = aws.clock().utc();
    let run_id = &new_id(started_at);
    let identity = &identity(request, aws).await?;
    let memory = &remember::recall(request, aws, identity).await;
    let stage = Stage { request, aws, identity, memory, run_id, started_at };
    let ((places, reading), registries) = join(discover(stage), list(stage)).await;
    let mut cleaned = clean(stage, registries, &places, reading).await;
    cleaned.warnings.extend(remember::remember(stage, &cleaned, &places).await);
    let explained = std::mem::take(&mut cleaned.explained);
    Ok(Finished { report: sum_up(stage, cleaned), explained })
}

/// Finds the images in use in every account and region. The returned places can be read again.
pub async fn discover(stage: Stage<'_>) -> (Places, Reading) {
    let Stage { request: Request { settings, limits, progress, .. }, aws, identity, memory, .. } = stage;
    let places = Places::open(aws, identity, settings.usage.clone(), limits.deadline).await;
    places.readers().for_each(|reader| reader.recall(memory.facts(&reader.place)));
    let reading = places.read(limits.deadline, *progress).await;
    telemetry::log_usage(&reading.usage);
    (places, reading)
}

/// Lists the repositories to clean in each registry.
pub async fn list(stage: Stage<'_>) -> Vec<ListedRegistry> {
    let Stage { request: Request { settings, limits, progress, .. }, aws, identity, .. } = stage;
    let places = identity.cleaned.iter().map(|region| Place::new(identity.account.clone(), region.clone()));
    join_all(places.map(async |place| {
        let registry = Registry::new(aws, place, &identity.principal, limits.deadline);
        let repositories = registry.list_repositories(&settings.repositories, *progress).await;
        ListedRegistry { place: registry.place, repositories }
    }))
    .await
}

/// Decides on every image of the registries. Carries the plan out if the run is live and the guard approves the plan.
pub async fn clean(stage: Stage<'_>, registries: Vec<ListedRegistry>, places: &Places, reading: Reading) -> Cleaned {
    let Stage { request, aws, .. } = stage;
    let planner::Planned { mut plan, warnings, explained } = planner::plan(stage, registries, &reading.usage).await;
    if let Some(reviewed) = request.reviewed {
        reviewed.restrict(&mut plan);
    }
    let freshness = request.limits.freshness;
    let age_limit = freshness.age_limit_of_first(&reading);
    let (plan, refusal, (usage, usage_age_limit)) = match request.settings.mode {
        Mode::DryRun => (plan, None, (reading.usage, age_limit)),
        Mode::Live => match claim(stage, approve(stage, plan, &reading.usage)).await {
            Ok(approved) => {
                remember::remember_use(stage, approved.plan(), &reading.usage).await;
                let usage = FreshUsage::new(places, reading, freshness, request.limits.deadline);
                let settings = planner::settings_again(&request.settings);
                let plan_again = async |outdated: Outdated<'_>, usage: &Usage| {
                    planner::plan_again(stage, &settings, outdated, usage).await
                };
                let known = (&stage.identity.principal, stage.memory);
                let applied = apply(aws, approved, &usage, known, &plan_again, request.progress).await;
                let latest = usage.into_latest();
                let refusal = applied.refusal_of_the_rest(&latest.0);
                (applied, refusal, latest)
            }
            Err((plan, refusal)) => (plan, Some(refusal), (reading.usage, age_limit)),
        },
    };
    let usage = std::sync::Arc::unwrap_or_clone(usage);
    Cleaned { plan, usage, usage_age_limit, refusal, warnings, explained }
}

/// Approves a plan whose clock was right, whose memory could be read, and that passes the guard.
fn approve(stage: Stage<'_>, plan: Plan, usage: &Usage) -> Result<ApprovedPlan, (Plan, Refusal)> {
    if let Some(skew) = stage.identity.clock_skew {
        return Err((plan, Refusal::ClockSkew(skew)));
    }
    match stage.memory.trouble() {
        Some(trouble) => Err((plan, Refusal::MemoryUnavailable(Box::new(trouble.clone())))),
        None => plan.approve(usage, stage.request.settings.max_deletions),
    }
}

/// Claims an approved plan that is saved in a memory, so that no other run carries it out.
async fn claim(
    stage: Stage<'_>,
    approved: Result<ApprovedPlan, (Plan, Refusal)>,
) -> Result<ApprovedPlan, (Plan, Refusal)> {
    let Stage { request, aws, run_id, .. } = stage;
    let approved = approved?;
    let Some(saved_at) = request.saved_at else { return Ok(approved) };
    let by = CarriedOut { run_id: run_id.clone(), at: aws.clock().utc() };
    let refusal = match claim_plan(saved_at, &by, aws, request.limits.deadline).await {
        Ok(Claim::Own) => return Ok(approved),
        Ok(Claim::Others(by)) => Refusal::PlanCarriedOut(by),
        Err(trouble) => Refusal::MemoryUnavailable(Box::new(trouble)),
    };
    Err((approved.into_plan(), refusal))
}

/// Makes the report on the registries.
#[must_use]
pub fn sum_up(stage: Stage<'_>, cleaned: Cleaned) -> Report {
    let Stage { request: Request { settings, sent_at, reviewed, .. }, aws, identity, memory, run_id, started_at } =
        stage;
    let Cleaned { plan, usage, usage_age_limit, refusal, warnings: of_repositories, explained: _ } = cleaned;
    let mut warnings = warning::of_usage(&usage, &plan);
    warnings.extend(reviewed.iter().flat_map(|reviewed| reviewed.warnings(&plan)));
    warnings.extend(of_repositories);
    warnings.extend(warning::of_plan(&plan));
    warnings.extend(warning::of_settings(settings));
    warnings.extend(warning::of_selection(settings, &plan));
    let is_dry = settings.mode == Mode::DryRun;
    warnings.extend(identity.clock_skew.filter(|_| is_dry).map(|skew| warning::clock_skew(&skew)));
    warnings.extend(sent_at.filter(|time| started_at - *time > OLD_EVENT).map(warning::old_event));
    warnings.extend(memory.trouble().filter(|_| is_dry).map(warning::memory_unavailable));
    let report = Report::new(Run {
        run_id: run_id.clone(),
        settings,
        started_at,
        finished_at: aws.clock().utc(),
        usage: &usage,
        usage_age_limit,
        memory: memory
            .location()
            .map(|location| MemorySummary { location: location.to_string(), since: memory.since() }),
        plan,
        refusal,
        warnings,
    });
    telemetry::log_report(&report);
    report
}

/// Finds the images in use, and does nothing else. Returns them with the account of the credentials.
///
/// # Errors
/// When it can't start.
pub async fn usage_alone(request: &Request<'_>, aws: &Aws) -> Result<(AccountId, Usage), RunError> {
    let identity = identity(request, aws).await?;
    let (memory, started_at) = (&Memory::none(), aws.clock().utc());
    let run_id = &new_id(started_at);
    let stage = Stage { request, aws, identity: &identity, memory, run_id, started_at };
    let (_, reading) = discover(stage).await;
    Ok((identity.account, std::sync::Arc::unwrap_or_clone(reading.usage)))
}

/// Lists the repositories to clean, and does nothing else. Inside, the error of a registry that can't be listed.
///
/// # Errors
/// When it can't start.
pub async fn repositories_alone(
    request: &Request<'_>,
    aws: &Aws,
) -> Result<Result<BTreeSet<RepositoryName>, CallError>, RunError> {
    let identity = &identity(request, aws).await?;
    let (memory, started_at) = (&Memory::none(), aws.clock().utc());
    let run_id = &new_id(started_at);
    let listed = list(Stage { request, aws, identity, memory, run_id, started_at }).await;
    let names = listed.into_iter().map(|registry| registry.repositories).collect::<Result<Vec<_>, _>>();
    Ok(names.map(|names| names.into_iter().flatten().collect()))
}

/// The id of a run that starts now.
fn new_id(started_at: DateTime<Utc>) -> RunId {
    RunId::new(started_at, fastrand::u16(..))
}

/// Determines the account, which must be the expected one.
async fn identity(request: &Request<'_>, aws: &Aws) -> Result<Identity, RunError> {
    request.progress.tell(News::Identifying);
    let identity = identify(&request.settings, aws, request.limits.deadline).await?;
    match request.other_account(&identity.account) {
        Some(expected) => Err(RunError::OtherAccount { expected: expected.clone(), actual: identity.account }),
        None => Ok(identity),
    }
}

impl From<NotIdentified> for RunError {
    fn from(error: NotIdentified) -> Self {
        match error {
            NotIdentified::AccountUnknown(error) => Self::AccountUnknown(error),
            NotIdentified::RegionsUnavailable(error) => Self::RegionsUnavailable(error),
        }
    }
}

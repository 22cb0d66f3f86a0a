//! From the repositories' names to the plan: each repository is read and decided on at once, so that only what is stale
//! stays in memory.

use std::collections::BTreeMap;

use ecr_cleanup_core::call_error::{CallError, Missing};
use ecr_cleanup_core::image::RepositoryName;
use ecr_cleanup_core::plan::{self, Plan, RegistryPlan, RepositoryPlan};
use ecr_cleanup_core::pull_time::IndexPulls;
use ecr_cleanup_core::repository::{Judged, Standards, Study};
use ecr_cleanup_core::usage::Usage;
use ecr_cleanup_core::wanted::ExplainedImage;
use ecr_cleanup_core::warning::{self, Notes, Warning};
use futures::stream::{self, StreamExt};

use super::{ListedRegistry, Request, Stage};
use crate::progress::News;
use crate::registry::{Contents, REGISTRIES_AT_ONCE, Registry, each_repository};
use crate::telemetry;

/// What was decided on all registries.
#[derive(Debug, Default)]
pub(super) struct Planned {
    pub(super) plan: Plan,
    /// What a person should know of the repositories.
    pub(super) warnings: Vec<Warning>,
    /// The image that is to be explained, if it is there.
    pub(super) explained: Option<ExplainedImage>,
}

/// What a repository came to.
struct PlannedRepository {
    plan: RepositoryPlan,
    warnings: Vec<Warning>,
    notes: Notes,
    explained: Option<ExplainedImage>,
}

/// Plans every repository, and tells what should be known of them.
pub(super) async fn plan(stage: Stage<'_>, registries: Vec<ListedRegistry>, usage: &Usage) -> Planned {
    let repositories = registries.iter().flat_map(|registry| registry.repositories.iter().flatten()).count();
    stage.request.progress.tell(News::ReadingRepositories { repositories });
    let mut planned: Vec<_> = stream::iter(registries.into_iter().enumerate())
        .map(async |(place, registry)| (place, plan_registry(stage, registry, usage).await))
        .buffer_unordered(REGISTRIES_AT_ONCE)
        .collect()
        .await;
    planned.sort_unstable_by_key(|(place, _)| *place);
    let mut all = Planned::default();
    for (_, Planned { plan, warnings, explained }) in planned {
        all.plan.registries.extend(plan.registries);
        all.warnings.extend(warnings);
        all.explained = all.explained.or(explained);
    }
    all
}

async fn plan_registry(stage: Stage<'_>, listed: ListedRegistry, usage: &Usage) -> Planned {
    let Stage { request, aws, identity, started_at } = stage;
    let ListedRegistry { place, repositories } = listed;
    let Request { settings, sent_at, limits, reviewed, wanted, .. } = request;
    let registry = Registry::new(aws, place.clone(), &identity.principal, limits.deadline);
    let now = sent_at.map_or(started_at, |time| time.min(started_at));
    let standards = Standards { place: &place, settings, usage, now, reviewed: *reviewed, wanted: *wanted };
    let (mut warnings, mut explained, mut notes) = (Vec::new(), None, Vec::new());
    let (repositories, missing) = match repositories {
        Ok(names) => {
            let plan = async |name| plan_repository(stage, &registry, standards, name).await;
            let planned = each_repository(names, plan).await;
            let mut plans = Vec::with_capacity(planned.len());
            for repository in planned.into_iter().flatten() {
                warnings.extend(repository.warnings);
                explained = explained.or(repository.explained);
                if repository.notes != Notes::default() {
                    notes.push((repository.plan.repository_name.clone(), repository.notes));
                }
                plans.push(repository.plan);
            }
            let missing = plan::add_not_found(&place, &mut plans, usage.known(), &settings.repositories);
            (Ok(plans), missing)
        }
        Err(error) => (Err(error), BTreeMap::new()),
    };
    let index_pulls = registry.into_index_pulls();
    let command = identity.principal.register_command(&place.region);
    warnings.extend(warning::of_registry(&place, index_pulls.as_ref(), command.as_ref(), &notes));
    let index_pulls = index_pulls.map_or_else(IndexPulls::default, |known| known.unwrap_or(IndexPulls::MayBeOwn));
    let plan = Plan { registries: vec![RegistryPlan { place, index_pulls, repositories, missing }] };
    Planned { plan, warnings, explained }
}

/// `None` where the repository was deleted in between.
async fn plan_repository(
    stage: Stage<'_>,
    registry: &Registry<'_>,
    standards: Standards<'_>,
    repository_name: RepositoryName,
) -> Option<PlannedRepository> {
    let (place, repository) = (&registry.place, &repository_name);
    let judged = judge(registry, standards, &repository_name).await;
    stage.request.progress.tell(News::RepositoryRead { place, repository });
    let (decided, warnings, notes, explained) = match judged {
        Err(error) if error.is_missing(Missing::Repository) => return None,
        Ok(Judged { decided, warnings, notes, explained }) => (Ok(decided), warnings, notes, explained),
        Err(error) => (Err(error), Vec::new(), Notes::default(), None),
    };
    let plan = RepositoryPlan { repository_name, decided };
    telemetry::log_repository(place, &plan);
    Some(PlannedRepository { plan, warnings, notes, explained })
}

/// Reads of a repository what its decision depends on, and decides.
async fn judge(registry: &Registry<'_>, standards: Standards<'_>, name: &RepositoryName) -> Result<Judged, CallError> {
    let Contents { images, unnamed } = registry.read_images(name).await?;
    let mut study = Study::begin(standards, name, images, unnamed);
    while let Some(need) = study.still_needs() {
        let answer = registry.answer(need, name, &study).await;
        study.learn(answer)?;
    }
    if let Some(decisions) = study.decisions() {
        telemetry::log_kept(&registry.place, name, study.images(), decisions);
    }
    Ok(study.conclude())
}

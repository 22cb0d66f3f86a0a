//! Plans repositories: reads each one and decides on it at once, so that memory keeps only its stale images.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::image::{Image, ImageDigest, RepositoryName};
use ecr_cleanup_core::plan::{self, Decided, Plan, RegistryPlan, RepositoryPlan, StaleImage};
use ecr_cleanup_core::pull_time::IndexPulls;
use ecr_cleanup_core::repository::{Judged, Standards, Study};
use ecr_cleanup_core::review::ReviewedPlan;
use ecr_cleanup_core::settings::Settings;
use ecr_cleanup_core::usage::Usage;
use ecr_cleanup_core::wanted::ExplainedImage;
use ecr_cleanup_core::warning::{self, Notes, Warning};
use futures::stream::{self, StreamExt};

use super::{ListedRegistry, Request, Stage};
use crate::apply::Outdated;
use crate::progress::News;
use crate::registry::{Contents, REGISTRIES_AT_ONCE, Registry, each_repository};
use crate::telemetry;

/// The decisions on all registries.
#[derive(Debug, Default)]
pub(super) struct Planned {
    pub(super) plan: Plan,
    /// The warnings about repositories.
    pub(super) warnings: Vec<Warning>,
    /// The image that is to be explained, in each registry that has it.
    pub(super) explained: Vec<ExplainedImage>,
}

/// The plan of a repository, with its warnings.
struct PlannedRepository {
    plan: RepositoryPlan,
    warnings: Vec<Warning>,
    notes: Notes,
    explained: Option<ExplainedImage>,
}

/// Plans every repository, and returns the plans with their warnings.
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
        all.explained.extend(explained);
    }
    all
}

async fn plan_registry(stage: Stage<'_>, listed: ListedRegistry, usage: &Usage) -> Planned {
    let Stage { request, aws, identity, memory, .. } = stage;
    let ListedRegistry { place, repositories } = listed;
    let Request { settings, limits, reviewed, wanted, .. } = request;
    let registry = Registry::new(aws, place.clone(), &identity.principal, limits.deadline);
    let registry = registry.remembering(memory.indexes(&place));
    let now = stage.now();
    let seen = memory.seen(&place);
    let standards = Standards { place: &place, settings, usage, seen, now, reviewed: *reviewed, wanted: *wanted };
    let (mut warnings, mut explained, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let (repositories, missing) = match repositories {
        Ok(names) => {
            let plan = async |name| plan_repository(stage, &registry, standards, name).await;
            let planned = each_repository(names, plan).await;
            let mut plans = Vec::with_capacity(planned.len());
            for repository in planned.into_iter().flatten() {
                warnings.extend(repository.warnings);
                explained.extend(repository.explained);
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
    // Memory distinguishes own readings from pulls, unless it is unknown whether ECR records them.
    let is_told_apart = memory.indexes(&place).is_some();
    let uncertain = index_pulls.as_ref().filter(|known| !is_told_apart || known.is_err());
    warnings.extend(warning::of_registry(&place, uncertain, command.as_ref(), &notes));
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
    let judged = read_and_judge(registry, standards, &repository_name).await;
    stage.request.progress.tell(News::RepositoryRead { place, repository });
    let (decided, warnings, notes, explained) = match judged {
        Err(error) if registry.is_gone(repository, &error).await => return None,
        Ok(Judged { decided, warnings, notes, explained }) => (Ok(decided), warnings, notes, explained),
        Err(error) => (Err(error), Vec::new(), Notes::default(), None),
    };
    let plan = RepositoryPlan { repository_name, decided };
    telemetry::log_repository(place, &plan);
    Some(PlannedRepository { plan, warnings, notes, explained })
}

/// Reads a repository, and once more if an index was deleted meanwhile. Images that only this index listed may be stale
/// by then.
async fn read_and_judge(
    registry: &Registry<'_>,
    standards: Standards<'_>,
    name: &RepositoryName,
) -> Result<Judged, CallError> {
    let mut contents = registry.read_images(name).await?;
    let mut study = study(registry, standards, name, &mut contents).await?;
    if study.is_outdated() {
        contents = registry.read_images(name).await?;
        study = self::study(registry, standards, name, &mut contents).await?;
    }
    registry.remember_what_is_there(name, study.images());
    Ok(conclude(registry, name, contents.read_at, study))
}

/// The settings for making a plan again: all settings that decide, without those that only add to the report.
pub(super) fn settings_again(settings: &Settings) -> Settings {
    Settings { audit_lifecycle_policies: false, exact_sizes: false, ..settings.clone() }
}

/// Plans a repository again with the latest usage. Images of the old plan that are still to be deleted are treated as a
/// reviewed plan.
///
/// # Errors
/// When it can't be read again.
pub(super) async fn plan_again(
    stage: Stage<'_>,
    settings: &Settings,
    outdated: Outdated<'_>,
    usage: &Usage,
) -> Result<Decided, CallError> {
    let Outdated { registry, repository, decided: Decided { stale, .. }, index_pulls } = outdated;
    let place = &registry.place;
    let reviewed = ReviewedPlan::of_the_rest(place, repository, stale);
    let (seen, now) = (stage.memory.seen(place), stage.now());
    let standards = Standards { place, settings, usage, seen, now, reviewed: Some(&reviewed), wanted: None };
    let mut contents = registry.read_images(repository).await?;
    discount_own_pulls(&mut contents.images, stale, index_pulls);
    let study = study(registry, standards, repository, &mut contents).await?;
    let Judged { decided, warnings, notes: _, explained: _ } = conclude(registry, repository, contents.read_at, study);
    telemetry::log_planned_again(place, repository, &warnings);
    Ok(decided)
}

/// The first plan has read the stale indexes. Where ECR may have recorded those reads as pulls, their pull times are
/// those of the first plan.
fn discount_own_pulls(images: &mut [Image], stale: &[StaleImage], index_pulls: IndexPulls) {
    let may_be_own = |image: &&StaleImage| !index_pulls.count(image.manifest);
    let pulled_at: HashMap<ImageDigest, Option<DateTime<Utc>>> =
        stale.iter().filter(may_be_own).map(|image| (image.image_digest, image.pulled_at)).collect();
    for image in images {
        if let Some(pulled_at) = pulled_at.get(&image.image_digest) {
            image.last_recorded_pull_time = *pulled_at;
        }
    }
}

/// Reads the facts, besides the images, on which the decisions on a repository depend.
async fn study<'a>(
    registry: &Registry<'_>,
    standards: Standards<'a>,
    name: &'a RepositoryName,
    contents: &mut Contents,
) -> Result<Study<'a>, CallError> {
    let mut study = Study::begin(standards, name, std::mem::take(&mut contents.images), contents.unnamed);
    while let Some(need) = study.still_needs() {
        let answer = registry.answer(need, name, &study).await;
        study.learn(answer)?;
    }
    Ok(study)
}

/// Decides on a repository with the facts read.
fn conclude(registry: &Registry<'_>, name: &RepositoryName, read_at: DateTime<Utc>, study: Study<'_>) -> Judged {
    if let Some(decisions) = study.decisions() {
        telemetry::log_kept(&registry.place, name, study.images(), decisions);
    }
    let judged = study.conclude();
    Judged { decided: Decided { read_at, ..judged.decided }, ..judged }
}

//! Makes a plan again that became too old before its turn. Only images that both plans list are deleted. The
//! description of a single image before its delete does not show its rank.

use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::image::RepositoryName;
use ecr_cleanup_core::plan::{Decided, ImageResult};
use ecr_cleanup_core::pull_time::IndexPulls;
use ecr_cleanup_core::usage::Usage;

use super::Stop;
use crate::discovery::FreshUsage;
use crate::registry::Registry;

/// A repository whose plan has become old.
#[derive(Clone, Copy, Debug)]
pub struct Outdated<'a> {
    /// Its registry.
    pub registry: &'a Registry<'a>,
    /// Its name.
    pub repository: &'a RepositoryName,
    /// Whether recorded pulls of indexes, since that plan, may be the run's own reads.
    pub index_pulls: IndexPulls,
    /// The old plan.
    pub decided: &'a Decided,
}

/// Makes the plan of a repository again if it is too old, and keeps the images that only one of both plans lists.
pub(super) async fn renew(
    decided: &mut Decided,
    (registry, index_pulls): (&Registry<'_>, IndexPulls),
    repository: &RepositoryName,
    usage: &FreshUsage<'_>,
    plan_again: &impl AsyncFn(Outdated<'_>, &Usage) -> Result<Decided, CallError>,
) -> Result<(), Stop> {
    let is_old = usage.clock().is_longer_ago(decided.read_at, usage.limits().plan_max_age);
    if is_old && decided.stale.iter().any(|image| image.result == ImageResult::Planned) {
        usage.deadline().allows_more()?;
        let now = usage.now().await?;
        let outdated = Outdated { registry, repository, index_pulls, decided };
        let again = plan_again(outdated, &now).await.map_err(Stop::of_reading)?;
        decided.hold_to(again);
    }
    Ok(())
}

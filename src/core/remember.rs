//! From a run's plan to the data that memory keeps: the images in use, and the stale images.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::NaiveDate;

use crate::image::RepositoryName;
use crate::memory::{Observed, Seen};
use crate::plan::{Decided, HeldImage, ImageResult, RegistryPlan, RepositoryPlan, StaleImage};
use crate::settings::RepositorySelection;
use crate::usage::{RepositoryUsage, Usage};

/// The maximum number of stale images per registry that memory keeps, because it has to stay small.
const STALE_REMEMBERED: usize = 100_000;

/// Adds the images of a registry that a run found in use or stale on this day. Repositories that it could not read don't
/// change.
pub fn observe(
    seen: &mut Seen,
    registry: &RegistryPlan,
    usage: &Usage,
    selection: &RepositorySelection,
    today: NaiveDate,
) {
    let Ok(repositories) = &registry.repositories else { return };
    seen.begin(today);
    let mut stale_left = STALE_REMEMBERED;
    for RepositoryPlan { repository_name, decided } in repositories {
        if let Ok(decided) = decided {
            let usage = usage.known().of_repository(&registry.place.account, repository_name);
            let observed = observed(decided, &usage, stale_left);
            stale_left -= observed.stale.len();
            seen.observe(repository_name, observed, today);
        }
    }
    if selection.is_everything() {
        let listed: BTreeSet<&RepositoryName> = repositories.iter().map(|it| &it.repository_name).collect();
        seen.forget_repositories(|name| listed.contains(name), today);
    }
}

/// The images in use, and at most `stale` of the stale images, the oldest first.
fn observed(decided: &Decided, usage: &RepositoryUsage<'_>, stale: usize) -> Observed {
    let in_use = decided.held.iter().chain(&decided.also_in_use);
    let used = in_use.map(|HeldImage { image_digest, held_by, .. }| (*image_digest, Arc::from(held_by.to_string())));
    // Images that came into use after the plan was made.
    let used_since = decided.stale.iter().filter_map(|StaleImage { image_digest, image_tags, .. }| {
        let holder = usage.holder(*image_digest, image_tags)?;
        Some((*image_digest, Arc::from(holder.to_string())))
    });
    let is_left = |image: &&StaleImage| match image.result {
        ImageResult::Deleted | ImageResult::Archived | ImageResult::Gone => false,
        ImageResult::Planned
        | ImageResult::Kept
        | ImageResult::Failed(_)
        | ImageResult::NotAllowed(_)
        | ImageResult::Skipped(_)
        | ImageResult::NotAttempted(_) => true,
    };
    Observed {
        used: used.chain(used_since).collect(),
        there: decided.used_before.to_vec(),
        stale: (decided.stale.iter().filter(is_left).take(stale))
            .map(|image| (image.image_digest, image.stale_since))
            .collect(),
    }
}

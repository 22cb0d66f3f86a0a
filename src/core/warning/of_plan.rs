//! What a plan gives to know once it was carried out.

use super::{About, Warning, WarningCode, counted};
use crate::plan::{ImageResult, Plan, RegistryPlan};

/// What the results of a plan give to know.
#[must_use]
pub fn of_plan(plan: &Plan) -> Vec<Warning> {
    plan.registries.iter().filter_map(not_allowed).collect()
}

/// The role may not delete from some repositories of a registry. The first by name tells why.
fn not_allowed(registry: &RegistryPlan) -> Option<Warning> {
    let RegistryPlan { place, index_pulls: _, repositories } = registry;
    let (mut images, mut of_repositories, mut first) = (0, 0, None);
    for repository in repositories.iter().flatten() {
        let stale = repository.decided.iter().flat_map(|decided| &decided.stale);
        let mut errors = stale.filter_map(|image| match &image.result {
            ImageResult::NotAllowed(error) => Some(error),
            ImageResult::Planned
            | ImageResult::Deleted
            | ImageResult::Archived
            | ImageResult::Gone
            | ImageResult::Kept
            | ImageResult::Failed(_)
            | ImageResult::Skipped(_)
            | ImageResult::NotAttempted(_) => None,
        });
        if let Some(error) = errors.next() {
            images += 1 + errors.count();
            of_repositories += 1;
            first = first.or(Some((&repository.repository_name, error)));
        }
    }
    let (first, error) = first?;
    let message = format!(
        "the role may not touch {} of {}, such as {first} in {}, so they stay: {error} (if they are to go, {}; if not, name them in excludeRepositories)",
        counted(images, "stale image", "stale images"),
        counted(of_repositories, "repository", "repositories"),
        place.region,
        error.remedy()
    );
    Some(Warning::new(WarningCode::NotAllowed, About::place(place), message))
}

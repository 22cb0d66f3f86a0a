//! Warnings from the results of a plan.

use super::{About, Warning, WarningCode, counted};
use crate::image::RepositoryName;
use crate::plan::{ImageResult, MissingBecause, MissingImage, Plan, RegistryPlan, RepositoryPlan};
use crate::wanted::ImageName;

/// The warnings from the results of a plan.
#[must_use]
pub fn of_plan(plan: &Plan) -> Vec<Warning> {
    plan.registries.iter().filter_map(not_allowed).chain(plan.registries.iter().flat_map(missing)).collect()
}

/// Images that are needed and can't be pulled: a warning per repository, and one for all repositories that do not exist.
fn missing(RegistryPlan { place, index_pulls: _, repositories, missing }: &RegistryPlan) -> Vec<Warning> {
    /// How many images the message has. The report has all of them.
    const SHOWN: usize = 3;
    let listed = |images: &[(&RepositoryName, &MissingImage)]| {
        let described = |(name, MissingImage { name: image, because, used_by }): &(&RepositoryName, &MissingImage)| {
            let image = match image {
                ImageName::Tag(tag) => format!("{name}:{tag}"),
                ImageName::Digest(digest) => format!("{name}@{digest}"),
            };
            let user = used_by.as_ref().map_or_else(String::new, |user| format!(", used by {user}"));
            format!("{image}: {}{user}", MissingBecause::sentence(because.code()))
        };
        let shown: Vec<String> = images.iter().take(SHOWN).map(described).collect();
        let more = images.len().checked_sub(SHOWN + 1).map(|more| format!("; and {} more", more + 1));
        shown.join("; ") + &more.unwrap_or_default()
    };
    let warning = |code, about, images: &[(&RepositoryName, &MissingImage)], what: &str| {
        let region = &place.region;
        let needed = counted(images.len(), "image", "images");
        let them = if images.len() == 1 { "it" } else { "them" };
        let message = format!(
            "{needed} in use can't be pulled from {what} in {region}, so the next start of a workload with {them} fails. {}. Push {them} again, or change the workloads.",
            listed(images)
        );
        (!images.is_empty()).then(|| Warning::new(code, about, message))
    };
    let mut warnings = Vec::new();
    for RepositoryPlan { repository_name, decided } in repositories.iter().flatten() {
        let images = decided.iter().flat_map(|decided| &decided.missing).map(|image| (repository_name, image));
        let about = About::repository(place, repository_name);
        warnings.extend(warning(WarningCode::Missing, about, &images.collect::<Vec<_>>(), repository_name.as_str()));
    }
    let of_none: Vec<_> =
        missing.iter().flat_map(|(name, images)| images.iter().map(move |image| (name, image))).collect();
    warnings.extend(warning(
        WarningCode::MissingRepository,
        About::place(place),
        &of_none,
        "repositories that don't exist",
    ));
    warnings
}

/// The role has no permission to delete or archive in some repositories of a registry. The message has the error of the
/// first repository by name.
fn not_allowed(registry: &RegistryPlan) -> Option<Warning> {
    let RegistryPlan { place, index_pulls: _, repositories, missing: _ } = registry;
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
        "the role isn't allowed to delete or archive {} in {}, such as {first} in {}: {error}. Kept them. To delete them, {}. To exclude them, add the repositories to excludeRepositories.",
        counted(images, "stale image", "stale images"),
        counted(of_repositories, "repository", "repositories"),
        place.region,
        error.remedy()
    );
    Some(Warning::new(WarningCode::NotAllowed, About::place(place), message).because_of(&**error))
}

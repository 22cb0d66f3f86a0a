//! What a plan gives to know once it was carried out.

use super::{About, Warning, WarningCode, counted};
use crate::image::RepositoryName;
use crate::plan::{ImageResult, MissingBecause, MissingImage, Plan, RegistryPlan, RepositoryPlan};
use crate::wanted::ImageName;

/// What the results of a plan give to know.
#[must_use]
pub fn of_plan(plan: &Plan) -> Vec<Warning> {
    plan.registries.iter().filter_map(not_allowed).chain(plan.registries.iter().flat_map(missing)).collect()
}

/// Images that are needed and can't be pulled, by repository; those of repositories that do not exist together.
fn missing(RegistryPlan { place, index_pulls: _, repositories, missing }: &RegistryPlan) -> Vec<Warning> {
    /// The others are in the report.
    const SHOWN: usize = 3;
    let listed = |images: &[(&RepositoryName, &MissingImage)]| {
        let tell = |(name, MissingImage { name: image, because, used_by }): &(&RepositoryName, &MissingImage)| {
            let image = match image {
                ImageName::Tag(tag) => format!("{name}:{tag}"),
                ImageName::Digest(digest) => format!("{name}@{digest}"),
            };
            let user = used_by.as_ref().map_or_else(String::new, |user| format!(", used by {user}"));
            format!("{image}: {}{user}", MissingBecause::sentence(because.code()))
        };
        let told: Vec<String> = images.iter().take(SHOWN).map(tell).collect();
        let more = images.len().checked_sub(SHOWN + 1).map(|more| format!("; and {} more", more + 1));
        told.join("; ") + &more.unwrap_or_default()
    };
    let told = |code, about, images: &[(&RepositoryName, &MissingImage)], what: &str| {
        let region = &place.region;
        let needed = counted(images.len(), "image", "images");
        let message = format!(
            "{needed} in use can't be pulled from {what} in {region}, so the next start from it fails. {}. Push the image again, or change what uses it.",
            listed(images)
        );
        (!images.is_empty()).then(|| Warning::new(code, about, message))
    };
    let mut warnings = Vec::new();
    for RepositoryPlan { repository_name, decided } in repositories.iter().flatten() {
        let images = decided.iter().flat_map(|decided| &decided.missing).map(|image| (repository_name, image));
        let about = About::repository(place, repository_name);
        warnings.extend(told(WarningCode::Missing, about, &images.collect::<Vec<_>>(), repository_name.as_str()));
    }
    let of_none: Vec<_> =
        missing.iter().flat_map(|(name, images)| images.iter().map(move |image| (name, image))).collect();
    warnings.extend(told(
        WarningCode::MissingRepository,
        About::place(place),
        &of_none,
        "repositories that don't exist",
    ));
    warnings
}

/// The role may not delete from some repositories of a registry. The first by name tells why.
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
        "the role may not touch {} of {}, such as {first} in {}, so they stay: {error} (if they are to go, {}; if not, name them in excludeRepositories)",
        counted(images, "stale image", "stale images"),
        counted(of_repositories, "repository", "repositories"),
        place.region,
        error.remedy()
    );
    Some(Warning::new(WarningCode::NotAllowed, About::place(place), message).because_of(&**error))
}

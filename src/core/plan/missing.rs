//! Images that a workload or a kept index needs and that can't be pulled: the next start from one of them fails.
//!
//! What can't be told is not told: nothing of a repository that was not read, or that the settings leave out. A tag counts
//! in the region that the workload names, since that is where it pulls from.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Decided, HeldImage, RepositoryPlan};
use crate::account::Place;
use crate::image::{Image, ImageDigest, ImageStatus, RepositoryName};
use crate::manifest::Manifests;
use crate::reference::{EcrReference, ImageReference};
use crate::retention::{Decision, Decisions, KeepReason};
use crate::settings::RepositorySelection;
use crate::usage::{Holder, RepositoryUsage, UsageSnapshot};
use crate::wanted::ImageName;

/// An image that is needed and can't be pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingImage {
    /// As who uses it names it.
    pub name: ImageName,
    /// Why it can't be pulled.
    pub because: MissingBecause,
    /// Who uses it, or the index that names it, the first by kind and name; `None` where only that index is kept.
    pub used_by: Option<Arc<Holder>>,
}

/// Why an image can't be pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MissingBecause {
    /// Its repository does not have it.
    NotFound,
    /// Its registry does not have its repository.
    RepositoryNotFound,
    /// It is in archive storage.
    Archived,
    /// This index, which stays, names it, and its repository does not have it.
    ChildNotFound(ImageDigest),
}

/// What workloads name, by repository, each with the first that does.
type Named<'a> = BTreeMap<&'a RepositoryName, BTreeMap<ImageName, &'a Arc<Holder>>>;

impl MissingBecause {
    /// As the report says it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotFound => "notFound",
            Self::RepositoryNotFound => "repositoryNotFound",
            Self::Archived => "archived",
            Self::ChildNotFound(_) => "childNotFound",
        }
    }

    /// The same in words.
    #[must_use]
    pub fn sentence(code: &str) -> &str {
        match code {
            "notFound" => "doesn't exist",
            "repositoryNotFound" => "the repository doesn't exist",
            "archived" => "is archived",
            "childNotFound" => "doesn't exist, and a kept index names it",
            code => code,
        }
    }
}

impl MissingImage {
    /// Of a repository's images, those in use that are archived, and the child images that kept indexes lack.
    #[must_use]
    pub fn among(
        images: &[Image],
        manifests: &Manifests,
        decisions: &Decisions,
        usage: &RepositoryUsage<'_>,
    ) -> Vec<Self> {
        let user = |image: &Image| usage.holder(image.image_digest, &image.image_tags).cloned();
        let archived = images.iter().filter(|image| image.image_status == ImageStatus::Archived);
        let archived = archived.filter_map(|image| {
            let (name, because) = (ImageName::Digest(image.image_digest), MissingBecause::Archived);
            Some(Self { name, because, used_by: Some(user(image)?) })
        });
        let mut missing: Vec<Self> = archived.collect();
        let is_kept_index = |(image, decision): &(&Image, &Decision)| {
            image.manifest.may_name_others() && matches!(decision, Decision::Keep { .. })
        };
        let indexes: Vec<_> = images.iter().zip(decisions.each()).filter(is_kept_index).collect();
        if !indexes.is_empty() && !manifests.are_assumed() {
            let here: HashSet<ImageDigest> = images.iter().map(|image| image.image_digest).collect();
            for (image, _) in indexes {
                let children = manifests.children_of(image.image_digest).unwrap_or_default();
                missing.extend(children.iter().filter(|child| !here.contains(child)).map(|child| Self {
                    name: ImageName::Digest(*child),
                    because: MissingBecause::ChildNotFound(image.image_digest),
                    used_by: user(image),
                }));
            }
        }
        missing.sort_unstable_by(|a, b| (&a.name, a.because).cmp(&(&b.name, b.because)));
        missing
    }
}

/// Adds to each repository of a registry what workloads name of it and it does not have. What they name of repositories
/// that do not exist is returned. The repositories are in the order of their names.
#[must_use = "what it returns is told of the registry"]
pub fn add_not_found(
    place: &Place,
    repositories: &mut [RepositoryPlan],
    usage: &UsageSnapshot,
    selection: &RepositorySelection,
) -> BTreeMap<RepositoryName, Vec<MissingImage>> {
    let mut without_repository = BTreeMap::new();
    for (repository, images) in named(place, usage) {
        match repositories.binary_search_by(|planned| planned.repository_name.cmp(repository)) {
            Ok(at) => {
                if let Ok(decided) = &mut repositories[at].decided {
                    let not_found = not_found(decided, images);
                    decided.missing.extend(not_found);
                }
            }
            Err(_) if selection.contains(repository) => {
                let missing = images.into_iter().map(|(name, user)| MissingImage {
                    name,
                    because: MissingBecause::RepositoryNotFound,
                    used_by: Some(Arc::clone(user)),
                });
                without_repository.insert(repository.clone(), missing.collect());
            }
            // It may be there: nobody looked.
            Err(_) => {}
        }
    }
    without_repository
}

/// What workloads name of a registry. With a digest the tag beside it does not matter: nobody pulls by it.
fn named<'a>(place: &Place, usage: &'a UsageSnapshot) -> Named<'a> {
    let mut named = Named::new();
    for (reference, holders) in usage.references() {
        let (ImageReference::Ecr(ecr), Some(first)) = (reference, holders.first()) else { continue };
        let EcrReference { registry_id, region, repository_name, image_digest, .. } = ecr;
        let tag = ecr.used_tag().map(|tag| ImageName::Tag(tag.into()));
        let (true, Some(name)) =
            (*registry_id == place.account && *region == place.region, image_digest.map(ImageName::Digest).or(tag))
        else {
            continue;
        };
        let user = named.entry(repository_name).or_default().entry(name).or_insert(first);
        *user = first.min(*user);
    }
    named
}

fn not_found(decided: &Decided, named: BTreeMap<ImageName, &Arc<Holder>>) -> Vec<MissingImage> {
    // An image that ECR told next to nothing of may have any tag.
    if decided.kept_because.iter().any(|(reason, _)| reason == KeepReason::Unknown) {
        return Vec::new();
    }
    // What is named and is there is in use.
    let in_use = || decided.held.iter().chain(&decided.also_in_use);
    let digests: HashSet<ImageDigest> = in_use().map(|image| image.image_digest).collect();
    let tags: HashSet<&str> =
        in_use().flat_map(|HeldImage { image_tags, .. }| image_tags.iter().map(|tag| &**tag)).collect();
    let is_here = |name: &ImageName| match name {
        ImageName::Tag(tag) => tags.contains(&**tag),
        ImageName::Digest(digest) => digests.contains(digest),
    };
    let missing = named.into_iter().filter(|(name, _)| !is_here(name));
    let missing = missing.map(|(name, user)| MissingImage {
        name,
        because: MissingBecause::NotFound,
        used_by: Some(Arc::clone(user)),
    });
    missing.collect()
}

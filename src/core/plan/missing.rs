//! Missing images: a workload or a kept index needs them, and they can't be pulled. The next start from one of them fails.
//!
//! Repositories that were not read, or that the settings exclude, are left out. A tag counts only in the region of the
//! workload's reference, since the workload pulls from there.

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
    /// The tag or digest in the reference.
    pub name: ImageName,
    /// Why it can't be pulled.
    pub because: MissingBecause,
    /// The workload that uses it or its parent index; the first by kind and name if there are several. `None` if no
    /// workload uses the index.
    pub used_by: Option<Arc<Holder>>,
}

/// Why an image can't be pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MissingBecause {
    /// It does not exist in its repository.
    NotFound,
    /// Its repository does not exist.
    RepositoryNotFound,
    /// It is in archive storage.
    Archived,
    /// It is a child image of this kept index and does not exist in the repository.
    ChildNotFound(ImageDigest),
}

/// The tags and digests in references, by repository, each with the first workload.
type Named<'a> = BTreeMap<&'a RepositoryName, BTreeMap<ImageName, &'a Arc<Holder>>>;

impl MissingBecause {
    /// Its name in the report.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotFound => "notFound",
            Self::RepositoryNotFound => "repositoryNotFound",
            Self::Archived => "archived",
            Self::ChildNotFound(_) => "childNotFound",
        }
    }

    /// The reason with this name, in words.
    #[must_use]
    pub fn sentence(code: &str) -> &str {
        match code {
            "notFound" => "doesn't exist",
            "repositoryNotFound" => "the repository doesn't exist",
            "archived" => "is archived",
            "childNotFound" => "doesn't exist, and is a child image of a kept index",
            code => code,
        }
    }
}

impl MissingImage {
    /// The images in use of a repository that are archived, and the child images of kept indexes that do not exist.
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

/// Adds to each repository of a registry the images in use that do not exist. Returns the images in use in repositories that
/// do not exist. The repositories must be in the order of their names.
#[must_use = "the returned images belong in the registry's plan"]
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
            // The repository was not listed, so it may exist.
            Err(_) => {}
        }
    }
    without_repository
}

/// The references to a registry. If a reference has a digest, its tag is ignored, since clients pull by the digest.
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
    // An image for which ECR returned too little data may have any tag.
    if decided.kept_because.iter().any(|(reason, _)| reason == KeepReason::Unknown) {
        return Vec::new();
    }
    // A referenced image that exists is in use, and the plan lists all images in use.
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

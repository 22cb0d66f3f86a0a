//! A plan that a person has reviewed, and how a later run keeps to it: what was reviewed may go, and nothing else.
//!
//! Pure. The later run discovers usage and plans anew by the same settings; this takes from its plan what was not
//! reviewed, and tells what was reviewed and is not stale any more.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::account::{AccountId, Region};
use crate::image::{Image, ImageDigest, RepositoryName};
use crate::plan::{ImageResult, Plan, RegistryPlan, SkipReason, StaleImage};
use crate::policy::Action;
use crate::retention::{Decision, Decisions, KeepReason};
use crate::usage::{Holder, RepositoryUsage};
use crate::warning::Warning;

/// The images that a person has agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewedPlan {
    /// The account whose registries it is for.
    pub registry_id: AccountId,
    /// The images by region and repository.
    pub regions: BTreeMap<Region, BTreeMap<RepositoryName, ReviewedImages>>,
}

/// The images of a repository that may go.
pub type ReviewedImages = BTreeMap<ImageDigest, ReviewedImage>;

/// An image as it was when it was reviewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewedImage {
    /// Its tags, in order.
    pub image_tags: Box<[Box<str>]>,
    /// When it was pushed.
    pub image_pushed_at: Option<DateTime<Utc>>,
    /// What was to become of it.
    pub action: Action,
}

/// An image that was reviewed and is not stale any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SparedImage {
    /// What names it.
    pub image_digest: ImageDigest,
    /// Its tags: those it has now, or had when it was reviewed.
    pub image_tags: Box<[Box<str>]>,
    /// Why it does not go.
    pub why: Spared,
}

/// Why an image that was reviewed does not go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spared {
    /// It stays, for this reason first.
    Kept(KeepReason, Option<Arc<Holder>>),
    /// It is gone already.
    Gone,
}

impl ReviewedPlan {
    /// What is planned to go, as it would be reviewed.
    #[must_use]
    pub fn of(registry_id: AccountId, plan: &Plan) -> Self {
        let mut regions: BTreeMap<Region, BTreeMap<RepositoryName, ReviewedImages>> = BTreeMap::new();
        for RegistryPlan { registry_id: _, region, index_pulls: _, repositories } in &plan.registries {
            for repository in repositories.iter().flatten() {
                let stale = repository.decided.iter().flat_map(|decided| &decided.stale);
                let images: ReviewedImages =
                    stale.map(|image| (image.image_digest, ReviewedImage::of(image))).collect();
                if !images.is_empty() {
                    let of_region = regions.entry(region.clone()).or_default();
                    of_region.insert(repository.repository_name.clone(), images);
                }
            }
        }
        Self { registry_id, regions }
    }

    /// What was reviewed of a repository.
    #[must_use]
    pub fn of_repository(&self, region: &Region, repository: &RepositoryName) -> Option<&ReviewedImages> {
        self.regions.get(region)?.get(repository)
    }

    /// Takes from a plan what was not reviewed, and what hangs on that: it is skipped. What it then holds may be
    /// approved.
    pub fn restrict(&self, plan: &mut Plan) {
        for RegistryPlan { registry_id, region, index_pulls: _, repositories } in &mut plan.registries {
            for repository in repositories.iter_mut().flatten() {
                // Another account's repositories were never reviewed, whatever their names.
                let is_reviewed = *registry_id == self.registry_id;
                let reviewed = self.of_repository(region, &repository.repository_name).filter(|_| is_reviewed);
                if let Ok(decided) = &mut repository.decided {
                    restrict(&mut decided.stale, reviewed);
                }
            }
        }
    }

    /// The regions that were reviewed and are not planned any more, and the repositories that do not exist any more.
    #[must_use]
    pub fn warnings(&self, plan: &Plan) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (region, repositories) in &self.regions {
            let Some(registry) = plan.registries.iter().find(|registry| registry.region == *region) else {
                let images = repositories.values().map(ReviewedImages::len).sum();
                warnings.push(Warning::ReviewedRegionLeftOut(region.clone(), images));
                continue;
            };
            // What could not be listed is told as that.
            let Ok(planned) = &registry.repositories else { continue };
            for (name, images) in repositories {
                // A registry may have 100,000 repositories, and they are in the order of their names.
                if planned.binary_search_by(|repository| repository.repository_name.cmp(name)).is_err() {
                    warnings.push(Warning::ReviewedRepositoryGone(region.clone(), name.clone(), images.len()));
                }
            }
        }
        warnings
    }
}

impl ReviewedImage {
    fn of(image: &StaleImage) -> Self {
        let StaleImage { image_tags, image_pushed_at, action, .. } = image;
        Self { image_tags: image_tags.clone(), image_pushed_at: *image_pushed_at, action: *action }
    }
}

/// Those of the reviewed images of a repository that are not stale any more.
#[must_use]
pub fn spared(
    reviewed: &ReviewedImages,
    images: &[Image],
    decisions: &Decisions,
    usage: &RepositoryUsage<'_>,
) -> Vec<SparedImage> {
    let places: HashMap<ImageDigest, usize> =
        images.iter().enumerate().map(|(place, image)| (image.image_digest, place)).collect();
    let spare = |(digest, reviewed): (&ImageDigest, &ReviewedImage)| {
        let (image_tags, why) = match places.get(digest).map(|place| (&images[*place], &decisions.each()[*place])) {
            None => (&reviewed.image_tags, Spared::Gone),
            Some((image, Decision::Keep { reasons, candidate: _ })) => {
                let holder = usage.holder(image.image_digest, &image.image_tags);
                (&image.image_tags, Spared::Kept(reasons.first(), holder.cloned()))
            }
            Some((_, Decision::Delete(_) | Decision::Archive(_))) => return None,
        };
        Some(SparedImage { image_digest: *digest, image_tags: image_tags.clone(), why })
    };
    reviewed.iter().filter_map(spare).collect()
}

fn restrict(stale: &mut [StaleImage], reviewed: Option<&ReviewedImages>) {
    for image in stale.iter_mut() {
        if let Some(because) = difference(image, reviewed.and_then(|reviewed| reviewed.get(&image.image_digest))) {
            image.result = ImageResult::Skipped(because);
        }
    }
    // What belongs to an image that stays, stays: over any number of steps.
    let places: HashMap<ImageDigest, usize> =
        stale.iter().enumerate().map(|(place, image)| (image.image_digest, place)).collect();
    let mut followers: HashMap<usize, Vec<usize>> = HashMap::new();
    for (place, image) in stale.iter().enumerate() {
        for holder in image.follows().iter().filter_map(|holder| places.get(holder)) {
            followers.entry(*holder).or_default().push(place);
        }
    }
    let is_planned = |image: &StaleImage| image.result == ImageResult::Planned;
    let mut left: Vec<usize> = (0..stale.len()).filter(|place| !is_planned(&stale[*place])).collect();
    while let Some(place) = left.pop() {
        for follower in followers.remove(&place).unwrap_or_default() {
            if is_planned(&stale[follower]) {
                stale[follower].result = ImageResult::Skipped(SkipReason::HolderKept);
                left.push(follower);
            }
        }
    }
}

/// Why an image is not the one that was reviewed; `None` if it is.
fn difference(image: &StaleImage, reviewed: Option<&ReviewedImage>) -> Option<SkipReason> {
    let Some(ReviewedImage { image_tags, image_pushed_at, action }) = reviewed else {
        return Some(SkipReason::NotReviewed);
    };
    if *image_tags != image.image_tags {
        return Some(SkipReason::TagsChanged);
    }
    if *image_pushed_at != image.image_pushed_at {
        return Some(SkipReason::Changed);
    }
    (*action != image.action).then_some(SkipReason::OtherAction)
}

#[cfg(test)]
mod tests;

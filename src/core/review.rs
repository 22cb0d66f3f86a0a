//! A plan that a person has reviewed: a later run may delete its images and no others.
//!
//! Pure. The later run reads usage again and makes a new plan by the same settings. This module removes the images from the
//! new plan that were not reviewed, and lists the reviewed images that are no longer stale.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};

use crate::account::{AccountId, Place};
use crate::image::{Image, ImageDigest, RepositoryName};
use crate::plan::{Decided, ImageResult, NoLongerStale, NotStaleBecause, Plan, RegistryPlan, SkipReason, StaleImage};
use crate::policy::Action;
use crate::retention::{Decision, Decisions};
use crate::usage::RepositoryUsage;
use crate::warning::{About, Warning, WarningCode, counted};

/// The images that a person has approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewedPlan {
    /// The account of the credentials with which it was made.
    pub account: AccountId,
    /// The images by registry and repository.
    pub registries: BTreeMap<Place, BTreeMap<RepositoryName, ReviewedImages>>,
}

/// The approved images of a repository.
pub type ReviewedImages = BTreeMap<ImageDigest, ReviewedImage>;

/// An image at the time of the review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewedImage {
    /// Its tags, in order.
    pub image_tags: Box<[Box<str>]>,
    /// When it was pushed.
    pub image_pushed_at: Option<DateTime<Utc>>,
    /// The approved action.
    pub action: Action,
}

impl ReviewedPlan {
    /// The stale images of a plan.
    #[must_use]
    pub fn of(account: AccountId, plan: &Plan) -> Self {
        let mut registries: BTreeMap<Place, BTreeMap<RepositoryName, ReviewedImages>> = BTreeMap::new();
        for RegistryPlan { place, index_pulls: _, repositories, missing: _ } in &plan.registries {
            for repository in repositories.iter().flatten() {
                let stale = repository.decided.iter().flat_map(|decided| &decided.stale);
                let images: ReviewedImages =
                    stale.map(|image| (image.image_digest, ReviewedImage::of(image))).collect();
                if !images.is_empty() {
                    let of_registry = registries.entry(place.clone()).or_default();
                    of_registry.insert(repository.repository_name.clone(), images);
                }
            }
        }
        Self { account, registries }
    }

    /// The stale images of one repository that have no result yet.
    #[must_use]
    pub fn of_the_rest(place: &Place, repository: &RepositoryName, stale: &[StaleImage]) -> Self {
        let repositories = BTreeMap::from([(repository.clone(), remaining(stale))]);
        Self { account: place.account.clone(), registries: BTreeMap::from([(place.clone(), repositories)]) }
    }

    /// The reviewed images of a repository.
    #[must_use]
    pub fn of_repository(&self, place: &Place, repository: &RepositoryName) -> Option<&ReviewedImages> {
        self.registries.get(place)?.get(repository)
    }

    /// Marks the images of a plan that were not reviewed as skipped, together with their child images and attached
    /// artifacts. The other images may then be approved.
    pub fn restrict(&self, plan: &mut Plan) {
        for RegistryPlan { place, index_pulls: _, repositories, missing: _ } in &mut plan.registries {
            for repository in repositories.iter_mut().flatten() {
                let reviewed = self.of_repository(place, &repository.repository_name);
                if let Ok(decided) = &mut repository.decided {
                    restrict(&mut decided.stale, reviewed);
                }
            }
        }
    }

    /// Warnings for reviewed regions that are no longer cleaned and reviewed repositories that no longer exist.
    #[must_use]
    pub fn warnings(&self, plan: &Plan) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (place, repositories) in &self.registries {
            let Some(registry) = plan.registries.iter().find(|registry| registry.place == *place) else {
                warnings.push(left_out(place, repositories.values().map(ReviewedImages::len).sum()));
                continue;
            };
            // A failed listing is an error of its own.
            let Ok(planned) = &registry.repositories else { continue };
            for (name, images) in repositories {
                // A registry may have 100,000 repositories, and they are in the order of their names.
                if planned.binary_search_by(|repository| repository.repository_name.cmp(name)).is_err() {
                    warnings.push(gone(place, name, images.len()));
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

impl Decided {
    /// Keeps the images that a new plan for the same repository keeps. The new plan was made with the remaining images as
    /// its reviewed plan, so it also has those that no longer exist.
    pub fn hold_to(&mut self, mut again: Self) {
        restrict(&mut again.stale, Some(&remaining(&self.stale)));
        let is_gone = |image: &&NoLongerStale| image.why == NotStaleBecause::Gone;
        let gone: HashSet<ImageDigest> =
            again.no_longer_stale.iter().filter(is_gone).map(|image| image.image_digest).collect();
        let mut stale: HashMap<ImageDigest, StaleImage> =
            again.stale.into_iter().map(|image| (image.image_digest, image)).collect();
        for image in self.stale.iter_mut().filter(|image| image.result == ImageResult::Planned) {
            match stale.remove(&image.image_digest) {
                // The time of the last pull is that of the first plan, so a pull between the plans counts as a change.
                Some(StaleImage { result: ImageResult::Planned, edges, .. }) => image.edges = edges,
                Some(StaleImage { result, .. }) => image.result = result,
                None if gone.contains(&image.image_digest) => image.result = ImageResult::Gone,
                None => image.result = ImageResult::Skipped(SkipReason::KeptByNewPlan),
            }
        }
        self.read_at = again.read_at;
        self.kept_indexes = again.kept_indexes;
        // The same for the replicas: the data of the first plan counts, if there is any.
        for copies in &mut again.copies {
            let before = self.copies.iter().find(|before| before.place == copies.place);
            copies.images.extend(before.into_iter().flat_map(|before| before.images.clone()));
        }
        self.copies = again.copies;
        self.unfetched = self.unfetched.take().or(again.unfetched);
    }
}

/// The stale images that have no result yet.
fn remaining(stale: &[StaleImage]) -> ReviewedImages {
    let left = stale.iter().filter(|image| image.result == ImageResult::Planned);
    left.map(|image| (image.image_digest, ReviewedImage::of(image))).collect()
}

/// A region of a reviewed plan is no longer cleaned. The plan has this number of images there.
fn left_out(place: &Place, images: usize) -> Warning {
    let message = format!(
        "{} is no longer cleaned: it is disabled, or the plan's settings exclude it. Kept {} of the reviewed plan there.",
        place.region,
        counted(images, "image", "images")
    );
    Warning::new(WarningCode::ReviewedRegionLeftOut, About::place(place), message)
}

/// A repository of a reviewed plan no longer exists. The plan has this number of images there.
fn gone(place: &Place, repository: &RepositoryName, images: usize) -> Warning {
    let message = format!(
        "repository {repository} in {} no longer exists. The reviewed plan has {} there.",
        place.region,
        counted(images, "image", "images")
    );
    Warning::new(WarningCode::ReviewedRepositoryGone, About::repository(place, repository), message)
}

/// The reviewed images of a repository that are no longer stale.
#[must_use]
pub fn no_longer_stale(
    reviewed: &ReviewedImages,
    images: &[Image],
    decisions: &Decisions,
    usage: &RepositoryUsage<'_>,
) -> Vec<NoLongerStale> {
    let places: HashMap<ImageDigest, usize> =
        images.iter().enumerate().map(|(place, image)| (image.image_digest, place)).collect();
    let not_stale = |(digest, reviewed): (&ImageDigest, &ReviewedImage)| {
        let (image_tags, why) = match places.get(digest).map(|place| (&images[*place], &decisions.each()[*place])) {
            None => (&reviewed.image_tags, NotStaleBecause::Gone),
            Some((image, Decision::Keep { reasons, candidate: _ })) => {
                let holder = usage.holder(image.image_digest, &image.image_tags);
                (&image.image_tags, NotStaleBecause::Kept(reasons.first(), holder.cloned()))
            }
            Some((_, Decision::Delete(_) | Decision::Archive(_))) => return None,
        };
        Some(NoLongerStale { image_digest: *digest, image_tags: image_tags.clone(), why })
    };
    reviewed.iter().filter_map(not_stale).collect()
}

fn restrict(stale: &mut [StaleImage], reviewed: Option<&ReviewedImages>) {
    for image in stale.iter_mut() {
        if let Some(because) = difference(image, reviewed.and_then(|reviewed| reviewed.get(&image.image_digest))) {
            image.result = ImageResult::Skipped(because);
        }
    }
    // Child images and attached artifacts of a skipped image are skipped too, over any number of steps.
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
                stale[follower].result = ImageResult::Skipped(SkipReason::OwnerKept);
                left.push(follower);
            }
        }
    }
}

/// How an image differs from the reviewed one; `None` if it does not.
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

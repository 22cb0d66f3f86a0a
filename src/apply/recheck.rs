//! The last check of images before they are deleted: whether they are still as planned.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::image::{Image, ImageDigest, RepositoryName};
use ecr_cleanup_core::plan::{ImageResult, SkipReason, StaleImage};
use ecr_cleanup_core::pull_time::IndexPulls;
use ecr_cleanup_core::usage::RepositoryUsage;

use crate::clock::{Clock, Instant};
use crate::registry::{Described, IMAGES_PER_CALL, Registry};

/// The latest descriptions of the images of a repository, with their times.
pub(super) struct LastLooks<'a> {
    clock: &'a Clock,
    images: HashMap<ImageDigest, (Instant, Look)>,
}

/// The latest answer for an image.
pub(super) enum Look {
    Described(Image),
    Gone,
    /// ECR's answer did not contain the requested image.
    LeftOut,
}

impl<'a> LastLooks<'a> {
    /// No descriptions yet.
    pub(super) fn new(clock: &'a Clock) -> Self {
        Self { clock, images: HashMap::new() }
    }

    /// The images whose descriptions are missing or older than `age`.
    pub(super) fn older(&self, digests: impl Iterator<Item = ImageDigest>, age: Duration) -> BTreeSet<ImageDigest> {
        // A deleted image is not requested again in the same batch, because it would fail the call for the others.
        let is_young = |digest: &ImageDigest| {
            self.images
                .get(digest)
                .is_some_and(|(at, look)| matches!(look, Look::Gone) || self.clock.age_of(*at) <= age)
        };
        digests.filter(|digest| !is_young(digest)).collect()
    }

    /// Removes images that are done, and deleted images, which may have been pushed again.
    pub(super) fn forget(&mut self, done: impl Iterator<Item = ImageDigest>) {
        done.for_each(|digest| _ = self.images.remove(&digest));
        self.images.retain(|_, (_, look)| !matches!(look, Look::Gone));
    }

    /// The latest answer for an image.
    pub(super) fn seen(&self, digest: ImageDigest) -> Option<&Look> {
        self.images.get(&digest).map(|(_, look)| look)
    }

    /// Notes that none of these images exists.
    pub(super) fn take_for_gone(&mut self, digests: &BTreeSet<ImageDigest>) {
        let now = self.clock.now();
        self.images.extend(digests.iter().map(|digest| (*digest, (now, Look::Gone))));
    }

    /// Describes images once more.
    ///
    /// # Errors
    /// When they can't be described.
    pub(super) async fn look_at(
        &mut self,
        digests: &BTreeSet<ImageDigest>,
        registry: &Registry<'_>,
        repository: &RepositoryName,
    ) -> Result<(), CallError> {
        let digests: Vec<ImageDigest> = digests.iter().copied().collect();
        let mut left: Vec<Vec<ImageDigest>> = digests.chunks(IMAGES_PER_CALL).rev().map(<[_]>::to_vec).collect();
        while let Some(batch) = left.pop() {
            let Described { images, gone, left: again } = registry.describe(repository, &batch).await?;
            let now = self.clock.now();
            if again.is_empty() {
                self.images.extend(batch.into_iter().map(|digest| (digest, (now, Look::LeftOut))));
            }
            self.images.extend(gone.into_iter().map(|digest| (digest, (now, Look::Gone))));
            self.images.extend(images.into_iter().map(|image| (image.image_digest, (now, Look::Described(image)))));
            left.extend(again);
        }
        Ok(())
    }

    /// Why an image is not deleted; `None` if it is still as planned.
    pub(super) fn skip_reason(
        &self,
        planned: &StaleImage,
        descendants: &[ImageDigest],
        usage: &RepositoryUsage<'_>,
        index_pulls: IndexPulls,
    ) -> Option<ImageResult> {
        let skipped = |because| Some(ImageResult::Skipped(because));
        let image = match self.seen(planned.image_digest) {
            Some(Look::Described(image)) => image,
            Some(Look::Gone) => return Some(ImageResult::Gone),
            Some(Look::LeftOut) | None => return skipped(SkipReason::NotDescribed),
        };
        let mut family = vec![image];
        for descendant in descendants {
            match self.seen(*descendant) {
                Some(Look::Described(image)) => family.push(image),
                Some(Look::Gone) if usage.holder(*descendant, &[]).is_some() => return skipped(SkipReason::NowInUse),
                Some(Look::Gone) => {}
                Some(Look::LeftOut) | None => return skipped(SkipReason::NotDescribed),
            }
        }
        let is_used = |image: &&Image| usage.holder(image.image_digest, &image.image_tags).is_some();
        if usage.is_withheld() || family.iter().any(is_used) {
            return skipped(SkipReason::NowInUse);
        }
        if image.image_tags != planned.image_tags {
            return skipped(SkipReason::TagsChanged);
        }
        // The manifest shows more reliably than ECR's description whether the image is an index.
        let own_pull = image.last_recorded_pull_time.filter(|_| index_pulls.count(planned.manifest));
        if newest_pull(&family[1..], index_pulls).max(own_pull) > planned.pulled_at {
            return skipped(SkipReason::Pulled);
        }
        if image.image_pushed_at != planned.image_pushed_at || image.image_status != planned.image_status {
            return skipped(SkipReason::Changed);
        }
        None
    }
}

fn newest_pull(family: &[&Image], index_pulls: IndexPulls) -> Option<DateTime<Utc>> {
    let counted = family.iter().filter(|image| index_pulls.count(image.manifest));
    counted.filter_map(|image| image.last_recorded_pull_time).max()
}

//! The last look at images before they are deleted: whether they still are what was planned to go.

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

/// What the images of a repository were seen to be, and when.
pub(super) struct LastLooks<'a> {
    clock: &'a Clock,
    images: HashMap<ImageDigest, (Instant, Look)>,
}

/// What an image was seen to be.
pub(super) enum Look {
    Described(Image),
    Gone,
    /// ECR left it out of an answer to a question for it.
    LeftOut,
}

impl<'a> LastLooks<'a> {
    /// Nothing was looked at yet.
    pub(super) fn new(clock: &'a Clock) -> Self {
        Self { clock, images: HashMap::new() }
    }

    /// Those of these images that were not seen within this time.
    pub(super) fn older(&self, digests: impl Iterator<Item = ImageDigest>, age: Duration) -> BTreeSet<ImageDigest> {
        // What is gone is not asked for again in the same batch: it would fail the call for the others.
        let is_young = |digest: &ImageDigest| {
            self.images
                .get(digest)
                .is_some_and(|(at, look)| matches!(look, Look::Gone) || self.clock.age_of(*at) <= age)
        };
        digests.filter(|digest| !is_young(digest)).collect()
    }

    /// Forgets what will not be asked for again, and what was gone: it may have been pushed anew.
    pub(super) fn forget(&mut self, done: impl Iterator<Item = ImageDigest>) {
        done.for_each(|digest| _ = self.images.remove(&digest));
        self.images.retain(|_, (_, look)| !matches!(look, Look::Gone));
    }

    /// What an image was seen to be last.
    pub(super) fn seen(&self, digest: ImageDigest) -> Option<&Look> {
        self.images.get(&digest).map(|(_, look)| look)
    }

    /// Takes note that none of these images is there.
    pub(super) fn take_for_gone(&mut self, digests: &BTreeSet<ImageDigest>) {
        let now = self.clock.now();
        self.images.extend(digests.iter().map(|digest| (*digest, (now, Look::Gone))));
    }

    /// Looks at images once more.
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

    /// Why an image is not deleted; `None` if it is still what was planned to go.
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
        // Whether it is an index is better known from its manifest than from what ECR tells of it.
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

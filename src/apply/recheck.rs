//! The last look at images before they are deleted: whether they still are what was planned to go.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_ecr::Client;
use aws_sdk_ecr::operation::describe_images::DescribeImagesOutput;
use aws_sdk_ecr::types::ImageIdentifier;
use chrono::{DateTime, Utc};

use crate::aws::{CallError, Caller};
use crate::clock::{Clock, Instant};
use crate::deadline::Deadline;
use crate::image::{Image, ImageDigest, RepositoryName};
use crate::inventory;
use crate::plan::{ImageResult, SkipReason, StaleImage};
use crate::pull_time::IndexPulls;
use crate::usage::RepositoryUsage;

/// The most images that `DescribeImages` takes by their ids.
/// See <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html>.
const IMAGES_PER_CALL: usize = 100;

const DESCRIBE_IMAGES: &str = "ecr:DescribeImages";

/// What the images of a repository were seen to be, and when.
pub(super) struct Seen<'a> {
    clock: &'a Clock,
    images: HashMap<ImageDigest, (Instant, Sight)>,
}

enum Sight {
    Described(Image),
    Gone,
    /// ECR left it out of an answer to a question for it.
    LeftOut,
}

impl<'a> Seen<'a> {
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
                .is_some_and(|(at, sight)| matches!(sight, Sight::Gone) || self.clock.age_of(*at) <= age)
        };
        digests.filter(|digest| !is_young(digest)).collect()
    }

    /// Forgets what will not be asked for again, and what was gone: it may have been pushed anew.
    pub(super) fn forget(&mut self, done: impl Iterator<Item = ImageDigest>) {
        done.for_each(|digest| _ = self.images.remove(&digest));
        self.images.retain(|_, (_, sight)| !matches!(sight, Sight::Gone));
    }

    /// Looks at images once more.
    ///
    /// # Errors
    /// When they can't be described.
    pub(super) async fn look_at(
        &mut self,
        digests: &BTreeSet<ImageDigest>,
        ecr: &Client,
        repository: &RepositoryName,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let digests: Vec<ImageDigest> = digests.iter().copied().collect();
        let mut left: Vec<Vec<ImageDigest>> = digests.chunks(IMAGES_PER_CALL).rev().map(<[_]>::to_vec).collect();
        while let Some(batch) = left.pop() {
            let answer = describe(ecr, repository, &batch, deadline).await;
            let now = self.clock.now();
            match answer {
                Ok(answer) => {
                    self.images.extend(batch.into_iter().map(|digest| (digest, (now, Sight::LeftOut))));
                    let images = answer.image_details.unwrap_or_default().into_iter().filter_map(inventory::image);
                    self.images.extend(images.map(|image| (image.image_digest, (now, Sight::Described(image)))));
                }
                // One that is gone fails the whole call. ECR names it in its message, but nothing promises that.
                Err(error) if error.code == "ImageNotFoundException" => {
                    let is_named = |digest: &ImageDigest| error.message.contains(&digest.to_string());
                    let (mut gone, mut others): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_named);
                    if gone.is_empty() {
                        if others.len() == 1 {
                            gone.append(&mut others);
                        } else {
                            left.push(others.split_off(others.len() / 2));
                        }
                    }
                    self.images.extend(gone.into_iter().map(|digest| (digest, (now, Sight::Gone))));
                    if !others.is_empty() {
                        left.push(others);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What hinders that an image is deleted; `None` if it is still what was planned to go.
    pub(super) fn hindrance(
        &self,
        planned: &StaleImage,
        descendants: &[ImageDigest],
        usage: &RepositoryUsage<'_>,
        index_pulls: IndexPulls,
    ) -> Option<ImageResult> {
        let skipped = |because| Some(ImageResult::Skipped(because));
        let image = match self.images.get(&planned.image_digest).map(|(_, sight)| sight) {
            Some(Sight::Described(image)) => image,
            Some(Sight::Gone) => return Some(ImageResult::Gone),
            Some(Sight::LeftOut) | None => return skipped(SkipReason::NotDescribed),
        };
        let mut family = vec![image];
        for descendant in descendants {
            match self.images.get(descendant).map(|(_, sight)| sight) {
                Some(Sight::Described(image)) => family.push(image),
                Some(Sight::Gone) if usage.holder(*descendant, &[]).is_some() => return skipped(SkipReason::NowInUse),
                Some(Sight::Gone) => {}
                Some(Sight::LeftOut) | None => return skipped(SkipReason::NotDescribed),
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

async fn describe(
    ecr: &Client,
    repository: &RepositoryName,
    batch: &[ImageDigest],
    deadline: Deadline,
) -> Result<DescribeImagesOutput, CallError> {
    deadline.allows_more().map_err(|reached| (DESCRIBE_IMAGES, reached))?;
    let ids = batch.iter().map(|digest| ImageIdentifier::builder().image_digest(digest.to_string()).build());
    let request = ecr
        .describe_images()
        .repository_name(repository.as_str())
        .filter(inventory::any_status())
        .set_image_ids(Some(ids.collect()));
    Caller::new(deadline).call(DESCRIBE_IMAGES, request.send()).await
}

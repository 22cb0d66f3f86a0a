//! The indexes pushed since a repository was planned. ECR refuses to delete an image that an index lists, but it does
//! archive such an image. Users of the index then can't pull that platform.
//!
//! This check can't see an index that is pushed between the last listing and the archiving call. That window is as long
//! as the maximum age of a listing.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::clock_skew;
use ecr_cleanup_core::image::{Image, ImageDigest, RepositoryName};
use ecr_cleanup_core::manifest::Manifests;
use ecr_cleanup_core::plan::{SkipReason, StaleImage};

use super::Stop;
use crate::discovery::FreshUsage;
use crate::registry::{Contents, Registry};

/// The known indexes pushed since the plan.
pub(super) struct NewIndexes {
    /// The plan may not have seen images pushed after this time, even if the clocks differ.
    since: DateTime<Utc>,
    /// When the last listing began. At first, that is the listing of the plan.
    listed_at: DateTime<Utc>,
    max_age: Duration,
    /// The child images of those indexes that were read.
    manifests: Manifests,
    /// All direct and indirect child images of the indexes in the last listing.
    named: HashSet<ImageDigest>,
    /// Whether one of them can't be read, so that it may list any image.
    any_is_unread: bool,
}

impl NewIndexes {
    /// No listing since the plan read the repository.
    pub(super) fn since(read_at: DateTime<Utc>, max_age: Duration) -> Self {
        Self {
            since: read_at - clock_skew::TOLERATED,
            listed_at: read_at,
            max_age,
            manifests: Manifests::default(),
            named: HashSet::new(),
            any_is_unread: false,
        }
    }

    /// Lists the repository again if the last listing is too old, and reads the new indexes. Inside, the error if an
    /// index can't be fetched.
    pub(super) async fn look_for(
        &mut self,
        (registry, repository): (&Registry<'_>, &RepositoryName),
        usage: &FreshUsage<'_>,
        stale: &[StaleImage],
        nested: &HashMap<ImageDigest, Box<[ImageDigest]>>,
    ) -> Result<Result<(), CallError>, Stop> {
        let clock = usage.clock();
        if !clock.is_longer_ago(self.listed_at, self.max_age) {
            return Ok(Ok(()));
        }
        let begun = clock.now();
        let Contents { read_at, images, unnamed } = registry.read_images(repository).await.map_err(Stop::of_reading)?;
        (self.listed_at, self.max_age) = (read_at, usage.limits().listing_max_age.max(clock.age_of(begun) * 4));
        let planned: HashMap<ImageDigest, &StaleImage> =
            stale.iter().map(|image| (image.image_digest, image)).collect();
        let is_new = |image: &&Image| {
            let is_planned =
                planned.get(&image.image_digest).is_some_and(|it| it.image_pushed_at == image.image_pushed_at);
            let is_recent = image.image_pushed_at.is_none_or(|pushed_at| pushed_at > self.since);
            image.manifest.may_name_others() && is_recent && !is_planned
        };
        let new: Vec<&Image> = images.iter().filter(is_new).collect();
        let unread = new.iter().filter(|image| self.manifests.children_of(image.image_digest).is_none()).copied();
        let read = registry.read_manifests(repository, unread).await;
        self.manifests = self.manifests.and(&read.manifests);
        if let Some(unfetched) = read.unfetched {
            return match Stop::of_reading(unfetched.error.clone()) {
                Stop::Failed(error) => Ok(Err(error)),
                stop => Err(stop),
            };
        }
        let children_of = |digest: ImageDigest| {
            let of_planned = || planned.get(&digest).map(|image| image.children());
            let of_others = || nested.get(&digest).map(|children| &**children);
            self.manifests.children_of(digest).or_else(of_planned).or_else(of_others)
        };
        let mut left: Vec<ImageDigest> = new.iter().map(|image| image.image_digest).collect();
        let mut reached = HashSet::new();
        while let Some(digest) = left.pop() {
            let children = children_of(digest).unwrap_or_default();
            left.extend(children.iter().copied().filter(|child| reached.insert(*child)));
        }
        self.any_is_unread = unnamed > 0 || new.iter().any(|image| children_of(image.image_digest).is_none());
        self.named = reached;
        Ok(Ok(()))
    }

    /// Why an image is not archived.
    pub(super) fn skip_reason(&self, digest: ImageDigest) -> Option<SkipReason> {
        if self.named.contains(&digest) {
            return Some(SkipReason::NamedSince);
        }
        self.any_is_unread.then_some(SkipReason::MayBeNamedSince)
    }
}

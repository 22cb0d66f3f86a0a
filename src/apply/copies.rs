//! The last check of copies. Where a replication rule also replicates deletes, an image is deleted only while its
//! copies are unchanged since the plan.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ecr_cleanup_core::call_error::{CallError, Missing};
use ecr_cleanup_core::image::{ImageDigest, ManifestKind, RepositoryName};
use ecr_cleanup_core::plan::{PlannedCopies, SkipReason};
use ecr_cleanup_core::pull_time::IndexPulls;
use ecr_cleanup_core::usage::UsageSnapshot;

use super::recheck::{LastLooks, Look};
use crate::clock::Clock;
use crate::registry::Registry;

/// The copies of a repository's images in another registry.
#[derive(Clone, Debug)]
pub(super) struct CopiesElsewhere {
    pub(super) planned: PlannedCopies,
    /// Whether recorded pulls of indexes there, since the plan, may be the run's own reads.
    pub(super) index_pulls: IndexPulls,
}

/// The latest descriptions of those copies.
pub(super) struct CopyLooks<'a> {
    registry: Registry<'a>,
    copies: &'a CopiesElsewhere,
    looks: LastLooks<'a>,
}

impl<'a> CopyLooks<'a> {
    /// No descriptions yet. `registry` is the registry of the images.
    pub(super) fn new(copies: &'a CopiesElsewhere, registry: &Registry<'a>, clock: &'a Clock) -> Self {
        let registry = registry.elsewhere(&copies.planned.place);
        Self { registry, copies, looks: LastLooks::new(clock) }
    }

    /// The copies of these images whose descriptions are missing or older than `age`.
    pub(super) fn older(&self, digests: impl Iterator<Item = ImageDigest>, age: Duration) -> BTreeSet<ImageDigest> {
        self.looks.older(digests.filter(|digest| self.copies.planned.images.contains_key(digest)), age)
    }

    /// Describes copies once more.
    ///
    /// # Errors
    /// When they can't be described.
    pub(super) async fn look_at(
        &mut self,
        digests: &BTreeSet<ImageDigest>,
        repository: &RepositoryName,
    ) -> Result<(), CallError> {
        match self.looks.look_at(digests, &self.registry, repository).await {
            // Without the repository there are no copies to lose.
            Err(error) if error.is_missing(Missing::Repository) => {
                self.looks.take_for_gone(digests);
                Ok(())
            }
            looked => looked,
        }
    }

    pub(super) fn forget(&mut self, done: impl Iterator<Item = ImageDigest>) {
        self.looks.forget(done);
    }

    /// Why an image with these descendants is not deleted; `None` if its copies are unchanged.
    pub(super) fn skip_reason(
        &self,
        image: ImageDigest,
        descendants: &[ImageDigest],
        repository: &RepositoryName,
        usage: &UsageSnapshot,
    ) -> Option<SkipReason> {
        let CopiesElsewhere { planned, index_pulls } = self.copies;
        let usage = usage.of_repository(&planned.place.account, repository);
        let counted =
            |time: Option<DateTime<Utc>>, manifest: ManifestKind| time.filter(|_| index_pulls.count(manifest));
        let (mut pulled_before, mut pulled_by_now) = (None, None);
        for digest in std::iter::once(&image).chain(descendants) {
            let Some(before) = planned.images.get(digest) else { continue };
            let now = match self.looks.seen(*digest) {
                Some(Look::Described(now)) => now,
                Some(Look::Gone) => continue,
                Some(Look::LeftOut) | None => return Some(SkipReason::NotDescribed),
            };
            let is_as_before = now.image_tags == before.image_tags
                && now.image_pushed_at == before.image_pushed_at
                && now.image_status == before.image_status;
            if usage.holder(*digest, &now.image_tags).is_some() || (*digest == image && !is_as_before) {
                return Some(SkipReason::CopyChanged);
            }
            pulled_before = pulled_before.max(counted(before.pulled_at, before.manifest));
            pulled_by_now = pulled_by_now.max(counted(now.last_recorded_pull_time, before.manifest));
        }
        (pulled_by_now > pulled_before).then_some(SkipReason::CopyChanged)
    }
}

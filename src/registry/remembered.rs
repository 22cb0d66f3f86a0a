//! Indexes that earlier runs read: their child images, and the recorded pulls that were these readings.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use ecr_cleanup_core::image::{Image, ImageDigest, RepositoryName};
use ecr_cleanup_core::manifest::IndexContents;
use ecr_cleanup_core::memory::{KnownIndex, OwnReading};
use ecr_cleanup_core::pull_time::IndexPulls;

use super::Registry;

impl Registry<'_> {
    /// The indexes that have to be read. The others are known, and this adds them to the contents.
    pub(super) fn without_the_known<'i>(
        &self,
        name: &RepositoryName,
        indexes: impl Iterator<Item = &'i Image>,
        contents: &mut IndexContents,
    ) -> Vec<&'i Image> {
        let Some(memory) = self.memory else { return indexes.collect() };
        let known = memory.known();
        let is_unknown = |index: &&Image| match known.get(name, index.image_digest) {
            Some(index_known) => {
                contents.manifests.recall(index.image_digest, index_known.children.clone());
                false
            }
            None => true,
        };
        indexes.filter(is_unknown).collect()
    }

    /// Adds the indexes that were read since this time to memory. If ECR records these readings as pulls, it notes that too.
    /// If that is unknown, the pull counts as that of a workload, because unknown means keep.
    pub(super) async fn remember_indexes(
        &self,
        name: &RepositoryName,
        images: &[Image],
        contents: &IndexContents,
        begun_at: DateTime<Utc>,
    ) {
        let Some(memory) = self.memory else { return };
        let is_recorded = matches!(&*self.index_pulls.lock().await, Some(Ok(IndexPulls::MayBeOwn)));
        let mut known = memory.known();
        for image in images.iter().filter(|image| image.manifest.may_name_others()) {
            let Some(children) = contents.manifests.children_of(image.image_digest) else { continue };
            if known.get(name, image.image_digest).is_some() {
                continue;
            }
            let pulled_before = image.last_recorded_pull_time;
            let own_reading = is_recorded.then_some(OwnReading { at: begun_at, pulled_before });
            let index = KnownIndex { children: children.into(), own_reading, last_there: begun_at.date_naive() };
            known.learn(name, image.image_digest, index);
        }
    }

    /// Notes the images that a repository has, so that memory can drop indexes that are gone.
    pub fn remember_what_is_there(&self, name: &RepositoryName, images: &[Image]) {
        let Some(memory) = self.memory else { return };
        let there: HashSet<ImageDigest> = images.iter().map(|image| image.image_digest).collect();
        memory.known().observe(name, |digest| there.contains(&digest), self.aws.clock().utc().date_naive());
    }

    /// Replaces the recorded pulls that were this program's own readings with the pulls before them.
    pub(super) fn discount_own_readings(&self, name: &RepositoryName, images: &mut [Image]) {
        if let Some(memory) = self.memory {
            let known = memory.known();
            for image in images {
                known.discount_own_reading(name, image);
            }
        }
    }
}

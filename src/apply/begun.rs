//! Finishes work that was begun: deletes images that only their tags attach to a deleted image, such as cosign's
//! signatures. Later runs would wait for such a subject to be pushed, and keep them for ever.
//!
//! Such an image is still deleted after its subject. A signature deleted first would leave a running image unsigned. So
//! it is deleted in the time that the deadline leaves for a last call, and a failed delete is repeated.

use std::collections::HashSet;
use std::time::Duration;

use ecr_cleanup_core::image::{ImageDigest, subject_named_by_tag};
use ecr_cleanup_core::plan::{ImageResult, StaleImage};
use ecr_cleanup_core::policy::Action;

use super::Stop;
use super::archiving::Archiving;
use super::cleaner::{Cleaner, IMAGES_PER_CALL};
use super::writer::{Writer, failed};

/// The failures of a batch after which it is left.
const ATTEMPTS: u32 = 4;
/// The pause before the second attempt. It doubles with every further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

impl Cleaner<'_> {
    /// Finishes the work begun in a repository. Returns the places of the images that were tried.
    pub(super) async fn end_what_was_begun(&self, stale: &mut [StaleImage], archiving: &mut Archiving) -> Vec<usize> {
        let cleaner = self.to_finish();
        let (mut tried, mut failures, mut pause) = (Vec::new(), 0, FIRST_PAUSE);
        loop {
            let begun = begun(stale);
            let batch = &begun[..begun.len().min(IMAGES_PER_CALL)];
            if batch.is_empty() || failures == ATTEMPTS {
                return tried;
            }
            if failures > 0 {
                if cleaner.deadline.bound(tokio::time::sleep(pause)).await.is_err() {
                    return tried;
                }
                pause *= 2;
            }
            tried.extend_from_slice(batch);
            for place in batch {
                stale[*place].result = ImageResult::Planned;
            }
            if let Err(stop) = cleaner.clean_batch(stale, batch, &mut cleaner.looks(), archiving).await {
                let result = match stop {
                    Stop::Unattempted(why) => ImageResult::NotAttempted(why),
                    Stop::Gone => ImageResult::Gone,
                    Stop::Failed(error) => failed(&error),
                };
                for place in batch {
                    if stale[*place].result == ImageResult::Planned {
                        stale[*place].result = result.clone();
                    }
                }
            }
            let is_failed = |place: &usize| matches!(stale[*place].result, ImageResult::Failed(_));
            failures += u32::from(batch.iter().any(is_failed));
        }
    }

    /// The same, but it makes calls while the deadline leaves time for one, even after an interruption.
    fn to_finish(self) -> Self {
        let (registry, deadline) = (self.registry_to_finish, self.deadline.to_finish());
        Self { registry, writer: Writer { registry, deadline, ..self.writer }, deadline, ..self }
    }
}

/// The places of the remaining images whose subjects were all deleted, if only their tags identify the subjects.
fn begun(stale: &[StaleImage]) -> Vec<usize> {
    let is_by_tag = |image: &StaleImage| image.image_tags.iter().any(|tag| subject_named_by_tag(tag).is_some());
    let is_left = |image: &StaleImage| {
        let is_undone = matches!(image.result, ImageResult::Planned | ImageResult::Failed(_));
        is_undone && image.action == Action::Expire && !image.follows().is_empty() && is_by_tag(image)
    };
    let left: Vec<usize> = (0..stale.len()).filter(|place| is_left(&stale[*place])).collect();
    let subjects: HashSet<ImageDigest> = left.iter().flat_map(|place| stale[*place].follows()).copied().collect();
    let went = |image: &&StaleImage| matches!(image.result, ImageResult::Deleted | ImageResult::Gone);
    let went: HashSet<ImageDigest> = stale
        .iter()
        .filter(|image| subjects.contains(&image.image_digest))
        .filter(went)
        .map(|image| image.image_digest)
        .collect();
    left.into_iter().filter(|place| stale[*place].follows().iter().all(|subject| went.contains(subject))).collect()
}

//! The order of deletes in a repository.
//!
//! ECR refuses to delete a child image while an index lists it, and answers for each image separately. So a child image
//! or an attached artifact is deleted in a later call than its parent, once the parent is known to be deleted. If the
//! parent is kept, they are kept too. Otherwise the oldest images come first, and every call is filled.

use std::collections::{HashMap, HashSet, VecDeque};

use ecr_cleanup_core::image::ImageDigest;
use ecr_cleanup_core::plan::{ImageResult, SkipReason, StaleImage};
use ecr_cleanup_core::policy::Action;

/// The stale images that are still to be tried, by their places.
pub(super) struct Queue {
    /// The places of images that have followers.
    places: HashMap<ImageDigest, usize>,
    /// The followers of each image.
    followers: HashMap<usize, Vec<usize>>,
    /// The number of images for which each follower still waits.
    waits_for: HashMap<usize, usize>,
    /// Followers that wait for no other image any more.
    released: VecDeque<usize>,
    /// Images without a parent or subject in the plan.
    roots: VecDeque<usize>,
}

impl Queue {
    pub(super) fn of(stale: &[StaleImage]) -> Self {
        let followed: HashSet<ImageDigest> = stale.iter().flat_map(StaleImage::follows).copied().collect();
        let places: HashMap<ImageDigest, usize> = (stale.iter().enumerate())
            .filter(|(_, image)| followed.contains(&image.image_digest))
            .map(|(place, image)| (image.image_digest, place))
            .collect();
        let mut followers: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut waits_for = HashMap::new();
        let mut roots = VecDeque::new();
        for (place, image) in stale.iter().enumerate() {
            let held_by: Vec<usize> = holders(image, &places).collect();
            for holder in &held_by {
                followers.entry(*holder).or_default().push(place);
            }
            if held_by.is_empty() {
                roots.push_back(place);
            } else {
                waits_for.insert(place, held_by.len());
            }
        }
        Self { places, followers, waits_for, released: VecDeque::new(), roots }
    }

    /// The places of the next images to delete. Images that have to be kept get that result and are skipped. The batch
    /// is empty once every image was tried.
    pub(super) fn next_batch(&mut self, stale: &mut [StaleImage], size: usize) -> Vec<usize> {
        let mut batch = Vec::new();
        while batch.len() < size
            && let Some(place) = self.released.pop_front().or_else(|| self.roots.pop_front())
        {
            if stale[place].result != ImageResult::Planned {
                // Images that are not in the reviewed plan are kept before their turn, and so are their followers.
                self.release_followers_of(place);
            } else if holders(&stale[place], &self.places).all(|holder| lets_go(&stale[holder], &stale[place])) {
                batch.push(place);
            } else {
                stale[place].result = ImageResult::Skipped(SkipReason::OwnerKept);
                self.release_followers_of(place);
            }
        }
        if batch.is_empty() {
            // The remaining images wait for each other in a circle, which real images never do.
            for (place, _) in self.waits_for.drain() {
                stale[place].result = ImageResult::Skipped(SkipReason::OwnerKept);
            }
        }
        batch
    }

    /// Notes that an image was tried.
    pub(super) fn release_followers_of(&mut self, place: usize) {
        for follower in self.followers.remove(&place).unwrap_or_default() {
            if let Some(waits_for) = self.waits_for.get_mut(&follower) {
                *waits_for -= 1;
                if *waits_for == 0 {
                    self.waits_for.remove(&follower);
                    self.released.push_back(follower);
                }
            }
        }
    }
}

fn holders<'a>(
    image: &'a StaleImage,
    places: &'a HashMap<ImageDigest, usize>,
) -> impl Iterator<Item = usize> + use<'a> {
    image.follows().iter().filter_map(|holder| places.get(holder).copied())
}

/// Whether the result of an image allows deleting its follower.
fn lets_go(holder: &StaleImage, follower: &StaleImage) -> bool {
    match holder.result {
        ImageResult::Deleted | ImageResult::Gone => true,
        // A follower is archived after its parent.
        ImageResult::Archived => follower.action == Action::Archive,
        ImageResult::Planned
        | ImageResult::Kept
        | ImageResult::Failed(_)
        | ImageResult::NotAllowed(_)
        | ImageResult::Skipped(_)
        | ImageResult::NotAttempted(_) => false,
    }
}

//! The order in which the stale images of a repository may go.
//!
//! ECR refuses to delete a child while an index names it, and answers for each image by itself. So what belongs to others
//! goes in a later call than they do, once it is known that they went; what remains after one that did not go, stays too.
//! Within that, the oldest go first, and every call is filled up.

use std::collections::{HashMap, HashSet, VecDeque};

use ecr_cleanup_core::image::ImageDigest;
use ecr_cleanup_core::plan::{ImageResult, SkipReason, StaleImage};
use ecr_cleanup_core::policy::Action;

/// The stale images whose turn has not come, by their places.
pub(super) struct Queue {
    /// The places of those that others follow.
    places: HashMap<ImageDigest, usize>,
    /// Of each image, those that follow it.
    followers: HashMap<usize, Vec<usize>>,
    /// How many images each follower still waits for.
    waits_for: HashMap<usize, usize>,
    /// Followers whose turn has come.
    released: VecDeque<usize>,
    /// Images that follow none.
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

    /// The places of the next images to delete. Those that can't go any more are told so and left out. It is empty once
    /// every image has had its turn.
    pub(super) fn next_batch(&mut self, stale: &mut [StaleImage], size: usize) -> Vec<usize> {
        let mut batch = Vec::new();
        while batch.len() < size
            && let Some(place) = self.released.pop_front().or_else(|| self.roots.pop_front())
        {
            if stale[place].result != ImageResult::Planned {
                // What a reviewed plan does not have is held back before its turn, and so is what follows it.
                self.release_followers_of(place);
            } else if holders(&stale[place], &self.places).all(|holder| lets_go(&stale[holder], &stale[place])) {
                batch.push(place);
            } else {
                stale[place].result = ImageResult::Skipped(SkipReason::OwnerKept);
                self.release_followers_of(place);
            }
        }
        if batch.is_empty() {
            // What still waits follows itself, which no real image does.
            for (place, _) in self.waits_for.drain() {
                stale[place].result = ImageResult::Skipped(SkipReason::OwnerKept);
            }
        }
        batch
    }

    /// Takes note that an image has had its turn.
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

/// Whether what became of an image lets one go that follows it.
fn lets_go(holder: &StaleImage, follower: &StaleImage) -> bool {
    match holder.result {
        ImageResult::Deleted | ImageResult::Gone => true,
        // What is archived with another goes to the archive after it.
        ImageResult::Archived => follower.action == Action::Archive,
        ImageResult::Planned
        | ImageResult::Kept
        | ImageResult::Failed(_)
        | ImageResult::NotAllowed(_)
        | ImageResult::Skipped(_)
        | ImageResult::NotAttempted(_) => false,
    }
}

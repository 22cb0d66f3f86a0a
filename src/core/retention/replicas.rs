//! Images that are kept because of their replicas: an image and the replicas that ECR deletes with it count as one image.

use std::collections::HashSet;

use super::{Decision, Decisions, Fate, Known, Rules, decide};
use crate::image::{Image, ImageDigest};
use crate::manifest::Manifests;
use crate::replication::Copies;
use crate::usage::RepositoryUsage;

/// The stale images of a repository with a replica that must not be deleted. The same rules keep the replica in its registry,
/// or it is a child image of a kept index there. `usage` is that of the replicas' registry.
#[must_use]
pub fn held_by_copies(
    known: &Known<'_>,
    rules: &Rules,
    decisions: &Decisions,
    copies: &Copies,
    usage: &RepositoryUsage<'_>,
) -> HashSet<ImageDigest> {
    let is_deleted = |(_, decision): &(&Image, &Decision)| match decision.fate() {
        Fate::IsDeleted => true,
        Fate::Stays | Fate::IsArchived => false,
    };
    let decided = known.images.iter().zip(decisions.each()).filter(is_deleted);
    let deleted: HashSet<ImageDigest> = decided.map(|(image, _)| image.image_digest).collect();
    let Copies { images, manifests } = copies;
    if !images.iter().any(|copy| deleted.contains(&copy.image_digest)) {
        return HashSet::new();
    }
    // Images with the same digest have the same manifest.
    let manifests: Manifests = known.manifests.and(manifests);
    let there = decide(&Known { images, manifests: &manifests, usage, replicated: None, ..*known }, rules);
    let is_kept = |place: &usize| match there.each()[*place].fate() {
        Fate::Stays | Fate::IsArchived => true,
        Fate::IsDeleted => !deleted.contains(&images[*place].image_digest),
    };
    let kept: Vec<usize> = (0..images.len()).filter(is_kept).collect();
    let held = there.with_what_they_name(&kept).into_iter().map(|place| images[place].image_digest);
    held.filter(|digest| deleted.contains(digest)).collect()
}

//! What copies hold: an image and the copies that go with it are one image.

use std::collections::HashSet;

use super::{Decision, Decisions, Fate, Known, Rules, decide};
use crate::image::{Image, ImageDigest};
use crate::manifest::Manifests;
use crate::replication::Copies;
use crate::usage::RepositoryUsage;

/// The images that are to be deleted from a repository and of which a copy may not go with them: it stays where it is, by
/// the same rules, or an index there that does not go along names it. `usage` is that of the copies' own registry.
#[must_use]
pub fn held_by_copies(
    known: &Known<'_>,
    rules: &Rules,
    decisions: &Decisions,
    copies: &Copies,
    usage: &RepositoryUsage<'_>,
) -> HashSet<ImageDigest> {
    let goes = |(_, decision): &(&Image, &Decision)| match decision.fate() {
        Fate::IsDeleted => true,
        Fate::Stays | Fate::IsArchived => false,
    };
    let decided = known.images.iter().zip(decisions.each()).filter(goes);
    let deleted: HashSet<ImageDigest> = decided.map(|(image, _)| image.image_digest).collect();
    let Copies { images, manifests } = copies;
    if !images.iter().any(|copy| deleted.contains(&copy.image_digest)) {
        return HashSet::new();
    }
    // The same digest is the same manifest.
    let manifests: Manifests = known.manifests.and(manifests);
    let there = decide(&Known { images, manifests: &manifests, usage, replicated: None, ..*known }, rules);
    let stays = |place: &usize| match there.each()[*place].fate() {
        Fate::Stays | Fate::IsArchived => true,
        Fate::IsDeleted => !deleted.contains(&images[*place].image_digest),
    };
    let staying: Vec<usize> = (0..images.len()).filter(stays).collect();
    let held = there.with_what_they_name(&staying).into_iter().map(|place| images[place].image_digest);
    held.filter(|digest| deleted.contains(digest)).collect()
}

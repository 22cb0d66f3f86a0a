//! What a plan says of bytes beyond the sum of sizes: what is in use of a repository, and what was freed.

use super::{Decided, ImageResult, StaleImage};
use crate::image::{Image, ManifestKind};
use crate::policy::Action;
use crate::retention::Decisions;

impl Decided {
    /// Whether any image is to be deleted.
    #[must_use]
    pub fn is_deleted_from(&self) -> bool {
        self.stale.iter().any(|image| image.action == Action::Expire)
    }

    /// What the deletions freed; `None` where that isn't known: what some of the images that were to go shared with the
    /// others is not remembered.
    #[must_use]
    pub fn exact_bytes_deleted(&self) -> Option<u64> {
        let is_done = |image: &StaleImage| image.result == ImageResult::Deleted;
        let mut to_go = self.stale.iter().filter(|image| image.action == Action::Expire).map(is_done);
        match (to_go.clone().all(|done| done), to_go.any(|done| done)) {
            (true, _) => self.exact.map(|sizes| sizes.bytes_stale),
            (false, false) => Some(0),
            (false, true) => None,
        }
    }
}

/// The bytes of the images at these places and of what they name. Where it isn't known what an index names, its size is
/// that of its largest platform, which is about what is used of it.
pub(super) fn in_use(places: &[usize], images: &[Image], decisions: &Decisions) -> u64 {
    let bytes = |place: usize| {
        let Image { manifest, image_size_in_bytes, .. } = images[place];
        let is_opaque = manifest == ManifestKind::Index && !decisions.names_others(place);
        if is_opaque { image_size_in_bytes } else { manifest.own_bytes(image_size_in_bytes) }
    };
    decisions.with_what_they_name(places).into_iter().map(bytes).sum()
}

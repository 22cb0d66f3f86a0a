//! The bytes of the images in use, and the bytes that deletes freed.

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

    /// The bytes that the deletes freed; `None` if they are unknown. If only some of the stale images were deleted, the
    /// layers that they share with the others are unknown.
    #[must_use]
    pub fn exact_bytes_deleted(&self) -> Option<u64> {
        let is_done = |image: &StaleImage| image.result == ImageResult::Deleted;
        let mut to_delete = self.stale.iter().filter(|image| image.action == Action::Expire).map(is_done);
        match (to_delete.clone().all(|done| done), to_delete.any(|done| done)) {
            (true, _) => self.exact.map(|sizes| sizes.bytes_stale),
            (false, false) => Some(0),
            (false, true) => None,
        }
    }
}

/// The bytes of the images at these places and of their child images. If the child images of an index are unknown, its size
/// counts, which is that of its largest child image: a workload uses about that much.
pub(super) fn in_use(places: &[usize], images: &[Image], decisions: &Decisions) -> u64 {
    let bytes = |place: usize| {
        let Image { manifest, image_size_in_bytes, .. } = images[place];
        let is_opaque = manifest == ManifestKind::Index && !decisions.names_others(place);
        if is_opaque { image_size_in_bytes } else { manifest.own_bytes(image_size_in_bytes) }
    };
    decisions.with_what_they_name(places).into_iter().map(bytes).sum()
}

//! The bytes that deleting images really frees: every blob of a repository is counted once.
//!
//! The size that ECR returns for an image includes layers that it shares with others, so the sum over the stale images is
//! an upper bound. Deleting them frees the blobs (layers and configurations) that no kept image references. The manifests
//! themselves, some kilobytes each, are not counted.
//!
//! Pure, and exact or nothing: if the blobs of one image are unknown, so are the sizes of its whole repository.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::call_error::CallError;
use crate::image::ImageDigest;
use crate::manifest::{Blob, UnreadableManifest};
use crate::retention::Fate;

/// The stored bytes of a repository, each blob counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactSizes {
    /// The bytes of all blobs.
    pub bytes: u64,
    /// The bytes that deleting all stale images frees: those of blobs that only these images reference.
    pub bytes_stale: u64,
}

/// The bytes that are freed, exactly or as an upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freed {
    /// Exactly these bytes.
    Exactly(u64),
    /// At most these bytes, since images share layers.
    AtMost(u64),
}

/// Why a repository's exact sizes are unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotExact {
    /// A manifest could not be fetched.
    #[error("{0} ({remedy})", remedy = .0.remedy())]
    Unfetched(CallError),
    /// A manifest can't be used.
    #[error("{0}: {1}")]
    Unreadable(ImageDigest, UnreadableManifest),
    /// ECR returned this number of images without a digest, so their manifests can't be read.
    #[error("{0} of its images have no digest")]
    Unnamed(u64),
    /// A manifest has a size that is larger than ECR can store.
    #[error("a manifest has a size of {1} bytes for {0}, which is more than ECR can store")]
    Impossible(ImageDigest, u64),
    /// Two manifests have different sizes for one blob.
    #[error("its manifests have different sizes for {0}")]
    Contradiction(ImageDigest),
}

/// 1 TiB: far more than ECR accepts for a layer (52 GB), so a larger size in a manifest is false.
const LARGEST_BLOB: u64 = 1 << 40;

/// The blobs of the images that were added so far.
#[derive(Debug, Default)]
pub struct Blobs(HashMap<ImageDigest, Held>);

#[derive(Debug)]
struct Held {
    bytes: u64,
    fate: Fate,
}

impl Freed {
    /// The exact bytes if they are known, else the upper bound.
    #[must_use]
    pub fn of(exact: Option<u64>, upper_bound: u64) -> Self {
        exact.map_or(Self::AtMost(upper_bound), Self::Exactly)
    }

    /// The bytes, exact or not.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::Exactly(bytes) | Self::AtMost(bytes) => bytes,
        }
    }
}

impl Blobs {
    /// Adds the blobs of an image. The order in which images are added makes no difference.
    ///
    /// # Errors
    /// If another image has a different size for one of the blobs, or a size is larger than ECR can store.
    pub fn add(&mut self, fate: Fate, blobs: &[Blob]) -> Result<(), NotExact> {
        for Blob { digest, bytes } in blobs {
            if *bytes > LARGEST_BLOB {
                return Err(NotExact::Impossible(*digest, *bytes));
            }
            let held = self.0.entry(*digest).or_insert(Held { bytes: *bytes, fate });
            if held.bytes != *bytes {
                return Err(NotExact::Contradiction(*digest));
            }
            match fate {
                Fate::IsDeleted => {}
                Fate::Stays | Fate::IsArchived => held.fate = fate,
            }
        }
        Ok(())
    }

    /// The sums.
    #[must_use]
    pub fn sizes(&self) -> ExactSizes {
        let mut sizes = ExactSizes::default();
        for Held { bytes, fate } in self.0.values() {
            // The sum of false sizes can exceed 64 bits.
            sizes.bytes = sizes.bytes.saturating_add(*bytes);
            match fate {
                Fate::IsDeleted => sizes.bytes_stale = sizes.bytes_stale.saturating_add(*bytes),
                Fate::Stays | Fate::IsArchived => {}
            }
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn blob(number: u8) -> Blob {
        let mut digest = [0; 32];
        digest[31] = number;
        // No two sets of blobs have the same sum.
        Blob { digest: ImageDigest::from_sha256(digest), bytes: 1 << number }
    }

    /// The blobs of these images.
    fn stored<'a>(images: impl Iterator<Item = &'a (Fate, BTreeSet<u8>)>) -> BTreeSet<u8> {
        images.flat_map(|(_, blobs)| blobs.iter().copied()).collect()
    }

    fn sum(blobs: &BTreeSet<u8>) -> u64 {
        blobs.iter().map(|number| blob(*number).bytes).sum()
    }

    fn sizes<'a>(images: impl Iterator<Item = &'a (Fate, BTreeSet<u8>)>) -> ExactSizes {
        let mut counted = Blobs::default();
        for (fate, blobs) in images {
            // A manifest can have a layer twice, for example the empty layer.
            let named: Vec<Blob> = blobs.iter().chain(blobs.iter().take(1)).map(|number| blob(*number)).collect();
            counted.add(*fate, &named).unwrap();
        }
        counted.sizes()
    }

    fn images() -> impl Strategy<Value = Vec<(Fate, BTreeSet<u8>)>> {
        let fate = prop_oneof![Just(Fate::IsDeleted), Just(Fate::Stays)];
        prop::collection::vec((fate, prop::collection::btree_set(0_u8..40, 0..8)), 0..30)
    }

    proptest! {
        #[test]
        fn freed_bytes_are_the_difference_in_stored_bytes(images in images()) {
            let before = stored(images.iter());
            let after = stored(images.iter().filter(|(fate, _)| *fate == Fate::Stays));
            let ExactSizes { bytes, bytes_stale } = sizes(images.iter());
            prop_assert_eq!(bytes, sum(&before));
            prop_assert_eq!(bytes_stale, sum(&before) - sum(&after));
        }

        #[test]
        fn freed_bytes_never_exceed_the_sum_of_the_stale_images(images in images()) {
            let stale = images.iter().filter(|(fate, _)| *fate == Fate::IsDeleted);
            let upper_bound: u64 = stale.map(|(_, blobs)| sum(blobs)).sum();
            prop_assert!(sizes(images.iter()).bytes_stale <= upper_bound);
        }

        #[test]
        fn the_order_of_the_images_makes_no_difference(images in images()) {
            prop_assert_eq!(sizes(images.iter()), sizes(images.iter().rev()));
        }
    }

    #[test]
    fn two_sizes_of_one_blob_are_a_contradiction() {
        let mut counted = Blobs::default();
        let first = blob(3);
        counted.add(Fate::Stays, &[first]).unwrap();
        let other = Blob { bytes: first.bytes + 1, ..first };
        assert_eq!(counted.add(Fate::IsDeleted, &[other]), Err(NotExact::Contradiction(first.digest)));
    }

    #[test]
    fn a_size_that_ecr_can_not_store_is_not_counted() {
        let of = |bytes| Blob { bytes, ..blob(1) };
        for bytes in [LARGEST_BLOB + 1, 1 << 60, u64::MAX] {
            let added = Blobs::default().add(Fate::IsDeleted, &[blob(2), of(bytes)]);
            assert_eq!(added, Err(NotExact::Impossible(of(0).digest, bytes)));
        }
        let mut counted = Blobs::default();
        counted.add(Fate::IsDeleted, &[of(LARGEST_BLOB)]).unwrap();
        assert_eq!(counted.sizes(), ExactSizes { bytes: LARGEST_BLOB, bytes_stale: LARGEST_BLOB });
    }
}

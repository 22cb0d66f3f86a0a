//! What deleting images really frees: every blob of a repository counted once.
//!
//! The size that ECR tells of an image includes layers that it shares with others, so the sum over stale images is an
//! upper bound. Their deletion frees the blobs (layers and configurations) that no image which stays refers to. The
//! manifests themselves, some kilobytes each, are not counted.
//!
//! Pure, and exact or nothing: with one image whose blobs aren't known, no size of its repository is.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::call_error::CallError;
use crate::image::ImageDigest;
use crate::manifest::{Blob, UnreadableManifest};
use crate::retention::Fate;

/// What a repository stores, each blob counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactSizes {
    /// All of it.
    pub bytes: u64,
    /// What only images that are to be deleted refer to: what deleting all of them frees.
    pub bytes_stale: u64,
}

/// How much is freed, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freed {
    /// This much.
    Exactly(u64),
    /// No more than this: images share layers.
    AtMost(u64),
}

/// Why a repository's exact sizes aren't known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotExact {
    /// ECR did not give a manifest out.
    #[error("{0} ({remedy})", remedy = .0.remedy())]
    Unfetched(CallError),
    /// A manifest can't be used.
    #[error("{0}: {1}")]
    Unreadable(ImageDigest, UnreadableManifest),
    /// ECR describes so many images without a digest to ask for them by.
    #[error("{0} of its images have no digest")]
    Unnamed(u64),
    /// A manifest tells a size that no registry could hold.
    #[error("a manifest claims {1} bytes for {0}, which is more than ECR could hold")]
    Impossible(ImageDigest, u64),
    /// Two manifests tell different sizes of one blob.
    #[error("its manifests contradict each other on the size of {0}")]
    Contradiction(ImageDigest),
}

/// Far more than ECR takes for a layer (52 GB), and less than any claim that is made up.
const LARGEST_BLOB: u64 = 1 << 40;

/// The blobs of a repository's images, as far as they were added.
#[derive(Debug, Default)]
pub struct Blobs(HashMap<ImageDigest, Held>);

#[derive(Debug)]
struct Held {
    bytes: u64,
    fate: Fate,
}

impl Freed {
    /// Exactly this much where that is known, and otherwise at most that much.
    #[must_use]
    pub fn of(exact: Option<u64>, upper_bound: u64) -> Self {
        exact.map_or(Self::AtMost(upper_bound), Self::Exactly)
    }

    /// The number, whatever it is worth.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::Exactly(bytes) | Self::AtMost(bytes) => bytes,
        }
    }
}

impl Blobs {
    /// Adds what an image refers to. The order in which images are added makes no difference.
    ///
    /// # Errors
    /// When another image told another size of one of them, or it is a size that none can have.
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
            // What many manifests claim together is still anything.
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

    /// What these images store, blob by blob.
    fn stored<'a>(images: impl Iterator<Item = &'a (Fate, BTreeSet<u8>)>) -> BTreeSet<u8> {
        images.flat_map(|(_, blobs)| blobs.iter().copied()).collect()
    }

    fn sum(blobs: &BTreeSet<u8>) -> u64 {
        blobs.iter().map(|number| blob(*number).bytes).sum()
    }

    fn sizes<'a>(images: impl Iterator<Item = &'a (Fate, BTreeSet<u8>)>) -> ExactSizes {
        let mut counted = Blobs::default();
        for (fate, blobs) in images {
            // A manifest may name a layer twice, as one of an empty layer does.
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
        fn what_is_freed_is_what_the_repository_stores_less_afterwards(images in images()) {
            let before = stored(images.iter());
            let after = stored(images.iter().filter(|(fate, _)| *fate == Fate::Stays));
            let ExactSizes { bytes, bytes_stale } = sizes(images.iter());
            prop_assert_eq!(bytes, sum(&before));
            prop_assert_eq!(bytes_stale, sum(&before) - sum(&after));
        }

        #[test]
        fn what_is_freed_is_never_over_the_sum_of_the_stale_images(images in images()) {
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
    fn a_claim_beyond_all_storage_is_not_counted() {
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

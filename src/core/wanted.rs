//! The image that `explain` explains: the request, and the decision on the image with the workloads that use it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::account::{AccountId, Place};
use crate::image::{Image, ImageDigest, RepositoryName};
use crate::retention::Explanation;
use crate::usage::Holder;

/// The image to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedImage {
    /// The account of its registry, if the request has it.
    pub registry_id: Option<AccountId>,
    /// Its repository.
    pub repository_name: RepositoryName,
    /// Its tag or digest.
    pub name: ImageName,
}

/// A tag or a digest: it identifies an image within its repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ImageName {
    /// A tag.
    Tag(Box<str>),
    /// Its digest.
    Digest(ImageDigest),
}

/// An image with the decision on it and the reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedImage {
    /// The place of its registry.
    pub place: Place,
    /// Its repository.
    pub repository_name: RepositoryName,
    /// The workloads that use it, each with its references to the image.
    pub users: BTreeMap<Arc<Holder>, BTreeSet<String>>,
    /// The decision on it.
    pub explanation: Explanation,
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

impl ImageName {
    /// Whether this is a tag, or the digest, of the image.
    #[must_use]
    pub fn names(&self, image: &Image) -> bool {
        match self {
            Self::Tag(tag) => image.image_tags.contains(tag),
            Self::Digest(digest) => image.image_digest == *digest,
        }
    }
}

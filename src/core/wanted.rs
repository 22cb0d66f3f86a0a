//! An image that somebody asks about, and the answer: why it stays or goes, and who uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::account::{AccountId, Place};
use crate::image::{Image, ImageDigest, RepositoryName};
use crate::retention::Explanation;
use crate::usage::Holder;

/// An image that is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedImage {
    /// The account whose registry it is in, where that is told.
    pub registry_id: Option<AccountId>,
    /// Its repository.
    pub repository_name: RepositoryName,
    /// What names it.
    pub name: ImageName,
}

/// What names an image in its repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ImageName {
    /// A tag.
    Tag(Box<str>),
    /// Its digest.
    Digest(ImageDigest),
}

/// An image and why it stays or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedImage {
    /// The place of its registry.
    pub place: Place,
    /// Its repository.
    pub repository_name: RepositoryName,
    /// All who use it, each with the references by which they do.
    pub users: BTreeMap<Arc<Holder>, BTreeSet<String>>,
    /// What was decided on it.
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
    /// Whether it names this image.
    #[must_use]
    pub fn names(&self, image: &Image) -> bool {
        match self {
            Self::Tag(tag) => image.image_tags.contains(tag),
            Self::Digest(digest) => image.image_digest == *digest,
        }
    }
}

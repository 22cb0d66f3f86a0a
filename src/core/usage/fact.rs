//! Immutable data: the images of a task definition revision, a service revision, or a published version of a function.

use serde::{Deserialize, Serialize};

/// The images of an immutable resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Its images: the references and the digests that they were resolved to.
    pub images: Box<[FactImage]>,
    /// The task definition of a service revision, which can have more images.
    pub definition: Option<Box<str>>,
}

/// An image of an immutable resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactImage {
    /// The reference.
    pub image: Option<Box<str>>,
    /// The digest that the reference was resolved to.
    pub image_digest: Option<Box<str>>,
}

impl Fact {
    /// Images with references and without resolved digests.
    #[must_use]
    pub fn named(images: impl IntoIterator<Item = String>) -> Self {
        let image = |image: String| FactImage { image: Some(image.into()), image_digest: None };
        Self { images: images.into_iter().map(image).collect(), definition: None }
    }
}

//! What never changes: the images of a task definition's revision, of a service's revision, of a published version.

use serde::{Deserialize, Serialize};

/// The images of something that never changes, once it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Its images, as it names them and as they were resolved.
    pub images: Box<[FactImage]>,
    /// The task definition that a service's revision starts tasks from, which may name more.
    pub definition: Option<Box<str>>,
}

/// An image of something that never changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactImage {
    /// As it is named.
    pub image: Option<Box<str>>,
    /// The digest that the name was resolved to.
    pub image_digest: Option<Box<str>>,
}

impl Fact {
    /// Images that are only named.
    #[must_use]
    pub fn named(images: impl IntoIterator<Item = String>) -> Self {
        let image = |image: String| FactImage { image: Some(image.into()), image_digest: None };
        Self { images: images.into_iter().map(image).collect(), definition: None }
    }
}

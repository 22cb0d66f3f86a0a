//! An image in use, as the renderers read it.

use ecr_cleanup_core::plan::{HeldImage, ImageAtRisk};
use serde::Deserialize;

/// An image in use, to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldView {
    /// Its digest.
    pub image_digest: String,
    /// Its tags.
    pub image_tags: Vec<String>,
    /// The workload that uses it.
    pub held_by: String,
}

impl HeldView {
    pub(super) fn of(HeldImage { image_digest, image_tags, image_pushed_at: _, held_by }: &HeldImage) -> Self {
        Self {
            image_digest: image_digest.to_string(),
            image_tags: image_tags.iter().map(ToString::to_string).collect(),
            held_by: held_by.to_string(),
        }
    }

    pub(super) fn at_risk(image: &ImageAtRisk) -> Self {
        let ImageAtRisk { image_digest, image_tags, held_by, rule: _, action: _ } = image;
        Self {
            image_digest: image_digest.to_string(),
            image_tags: image_tags.iter().map(ToString::to_string).collect(),
            held_by: held_by.to_string(),
        }
    }

    /// Its first tag, or its digest.
    #[must_use]
    pub fn name(&self) -> &str {
        self.image_tags.first().unwrap_or(&self.image_digest)
    }
}

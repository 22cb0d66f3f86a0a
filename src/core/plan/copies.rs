//! The replicas that ECR deletes together with the images of a repository, as they were at the time of the decision.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::account::Place;
use crate::image::{Image, ImageDigest, ImageStatus, ManifestKind};
use crate::retention::{Decision, Decisions};

/// The replicas in another registry that ECR deletes with the stale images of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCopies {
    /// The registry.
    pub place: Place,
    /// The replicas there of the images to delete, and of their child images.
    pub images: HashMap<ImageDigest, PlannedCopy>,
}

/// A replica at the time of the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCopy {
    /// Its tags.
    pub image_tags: Box<[Box<str>]>,
    /// When it was pushed.
    pub image_pushed_at: Option<DateTime<Utc>>,
    /// When it was last pulled.
    pub pulled_at: Option<DateTime<Utc>>,
    /// Whether it can be pulled.
    pub image_status: ImageStatus,
    /// Whether its manifest is an index.
    pub manifest: ManifestKind,
}

impl PlannedCopies {
    /// The replicas among `copies` of the images to delete and of their child images.
    #[must_use]
    pub fn of(place: Place, copies: Vec<Image>, images: &[Image], decisions: &Decisions) -> Self {
        let is_deleted = |place: &usize| matches!(decisions.each()[*place], Decision::Delete(_));
        let deleted: Vec<usize> = (0..images.len()).filter(is_deleted).collect();
        let matters: HashSet<ImageDigest> =
            decisions.with_what_they_name(&deleted).into_iter().map(|place| images[place].image_digest).collect();
        let copies = copies.into_iter().filter(|copy| matters.contains(&copy.image_digest));
        Self { place, images: copies.map(|copy| (copy.image_digest, PlannedCopy::from(copy))).collect() }
    }
}

impl From<Image> for PlannedCopy {
    fn from(image: Image) -> Self {
        let Image { image_tags, image_pushed_at, last_recorded_pull_time, image_status, manifest, .. } = image;
        Self { image_tags, image_pushed_at, pulled_at: last_recorded_pull_time, image_status, manifest }
    }
}

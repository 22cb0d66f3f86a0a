//! The plan: all stale images, and for each repository the data of the report. Each stale image has its reason and, after
//! the plan is applied, its result. Only [`Plan::approve`] makes an [`ApprovedPlan`], and only an approved plan can be
//! applied.

mod bytes;
mod copies;
mod gather;
mod guard;
mod missing;
mod result;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

pub use copies::{PlannedCopies, PlannedCopy};
pub use guard::{ApprovedPlan, Refusal};
pub use missing::{MissingBecause, MissingImage, add_not_found};
pub use result::{Failure, ImageResult, SkipReason, Unattempted};

use crate::account::{AccountId, Place};
use crate::call_error::CallError;
use crate::image::{ImageDigest, ImageStatus, ManifestKind, RepositoryName};
use crate::manifest::Unfetched;
use crate::memory::LastUse;
use crate::policy::{Action, RuleName};
use crate::pull_time::IndexPulls;
use crate::retention::{Edges, KeepReason, StaleReason};
use crate::sizes::ExactSizes;
use crate::usage::Holder;

/// The plan for all repositories of all regions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// One registry per region, in the order of the regions.
    pub registries: Vec<RegistryPlan>,
}

/// The plan for the repositories of one registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryPlan {
    /// The account and region of the registry.
    pub place: Place,
    /// Whether a pull of an index since it was read can be the run's own reading.
    pub index_pulls: IndexPulls,
    /// The repositories in the order of their names; an error if they could not be listed.
    pub repositories: Result<Vec<RepositoryPlan>, CallError>,
    /// The images in use in repositories that do not exist.
    pub missing: BTreeMap<RepositoryName, Vec<MissingImage>>,
}

/// The plan for one repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryPlan {
    /// Its name.
    pub repository_name: RepositoryName,
    /// The decisions; an error if its images could not be read.
    pub decided: Result<Decided, CallError>,
}

/// The decisions on the images of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// When the reading of its images began.
    pub read_at: DateTime<Utc>,
    /// The number of images.
    pub images: u64,
    /// The sum of their sizes. Layers that images share are stored once, so this is an upper bound.
    pub bytes: u64,
    /// The number of images in use. Parents and child images of these are not counted.
    pub images_in_use: u64,
    /// The number of kept images by the first reason of each.
    pub kept_because: KeptBecause,
    /// The bytes of the images in use and their child images: a workload with an index uses the images of its platforms.
    /// This is an upper bound, too.
    pub bytes_in_use: u64,
    /// The bytes of the kept images.
    pub bytes_kept: u64,
    /// The stored bytes, each layer counted once; `None` if `exactSizes` is off or they are unknown.
    pub exact: Option<ExactSizes>,
    /// The images in use that nothing else keeps, oldest first.
    pub held: Vec<HeldImage>,
    /// The other images in use, oldest first.
    pub also_in_use: Vec<HeldImage>,
    /// The images that were in use in an earlier run, now in use or not.
    pub used_before: Box<[ImageDigest]>,
    /// The stale images, oldest first.
    pub stale: Vec<StaleImage>,
    /// The policy that was applied; `None` if the settings have no policies.
    pub policy: Option<AppliedPolicy>,
    /// The priorities of the rules of a policy of the settings whose tag patterns match no image.
    pub rules_without_image: Box<[u32]>,
    /// The child images of the kept indexes. Empty if no stale image has child images.
    pub kept_indexes: HashMap<ImageDigest, Box<[ImageDigest]>>,
    /// The replicas that ECR deletes with the stale images, if replication rules replicate deletes.
    pub copies: Vec<PlannedCopies>,
    /// The images in use that the repository's ECR lifecycle policy would expire or archive, in the order of their digests.
    pub at_risk: Vec<ImageAtRisk>,
    /// The images that are needed and can't be pulled.
    pub missing: Vec<MissingImage>,
    /// The indexes whose manifests were needed and could not be fetched.
    pub unfetched: Option<Unfetched>,
    /// The images of the reviewed plan that are no longer stale.
    pub no_longer_stale: Vec<NoLongerStale>,
}

/// The policy that was applied to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppliedPolicy {
    /// The policy with this number in the settings, from 1.
    Given(usize),
    /// The repository's own ECR lifecycle policy.
    OfRepository,
    /// None: no policy matches the repository, or it has no ECR lifecycle policy.
    None,
}

/// An image in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldImage {
    /// Its digest.
    pub image_digest: ImageDigest,
    /// Its tags.
    pub image_tags: Box<[Box<str>]>,
    /// When it was pushed.
    pub image_pushed_at: Option<DateTime<Utc>>,
    /// The workload that uses it; the first by kind and name if there are several.
    pub held_by: Arc<Holder>,
}

/// An image in use that the ECR lifecycle policy of its repository would expire or archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageAtRisk {
    /// Its digest.
    pub image_digest: ImageDigest,
    /// Its tags.
    pub image_tags: Box<[Box<str>]>,
    /// The workload that uses it; the first by kind and name if there are several.
    pub held_by: Arc<Holder>,
    /// The rule that would act on it.
    pub rule: Arc<RuleName>,
    /// The action of the rule.
    pub action: Action,
}

/// The number of kept images by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptBecause([u64; KeepReason::ALL.len()]);

/// An image of the reviewed plan that is no longer stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoLongerStale {
    /// Its digest.
    pub image_digest: ImageDigest,
    /// Its present tags; those of the reviewed plan if it no longer exists.
    pub image_tags: Box<[Box<str>]>,
    /// Why it is no longer stale.
    pub why: NotStaleBecause,
}

/// Why an image of the reviewed plan is no longer stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotStaleBecause {
    /// It is kept, for this first reason, and by this workload if it is in use.
    Kept(KeepReason, Option<Arc<Holder>>),
    /// It no longer exists.
    Gone,
}

/// A stale image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleImage {
    /// Its digest.
    pub image_digest: ImageDigest,
    /// Its tags. All of them are deleted with it.
    pub image_tags: Box<[Box<str>]>,
    /// When it was pushed.
    pub image_pushed_at: Option<DateTime<Utc>>,
    /// The last pull of it or of one of its child images.
    pub pulled_at: Option<DateTime<Utc>>,
    /// Compressed bytes.
    pub image_size_in_bytes: u64,
    /// Whether it can be pulled.
    pub image_status: ImageStatus,
    /// Whether its manifest is an index.
    pub manifest: ManifestKind,
    /// Whether to delete or to archive it.
    pub action: Action,
    /// Why it is stale.
    pub reason: StaleReason,
    /// The last day on which it was in use; `None` if memory doesn't know.
    pub last_use: Option<Box<LastUse>>,
    /// The first day on which it was stale; `None` if memory doesn't know.
    pub stale_since: Option<NaiveDate>,
    /// Its related images; `None` if it has none, or if `reason` names the only one.
    pub edges: Option<Arc<Edges>>,
    /// Its result.
    pub result: ImageResult,
}

impl Plan {
    /// The accounts whose registries are planned.
    #[must_use]
    pub fn accounts(&self) -> BTreeSet<&AccountId> {
        self.registries.iter().map(|registry| &registry.place.account).collect()
    }

    /// All repositories that could be read.
    pub fn decided(&self) -> impl Iterator<Item = &Decided> {
        self.registries
            .iter()
            .flat_map(|registry| registry.repositories.iter().flatten())
            .filter_map(|repository| repository.decided.as_ref().ok())
    }

    /// All stale images.
    pub fn stale(&self) -> impl Iterator<Item = &StaleImage> {
        self.decided().flat_map(|decided| &decided.stale)
    }

    /// The errors for all data that could not be read.
    pub fn errors(&self) -> impl Iterator<Item = &CallError> {
        let registries = self.registries.iter().filter_map(|registry| registry.repositories.as_ref().err());
        let repositories = self.registries.iter().flat_map(|registry| registry.repositories.iter().flatten());
        let unread = repositories.clone().filter_map(|repository| repository.decided.as_ref().err());
        let unfetched = repositories.filter_map(|repository| repository.decided.as_ref().ok()?.unfetched.as_ref());
        registries.chain(unread).chain(unfetched.map(|unfetched| &unfetched.error))
    }
}

impl StaleImage {
    /// The bytes that deleting it frees: none if it is an index, and none if it is archived, since archive storage is
    /// billed too.
    #[must_use]
    pub fn freed_bytes(&self) -> u64 {
        match self.action {
            Action::Expire => self.manifest.own_bytes(self.image_size_in_bytes),
            Action::Archive => 0,
        }
    }

    /// The bytes that are moved to archive storage.
    #[must_use]
    pub fn archived_bytes(&self) -> u64 {
        match self.action {
            Action::Expire => 0,
            Action::Archive => self.manifest.own_bytes(self.image_size_in_bytes),
        }
    }

    /// The stale images that must be deleted before it: its parents and subjects. If one of them is kept, so is this one.
    #[must_use]
    pub fn follows(&self) -> &[ImageDigest] {
        match (&self.edges, self.reason.owner()) {
            (Some(edges), _) => &edges.follows,
            (None, Some(owner)) => std::slice::from_ref(owner),
            (None, None) => &[],
        }
    }

    /// Its child images.
    #[must_use]
    pub fn children(&self) -> &[ImageDigest] {
        self.edges.as_ref().map_or(&[], |edges| &edges.children)
    }
}

impl KeptBecause {
    fn add(&mut self, reason: KeepReason, images: u64) {
        self.0[reason as usize] += images;
    }

    /// The reasons with at least one image, in the report's order, with the number of images of each.
    pub fn iter(&self) -> impl Iterator<Item = (KeepReason, u64)> {
        KeepReason::ALL.into_iter().zip(self.0).filter(|(_, images)| *images > 0)
    }

    /// The number of kept images.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

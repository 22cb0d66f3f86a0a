//! What is to be deleted. It is also what the report shows: each stale image carries its reason and, once applied, its
//! result. Only [`Plan::approve`] makes an [`ApprovedPlan`], and only an approved plan can be applied.

mod bytes;
mod copies;
mod gather;
mod guard;
mod missing;
mod result;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use copies::{PlannedCopies, PlannedCopy};
pub use guard::{ApprovedPlan, Refusal};
pub use missing::{MissingBecause, MissingImage, add_not_found};
pub use result::{Failure, ImageResult, SkipReason, Unattempted};

use crate::account::{AccountId, Place};
use crate::call_error::CallError;
use crate::image::{ImageDigest, ImageStatus, ManifestKind, RepositoryName};
use crate::manifest::Unfetched;
use crate::policy::{Action, RuleName};
use crate::pull_time::IndexPulls;
use crate::retention::{Edges, KeepReason, StaleReason};
use crate::sizes::ExactSizes;
use crate::usage::Holder;

/// What becomes of every repository of every region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// One registry a region, in the order of the regions.
    pub registries: Vec<RegistryPlan>,
}

/// What becomes of one region's repositories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryPlan {
    /// Whose registry it is, and where.
    pub place: Place,
    /// Whether a pull of an index since it was read may be the run's own reading.
    pub index_pulls: IndexPulls,
    /// The repositories in the order of their names; an error where they could not be listed.
    pub repositories: Result<Vec<RepositoryPlan>, CallError>,
    /// What workloads use of repositories that it does not have.
    pub missing: BTreeMap<RepositoryName, Vec<MissingImage>>,
}

/// What becomes of one repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryPlan {
    /// Its name.
    pub repository_name: RepositoryName,
    /// What was decided; an error where its images could not be read.
    pub decided: Result<Decided, CallError>,
}

/// What was decided on the images of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// When the reading of its images began.
    pub read_at: DateTime<Utc>,
    /// How many images there are.
    pub images: u64,
    /// The sum of their sizes. Layers that images share are stored once, so this is an upper bound.
    pub bytes: u64,
    /// How many of them a workload uses itself; parents and children are not counted.
    pub images_in_use: u64,
    /// How many stay, under the first reason of each.
    pub kept_because: KeptBecause,
    /// The bytes of what is in use, and of what that names: an index is used by its platforms. An upper bound, too.
    pub bytes_in_use: u64,
    /// The bytes of all that stays.
    pub bytes_kept: u64,
    /// What is stored, each layer counted once, where that was asked for and could be told.
    pub exact: Option<ExactSizes>,
    /// Those that only a workload holds, oldest first.
    pub held: Vec<HeldImage>,
    /// The others in use, which something else keeps as well, oldest first.
    pub also_in_use: Vec<HeldImage>,
    /// Those that go, oldest first.
    pub stale: Vec<StaleImage>,
    /// The policy that decided, where policies do.
    pub policy: Option<AppliedPolicy>,
    /// The rules of a policy of the settings whose tag patterns match no image, by their priorities.
    pub rules_without_image: Box<[u32]>,
    /// What the indexes that stay name, where an index that goes may name one of them.
    pub kept_indexes: HashMap<ImageDigest, Box<[ImageDigest]>>,
    /// What other registries lose with what is deleted, where replication rules carry deletes on.
    pub copies: Vec<PlannedCopies>,
    /// Those in use that ECR's own lifecycle policy would take, in the order of their digests.
    pub at_risk: Vec<ImageAtRisk>,
    /// Those that are needed and can't be pulled.
    pub missing: Vec<MissingImage>,
    /// The indexes whose manifests were needed and could not be fetched.
    pub unfetched: Option<Unfetched>,
    /// Those that a reviewed plan has and that are not stale any more.
    pub no_longer_stale: Vec<NoLongerStale>,
}

/// The policy that decided on a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppliedPolicy {
    /// That at this place in the settings, from 1.
    Given(usize),
    /// The repository's own.
    OfRepository,
    /// None matches it, or it has none.
    None,
}

/// An image in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldImage {
    /// What names it.
    pub image_digest: ImageDigest,
    /// Its tags.
    pub image_tags: Box<[Box<str>]>,
    /// When it was pushed.
    pub image_pushed_at: Option<DateTime<Utc>>,
    /// Who uses it, the first by kind and name.
    pub held_by: Arc<Holder>,
}

/// An image in use that ECR's own lifecycle policy of its repository would take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageAtRisk {
    /// What names it.
    pub image_digest: ImageDigest,
    /// Its tags.
    pub image_tags: Box<[Box<str>]>,
    /// Who uses it, the first by kind and name.
    pub held_by: Arc<Holder>,
    /// The rule that would take it.
    pub rule: Arc<RuleName>,
    /// What would become of it.
    pub action: Action,
}

/// The number of images that stay, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptBecause([u64; KeepReason::ALL.len()]);

/// An image that was reviewed and is not stale any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoLongerStale {
    /// What names it.
    pub image_digest: ImageDigest,
    /// Its tags: those it has now, or had when it was reviewed.
    pub image_tags: Box<[Box<str>]>,
    /// Why it does not go.
    pub why: NotStaleBecause,
}

/// Why an image that was reviewed does not go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotStaleBecause {
    /// It stays, for this reason first.
    Kept(KeepReason, Option<Arc<Holder>>),
    /// It is gone already.
    Gone,
}

/// An image that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleImage {
    /// What names it.
    pub image_digest: ImageDigest,
    /// Its tags, all of which go with it.
    pub image_tags: Box<[Box<str>]>,
    /// When it was pushed.
    pub image_pushed_at: Option<DateTime<Utc>>,
    /// When it, or what it names, was last pulled.
    pub pulled_at: Option<DateTime<Utc>>,
    /// Compressed bytes.
    pub image_size_in_bytes: u64,
    /// Whether it can be pulled.
    pub image_status: ImageStatus,
    /// Whether it names other manifests.
    pub manifest: ManifestKind,
    /// Whether it is to be deleted or to be archived.
    pub action: Action,
    /// Why it goes.
    pub reason: StaleReason,
    /// Its owners and children, where `reason` does not already name the only one of them.
    pub edges: Option<Arc<Edges>>,
    /// What became of it.
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

    /// All images that go.
    pub fn stale(&self) -> impl Iterator<Item = &StaleImage> {
        self.decided().flat_map(|decided| &decided.stale)
    }

    /// Everything that could not be read.
    pub fn errors(&self) -> impl Iterator<Item = &CallError> {
        let registries = self.registries.iter().filter_map(|registry| registry.repositories.as_ref().err());
        let repositories = self.registries.iter().flat_map(|registry| registry.repositories.iter().flatten());
        let unread = repositories.clone().filter_map(|repository| repository.decided.as_ref().err());
        let unfetched = repositories.filter_map(|repository| repository.decided.as_ref().ok()?.unfetched.as_ref());
        registries.chain(unread).chain(unfetched.map(|unfetched| &unfetched.error))
    }
}

impl StaleImage {
    /// The bytes that deleting it frees: none where it is an index, and none where it is archived, since archive storage
    /// is billed too.
    #[must_use]
    pub fn freed_bytes(&self) -> u64 {
        match self.action {
            Action::Expire => self.manifest.own_bytes(self.image_size_in_bytes),
            Action::Archive => 0,
        }
    }

    /// The bytes that archiving it moves.
    #[must_use]
    pub fn archived_bytes(&self) -> u64 {
        match self.action {
            Action::Expire => 0,
            Action::Archive => self.manifest.own_bytes(self.image_size_in_bytes),
        }
    }

    /// The stale images that it goes after, and only if they go.
    #[must_use]
    pub fn follows(&self) -> &[ImageDigest] {
        match (&self.edges, self.reason.owner()) {
            (Some(edges), _) => &edges.follows,
            (None, Some(owner)) => std::slice::from_ref(owner),
            (None, None) => &[],
        }
    }

    /// What it names.
    #[must_use]
    pub fn children(&self) -> &[ImageDigest] {
        self.edges.as_ref().map_or(&[], |edges| &edges.children)
    }
}

impl KeptBecause {
    fn add(&mut self, reason: KeepReason, images: u64) {
        self.0[reason as usize] += images;
    }

    /// The reasons that keep any image, in the report's order, with how many each keeps.
    pub fn iter(&self) -> impl Iterator<Item = (KeepReason, u64)> {
        KeepReason::ALL.into_iter().zip(self.0).filter(|(_, images)| *images > 0)
    }

    /// How many images stay.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

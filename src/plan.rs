//! What is to be deleted, and the guard that lets a plan be carried out or refuses it.
//!
//! The plan is also what the report shows: each stale image carries its reason and, once applied, its result. Only
//! [`Plan::approve`] makes an [`ApprovedPlan`], and only an approved plan can be applied.

mod bytes;
mod result;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

pub use result::{Failure, ImageResult, SkipReason, Unattempted};

use crate::account::{AccountId, Region};
use crate::aws::CallError;
use crate::exact_sizes::ExactSizes;
use crate::image::{Image, ImageDigest, ImageStatus, ManifestKind, RepositoryName};
use crate::policy::{Action, RuleName};
use crate::pull_time::IndexPulls;
use crate::retention::{Decision, Decisions, Doomed, KeepReason, Kin, StaleReason};
use crate::review::SparedImage;
use crate::usage::{Discovery, Holder, RepositoryUsage, UsageIncomplete};

/// What becomes of every repository of every region.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// One registry a region, in the order of the regions.
    pub registries: Vec<RegistryPlan>,
}

/// What becomes of one region's repositories.
#[derive(Clone, Debug)]
pub struct RegistryPlan {
    /// The account.
    pub registry_id: AccountId,
    /// The region.
    pub region: Region,
    /// Whether pulls of indexes tell anything there.
    pub index_pulls: IndexPulls,
    /// The repositories in the order of their names; an error where they could not be listed.
    pub repositories: Result<Vec<RepositoryPlan>, CallError>,
}

/// What becomes of one repository.
#[derive(Clone, Debug)]
pub struct RepositoryPlan {
    /// Its name.
    pub repository_name: RepositoryName,
    /// What was decided; an error where its images could not be read.
    pub decided: Result<Decided, CallError>,
}

/// What was decided on the images of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
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
    /// What the indexes that stay name, where an index that goes may name one of them.
    pub kept_indexes: HashMap<ImageDigest, Box<[ImageDigest]>>,
    /// Those in use that ECR's own lifecycle policy would take, in the order of their digests.
    pub at_risk: Vec<ImageAtRisk>,
    /// The indexes whose manifests were needed and could not be fetched.
    pub unfetched: Option<Unfetched>,
    /// Those that a reviewed plan has and that are not stale any more.
    pub spared: Vec<SparedImage>,
}

/// The policy that decided on a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppliedPolicy {
    /// That at this place in the settings, from 1.
    Given(usize),
    /// The repository's own.
    OfRepository,
    /// None matches it, or it has none.
    None,
}

/// Indexes whose manifests could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unfetched {
    /// How many.
    pub indexes: u64,
    /// Why not, for one of them.
    pub error: CallError,
}

/// An image in use.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptBecause([u64; KeepReason::ALL.len()]);

/// An image that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleImage {
    /// What names it.
    pub image_digest: ImageDigest,
    /// Its tags, all of which go with it.
    pub image_tags: Box<[Box<str>]>,
    /// When it was pushed.
    pub image_pushed_at: Option<DateTime<Utc>>,
    /// When it, or what it names, was last pulled by others.
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
    /// What it hangs together with; `None` where it stands alone.
    pub kin: Option<Arc<Kin>>,
    /// What became of it.
    pub result: ImageResult,
}

/// A plan that may be carried out.
#[derive(Debug)]
#[must_use = "an approved plan deletes nothing until it is applied"]
pub struct ApprovedPlan(Plan);

/// Why a live run deletes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What is in use is not known in full, from the start or any more.
    #[error("what is in use is not known in full, so nothing{} was deleted: {incomplete}", if *.images_done > 0 { " more" } else { "" })]
    UsageIncomplete {
        /// What could not be read.
        incomplete: UsageIncomplete,
        /// The images that were deleted or archived while it was known.
        images_done: u64,
    },
    /// More images are stale than may be deleted.
    #[error(
        "{stale} images are stale and maxDeletions is {max_deletions}, so nothing was deleted; look at a dry run, then raise maxDeletions"
    )]
    TooManyDeletions {
        /// The images that are stale.
        stale: u64,
        /// The most that may be deleted.
        max_deletions: u64,
    },
}

impl Plan {
    /// Lets the plan be carried out, or tells why it may not be. A refused plan is handed back for the report.
    ///
    /// # Errors
    /// When usage is incomplete anywhere, or more images are stale than `max_deletions`.
    pub fn approve(self, discovery: &Discovery, max_deletions: Option<u64>) -> Result<ApprovedPlan, (Self, Refusal)> {
        if let Some(incomplete) = &discovery.incomplete {
            let incomplete = incomplete.clone();
            return Err((self, Refusal::UsageIncomplete { incomplete, images_done: 0 }));
        }
        let stale = self.stale().filter(|image| image.result == ImageResult::Planned).count() as u64;
        match max_deletions {
            Some(max_deletions) if stale > max_deletions => {
                Err((self, Refusal::TooManyDeletions { stale, max_deletions }))
            }
            Some(_) | None => Ok(ApprovedPlan(self)),
        }
    }

    /// Where usage could not be read again while the plan was carried out: the refusal of what was left.
    #[must_use]
    pub fn refusal_of_the_rest(&self, latest: &Discovery) -> Option<Refusal> {
        let incomplete = latest.incomplete.clone()?;
        let is_done = |image: &&StaleImage| matches!(image.result, ImageResult::Deleted | ImageResult::Archived);
        let images_done = self.stale().filter(is_done).count() as u64;
        Some(Refusal::UsageIncomplete { incomplete, images_done })
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

impl ApprovedPlan {
    /// What was approved.
    pub(crate) fn into_plan(self) -> Plan {
        self.0
    }
}

impl Decided {
    /// Gathers the decisions on the images of a repository. `unnamed` counts images without a digest, which stay.
    #[must_use]
    pub fn gather(
        mut images: Vec<Image>,
        unnamed: u64,
        decisions: &Decisions,
        usage: &RepositoryUsage<'_>,
        only_in_use: &HashSet<ImageDigest>,
    ) -> Self {
        let mut decided = Self { images: images.len() as u64 + unnamed, ..Self::default() };
        decided.kept_because.add(KeepReason::Unknown, unnamed);
        // What the platforms of an index hang on is the same for all of them.
        let mut siblings: HashMap<Box<[ImageDigest]>, Arc<Kin>> = HashMap::new();
        let mut in_use = Vec::new();
        for (place, decision) in decisions.each().iter().enumerate() {
            let Image { image_digest, image_pushed_at, image_size_in_bytes, image_status, manifest, .. } =
                images[place];
            let image_tags = std::mem::take(&mut images[place].image_tags);
            let own_bytes = manifest.own_bytes(image_size_in_bytes);
            decided.bytes += own_bytes;
            let holder = usage.holder(image_digest, &image_tags);
            decided.images_in_use += u64::from(holder.is_some());
            match decision {
                Decision::Keep { reasons, .. } => {
                    decided.kept_because.add(reasons.first(), 1);
                    decided.bytes_kept += own_bytes;
                    if let Some(holder) = holder {
                        in_use.push(place);
                        let held_by = Arc::clone(holder);
                        let image = HeldImage { image_digest, image_tags, image_pushed_at, held_by };
                        let by_use_alone = only_in_use.contains(&image_digest);
                        if by_use_alone { &mut decided.held } else { &mut decided.also_in_use }.push(image);
                    }
                }
                Decision::Delete(reason) | Decision::Archive(reason) => decided.stale.push(StaleImage {
                    image_digest,
                    image_tags,
                    image_pushed_at,
                    pulled_at: decisions.pulled_at(place, &images[place]),
                    image_size_in_bytes,
                    image_status,
                    manifest,
                    action: match decision {
                        Decision::Archive(_) => Action::Archive,
                        Decision::Delete(_) | Decision::Keep { .. } => Action::Expire,
                    },
                    reason: reason.clone(),
                    kin: decisions.kin(place, &images).map(|kin| {
                        if kin.children.is_empty() {
                            Arc::clone(siblings.entry(kin.follows.clone()).or_insert_with(|| Arc::new(kin)))
                        } else {
                            Arc::new(kin)
                        }
                    }),
                    result: ImageResult::Planned,
                }),
            }
        }
        decided.bytes_in_use = bytes::in_use(&in_use, &images, decisions).min(decided.bytes_kept);
        for held in [&mut decided.held, &mut decided.also_in_use] {
            held.sort_unstable_by_key(|image| (image.image_pushed_at, image.image_digest));
            held.shrink_to_fit();
        }
        decided.stale.sort_unstable_by_key(|image| (image.image_pushed_at, image.image_digest));
        decided.stale.shrink_to_fit();
        if decided.stale.iter().any(|image| !image.children().is_empty()) {
            decided.kept_indexes = decisions.kept_indexes(&images).collect();
        }
        decided
    }
}

impl ImageAtRisk {
    /// Tells of the images that a policy would take, with who uses them.
    #[must_use]
    pub fn all(doomed: Vec<Doomed>, images: &[Image], usage: &RepositoryUsage<'_>) -> Vec<Self> {
        let tell = |Doomed { place, rule, action }| {
            let Image { image_digest, image_tags, .. } = &images[place];
            let held_by = Arc::clone(usage.holder(*image_digest, image_tags)?);
            Some(Self { image_digest: *image_digest, image_tags: image_tags.clone(), held_by, rule, action })
        };
        let mut at_risk: Vec<Self> = doomed.into_iter().filter_map(tell).collect();
        at_risk.sort_unstable_by_key(|image| image.image_digest);
        at_risk
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
        self.kin.as_ref().map_or(&[], |kin| &kin.follows)
    }

    /// What it names.
    #[must_use]
    pub fn children(&self) -> &[ImageDigest] {
        self.kin.as_ref().map_or(&[], |kin| &kin.children)
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

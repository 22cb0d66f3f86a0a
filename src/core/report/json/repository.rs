//! A repository of the report with its images, as JSON.

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::rfc3339;
use crate::image::RepositoryName;
use crate::manifest::Unfetched;
use crate::plan::{
    AppliedPolicy, Decided, Failure, HeldImage, ImageAtRisk, ImageResult, KeptBecause, MissingBecause, MissingImage,
    NoLongerStale, NotStaleBecause, RepositoryPlan, StaleImage,
};
use crate::policy::Action;
use crate::sizes::ExactSizes;
use crate::wanted::ImageName;
use crate::warning::Cause;

/// A repository with a limited number of its stale images.
pub(super) struct RepositoryJson<'a> {
    pub(super) repository: &'a RepositoryPlan,
    /// The maximum number of stale images.
    pub(super) images: usize,
    pub(super) in_use: InUse,
}

/// The images in use that are listed.
#[derive(Clone, Copy, Debug)]
pub(super) enum InUse {
    All,
    /// Only those that nothing else keeps. There can be many, and many more of the others.
    HeldByUseAlone,
}

impl Serialize for RepositoryJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let RepositoryPlan { repository_name, decided } = self.repository;
        let mut repository = serializer.serialize_map(None)?;
        repository.serialize_entry("repositoryName", repository_name)?;
        match decided {
            Ok(decided) => {
                let Decided {
                    images,
                    bytes,
                    images_in_use,
                    kept_because,
                    bytes_in_use,
                    bytes_kept,
                    exact,
                    held,
                    also_in_use,
                    used_before: _,
                    stale,
                    kept_indexes: _,
                    policy,
                    at_risk,
                    missing,
                    unfetched,
                    no_longer_stale,
                    rules_without_image: _,
                    read_at: _,
                    copies: _,
                } = decided;
                match policy {
                    Some(AppliedPolicy::Given(number)) => repository.serialize_entry("policy", number)?,
                    Some(AppliedPolicy::OfRepository) => repository.serialize_entry("policy", "ecr")?,
                    Some(AppliedPolicy::None) => repository.serialize_entry("policy", &())?,
                    None => {}
                }
                repository.serialize_entry("images", images)?;
                repository.serialize_entry("bytes", bytes)?;
                repository.serialize_entry("imagesInUse", images_in_use)?;
                repository.serialize_entry("imagesKept", &kept_because.total())?;
                repository.serialize_entry("keptBecause", &KeptBecauseJson(kept_because))?;
                repository.serialize_entry("bytesInUse", bytes_in_use)?;
                repository.serialize_entry("bytesKept", bytes_kept)?;
                if !held.is_empty() {
                    repository.serialize_entry("onlyInUse", &held.iter().map(HeldJson).collect::<Vec<_>>())?;
                }
                match self.in_use {
                    InUse::All if !also_in_use.is_empty() => {
                        let listed: Vec<_> = also_in_use.iter().map(HeldJson).collect();
                        repository.serialize_entry("alsoInUse", &listed)?;
                    }
                    InUse::All | InUse::HeldByUseAlone => {}
                }
                if !at_risk.is_empty() {
                    repository.serialize_entry("atRisk", &at_risk.iter().map(AtRiskJson).collect::<Vec<_>>())?;
                }
                if !missing.is_empty() {
                    repository
                        .serialize_entry("missing", &missing.iter().map(MissingJson::here).collect::<Vec<_>>())?;
                }
                if let Some(unfetched) = unfetched {
                    repository.serialize_entry("unfetchedManifests", &UnfetchedJson(unfetched))?;
                }
                let bytes_stale: u64 = stale.iter().map(StaleImage::freed_bytes).sum();
                repository.serialize_entry("imagesStale", &stale.len())?;
                repository.serialize_entry("bytesStale", &bytes_stale)?;
                if let Some(ExactSizes { bytes, bytes_stale }) = exact {
                    repository.serialize_entry("exactBytes", bytes)?;
                    repository.serialize_entry("exactBytesStale", bytes_stale)?;
                }
                let is_deleted = |image: &&StaleImage| image.result == ImageResult::Deleted;
                let bytes_deleted: u64 = stale.iter().filter(is_deleted).map(StaleImage::freed_bytes).sum();
                if bytes_deleted > 0 {
                    repository.serialize_entry("bytesDeleted", &bytes_deleted)?;
                }
                if let Some(exact) = exact.and_then(|_| decided.exact_bytes_deleted()) {
                    repository.serialize_entry("exactBytesDeleted", &exact)?;
                }
                let listed: Vec<_> = stale.iter().take(self.images).map(StaleJson).collect();
                repository.serialize_entry("stale", &listed)?;
                if !no_longer_stale.is_empty() {
                    repository.serialize_entry(
                        "notStaleAnyMore",
                        &no_longer_stale.iter().map(NoLongerStaleJson).collect::<Vec<_>>(),
                    )?;
                }
            }
            Err(error) => repository.serialize_entry("error", &Cause::from(error))?,
        }
        repository.end()
    }
}

struct UnfetchedJson<'a>(&'a Unfetched);

impl Serialize for UnfetchedJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Unfetched { indexes, error } = self.0;
        let mut unfetched = serializer.serialize_map(None)?;
        unfetched.serialize_entry("indexes", indexes)?;
        unfetched.serialize_entry("error", &Cause::from(error))?;
        unfetched.end()
    }
}

struct KeptBecauseJson<'a>(&'a KeptBecause);

impl Serialize for KeptBecauseJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

struct HeldJson<'a>(&'a HeldImage);

impl Serialize for HeldJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let HeldImage { image_digest, image_tags, image_pushed_at, held_by } = self.0;
        let mut image = serializer.serialize_map(None)?;
        image.serialize_entry("imageDigest", image_digest)?;
        image.serialize_entry("imageTags", image_tags)?;
        image.serialize_entry("imagePushedAt", &image_pushed_at.as_ref().map(rfc3339))?;
        image.serialize_entry("heldBy", &held_by.to_string())?;
        image.end()
    }
}

struct AtRiskJson<'a>(&'a ImageAtRisk);

impl Serialize for AtRiskJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ImageAtRisk { image_digest, image_tags, held_by, rule, action } = self.0;
        let mut image = serializer.serialize_map(None)?;
        image.serialize_entry("imageDigest", image_digest)?;
        image.serialize_entry("imageTags", image_tags)?;
        image.serialize_entry("heldBy", &held_by.to_string())?;
        image.serialize_entry("rulePriority", &rule.priority)?;
        image.serialize_entry("ruleDescription", &rule.description)?;
        image.serialize_entry("action", action.as_str())?;
        image.end()
    }
}

/// A missing image. It has its repository if it is not listed in one.
pub(super) struct MissingJson<'a> {
    pub(super) repository_name: Option<&'a RepositoryName>,
    pub(super) image: &'a MissingImage,
}

impl<'a> MissingJson<'a> {
    fn here(image: &'a MissingImage) -> Self {
        Self { repository_name: None, image }
    }
}

impl Serialize for MissingJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let MissingImage { name, because, used_by } = self.image;
        let mut image = serializer.serialize_map(None)?;
        if let Some(repository_name) = self.repository_name {
            image.serialize_entry("repositoryName", repository_name)?;
        }
        match name {
            ImageName::Tag(tag) => image.serialize_entry("imageTag", tag)?,
            ImageName::Digest(digest) => image.serialize_entry("imageDigest", digest)?,
        }
        image.serialize_entry("because", because.code())?;
        if let MissingBecause::ChildNotFound(index) = because {
            image.serialize_entry("index", index)?;
        }
        image.serialize_entry("usedBy", &used_by.as_ref().map(ToString::to_string))?;
        image.end()
    }
}

struct NoLongerStaleJson<'a>(&'a NoLongerStale);

impl Serialize for NoLongerStaleJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let NoLongerStale { image_digest, image_tags, why } = self.0;
        let mut image = serializer.serialize_map(None)?;
        image.serialize_entry("imageDigest", image_digest)?;
        image.serialize_entry("imageTags", image_tags)?;
        match why {
            NotStaleBecause::Gone => image.serialize_entry("result", "gone")?,
            NotStaleBecause::Kept(reason, holder) => {
                image.serialize_entry("keptBecause", reason)?;
                if let Some(holder) = holder {
                    image.serialize_entry("heldBy", &holder.to_string())?;
                }
            }
        }
        image.end()
    }
}

impl Action {
    /// Its name in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expire => "expire",
            Self::Archive => "archive",
        }
    }
}

/// A stale image in the form of the report.
#[derive(Debug)]
pub struct StaleJson<'a>(pub &'a StaleImage);

impl Serialize for StaleJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let StaleImage {
            image_digest,
            image_tags,
            image_pushed_at,
            pulled_at: _,
            image_size_in_bytes,
            image_status: _,
            manifest: _,
            action,
            reason,
            last_use,
            stale_since,
            edges: _,
            result,
        } = self.0;
        let mut image = serializer.serialize_map(None)?;
        image.serialize_entry("imageDigest", image_digest)?;
        image.serialize_entry("imageTags", image_tags)?;
        image.serialize_entry("imagePushedAt", &image_pushed_at.as_ref().map(rfc3339))?;
        image.serialize_entry("imageSizeInBytes", image_size_in_bytes)?;
        if *action == Action::Archive {
            image.serialize_entry("action", action.as_str())?;
        }
        image.serialize_entry("reasonCode", reason.code())?;
        image.serialize_entry("reason", &Text(reason))?;
        if let Some(last_use) = last_use {
            image.serialize_entry("lastUsed", last_use)?;
        }
        if let Some(day) = stale_since {
            image.serialize_entry("staleSince", day)?;
        }
        image.serialize_entry("result", result.as_str())?;
        match result {
            ImageResult::Failed(failure) => {
                let Failure { code, reason } = &**failure;
                image.serialize_entry("failureCode", code)?;
                image.serialize_entry("failureReason", reason)?;
            }
            ImageResult::NotAllowed(error) => {
                image.serialize_entry("failureCode", &error.code)?;
                image.serialize_entry("failureReason", &error.message)?;
            }
            ImageResult::Skipped(because) => image.serialize_entry("skippedBecause", because.as_str())?,
            ImageResult::NotAttempted(because) => {
                image.serialize_entry("notAttemptedBecause", because.as_str())?;
            }
            ImageResult::Planned
            | ImageResult::Deleted
            | ImageResult::Archived
            | ImageResult::Gone
            | ImageResult::Kept => {}
        }
        image.end()
    }
}

/// A value that the report has as text.
struct Text<'a, T>(&'a T);

impl<T: fmt::Display> Serialize for Text<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

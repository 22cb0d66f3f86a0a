//! The report as JSON, as the contract writes it, cut to the size that Lambda's response may have.

use std::fmt;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::Report;
use crate::account::Place;
use crate::plan::{
    AppliedPolicy, Decided, Failure, HeldImage, ImageAtRisk, ImageResult, KeptBecause, NoLongerStale, NotStaleBecause,
    RegistryPlan, RepositoryPlan, StaleImage,
};
use crate::policy::Action;
use crate::settings::Mode;
use crate::sizes::ExactSizes;

/// Lambda refuses responses over 6 MB; this many bytes stay below it however MB is meant.
/// See <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
pub const RESPONSE_BYTES: usize = 5_900_000;

/// The most warnings of a response; more are not read, and the log has them.
const WARNINGS: usize = 1_000;

/// A report with at most so many repositories and stale images.
#[derive(Clone, Copy, Debug)]
struct Cut {
    repositories: usize,
    images: usize,
    in_use: InUse,
    warnings: usize,
}

/// Which of the images in use are listed.
#[derive(Clone, Copy, Debug)]
enum InUse {
    All,
    /// Those that nothing else keeps. They may be many, and the others are many more.
    HeldByUseAlone,
}

impl Report {
    /// The whole report.
    ///
    /// # Errors
    /// None that its own values could cause.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let all = usize::MAX;
        serde_json::to_string(&self.with(Cut { repositories: all, images: all, in_use: InUse::All, warnings: all }))
    }

    /// The report in at most `limit` bytes, as far as its lists can be cut. Images go first, then repositories; totals
    /// are always whole. Of the images in use it lists those that nothing else keeps.
    ///
    /// # Errors
    /// None that its own values could cause.
    pub fn to_json_within(&self, limit: usize) -> serde_json::Result<String> {
        let in_use = InUse::HeldByUseAlone;
        let nothing = Cut { repositories: 0, images: 0, in_use, warnings: WARNINGS };
        let without_images = Cut { repositories: self.repositories().count(), ..nothing };
        let bytes = |cut: Cut| serde_json::to_string(&self.with(cut)).map(|json| json.len());
        let cut = if let Some(left) = limit.checked_sub(bytes(without_images)?) {
            Cut { images: how_many_fit(self.plan.stale().map(StaleJson), left)?, ..without_images }
        } else {
            let lists = self.repositories().map(|repository| RepositoryJson { repository, images: 0, in_use });
            Cut { repositories: how_many_fit(lists, limit.saturating_sub(bytes(nothing)?))?, ..nothing }
        };
        serde_json::to_string(&self.with(cut))
    }

    fn repositories(&self) -> impl Iterator<Item = &RepositoryPlan> {
        self.plan.registries.iter().flat_map(|registry| registry.repositories.iter().flatten())
    }

    fn with(&self, cut: Cut) -> ReportJson<'_> {
        ReportJson { report: self, cut }
    }
}

/// How many of the items fit into so many bytes, each with the comma that follows it.
fn how_many_fit(items: impl Iterator<Item = impl Serialize>, mut bytes: usize) -> serde_json::Result<usize> {
    let mut fit = 0;
    for item in items {
        match bytes.checked_sub(serde_json::to_string(&item)?.len() + 1) {
            Some(left) => bytes = left,
            None => break,
        }
        fit += 1;
    }
    Ok(fit)
}

struct ReportJson<'a> {
    report: &'a Report,
    cut: Cut,
}

impl Serialize for ReportJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Report { outcome, mode, started_at, finished_at, totals, price_per_gb_month, usage, plan, warnings } =
            self.report;
        let mut report = serializer.serialize_map(None)?;
        report.serialize_entry("outcome", outcome.as_str())?;
        report.serialize_entry("dryRun", &(*mode == Mode::DryRun))?;
        report.serialize_entry("startedAt", &rfc3339(started_at))?;
        report.serialize_entry("finishedAt", &rfc3339(finished_at))?;
        report.serialize_entry("totals", totals)?;
        report.serialize_entry("pricePerGbMonth", price_per_gb_month)?;
        report.serialize_entry("usage", usage)?;
        report.serialize_entry("regions", &RegistriesJson { registries: &plan.registries, cut: self.cut })?;
        report.serialize_entry("truncatedImages", &plan.stale().count().saturating_sub(self.cut.images))?;
        let cut_repositories = self.report.repositories().count().saturating_sub(self.cut.repositories);
        if cut_repositories > 0 {
            report.serialize_entry("truncatedRepositories", &cut_repositories)?;
        }
        let cut_warnings = warnings.len().saturating_sub(self.cut.warnings);
        if cut_warnings > 0 {
            report.serialize_entry("truncatedWarnings", &cut_warnings)?;
        }
        let shown: Vec<_> = warnings[..warnings.len() - cut_warnings].iter().map(Text).collect();
        report.serialize_entry("warnings", &shown)?;
        report.end()
    }
}

struct RegistriesJson<'a> {
    registries: &'a [RegistryPlan],
    cut: Cut,
}

impl Serialize for RegistriesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut left = self.cut;
        let mut list = serializer.serialize_seq(Some(self.registries.len()))?;
        for registry in self.registries {
            list.serialize_element(&RegistryJson { registry, cut: left })?;
            let repositories = registry.repositories.iter().flatten();
            left.repositories = left.repositories.saturating_sub(repositories.clone().count());
            left.images = left.images.saturating_sub(repositories.map(stale_images_of).sum());
        }
        list.end()
    }
}

struct RegistryJson<'a> {
    registry: &'a RegistryPlan,
    cut: Cut,
}

impl Serialize for RegistryJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let RegistryPlan { place: Place { account, region }, index_pulls: _, repositories } = self.registry;
        let mut registry = serializer.serialize_map(None)?;
        registry.serialize_entry("registryId", account)?;
        registry.serialize_entry("region", region)?;
        match repositories {
            Ok(repositories) => {
                let mut images = self.cut.images;
                let listed: Vec<_> = repositories
                    .iter()
                    .take(self.cut.repositories)
                    .map(|repository| {
                        let listed = RepositoryJson { repository, images, in_use: self.cut.in_use };
                        images = images.saturating_sub(stale_images_of(repository));
                        listed
                    })
                    .collect();
                registry.serialize_entry("repositories", &listed)?;
            }
            Err(error) => {
                registry.serialize_entry("repositories", &[(); 0])?;
                registry.serialize_entry("error", error)?;
            }
        }
        registry.end()
    }
}

fn stale_images_of(repository: &RepositoryPlan) -> usize {
    repository.decided.as_ref().map_or(0, |decided| decided.stale.len())
}

struct RepositoryJson<'a> {
    repository: &'a RepositoryPlan,
    images: usize,
    in_use: InUse,
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
                    stale,
                    kept_indexes: _,
                    policy,
                    at_risk,
                    unfetched,
                    no_longer_stale,
                    read_at: _,
                    copies: _,
                    rules_without_image: _,
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
                if let Some(unfetched) = unfetched {
                    repository.serialize_entry("unfetchedManifests", unfetched)?;
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
            Err(error) => repository.serialize_entry("error", error)?,
        }
        repository.end()
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
    /// As the report says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expire => "expire",
            Self::Archive => "archive",
        }
    }
}

/// A stale image as the report writes it.
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
        image.serialize_entry("reason", &Text(reason))?;
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

/// What the report has as a sentence.
struct Text<'a, T>(&'a T);

impl<T: fmt::Display> Serialize for Text<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

fn rfc3339(time: &chrono::DateTime<chrono::Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

//! The file format of a saved plan, which people review like code. `plan --out` writes it and `delete PLAN` reads it.
//!
//! ```json
//! {
//!   "schemaVersion": 1,
//!   "createdAt": "2026-01-01T00:00:00Z",
//!   "createdBy": "ecr-cleanup 0.1.0",
//!   "account": "123456789012",
//!   "settings": { "imagesToKeep": 50, "keepTags": ["latest"] },
//!   "regions": [
//!     { "region": "us-west-2",
//!       "repositories": [
//!         { "repositoryName": "app",
//!           "images": [
//!             { "imageDigest": "sha256:…", "imageTags": ["1.0.3"], "imagePushedAt": "2025-06-01T08:00:00.123Z",
//!               "imageSizeInBytes": 67108864, "action": "expire",
//!               "reason": "not among the 50 newest tagged images" } ] } ] } ]
//! }
//! ```
//!
//! - `schemaVersion`: this is version 1. The number changes if a version adds a field that an older program must not ignore.
//!   A program rejects numbers that it does not know.
//! - `settings`: the effective value of every setting, defaults included, under its name in an event. So the meaning of a
//!   plan does not depend on the defaults of a later version. It has neither `dryRun` nor `usageExternalId`.
//! - `tags`: the pattern of `--tags`, if it was used.
//! - `images`: the images that may be deleted or archived. A reviewer can remove images. An image is only deleted if it is
//!   still stale by the settings, with exactly these tags and this push time.
//! - `action`: `expire` (delete) or `archive`. `imageSizeInBytes` and `reason` are only for the reader.

mod settings;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};

use crate::account::{AccountId, Place};
use crate::image::RepositoryName;
use crate::plan::{Plan, RegistryPlan, RepositoryPlan, StaleImage};
use crate::policy::Action;
use crate::review::{ReviewedImage, ReviewedImages, ReviewedPlan};
use crate::strict_json::{self, NotRead};

pub use settings::may_stand_beside_a_plan;

/// The version of the schema that this program writes, and the only one that it reads.
pub const SCHEMA_VERSION: u64 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlanFile<Image> {
    schema_version: u64,
    created_at: DateTime<Utc>,
    created_by: String,
    account: String,
    settings: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags: Option<String>,
    regions: Vec<RegionEntry<Image>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RegionEntry<Image> {
    region: String,
    repositories: Vec<RepositoryEntry<Image>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RepositoryEntry<Image> {
    repository_name: String,
    images: Vec<Image>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ImageEntry {
    image_digest: String,
    image_tags: Vec<Box<str>>,
    image_pushed_at: Option<DateTime<Utc>>,
    image_size_in_bytes: u64,
    action: ActionEntry,
    reason: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum ActionEntry {
    Expire,
    Archive,
}

/// A saved plan.
#[derive(Debug)]
pub struct SavedPlan {
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The settings with which it was made.
    pub settings: Map<String, Value>,
    /// The pattern of `--tags`, if it was used.
    pub tags: Option<String>,
    /// The images that may be deleted or archived.
    pub reviewed: ReviewedPlan,
}

/// Writes the text of a plan file.
///
/// # Errors
/// None in practice: every value can be serialized.
pub fn to_json(
    plan: &Plan,
    account: &AccountId,
    settings: Map<String, Value>,
    tags: Option<&str>,
    created_at: DateTime<Utc>,
) -> serde_json::Result<String> {
    let mut regions = Vec::new();
    for RegistryPlan { place, index_pulls: _, repositories, missing: _ } in &plan.registries {
        let mut entries = Vec::new();
        for RepositoryPlan { repository_name, decided } in repositories.iter().flatten() {
            // One line per image, so that a review shows removed images as removed lines.
            let images = decided.iter().flat_map(|decided| &decided.stale).map(|image| to_raw_value(&entry(image)));
            let images = images.collect::<serde_json::Result<Vec<_>>>()?;
            if !images.is_empty() {
                entries.push(RepositoryEntry { repository_name: repository_name.to_string(), images });
            }
        }
        if !entries.is_empty() {
            regions.push(RegionEntry { region: place.region.to_string(), repositories: entries });
        }
    }
    let file = PlanFile {
        schema_version: SCHEMA_VERSION,
        created_at,
        created_by: format!("ecr-cleanup {}", env!("CARGO_PKG_VERSION")),
        account: account.to_string(),
        settings,
        tags: tags.map(str::to_owned),
        regions,
    };
    serde_json::to_string_pretty(&file).map(|text| text + "\n")
}

fn entry(image: &StaleImage) -> ImageEntry {
    ImageEntry {
        image_digest: image.image_digest.to_string(),
        image_tags: image.image_tags.to_vec(),
        image_pushed_at: image.image_pushed_at,
        image_size_in_bytes: image.image_size_in_bytes,
        action: match image.action {
            Action::Expire => ActionEntry::Expire,
            Action::Archive => ActionEntry::Archive,
        },
        reason: image.reason.to_string(),
    }
}

impl SavedPlan {
    /// Reads the text of a plan file.
    ///
    /// # Errors
    /// If it is not a plan, or has an unknown schema version. The message has the next step.
    pub fn parse(text: &str) -> Result<Self, String> {
        const REMEDY: &str = "Make a new plan with `ecr-cleanup plan --out`";
        let value = strict_json::read(text).map_err(|error| match error {
            NotRead::NotJson(error) => format!("this is not valid JSON: {error}. {REMEDY}"),
            NotRead::Twice(key) => format!("this plan is not valid: duplicate key `{key}`. {REMEDY}"),
        })?;
        match value.get("schemaVersion").and_then(Value::as_u64) {
            Some(SCHEMA_VERSION) => {}
            Some(other) => {
                let by = value.get("createdBy").and_then(Value::as_str).unwrap_or("another version of ecr-cleanup");
                return Err(format!(
                    "this plan has schema version {other}, from {by}, but this program reads version {SCHEMA_VERSION}. Use the program that made it. Or: {REMEDY}"
                ));
            }
            None => return Err(format!("this is not a plan: it has no schemaVersion. {REMEDY}")),
        }
        let broken = |error: &dyn std::fmt::Display| format!("this plan is not valid: {error}. {REMEDY}");
        let PlanFile::<ImageEntry> { account, settings, tags, regions, created_at, schema_version: _, created_by: _ } =
            serde_json::from_value(value).map_err(|error| broken(&error))?;
        let account: AccountId = account.parse().map_err(|error| broken(&error))?;
        let mut reviewed = ReviewedPlan { account: account.clone(), registries: [].into() };
        for RegionEntry { region, repositories } in regions {
            let place = Place::new(account.clone(), region.parse().map_err(|error| broken(&error))?);
            let of_registry = reviewed.registries.entry(place).or_default();
            for RepositoryEntry { repository_name, images } in repositories {
                let of_repository: &mut ReviewedImages =
                    of_registry.entry(RepositoryName::from_ecr(&repository_name)).or_default();
                for ImageEntry { image_digest, mut image_tags, image_pushed_at, action, .. } in images {
                    let digest = image_digest.parse().map_err(|error| broken(&error))?;
                    image_tags.sort_unstable();
                    let action = match action {
                        ActionEntry::Expire => Action::Expire,
                        ActionEntry::Archive => Action::Archive,
                    };
                    let image = ReviewedImage { image_tags: image_tags.into(), image_pushed_at, action };
                    if of_repository.insert(digest, image).is_some() {
                        return Err(broken(&format!("{repository_name} lists {image_digest} twice")));
                    }
                }
            }
        }
        Ok(Self { created_at, settings, tags, reviewed })
    }
}

#[cfg(test)]
mod tests;

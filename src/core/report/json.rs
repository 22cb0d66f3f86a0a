//! The report as JSON, with its lists truncated to the maximum size of Lambda's response.

mod repository;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;

pub use repository::StaleJson;

use super::Report;
use crate::account::Place;
use crate::plan::{RegistryPlan, RepositoryPlan};
use crate::settings::{Effective, GivenBy, Mode};
use crate::warning::Cause;
use repository::{InUse, MissingJson, RepositoryJson};

/// The version of the report's schema, `events/report.schema.json`.
pub const VERSION: u32 = 2;

/// The maximum size of a response. Lambda rejects responses over 6 MB, and this is below the limit for both meanings of MB.
/// See <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
pub const RESPONSE_BYTES: usize = 5_900_000;

/// The maximum number of warnings in a response. The log has all of them.
const WARNINGS: usize = 1_000;

/// The maximum numbers of list items in a report.
#[derive(Clone, Copy, Debug)]
struct Cut {
    repositories: usize,
    images: usize,
    in_use: InUse,
    warnings: usize,
}

impl Report {
    /// The whole report.
    ///
    /// # Errors
    /// None in practice: every value can be serialized.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let all = usize::MAX;
        serde_json::to_string(&self.with(Cut { repositories: all, images: all, in_use: InUse::All, warnings: all }))
    }

    /// The report in at most `limit` bytes, if truncated lists are enough for that. Stale images are left out first, then
    /// repositories. The totals are always complete. Of the images in use, it has only those that nothing else keeps.
    ///
    /// # Errors
    /// None in practice: every value can be serialized.
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

/// The number of items that fit into these bytes, each with a comma.
fn how_many_fit(items: impl Iterator<Item = impl Serialize>, mut bytes: usize) -> serde_json::Result<usize> {
    let mut fit = 0;
    let mut text = Vec::new();
    for item in items {
        text.clear();
        serde_json::to_writer(&mut text, &item)?;
        match bytes.checked_sub(text.len() + 1) {
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
        let Report {
            run_id,
            outcome,
            mode,
            started_at,
            finished_at,
            totals,
            price_per_gb_month,
            settings,
            usage,
            memory,
            plan,
            warnings,
        } = self.report;
        let mut report = serializer.serialize_map(None)?;
        report.serialize_entry("version", &VERSION)?;
        report.serialize_entry("outcome", outcome.as_str())?;
        report.serialize_entry("dryRun", &(*mode == Mode::DryRun))?;
        report.serialize_entry("runId", run_id)?;
        report.serialize_entry("startedAt", &rfc3339(started_at))?;
        report.serialize_entry("finishedAt", &rfc3339(finished_at))?;
        report.serialize_entry("totals", totals)?;
        report.serialize_entry("pricePerGbMonth", price_per_gb_month)?;
        report.serialize_entry("settings", &SettingsJson(settings))?;
        report.serialize_entry("usage", usage)?;
        if let Some(memory) = memory {
            report.serialize_entry("memory", memory)?;
        }
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
        report.serialize_entry("warnings", &warnings[..warnings.len() - cut_warnings])?;
        report.end()
    }
}

struct SettingsJson<'a>(&'a [Effective]);

impl Serialize for SettingsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Setting<'a> {
            value: &'a Value,
            from: GivenBy,
        }
        serializer
            .collect_map(self.0.iter().map(|Effective { name, value, from }| (name, Setting { value, from: *from })))
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
        let RegistryPlan { place: Place { account, region }, index_pulls: _, repositories, missing } = self.registry;
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
                registry.serialize_entry("error", &Cause::from(error))?;
            }
        }
        if !missing.is_empty() {
            let listed = missing.iter().flat_map(|(name, images)| {
                images.iter().map(move |image| MissingJson { repository_name: Some(name), image })
            });
            registry.serialize_entry("missing", &listed.collect::<Vec<_>>())?;
        }
        registry.end()
    }
}

fn stale_images_of(repository: &RepositoryPlan) -> usize {
    repository.decided.as_ref().map_or(0, |decided| decided.stale.len())
}

pub(super) fn rfc3339(time: &chrono::DateTime<chrono::Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

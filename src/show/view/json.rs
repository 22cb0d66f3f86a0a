//! The view of a report that comes as JSON: of the function's response, or of a file.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ecr_cleanup_core::memory::LastUse;
use ecr_cleanup_core::plan::MissingBecause;
use ecr_cleanup_core::policy::Action;
use ecr_cleanup_core::report::{MemorySummary, Totals};
use ecr_cleanup_core::settings::{GivenBy, Mode};
use ecr_cleanup_core::warning::Warning;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{HeldView, MissingView, RepositoryView, SettingView, StaleView, View, planned_as, with_why};
use crate::show::coverage::Coverage;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    outcome: String,
    dry_run: bool,
    finished_at: DateTime<Utc>,
    totals: Totals,
    price_per_gb_month: f64,
    regions: Vec<Registry>,
    settings: BTreeMap<String, Setting>,
    usage: Usage,
    truncated_images: u64,
    #[serde(default)]
    truncated_repositories: u64,
    memory: Option<MemorySummary>,
    warnings: Vec<Warning>,
}

#[derive(Deserialize)]
struct Usage {
    complete: bool,
    references: u64,
    regions: Vec<IgnoredAny>,
    accounts: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Setting {
    value: Value,
    from: GivenBy,
}

#[derive(Deserialize)]
struct Registry {
    region: String,
    repositories: Vec<Repository>,
    #[serde(default)]
    missing: Vec<Missing>,
    error: Option<CallError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Missing {
    #[serde(default)]
    repository_name: String,
    #[serde(alias = "imageDigest")]
    image_tag: String,
    because: String,
    used_by: Option<String>,
}

#[derive(Deserialize)]
struct CallError {
    api: String,
    code: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Repository {
    #[serde(rename = "repositoryName")]
    name: String,
    error: Option<CallError>,
    images: u64,
    images_in_use: u64,
    images_kept: u64,
    images_stale: u64,
    bytes: u64,
    bytes_stale: u64,
    exact_bytes_stale: Option<u64>,
    bytes_deleted: u64,
    exact_bytes_deleted: Option<u64>,
    only_in_use: Vec<HeldView>,
    at_risk: Vec<HeldView>,
    missing: Vec<Missing>,
    stale: Vec<Stale>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stale {
    image_digest: String,
    image_tags: Vec<String>,
    image_pushed_at: Option<DateTime<Utc>>,
    image_size_in_bytes: u64,
    action: Option<String>,
    reason: String,
    last_used: Option<LastUse>,
    result: String,
    failure_code: Option<String>,
    failure_reason: Option<String>,
    skipped_because: Option<String>,
    not_attempted_because: Option<String>,
}

impl CallError {
    fn told(self) -> String {
        let Self { api, code, message } = self;
        format!("{api}: {code}: {message}")
    }
}

impl From<Report> for View {
    fn from(report: Report) -> Self {
        let mut repositories = Vec::new();
        let (mut unread, mut missing) = (Vec::new(), Vec::new());
        for Registry { region, repositories: listed, missing: of_registry, error } in report.regions {
            missing.extend(of_registry.into_iter().map(|image| image.shown(&region, None)));
            unread.extend(error.map(|error| (region.clone(), error.told())));
            for mut repository in listed {
                if let Some(error) = repository.error.take() {
                    unread.push((format!("{region} {}", repository.name), error.told()));
                    continue;
                }
                let of_repository = std::mem::take(&mut repository.missing);
                missing.extend(of_repository.into_iter().map(|image| image.shown(&region, Some(&repository.name))));
                repositories.push(repository.shown(&region));
            }
        }
        let mut view = Self {
            outcome: report.outcome,
            mode: if report.dry_run { Mode::DryRun } else { Mode::Live },
            coverage: Coverage {
                complete: report.usage.complete,
                references: report.usage.references,
                regions: report.usage.regions.len() as u64,
                accounts: report.usage.accounts.len() as u64,
            },
            reviewed: None,
            finished_at: report.finished_at,
            totals: report.totals,
            price_per_gb_month: report.price_per_gb_month,
            repositories,
            unread,
            missing,
            truncated_images: report.truncated_images,
            truncated_repositories: report.truncated_repositories,
            settings: report
                .settings
                .into_iter()
                .map(|(name, Setting { value, from })| SettingView::of(name, &value, from))
                .collect(),
            memory: report.memory.as_ref().map(MemorySummary::sentence),
            warnings: report.warnings.iter().map(ToString::to_string).collect(),
        };
        view.sort();
        view
    }
}

impl Missing {
    fn shown(self, region: &str, repository_name: Option<&str>) -> MissingView {
        MissingView {
            region: region.to_owned(),
            repository_name: repository_name.map_or(self.repository_name, str::to_owned),
            name: self.image_tag,
            why: MissingBecause::sentence(&self.because).to_owned(),
            used_by: self.used_by,
        }
    }
}

impl Repository {
    fn shown(self, region: &str) -> RepositoryView {
        let mut view = RepositoryView {
            region: region.to_owned(),
            name: self.name,
            images: self.images,
            images_in_use: self.images_in_use,
            images_kept: self.images_kept,
            images_stale: self.images_stale,
            bytes: self.bytes,
            bytes_stale: self.bytes_stale,
            exact_bytes_stale: self.exact_bytes_stale,
            bytes_deleted: self.bytes_deleted,
            exact_bytes_deleted: self.exact_bytes_deleted,
            oldest_stale: self.stale.first().and_then(|image| image.image_pushed_at),
            only_in_use: self.only_in_use,
            at_risk: self.at_risk,
            ..RepositoryView::default()
        };
        for image in self.stale {
            let why = image.why();
            view.count(&image.result, why.as_deref());
            let action = if image.action.is_some() { Action::Archive } else { Action::Expire };
            view.stale.push(StaleView {
                result: with_why(planned_as(&image.result, action), why.as_deref()),
                image_digest: image.image_digest,
                image_tags: image.image_tags,
                image_pushed_at: image.image_pushed_at,
                image_size_in_bytes: image.image_size_in_bytes,
                reason: LastUse::after(image.last_used.as_ref(), image.reason),
            });
        }
        view
    }
}

impl Stale {
    fn why(&self) -> Option<String> {
        let failed = self.failure_code.as_ref().zip(self.failure_reason.as_ref());
        let failed = failed.map(|(code, reason)| format!("{code}: {reason}"));
        let undone = self.skipped_because.as_ref().or(self.not_attempted_because.as_ref()).cloned();
        let kept = (self.result == "kept").then(|| super::why(&super::ImageResult::Kept)).flatten();
        failed.or(undone).or(kept)
    }
}

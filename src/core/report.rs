//! The report: the plan with its results, and totals. The Lambda function returns it.
//!
//! A million stale images don't fit into Lambda's response, so the lists are truncated. The totals are always complete.

mod json;
mod metrics;
mod rows;
mod stored;
mod trend;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

pub use json::{RESPONSE_BYTES, StaleJson};
pub use metrics::{metric_of_unknown_usage, metrics};
pub use rows::{DeletedRow, RepositoryRow};
pub use stored::{INDEX, Pages, Table, key_of_json, key_of_page, key_of_rows};
pub use trend::{RunSummary, TREND, TREND_FOLDER, Trend};

use crate::account::{AccountId, Region};
use crate::call_error::CallError;
use crate::plan::{Decided, ImageResult, Plan, Refusal, RegistryPlan, Unattempted};
use crate::policy::Action;
use crate::run_id::RunId;
use crate::settings::{Effective, Mode, Settings};
use crate::usage::Usage;
use crate::warning::Warning;

/// Bytes of a GB, for prices and sizes.
const GB: f64 = 1_073_741_824.0;

/// The report of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The id of the run.
    pub run_id: RunId,
    /// The outcome of the run.
    pub outcome: Outcome,
    /// Whether the plan was carried out.
    pub mode: Mode,
    /// When the run started.
    pub started_at: DateTime<Utc>,
    /// When the run finished.
    pub finished_at: DateTime<Utc>,
    /// The sums over all repositories.
    pub totals: Totals,
    /// USD per GB and month.
    pub price_per_gb_month: f64,
    /// The settings of the run.
    pub settings: Vec<Effective>,
    /// The summary of the usage data.
    pub usage: UsageSummary,
    /// The memory of the run; `None` without one.
    pub memory: Option<MemorySummary>,
    /// All repositories and stale images.
    pub plan: Plan,
    /// The warnings.
    pub warnings: Vec<Warning>,
}

/// The outcome of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A dry run without failures.
    Planned,
    /// A live run without failures.
    Completed,
    /// Some images or repositories failed.
    Partial,
    /// The deadline came before the end, and nothing failed.
    DeadlineReached,
    /// A live run was refused, for this reason.
    Refused(Refusal),
}

/// The summary of the usage data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageSummary {
    /// Whether the data is complete.
    pub complete: bool,
    /// The number of different references in use. This is not the number of images in use.
    pub references: u64,
    /// The regions whose workloads were read.
    pub regions: BTreeSet<Region>,
    /// The accounts whose workloads were read.
    pub accounts: BTreeSet<AccountId>,
    /// The maximum age of the data at a delete, in seconds.
    pub age_limit_seconds: u64,
}

/// The memory of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemorySummary {
    /// Its bucket and prefix, or its folder.
    pub location: String,
    /// The first day of which it has the images in use; `None` before the first run that wrote there.
    pub since: Option<NaiveDate>,
}

impl MemorySummary {
    /// The memory and its first day, as a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.since {
            Some(since) => format!("Memory: {} has the images in use since {since}.", self.location),
            None => format!("Memory: {} has no images in use of earlier runs.", self.location),
        }
    }
}

/// Sums over the repositories of one region or of all regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Totals {
    /// Repositories that were read.
    pub repositories: u64,
    /// Their images.
    pub images: u64,
    /// The sum of the images' sizes: an upper bound, since images share layers.
    pub bytes: u64,
    /// The cost of these bytes.
    pub monthly_cost_usd: f64,
    /// The bytes of images in use and of their child images.
    pub bytes_in_use: u64,
    /// The bytes of kept images.
    pub bytes_kept: u64,
    /// Images in use that ECR lifecycle policies would expire or archive.
    pub images_at_risk: u64,
    /// Images that are needed and can't be pulled.
    pub images_missing: u64,
    /// Images in use. Parents and child images of these are not counted.
    pub images_in_use: u64,
    /// Kept images.
    pub images_kept: u64,
    /// Stale images.
    pub images_stale: u64,
    /// Stale images that are to be archived.
    #[serde(skip_serializing_if = "is_zero")]
    pub images_to_archive: u64,
    /// Images that ECR deleted.
    pub images_deleted: u64,
    /// Images that were moved to archive storage.
    pub images_archived: u64,
    /// Images that could not be deleted.
    pub images_failed: u64,
    /// Images that changed between plan and delete.
    pub images_skipped: u64,
    /// Stale images without an attempt.
    pub images_not_attempted: u64,
    /// Images that the role has no permission to delete or archive.
    pub images_not_allowed: u64,
    /// The sum of the sizes of the stale images that are to be deleted.
    pub bytes_stale: u64,
    /// The sum of the sizes of the stale images that are to be archived.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes_to_archive: u64,
    /// The sum of the deleted images' sizes.
    pub bytes_deleted: u64,
    /// The cost of the deleted bytes; in a dry run, of the stale bytes.
    pub monthly_saving_usd: f64,
    /// The bytes that deleting all stale images frees; `None` if they are unknown for a repository with stale images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact_bytes_stale: Option<u64>,
    /// The bytes that a live run freed; `None` if they are unknown for a repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact_bytes_deleted: Option<u64>,
    /// The cost of the freed bytes; in a dry run, of the bytes that deleting all stale images frees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact_monthly_saving_usd: Option<f64>,
}

/// The data for a report.
#[derive(Debug)]
pub struct Run<'a> {
    /// The id of the run.
    pub run_id: RunId,
    /// The settings of the run.
    pub settings: &'a Settings,
    /// When the run started.
    pub started_at: DateTime<Utc>,
    /// When the run finished.
    pub finished_at: DateTime<Utc>,
    /// The usage data.
    pub usage: &'a Usage,
    /// The maximum age of the usage data at a delete.
    pub usage_age_limit: Duration,
    /// The memory of the run; `None` without one.
    pub memory: Option<MemorySummary>,
    /// The plan with its results.
    pub plan: Plan,
    /// The refusal, if the live run was refused.
    pub refusal: Option<Refusal>,
    /// The warnings.
    pub warnings: Vec<Warning>,
}

impl Report {
    /// Makes the report of a run.
    #[must_use]
    pub fn new(run: Run<'_>) -> Self {
        let Run { run_id, settings, started_at, finished_at, usage, usage_age_limit, memory, plan, refusal, warnings } =
            run;
        let Settings { mode, price_per_gb_month, .. } = *settings;
        let totals = Totals::of(&plan.registries, mode, price_per_gb_month);
        Self {
            run_id,
            outcome: outcome(&plan, refusal, mode),
            mode,
            started_at,
            finished_at,
            totals,
            price_per_gb_month,
            settings: settings.effective(),
            usage: UsageSummary {
                complete: usage.complete().is_ok(),
                references: usage.known().references().len() as u64,
                regions: usage.regions.clone(),
                accounts: usage.accounts.clone(),
                age_limit_seconds: usage_age_limit.as_secs(),
            },
            memory,
            plan,
            warnings,
        }
    }
}

impl Outcome {
    /// Its name in the report.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Completed => "completed",
            Self::Partial => "partial",
            Self::DeadlineReached => "deadlineReached",
            Self::Refused(_) => "refused",
        }
    }
}

fn outcome(plan: &Plan, refusal: Option<Refusal>, mode: Mode) -> Outcome {
    if let Some(refusal) = refusal {
        return Outcome::Refused(refusal);
    }
    // A failure needs a person, but the deadline only needs another run. So a failure has precedence.
    let by_deadline = |result: &ImageResult| match result {
        ImageResult::NotAttempted(why) => *why == Unattempted::Deadline,
        ImageResult::Failed(failure) => CallError::is_deadline_code(&failure.code),
        ImageResult::Planned
        | ImageResult::Deleted
        | ImageResult::Archived
        | ImageResult::Gone
        | ImageResult::Kept
        | ImageResult::NotAllowed(_)
        | ImageResult::Skipped(_) => false,
    };
    let undone = plan
        .stale()
        .map(|image| &image.result)
        .filter(|result| matches!(result, ImageResult::Failed(_) | ImageResult::NotAttempted(_)));
    let (cut_off, failed): (Vec<bool>, Vec<bool>) =
        undone.map(by_deadline).chain(plan.errors().map(CallError::is_deadline)).partition(|cut_off| *cut_off);
    match (failed.is_empty(), cut_off.is_empty(), mode) {
        (false, _, _) => Outcome::Partial,
        (true, false, _) => Outcome::DeadlineReached,
        (true, true, Mode::DryRun) => Outcome::Planned,
        (true, true, Mode::Live) => Outcome::Completed,
    }
}

impl Totals {
    /// The sums over these registries.
    #[must_use]
    pub fn of(registries: &[RegistryPlan], mode: Mode, price_per_gb_month: f64) -> Self {
        let of_no_repository = registries.iter().flat_map(|registry| registry.missing.values());
        let images_missing = of_no_repository.map(|images| images.len() as u64).sum();
        let mut totals = Self { images_missing, ..Self::default() };
        let repositories = registries.iter().flat_map(|registry| registry.repositories.iter().flatten());
        let decided = repositories.filter_map(|repository| repository.decided.as_ref().ok());
        let mut exact = Some((0_u64, Some(0_u64)));
        for repository in decided {
            totals.add(repository);
            if repository.is_deleted_from() {
                exact = exact.zip(repository.exact).map(|((stale, deleted), sizes)| {
                    let of_repository = repository.exact_bytes_deleted();
                    let deleted = deleted.zip(of_repository).map(|(sum, more)| sum.saturating_add(more));
                    (stale.saturating_add(sizes.bytes_stale), deleted)
                });
            }
        }
        let saved = match mode {
            Mode::DryRun => totals.bytes_stale,
            Mode::Live => totals.bytes_deleted,
        };
        totals.monthly_cost_usd = usd(totals.bytes, price_per_gb_month);
        totals.monthly_saving_usd = usd(saved, price_per_gb_month);
        if let Some((stale, deleted)) = exact.filter(|_| totals.images_stale > totals.images_to_archive) {
            let (deleted, saved) = match mode {
                Mode::DryRun => (None, Some(stale)),
                Mode::Live => (deleted, deleted),
            };
            totals.exact_bytes_stale = Some(stale);
            totals.exact_bytes_deleted = deleted;
            totals.exact_monthly_saving_usd = saved.map(|bytes| usd(bytes, price_per_gb_month));
        }
        totals
    }

    /// Adds the counts and sizes of a repository.
    fn add(&mut self, repository: &Decided) {
        self.repositories += 1;
        self.images += repository.images;
        self.bytes += repository.bytes;
        self.bytes_in_use += repository.bytes_in_use;
        self.bytes_kept += repository.bytes_kept;
        self.images_in_use += repository.images_in_use;
        self.images_at_risk += repository.at_risk.len() as u64;
        self.images_missing += repository.missing.len() as u64;
        self.images_kept += repository.kept_because.total();
        self.images_stale += repository.stale.len() as u64;
        for image in &repository.stale {
            self.bytes_stale += image.freed_bytes();
            self.images_to_archive += u64::from(image.action == Action::Archive);
            self.bytes_to_archive += image.archived_bytes();
            match image.result {
                ImageResult::Planned | ImageResult::Gone | ImageResult::Kept => {}
                ImageResult::Deleted => {
                    self.images_deleted += 1;
                    self.bytes_deleted += image.freed_bytes();
                }
                ImageResult::Archived => self.images_archived += 1,
                ImageResult::Failed(_) => self.images_failed += 1,
                ImageResult::NotAllowed(_) => self.images_not_allowed += 1,
                ImageResult::Skipped(_) => self.images_skipped += 1,
                ImageResult::NotAttempted(_) => self.images_not_attempted += 1,
            }
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The monthly cost of bytes in USD, rounded to cents.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "sizes beyond 2^53 bytes are rounded to cents anyway")]
pub fn usd(bytes: u64, price_per_gb_month: f64) -> f64 {
    (bytes as f64 / GB * price_per_gb_month * 100.0).round() / 100.0
}

#[cfg(test)]
mod stored_tests;
#[cfg(test)]
mod tests;

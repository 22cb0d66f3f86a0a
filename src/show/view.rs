//! A report as the renderers read it: straight from a run, or from the JSON that a function returned.
//!
//! Both give the same view, so that a report looks the same wherever it comes from.

mod held;
mod json;
mod missing;
mod reviewed;
mod setting;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ecr_cleanup_core::account::Place;
use ecr_cleanup_core::memory::LastUse;
use ecr_cleanup_core::plan::{Decided, ImageResult, RegistryPlan, RepositoryPlan, StaleImage};
use ecr_cleanup_core::policy::Action;
use ecr_cleanup_core::report::{MemorySummary, Report, Totals};
use ecr_cleanup_core::settings::keys::DRY_RUN;
use ecr_cleanup_core::settings::{Effective, KEYS, Mode};
use ecr_cleanup_core::sizes::Freed;
use serde::Deserialize;

pub use held::HeldView;
pub use missing::MissingView;
pub use reviewed::ReviewedView;
pub use setting::SettingView;

use super::coverage::Coverage;
use super::figures::{count, counted, usd};

/// A report, to be shown.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "json::Report")]
pub struct View {
    /// How the run ended, as the report says it.
    pub outcome: String,
    /// Whether it was to delete anything.
    pub mode: Mode,
    /// Where it searched for workloads.
    pub coverage: Coverage,
    /// What became of the plan that a person had reviewed, where there was one.
    pub reviewed: Option<ReviewedView>,
    /// When it was done.
    pub finished_at: DateTime<Utc>,
    /// Sums over everything.
    pub totals: Totals,
    /// USD for a GB a month.
    pub price_per_gb_month: f64,
    /// The repositories that were read, that which frees most first.
    pub repositories: Vec<RepositoryView>,
    /// What could not be read, with the reason, by Region and name.
    pub unread: Vec<(String, String)>,
    /// Images that are needed and can't be pulled.
    pub missing: Vec<MissingView>,
    /// How many stale images the report had to leave out.
    pub truncated_images: u64,
    /// How many repositories it had to leave out.
    pub truncated_repositories: u64,
    /// Its settings, in the order of the documentation.
    pub settings: Vec<SettingView>,
    /// Its memory with its first day, as a sentence; `None` without one.
    pub memory: Option<String>,
    /// Its warnings.
    pub warnings: Vec<String>,
}

/// A repository, to be shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RepositoryView {
    /// Its region.
    pub region: String,
    /// Its name.
    pub name: String,
    /// Its images.
    pub images: u64,
    /// The images that a workload uses itself.
    pub images_in_use: u64,
    /// The images that are kept.
    pub images_kept: u64,
    /// The stale images.
    pub images_stale: u64,
    /// The sum of the sizes of all.
    pub bytes: u64,
    /// The sum of the sizes of the stale images.
    pub bytes_stale: u64,
    /// What their deletion frees, if that is known.
    pub exact_bytes_stale: Option<u64>,
    /// The sum of the sizes of the deleted images.
    pub bytes_deleted: u64,
    /// What their deletion freed, if that is known.
    pub exact_bytes_deleted: Option<u64>,
    /// When the oldest stale image was pushed.
    pub oldest_stale: Option<DateTime<Utc>>,
    /// How many images came to each result, as the report says it.
    pub results: BTreeMap<String, u64>,
    /// The stale images that were not deleted, by reason.
    pub undone: BTreeMap<String, u64>,
    /// The stale images that are listed, oldest first.
    pub stale: Vec<StaleView>,
    /// The images that are kept only because a workload uses them.
    pub only_in_use: Vec<HeldView>,
    /// The images in use that the repository's ECR lifecycle policy would expire.
    pub at_risk: Vec<HeldView>,
}

/// A stale image, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleView {
    /// Its digest.
    pub image_digest: String,
    /// Its tags.
    pub image_tags: Vec<String>,
    /// When it was pushed.
    pub image_pushed_at: Option<DateTime<Utc>>,
    /// Compressed bytes; of an index, those of its largest platform.
    pub image_size_in_bytes: u64,
    /// Why it is stale.
    pub reason: String,
    /// What became of it, with the reason where it was not deleted.
    pub result: String,
}

/// Whether a view lists the stale images. There may be a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// Each of them.
    Listed,
    /// Their number will do.
    Counted,
}

impl View {
    /// The view of a run's report.
    #[must_use]
    pub fn of(report: &Report, images: Images) -> Self {
        let Report {
            run_id: _,
            outcome,
            mode,
            started_at: _,
            finished_at,
            totals,
            price_per_gb_month,
            settings,
            usage,
            memory,
            plan,
            warnings,
        } = report;
        let setting = |Effective { name, value, from }: &Effective| SettingView::of((*name).to_owned(), value, *from);
        let mut view = Self {
            outcome: outcome.as_str().to_owned(),
            mode: *mode,
            coverage: usage.into(),
            reviewed: None,
            // To the second, as in the report's JSON.
            finished_at: DateTime::from_timestamp(finished_at.timestamp(), 0).unwrap_or(*finished_at),
            totals: *totals,
            price_per_gb_month: *price_per_gb_month,
            repositories: Vec::new(),
            unread: Vec::new(),
            missing: Vec::new(),
            truncated_images: 0,
            truncated_repositories: 0,
            settings: settings.iter().map(setting).collect(),
            memory: memory.as_ref().map(MemorySummary::sentence),
            warnings: warnings.iter().map(ToString::to_string).collect(),
        };
        for RegistryPlan { place: Place { account: _, region }, index_pulls: _, repositories, missing } in
            &plan.registries
        {
            let told = missing.iter().flat_map(|(name, images)| images.iter().map(move |image| (name, image)));
            view.missing.extend(told.map(|(name, image)| MissingView::of(region, name, image)));
            match repositories {
                Err(error) => view.unread.push((region.to_string(), error.to_string())),
                Ok(repositories) => {
                    for RepositoryPlan { repository_name, decided } in repositories {
                        match decided {
                            Err(error) => {
                                view.unread.push((format!("{region} {repository_name}"), error.to_string()));
                            }
                            Ok(decided) => {
                                let missing = decided.missing.iter();
                                view.missing
                                    .extend(missing.map(|image| MissingView::of(region, repository_name, image)));
                                view.repositories.push(RepositoryView::of(
                                    region.as_str(),
                                    repository_name.as_str(),
                                    decided,
                                    images,
                                ));
                            }
                        }
                    }
                }
            }
        }
        view.sort();
        view
    }

    /// The settings that are not the default, without that for the kind of the run, which every report begins with.
    pub fn changed_settings(&self) -> impl Iterator<Item = &SettingView> {
        self.settings.iter().filter(|setting| !setting.is_default && setting.name != DRY_RUN.name)
    }

    fn sort(&mut self) {
        // One that this version does not know comes last.
        self.settings.sort_by_key(|setting| KEYS.iter().position(|key| key.name == setting.name).unwrap_or(KEYS.len()));
        self.missing.sort();
        // By exact sizes where they are known. The names make the order total.
        self.repositories.sort_by(|a, b| {
            let key = |it: &RepositoryView| (it.to_be_freed().bytes(), it.images_stale);
            key(b).cmp(&key(a)).then_with(|| (&a.region, &a.name).cmp(&(&b.region, &b.name)))
        });
    }

    /// The bytes that the run frees, or freed.
    #[must_use]
    pub fn freed(&self) -> Freed {
        let Totals { bytes_stale, bytes_deleted, exact_bytes_stale, exact_bytes_deleted, .. } = self.totals;
        match self.mode {
            Mode::DryRun => Freed::of(exact_bytes_stale, bytes_stale),
            Mode::Live => Freed::of(exact_bytes_deleted, bytes_deleted),
        }
    }

    /// Whether it was a live run in which there was something to delete, and nothing was.
    #[must_use]
    pub fn deleted_nothing(&self) -> bool {
        self.mode == Mode::Live && self.totals.images_deleted == 0 && self.deletes()
    }

    /// Whether there is anything to delete. Archiving frees nothing.
    #[must_use]
    pub fn deletes(&self) -> bool {
        self.totals.images_stale > self.totals.images_to_archive
    }

    /// The stale images that a live run deleted or archived, in words: `8 of 10 stale images deleted`.
    #[must_use]
    pub fn carried_out(&self) -> String {
        let Totals { images_stale, images_to_archive, images_deleted, images_archived, .. } = self.totals;
        let of = |done: u64, all: u64, what: &str| format!("{} of {} {what}", count(done), count(all));
        let deleted = of(images_deleted, images_stale - images_to_archive.min(images_stale), "stale images deleted");
        match (images_to_archive, self.deletes()) {
            (0, _) => deleted,
            (to_archive, true) => format!("{deleted}, {}", of(images_archived, to_archive, "archived")),
            (to_archive, false) => of(images_archived, to_archive, "stale images archived"),
        }
    }

    /// The images that a dry run would archive, in words.
    #[must_use]
    pub fn to_archive(&self) -> Option<String> {
        let images = self.totals.images_to_archive;
        let is_ahead = self.mode == Mode::DryRun && images > 0;
        is_ahead.then(|| format!("{} be archived", counted(images, "stale image will", "stale images will")))
    }

    /// The sum of the images' sizes, which other tools show for the bytes that are freed.
    #[must_use]
    pub fn sum_of_sizes(&self) -> u64 {
        match self.mode {
            Mode::DryRun => self.totals.bytes_stale,
            Mode::Live => self.totals.bytes_deleted,
        }
    }

    /// The costs a month that this saves, in words: `$12.30`, or `up to $12.30`.
    #[must_use]
    pub fn saving(&self) -> String {
        let Totals { monthly_saving_usd, exact_monthly_saving_usd, .. } = self.totals;
        match exact_monthly_saving_usd {
            Some(exact) => usd(exact),
            None => format!("up to {}", usd(monthly_saving_usd)),
        }
    }

    /// The beginning of a sentence on the whole: `These repositories store`; `None` where there are none.
    #[must_use]
    pub fn storing(&self) -> Option<&'static str> {
        match (self.totals.repositories, self.mode) {
            (0, _) => None,
            (1, Mode::DryRun) => Some("This repository stores"),
            (_, Mode::DryRun) => Some("These repositories store"),
            (1, Mode::Live) => Some("Before, this repository stored"),
            (_, Mode::Live) => Some("Before, these repositories stored"),
        }
    }

    /// Whether any exact size is known.
    #[must_use]
    pub fn any_is_exact(&self) -> bool {
        self.repositories.iter().any(|repository| repository.exact_bytes_stale.is_some())
    }
}

impl RepositoryView {
    fn of(region: &str, name: &str, decided: &Decided, images: Images) -> Self {
        let deleted = |image: &&StaleImage| image.result == ImageResult::Deleted;
        let mut view = Self {
            region: region.to_owned(),
            name: name.to_owned(),
            images: decided.images,
            images_in_use: decided.images_in_use,
            images_kept: decided.kept_because.total(),
            images_stale: decided.stale.len() as u64,
            bytes: decided.bytes,
            bytes_stale: decided.stale.iter().map(StaleImage::freed_bytes).sum(),
            exact_bytes_stale: decided.exact.map(|sizes| sizes.bytes_stale),
            bytes_deleted: decided.stale.iter().filter(deleted).map(StaleImage::freed_bytes).sum(),
            exact_bytes_deleted: decided.exact.and_then(|_| decided.exact_bytes_deleted()),
            oldest_stale: decided.stale.first().and_then(|image| image.image_pushed_at).and_then(to_the_second),
            only_in_use: decided.held.iter().map(HeldView::of).collect(),
            at_risk: decided.at_risk.iter().map(HeldView::at_risk).collect(),
            ..Self::default()
        };
        for image in &decided.stale {
            view.count(image.result.as_str(), why(&image.result).as_deref());
            match images {
                Images::Listed => view.stale.push(StaleView::of(image)),
                Images::Counted => {}
            }
        }
        view
    }

    fn count(&mut self, result: &str, why: Option<&str>) {
        *self.results.entry(result.to_owned()).or_default() += 1;
        if let Some(why) = why {
            *self.undone.entry(with_why(result, Some(why))).or_default() += 1;
        }
    }

    /// The bytes that deleting all stale images frees.
    #[must_use]
    pub fn to_be_freed(&self) -> Freed {
        Freed::of(self.exact_bytes_stale, self.bytes_stale)
    }

    /// The sum of the images' sizes, which other tools show for the bytes that a run of this mode frees.
    #[must_use]
    pub fn sum_of_sizes(&self, mode: Mode) -> u64 {
        match mode {
            Mode::DryRun => self.bytes_stale,
            Mode::Live => self.bytes_deleted,
        }
    }

    /// The bytes that a run of this mode frees.
    #[must_use]
    pub fn freed(&self, mode: Mode) -> Freed {
        match mode {
            Mode::DryRun => self.to_be_freed(),
            Mode::Live => Freed::of(self.exact_bytes_deleted, self.bytes_deleted),
        }
    }
}

impl StaleView {
    fn of(image: &StaleImage) -> Self {
        Self {
            image_digest: image.image_digest.to_string(),
            image_tags: image.image_tags.iter().map(ToString::to_string).collect(),
            image_pushed_at: image.image_pushed_at.and_then(to_the_second),
            image_size_in_bytes: image.image_size_in_bytes,
            reason: LastUse::after(image.last_use.as_deref(), image.reason.to_string()),
            result: with_why(planned_as(image.result.as_str(), image.action), why(&image.result).as_deref()),
        }
    }
}

fn to_the_second(time: DateTime<Utc>) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.timestamp(), 0)
}

/// A plan to archive is not one to delete.
fn planned_as(result: &str, action: Action) -> &str {
    match action {
        Action::Archive if result == ImageResult::Planned.as_str() => "to be archived",
        Action::Expire | Action::Archive => result,
    }
}

/// Why a stale image was not deleted; `None` where it was, or where there was nothing to delete.
fn why(result: &ImageResult) -> Option<String> {
    match result {
        ImageResult::Failed(failure) => Some(format!("{}: {}", failure.code, failure.reason)),
        ImageResult::NotAllowed(error) => Some(format!("{}: {}", error.code, error.message)),
        ImageResult::Skipped(because) => Some(because.as_str().to_owned()),
        ImageResult::NotAttempted(because) => Some(because.as_str().to_owned()),
        ImageResult::Kept => Some("ECR refused, because a multi-arch image references it".to_owned()),
        ImageResult::Planned | ImageResult::Deleted | ImageResult::Archived | ImageResult::Gone => None,
    }
}

fn with_why(result: &str, why: Option<&str>) -> String {
    let result = match result {
        "notAttempted" => "not attempted",
        "notAllowed" => "not allowed",
        result => result,
    };
    why.map_or_else(|| result.to_owned(), |why| format!("{result}: {why}"))
}

//! The output for CloudWatch: metrics, and log lines that are complete even if the report is cut.

mod json_lines;

use std::fmt::Display;

use ecr_cleanup_core::account::{Place, Region};
use ecr_cleanup_core::image::{Image, ImageDigest, RepositoryName};
use ecr_cleanup_core::plan::{Decided, ImageResult, RepositoryPlan, StaleImage};
use ecr_cleanup_core::policy::Action;
use ecr_cleanup_core::report::{Outcome, Report, StaleJson};
use ecr_cleanup_core::retention::{Decision, Decisions, KeepReason, StaleReason};
use ecr_cleanup_core::usage::Usage;
use ecr_cleanup_core::warning::{About, Warning};
use serde::{Serialize, Serializer};

pub use json_lines::JsonLines;

/// The most images of a log line.
const IMAGES_PER_LINE: usize = 100;
/// A log event may have 256 KiB, and a single image's tags may fill half of that.
const BYTES_PER_LINE: usize = 100_000;

/// Logs the decisions on a repository: one line, and one for every hundred stale images.
pub fn log_repository(Place { account: _, region }: &Place, repository: &RepositoryPlan) {
    let RepositoryPlan { repository_name, decided } = repository;
    match decided {
        Ok(decided) => {
            let Decided { images, bytes, images_in_use, kept_because, exact, stale, .. } = decided;
            tracing::info!(
                %region,
                %repository_name,
                images,
                bytes,
                images_in_use,
                images_kept = kept_because.total(),
                images_stale = stale.len(),
                exact_bytes_stale = exact.map(|sizes| sizes.bytes_stale),
                "repository {repository_name} in {region}: {} of {images} images are stale",
                stale.len(),
            );
            for stale in lines(stale.iter().map(StaleLine::new)) {
                tracing::info!(%region, %repository_name, stale, "stale images of {repository_name} in {region}");
            }
        }
        Err(error) => {
            tracing::error!(%region, %repository_name, %error, remedy = error.remedy(), "can't read repository {repository_name} in {region}: {error}");
        }
    }
}

/// Logs every kept image at level DEBUG, with the reasons.
pub fn log_kept(place: &Place, repository_name: &RepositoryName, images: &[Image], decisions: &Decisions) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let region = &place.region;
    let decided = images.iter().zip(decisions.each()).enumerate();
    let kept = decided.filter_map(|(place, (image, decision))| match decision {
        Decision::Keep { reasons, candidate: _ } => Some(KeptLine {
            image_digest: image.image_digest,
            image_tags: &image.image_tags,
            kept_because: reasons.iter().collect(),
            shielded_by: decisions.shielded_by(place).map(ToString::to_string),
        }),
        Decision::Delete(_) | Decision::Archive(_) => None,
    });
    for kept in lines(kept) {
        tracing::debug!(%region, %repository_name, kept, "kept images of {repository_name} in {region}");
    }
}

/// Logs that a repository was planned again, with the warnings of the new plan.
pub fn log_planned_again(place: &Place, repository_name: &RepositoryName, warnings: &[Warning]) {
    let region = &place.region;
    tracing::info!(%region, %repository_name, "planned repository {repository_name} in {region} again, because its plan was too old");
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// Logs the results of stale images of a repository as soon as they are known: the digests of deleted and archived
/// images, and every other image with its reason. A killed run has then logged everything but the batch under way.
pub fn log_results<'a>(place: &Place, repository_name: &RepositoryName, images: impl Iterator<Item = &'a StaleImage>) {
    let region = &place.region;
    let (mut deleted, mut archived, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for image in images {
        match image.result {
            ImageResult::Deleted => deleted.push(image.image_digest),
            ImageResult::Archived => archived.push(image.image_digest),
            ImageResult::Planned
            | ImageResult::Gone
            | ImageResult::Kept
            | ImageResult::Failed(_)
            | ImageResult::NotAllowed(_)
            | ImageResult::Skipped(_)
            | ImageResult::NotAttempted(_) => others.push(image),
        }
    }
    for deleted in lines(deleted.into_iter()) {
        tracing::info!(%region, %repository_name, deleted, "deleted images of {repository_name} in {region}");
    }
    for archived in lines(archived.into_iter()) {
        tracing::info!(%region, %repository_name, archived, "archived images of {repository_name} in {region}");
    }
    for not_deleted in lines(others.into_iter().map(StaleJson)) {
        tracing::warn!(%region, %repository_name, not_deleted, "stale images of {repository_name} in {region} that were not deleted");
    }
}

/// Lists within the limits of a line, as text.
fn lines(mut images: impl Iterator<Item = impl Serialize>) -> impl Iterator<Item = String> {
    // An image that did not fit into the previous line.
    let mut left: Option<Vec<u8>> = None;
    std::iter::from_fn(move || {
        let mut line = vec![b'['];
        let mut written = 0;
        if let Some(image) = left.take() {
            line.extend(image);
            written = 1;
        }
        while written < IMAGES_PER_LINE
            && let Some(image) = images.next()
        {
            let before = line.len();
            if written > 0 {
                line.push(b',');
            }
            let begin = line.len();
            // Writing to memory can't fail.
            _ = serde_json::to_writer(&mut line, &image);
            if written > 0 && line.len() > BYTES_PER_LINE {
                left = Some(line.split_off(begin));
                line.truncate(before);
                break;
            }
            written += 1;
        }
        line.push(b']');
        (written > 0).then(|| String::from_utf8(line).unwrap_or_default())
    })
}

/// Logs every reference in use at level DEBUG, with all its holders.
pub fn log_usage(usage: &Usage) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    for (reference, holders) in usage.known().references() {
        let holders: Vec<String> = holders.iter().map(ToString::to_string).collect();
        tracing::debug!(%reference, holders = as_json(&holders), "{reference} is in use");
    }
}

/// Logs the end of the run: its totals in one line, and every warning and error that is not logged yet.
pub fn log_report(report: &Report) {
    for registry in &report.plan.registries {
        if let Err(error) = &registry.repositories {
            let region = &registry.place.region;
            tracing::error!(%region, %error, remedy = error.remedy(), "can't list the repositories in {region}: {error}");
        }
    }
    for Warning { code, about, message, cause } in &report.warnings {
        let About { registry_id: _, region, repository_name } = about;
        let (region, repository_name) =
            (region.as_ref().map(Region::as_str), repository_name.as_ref().map(RepositoryName::as_str));
        let cause = cause.as_deref().map(as_json);
        tracing::warn!(?code, region, repository_name, cause, "{message}");
    }
    let outcome = report.outcome.as_str();
    let totals = as_json(&report.totals);
    let usage = as_json(&report.usage);
    tracing::info!(outcome, totals, usage, "run {outcome}");
    if let Outcome::Refused(refusal) = &report.outcome {
        tracing::error!("{refusal}");
    }
}

/// A stale image in a log line. There may be a million, so the action is only logged if it is to archive.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StaleLine<'a> {
    image_digest: ImageDigest,
    image_tags: &'a [Box<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    #[serde(serialize_with = "as_text")]
    reason: &'a StaleReason,
}

impl<'a> StaleLine<'a> {
    fn new(image: &'a StaleImage) -> Self {
        let StaleImage { image_digest, image_tags, action, reason, .. } = image;
        let action = (*action == Action::Archive).then(|| action.as_str());
        Self { image_digest: *image_digest, image_tags, action, reason }
    }
}

/// A kept image in a log line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeptLine<'a> {
    image_digest: ImageDigest,
    image_tags: &'a [Box<str>],
    kept_because: Vec<KeepReason>,
    /// The rule that matches the image but does not select it.
    #[serde(skip_serializing_if = "Option::is_none")]
    shielded_by: Option<String>,
}

/// A value that a log line has as text.
fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// A structure as text, because a field of a log line has no other type.
fn as_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

//! What CloudWatch gets: log lines, complete whatever the report has to cut, and metrics.

mod json_lines;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use crate::account::Region;
use crate::image::{Image, ImageDigest, RepositoryName};
use crate::plan::{Decided, ImageResult, Plan, RegistryPlan, RepositoryPlan, StaleImage};
use crate::policy::Action;
use crate::report::{Outcome, Report, StaleJson, Totals};
use crate::retention::{Decision, Decisions, KeepReason, StaleReason};
use crate::usage::Discovery;

pub use json_lines::JsonLines;

/// The most images of a log line.
const IMAGES_PER_LINE: usize = 100;
/// A log event may have 256 KiB, and a single image's tags may fill half of that.
const BYTES_PER_LINE: usize = 100_000;
/// The metrics' namespace.
const NAMESPACE: &str = "EcrCleanup";

/// Logs what was decided on a repository: one line, and one for every hundred stale images.
pub fn log_repository(region: &Region, repository: &RepositoryPlan) {
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
            tracing::error!(%region, %repository_name, %error, remedy = error.remedy(), "repository {repository_name} in {region} could not be read");
        }
    }
}

/// Logs, for those who debug, every image that stays with what keeps it.
pub fn log_kept(region: &Region, repository_name: &RepositoryName, images: &[Image], decisions: &Decisions) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
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
        tracing::debug!(%region, %repository_name, kept, "images of {repository_name} in {region} that stay");
    }
}

/// Logs what became of the stale images of a live run: how many were deleted, and every other one.
pub fn log_results(plan: &Plan) {
    for RegistryPlan { registry_id: _, region, index_pulls: _, repositories } in &plan.registries {
        for RepositoryPlan { repository_name, decided } in repositories.iter().flatten() {
            let stale = decided.iter().flat_map(|decided| &decided.stale);
            let (mut deleted, mut archived, mut others) = (0_u64, 0_u64, Vec::new());
            for image in stale {
                match image.result {
                    ImageResult::Deleted => deleted += 1,
                    ImageResult::Archived => archived += 1,
                    ImageResult::Planned
                    | ImageResult::Gone
                    | ImageResult::Kept
                    | ImageResult::Failed(_)
                    | ImageResult::Skipped(_)
                    | ImageResult::NotAttempted(_) => others.push(image),
                }
            }
            if deleted > 0 {
                tracing::info!(%region, %repository_name, images = deleted, "{deleted} images of {repository_name} in {region} deleted");
            }
            if archived > 0 {
                tracing::info!(%region, %repository_name, images = archived, "{archived} images of {repository_name} in {region} archived");
            }
            for not_deleted in lines(others.into_iter().map(StaleJson)) {
                tracing::warn!(%region, %repository_name, not_deleted, "stale images of {repository_name} in {region} that were not deleted");
            }
        }
    }
}

/// Lists of at most so many images and bytes, as text.
fn lines(mut images: impl Iterator<Item = impl Serialize>) -> impl Iterator<Item = String> {
    // An image that did not fit into the line before.
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
            // Into memory, and of what serializes: it can't fail.
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

/// Logs, for those who debug, every reference in use with all who hold it.
pub fn log_usage(discovery: &Discovery) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    for (reference, holders) in discovery.usage.references() {
        let holders: Vec<String> = holders.iter().map(ToString::to_string).collect();
        tracing::debug!(%reference, holders = as_json(&holders), "{reference} is in use");
    }
}

/// Logs how the run ended: its totals in one line, and every warning and error that is not logged yet.
pub fn log_report(report: &Report) {
    for registry in &report.plan.registries {
        if let Err(error) = &registry.repositories {
            let region = &registry.region;
            tracing::error!(%region, %error, remedy = error.remedy(), "the repositories of {region} could not be listed");
        }
    }
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
    let outcome = report.outcome.as_str();
    let totals = as_json(&report.totals);
    let usage = as_json(&report.usage);
    tracing::info!(outcome, totals, usage, "run {outcome}");
    if let Outcome::Refused(refusal) = &report.outcome {
        tracing::error!("{refusal}");
    }
}

/// The run's metrics in CloudWatch's embedded metric format, a document a line: one for each region, and one without
/// dimension, which is what alarms watch.
///
/// See <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
#[must_use]
pub fn metrics(report: &Report) -> Vec<String> {
    let by_region = report.plan.registries.iter().map(|registry| {
        let decided = registry.repositories.iter().flatten().filter_map(|repository| repository.decided.as_ref().ok());
        let totals = Totals::of(decided, report.mode, report.price_per_gb_month);
        document(report, &totals, Some(&registry.region))
    });
    by_region.chain([document(report, &report.totals, None)]).collect()
}

/// The metric of a run that could not even tell whose account it is in: nothing is known of what is in use.
#[must_use]
pub fn metric_of_unknown_usage(at: DateTime<Utc>) -> String {
    let metric = json!({ "Name": "UsageIncomplete", "Unit": "Count" });
    let directive = json!({ "Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": [metric] });
    let aws = json!({ "Timestamp": at.timestamp_millis(), "CloudWatchMetrics": [directive] });
    json!({ "_aws": aws, "UsageIncomplete": 1 }).to_string()
}

fn document(report: &Report, totals: &Totals, region: Option<&Region>) -> String {
    const METRICS: [(&str, &str); 11] = [
        ("ImagesInUse", "Count"),
        ("ImagesStale", "Count"),
        ("ImagesDeleted", "Count"),
        ("ImagesArchived", "Count"),
        ("ImagesFailed", "Count"),
        ("ImagesAtRisk", "Count"),
        ("BytesStale", "Bytes"),
        ("BytesDeleted", "Bytes"),
        ("MonthlySavingUsd", "None"),
        ("RunDuration", "Milliseconds"),
        ("UsageIncomplete", "Count"),
    ];
    let duration = (report.finished_at - report.started_at).num_milliseconds();
    let values: [Value; METRICS.len()] = [
        totals.images_in_use.into(),
        totals.images_stale.into(),
        totals.images_deleted.into(),
        totals.images_archived.into(),
        totals.images_failed.into(),
        totals.images_at_risk.into(),
        totals.bytes_stale.into(),
        totals.bytes_deleted.into(),
        totals.monthly_saving_usd.into(),
        duration.into(),
        u8::from(!report.usage.complete).into(),
    ];
    let dimensions = region.map_or(json!([[]]), |_| json!([["Region"]]));
    let definitions: Vec<Value> = METRICS.iter().map(|(name, unit)| json!({ "Name": name, "Unit": unit })).collect();
    let mut document = json!({
        "_aws": {
            "Timestamp": report.finished_at.timestamp_millis(),
            "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": definitions }],
        },
    });
    for ((name, _), value) in METRICS.iter().zip(values) {
        document[*name] = value;
    }
    if let Some(region) = region {
        document["Region"] = region.as_str().into();
    }
    document.to_string()
}

/// A stale image in a log line. There may be a million, so only what is to be archived tells its action.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StaleLine<'a> {
    image_digest: ImageDigest,
    image_tags: &'a [Box<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    reason: &'a StaleReason,
}

impl<'a> StaleLine<'a> {
    fn new(image: &'a StaleImage) -> Self {
        let StaleImage { image_digest, image_tags, action, reason, .. } = image;
        let action = (*action == Action::Archive).then(|| action.as_str());
        Self { image_digest: *image_digest, image_tags, action, reason }
    }
}

/// An image that stays, in a log line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeptLine<'a> {
    image_digest: ImageDigest,
    image_tags: &'a [Box<str>],
    kept_because: Vec<KeepReason>,
    /// The rule that speaks of it without taking it.
    #[serde(skip_serializing_if = "Option::is_none")]
    shielded_by: Option<String>,
}

/// A structure as text: a field of a log line holds no other.
fn as_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

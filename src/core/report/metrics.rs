//! The metrics of a run, as log documents for CloudWatch.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{Report, Totals};
use crate::account::Region;

/// The metrics' namespace.
const NAMESPACE: &str = "EcrCleanup";

/// The metrics of a run in CloudWatch's embedded metric format, one document per line: one for each region, and one without
/// dimensions for alarms.
///
/// See <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
#[must_use]
pub fn metrics(report: &Report) -> Vec<String> {
    let by_region = report.plan.registries.iter().map(|registry| {
        let totals = Totals::of(std::slice::from_ref(registry), report.mode, report.price_per_gb_month);
        document(report, &totals, Some(&registry.place.region))
    });
    by_region.chain([document(report, &report.totals, None)]).collect()
}

/// The metric of a run that could not determine its own account, and therefore no usage.
#[must_use]
pub fn metric_of_unknown_usage(at: DateTime<Utc>) -> String {
    let metric = json!({ "Name": "UsageIncomplete", "Unit": "Count" });
    let directive = json!({ "Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": [metric] });
    let aws = json!({ "Timestamp": at.timestamp_millis(), "CloudWatchMetrics": [directive] });
    json!({ "_aws": aws, "UsageIncomplete": 1 }).to_string()
}

fn document(report: &Report, totals: &Totals, region: Option<&Region>) -> String {
    const METRICS: [(&str, &str); 12] = [
        ("ImagesInUse", "Count"),
        ("ImagesStale", "Count"),
        ("ImagesDeleted", "Count"),
        ("ImagesArchived", "Count"),
        ("ImagesFailed", "Count"),
        ("ImagesAtRisk", "Count"),
        ("ImagesMissing", "Count"),
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
        totals.images_missing.into(),
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

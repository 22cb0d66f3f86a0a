//! Reports for the renderers' tests.

use ecr_cleanup_core::settings::Mode;
use serde_json::{Value, json};

use super::view::View;

fn digest(number: u32) -> String {
    format!("sha256:{number:064x}")
}

fn stale(number: u32, tags: &[&str], reason: &str, result: &Value) -> Value {
    let mut image = json!({
        "imageDigest": digest(number),
        "imageTags": tags,
        "imagePushedAt": "2024-03-01T08:00:00Z",
        "imageSizeInBytes": 67_108_864,
        "reason": reason,
    });
    for (key, value) in result.as_object().unwrap() {
        image[key] = value.clone();
    }
    image
}

/// Three repositories in two regions, one of them clean; another could not be read.
pub(super) fn company(mode: Mode) -> View {
    let results = match mode {
        Mode::DryRun => vec![json!({ "result": "planned" }); 4],
        Mode::Live => vec![
            json!({ "result": "deleted" }),
            json!({ "result": "failed", "failureCode": "KmsError", "failureReason": "the key is | gone" }),
            json!({ "result": "skipped", "skippedBecause": "its tags have changed" }),
            json!({ "result": "deleted" }),
        ],
    };
    let live = mode == Mode::Live;
    let report = json!({
        "outcome": if live { "partial" } else { "planned" },
        "dryRun": !live,
        "startedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T00:00:02Z",
        "totals": {
            "repositories": 3, "images": 5_340, "bytes": 1_610_612_736_000_u64, "monthlyCostUsd": 150.0, "imagesAtRisk": 1, "imagesMissing": 1,
            "imagesInUse": 7, "imagesKept": 5_336, "imagesStale": 4, "imagesDeleted": if live { 2 } else { 0 },
            "imagesFailed": u8::from(live), "imagesSkipped": u8::from(live),
            "bytesStale": 268_435_456, "bytesDeleted": if live { 134_217_728 } else { 0 }, "monthlySavingUsd": 0.03,
        },
        "pricePerGbMonth": 0.1,
        "settings": {
            "dryRun": { "value": !live, "from": "event" }, "imagesToKeep": { "value": 100, "from": "default" },
            "keepTags": { "value": ["latest", "prod-*"], "from": "event" }, "untaggedOlderThanDays": { "value": null, "from": "environment" },
        },
        "usage": { "complete": true, "references": 9, "regions": ["us-west-2"], "accounts": ["123456789012"] },
        "regions": [
            { "registryId": "123456789012", "region": "eu-central-1", "repositories": [
                { "repositoryName": "platform/data/forecasting/nightly-model-training-and-evaluation", "images": 214,
                  "bytes": 536_870_912_000_u64, "imagesInUse": 2, "imagesKept": 213, "keptBecause": { "inUse": 2, "newest": 211 },
                  "bytesInUse": 1_u64 << 30, "bytesKept": 530_000_000_000_u64,
                  "imagesStale": 1, "bytesStale": 67_108_864, "exactBytes": 107_374_182_400_u64, "exactBytesStale": 41_943_040,
                  "bytesDeleted": if live { 67_108_864 } else { 0 }, "exactBytesDeleted": if live { json!(41_943_040) } else { json!(null) },
                  "stale": [stale(7, &[], "untagged and older than 15 days", &results[3])] },
                { "repositoryName": "team/clean", "images": 12, "imagesInUse": 1, "imagesKept": 12, "keptBecause": { "newest": 12 },
                  "imagesStale": 0, "bytesStale": 0, "stale": [] },
                { "repositoryName": "team/locked", "error": { "api": "ecr:DescribeImages", "code": "AccessDeniedException", "message": "no" } } ] },
            { "registryId": "123456789012", "region": "us-west-2", "repositories": [
                { "repositoryName": "web/storefront", "images": 5_114, "bytes": 1_073_741_824_000_u64, "imagesInUse": 4, "imagesKept": 5_111,
                  "keptBecause": { "inUse": 4, "newest": 5_107 }, "bytesInUse": 1_u64 << 32, "bytesKept": 1_u64 << 39,
                  "onlyInUse": [{ "imageDigest": digest(9), "imageTags": ["build-40"], "imagePushedAt": null,
                                  "heldBy": "ECS service arn:aws:ecs:us-west-2:123456789012:service/web/night_shift" }],
                  "atRisk": [{ "imageDigest": digest(9), "imageTags": ["build-40"], "heldBy": "ECS service arn:aws:ecs:us-west-2:123456789012:service/web/night_shift",
                               "rulePriority": 1, "ruleDescription": "keep 90", "action": "expire" }],
                  "missing": [{ "imageTag": "build-9", "because": "notFound", "usedBy": "ECS task arn:aws:ecs:us-west-2:123456789012:task/web/1" }],
                  "imagesStale": 3, "bytesStale": 201_326_592, "bytesDeleted": if live { 67_108_864 } else { 0 },
                  "stale": [
                    stale(1, &["build-1", "1.0.0"], "not among the 100 newest tagged images", &results[0]),
                    stale(2, &["build-2"], "expired by rule 3 of policy 1 (drop `old` | stale @team)", &results[1]),
                    stale(3, &[], &format!("named by the stale index {}", digest(1)), &results[2]) ] } ] } ],
        "truncatedImages": 0,
        "warnings": [{ "code": "SharedElsewhere", "registryId": "123456789012", "region": "us-west-2", "repositoryName": "team/kept",
                       "message": "repository team/kept in us-west-2 is kept whole: its policy lets * pull, whose usage isn't read" }],
    });
    serde_json::from_value(report).unwrap()
}

/// This number of repositories, with this number of stale images in total.
pub(super) fn crowd(repositories: u32, images: u32) -> View {
    let of_repository = |number: u32| {
        let listed = (number..images).step_by(repositories as usize);
        let listed: Vec<Value> = listed
            .map(|image| {
                stale(image, &[&format!("v{image}")], "not the newest tagged image", &json!({ "result": "planned" }))
            })
            .collect();
        json!({ "repositoryName": format!("team-{number}/app"), "images": 9, "imagesStale": listed.len(), "stale": listed })
    };
    let report = json!({
        "outcome": "planned", "dryRun": true, "finishedAt": "2026-01-01T00:00:02Z",
        "totals": { "repositories": repositories, "images": images, "imagesStale": images },
        "pricePerGbMonth": 0.1,
        "settings": {},
        "usage": { "complete": true, "references": 0, "regions": ["us-west-2"], "accounts": ["123456789012"] },
        "regions": [{ "registryId": "123456789012", "region": "us-west-2",
                      "repositories": (0..repositories).map(of_repository).collect::<Vec<_>>() }],
        "truncatedImages": 0,
        "warnings": [],
    });
    serde_json::from_value(report).unwrap()
}

//! Manifests may have 4 MiB each. The run requests answers that would be too large in parts.

use ecr_cleanup_core::report::Outcome;
use serde_json::json;
use simulated_aws::{ACCOUNT, Fault, Image, REGION, Repository, SimulatedAws};

use crate::support::{merciless, run_on, with};

const MEBIBYTE: usize = 1 << 20;

/// Old indexes, each with one platform and a manifest of this size in bytes.
fn push_indexes(app: &Repository, name: &str, count: usize, bytes: usize) {
    for build in 0..count {
        let platform = Image::untagged().days_old(90.0);
        let text = "x".repeat(bytes);
        let manifest = json!({
            "schemaVersion": 2, "manifests": [{ "digest": platform.digest() }], "annotations": { "text": text },
        });
        let index = Image::of_manifest("application/vnd.oci.image.index.v1+json", &manifest.to_string());
        app.push_all([platform, index.and_tag(&format!("{name}-{build}")).days_old(90.0)]);
    }
}

fn account() -> (SimulatedAws, Repository) {
    let aws = SimulatedAws::in_memory();
    aws.place(ACCOUNT, REGION).exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
    let app = aws.repository("app");
    aws.cluster("prod").runs("nginx");
    (aws, app)
}

/// The number of images that each call requested.
fn asked(aws: &SimulatedAws) -> Vec<usize> {
    let calls = aws.calls_of("ecr:BatchGetImage");
    calls.iter().map(|call| call.request["imageIds"].as_array().unwrap().len()).collect()
}

#[tokio::test(start_paused = true)]
async fn large_manifests_are_read_in_parts_of_at_most_thirty_two_mebibytes() {
    let (aws, app) = account();
    push_indexes(&app, "large", 40, MEBIBYTE);
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!((&report.outcome, app.digests().len()), (&Outcome::Completed, 0), "all were read and are gone");
    assert_eq!(asked(&aws), [40, 31, 9], "the first answer is given up, and not asked for once more as it was");
}

#[tokio::test(start_paused = true)]
async fn where_manifests_are_small_every_call_is_full() {
    let (aws, app) = account();
    push_indexes(&app, "ordinary", 250, 8_000);
    run_on(&aws, merciless(false)).await;
    assert_eq!((app.digests().len(), asked(&aws)), (0, vec![100, 100, 50]));
}

#[tokio::test(start_paused = true)]
async fn full_calls_are_made_again_after_a_large_manifest() {
    let (aws, app) = account();
    push_indexes(&app, "large", 3, 4 * MEBIBYTE - 1_000);
    push_indexes(&app, "ordinary", 297, 500);
    run_on(&aws, merciless(false)).await;
    assert_eq!(app.digests().len(), 0);
    let asked = asked(&aws);
    assert!(asked.len() <= 6 && asked.iter().filter(|images| **images == 100).count() >= 3, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_manifest_of_many_tags_that_no_answer_may_hold_keeps_what_it_may_name() {
    let (aws, app) = account();
    push_indexes(&app, "large", 1, 4 * MEBIBYTE - 1_000);
    let index = app.digest_of("large-0");
    for tag in 1..30 {
        app.tag(&index, &format!("large-{tag}"));
    }
    app.push(Image::tagged("newer").days_old(1.0));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!(app.digests().len(), 2, "the index and its platform: {:?}", report.warnings);
    assert_eq!(asked(&aws), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn exact_sizes_are_read_in_parts_too() {
    let (aws, app) = account();
    let text = "x".repeat(MEBIBYTE);
    for build in 0..40 {
        let blob = |name: &str| json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "size": 5, "digest": format!("sha256:{name:0>64}") });
        let manifest = json!({
            "schemaVersion": 2, "config": blob("1"), "layers": [blob(&format!("{build}a"))], "annotations": { "text": text },
        });
        let image = Image::of_manifest("application/vnd.oci.image.manifest.v1+json", &manifest.to_string());
        app.push(image.and_tag(&format!("v{build}")).days_old(90.0));
    }
    let report = run_on(&aws, with(merciless(true), &json!({ "exactSizes": true }))).await;
    let exact = report.plan.decided().next().unwrap().exact.unwrap();
    assert_eq!(exact.bytes_stale, 41 * 5);
    assert_eq!(asked(&aws), [40, 31, 9]);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fails_is_told_and_the_others_are_read() {
    let (aws, app) = account();
    push_indexes(&app, "large", 40, MEBIBYTE);
    aws.inject(Fault::error("ecr:BatchGetImage", 400, "OddException").after(2));
    let report = run_on(&aws, merciless(false)).await;
    let unfetched = report.plan.decided().next().unwrap().unfetched.clone().unwrap();
    assert_eq!((report.outcome, unfetched.indexes), (Outcome::Partial, 9));
    assert_eq!(asked(&aws), [40, 31, 9]);
}

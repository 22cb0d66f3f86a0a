//! `exactSizes`: the bytes that deletes really free, counted blob by blob, or no number at all.

use std::collections::BTreeMap;

use ecr_cleanup_core::plan::Decided;
use ecr_cleanup_core::report::{Outcome, Report};
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, CONFIG_SIZE, Fault, Image, REGION, Repository, SimulatedAws};

use crate::support::{forget, json_of, merciless, run_on, set, stale_digests, with};

const ROLE: &str = "arn:aws:iam::123456789012:role/tools/ecr-cleanup";

fn exact(dry_run: bool) -> Value {
    with(merciless(dry_run), &json!({ "exactSizes": true }))
}

/// An account whose reads of manifests don't count as pulls.
fn account() -> SimulatedAws {
    let aws = SimulatedAws::in_memory();
    aws.place(ACCOUNT, REGION).exclude_pull_times_of(ROLE);
    aws
}

/// Three builds on one base. The newest is running. `a-tool` is two layers that the second build has too.
fn push_builds(aws: &SimulatedAws, name: &str) -> Repository {
    let app = aws.repository(name);
    app.push(Image::of_layers(&[("base", 1_000), ("tool", 30), ("one", 1)]).and_tag("v1").days_old(9.0));
    app.push(Image::of_layers(&[("base", 1_000), ("tool", 30), ("two", 4)]).and_tag("v2").days_old(8.0));
    app.push(Image::of_layers(&[("base", 1_000), ("three", 16)]).and_tag("v3").days_old(7.0));
    aws.cluster("prod").runs(&app.uri("v3"));
    app
}

/// The layers that deleting `v1` and `v2` frees: each once, without the base, which `v3` needs.
const FREED: u64 = 30 + 1 + 4 + 2 * CONFIG_SIZE;
/// The sum of their sizes.
const SUM: u64 = 2 * (1_000 + 30 + CONFIG_SIZE) + 1 + 4;

fn of(report: &Report, place: usize) -> &Decided {
    report.plan.decided().nth(place).unwrap()
}

fn warning(report: &Report, text: &str) -> bool {
    report.warnings.iter().any(|warning| warning.to_string().contains(text))
}

#[tokio::test(start_paused = true)]
async fn layers_that_images_share_are_counted_once_and_those_that_stay_not_at_all() {
    let aws = account();
    push_builds(&aws, "app");
    let report = run_on(&aws, exact(true)).await;
    assert_eq!((report.outcome.as_str(), report.totals.images_stale), ("planned", 2));
    let json = json_of(&report);
    let repository = &json["regions"][0]["repositories"][0];
    assert_eq!((&repository["bytesStale"], &repository["exactBytesStale"]), (&json!(SUM), &json!(FREED)));
    assert_eq!(repository["exactBytes"], 1_000 + 30 + 1 + 4 + 16 + 3 * CONFIG_SIZE);
    assert_eq!((&json["totals"]["bytesStale"], &json["totals"]["exactBytesStale"]), (&json!(SUM), &json!(FREED)));
    assert_eq!(json["totals"]["exactMonthlySavingUsd"], 0.0);
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
}

#[tokio::test(start_paused = true)]
async fn without_the_setting_no_manifest_is_read() {
    let aws = account();
    push_builds(&aws, "app");
    let report = run_on(&aws, merciless(true)).await;
    assert_eq!((of(&report, 0).exact, report.totals.exact_bytes_stale), (None, None));
    let mut told = json_of(&report);
    forget(&mut told, &["settings"]);
    assert!(!told.to_string().contains("exact"));
    assert!(aws.calls_of("ecr:BatchGetImage").is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_an_exclusion_nothing_is_read_and_the_command_is_told() {
    let command = "`aws ecr register-pull-time-update-exclusion --principal-arn \
                   arn:aws:iam::123456789012:role/ecr-cleanup --region us-west-2`";
    for denied in [false, true] {
        let aws = if denied { account() } else { SimulatedAws::in_memory() };
        push_builds(&aws, "app");
        push_builds(&aws, "web");
        if denied {
            aws.inject(Fault::denied("ecr:ListPullTimeUpdateExclusions"));
        }
        let report = run_on(&aws, exact(false)).await;
        assert_eq!((&report.outcome, report.totals.images_deleted), (&Outcome::Completed, 4), "the run goes on");
        assert_eq!((report.totals.bytes_deleted, report.totals.exact_bytes_deleted), (2 * SUM, None));
        assert!(aws.calls_of("ecr:BatchGetImage").is_empty());
        assert_eq!(report.warnings.len(), 1, "once a region: {:?}", report.warnings);
        assert!(warning(&report, "exactSizes was not used in us-west-2") && warning(&report, command));
        assert_eq!(warning(&report, "grant ecr:ListPullTimeUpdateExclusions"), denied);
    }
}

#[tokio::test(start_paused = true)]
async fn who_can_not_be_excluded_is_told_to_run_as_somebody_else() {
    let aws = SimulatedAws::in_memory();
    push_builds(&aws, "app");
    aws.set_caller("arn:aws:iam::123456789012:root");
    let report = run_on(&aws, exact(true)).await;
    assert!(warning(&report, "run as a role or user that can be registered"), "{:?}", report.warnings);
}

#[tokio::test(start_paused = true)]
async fn reading_leaves_no_trace_that_would_keep_an_image() {
    let aws = account();
    let app = push_builds(&aws, "app");
    let event = |dry_run| with(exact(dry_run), &json!({ "keepPulledWithinDays": 30 }));
    let first = run_on(&aws, event(true)).await;
    let second = run_on(&aws, event(true)).await;
    assert_eq!(first.totals.exact_bytes_stale, Some(FREED));
    assert_eq!((stale_digests(&second), &second.totals), (stale_digests(&first), &first.totals));
    assert!(!aws.calls_of("ecr:BatchGetImage").is_empty());
    let live = run_on(&aws, event(false)).await;
    assert_eq!((live.totals.images_deleted, live.totals.images_skipped), (2, 0));
    assert_eq!(app.tags(), set(["v3"]));
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_known_is_left_out_and_told() {
    for (why, told) in [
        ("refused", "KmsError"),
        ("denied", "grant ecr:BatchGetImage"),
        ("archived", "it is archived"),
        ("unnamed", "1 of its images have no digest"),
        ("schema 1", "is not a valid image manifest"),
    ] {
        let aws = account();
        let app = push_builds(&aws, "app");
        push_builds(&aws, "web");
        match why {
            "refused" => aws.inject(Fault::withheld_manifest(&app.digest_of("v3"), "KmsError")),
            "denied" => aws.inject(Fault::denied("ecr:BatchGetImage").for_repository("app")),
            "archived" => _ = app.push(Image::tagged("old").days_old(99.0).archived_days_ago(50.0)),
            "unnamed" => _ = app.push(Image::tagged("odd").days_old(1.0).without("imageDigest")),
            _ => {
                let manifest = r#"{"schemaVersion":1,"fsLayers":[]}"#;
                let media_type = "application/vnd.docker.distribution.manifest.v2+json";
                _ = app.push(Image::of_manifest(media_type, manifest).and_tag("v0").days_old(50.0));
            }
        }
        let report = run_on(&aws, exact(true)).await;
        assert_eq!(report.outcome, Outcome::Planned, "{why}: the plan does not need it");
        assert_eq!(of(&report, 0).exact, None, "{why}");
        assert_eq!(of(&report, 1).exact.map(|sizes| sizes.bytes_stale), Some(FREED), "{why}: the other is counted");
        assert_eq!(report.totals.exact_bytes_stale, None, "{why}: no sum of what isn't known");
        assert!(warning(&report, "can't compute the exact sizes of app in us-west-2"), "{why}: {:?}", report.warnings);
        assert!(warning(&report, told), "{why}: {:?}", report.warnings);
        assert_eq!(report.warnings.len(), 1, "{why}: {:?}", report.warnings);
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_run_tells_what_it_freed_where_all_went() {
    let aws = account();
    push_builds(&aws, "app");
    push_builds(&aws, "web");
    let report = run_on(&aws, exact(false)).await;
    assert_eq!(report.outcome, Outcome::Completed);
    let json = json_of(&report);
    let repositories = &json["regions"][0]["repositories"];
    assert_eq!(repositories[0]["exactBytesDeleted"], FREED);
    assert_eq!(json["totals"]["exactBytesDeleted"], 2 * FREED);

    let aws = account();
    let app = push_builds(&aws, "app");
    push_builds(&aws, "web");
    let failing = app.digest_of("v1");
    aws.inject(Fault::error("ecr:BatchDeleteImage", 400, "KmsException").for_repository("app").mentioning(&failing));
    let report = run_on(&aws, exact(false)).await;
    let json = json_of(&report);
    assert_eq!(json["regions"][0]["repositories"][0]["exactBytesDeleted"], 0, "none went");
    assert_eq!(json["totals"]["exactBytesDeleted"], FREED);
    assert_eq!(json["totals"]["exactBytesStale"], 2 * FREED, "what was planned");
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_image_shares_with_the_deleted_is_not_guessed() {
    let aws = account();
    let app = push_builds(&aws, "app");
    aws.inject(Fault::image_failures([(app.digest_of("v1").as_str(), "KmsError")]));
    let report = run_on(&aws, exact(false)).await;
    assert_eq!((report.totals.images_deleted, report.totals.images_failed), (1, 1));
    assert_eq!(report.totals.exact_bytes_stale, Some(FREED));
    assert_eq!((report.totals.exact_bytes_deleted, report.totals.exact_monthly_saving_usd), (None, None));
}

#[tokio::test(start_paused = true)]
async fn what_goes_to_the_archive_frees_nothing_and_holds_its_layers() {
    let aws = account();
    push_builds(&aws, "app");
    let rule = |priority: u32, pattern: &str, action: Value| {
        json!({
            "rulePriority": priority,
            "selection": {
                "tagStatus": "tagged", "tagPatternList": [pattern],
                "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1,
            },
            "action": action,
        })
    };
    let archive = json!({ "type": "transition", "targetStorageClass": "archive" });
    let rules = [rule(1, "v1", json!({ "type": "expire" })), rule(2, "v2", archive)];
    let event = json!({ "policies": [{ "repositories": ["*"], "rules": rules }], "exactSizes": true, "keepBeforeInUse": 0, "keepPulledWithinDays": 0 });
    let report = run_on(&aws, event).await;
    assert_eq!((report.totals.images_stale, report.totals.images_to_archive), (2, 1));
    assert_eq!(report.totals.exact_bytes_stale, Some(1 + CONFIG_SIZE), "the tool is archived with v2");
}

#[tokio::test(start_paused = true)]
async fn only_what_has_anything_to_delete_is_read_a_hundred_images_a_call() {
    let aws = account();
    let app = aws.repository("app").daily_builds(250);
    aws.repository("clean").push(Image::tagged("v1").days_old(1.0));
    aws.cluster("prod").runs(&app.uri("v250"));
    aws.cluster("prod").runs(&aws.repository("clean").uri("v1"));
    let report = run_on(&aws, exact(true)).await;
    assert_eq!(report.totals.exact_bytes_stale, Some(249 * CONFIG_SIZE));
    let calls = aws.calls_of("ecr:BatchGetImage");
    assert!(calls.iter().all(|call| call.request["repositoryName"] == "app"));
    let asked: Vec<usize> = calls.iter().map(|call| call.request["imageIds"].as_array().unwrap().len()).collect();
    assert_eq!((asked.len(), asked.iter().sum::<usize>()), (3, 250));
}

#[tokio::test(start_paused = true)]
async fn of_a_multi_arch_image_its_platforms_are_counted() {
    let aws = account();
    let app = aws.repository("app");
    let platform = |layer| Image::of_layers(&[("shared", 1_000), (layer, 7)]).days_old(9.0);
    let (amd64, arm64, other) = (platform("amd64"), platform("arm64"), platform("other").and_tag("other"));
    app.push(Image::index_of([&amd64, &arm64]).and_tag("v1").days_old(9.0));
    aws.cluster("prod").runs(&app.uri("other"));
    app.push_all([amd64, arm64, other]);
    let report = run_on(&aws, exact(true)).await;
    assert_eq!(report.totals.images_stale, 3);
    assert_eq!(report.totals.exact_bytes_stale, Some(2 * (7 + CONFIG_SIZE)));
}

#[tokio::test(start_paused = true)]
async fn real_manifests_are_counted_as_they_say() {
    let aws = account();
    let sample = aws.repository("sample");
    crate::real_manifests::push_all(&sample);
    aws.cluster("prod").runs(&sample.uri_by_digest(&crate::real_manifests::digest_of("docker-multi")));
    let report = run_on(&aws, exact(true)).await;
    let stale = stale_digests(&report);
    // Blob by blob, from the manifests that the tools wrote.
    let blobs = |is_counted: &dyn Fn(&str) -> bool| {
        let mut blobs = BTreeMap::new();
        for image in crate::real_manifests::images() {
            let manifest: Value =
                serde_json::from_str(&crate::real_manifests::read(image["file"].as_str().unwrap())).unwrap();
            let layers = manifest["layers"].as_array().into_iter().flatten();
            for blob in layers.chain([&manifest["config"]]).filter(|blob| blob.is_object()) {
                if is_counted(image["digest"].as_str().unwrap()) {
                    blobs.insert(blob["digest"].to_string(), blob["size"].as_u64().unwrap());
                }
            }
        }
        blobs
    };
    let all = blobs(&|_| true);
    let kept = blobs(&|digest| !stale.contains(digest));
    let freed: u64 = all.iter().filter(|(digest, _)| !kept.contains_key(*digest)).map(|(_, bytes)| bytes).sum();
    assert!(freed > 0 && !kept.is_empty());
    let sizes = of(&report, 0).exact.expect("all of them can be read");
    assert_eq!((sizes.bytes, sizes.bytes_stale), (all.values().sum(), freed));
}

//! Deletes when AWS answers late, twice, not at all, or with an error.

use std::collections::BTreeMap;
use std::time::Duration;

use ecr_cleanup_core::plan::ImageResult;
use ecr_cleanup_core::report::{Outcome, Report};
use serde_json::json;
use simulated_aws::{Fault, Image, Repository, SimulatedAws};

use crate::support::{deadline_in, json_of, merciless, push_multi_arch, run_on, run_until, set, with};

/// The number of images with each result.
fn results(report: &Report) -> BTreeMap<&'static str, usize> {
    let mut results = BTreeMap::new();
    report.plan.stale().for_each(|image| *results.entry(image.result.as_str()).or_default() += 1);
    results
}

fn six_builds() -> (SimulatedAws, Repository) {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(6);
    aws.cluster("prod").runs(&app.uri("v6"));
    (aws, app)
}

#[tokio::test(start_paused = true)]
async fn images_whose_delete_was_answered_too_late_count_as_deleted() {
    let (aws, app) = six_builds();
    aws.inject(Fault::lost_answer("ecr:BatchDeleteImage").times(1));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(results(&report), BTreeMap::from([("deleted", 5)]));
    assert_eq!((report.outcome, report.totals.images_deleted), (Outcome::Completed, 5));
    assert_eq!(app.digests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn images_whose_delete_was_never_answered_are_looked_for_and_count_as_deleted() {
    let (aws, app) = six_builds();
    aws.inject(Fault::lost_answer("ecr:BatchDeleteImage"));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(results(&report), BTreeMap::from([("deleted", 5)]));
    assert_eq!((report.outcome, report.totals.images_deleted), (Outcome::Completed, 5));
    assert_eq!(app.digests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn images_whose_delete_never_arrived_are_told_as_failed() {
    let (aws, app) = six_builds();
    aws.inject(Fault::error("ecr:BatchDeleteImage", 500, "ServerException"));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(results(&report), BTreeMap::from([("failed", 5)]));
    assert_eq!((report.outcome, app.digests().len()), (Outcome::Partial, 6));
}

#[tokio::test(start_paused = true)]
async fn an_image_that_somebody_else_deleted_is_told_as_gone() {
    let (aws, app) = six_builds();
    let gone = app.digest_of("v1");
    aws.inject(Fault::image_failures([(gone.as_str(), "ImageNotFound")]));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(results(&report), BTreeMap::from([("deleted", 4), ("gone", 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_the_role_may_not_delete_from_is_told_and_fails_nothing() {
    let (aws, app) = six_builds();
    let team = aws.repository("team/app").daily_builds(4);
    aws.inject(Fault::denied("ecr:BatchDeleteImage").for_repository("app"));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(results(&report), BTreeMap::from([("deleted", 4), ("notAllowed", 5)]));
    assert_eq!((report.outcome.clone(), report.totals.images_failed), (Outcome::Completed, 0));
    assert_eq!((app.digests().len(), team.digests().len()), (6, 0));
    let told = json_of(&report);
    assert_eq!(told["totals"]["imagesNotAllowed"], 5);
    let warning = report.warnings.iter().find(|warning| warning.message.contains("ecr:BatchDeleteImage")).unwrap();
    assert!(warning.message.contains("app in us-west-2"), "{warning}");
}

#[tokio::test(start_paused = true)]
async fn archiving_that_the_role_may_not_do_is_told_and_fails_nothing() {
    let (aws, _) = six_builds();
    aws.inject(Fault::denied("ecr:UpdateImageStorageClass"));
    let archive = json!([{ "repositories": ["*"], "rules": [{
        "rulePriority": 1,
        "selection": { "tagStatus": "any", "countType": "sinceImagePulled", "countUnit": "days", "countNumber": 1 },
        "action": { "type": "transition", "targetStorageClass": "archive" },
    }] }]);
    let event = with(json!({ "dryRun": false, "keepPulledWithinDays": 0 }), &json!({ "policies": archive }));
    let report = run_on(&aws, event).await;
    assert!(report.totals.images_not_allowed >= 4, "{:?}", report.totals);
    assert_eq!(results(&report).keys().collect::<Vec<_>>(), [&"notAllowed"]);
    assert_eq!(report.outcome, Outcome::Completed);
    assert!(report.plan.stale().all(|image| matches!(image.result, ImageResult::NotAllowed(_))));
}

/// An old index with two platforms, and a cosign signature that only its tag identifies.
fn push_signed(app: &Repository) -> String {
    let [.., index] = push_multi_arch(app, "v1", 90.0);
    app.push(Image::tagged(&Image::tag_about(&index, ".sig")).days_old(90.0))
}

#[tokio::test(start_paused = true)]
async fn a_signature_goes_with_its_index_where_time_is_up_between_the_two() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let signature = push_signed(&app);
    let v2 = app.push(Image::tagged("v2").days_old(80.0));
    // An artifact attached to the signature, also identified by its tag.
    app.push(Image::tagged(&Image::tag_about(&signature, ".att")).days_old(90.0));
    aws.cluster("prod").runs("nginx");
    // The index and v2 are deleted when less than ten seconds are left.
    let limits = deadline_in(&aws, Duration::from_secs(12));
    aws.inject(Fault::slow("ecr:BatchDeleteImage", Duration::from_secs(3)).mentioning(&v2));
    let report = run_until(&aws, merciless(false), limits).await.unwrap();
    assert_eq!(report.outcome, Outcome::DeadlineReached);
    assert_eq!(results(&report), BTreeMap::from([("deleted", 4), ("notAttempted", 2)]));
    assert_eq!((app.tags(), app.digests().len()), (set([]), 2), "the platforms are left for the next run");
    aws.heal();
    run_on(&aws, merciless(false)).await;
    assert!(app.digests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_signature_whose_delete_fails_is_tried_again() {
    let throttled: fn(&str) -> Fault = |operation| Fault::throttled(operation).times(12);
    let failing: fn(&str) -> Fault = |operation| Fault::error(operation, 500, "ServerException").times(12);
    let lost: fn(&str) -> Fault = |operation| Fault::lost_answer(operation).times(1);
    for fault in [throttled, failing, lost] {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app");
        let signature = push_signed(&app);
        aws.cluster("prod").runs("nginx");
        aws.inject(fault("ecr:BatchDeleteImage").mentioning(&signature));
        run_on(&aws, merciless(false)).await;
        assert!(!app.digests().contains(&signature));
    }
    // After some attempts, the report shows an image that ECR always refuses to delete.
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let signature = push_signed(&app);
    aws.cluster("prod").runs("nginx");
    aws.inject(Fault::image_failures([(signature.as_str(), "KmsError")]));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(results(&report), BTreeMap::from([("deleted", 3), ("failed", 1)]));
    let asked = aws
        .calls_of("ecr:BatchDeleteImage")
        .iter()
        .filter(|call| call.request.to_string().contains(&signature))
        .count();
    assert_eq!((&report.outcome, asked), (&Outcome::Partial, 5));
}

#[tokio::test(start_paused = true)]
async fn a_signature_stays_where_its_index_does() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let signature = push_signed(&app);
    let index = app.digest_of("v1");
    aws.cluster("prod").runs("nginx");
    aws.inject(Fault::error("ecr:BatchDeleteImage", 500, "ServerException").mentioning(&index));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(results(&report), BTreeMap::from([("failed", 1), ("notAttempted", 3)]));
    assert!(app.digests().contains(&signature));
}

#[tokio::test(start_paused = true)]
async fn a_signature_that_is_used_by_then_stays() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let signature = push_signed(&app);
    let index = app.digest_of("v1");
    aws.cluster("prod").runs("nginx");
    let (repository, tagged) = (app.clone(), signature.clone());
    let slow = Fault::before("ecr:BatchDeleteImage", Duration::from_secs(3), move || repository.tag(&tagged, "prod"));
    aws.inject(slow.mentioning(&index));
    let report = run_until(&aws, merciless(false), deadline_in(&aws, Duration::from_secs(12))).await.unwrap();
    assert_eq!(results(&report), BTreeMap::from([("deleted", 1), ("notAttempted", 2), ("skipped", 1)]));
    assert!(app.tags().contains("prod"));
}

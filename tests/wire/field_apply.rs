//! What becomes of deletes when AWS answers late, twice, not at all, or says no.

use std::collections::BTreeMap;

use ecr_cleanup_core::plan::ImageResult;
use ecr_cleanup_core::report::{Outcome, Report};
use serde_json::json;
use simulated_aws::{Fault, SimulatedAws};

use crate::support::{json_of, merciless, run_on, with};

/// How many images came to each result.
fn results(report: &Report) -> BTreeMap<&'static str, usize> {
    let mut results = BTreeMap::new();
    report.plan.stale().for_each(|image| *results.entry(image.result.as_str()).or_default() += 1);
    results
}

fn six_builds() -> (SimulatedAws, simulated_aws::Repository) {
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

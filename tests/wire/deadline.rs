//! The function's deadline. The report contains everything that was not done by then.

use std::time::Duration;

use ecr_cleanup::deadline::Deadline;
use ecr_cleanup_core::plan::Refusal;
use ecr_cleanup_core::report::Outcome;
use simulated_aws::{Fault, Image, SimulatedAws};

use crate::support::{deadline_in, merciless, run_on, run_until, set};

#[tokio::test(start_paused = true)]
async fn nothing_new_starts_in_the_last_ten_seconds() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    aws.cluster("prod").runs(&app.uri("v3"));
    let report = run_until(&aws, merciless(false), deadline_in(&aws, Duration::from_millis(9_900))).await.unwrap();
    assert_eq!(report.outcome, Outcome::DeadlineReached);
    assert_eq!(app.tags().len(), 3);
    assert_eq!(aws.calls_of("ecr:DescribeImages").len(), 0);
    assert_eq!(report.plan.errors().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_planned_and_not_begun_is_not_attempted_and_the_next_run_goes_on() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(350);
    aws.cluster("prod").runs(&app.uri("v350"));
    // The first batch starts in time. When it is answered, no time is left for the second.
    aws.inject(Fault::slow("ecr:BatchDeleteImage", Duration::from_millis(2_500)));
    let report = run_until(&aws, merciless(false), deadline_in(&aws, Duration::from_millis(12_400))).await.unwrap();
    assert_eq!(report.outcome, Outcome::DeadlineReached);
    assert_eq!((report.totals.images_deleted, report.totals.images_not_attempted), (100, 249));
    assert_eq!(app.digests().len(), 250);
    aws.heal();
    assert_eq!(run_on(&aws, merciless(false)).await.outcome, Outcome::Completed);
    assert_eq!(app.tags(), set(["v350"]));
}

#[tokio::test(start_paused = true)]
async fn what_was_looked_at_too_late_to_be_deleted_is_not_attempted() {
    // One call describes plain images. A large family takes several calls, and the first is already too late.
    for children in [0_u32, 150] {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app").daily_builds(3);
        let platforms: Vec<Image> = (0..children).map(|_| Image::untagged().days_old(9.0)).collect();
        app.push(Image::index_of(&platforms).and_tag("multi").days_old(90.0));
        app.push_all(platforms);
        aws.cluster("prod").runs(&app.uri("v3"));
        aws.inject(Fault::slow("ecr:DescribeImages", Duration::from_millis(1_500)).mentioning("imageIds"));
        let report = run_until(&aws, merciless(false), deadline_in(&aws, Duration::from_millis(11_300))).await.unwrap();
        assert_eq!(report.outcome, Outcome::DeadlineReached);
        let totals = report.totals;
        assert_eq!((totals.images_failed, totals.images_not_attempted), (0, totals.images_stale), "{children}");
        assert!(totals.images_stale > 0 && aws.calls_of("ecr:BatchDeleteImage").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_about_an_image_whose_turn_did_not_come_is_not_attempted_either() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(150);
    aws.cluster("prod").runs(&app.uri("v150"));
    app.push(Image::untagged().about(&app.digest_of("v149")).days_old(9.0));
    aws.inject(Fault::slow("ecr:BatchDeleteImage", Duration::from_millis(2_500)));
    let report = run_until(&aws, merciless(false), deadline_in(&aws, Duration::from_millis(12_400))).await.unwrap();
    assert_eq!((report.totals.images_deleted, report.totals.images_not_attempted), (100, 50));
    assert_eq!(report.totals.images_skipped, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_answered_ends_before_the_deadline_and_is_incomplete_usage() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    aws.inject(Fault::no_answer("ecs:ListClusters"));
    let report = run_until(&aws, merciless(false), deadline_in(&aws, Duration::from_millis(2_400))).await.unwrap();
    let Outcome::Refused(refusal @ Refusal::UsageIncomplete { .. }) = report.outcome else {
        panic!("{:?}", report.outcome)
    };
    assert!(refusal.to_string().contains("ecs:ListClusters: DeadlineReached"), "{refusal}");
    assert_eq!(app.tags().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_past_is_unknown() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    aws.cluster("prod").runs(&app.uri("v3"));
    let report = run_until(&aws, merciless(false), Deadline::from_lambda(1_000, aws.now())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!(app.tags(), set(["v3"]));
}

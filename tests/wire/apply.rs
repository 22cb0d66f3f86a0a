//! Deletion by digest, in full batches. The report contains the result of every image.

use std::collections::BTreeMap;

use ecr_cleanup_core::plan::ImageResult;
use ecr_cleanup_core::report::{Outcome, Report};
use simulated_aws::{Fault, Image, SimulatedAws};

use crate::support::{decided, merciless, run_on, set};

fn results(report: &Report) -> BTreeMap<String, ImageResult> {
    report.plan.stale().map(|image| (image.image_digest.to_string(), image.result.clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn deletes_by_digest_alone_in_full_batches() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(251);
    aws.cluster("prod").runs(&app.uri("v251"));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(report.totals.images_deleted, 250);
    let calls = aws.calls_of("ecr:BatchDeleteImage");
    let sizes: Vec<usize> = calls.iter().map(|call| call.request["imageIds"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
    for id in calls.iter().flat_map(|call| call.request["imageIds"].as_array().unwrap()) {
        assert!(id["imageDigest"].is_string() && id.get("imageTag").is_none(), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_goes_with_all_its_tags_and_counts_once() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(1);
    app.push(Image::tagged("a").and_tag("b").and_tag("c").days_old(9.0));
    aws.cluster("prod").runs(&app.uri("v1"));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!((report.totals.images_stale, report.totals.images_deleted), (1, 1));
    assert_eq!(app.tags(), set(["v1"]));
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_successful_answer_are_told_image_by_image() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(6);
    aws.cluster("prod").runs(&app.uri("v6"));
    let codes =
        [("v1", "KmsError"), ("v2", "ImageReferencedByManifestList"), ("v3", "ImageNotFound"), ("v4", "CodeToCome")];
    let failures = codes.map(|(tag, code)| (app.digest_of(tag), code));
    let deleted = app.digest_of("v5");
    aws.inject(Fault::image_failures(failures.iter().map(|(digest, code)| (digest.as_str(), *code))));
    let report = run_on(&aws, merciless(false)).await;
    let failed = |code: &str| ImageResult::failed(code, "simulated");
    let [kms, named, gone, to_come] = failures.map(|(digest, _)| digest);
    let expected = [
        (kms, failed("KmsError")),
        (named, ImageResult::Kept),
        (gone, ImageResult::Gone),
        (to_come, failed("CodeToCome")),
        (deleted, ImageResult::Deleted),
    ];
    assert_eq!(results(&report), expected.into());
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!((report.totals.images_failed, report.totals.images_deleted), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_image_is_in_the_report_with_code_and_reason() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(2);
    aws.cluster("prod").runs(&app.uri("v2"));
    aws.inject(Fault::image_failures([(app.digest_of("v1").as_str(), "KmsError")]));
    let report = run_on(&aws, merciless(false)).await;
    insta::assert_snapshot!(decided(&report), @"
    us-west-2 app: keeps 1 inUse
      v1 stale: tagged, and imagesToKeep is 0; failed, KmsError, simulated
      v2 only in use: ECS task arn:aws:ecs:us-west-2:123456789012:task/prod/00000000000000000000000000000000
    ");
}

#[tokio::test(start_paused = true)]
async fn a_repository_whose_deletes_are_denied_stops_no_other() {
    let aws = SimulatedAws::in_memory();
    let locked = aws.repository("locked").daily_builds(150);
    let open = aws.repository("open").daily_builds(2);
    aws.cluster("prod").runs(&open.uri("v2"));
    aws.inject(Fault::denied("ecr:BatchDeleteImage").for_repository("locked"));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!((locked.digests().len(), open.tags()), (150, set(["v2"])));
    let totals = report.totals;
    assert_eq!((totals.images_failed, totals.images_not_allowed, totals.images_deleted), (0, 150, 1));
    let calls = aws.calls_of("ecr:BatchDeleteImage");
    assert_eq!(calls.len(), 2, "a repository that denies one batch is not asked again");
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_vanishes_takes_its_images_along() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(150);
    aws.cluster("prod").runs("nginx");
    aws.inject(Fault::error("ecr:BatchDeleteImage", 400, "RepositoryNotFoundException").after(1));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!(results(&report).values().filter(|result| **result == ImageResult::Gone).count(), 50);
    assert_eq!(app.digests().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn an_index_goes_before_what_it_names() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(1);
    // Tagged, so that each is stale itself, and only the order of the calls decides.
    let children = ["amd64", "arm64"].map(|platform| Image::tagged(platform).days_old(9.0));
    let index = Image::index_of(&children).and_tag("v0").days_old(9.0);
    children.into_iter().chain([index]).for_each(|image| _ = app.push(image));
    aws.cluster("prod").runs(&app.uri("v1"));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!((report.outcome, report.totals.images_deleted), (Outcome::Completed, 3));
    assert_eq!(app.tags(), set(["v1"]));
    assert_eq!(aws.calls_of("ecr:BatchDeleteImage").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_untagged_children_of_an_index_stay_with_it() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(1);
    let children = [Image::untagged().days_old(90.0), Image::untagged().days_old(90.0)];
    let index = Image::index_of(&children).and_tag("multi").days_old(90.0);
    children.into_iter().chain([index]).for_each(|image| _ = app.push(image));
    aws.cluster("prod").runs(&app.uri("multi"));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!(app.tags(), set(["multi"]));
    assert_eq!(app.digests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn throttled_and_failing_calls_are_made_again() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    aws.cluster("prod").runs(&app.uri("v3"));
    aws.inject(Fault::error("ecr:BatchDeleteImage", 400, "ThrottlingException").times(1));
    aws.inject(Fault::error("ecs:DescribeTasks", 500, "ServerException").times(1));
    aws.inject(Fault::error("ecr:DescribeImages", 503, "ServiceUnavailable").times(1));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!(app.tags(), set(["v3"]));
}

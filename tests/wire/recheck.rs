//! The last check: an image that changed between plan and delete is kept.

use std::time::Duration;

use ecr_cleanup::deadline::Deadline;
use ecr_cleanup::discovery::FreshnessLimits;
use ecr_cleanup_core::plan::{ImageResult, SkipReason, StaleImage};
use ecr_cleanup_core::report::{Outcome, Report};
use simulated_aws::{ACCOUNT, Call, Fault, Image, REGION, Repository, SimulatedAws, Task};

use crate::support::{Limits, decided, merciless, run_on, run_within, set};

/// Three unused images v1 to v3. Something happens to them after the plan.
async fn changed_in_between(change: impl Fn(&Repository) + Send + Sync + 'static) -> (Repository, Report) {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    aws.cluster("prod").runs("nginx");
    happens_after_the_plan(&aws, &app, change);
    let report = run_on(&aws, merciless(false)).await;
    (app, report)
}

/// Lets something happen between the plan and the last check.
fn happens_after_the_plan(aws: &SimulatedAws, app: &Repository, change: impl Fn(&Repository) + Send + Sync + 'static) {
    let app = app.clone();
    let change = Fault::before("ecr:DescribeImages", Duration::ZERO, move || change(&app));
    aws.inject(change.mentioning("imageIds").times(1));
}

fn result_of(report: &Report, of: impl Fn(&&StaleImage) -> bool) -> &ImageResult {
    &report.plan.stale().find(of).unwrap().result
}

fn tagged(tag: &str) -> impl Fn(&&StaleImage) -> bool {
    move |image| image.image_tags.iter().any(|it| **it == *tag)
}

fn is_by_ids(call: &Call) -> bool {
    call.request["imageIds"].is_array()
}

#[tokio::test(start_paused = true)]
async fn an_image_that_changed_survives_while_its_batch_goes() {
    type Change = fn(&Repository);
    let changes: [(&str, Change, SkipReason); 6] = [
        ("it was given a tag", |app| app.retag("v2", "prod"), SkipReason::TagsChanged),
        ("it lost its tag", |app| app.untag("v2"), SkipReason::TagsChanged),
        ("another took its tag", |app| _ = app.push(Image::tagged("v2")), SkipReason::TagsChanged),
        ("it was pulled", |app| app.pull(&app.digest_of("v2")), SkipReason::Pulled),
        ("it was archived", |app| app.archive(&app.digest_of("v2")), SkipReason::Changed),
        ("it was pushed again", |app| app.push_again("v2"), SkipReason::Changed),
    ];
    for (behaviour, change, expected) in changes {
        let (app, report) = changed_in_between(change).await;
        assert_eq!(*result_of(&report, tagged("v2")), ImageResult::Skipped(expected), "{behaviour}");
        assert_eq!(report.outcome, Outcome::Completed, "{behaviour}");
        assert_eq!((report.totals.images_skipped, report.totals.images_deleted), (1, 2), "{behaviour}");
        assert!(!app.tags().contains("v1") && !app.tags().contains("v3"), "{behaviour}");
        assert!(!app.digests().is_empty(), "{behaviour}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_skipped_image_is_in_the_report_with_why() {
    let (_, report) = changed_in_between(|app| app.retag("v2", "prod")).await;
    insta::assert_snapshot!(decided(&report), @"
    us-west-2 app: keeps nothing
      v1 stale: tagged, and imagesToKeep is 0; deleted
      v2 stale: tagged, and imagesToKeep is 0; skipped, its tags have changed
      v3 stale: tagged, and imagesToKeep is 0; deleted
    ");
}

#[tokio::test(start_paused = true)]
async fn images_that_are_gone_are_dropped_by_name_and_the_rest_goes() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(100);
    aws.cluster("prod").runs("nginx");
    happens_after_the_plan(&aws, &app, |app| {
        app.delete(&app.digest_of("v20"));
        app.delete(&app.digest_of("v70"));
    });
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!((report.outcome.clone(), report.totals.images_deleted), (Outcome::Completed, 98));
    assert_eq!(*result_of(&report, tagged("v70")), ImageResult::Gone);
    assert!(app.digests().is_empty());
    let described = aws.calls_of("ecr:DescribeImages").into_iter().filter(is_by_ids).count();
    assert_eq!(described, 3, "one more for each that is gone");
    let deletes = aws.calls_of("ecr:BatchDeleteImage");
    assert_eq!(deletes[0].request["imageIds"].as_array().unwrap().len(), 98, "what is gone is not asked to go");
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_which_most_is_gone_comes_to_an_end() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(100);
    aws.cluster("prod").runs("nginx");
    happens_after_the_plan(&aws, &app, |app| {
        (1..=60).for_each(|build| app.delete(&app.digest_of(&format!("v{build}"))));
    });
    // Each call returns one missing image, so the first are known long before the last.
    aws.inject(Fault::slow("ecr:DescribeImages", Duration::from_millis(5)).mentioning("imageIds"));
    let freshness = FreshnessLimits { image_max_age: Duration::from_millis(50), ..FreshnessLimits::CONTRACT };
    let limits = Limits { freshness, ..Limits::until(Deadline::unknown()) };
    let report = run_within(&aws, merciless(false), limits).await.unwrap();
    assert_eq!((report.outcome.clone(), report.totals.images_deleted), (Outcome::Completed, 40));
    assert_eq!(report.plan.stale().filter(|image| image.result == ImageResult::Gone).count(), 60);
}

#[tokio::test(start_paused = true)]
async fn images_that_are_gone_are_found_where_ecr_does_not_name_them() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(100);
    aws.cluster("prod").runs("nginx");
    let gone = app.digest_of("v70");
    aws.inject(Fault::error("ecr:DescribeImages", 400, "ImageNotFoundException").mentioning(&gone));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!((report.outcome.clone(), report.totals.images_deleted), (Outcome::Completed, 99));
    assert_eq!(*result_of(&report, tagged("v70")), ImageResult::Gone);
    let described = aws.calls_of("ecr:DescribeImages").into_iter().filter(is_by_ids).count();
    assert!(described <= 15, "by halves, not one by one: {described}");
}

#[tokio::test(start_paused = true)]
async fn what_ecr_does_not_describe_again_stays() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    aws.cluster("prod").runs("nginx");
    let left_out = app.digest_of("v2");
    aws.inject(Fault::leave_out("ecr:DescribeImages", &left_out).mentioning("imageIds"));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(app.tags(), set(["v2"]));
    assert_eq!(*result_of(&report, tagged("v2")), ImageResult::Skipped(SkipReason::NotDescribed));
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_can_not_be_described_again_stays_and_stops_no_other() {
    let aws = SimulatedAws::in_memory();
    let [app, other] = ["app", "other"].map(|name| aws.repository(name).daily_builds(150));
    aws.cluster("prod").runs("nginx");
    aws.inject(Fault::denied("ecr:DescribeImages").for_repository("app").mentioning("imageIds"));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!((app.digests().len(), other.digests().len()), (150, 0));
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!((report.totals.images_failed, report.totals.images_not_attempted), (100, 50));
    aws.heal();
    happens_after_the_plan(&aws, &app, Repository::delete_repository);
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert!(report.plan.stale().all(|image| image.result == ImageResult::Gone));
}

/// An index v1 with two untagged children and a signature, and a separate v2. Returns the digests of the first three.
fn push_family(app: &Repository) -> [String; 3] {
    let platforms = [Image::untagged().days_old(90.0), Image::untagged().days_old(90.0)];
    let index = Image::index_of(&platforms).and_tag("v1").days_old(90.0);
    let [amd64, arm64] = platforms;
    let digests = [amd64, arm64, index].map(|image| app.push(image));
    app.push(Image::untagged().about(&digests[2]).days_old(90.0));
    app.push(Image::tagged("v2").days_old(9.0));
    digests
}

#[tokio::test(start_paused = true)]
async fn an_index_whose_child_was_pulled_or_used_in_between_stays_whole() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let [amd64, _, index] = push_family(&app);
    aws.cluster("prod").runs("nginx");
    let digest = amd64.clone();
    happens_after_the_plan(&aws, &app, move |app| app.pull(&digest));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!((report.totals.images_deleted, report.totals.images_skipped), (1, 4));
    let of_index = |image: &&StaleImage| image.image_digest.to_string() == index;
    assert_eq!(*result_of(&report, of_index), ImageResult::Skipped(SkipReason::Pulled));
    assert_eq!(report.plan.stale().filter(|it| it.result == ImageResult::Skipped(SkipReason::OwnerKept)).count(), 3);
    assert_eq!((app.tags(), app.digests().len()), (set(["v1"]), 4));

    // Usage is read again before the batch, and shows a task that runs the child.
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let [_, arm64, index] = push_family(&app);
    let task = aws.cluster("prod").start(Task::of(&app.uri_by_digest(&arm64)));
    aws.inject(Fault::leave_out("ecs:ListTasks", &task).times(1));
    let freshness = FreshnessLimits { max_age: Duration::ZERO, ..FreshnessLimits::CONTRACT };
    let limits = Limits { freshness, ..Limits::until(Deadline::unknown()) };
    let report = run_within(&aws, merciless(false), limits).await.unwrap();
    let of_index = |image: &&StaleImage| image.image_digest.to_string() == index;
    assert_eq!(*result_of(&report, of_index), ImageResult::Skipped(SkipReason::NowInUse));
    assert_eq!((app.tags(), app.digests().len()), (set(["v1"]), 4));
}

#[tokio::test(start_paused = true)]
async fn an_index_that_was_pulled_in_between_stays_whole_where_pulls_of_indexes_count() {
    for is_excluded in [true, false] {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app");
        let [_, _, index] = push_family(&app);
        aws.cluster("prod").runs("nginx");
        if is_excluded {
            aws.place(ACCOUNT, REGION).exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
        }
        let digest = index.clone();
        happens_after_the_plan(&aws, &app, move |app| app.pull(&digest));
        let report = run_on(&aws, merciless(false)).await;
        let stays = if is_excluded { 4 } else { 0 };
        assert_eq!((app.digests().len(), report.totals.images_skipped), (stays, stays as u64), "{is_excluded}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_was_tagged_in_between_stays_and_its_index_goes() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let [amd64, ..] = push_family(&app);
    aws.cluster("prod").runs("nginx");
    let digest = amd64.clone();
    happens_after_the_plan(&aws, &app, move |app| app.tag(&digest, "hotfix"));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!((report.totals.images_deleted, report.totals.images_skipped), (4, 1));
    assert_eq!(app.digests(), [amd64].into());
}

#[tokio::test(start_paused = true)]
async fn what_ecr_refuses_to_delete_keeps_what_follows_it() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let [_, _, index] = push_family(&app);
    aws.cluster("prod").runs("nginx");
    aws.inject(Fault::image_failures([(index.as_str(), "KmsError")]));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!((report.totals.images_deleted, report.totals.images_failed, report.totals.images_skipped), (1, 1, 3));
    assert_eq!((app.tags(), app.digests().len()), (set(["v1"]), 4));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_a_new_index_names_is_kept_by_ecr() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let child = Image::untagged().days_old(90.0);
    let index = Image::index_of([&child]).and_tag("v1").days_old(90.0);
    let newer = Image::index_of([&child, &Image::untagged()]).and_tag("v2");
    app.push_all([child, index]);
    aws.cluster("prod").runs("nginx");
    happens_after_the_plan(&aws, &app, move |app| _ = app.push(newer.clone()));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(report.outcome, Outcome::Completed, "kept is not failed");
    assert_eq!(report.plan.stale().filter(|image| image.result == ImageResult::Kept).count(), 1);
    assert_eq!((app.tags(), app.digests().len()), (set(["v2"]), 2));
}

#[tokio::test(start_paused = true)]
async fn each_image_is_described_once_more_in_full_calls() {
    let aws = SimulatedAws::in_memory();
    let plain = aws.repository("plain").daily_builds(250);
    let multi = aws.repository("multi");
    for build in 0..100 {
        let platforms = [90.0; 3].map(|days| Image::untagged().days_old(days));
        let index = Image::index_of(&platforms).and_tag(&format!("v{build}")).days_old(90.0);
        multi.push_all(platforms.into_iter().chain([index]));
    }
    aws.cluster("prod").runs("nginx");
    run_on(&aws, merciless(false)).await;
    assert!(plain.digests().is_empty() && multi.digests().is_empty());
    let calls = |operation: &str, repository: &str| -> Vec<usize> {
        let calls = aws.calls_of(operation).into_iter().filter(is_by_ids);
        let calls = calls.filter(|call| call.request["repositoryName"] == repository);
        calls.map(|call| call.request["imageIds"].as_array().unwrap().len()).collect()
    };
    for operation in ["ecr:DescribeImages", "ecr:BatchDeleteImage"] {
        assert_eq!(calls(operation, "plain"), [100, 100, 50], "{operation}");
        assert_eq!(calls(operation, "multi"), [100, 100, 100, 100], "{operation}");
    }
    assert_eq!(calls("ecr:BatchGetImage", "multi"), [100]);
}

#[tokio::test(start_paused = true)]
async fn what_was_described_too_long_ago_is_described_again() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let [amd64, arm64, index] = push_family(&app);
    aws.cluster("prod").runs("nginx");
    // While ECR slowly deletes the index, a user tags a child.
    let tagged = (app.clone(), arm64.clone());
    let slow =
        Fault::before("ecr:BatchDeleteImage", Duration::from_millis(300), move || tagged.0.tag(&tagged.1, "hotfix"));
    aws.inject(slow.mentioning(&index).times(1));
    let freshness = FreshnessLimits { image_max_age: Duration::from_millis(200), ..FreshnessLimits::CONTRACT };
    let limits = Limits { freshness, ..Limits::until(Deadline::unknown()) };
    run_within(&aws, merciless(false), limits).await.unwrap();
    assert_eq!(app.digests(), [arm64].into());
    let described = aws.calls_of("ecr:DescribeImages");
    assert_eq!(described.iter().filter(|call| call.request.to_string().contains(&amd64)).count(), 2);
}

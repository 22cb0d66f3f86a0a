//! Usage changes during a run, and the run reads it within the quotas.

use std::time::Duration;

use ecr_cleanup::aws::{Haste, Pace};
use ecr_cleanup::deadline::Deadline;
use ecr_cleanup::discovery::FreshnessLimits;
use ecr_cleanup::sources::quotas;
use ecr_cleanup_core::plan::{ImageResult, Refusal, SkipReason};
use ecr_cleanup_core::report::{Outcome, Report};
use serde_json::json;
use simulated_aws::{ACCOUNT, Call, Fault, Image, REGION, Service, SimulatedAws, Task};

use crate::support::{Limits, clients, decided, json_of, merciless, run_on, run_with, run_within, set};

/// Usage is always too old, so that it is discovered again before every batch.
fn always_stale() -> Limits {
    let freshness = FreshnessLimits { max_age: Duration::ZERO, ..FreshnessLimits::CONTRACT };
    Limits { freshness, ..Limits::until(Deadline::unknown()) }
}

#[tokio::test(start_paused = true)]
async fn usage_that_is_too_old_is_discovered_again_before_each_batch() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(250);
    aws.cluster("prod").runs(&app.uri("v250"));
    let report = run_within(&aws, merciless(false), always_stale()).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!(app.tags(), set(["v250"]));
    assert_eq!(aws.calls_of("ecs:ListClusters").len(), 1 + 3);
    assert_eq!(aws.calls_of("account:ListRegions").len(), 1);

    aws.forget_calls();
    app.push(Image::tagged("v1").days_old(9.0));
    run_on(&aws, merciless(false)).await;
    assert_eq!(aws.calls_of("ecs:ListClusters").len(), 1, "what is fresh is not asked for again");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_comes_into_use_after_the_plan_survives_while_its_batch_goes() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    aws.cluster("prod").runs(&app.uri("v3"));
    // The second discovery sees the task that the first did not.
    let task = aws.cluster("prod").start(Task::of(&app.uri("v1")));
    aws.inject(Fault::leave_out("ecs:ListTasks", &task).times(1));
    let report = run_within(&aws, merciless(false), always_stale()).await.unwrap();
    assert_eq!(app.tags(), set(["v1", "v3"]));
    assert_eq!((report.totals.images_skipped, report.totals.images_deleted), (1, 1));
    let skipped = report.plan.stale().find(|image| *image.image_tags == [Box::from("v1")]).unwrap();
    assert_eq!(skipped.result, ImageResult::Skipped(SkipReason::NowInUse));
    insta::assert_snapshot!(decided(&report), @"
    us-west-2 app: keeps 1 inUse
      v1 stale: tagged, and imagesToKeep is 0; skipped, a workload now uses it or one of its child images
      v2 stale: tagged, and imagesToKeep is 0; deleted
      v3 only in use: ECS task arn:aws:ecs:us-west-2:123456789012:task/prod/00000000000000000000000000000000
    ");
}

#[tokio::test(start_paused = true)]
async fn what_is_about_an_image_that_came_into_use_stays_with_it() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    aws.cluster("prod").runs(&app.uri("v3"));
    let about = |image: &str| Image::untagged().about(image).days_old(9.0);
    let signature = app.push(about(&app.digest_of("v1")));
    let signature_of_signature = app.push(about(&signature));
    let by_tag = app.digest_of("v1").replace(':', "-") + ".sbom";
    app.push(Image::tagged(&by_tag).days_old(9.0));
    app.push(about(&app.digest_of("v2")));
    let task = aws.cluster("prod").start(Task::of(&app.uri("v1")));
    aws.inject(Fault::leave_out("ecs:ListTasks", &task).times(1));
    let report = run_within(&aws, merciless(false), always_stale()).await.unwrap();
    assert_eq!((report.totals.images_skipped, report.totals.images_deleted), (4, 2));
    assert_eq!(app.tags(), set(["v1", "v3", by_tag.as_str()]));
    assert!(app.digests().contains(&signature) && app.digests().contains(&signature_of_signature));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_stops_while_tasks_are_listed_is_not_missed() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    let cluster = aws.cluster("prod");
    let task = cluster.start(Task::of(&app.uri("v1")));
    // It runs when the listings begin, and has stopped when the running tasks are listed.
    let stops = Fault::before("ecs:ListTasks", Duration::from_millis(100), move || cluster.stop(&task));
    aws.inject(stops.mentioning("RUNNING").times(1));
    run_on(&aws, merciless(false)).await;
    assert_eq!(app.tags(), set(["v1"]));
}

#[tokio::test(start_paused = true)]
async fn when_usage_can_not_be_read_again_the_rest_stays_and_the_run_fails() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(250);
    aws.cluster("prod").runs(&app.uri("v250"));
    // Denied from the third time on. The first call is for the plan, and the second for the first batch.
    aws.inject(Fault::denied("ecs:ListClusters").after(2));
    let report = run_within(&aws, merciless(false), always_stale()).await.unwrap();
    let Outcome::Refused(refusal @ Refusal::UsageIncomplete { images_done: 100, .. }) = &report.outcome else {
        panic!("{:?}", report.outcome)
    };
    assert!(refusal.to_string().contains("nothing more was deleted"), "{refusal}");
    assert_eq!((report.totals.images_deleted, report.totals.images_not_attempted), (100, 149));
    assert_eq!(app.digests().len(), 150);
    assert!(!report.usage.complete, "which the metric and the alarm on it follow");
    assert!(report.warnings.iter().any(|warning| warning.to_string().contains("ecs:ListClusters")));
    let listed = json_of(&report).to_string();
    assert!(listed.contains("\"notAttemptedBecause\":\"the images in use could no longer be determined\""));
}

/// An account whose tasks take long to list: a quarter of a minute per 100 tasks. `app` has a stale image.
fn slow_to_read(tasks: u32) -> SimulatedAws {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(2);
    (0..tasks).for_each(|_| _ = aws.cluster("prod").runs(&app.uri("v2")));
    aws.inject(Fault::slow("ecs:ListTasks", Duration::from_secs(15)));
    aws
}

/// The age limit of usage in the report, and twice the time of the last reading.
fn limit_and_twice_the_last_reading(aws: &SimulatedAws, report: &Report) -> (u64, u64) {
    let of_usage = |call: &&Call| ["ecs:", "lambda:"].iter().any(|service| call.operation.starts_with(service));
    let calls = aws.calls();
    let first = calls.iter().rposition(|call| call.operation == "ecs:ListClusters").unwrap();
    let last = calls.iter().rfind(of_usage).unwrap();
    let limit = json_of(report)["usage"]["ageLimitSeconds"].as_u64().unwrap();
    (limit, (last.at - calls[first].at).as_secs() * 2)
}

#[tokio::test(start_paused = true)]
async fn usage_may_be_five_minutes_old_where_it_is_read_in_half_of_that() {
    for tasks in [1, 700] {
        for dry_run in [true, false] {
            let aws = slow_to_read(tasks);
            let report = run_on(&aws, merciless(dry_run)).await;
            assert_eq!(json_of(&report)["usage"]["ageLimitSeconds"], 300, "{tasks} tasks");
            assert_eq!(aws.calls_of("ecs:ListClusters").len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn usage_that_takes_longer_may_be_twice_as_old_as_its_reading_took() {
    for (tasks, dry_run) in [(1_200, true), (1_200, false), (2_400, false)] {
        let aws = slow_to_read(tasks);
        let report = run_on(&aws, merciless(dry_run)).await;
        let (limit, twice) = limit_and_twice_the_last_reading(&aws, &report);
        assert!(
            limit > 300 && limit.abs_diff(twice) <= 1,
            "{tasks} tasks: {limit} s, and twice the reading is {twice} s"
        );
        assert_eq!(aws.calls_of("ecs:ListClusters").len(), 1, "it is young enough for that");
        assert_eq!(report.totals.images_deleted, u64::from(!dry_run));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reading_of_what_never_changes_as_well_does_not_tell_how_old_usage_may_be() {
    for (tasks, dry_run, readings) in [(1_200, true, 1), (1_200, false, 1), (2_400, false, 2)] {
        let aws = slow_to_read(tasks);
        aws.place(ACCOUNT, REGION).register("web", &["nginx"]);
        let report = run_on(&aws, merciless(dry_run)).await;
        assert_eq!(aws.calls_of("ecs:ListClusters").len(), readings);
        assert_eq!(aws.calls_of("ecs:DescribeTaskDefinition").len(), 1);
        let (limit, twice) = limit_and_twice_the_last_reading(&aws, &report);
        let expected = if readings == 1 { 300 } else { twice };
        assert!(limit.abs_diff(expected) <= 1, "{tasks} tasks: {limit} s instead of {expected}");
        assert_eq!(report.totals.images_deleted, u64::from(!dry_run));
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_is_cut_off_before_the_usage_it_goes_by_is_too_old() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(150);
    aws.cluster("prod").runs(&app.uri("v150"));
    aws.inject(Fault::no_answer("ecr:BatchDeleteImage"));
    let freshness = FreshnessLimits { delete_timeout: Duration::from_millis(200), ..FreshnessLimits::CONTRACT };
    let limits = Limits { freshness, ..Limits::until(Deadline::unknown()) };
    let report = run_within(&aws, merciless(false), limits).await.unwrap();
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!((report.totals.images_failed, report.totals.images_not_attempted), (100, 49));
    let cut_off =
        |result: &ImageResult| matches!(result, ImageResult::Failed(failure) if *failure.code == *"TimeoutError");
    assert_eq!(report.plan.stale().filter(|image| cut_off(&image.result)).count(), 100);
}

#[tokio::test(start_paused = true)]
async fn what_never_changes_is_read_once_a_run() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(250);
    let place = aws.place(ACCOUNT, REGION);
    let definition = place.register("web", &[&app.uri("v250")]);
    let digest = app.digest_of("v249");
    let revision = place.service_revision(&definition, &[(&app.uri("v249"), Some(&digest))]);
    aws.cluster("prod").create(Service::of(&definition).revision(&revision));
    let function = place.function("resize", &app.uri("v248"), None);
    function.publish(&app.uri("v247"), None);
    run_within(&aws, merciless(false), always_stale()).await.unwrap();
    assert_eq!(app.tags(), set(["v247", "v248", "v249", "v250"]));
    for (operation, calls) in [
        ("ecs:ListClusters", 4),
        ("ecs:DescribeTaskDefinition", 1),
        ("ecs:DescribeServiceRevisions", 1),
        // $LATEST may change; the published version may not.
        ("lambda:GetFunction", 4 + 1),
    ] {
        assert_eq!(aws.calls_of(operation).len(), calls, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_quota_is_asked_at_no_more_than_its_share() {
    let aws = SimulatedAws::in_memory();
    let place = aws.place(ACCOUNT, REGION);
    for number in 0..40 {
        let definition = place.register(&format!("family-{number}"), &["nginx"]);
        let cluster = aws.cluster(&format!("cluster-{}", number % 16));
        cluster.create(Service::of(&definition).deployment(&definition, "IN_PROGRESS"));
        if number % 4 == 0 {
            _ = place.function(&format!("function-{number}"), "nginx", None);
        }
    }
    let clients = clients(&aws).await.with_haste(Haste::NONE);
    run_with(&clients, json!({ "lambdaVersionsToKeep": 1 }), Limits::until(Deadline::unknown())).await.unwrap();

    // The operations of each bucket by parts of their names, its burst and its refill per second.
    for (operations, burst, refill) in [
        (&["TaskDefinition"][..], 25.0, 15.0),
        (&["ListTasks", "DescribeTasks", "ListServices", "DescribeServices", "Daemon"], 50.0, 15.0),
        (&["ServiceDeployments", "ServiceRevisions"], 25.0, 15.0),
        (&["ListFunctions", "ListAliases", "EventSourceMappings"], 11.0, 11.0),
    ] {
        let mut calls = aws.calls();
        calls.retain(|call| operations.iter().any(|name| call.operation.contains(name)));
        assert!(f64::from(u32::try_from(calls.len()).unwrap()) > burst, "{operations:?} has to wait: {}", calls.len());
        for first in 0..calls.len() {
            for last in first..calls.len() {
                let stretch = calls[last].at.duration_since(calls[first].at).as_secs_f64();
                let asked = u32::try_from(last - first + 1).unwrap();
                assert!(f64::from(asked) <= burst + refill * stretch + 1.0, "{operations:?}: {asked} in {stretch} s");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_families_are_discovered_twice_within_a_run() {
    // A tenth of them. The number of calls is proportional.
    const SCALE: f64 = 10.0;
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(2);
    aws.cluster("prod").runs(&app.uri("v2"));
    let place = aws.place(ACCOUNT, REGION);
    let mut revisions = 0;
    for family in 0..1_000 {
        for _ in 0..=family % 20 {
            place.register(&format!("family-{family:04}"), &["nginx"]);
            revisions += 1;
        }
    }
    let report = run_within(&aws, merciless(false), always_stale()).await.unwrap();
    assert_eq!((report.outcome, report.totals.images_deleted), (Outcome::Completed, 1));
    let calls = aws.calls().iter().filter(|call| call.operation.contains("TaskDefinition")).count();
    // After ten pages the families are counted, because listing each family could take fewer calls.
    let listings = usize::div_ceil(revisions, 100) + usize::div_ceil(1_000, 100);
    assert_eq!(calls, 1_000 + 2 * listings, "one description a family, and two listings");
    let seconds = (f64::from(u32::try_from(calls).unwrap()) * SCALE - 25.0) / 15.0;
    assert!(seconds < 900.0, "{seconds} s under the published quotas");
}

#[test]
fn each_region_has_buckets_of_its_own() {
    let paces = [0, 1].map(|_| Pace::new(Haste::NONE, quotas()));
    for pace in &paces {
        let is_ready = |call| pace.limiter_of(call).unwrap().is_ready();
        assert!((0..50).all(|_| is_ready("ecs:ListTasks")));
        assert!(!is_ready("ecs:ListTasks"));
        assert!(is_ready("ecs:ListTaskDefinitions"), "another quota has its own");
    }
}

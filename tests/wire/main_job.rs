//! The main job: stale images are listed, and then deleted.

use std::time::Duration;

use ecr_cleanup_core::report::Outcome;
use serde_json::{Value, json};
use simulated_aws::{Fault, Image, SimulatedAws};

use crate::support::{before_now, decided, merciless, run_on, set, stale_digests, stale_tags, try_run, with};

#[tokio::test(start_paused = true)]
async fn deletes_exactly_what_the_dry_run_listed_and_then_finds_nothing() {
    lists_deletes_and_finds_nothing(&SimulatedAws::in_memory()).await;
}

/// The main job, in an account in memory or behind a socket.
pub(crate) async fn lists_deletes_and_finds_nothing(aws: &SimulatedAws) {
    let app = aws.repository("app").daily_builds(10);
    app.push(Image::untagged().days_old(40.0));
    app.push(Image::untagged().days_old(2.0));
    let web = aws.repository("team/web").daily_builds(3);
    web.push(Image::tagged("latest").days_old(400.0));
    web.push(Image::tagged("old").days_old(400.0).pulled_days_ago(3.0));
    aws.cluster("prod").runs(&app.uri("v2"));
    let before = (app.digests(), web.digests());

    let dry = run_on(aws, json!({ "imagesToKeep": 3 })).await;
    assert_eq!(dry.outcome, Outcome::Planned);
    assert_eq!(stale_tags(&dry), set(["v3", "v4", "v5", "v6", "v7"]), "v1 came before v2");
    assert_eq!((app.digests(), web.digests()), before, "a dry run deletes nothing");

    let live = run_on(aws, json!({ "imagesToKeep": 3, "dryRun": false })).await;
    assert_eq!(live.outcome, Outcome::Completed);
    assert_eq!(stale_digests(&live), stale_digests(&dry));
    assert_eq!(live.totals.images_deleted, 6);
    assert_eq!(app.digests(), before.0.difference(&stale_digests(&dry)).cloned().collect());
    assert_eq!(app.tags(), set(["v1", "v2", "v8", "v9", "v10"]));
    assert_eq!(web.digests(), before.1);

    let again = run_on(aws, json!({ "imagesToKeep": 3, "dryRun": false })).await;
    assert_eq!((again.outcome, again.totals.images_stale), (Outcome::Completed, 0));
}

#[tokio::test(start_paused = true)]
async fn writes_nothing_without_an_explicit_false() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(200);
    aws.cluster("prod").runs(&app.uri("v1"));
    for event in [
        Value::Null,
        json!({}),
        json!({ "dryRun": true }),
        json!({ "dryRun": "True" }),
        json!({ "dryRun": null }),
        json!({ "imagesToKeep": 0 }),
        json!({ "detail-type": "Scheduled Event", "source": "aws.events", "detail": {} }),
        json!({ "detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{}" }),
    ] {
        let report = run_on(&aws, event.clone()).await;
        assert!(report.totals.images_stale > 0, "{event}");
        assert_eq!(report.outcome, Outcome::Planned, "{event}");
    }
    assert_eq!(app.digests().len(), 200);
    let reading = ["Describe", "List", "Get"];
    for call in aws.calls() {
        let action = call.operation.split(':').next_back().unwrap();
        assert!(reading.iter().any(|verb| action.starts_with(verb)), "{action}");
    }
}

#[tokio::test(start_paused = true)]
async fn reads_full_pages_to_the_last_one() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(2_001);
    for number in 0..1_000 {
        _ = aws.repository(&format!("empty-{number}"));
    }
    aws.cluster("prod").runs(&app.uri("v1"));
    let report = run_on(&aws, merciless(true)).await;
    assert_eq!((report.totals.repositories, report.totals.images), (1_001, 2_001));
    assert_eq!((report.totals.images_in_use, report.totals.images_stale), (1, 2_000));

    let repositories = aws.calls_of("ecr:DescribeRepositories");
    assert_eq!(repositories.len(), 2);
    let images = aws.calls_of("ecr:DescribeImages");
    assert_eq!(images.len(), 1_000 + 3);
    for call in repositories.iter().chain(&images) {
        assert_eq!(call.request["maxResults"], 1_000);
    }
    assert!(images.iter().all(|call| call.request["filter"]["imageStatus"] == "ANY"));
    assert_eq!(aws.calls_of("ecs:ListClusters").len(), 1);
    assert_eq!(aws.calls_of("ecs:ListTasks").len(), 2);
    assert_eq!(aws.calls_of("ecs:DescribeTasks").len(), 1);
    assert_eq!(aws.calls_of("sts:GetCallerIdentity").len(), 1);
    assert_eq!(aws.calls_of("account:ListRegions").len(), 1);
    // One repository has stale images and images in use, so its policies are read. The other sources are empty.
    let others = [
        "ecr:GetRepositoryPolicy",
        "ecr:GetRegistryPolicy",
        "ecr:DescribeRegistry",
        "ecr:GetLifecyclePolicy",
        "ecs:ListServices",
        "ecs:ListDaemons",
        "ecs:ListTaskDefinitions",
        "lambda:ListFunctions",
    ];
    for operation in others {
        assert_eq!(aws.calls_of(operation).len(), 1, "{operation}");
    }
    assert_eq!(aws.calls().len(), 2 + 1_003 + 1 + 2 + 1 + 1 + 1 + others.len(), "and no call besides");
}

#[tokio::test(start_paused = true)]
async fn reads_repositories_and_regions_at_once_within_bounds() {
    let aws = SimulatedAws::in_memory();
    for region in ["us-west-2", "eu-west-1"] {
        for number in 0..40 {
            aws.region(region).repository(&format!("app-{number}")).push(Image::tagged("v1"));
        }
    }
    aws.set_latency(Duration::from_millis(20));
    run_on(&aws, json!({})).await;
    // The peak is per region, so that both regions together don't reach it.
    assert_eq!(aws.peak_concurrency("ecr:DescribeImages"), 8);
    let regions: Vec<String> = aws.calls_of("ecr:DescribeImages").into_iter().map(|call| call.region).collect();
    let first_region_ends = regions.iter().rposition(|region| *region == regions[0]).unwrap();
    assert!(first_region_ends > 40, "the regions take turns, none waits for the other");
}

#[tokio::test(start_paused = true)]
async fn a_failing_repository_or_region_stops_no_other() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    let secret = aws.repository("secret").daily_builds(3);
    let europe = aws.region("eu-west-1").repository("app").daily_builds(3);
    aws.cluster("prod").runs(&app.uri("v3"));
    aws.inject(Fault::denied("ecr:DescribeImages").for_repository("secret"));
    aws.inject(Fault::denied("ecr:DescribeRepositories").in_region("eu-west-1"));

    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!(app.tags(), set(["v3"]));
    assert_eq!((secret.tags().len(), europe.tags().len()), (3, 3));
    insta::assert_snapshot!(decided(&report), @"
    eu-west-1: AccessDeniedException at ecr:DescribeRepositories: simulated: ecr:DescribeRepositories answers AccessDeniedException
    us-west-2 app: keeps 1 inUse
      v1 stale: tagged, and imagesToKeep is 0; deleted
      v2 stale: tagged, and imagesToKeep is 0; deleted
      v3 only in use: ECS task arn:aws:ecs:us-west-2:123456789012:task/prod/00000000000000000000000000000000
    us-west-2 secret: AccessDeniedException at ecr:DescribeImages: simulated: ecr:DescribeImages answers AccessDeniedException
    ");
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_breaks_off_is_not_taken_for_complete() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(2_100);
    aws.cluster("prod").runs(&app.uri("v2100"));
    aws.inject(Fault::repeated_token("ecr:DescribeImages").after(1));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!(app.digests().len(), 2_100);
}

#[tokio::test(start_paused = true)]
async fn a_repository_deleted_in_between_is_none() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(2);
    aws.cluster("prod").runs(&app.uri("v2"));
    _ = aws.repository("short-lived");
    aws.inject(Fault::error("ecr:DescribeImages", 400, "RepositoryNotFoundException").for_repository("short-lived"));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!(report.totals.repositories, 1);
    assert_eq!(app.tags(), set(["v2"]));
}

#[tokio::test(start_paused = true)]
async fn archived_and_activating_images_are_left_alone() {
    let aws = SimulatedAws::in_memory();
    aws.is_newer_than_its_models("FROZEN");
    let app = aws.repository("app").daily_builds(2);
    for status in ["ARCHIVED", "ACTIVATING", "FROZEN"] {
        app.push(Image::tagged(status).days_old(900.0).status(status));
    }
    app.push(Image::tagged("no-status").days_old(900.0).without("imageStatus"));
    aws.cluster("prod").runs(&app.uri("v2"));
    run_on(&aws, merciless(false)).await;
    assert_eq!(app.tags(), set(["ARCHIVED", "ACTIVATING", "FROZEN", "v2"]));
}

#[tokio::test(start_paused = true)]
async fn what_ecr_does_not_tell_keeps_an_image() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(2);
    app.push(Image::tagged("no-push-time").days_old(900.0).without("imagePushedAt"));
    app.push(Image::tagged("no-digest").days_old(900.0).without("imageDigest"));
    aws.cluster("prod").runs(&app.uri("v2"));
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!(app.tags(), set(["no-push-time", "no-digest", "v2"]));
    insta::assert_snapshot!(decided(&report), @"
    us-west-2 app: keeps 1 inUse, 2 unknown
      v1 stale: tagged, and imagesToKeep is 0; deleted
      v2 only in use: ECS task arn:aws:ecs:us-west-2:123456789012:task/prod/00000000000000000000000000000000
    ");
    assert_eq!((report.totals.images, report.totals.images_kept), (4, 3));
}

#[tokio::test(start_paused = true)]
async fn a_delayed_retry_is_no_more_eager_than_the_run_it_repeats() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(10);
    aws.cluster("prod").runs(&app.uri("v10"));
    let sent_at = before_now(&aws, Duration::from_hours(5 * 24 - 12));
    let event = json!({ "detail-type": "Scheduled Event", "source": "aws.scheduler", "time": sent_at,
                        "detail": with(merciless(false), &json!({ "imagesToKeep": 2 })) });
    let report = run_on(&aws, event).await;
    // v7 to v10 were pushed since. Of the others, v5 and v6 are the newest.
    assert_eq!(app.tags(), set(["v5", "v6", "v7", "v8", "v9", "v10"]));
    assert!(
        report.warnings.iter().any(|warning| warning.to_string().contains("over a day ago")),
        "{:?}",
        report.warnings
    );
}

#[tokio::test(start_paused = true)]
async fn only_the_named_regions_and_repositories_are_cleaned() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(2);
    let base = aws.repository("base/debian").daily_builds(2);
    let web = aws.repository("web").daily_builds(2);
    let europe = aws.region("eu-west-1").repository("app").daily_builds(2);
    aws.cluster("prod").runs(&app.uri("v2"));
    let named =
        json!({ "region": "us-west-2", "repositories": ["app", "base/*"], "excludeRepositories": ["*/debian"] });
    run_on(&aws, with(merciless(false), &named)).await;
    assert_eq!(app.tags(), set(["v2"]));
    for untouched in [base, web, europe] {
        assert_eq!(untouched.tags().len(), 2);
    }
    assert!(aws.calls_of("ecr:DescribeRepositories").iter().all(|call| call.region == "us-west-2"));
}

#[tokio::test(start_paused = true)]
async fn all_enabled_regions_are_cleaned_and_no_disabled_one_is_asked() {
    let aws = SimulatedAws::in_memory();
    let mut repositories = Vec::new();
    for number in 1..=60 {
        repositories.push(aws.region(&format!("test-west-{number}")).repository("app").daily_builds(1));
    }
    aws.disable_region("ap-east-1");
    aws.cluster("prod").runs("nginx");
    run_on(&aws, merciless(false)).await;
    assert!(repositories.iter().all(|repository| repository.digests().is_empty()));
    assert_eq!(aws.calls_of("account:ListRegions").len(), 2, "61 regions are two pages");
    assert!(aws.calls().iter().all(|call| call.region != "ap-east-1"));
}

#[tokio::test(start_paused = true)]
async fn another_accounts_registry_is_not_ours() {
    let aws = SimulatedAws::in_memory();
    let ours = aws.repository("app").daily_builds(2);
    let theirs = aws.place("999999999999", "us-west-2").repository("app").daily_builds(2);
    aws.cluster("prod").runs(&theirs.uri("v1"));
    aws.cluster("prod").runs(&ours.uri("v2"));
    run_on(&aws, merciless(false)).await;
    assert_eq!(ours.tags(), set(["v2"]), "their v1 does not hold ours");
    assert_eq!(theirs.tags().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_plan_larger_than_allowed_is_refused_whole() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(6);
    aws.cluster("prod").runs(&app.uri("v6"));
    let limited = |limit: u32| with(merciless(false), &json!({ "maxDeletions": limit }));
    let report = run_on(&aws, limited(4)).await;
    assert_eq!(report.outcome.as_str(), "refused");
    assert_eq!(app.tags().len(), 6);
    assert_eq!(run_on(&aws, limited(5)).await.outcome, Outcome::Completed);
    assert_eq!(app.tags(), set(["v6"]));
}

#[tokio::test(start_paused = true)]
async fn an_empty_account_is_clean() {
    let aws = SimulatedAws::in_memory();
    let report = try_run(&aws, json!({ "dryRun": false })).await.unwrap();
    assert_eq!((report.outcome, report.totals.images), (Outcome::Completed, 0));
}

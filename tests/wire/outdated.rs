//! A plan that became too old before its turn. The repository is read and planned again, and only images in both plans
//! are deleted.

use std::time::Duration;

use ecr_cleanup::deadline::Deadline;
use ecr_cleanup::discovery::FreshnessLimits;
use ecr_cleanup_core::plan::{ImageResult, SkipReason};
use ecr_cleanup_core::report::{Outcome, Report};
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Fault, Image, REGION, Repository, SimulatedAws};

use crate::support::{Limits, json_of, merciless, push_multi_arch, run_on, run_within, set, with};

/// Here a plan is too old after half a second.
fn soon_old() -> Limits {
    let freshness = FreshnessLimits { plan_max_age: Duration::from_millis(500), ..FreshnessLimits::CONTRACT };
    Limits { freshness, ..Limits::until(Deadline::unknown()) }
}

/// Ten builds, of which `app` keeps two. Planning another repository takes until that plan is too old, and meanwhile
/// something happens.
fn ten_builds(change: impl Fn(&Repository) + Send + Sync + 'static) -> (SimulatedAws, Repository) {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(10);
    aws.cluster("prod").runs("nginx");
    takes_its_time(&aws, &app, change);
    (aws, app)
}

fn takes_its_time(aws: &SimulatedAws, app: &Repository, change: impl Fn(&Repository) + Send + Sync + 'static) {
    _ = aws.repository("slow").daily_builds(1);
    let app = app.clone();
    let slow = Fault::before("ecr:DescribeImages", Duration::from_secs(1), move || change(&app));
    aws.inject(slow.for_repository("slow").times(1));
}

fn delete(app: &Repository, tags: [&str; 2]) {
    for tag in tags {
        app.delete(&app.digest_of(tag));
    }
}

fn keeping_two() -> Value {
    with(merciless(false), &json!({ "imagesToKeep": 2 }))
}

fn skipped(report: &Report, because: SkipReason) -> usize {
    report.plan.stale().filter(|image| image.result == ImageResult::Skipped(because)).count()
}

/// Every result of a live run is one of these, so their sum is the number of stale images.
fn adds_up(report: &Report) {
    let totals = &json_of(report)["totals"];
    let of = |name: &str| totals[name].as_u64().unwrap();
    let gone = report.plan.stale().filter(|image| image.result == ImageResult::Gone).count() as u64;
    let results = ["Deleted", "Archived", "Failed", "Skipped", "NotAttempted", "NotAllowed"];
    let sum: u64 = results.iter().map(|result| of(&format!("images{result}"))).sum();
    assert_eq!(sum + gone, of("imagesStale"), "{totals}");
}

#[tokio::test(start_paused = true)]
async fn where_the_newest_were_deleted_while_the_run_took_its_time_the_next_newest_stay() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(10);
    aws.cluster("prod").runs("nginx");
    // Twenty pages, each of them slow.
    let slow = aws.repository("slow");
    slow.push_all((0..20_000).map(|build| Image::tagged(&format!("slow-{build}")).days_old(1.0)));
    aws.inject(Fault::slow("ecr:DescribeImages", Duration::from_secs(19)).for_repository("slow").times(19));
    let repository = app.clone();
    let last = Fault::before("ecr:DescribeImages", Duration::from_secs(1), move || {
        delete(&repository, ["v9", "v10"]);
    });
    aws.inject(last.for_repository("slow").times(1));
    let report = run_on(&aws, with(keeping_two(), &json!({ "ignoreTagsRegex": "^slow-" }))).await;
    assert_eq!((&report.outcome, app.tags()), (&Outcome::Completed, set(["v7", "v8"])));
    assert_eq!((report.totals.images_deleted, skipped(&report, SkipReason::KeptByNewPlan)), (6, 2));
    adds_up(&report);
}

#[tokio::test(start_paused = true)]
async fn whatever_changes_what_a_plan_would_hold_counts() {
    type Change = fn(&Repository);
    let cases: [(&str, Change, Value, [&str; 3]); 5] = [
        (
            "tags moved, so that the newest have none",
            |app| _ = ["v9", "v10"].map(|tag| app.untag(tag)),
            json!({ "untaggedOlderThanDays": null }),
            ["v7", "v8", ""],
        ),
        (
            "a tag that is kept came",
            |app| app.retag("v3", "prod"),
            json!({ "keepTags": ["prod"] }),
            ["prod", "v9", "v10"],
        ),
        ("one was pushed again", |app| app.push_again("v3"), json!({}), ["v3", "v9", "v10"]),
        ("one was pulled", |app| app.pull(&app.digest_of("v3")), json!({}), ["v3", "v9", "v10"]),
        ("a newer one was pushed", |app| _ = app.push(Image::tagged("v11")), json!({}), ["v9", "v10", "v11"]),
    ];
    for (behaviour, change, more, expected) in cases {
        let (aws, app) = ten_builds(change);
        let report = run_within(&aws, with(keeping_two(), &more), soon_old()).await.unwrap();
        assert_eq!(report.outcome, Outcome::Completed, "{behaviour}");
        let mut tags = app.tags();
        // An image that is kept for one tag keeps its other tag too.
        tags.retain(|tag| tag != "v3" || expected.contains(&"v3"));
        assert_eq!(tags, set(expected.into_iter().filter(|tag| !tag.is_empty())), "{behaviour}");
        adds_up(&report);
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_counts_again() {
    let (aws, app) = ten_builds(|app| delete(app, ["v9", "v10"]));
    let policies = json!([{ "repositories": ["app"], "rules": [{
        "rulePriority": 1, "action": { "type": "expire" },
        "selection": { "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 4 },
    }] }]);
    let event = json!({ "dryRun": false, "keepTags": [], "keepBeforeInUse": 0, "keepPulledWithinDays": 0, "policies": policies });
    let report = run_within(&aws, event, soon_old()).await.unwrap();
    assert_eq!((&report.outcome, app.tags()), (&Outcome::Completed, set(["v5", "v6", "v7", "v8"])));
    assert_eq!(skipped(&report, SkipReason::KeptByNewPlan), 2);
}

#[tokio::test(start_paused = true)]
async fn what_only_the_second_plan_holds_stays() {
    // Its protecting tag no longer exists in the second plan.
    let (aws, app) = ten_builds(|app| app.untag("prod"));
    app.retag("v3", "prod");
    let report = run_within(&aws, with(keeping_two(), &json!({ "keepTags": ["prod"] })), soon_old()).await.unwrap();
    assert_eq!((report.totals.images_stale, report.totals.images_deleted), (7, 7));
    assert_eq!(app.tags(), set(["v3", "v9", "v10"]));
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_is_gone_by_then_is_told_as_gone() {
    let (aws, _) = ten_builds(Repository::delete_repository);
    let report = run_within(&aws, keeping_two(), soon_old()).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!(report.plan.stale().filter(|image| image.result == ImageResult::Gone).count(), 8);
    let (aws, app) = ten_builds(|app| delete(app, ["v1", "v2"]));
    let report = run_within(&aws, keeping_two(), soon_old()).await.unwrap();
    assert_eq!(report.plan.stale().filter(|image| image.result == ImageResult::Gone).count(), 2);
    assert_eq!((app.tags(), report.totals.images_deleted), (set(["v9", "v10"]), 6));
    adds_up(&report);
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_can_not_be_read_again_stays_and_stops_no_other() {
    for operation in ["ecr:DescribeImages", "ecr:GetRepositoryPolicy", "ecr:DescribeRegistry"] {
        let (aws, app) = ten_builds(|_| {});
        let other = aws.repository("other").daily_builds(4);
        let denied = Fault::denied(operation);
        let denied = if operation == "ecr:DescribeRegistry" { denied } else { denied.for_repository("app") };
        aws.inject(denied.after(1));
        let report = run_within(&aws, keeping_two(), soon_old()).await.unwrap();
        assert_eq!((&report.outcome, app.digests().len()), (&Outcome::Partial, 10), "{operation}");
        assert!(report.totals.images_failed >= 8 && report.totals.images_skipped == 0, "{operation}");
        let is_of_registry = operation == "ecr:DescribeRegistry";
        assert_eq!(other.digests().len(), if is_of_registry { 4 } else { 2 }, "{operation}");
        adds_up(&report);
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_that_can_not_be_read_again_is_told() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    push_multi_arch(&app, "v1", 90.0);
    aws.cluster("prod").runs("nginx");
    takes_its_time(&aws, &app, |_| {});
    aws.inject(Fault::denied("ecr:BatchGetImage").after(1));
    let report = run_within(&aws, merciless(false), soon_old()).await.unwrap();
    assert_eq!((&report.outcome, app.digests().len()), (&Outcome::Partial, 3));
    assert_eq!(skipped(&report, SkipReason::KeptByNewPlan), 3);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_old_at_its_first_batch_is_read_again() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(10);
    let kept = aws.repository("kept").daily_builds(2);
    aws.cluster("prod").runs("nginx");
    takes_its_time(&aws, &app, |_| {});
    run_within(&aws, keeping_two(), soon_old()).await.unwrap();
    let listings = |aws: &SimulatedAws, name: &str| {
        let calls = aws.calls_of("ecr:DescribeImages").into_iter();
        calls.filter(|call| call.request["repositoryName"] == name && call.request["imageIds"].is_null()).count()
    };
    // The slow one was read late, and no image of the third is deleted.
    assert_eq!(["app", "slow", "kept"].map(|name| listings(&aws, name)), [2, 1, 1]);
    assert_eq!((app.digests().len(), kept.digests().len()), (2, 2));

    let (aws, app) = ten_builds(|_| {});
    run_on(&aws, keeping_two()).await;
    assert_eq!((listings(&aws, "app"), aws.calls_of("ecr:GetRepositoryPolicy").len()), (1, 1));
    assert_eq!(app.digests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_first_plan_has_read_does_not_look_pulled_to_the_second() {
    for is_excluded in [true, false] {
        let aws = SimulatedAws::in_memory();
        let app = aws.repository("app");
        push_multi_arch(&app, "v1", 90.0);
        aws.cluster("prod").runs("nginx");
        if is_excluded {
            aws.place(ACCOUNT, REGION).exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
        }
        takes_its_time(&aws, &app, |_| {});
        let event = with(merciless(false), &json!({ "keepPulledWithinDays": 45 }));
        let report = run_within(&aws, event, soon_old()).await.unwrap();
        assert_eq!((&report.outcome, app.digests().len()), (&Outcome::Completed, 0), "excluded: {is_excluded}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_pushed_since_goes_after_its_index_and_a_use_of_it_holds_that() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let platforms = [Image::untagged().days_old(90.0), Image::untagged().days_old(90.0)];
    let index = app.push(Image::index_of(&platforms).and_tag("v1").days_old(90.0));
    aws.cluster("prod").runs("nginx");
    let [first, second] = platforms;
    app.push(first);
    let by_digest = app.uri_by_digest(second.digest());
    let late = second.clone();
    takes_its_time(&aws, &app, move |app| _ = app.push(late.clone()));
    // The run finds a task with the late platform before the batch.
    let cluster = aws.cluster("prod");
    let starts =
        Fault::before("ecr:GetRepositoryPolicy", Duration::from_millis(1), move || _ = cluster.runs(&by_digest));
    aws.inject(starts.for_repository("slow").times(1));
    let limits = soon_old();
    let freshness = FreshnessLimits { max_age: Duration::ZERO, ..limits.freshness };
    let report = run_within(&aws, merciless(false), Limits { freshness, ..limits }).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed);
    assert!(app.digests().contains(&index) && app.digests().len() == 3, "{:?}", app.digests());
}

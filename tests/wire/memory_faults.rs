//! A memory that is absent, denied, damaged, slow, full, newer, or written by another run at the same time.

use std::time::Duration;

use ecr_cleanup_core::plan::Refusal;
use ecr_cleanup_core::report::Outcome;
use ecr_cleanup_core::warning::WarningCode;
use serde_json::json;
use simulated_aws::{ACCOUNT, Fault, Image, REGION, SimulatedAws, Task};

use crate::memory::{BUCKET, SEEN, World, days_pass, kept_because, live, push_old, warned};
use crate::support::{json_of, merciless, repacked, run_on, with};

/// The faults, each with a name.
type Inject = fn(&SimulatedAws);

#[tokio::test(start_paused = true)]
async fn a_memory_that_can_not_be_read_stops_a_live_run_and_a_dry_run_warns() {
    let faults: [(&str, Inject); 7] = [
        ("denied", |aws| aws.inject(Fault::error("s3:GetObject", 403, "AccessDenied"))),
        ("not listed", |aws| aws.inject(Fault::error("s3:ListBucket", 403, "AccessDenied"))),
        ("without a list", |aws| aws.place(ACCOUNT, REGION).hide_missing_objects(BUCKET)),
        ("broken off", |aws| aws.inject(Fault::truncated("s3:GetObject"))),
        ("of another", |aws| aws.place("999999999999", REGION).bucket(BUCKET)),
        ("damaged", |aws| aws.place(ACCOUNT, REGION).set_object(BUCKET, SEEN, Some(b"half of it"))),
        ("garbage", |aws| aws.inject(Fault::garbage("s3:ListBucket"))),
    ];
    for (what, inject) in faults {
        let world = World::in_a_bucket();
        push_old(&world.app);
        world.run(json!({})).await;
        inject(&world.aws);
        world.aws.forget_calls();
        let live = world.run(live()).await;
        let Outcome::Refused(Refusal::MemoryUnavailable(trouble)) = &live.outcome else {
            panic!("{what}: {:?}", live.outcome)
        };
        assert!(trouble.object.starts_with("s3://our-memory/nightly"), "{what}: {trouble}");
        assert_eq!(world.app.digests().len(), 1, "{what}");
        let dry = world.run(json!({})).await;
        assert_eq!(dry.outcome, Outcome::Planned, "{what}");
        let warned = dry.warnings.iter().find(|warning| warning.code == WarningCode::MemoryUnavailable);
        assert!(
            warned.is_some_and(|warning| warning.message.contains("a live run deletes nothing")),
            "{what}: {:?}",
            dry.warnings
        );
        json_of(&dry);
        assert!(world.aws.calls_of("s3:PutObject").is_empty(), "{what}: what was not read is not overwritten");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_not_there_stops_a_live_run() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(2);
    aws.cluster("prod").runs(&app.uri("v2"));
    let event = with(merciless(false), &json!({ "memory": "s3://nobodys-bucket" }));
    let report = run_on(&aws, event).await;
    let Outcome::Refused(refusal @ Refusal::MemoryUnavailable(_)) = &report.outcome else {
        panic!("{:?}", report.outcome)
    };
    let told = refusal.to_string();
    assert!(told.contains("NoSuchBucket") && told.contains("Create the bucket"), "{told}");
    assert_eq!(app.tags().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn hiccups_of_the_store_are_waited_for() {
    let world = World::in_a_bucket();
    let old = push_old(&world.app);
    world.aws.cluster("prod").start(Task::pulled(&world.app.uri("prod"), &old));
    for operation in ["s3:ListBucket", "s3:GetObject", "s3:PutObject"] {
        world.aws.inject(Fault::error(operation, 503, "SlowDown").times(2));
        world.aws.inject(Fault::reset(operation).times(1));
    }
    for _ in 0..2 {
        let report = world.run(live()).await;
        assert_eq!((&report.outcome, warned(&report)), (&Outcome::Completed, vec![]));
    }
    assert_eq!(world.objects(), [SEEN]);
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_written_is_a_warning() {
    for fault in [Fault::error("s3:PutObject", 403, "AccessDenied"), Fault::error("s3:PutObject", 507, "StorageFull")] {
        let world = World::in_a_bucket();
        push_old(&world.app);
        world.aws.inject(fault);
        let report = world.run(live()).await;
        assert_eq!((report.outcome.clone(), report.totals.images_deleted), (Outcome::Completed, 1));
        let warned = report.warnings.iter().find(|warning| warning.code == WarningCode::MemoryNotWritten).unwrap();
        assert!(warned.message.contains(SEEN), "{warned}");
        json_of(&report);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_after_a_write_changes_nothing() {
    let world = World::in_a_bucket();
    let old = push_old(&world.app);
    world.aws.cluster("prod").start(Task::pulled(&world.app.uri("prod"), &old));
    // The write is repeated, and the object of the first attempt exists by then.
    world.aws.inject(Fault::lost_answer("s3:PutObject").times(1));
    let report = world.run(live()).await;
    assert_eq!((&report.outcome, warned(&report)), (&Outcome::Completed, vec![]));
    days_pass(1).await;
    assert_eq!(kept_because(&world.run(live()).await, "inUse"), 1);
}

#[tokio::test(start_paused = true)]
async fn two_runs_at_once_are_merged() {
    let world = World::in_a_bucket();
    let old = push_old(&world.app);
    let other = world.app.push(Image::built_from("other").days_old(60.0));
    let cluster = world.aws.cluster("prod");
    let task = cluster.start(Task::pulled(&world.app.uri("prod"), &old));
    // While one run writes, another, which saw the other image in use, has written.
    let theirs = {
        let elsewhere = World::in_a_bucket();
        elsewhere.app.push(Image::built_from("other").days_old(60.0));
        elsewhere.aws.cluster("prod").start(Task::pulled(&elsewhere.app.uri("prod"), &other));
        elsewhere.run(json!({})).await;
        elsewhere.aws.place(ACCOUNT, REGION).objects(BUCKET)[SEEN].clone()
    };
    let place = world.aws.place(ACCOUNT, REGION);
    let write = move || place.set_object(BUCKET, SEEN, Some(&theirs));
    world.aws.inject(Fault::before("s3:PutObject", Duration::from_millis(5), write).times(1));
    let report = world.run(json!({})).await;
    assert_eq!(warned(&report), []);
    let mut puts = world.aws.calls_of("s3:PutObject");
    puts.retain(|put| put.request["Key"] == SEEN);
    assert_eq!((puts.len(), puts[0].error.as_deref()), (2, Some("PreconditionFailed")));
    cluster.forget(&task);
    days_pass(1).await;
    assert_eq!(kept_because(&world.run(live()).await, "usedRecently"), 2, "both are remembered");
}

#[tokio::test(start_paused = true)]
async fn a_memory_of_a_newer_version_is_read_and_left_as_it_is() {
    let world = World::in_a_bucket();
    let old = push_old(&world.app);
    let task = world.aws.cluster("prod").start(Task::pulled(&world.app.uri("prod"), &old));
    world.run(json!({})).await;
    world.aws.cluster("prod").forget(&task);
    let place = world.aws.place(ACCOUNT, REGION);
    let newer = repacked(&place.objects(BUCKET)[SEEN], |text| text.replace("\"format\":1", "\"format\":2"));
    place.set_object(BUCKET, SEEN, Some(&newer));
    days_pass(1).await;
    let report = world.run(live()).await;
    assert_eq!((report.outcome.clone(), kept_because(&report, "usedRecently")), (Outcome::Completed, 1));
    let warned = report.warnings.iter().find(|warning| warning.code == WarningCode::MemoryNotWritten).unwrap();
    assert!(warned.message.contains("newer version") && warned.message.contains("Update ecr-cleanup"), "{warned}");
    assert_eq!(place.objects(BUCKET)[SEEN], newer);
}

#[tokio::test(start_paused = true)]
async fn a_slow_memory_is_waited_for_and_one_that_is_silent_is_given_up() {
    let world = World::in_a_bucket();
    push_old(&world.app);
    world.run(json!({})).await;
    world.aws.inject(Fault::slow("s3:GetObject", Duration::from_secs(15)).times(3));
    assert_eq!(world.run(live()).await.outcome, Outcome::Completed);
    world.aws.heal();
    world.aws.inject(Fault::no_answer("s3:GetObject"));
    let report = world.run(live()).await;
    assert!(matches!(report.outcome, Outcome::Refused(Refusal::MemoryUnavailable(_))), "{:?}", report.outcome);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_in_another_region_is_found() {
    let aws = SimulatedAws::in_memory();
    aws.place(ACCOUNT, "eu-central-1").bucket(BUCKET);
    let world = World::of(aws, format!("s3://{BUCKET}"), None);
    push_old(&world.app);
    _ = world.aws.region("eu-central-1");
    let report = world.run(live()).await;
    assert_eq!((report.outcome, report.totals.images_deleted), (Outcome::Completed, 1));
    assert_eq!(
        world.objects(),
        ["state/seen/123456789012/eu-central-1.json.gz", "state/seen/123456789012/us-west-2.json.gz"]
    );
}

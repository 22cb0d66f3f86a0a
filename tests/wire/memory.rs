//! What a run learned, the next one knows: several runs over days, with a memory in a bucket and in a folder.

use std::time::Duration;

use ecr_cleanup_core::plan::Refusal;
use ecr_cleanup_core::report::{Outcome, Report};
use ecr_cleanup_core::warning::WarningCode;
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Fault, Image, REGION, Repository, Service, SimulatedAws, Task};
use tempfile::TempDir;

use crate::support::{json_of, merciless, run_on, set, stale_digests, with};

const BUCKET: &str = "our-memory";
const SEEN: &str = "nightly/seen/123456789012/us-west-2.json.gz";

/// An account with a memory.
struct World {
    aws: SimulatedAws,
    app: Repository,
    location: String,
    _folder: Option<TempDir>,
}

impl World {
    fn in_a_bucket() -> Self {
        let aws = SimulatedAws::in_memory();
        aws.place(ACCOUNT, REGION).bucket(BUCKET);
        Self::of(aws, format!("s3://{BUCKET}/nightly"), None)
    }

    fn in_a_folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().join("memory").to_str().unwrap().to_owned();
        Self::of(SimulatedAws::in_memory(), location, Some(folder))
    }

    fn of(aws: SimulatedAws, location: String, folder: Option<TempDir>) -> Self {
        let app = aws.repository("app");
        // Something is always in use.
        aws.cluster("prod").runs("nginx");
        Self { aws, app, location, _folder: folder }
    }

    async fn run(&self, event: Value) -> Report {
        run_on(&self.aws, with(event, &json!({ "memory": self.location }))).await
    }

    fn objects(&self) -> Vec<String> {
        self.aws.place(ACCOUNT, REGION).objects(BUCKET).into_keys().collect()
    }
}

async fn days_pass(days: u64) {
    tokio::time::sleep(Duration::from_hours(24) * u32::try_from(days).unwrap()).await;
}

fn live() -> Value {
    json!({ "dryRun": false })
}

fn kept_because(report: &Report, reason: &str) -> u64 {
    let kept = report.plan.decided().flat_map(|decided| decided.kept_because.iter().collect::<Vec<_>>());
    kept.filter(|(because, _)| because.as_str() == reason).map(|(_, images)| images).sum()
}

/// What a run warns of its memory, and of pulls that memory tells apart.
fn warned(report: &Report) -> Vec<WarningCode> {
    use WarningCode::{IndexPullsCounted, IndexPullsUnknown, MemoryNotWritten, MemoryUnavailable};
    let of_memory = [IndexPullsCounted, IndexPullsUnknown, MemoryNotWritten, MemoryUnavailable];
    report.warnings.iter().map(|warning| warning.code).filter(|code| of_memory.contains(code)).collect()
}

/// An old image that a workload runs by its digest until tonight, and that no tag names any more.
fn push_old(app: &Repository) -> String {
    app.push(Image::built_from("old").days_old(60.0))
}

/// One image is in use on the first night, in this way, and not afterwards.
async fn stays_for_thirty_days(world: World, begin: impl FnOnce(&World, &str), end: impl FnOnce(&World)) {
    let old = push_old(&world.app);
    begin(&world, &old);
    let first = world.run(live()).await;
    assert_eq!((&first.outcome, kept_because(&first, "inUse")), (&Outcome::Completed, 1));
    end(&world);
    for days in [1, 28, 1] {
        days_pass(days).await;
        let report = world.run(live()).await;
        assert_eq!((kept_because(&report, "usedRecently"), report.totals.images_stale), (1, 0), "{days} days later");
    }
    days_pass(1).await;
    let report = world.run(live()).await;
    assert_eq!(report.totals.images_deleted, 1, "31 days after its last use");
    assert_eq!(world.app.digests(), set([]));
}

#[tokio::test(start_paused = true)]
async fn field_case_25_an_image_in_use_until_today_is_there_for_the_rollback() {
    // Without a memory it is deleted.
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    aws.cluster("prod").runs("nginx");
    let old = push_old(&app);
    let task = aws.cluster("prod").start(Task::pulled(&app.uri("prod"), &old));
    assert_eq!(run_on(&aws, live()).await.totals.images_deleted, 0);
    aws.cluster("prod").forget(&task);
    days_pass(1).await;
    assert_eq!(run_on(&aws, live()).await.totals.images_deleted, 1, "the case is one");

    for world in [World::in_a_bucket(), World::in_a_folder()] {
        let cluster = world.aws.cluster("prod");
        let task = std::cell::OnceCell::new();
        let start = |world: &World, old: &str| {
            task.set(cluster.start(Task::pulled(&world.app.uri("prod"), old))).unwrap();
        };
        stays_for_thirty_days(world, start, |_| cluster.forget(task.get().unwrap())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_former_image_of_a_function_is_there_for_the_rollback() {
    let world = World::in_a_bucket();
    let function = std::cell::OnceCell::new();
    let begin = |world: &World, old: &str| {
        let image = world.app.uri_by_digest(old);
        _ = function.set(world.aws.place(ACCOUNT, REGION).function("resize", &image, Some(&image)));
    };
    stays_for_thirty_days(world, begin, |_| function.get().unwrap().update_code("nginx", None)).await;
}

#[tokio::test(start_paused = true)]
async fn the_former_revision_of_a_service_is_there_for_the_rollback() {
    let world = World::in_a_bucket();
    let cluster = world.aws.cluster("prod");
    let service = std::cell::OnceCell::new();
    let begin = |world: &World, old: &str| {
        let place = world.aws.place(ACCOUNT, REGION);
        let definition = place.register("web", &[&world.app.uri_by_digest(old)]);
        let revision = place.service_revision(&definition, &[(&world.app.uri("prod"), Some(old))]);
        service.set(cluster.create(Service::of(&definition).revision(&revision))).unwrap();
        // Tonight's release.
        place.register("web", &["nginx"]);
    };
    let end = |world: &World| {
        let place = world.aws.place(ACCOUNT, REGION);
        let definition = place.register("web", &["nginx"]);
        let revision = place.service_revision(&definition, &[("nginx", None)]);
        cluster.update(service.get().unwrap(), Service::of(&definition).revision(&revision));
    };
    stays_for_thirty_days(world, begin, end).await;
}

#[tokio::test(start_paused = true)]
async fn the_image_of_a_batch_task_that_ran_last_night_is_there_for_the_next() {
    let world = World::in_a_bucket();
    let cluster = world.aws.cluster("batch");
    let task = std::cell::OnceCell::new();
    let begin = |world: &World, old: &str| {
        task.set(cluster.start(Task::pulled(&world.app.uri("job"), old).stopped())).unwrap();
    };
    stays_for_thirty_days(world, begin, |_| cluster.forget(task.get().unwrap())).await;
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_remembers_too_and_tells_since_when_memory_knows() {
    let world = World::in_a_folder();
    let old = push_old(&world.app);
    let task = world.aws.cluster("prod").start(Task::pulled(&world.app.uri("prod"), &old));
    let first = json_of(&world.run(json!({})).await);
    assert_eq!(first["memory"], json!({ "location": world.location, "since": null }));
    world.aws.cluster("prod").forget(&task);
    days_pass(3).await;
    let report = world.run(json!({ "keepUsedWithinDays": 2 })).await;
    let told = json_of(&report);
    assert_eq!(told["memory"]["since"], "2026-09-01");
    let stale = &told["regions"][0]["repositories"][0]["stale"][0];
    assert_eq!(stale["lastUsed"]["day"], "2026-09-01");
    assert!(stale["lastUsed"]["by"].as_str().unwrap().starts_with("ECS task arn:aws:ecs:"), "{stale}");
    assert_eq!(stale.get("staleSince"), None, "it is stale for the first time");
    days_pass(1).await;
    let told = json_of(&world.run(json!({ "keepUsedWithinDays": 2 })).await);
    assert_eq!(told["regions"][0]["repositories"][0]["stale"][0]["staleSince"], "2026-09-04");
    assert_eq!(
        world.run(json!({ "keepUsedWithinDays": 4 })).await.totals.images_stale,
        0,
        "days count as they are set"
    );
}

#[tokio::test(start_paused = true)]
async fn a_memory_that_can_not_be_read_stops_a_live_run_and_a_dry_run_warns() {
    let faults: [(&str, Box<dyn Fn(&SimulatedAws)>); 7] = [
        ("denied", Box::new(|aws| aws.inject(Fault::error("s3:GetObject", 403, "AccessDenied")))),
        ("not listed", Box::new(|aws| aws.inject(Fault::error("s3:ListBucket", 403, "AccessDenied")))),
        ("without a list", Box::new(|aws| aws.place(ACCOUNT, REGION).hide_missing_objects(BUCKET))),
        ("broken off", Box::new(|aws| aws.inject(Fault::truncated("s3:GetObject")))),
        ("of another", Box::new(|aws| aws.place("999999999999", REGION).bucket(BUCKET))),
        ("damaged", Box::new(|aws| aws.place(ACCOUNT, REGION).set_object(BUCKET, SEEN, Some(b"half of it")))),
        ("garbage", Box::new(|aws| aws.inject(Fault::garbage("s3:ListBucket")))),
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
            warned.is_some_and(|warning| warning.message.contains("A live run stops")),
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
    // The write is asked for again, and its own object stands in its way.
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
    let puts = world.aws.calls_of("s3:PutObject");
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
    let newer =
        crate::support::repacked(&place.objects(BUCKET)[SEEN], |text| text.replace("\"format\":1", "\"format\":2"));
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
    assert_eq!(world.objects(), ["seen/123456789012/eu-central-1.json.gz", "seen/123456789012/us-west-2.json.gz"]);
}

/// An index with one child, both old.
fn push_index(app: &Repository, tag: &str, index_pulled: f64) {
    let child = Image::untagged().days_old(90.0).pulled_days_ago(50.0);
    let index = Image::index_of([&child]).and_tag(tag).days_old(90.0).pulled_days_ago(index_pulled);
    app.push_all([child, index]);
}

#[tokio::test(start_paused = true)]
async fn two_dry_runs_and_the_live_run_after_them_agree_with_and_without_the_exclusion() {
    for is_excluded in [true, false] {
        let world = World::in_a_bucket();
        push_index(&world.app, "stale", 50.0);
        push_index(&world.app, "pulled", 3.0);
        if is_excluded {
            world.aws.place(ACCOUNT, REGION).exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
        }
        let daily = |dry_run| with(merciless(dry_run), &json!({ "keepPulledWithinDays": 30 }));
        let first = world.run(daily(true)).await;
        assert_eq!(first.totals.images_stale, 2, "{is_excluded}");
        let second = world.run(daily(true)).await;
        assert_eq!(stale_digests(&second), stale_digests(&first), "{is_excluded}");
        assert_eq!(world.aws.calls_of("ecr:BatchGetImage").len(), 1, "each index is read once in its life");
        assert_eq!(warned(&second), []);
        let live = world.run(daily(false)).await;
        assert_eq!((live.outcome, live.totals.images_deleted), (Outcome::Completed, 2), "{is_excluded}");
        assert_eq!(world.app.tags(), set(["pulled"]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pull_a_day_after_our_reading_is_somebody_elses() {
    let world = World::in_a_bucket();
    push_index(&world.app, "v1", 50.0);
    let daily = |dry_run| with(merciless(dry_run), &json!({ "keepPulledWithinDays": 30 }));
    assert_eq!(world.run(daily(true)).await.totals.images_stale, 2);
    days_pass(2).await;
    let index = world.app.digest_of("v1");
    assert_eq!(world.run(daily(true)).await.totals.images_stale, 2, "nobody pulled it");
    world.app.pull(&index);
    assert_eq!(world.run(daily(false)).await.totals.images_deleted, 0);
    assert_eq!(world.app.tags(), set(["v1"]));
}

#[tokio::test(start_paused = true)]
async fn what_another_principal_of_the_same_memory_read_is_no_pull_either() {
    let world = World::in_a_bucket();
    push_index(&world.app, "v1", 50.0);
    let daily = |dry_run| with(merciless(dry_run), &json!({ "keepPulledWithinDays": 30 }));
    world.aws.place(ACCOUNT, REGION).exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
    world.aws.set_caller("arn:aws:iam::123456789012:user/ann");
    assert_eq!(world.run(daily(true)).await.totals.images_stale, 2);
    world.aws.set_caller("arn:aws:sts::123456789012:assumed-role/ecr-cleanup/run");
    let live = world.run(daily(false)).await;
    assert_eq!((live.outcome, live.totals.images_deleted), (Outcome::Completed, 2));
}

#[tokio::test(start_paused = true)]
async fn where_nobody_knows_whether_reading_is_recorded_the_pull_counts() {
    let world = World::in_a_bucket();
    push_index(&world.app, "v1", 50.0);
    let daily = |dry_run| with(merciless(dry_run), &json!({ "keepPulledWithinDays": 30 }));
    world.aws.inject(Fault::denied("ecr:ListPullTimeUpdateExclusions"));
    assert_eq!(world.run(daily(true)).await.totals.images_stale, 2);
    assert_eq!(world.run(daily(true)).await.totals.images_stale, 0, "unknown means keep");
}

#[tokio::test(start_paused = true)]
async fn task_definitions_and_service_revisions_are_read_once_in_their_life() {
    let world = World::in_a_bucket();
    let place = world.aws.place(ACCOUNT, REGION);
    let old = push_old(&world.app);
    let definitions: Vec<String> = (0..40).map(|number| place.register(&format!("job-{number}"), &["nginx"])).collect();
    let used = place.register("web", &[&world.app.uri_by_digest(&old)]);
    let revision = place.service_revision(&used, &[(&world.app.uri("prod"), Some(&old))]);
    world.aws.cluster("prod").create(Service::of(&used).revision(&revision));
    let first = world.run(live()).await;
    assert_eq!(world.aws.calls_of("ecs:DescribeTaskDefinition").len(), definitions.len() + 1);
    days_pass(1).await;
    place.register("new", &["nginx"]);
    world.aws.forget_calls();
    let second = world.run(live()).await;
    assert_eq!(world.aws.calls_of("ecs:DescribeTaskDefinition").len(), 1, "only the new one");
    assert!(world.aws.calls_of("ecs:DescribeServiceRevisions").is_empty());
    assert_eq!((kept_because(&first, "inUse"), kept_because(&second, "inUse")), (1, 1));
    assert_eq!(second.usage.references, first.usage.references);
    days_pass(1).await;
    world.aws.forget_calls();
    world.run(live()).await;
    assert!(world.aws.calls_of("ecs:DescribeTaskDefinition").is_empty());
    let puts = world.aws.calls_of("s3:PutObject");
    assert_eq!(puts.len(), 1, "a night without news writes only what was in use: {puts:?}");
}

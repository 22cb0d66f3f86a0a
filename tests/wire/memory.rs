//! Several runs over days share a memory, in a bucket and in a folder.

use std::collections::BTreeSet;
use std::time::Duration;

use ecr_cleanup_core::report::{Outcome, Report};
use ecr_cleanup_core::warning::WarningCode;
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Fault, Image, REGION, Repository, Service, SimulatedAws, Task};
use tempfile::TempDir;

use crate::support::{json_of, merciless, push_multi_arch, run_on, set, stale_digests, with};

/// The bucket of a memory.
pub const BUCKET: &str = "our-memory";
/// The object with the images of the default registry that were in use.
pub const SEEN: &str = "nightly/state/seen/123456789012/us-west-2.json.gz";

/// An account with a memory.
pub struct World {
    pub aws: SimulatedAws,
    pub app: Repository,
    pub location: String,
    _folder: Option<TempDir>,
}

impl World {
    pub fn in_a_bucket() -> Self {
        let aws = SimulatedAws::in_memory();
        aws.place(ACCOUNT, REGION).bucket(BUCKET);
        Self::of(aws, format!("s3://{BUCKET}/nightly"), None)
    }

    pub fn in_a_folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().join("memory").to_str().unwrap().to_owned();
        Self::of(SimulatedAws::in_memory(), location, Some(folder))
    }

    pub fn of(aws: SimulatedAws, location: String, folder: Option<TempDir>) -> Self {
        let app = aws.repository("app");
        // Something is always in use.
        aws.cluster("prod").runs("nginx");
        Self { aws, app, location, _folder: folder }
    }

    pub async fn run(&self, event: Value) -> Report {
        run_on(&self.aws, with(event, &json!({ "memory": self.location }))).await
    }

    /// The objects with what runs learned.
    pub fn objects(&self) -> Vec<String> {
        let keys = self.aws.place(ACCOUNT, REGION).objects(BUCKET).into_keys();
        keys.filter(|key| key.contains("state/")).collect()
    }
}

/// Lets N days pass.
pub async fn days_pass(days: u64) {
    tokio::time::sleep(Duration::from_hours(24) * u32::try_from(days).unwrap()).await;
}

/// A live run with the defaults.
pub fn live() -> Value {
    json!({ "dryRun": false })
}

/// The number of images that are kept with this first reason.
pub fn kept_because(report: &Report, reason: &str) -> u64 {
    let kept = report.plan.decided().flat_map(|decided| decided.kept_because.iter().collect::<Vec<_>>());
    kept.filter(|(because, _)| because.as_str() == reason).map(|(_, images)| images).sum()
}

/// The warnings about memory, and about pulls that memory distinguishes.
pub fn warned(report: &Report) -> Vec<WarningCode> {
    use WarningCode::{IndexPullsCounted, IndexPullsUnknown, MemoryNotWritten, MemoryUnavailable};
    let of_memory = [IndexPullsCounted, IndexPullsUnknown, MemoryNotWritten, MemoryUnavailable];
    report.warnings.iter().map(|warning| warning.code).filter(|code| of_memory.contains(code)).collect()
}

/// An old, untagged image that a workload used by its digest.
pub fn push_old(app: &Repository) -> String {
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

#[tokio::test(start_paused = true)]
async fn versions_of_functions_are_read_once_in_their_life() {
    let world = World::in_a_bucket();
    let place = world.aws.place(ACCOUNT, REGION);
    let old = push_old(&world.app);
    let image = world.app.uri_by_digest(&old);
    let function = place.function("resize", &image, Some(&image));
    let digest = |number: usize| format!("nginx@sha256:{number:064x}");
    (0..20).for_each(|number| _ = function.publish("nginx", Some(&digest(number))));
    world.run(live()).await;
    assert_eq!(world.aws.calls_of("lambda:GetFunction").len(), 21);
    days_pass(1).await;
    function.publish("nginx", Some(&digest(99)));
    world.aws.forget_calls();
    let report = world.run(live()).await;
    assert_eq!(world.aws.calls_of("lambda:GetFunction").len(), 1, "only the new one");
    assert_eq!(kept_because(&report, "inUse"), 1);
    // A new function has the same name, and an image from another repository.
    function.delete();
    let other = world.aws.repository("other");
    other.push(Image::built_from("old").and_tag("moving").days_old(60.0));
    _ = place.function("resize", &other.uri("moving"), Some(&other.uri_by_digest(&old)));
    days_pass(1).await;
    let report = world.run(with(live(), &json!({ "keepUsedWithinDays": 0 }))).await;
    let missing: Vec<_> = report.plan.decided().flat_map(|decided| &decided.missing).collect();
    assert_eq!((missing.len(), kept_because(&report, "inUse")), (0, 2), "the tag that it names now is in use");
    assert!(report.usage.references >= 2);
}

#[tokio::test(start_paused = true)]
async fn over_many_nights_memory_only_keeps() {
    for seed in 0..12 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let world = World::in_a_bucket();
        // If ECR does not record readings, memory can only keep images.
        world.aws.place(ACCOUNT, REGION).exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
        let single = (0..5).map(|number| world.app.push(Image::tagged(&format!("v{number}")).days_old(90.0)));
        let mut images: Vec<String> = single.collect();
        (0..2).for_each(|number| images.extend(push_multi_arch(&world.app, &format!("multi-{number}"), 90.0)));
        let (cluster, mut running) = (world.aws.cluster("prod"), Vec::<String>::new());
        let mut ever_used = BTreeSet::new();
        for night in 0..5 {
            for task in running.drain(..) {
                cluster.forget(&task);
            }
            for image in (0..rng.usize(0..3)).map(|_| rng.choice(&images).unwrap().clone()).collect::<Vec<_>>() {
                running.push(cluster.start(Task::pulled("nginx", &image)));
                ever_used.insert(image);
            }
            let event = with(merciless(true), &json!({ "keepPulledWithinDays": 30 }));
            let without = stale_digests(&run_on(&world.aws, event.clone()).await);
            let with_memory = stale_digests(&world.run(event).await);
            let more: Vec<_> = with_memory.difference(&without).collect();
            assert!(more.is_empty(), "seed {seed}, night {night}: {more:?}");
            let lost: Vec<_> = with_memory.intersection(&ever_used).collect();
            assert!(lost.is_empty(), "seed {seed}, night {night}: in use within 30 days: {lost:?}");
            days_pass(1).await;
        }
    }
}

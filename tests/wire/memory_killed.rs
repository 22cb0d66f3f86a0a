//! Live runs that are killed while they delete. A run writes the images in use before its first delete.

use std::time::Duration;

use ecr_cleanup_core::report::Outcome;
use serde_json::json;
use simulated_aws::{ACCOUNT, Fault, Image, REGION, Task};

use crate::memory::{BUCKET, SEEN, World, days_pass, kept_because, live, push_old, warned};
use crate::support::{merciless, set};

#[tokio::test(start_paused = true)]
async fn an_image_whose_last_use_only_a_killed_run_saw_is_kept() {
    let world = World::in_a_bucket();
    let old = push_old(&world.app);
    world.app.push(Image::built_from("junk").days_old(60.0));
    let task = world.aws.cluster("prod").start(Task::pulled(&world.app.uri("prod"), &old));
    world.aws.inject(Fault::no_answer("ecr:BatchDeleteImage"));
    let run = tokio::time::timeout(Duration::from_secs(5), world.run(live())).await;
    assert!(run.is_err(), "it is killed while it deletes");
    world.aws.heal();
    world.aws.cluster("prod").forget(&task);
    days_pass(1).await;
    let next = world.run(live()).await;
    assert_eq!((&next.outcome, kept_because(&next, "usedRecently")), (&Outcome::Completed, 1));
    assert_eq!(world.app.digests(), set([old.as_str()]));
}

/// The number of calls of an operation for the images in use of the default registry.
fn calls_for_seen(world: &World, operation: &str) -> usize {
    world.aws.calls_of(operation).iter().filter(|call| call.request["Key"] == SEEN).count()
}

#[tokio::test(start_paused = true)]
async fn a_run_that_deletes_writes_the_images_in_use_twice_and_every_other_run_once() {
    let world = World::in_a_bucket();
    let old = push_old(&world.app);
    world.app.push(Image::built_from("junk").days_old(60.0));
    world.aws.cluster("prod").start(Task::pulled(&world.app.uri("prod"), &old));
    for (event, deleted, puts) in [(json!({}), 0, 1), (live(), 1, 2), (live(), 0, 1)] {
        world.aws.forget_calls();
        let report = world.run(event).await;
        assert_eq!((report.totals.images_deleted, warned(&report)), (deleted, vec![]));
        assert_eq!(calls_for_seen(&world, "s3:PutObject"), puts, "{:?}", report.outcome);
        assert!(calls_for_seen(&world, "s3:GetObject") <= 1, "it knows the version that it has written");
        let failed: Vec<_> = world.aws.calls_of("s3:PutObject").into_iter().filter_map(|call| call.error).collect();
        assert_eq!(failed, [""; 0]);
        days_pass(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_wrote_while_this_one_deleted_is_merged() {
    let world = World::in_a_bucket();
    let old = push_old(&world.app);
    let push_others = |world: &World| world.app.push(Image::built_from("other").and_tag("v1").days_old(60.0));
    let other = push_others(&world);
    world.app.push(Image::built_from("junk").days_old(60.0));
    let theirs = {
        let elsewhere = World::in_a_bucket();
        push_others(&elsewhere);
        elsewhere.aws.cluster("prod").start(Task::pulled(&elsewhere.app.uri("prod"), &other));
        elsewhere.run(json!({})).await;
        elsewhere.aws.place(ACCOUNT, REGION).objects(BUCKET)[SEEN].clone()
    };
    let cluster = world.aws.cluster("prod");
    let task = cluster.start(Task::pulled(&world.app.uri("prod"), &old));
    let place = world.aws.place(ACCOUNT, REGION);
    let write = move || place.set_object(BUCKET, SEEN, Some(&theirs));
    world.aws.inject(Fault::before("ecr:BatchDeleteImage", Duration::from_millis(5), write).times(1));
    let report = world.run(live()).await;
    assert_eq!((report.totals.images_deleted, warned(&report)), (1, vec![]));
    cluster.forget(&task);
    days_pass(1).await;
    let next = world.run(merciless(false)).await;
    assert_eq!(kept_because(&next, "usedRecently"), 2, "both are remembered");
}

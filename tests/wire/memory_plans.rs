//! Plans that dry runs save in a memory, and that a later run carries out once.

use ecr_cleanup::lambda::invoke;
use ecr_cleanup_core::settings::Environment;
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Fault, Image, REGION, SimulatedAws};

use crate::memory::{BUCKET, World, days_pass};
use crate::support::{clients, repacked, set};

/// The settings of the dry runs.
fn dry() -> Value {
    json!({ "memory": format!("s3://{BUCKET}/nightly"), "imagesToKeep": 2, "keepBeforeInUse": 0 })
}

/// Ten builds, of which the second is in use.
fn world() -> World {
    let world = World::in_a_bucket();
    world.app.push_all((1..=10).map(|build| Image::tagged(&format!("v{build}")).days_old(100.0 - f64::from(build))));
    world.aws.cluster("prod").runs(&world.app.uri("v2"));
    world
}

/// Invokes the function, which has these variables.
async fn invoked_with(aws: &SimulatedAws, event: &Value, environment: &Environment) -> Result<Value, Diagnostic> {
    let payload = RawValue::from_string(event.to_string()).unwrap();
    let mut context = Context::default();
    context.deadline = u64::try_from(
        (aws.now() + std::time::Duration::from_mins(15)).duration_since(std::time::UNIX_EPOCH).unwrap().as_millis(),
    )
    .unwrap();
    let answer = invoke(LambdaEvent::new(payload, context), environment, &clients(aws).await).await?;
    Ok(serde_json::from_str(answer.get()).unwrap())
}

async fn invoked(aws: &SimulatedAws, event: Value) -> Result<Value, Diagnostic> {
    let environment = [("MEMORY".to_owned(), format!("s3://{BUCKET}/nightly"))].into();
    invoked_with(aws, &event, &environment).await
}

/// Makes a plan. Returns its id.
async fn planned(world: &World) -> String {
    let report = invoked(&world.aws, dry()).await.unwrap();
    assert_eq!(report["outcome"], "planned");
    report["runId"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_saves_its_plan_and_a_later_run_carries_out_exactly_that() {
    let world = world();
    let id = planned(&world).await;
    let place = world.aws.place(ACCOUNT, REGION);
    let object = place.objects(BUCKET)[&format!("nightly/plans/{id}.json.gz")].clone();
    repacked(&object, |text| {
        let plan: Value = serde_json::from_str(text).unwrap();
        assert_eq!(plan["settings"]["imagesToKeep"], 2);
        assert_eq!(plan["regions"][0]["repositories"][0]["images"].as_array().unwrap().len(), 7);
        text.to_owned()
    });
    // Since then: a stale image came into use, another got a tag, and a build made one more image stale.
    world.aws.cluster("prod").runs(&world.app.uri("v4"));
    world.app.retag("v5", "stable");
    world.app.push(Image::tagged("v11").days_old(0.0));
    let report = invoked(&world.aws, json!({ "plan": id, "dryRun": false })).await.unwrap();
    assert_eq!((&report["outcome"], &report["totals"]["imagesDeleted"]), (&json!("completed"), &json!(5)), "{report}");
    assert_eq!(world.app.tags(), set(["stable", "v10", "v11", "v2", "v4", "v5", "v9"]));
    assert_eq!(report["settings"]["imagesToKeep"], json!({ "value": 2, "from": "file" }));
    assert_eq!(report["settings"]["memory"]["from"], "environment");
}

#[tokio::test(start_paused = true)]
async fn without_dry_run_false_in_the_event_a_plan_deletes_nothing() {
    let world = world();
    let id = planned(&world).await;
    let environment =
        [("MEMORY".to_owned(), format!("s3://{BUCKET}/nightly")), ("DRY_RUN".to_owned(), "false".to_owned())];
    for event in [json!({ "plan": id }), json!({ "plan": id, "dryRun": true }), json!({ "plan": id, "dryRun": null })] {
        let report = invoked_with(&world.aws, &event, &environment.clone().into()).await.unwrap();
        assert_eq!((&report["dryRun"], &report["totals"]["imagesStale"]), (&json!(true), &json!(7)), "{event}");
    }
    assert_eq!(world.app.tags().len(), 10);
    // That was no run that carries it out.
    assert!(invoked(&world.aws, json!({ "plan": id, "dryRun": false })).await.is_ok());
    assert_eq!(world.app.tags().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_carried_out_once() {
    let world = world();
    let id = planned(&world).await;
    let event = json!({ "plan": id, "dryRun": false });
    let first = invoked(&world.aws, event.clone()).await.unwrap();
    world.app.push_all((1..=10).map(|build| Image::tagged(&format!("v{build}")).days_old(100.0 - f64::from(build))));
    let tags = world.app.tags();
    let error = invoked(&world.aws, event).await.unwrap_err();
    assert_eq!(error.error_type, "InvalidSettings");
    let by = first["runId"].as_str().unwrap();
    for told in [by, "only once", "Make a new plan"] {
        assert!(error.error_message.contains(told), "{told}: {}", error.error_message);
    }
    assert_eq!(world.app.tags(), tags);
}

#[tokio::test(start_paused = true)]
async fn of_two_runs_at_once_one_carries_the_plan_out() {
    let world = world();
    let id = planned(&world).await;
    let event = json!({ "plan": id, "dryRun": false });
    let (one, other) = tokio::join!(invoked(&world.aws, event.clone()), invoked(&world.aws, event));
    let (done, refused) = if one.is_ok() { (one, other) } else { (other, one) };
    assert_eq!(done.unwrap()["totals"]["imagesDeleted"], 7);
    let refused = refused.unwrap_err();
    assert_eq!(refused.error_type, "InvalidSettings", "{}", refused.error_message);
    assert!(refused.error_message.contains("Nothing was deleted"), "{}", refused.error_message);
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_is_lost_is_this_runs_own() {
    let world = world();
    let id = planned(&world).await;
    world.aws.inject(Fault::lost_answer("s3:PutObject").times(1));
    let report = invoked(&world.aws, json!({ "plan": id, "dryRun": false })).await.unwrap();
    assert_eq!(report["totals"]["imagesDeleted"], 7);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_can_not_be_claimed_is_not_carried_out() {
    let world = world();
    let id = planned(&world).await;
    world.aws.inject(Fault::error("s3:PutObject", 403, "AccessDenied"));
    let error = invoked(&world.aws, json!({ "plan": id, "dryRun": false })).await.unwrap_err();
    assert_eq!(error.error_type, "MemoryUnavailable", "{}", error.error_message);
    assert_eq!(world.app.tags().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_refused_run_leaves_the_plan_for_the_next() {
    let world = world();
    let id = planned(&world).await;
    let event = json!({ "plan": id, "dryRun": false });
    // The tasks that run and those that stopped, each asked for twice.
    world.aws.inject(Fault::denied("ecs:ListTasks").times(4));
    let error = invoked(&world.aws, event.clone()).await.unwrap_err();
    assert_eq!(error.error_type, "UsageIncomplete", "{}", error.error_message);
    let lower = json!({ "plan": id, "dryRun": false, "maxDeletions": 6 });
    assert_eq!(invoked(&world.aws, lower).await.unwrap_err().error_type, "TooManyDeletions");
    assert_eq!(invoked(&world.aws, event).await.unwrap()["totals"]["imagesDeleted"], 7);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_plan_of_this_memory_is_an_invalid_setting() {
    let world = world();
    let id = planned(&world).await;
    let live = |plan: &Value| json!({ "plan": plan, "dryRun": false });
    for (what, event, told) in [
        ("unknown", live(&json!("2026-01-01T00-00-00Z-1a2b")), "there is no plan"),
        ("a file", live(&json!("plan.json")), "the runId of a dry run"),
        ("with other settings", json!({ "plan": id, "dryRun": false, "imagesToKeep": 5 }), "imagesToKeep"),
        ("in a folder", json!({ "plan": id, "dryRun": false, "memory": "/var/memory" }), "lost with the function"),
    ] {
        let error = invoked(&world.aws, event).await.unwrap_err();
        assert_eq!(error.error_type, "InvalidSettings", "{what}: {}", error.error_message);
        assert!(error.error_message.contains(told), "{what}: {}", error.error_message);
    }
    let error = invoked_with(&world.aws, &live(&json!(id)), &Environment::new()).await.unwrap_err();
    assert!(error.error_message.contains("memory"), "{}", error.error_message);
    // A variable that came later, and might exclude a repository.
    let environment = [
        ("MEMORY".to_owned(), format!("s3://{BUCKET}/nightly")),
        ("EXCLUDE_REPOSITORIES".to_owned(), "app".to_owned()),
    ];
    let error = invoked_with(&world.aws, &live(&json!(id)), &environment.into()).await.unwrap_err();
    assert!(error.error_message.contains("EXCLUDE_REPOSITORIES"), "{}", error.error_message);
    assert_eq!(world.app.tags().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_plan_or_claim_stops_the_run() {
    for key in ["nightly/plans/ID.json.gz", "nightly/plans/ID.carried-out.json.gz"] {
        let world = world();
        let id = planned(&world).await;
        let place = world.aws.place(ACCOUNT, REGION);
        place.set_object(BUCKET, &key.replace("ID", &id), Some(b"half of it"));
        let error = invoked(&world.aws, json!({ "plan": id, "dryRun": false })).await.unwrap_err();
        assert_eq!(error.error_type, "MemoryUnavailable", "{}", error.error_message);
        assert!(error.error_message.contains("nothing was deleted"), "{}", error.error_message);
        assert_eq!(world.app.tags().len(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_used_since_the_plan_stays() {
    let world = world();
    let id = planned(&world).await;
    let task = world.aws.cluster("prod").start(simulated_aws::Task::of(&world.app.uri("v3")));
    invoked(&world.aws, dry()).await.unwrap();
    world.aws.cluster("prod").forget(&task);
    days_pass(2).await;
    let report = invoked(&world.aws, json!({ "plan": id, "dryRun": false })).await.unwrap();
    assert_eq!(report["totals"]["imagesDeleted"], 6);
    assert!(world.app.tags().contains("v3"));
}

#[tokio::test(start_paused = true)]
async fn a_plan_may_be_in_a_bucket_of_another_region() {
    let aws = SimulatedAws::in_memory();
    aws.place(ACCOUNT, "eu-central-1").bucket(BUCKET);
    _ = aws.region("eu-central-1");
    let world = World::of(aws, format!("s3://{BUCKET}/nightly"), None);
    world.app.push_all((1..=10).map(|build| Image::tagged(&format!("v{build}")).days_old(100.0 - f64::from(build))));
    world.aws.cluster("prod").runs(&world.app.uri("v2"));
    let id = planned(&world).await;
    let report = invoked(&world.aws, json!({ "plan": id, "dryRun": false })).await.unwrap();
    assert_eq!(report["totals"]["imagesDeleted"], 7);
}

//! Images in use that don't exist. The report warns before the next start fails.

use ecr_cleanup_core::report::{Outcome, Report, metrics};
use ecr_cleanup_core::warning::WarningCode;
use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, Fault, Image, REGION, SimulatedAws};

use crate::policies::repository_of;
use crate::support::{json_of, merciless, push_multi_arch, run_on, with};

/// The warnings of this kind in a report.
fn warned(report: &Report, code: WarningCode) -> Vec<String> {
    let warnings = report.warnings.iter().filter(|warning| warning.code == code);
    warnings.map(|warning| warning.message.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_is_not_there_any_more_is_told_with_who_uses_it() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    let task = aws.cluster("prod").runs(&app.uri("v9"));
    aws.cluster("prod").runs(&app.uri("v2"));
    aws.place(ACCOUNT, REGION).register("monthly", &[&app.uri("v7")]);
    let report = run_on(&aws, merciless(false)).await;
    assert_eq!((report.outcome.clone(), report.totals.images_missing), (Outcome::Completed, 2));
    let missing = repository_of(&report)["missing"].clone();
    let definition = "ECS task definition arn:aws:ecs:us-west-2:123456789012:task-definition/monthly:1";
    assert_eq!(
        missing,
        json!([
            { "imageTag": "v7", "because": "notFound", "usedBy": definition },
            { "imageTag": "v9", "because": "notFound", "usedBy": format!("ECS task {task}") },
        ])
    );
    let warnings = warned(&report, WarningCode::Missing);
    assert_eq!(warnings.len(), 1);
    for told in ["2 images", "app in us-west-2", "app:v9: doesn't exist, used by ECS task arn:", definition] {
        assert!(warnings[0].contains(told), "{told} in {warnings:?}");
    }
    let metrics: Vec<Value> = metrics(&report).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(metrics.iter().all(|metrics| metrics["ImagesMissing"] == 2), "{metrics:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_there_is_not_missing_however_it_is_named() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    let europe = aws.region("eu-central-1").repository("app").daily_builds(1);
    let digest = app.digest_of("v1");
    for used in [
        app.uri("v2"),
        app.uri_by_digest(&digest),
        // A reference with tag and digest is pulled by its digest.
        format!("{}@{digest}", app.uri("gone")),
        // From another region, from another account, and from outside of ECR.
        europe.uri("v1"),
        "999999999999.dkr.ecr.us-west-2.amazonaws.com/app:v9".to_owned(),
        format!("nginx:1@sha256:{}", "0".repeat(64)),
    ] {
        aws.cluster("prod").runs(&used);
    }
    let event = with(merciless(true), &json!({ "region": REGION, "inUseImages": ["app:v8", "other:v1"] }));
    let report = run_on(&aws, event).await;
    assert_eq!(report.totals.images_missing, 0, "{:?}", report.warnings);
    assert!(json_of(&report)["regions"][0].get("missing").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_digest_is_missing_in_the_region_that_is_named() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(2);
    let digest = app.digest_of("v1");
    let europe = aws.region("eu-central-1").repository("app").daily_builds(1);
    aws.cluster("prod").runs(&europe.uri_by_digest(&digest.replace(&digest[7..9], "00")));
    aws.cluster("prod").runs(&europe.uri("v2"));
    let report = run_on(&aws, merciless(true)).await;
    assert_eq!(report.totals.images_missing, 2);
    let told = json_of(&report);
    let missing = &told["regions"][0]["repositories"][0]["missing"];
    assert_eq!((&told["regions"][0]["region"], missing.as_array().unwrap().len()), (&json!("eu-central-1"), 2));
    assert!(told["regions"][1]["repositories"][0].get("missing").is_none(), "the other region has it, and nobody asks");
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_does_not_exist_is_told_of_its_registry() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(1);
    let host = app.uri("v1").split_once('/').unwrap().0.to_owned();
    aws.cluster("prod").runs(&format!("{host}/gone:v1"));
    aws.cluster("prod").runs(&format!("{host}/left-out:v1"));
    let report = run_on(&aws, with(merciless(true), &json!({ "excludeRepositories": ["left-*"] }))).await;
    let registry = &json_of(&report)["regions"][0];
    assert_eq!(registry["missing"].as_array().unwrap().len(), 1, "{registry}");
    let told = &registry["missing"][0];
    assert_eq!((&told["repositoryName"], &told["imageTag"]), (&json!("gone"), &json!("v1")));
    assert_eq!((&told["because"], report.totals.images_missing), (&json!("repositoryNotFound"), 1));
    let warnings = warned(&report, WarningCode::MissingRepository);
    assert!(warnings.len() == 1 && warnings[0].contains("gone:v1"), "{warnings:?}");
}

#[tokio::test(start_paused = true)]
async fn of_what_was_not_read_nothing_is_said() {
    let aws = SimulatedAws::in_memory();
    let [app, locked] = ["app", "locked"].map(|name| aws.repository(name).daily_builds(1));
    aws.cluster("prod").runs(&locked.uri("v9"));
    aws.inject(Fault::denied("ecr:DescribeImages").for_repository("locked"));
    let report = run_on(&aws, merciless(true)).await;
    assert_eq!((&report.outcome, report.totals.images_missing), (&Outcome::Partial, 0));
    aws.heal();
    aws.cluster("prod").runs(&app.uri("v9"));
    aws.inject(Fault::denied("ecr:DescribeRepositories"));
    assert_eq!(run_on(&aws, merciless(true)).await.totals.images_missing, 0);
}

#[tokio::test(start_paused = true)]
async fn an_archived_image_in_use_is_there_and_cannot_be_pulled() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(2);
    let task = aws.cluster("prod").runs(&app.uri("v1"));
    let digest = app.digest_of("v1");
    app.archive(&digest);
    let report = run_on(&aws, merciless(true)).await;
    assert_eq!(
        repository_of(&report)["missing"],
        json!([{ "imageDigest": digest, "because": "archived", "usedBy": format!("ECS task {task}") }])
    );
}

#[tokio::test(start_paused = true)]
async fn a_kept_index_that_lacks_a_child_is_told() {
    let aws = SimulatedAws::in_memory();
    aws.place(ACCOUNT, REGION).exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
    let app = aws.repository("app");
    let [amd64, _, index] = push_multi_arch(&app, "multi", 9.0);
    let [_, _, stale] = push_multi_arch(&app, "stale", 9.0);
    app.push(Image::tagged("junk").days_old(90.0));
    let task = aws.cluster("prod").runs(&app.uri("multi"));
    app.delete(&amd64);
    let report = run_on(&aws, merciless(true)).await;
    assert_eq!(
        repository_of(&report)["missing"],
        json!([{ "imageDigest": amd64, "because": "childNotFound", "index": index, "usedBy": format!("ECS task {task}") }])
    );
    assert!(crate::support::stale_digests(&report).contains(&stale));
    // It is unknown if no manifest had to be read.
    let report = run_on(&aws, json!({ "untaggedOlderThanDays": null })).await;
    assert_eq!(report.totals.images_missing, 0);
}

//! After invalid input, the function makes no call.

use serde_json::json;
use simulated_aws::{Fault, REGION, SimulatedAws};

use crate::support::{RunError, try_run};

#[tokio::test(start_paused = true)]
async fn bad_input_is_refused_by_its_key_before_any_call() {
    let aws = SimulatedAws::in_memory();
    for (event, named) in [
        (json!([]), "event"),
        (json!({ "dryRun": "maybe" }), "dryRun"),
        (json!({ "imagesToKeep": -5, "dryRun": false }), "imagesToKeep"),
        (json!({ "dryRun": false, "imagesTokeep": 5 }), "imagesTokeep"),
        (json!({ "dryRun": false, "dry-run": false }), "dryRun"),
        (json!({ "ignoreTagsRegex": "[" }), "ignoreTagsRegex"),
        (json!({ "detail-type": "x", "source": "x", "detail": { "region": "x" } }), "region"),
        (json!({ "detail-type": "x", "source": "x", "detail": "{" }), "detail"),
        (json!({ "policies": [{ "repositories": ["*"], "rules": "ECR" }] }), "policies[0].rules"),
        (json!({ "exactSizes": "maybe" }), "exactSizes"),
    ] {
        match try_run(&aws, event.clone()).await {
            Err(RunError::InvalidSettings(error)) => assert_eq!(error.key, named, "{event}"),
            other => panic!("{event}: {other:?}"),
        }
    }
    assert_eq!(aws.calls().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_regions_nothing_can_start() {
    let aws = SimulatedAws::in_memory();
    aws.inject(Fault::denied("account:ListRegions"));
    match try_run(&aws, json!({})).await {
        Err(error @ RunError::RegionsUnavailable(_)) => {
            let error = error.to_string();
            assert!(error.contains("Set region") && error.contains("grant account:ListRegions"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_of_regions_is_not_an_account_without_workloads() {
    let aws = SimulatedAws::in_memory();
    aws.disable_region(REGION);
    assert!(matches!(try_run(&aws, json!({})).await, Err(RunError::RegionsUnavailable(_))));
    let report = try_run(&aws, json!({ "region": REGION, "dryRun": false })).await.unwrap();
    assert_eq!(report.outcome.as_str(), "refused");
}

#[tokio::test(start_paused = true)]
async fn without_an_account_nothing_can_start() {
    let aws = SimulatedAws::in_memory();
    aws.inject(Fault::error("sts:GetCallerIdentity", 403, "ExpiredToken"));
    match try_run(&aws, json!({ "region": "us-west-2" })).await {
        Err(error @ RunError::AccountUnknown(_)) => {
            assert!(error.to_string().contains("renew the credentials"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

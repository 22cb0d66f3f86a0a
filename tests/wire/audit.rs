//! Warnings about images in use that an ECR lifecycle policy would expire.

use ecr_cleanup_core::report::Outcome;
use serde_json::{Value, json};
use simulated_aws::{Fault, SimulatedAws};

use crate::policies::{any_count, expire, one_rule, repository_of};
use crate::support::{push_multi_arch, run_on, set};

#[tokio::test(start_paused = true)]
async fn images_in_use_that_ecrs_own_policy_would_take_are_at_risk() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(150);
    let rules = json!({ "rules": [{
        "rulePriority": 3, "description": "keep 100", "selection": any_count(100), "action": expire(),
    }] });
    app.set_lifecycle_policy(&rules);
    let unused = aws.repository("unused").daily_builds(1);
    unused.set_lifecycle_policy(&rules);
    let task = aws.cluster("prod").runs(&app.uri("v7"));
    aws.cluster("prod").runs(&app.uri("v149"));
    let report = run_on(&aws, json!({})).await;
    assert_eq!((report.outcome.clone(), report.totals.images_at_risk), (Outcome::Planned, 1));
    let at_risk = repository_of(&report)["atRisk"].clone();
    assert_eq!(
        at_risk,
        json!([{
            "imageDigest": app.digest_of("v7"), "imageTags": ["v7"], "heldBy": format!("ECS task {task}"),
            "rulePriority": 3, "ruleDescription": "keep 100", "action": "expire",
        }])
    );
    let warnings: Vec<String> = report.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.iter().any(|warning| warning.contains("Rule 3") && warning.contains("v7")), "{warnings:?}");
    let metrics: Vec<Value> =
        ecr_cleanup_core::report::metrics(&report).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(metrics.iter().all(|metric| metric["ImagesAtRisk"] == 1));
    assert_eq!(aws.calls_of("ecr:GetLifecyclePolicy").len(), 1, "only where something is in use");

    aws.forget_calls();
    let report = run_on(&aws, json!({ "auditLifecyclePolicies": false })).await;
    assert_eq!((report.totals.images_at_risk, aws.calls_of("ecr:GetLifecyclePolicy").len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_audit_does_not_cry_wolf_for_the_children_of_an_index() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let [amd64, ..] = push_multi_arch(&app, "v1", 90.0);
    app.set_lifecycle_policy(&json!({ "rules": [{
        "rulePriority": 1,
        "selection": { "tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 7 },
        "action": expire(),
    }] }));
    aws.cluster("prod").runs(&app.uri_by_digest(&amd64));
    for event in [json!({}), json!({ "imagesToKeep": 0, "keepTags": [] })] {
        assert_eq!(run_on(&aws, event.clone()).await.totals.images_at_risk, 0, "{event}");
    }
    // It is expired together with its index.
    app.set_lifecycle_policy(&json!({ "rules": one_rule(&any_count(0), &expire())[0]["rules"] }));
    let report = run_on(&aws, json!({ "imagesToKeep": 0, "keepTags": [] })).await;
    assert_eq!(repository_of(&report)["atRisk"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_can_not_be_audited_is_a_warning_and_hinders_nothing() {
    let aws = SimulatedAws::in_memory();
    let [app, web] = ["app", "web"].map(|name| aws.repository(name).daily_builds(3));
    aws.cluster("prod").runs(&app.uri("v3"));
    aws.cluster("prod").runs(&web.uri("v3"));
    aws.inject(Fault::denied("ecr:GetLifecyclePolicy"));
    let report = run_on(&aws, crate::support::merciless(false)).await;
    assert_eq!((report.outcome, app.tags(), web.tags()), (Outcome::Completed, set(["v3"]), set(["v3"])));
    let told = report.warnings.iter().filter(|warning| warning.to_string().contains("ecr:GetLifecyclePolicy"));
    let told: Vec<String> = told.map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "one a region");
    assert!(
        told[0].contains("2 repositories in us-west-2, such as") && told[0].contains("grant ecr:GetLifecyclePolicy"),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_untagged_index_in_use_is_at_risk_without_reading_it() {
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app");
    let index = push_multi_arch(&app, "moved", 10.0)[2].clone();
    app.untag("moved");
    app.set_lifecycle_policy(&json!({ "rules": [{
        "rulePriority": 1,
        "selection": { "tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1 },
        "action": expire(),
    }] }));
    aws.cluster("prod").runs(&app.uri_by_digest(&index));
    let report = run_on(&aws, json!({})).await;
    assert_eq!(repository_of(&report)["atRisk"][0]["imageDigest"], json!(index));
    assert!(aws.calls_of("ecr:BatchGetImage").is_empty());
}

//! The roles in `infra/` allow exactly the calls of the function.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;
use simulated_aws::{ACCOUNT, Image, REGION, Service, SimulatedAws};

use crate::support::{merciless, run_on, with};

/// The actions that a role of a template may call, in IAM's notation.
fn actions_in(template: &str, role: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("infra").join(template);
    let text = std::fs::read_to_string(path).unwrap();
    let (_, resource) = text.split_once(&format!("\n  {role}:\n")).expect("the template has the role");
    // The next resource begins at the same indentation.
    let next = regex::Regex::new(r"\n  (\w+:|#)").unwrap();
    let resource = next.splitn(resource, 2).next().unwrap();
    let (_, policies) = resource.split_once("\n      Policies:").expect("the role has policies");
    let action = regex::Regex::new(r"\b(account|ecr|ecs|lambda|s3|sts):[A-Z]\w+").unwrap();
    action.find_iter(policies).map(|action| action.as_str().to_owned()).collect()
}

/// A live run with data in every source, so that it makes every call.
pub(crate) async fn calls_of_a_full_run() -> BTreeSet<(String, String)> {
    let other = "999999999999";
    let aws = SimulatedAws::in_memory();
    let app = aws.repository("app").daily_builds(3);
    // The run has to read the children of an index.
    app.push(Image::index_of([&Image::untagged()]).and_tag("multi").days_old(9.0));
    let role = aws.role(other);
    for account in [ACCOUNT, other] {
        let place = aws.place(account, REGION);
        let cluster = place.cluster("prod");
        cluster.runs(&app.uri("v3"));
        let definition = place.register("web", &["nginx"]);
        let revision = place.service_revision(&definition, &[("nginx", None)]);
        cluster.create(Service::of(&definition).deployment(&definition, "IN_PROGRESS"));
        let service = cluster.create(Service::external().revision(&revision));
        let deployment = place.service_deployment(&service, "IN_PROGRESS", &[&revision], &revision);
        cluster.create(Service::external().current_deployment(&deployment));
        (0..1_500).for_each(|_| _ = place.register("many", &["nginx"]));
        place.daemon(&cluster, &[("nginx", None)]).deploy("IN_PROGRESS", &[("nginx", None)]);
        place.function("resize", "nginx", None).publish("nginx", None);
    }
    aws.place(ACCOUNT, REGION).bucket("memory");
    // If not every version of a function counts, the run also reads the aliases and mappings of versions.
    let settings = json!({ "usageRoleArns": [role], "lambdaVersionsToKeep": 1, "memory": "s3://memory/nightly" });
    run_on(&aws, with(merciless(true), &settings)).await;
    run_on(&aws, with(merciless(false), &settings)).await;
    app.push(Image::tagged("unpulled").days_old(90.0));
    let archive = json!({
        "rulePriority": 1,
        "selection": { "tagStatus": "any", "countType": "sinceImagePulled", "countUnit": "days", "countNumber": 30 },
        "action": { "type": "transition", "targetStorageClass": "archive" },
    });
    let policies = json!([{ "repositories": ["*"], "rules": [archive] }]);
    run_on(
        &aws,
        with(
            json!({ "dryRun": false }),
            &json!({ "policies": policies, "keepBeforeInUse": 0, "keepPulledWithinDays": 0 }),
        ),
    )
    .await;
    aws.calls().into_iter().map(|call| (call.account, call.operation)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_roles_may_do_exactly_what_the_function_does() {
    let calls = calls_of_a_full_run().await;
    let of_account = |account: &str| -> BTreeSet<String> {
        let made = calls.iter().filter(|(caller, _)| caller == account).map(|(_, operation)| operation.clone());
        // Nothing needs to be granted for this one.
        made.filter(|operation| operation != "sts:GetCallerIdentity").collect()
    };
    assert_eq!(actions_in("template.yaml", "Role"), of_account(ACCOUNT));
    assert_eq!(actions_in("usage-role.yaml", "UsageRole"), of_account("999999999999"));
}

/// The operations that the code calls on the SDK's clients, as IAM actions without the service.
fn operations_in_the_code(folder: &Path) -> BTreeSet<String> {
    let call = regex::Regex::new(
        r"\.((?:assume|batch|create|delete|describe|get|list|put|register|start|update)(?:_[a-z]+)+)\(\)",
    )
    .unwrap();
    // The calls of S3 have their names as texts.
    let of_s3 = regex::Regex::new(r#""s3:([A-Z]\w+)""#).unwrap();
    let mut operations = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            operations.extend(operations_in_the_code(&path));
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            let capitalized = |word: &str| word[..1].to_uppercase() + &word[1..];
            operations.extend(of_s3.captures_iter(&text).map(|call| call[1].to_owned()));
            let operation = |call: regex::Captures<'_>| call[1].split('_').map(capitalized).collect::<String>();
            operations.extend(call.captures_iter(&text).map(operation));
        }
    }
    operations
}

#[test]
fn every_call_in_the_code_is_granted_and_nothing_else() {
    let granted = actions_in("template.yaml", "Role").into_iter();
    let mut granted: BTreeSet<String> =
        granted.map(|action| action.split(':').next_back().unwrap().to_owned()).collect();
    // Nothing needs to be granted for this one.
    granted.insert("GetCallerIdentity".to_owned());
    assert_eq!(granted, operations_in_the_code(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")));
}

#[test]
fn only_a_live_deployment_may_delete() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("infra/template.yaml");
    let template = std::fs::read_to_string(path).unwrap();
    let (before, after) =
        template.split_once("ecr:BatchDeleteImage").expect("the template lets a live deployment delete");
    assert!(!after.contains("ecr:BatchDeleteImage"), "in one place only");
    assert!(!before.contains("ecr:UpdateImageStorageClass"), "what archives stands beside it");
    let conditional = before.rfind("          - Live\n").expect("under the condition Live");
    assert!(!before[conditional..].contains("NoValue"), "which has not ended before");
    assert!(template.contains("Live: !Equals [!Ref DryRun, \"false\"]"));
    assert!(
        !actions_in("usage-role.yaml", "UsageRole")
            .iter()
            .any(|action| action.contains("Delete") || action.contains("Put"))
    );
}

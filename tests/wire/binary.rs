//! The real binary behind the Lambda Runtime API: events in, reports and error documents out, and logs and metrics.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use simulated_aws::{Fault, Function, Image, SimulatedAws};
use tokio::sync::Notify;

use crate::decisions::decisions;
use crate::schema::checked;
use crate::support::{merciless, set, with};

async fn function(aws: &SimulatedAws, environment: &[(&str, &str)]) -> Function {
    Function::start(Path::new(env!("CARGO_BIN_EXE_ecr-cleanup")), aws.url(), environment).await
}

fn event_file(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("events").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn every_event_file_does_what_its_name_says() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app").daily_builds(150);
    let europe = aws.region("eu-central-1").repository("app").daily_builds(150);
    aws.cluster("prod").runs(&app.uri("v1"));
    let function = function(&aws, &[]).await;
    let invoke = async |name| {
        checked(function.invoke(&event_file(name)).await.unwrap_or_else(|error| panic!("{name}: {error:?}")))
    };

    for name in ["scheduled-rule.json", "scheduled-scheduler.json", "dry-run.json"] {
        let report = invoke(name).await;
        assert_eq!((&report["outcome"], &report["dryRun"]), (&json!("planned"), &json!(true)), "{name}");
        assert_eq!(report["regions"].as_array().unwrap().len(), 2, "{name}");
    }
    assert_eq!(invoke("dry-run.json").await["totals"]["imagesStale"], 49 + 49, "v1 is kept in both regions");

    let one_region = invoke("one-region.json").await;
    assert_eq!(one_region["regions"].as_array().unwrap().len(), 1);
    assert_eq!(one_region["regions"][0]["region"], "eu-central-1");

    let all_settings = invoke("all-settings.json").await;
    assert_eq!(all_settings["dryRun"], true);
    assert_eq!((app.tags().len(), europe.tags().len()), (150, 150), "nothing is deleted so far");

    let live = invoke("live.json").await;
    assert_eq!((&live["outcome"], &live["dryRun"]), (&json!("completed"), &json!(false)));
    assert_eq!((app.tags().len(), europe.tags().len()), (101, 101));
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("events")).unwrap();
    let events = files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "json"));
    assert_eq!(events.count(), 6 + 1, "an event without a case here; the report's schema has cases of its own");
}

#[tokio::test]
async fn all_settings_json_names_every_setting() {
    let event = event_file("all-settings.json");
    let given: Vec<&String> = event.as_object().unwrap().keys().collect();
    for key in ecr_cleanup_core::settings::KEYS {
        assert!(given.iter().any(|name| *name == key.name), "{}", key.name);
    }
}

#[tokio::test]
async fn errors_are_documents_with_the_contracts_types() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app").daily_builds(3);
    aws.cluster("prod").runs(&app.uri("v3"));
    let function = function(&aws, &[]).await;
    let error = async |event: &Value| function.invoke(event).await.unwrap_err();

    let invalid = error(&json!({ "imagesToKeep": "ten" })).await;
    assert_eq!(invalid.error_type, "InvalidSettings");
    assert_eq!(
        invalid.error_message,
        "invalid value \"ten\" for imagesToKeep: expected a whole number from 0 to 4294967295"
    );

    let many = error(&with(merciless(false), &json!({ "maxDeletions": 1 }))).await;
    assert_eq!(many.error_type, "TooManyDeletions");

    let folder = error(&json!({ "memory": "/var/memory" })).await;
    assert_eq!(folder.error_type, "InvalidSettings");
    assert!(folder.error_message.contains("s3://bucket/prefix"), "{}", folder.error_message);
    let forgetful = error(&with(merciless(false), &json!({ "memory": "s3://nobodys-bucket" }))).await;
    assert_eq!(forgetful.error_type, "MemoryUnavailable");
    assert!(forgetful.error_message.contains("NoSuchBucket"), "{}", forgetful.error_message);

    aws.inject(Fault::denied("ecs:ListTasks"));
    let incomplete = error(&merciless(false)).await;
    assert_eq!(incomplete.error_type, "UsageIncomplete");
    for told in
        ["123456789012", "us-west-2", "ECS tasks", "ecs:ListTasks", "AccessDeniedException", "grant ecs:ListTasks"]
    {
        assert!(incomplete.error_message.contains(told), "{told} in {}", incomplete.error_message);
    }

    aws.inject(Fault::denied("account:ListRegions"));
    assert_eq!(error(&json!({})).await.error_type, "RegionsUnavailable");
    aws.heal();
    aws.inject(Fault::error("sts:GetCallerIdentity", 403, "ExpiredToken").times(1));
    assert_eq!(error(&json!({})).await.error_type, "UsageIncomplete");
    assert_eq!(function.invoke(&json!({})).await.unwrap()["outcome"], "planned", "it serves on");
    assert_eq!(app.tags().len(), 3);
    let log = function.stop().await;
    let told = log.iter().filter(|line| line.contains("\"UsageIncomplete\":1")).count();
    assert_eq!(told, 3, "the metric that the alarm watches: by region, in all, and where the account was unknown");
}

#[tokio::test]
async fn logs_are_json_lines_complete_and_without_secrets() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app").daily_builds(251);
    aws.cluster("prod").runs(&app.uri("v251"));
    aws.inject(Fault::image_failures([(app.digest_of("v7").as_str(), "KmsError")]));
    let function = function(&aws, &[("RUST_LOG", "debug")]).await;
    function.invoke(&merciless(false)).await.unwrap();
    let lines = function.stop().await;
    let lines: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();

    let ours: Vec<&Value> = lines
        .iter()
        .filter(|line| line["target"].as_str().is_some_and(|target| target.starts_with("ecr_cleanup")))
        .collect();
    let stale: Vec<Vec<Value>> = ours.iter().filter_map(|line| line["stale"].as_array().cloned()).collect();
    assert_eq!(stale.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
    let first = &stale[0][0];
    assert_eq!(first["imageTags"], json!(["v1"]));
    assert!(first["imageDigest"].as_str().unwrap().starts_with("sha256:") && first["reason"].is_string());
    let repository = ours.iter().find(|line| line["images"] == 251).expect("a line for the repository");
    assert_eq!((&repository["repository_name"], &repository["images_stale"]), (&json!("app"), &json!(250)));
    let totals = ours.iter().filter_map(|line| line.get("totals")).collect::<Vec<_>>();
    assert_eq!(totals.len(), 1);
    assert_eq!(totals[0]["imagesDeleted"], 249);

    let deleted: Vec<usize> = ours.iter().filter_map(|line| line["deleted"].as_array().map(Vec::len)).collect();
    assert_eq!(deleted, [99, 100, 50], "a line for each batch, as carried out");
    let not_deleted: Vec<&Value> = ours.iter().filter_map(|line| line.get("not_deleted")).collect();
    assert_eq!(not_deleted.len(), 1, "one line names what was not deleted");
    assert_eq!(
        (&not_deleted[0][0]["result"], &not_deleted[0][0]["failureCode"]),
        (&json!("failed"), &json!("KmsError"))
    );
    assert_eq!(not_deleted[0].as_array().unwrap().len(), 1);
    assert!(
        ours.iter().any(|line| line["holders"][0].as_str().is_some_and(|holder| holder.starts_with("ECS task arn:")))
    );

    let metrics: Vec<&Value> = lines.iter().filter(|line| line.get("_aws").is_some()).collect();
    assert_eq!(metrics.len(), 2);
    assert!(metrics.iter().all(|metrics| metrics["ImagesDeleted"] == 249));

    let all = lines.iter().map(ToString::to_string).collect::<String>();
    for secret in ["simulated-secret-key", "simulated-session-token"] {
        assert!(!all.contains(secret), "{secret} in the log");
    }
}

#[tokio::test]
async fn a_killed_run_has_told_all_but_the_batch_under_way() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app").daily_builds(501);
    aws.cluster("prod").runs(&app.uri("v501"));
    let before = app.digests();
    let function = function(&aws, &[]).await;
    let (process, killed) =
        (Pid::from_raw(function.process_id().try_into().unwrap()).unwrap(), Arc::new(Notify::new()));
    let kill = {
        let killed = Arc::clone(&killed);
        move || {
            kill_process(process, Signal::KILL).unwrap();
            killed.notify_one();
        }
    };
    aws.inject(Fault::before("ecr:BatchDeleteImage", Duration::ZERO, kill).after(2).times(1));
    let event = merciless(false);
    tokio::select! {
        () = killed.notified() => {}
        ended = function.invoke(&event) => panic!("it was to be killed, and ended: {ended:?}"),
    }
    let lines = function.stop().await;
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told = lines.filter_map(|line| line["deleted"].as_array().cloned()).flatten();
    let told: BTreeSet<String> = told.map(|digest| digest.as_str().unwrap().to_owned()).collect();
    let left = app.digests();
    let deleted: BTreeSet<String> = before.difference(&left).cloned().collect();
    assert_eq!(told.len(), 200, "the first two batches");
    assert!(told.is_subset(&deleted) && deleted.len() <= 300, "{} of {} are told", told.len(), deleted.len());
}

#[tokio::test]
async fn a_refused_run_logs_its_report_before_it_fails() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app").daily_builds(3);
    aws.cluster("prod").runs(&app.uri("v3"));
    aws.inject(Fault::denied("ecs:ListTasks"));
    let function = function(&aws, &[]).await;
    assert!(function.invoke(&merciless(false)).await.is_err());
    let lines: Vec<Value> = function.stop().await.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused = lines.iter().find(|line| line["outcome"] == "refused").expect("a line with the outcome");
    assert_eq!(refused["totals"]["imagesStale"], 3);
    assert!(lines.iter().any(|line| line["stale"].is_array()), "the stale images are logged");
    assert!(
        lines
            .iter()
            .any(|line| line["level"] == "ERROR" && line["message"].as_str().unwrap().contains("ecs:ListTasks"))
    );
    assert!(lines.iter().any(|line| line["UsageIncomplete"] == 1), "the metric that the alarm watches");
    let warned = lines.iter().find(|line| line["code"] == "UsageIncomplete").expect("a line for each warning");
    assert_eq!((&warned["level"], &warned["cause"]["api"]), (&json!("WARN"), &json!("ecs:ListTasks")));
}

#[tokio::test]
async fn the_environment_sets_what_the_event_leaves_open() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app").daily_builds(10);
    aws.cluster("prod").runs(&app.uri("v10"));
    // The environment variables of the Python script, as its users set them.
    let environment = [("REGION", "None"), ("DRYRUN", "False"), ("IMAGES_TO_KEEP", "5"), ("IGNORE_TAGS_REGEX", "^v2$")];
    let function = function(&aws, &environment).await;
    let report = function.invoke(&json!({ "dryRun": true })).await.unwrap();
    assert_eq!((&report["outcome"], &report["totals"]["imagesStale"]), (&json!("planned"), &json!(4)));
    let report = function.invoke(&json!({})).await.unwrap();
    assert_eq!((&report["outcome"], &report["totals"]["imagesDeleted"]), (&json!("completed"), &json!(4)));
    assert_eq!(app.tags(), set(["v2", "v6", "v7", "v8", "v9", "v10"]));
}

#[tokio::test]
async fn the_response_stays_below_lambdas_limit_and_the_log_stays_complete() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app");
    let long_tag = "t".repeat(120);
    app.push_all((0..12_000).map(|number| {
        Image::tagged(&format!("{long_tag}{number}")).and_tag(&format!("{number}{long_tag}")).days_old(9.0)
    }));
    aws.cluster("prod").runs("nginx");
    let function = function(&aws, &[]).await;
    let report = checked(function.invoke(&merciless(true)).await.unwrap());
    assert!(report.to_string().len() < 6_000_000);
    let listed = report["regions"][0]["repositories"][0]["stale"].as_array().unwrap().len();
    assert!(listed > 5_000, "{listed}");
    assert_eq!(listed as u64 + report["truncatedImages"].as_u64().unwrap(), 12_000);
    assert_eq!(report["totals"]["imagesStale"], 12_000);
    let logged: usize = function
        .stop()
        .await
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter_map(|line| Some(line["stale"].as_array()?.len()))
        .sum();
    assert_eq!(logged, 12_000);
}

#[tokio::test]
async fn policies_come_from_a_packaged_file_and_the_log_tells_which_rule_shields_an_image() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app");
    app.push_all((1..=12).map(|build| Image::tagged(&format!("1.{build}")).days_old(f64::from(60 - build))));
    aws.cluster("prod").runs(&app.uri("1.1"));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("events/policies/snapshots-and-releases.json");
    let environment = [("POLICIES_FILE", file.to_str().unwrap()), ("RUST_LOG", "debug")];
    let function = function(&aws, &environment).await;
    let event = json!({ "dryRun": false, "keepPulledWithinDays": 0 });
    assert_eq!(function.invoke(&event).await.unwrap()["totals"]["imagesDeleted"], 1);
    assert!(app.tags().contains("1.1") && !app.tags().contains("1.2"));
    let log = function.stop().await;
    let lines = log.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let kept: Vec<Value> = lines.filter_map(|line| line["kept"].as_array().cloned()).flatten().collect();
    let newest = kept.iter().find(|image| image["imageTags"] == json!(["1.12"])).expect("every image that stays");
    assert_eq!(newest["shieldedBy"], "rule 2 of policy 1 (keep 10 others, and latest)");
    assert_eq!(newest["keptBecause"], json!(["policy"]));
    let used = kept.iter().find(|image| image["imageTags"] == json!(["1.1"])).unwrap();
    assert_eq!(used["keptBecause"], json!(["inUse"]));
}

#[tokio::test]
async fn a_short_timeout_is_told_not_suffered() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app").daily_builds(3);
    aws.cluster("prod").runs(&app.uri("v3"));
    let function = function(&aws, &[]).await;
    let report = function.invoke_within(&merciless(false), Duration::from_secs(8)).await.unwrap();
    assert_eq!(report["outcome"], "deadlineReached");
    insta::assert_snapshot!(decisions(&report), @"us-west-2 app: DeadlineReached at ecr:DescribeImages: the function's deadline is near");
    assert_eq!(app.tags().len(), 3);
}

/// The crates in the binary, by their names.
fn crates(features: &[&str]) -> BTreeSet<String> {
    let arguments = ["tree", "--offline", "--locked", "--package", "ecr-cleanup", "--prefix", "none"];
    let output = std::process::Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--edges", "normal,no-proc-macro"])
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn the_function_has_none_of_the_terminals_dependencies() {
    let of_terminal = ["clap", "clap_complete", "comfy-table", "indicatif", "strsim", "aws-sdk-sso", "aws-sdk-ssooidc"];
    let (everywhere, function) = (crates(&[]), crates(&["--no-default-features"]));
    for name in of_terminal {
        assert!(everywhere.contains(name) && !function.contains(name), "{name}");
    }
    // cargo lambda builds it like this, directly and for SAM.
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let (_, lambda) = manifest.split_once("[package.metadata.lambda.build]").expect("what cargo lambda goes by");
    assert!(lambda.split("\n[").next().unwrap().contains("\nno_default_features = true\n"));
}

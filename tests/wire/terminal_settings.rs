//! The effect of flags, settings files and the environment on a command.

use serde_json::json;
use simulated_aws::SimulatedAws;

use crate::support::set;
use crate::terminal::{command, ecr_cleanup, file, finish};

async fn world() -> SimulatedAws {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("web/app").daily_builds(10);
    aws.cluster("prod").runs(&app.uri("v10"));
    aws
}

#[tokio::test]
async fn flags_win_over_the_file_and_the_file_over_the_environment() {
    let aws = world().await;
    let settings = file("precedence.json");
    let event = json!({ "detail-type": "Scheduled Event", "source": "ops", "time": "2020-01-01T00:00:00Z",
        "detail": { "imagestokeep": 4, "keepTags": [] } });
    std::fs::write(&settings, event.to_string()).unwrap();
    for (arguments, variable, stale, by) in [
        (&["--settings", &*settings, "--images-to-keep", "3"][..], "5", 7, "flag"),
        (&["--settings", &settings], "5", 6, "file"),
        (&[], "5", 5, "environment"),
    ] {
        let mut command = command(&aws, &[&["plan", "--quiet", "--format", "json"], arguments].concat());
        command.env("ECR_CLEANUP_IMAGES_TO_KEEP", variable);
        let report = finish(command).await.json();
        assert_eq!(report["totals"]["imagesStale"], stale, "{arguments:?}");
        assert_eq!(report["settings"]["imagesToKeep"], json!({ "value": 10 - stale, "from": by }), "{arguments:?}");
        assert_eq!(report["warnings"], json!([]), "when an event was sent does not matter here");
    }
}

#[tokio::test]
async fn lists_come_by_comma_or_by_flag() {
    let aws = world().await;
    let plan = ["plan", "--quiet", "--format", "json", "--images-to-keep", "0"];
    for tags in [&["--keep-tags", "v1,v2"][..], &["--keep-tags", "v1", "--keep-tags", "v2"], &["--keep-tags=v1, v2"]] {
        let report = ecr_cleanup(&aws, &[&plan[..], tags].concat()).await.json();
        assert_eq!(report["totals"]["imagesStale"], 7, "{tags:?}");
    }
}

#[tokio::test]
async fn what_contradicts_the_command_is_wrong_usage() {
    let aws = world().await;
    let (live, dry) = (file("contradicting-live.json"), file("contradicting-dry.json"));
    std::fs::write(&live, json!({ "dry-run": "false" }).to_string()).unwrap();
    std::fs::write(&dry, json!({ "dryRun": true }).to_string()).unwrap();
    for arguments in [
        &["plan", "--dry-run=false"][..],
        &["plan", "--settings", &live],
        &["usage", "--dry-run=false"],
        &["explain", "web/app:v1", "--settings", &live],
        &["delete", "--yes", "--dry-run"],
        &["delete", "--yes", "--settings", &dry],
    ] {
        let ran = ecr_cleanup(&aws, arguments).await;
        assert!(ran.code == 2 && ran.stderr.contains("Omit dryRun"), "{arguments:?}: {}", ran.stderr);
    }
    assert!(aws.calls().is_empty());

    let stale = ["--images-to-keep", "1", "--quiet"];
    let mut plan = command(&aws, &[&["plan", "--dry-run"], &stale[..]].concat());
    assert_eq!(
        finish({
            plan.env("DRYRUN", "false");
            plan
        })
        .await
        .code,
        0
    );
    assert_eq!(aws.repository("web/app").tags().len(), 10, "plan deletes nothing, whatever DRYRUN says");
    let mut delete = command(&aws, &[&["delete", "--yes", "--dry-run=false"], &stale[..]].concat());
    assert_eq!(
        finish({
            delete.env("DRYRUN", "true");
            delete
        })
        .await
        .code,
        0
    );
    assert_eq!(aws.repository("web/app").tags(), set(["v10"]));
}

#[tokio::test]
async fn a_setting_that_cannot_be_used_is_named_by_its_flag_or_its_file() {
    let aws = world().await;
    let (settings, broken) = (file("unusable.json"), file("no.json"));
    std::fs::write(&settings, json!({ "imagesToKeep": "ten" }).to_string()).unwrap();
    std::fs::write(&broken, "{").unwrap();
    let (more, bare) = (file("policies-and-more.json"), file("policy-of-ecr.json"));
    std::fs::write(&more, json!({ "policies": [], "imagesToKeep": 3 }).to_string()).unwrap();
    std::fs::write(&bare, json!({ "rules": [] }).to_string()).unwrap();
    for (arguments, told) in [
        (&["--policies", &*more][..], "policies-and-more.json has settings besides policies. Pass it as --settings "),
        (
            &["--policies", &bare],
            "policy-of-ecr.json is a lifecycle policy without repositories. Write [{ \"repositories\"",
        ),
        (&["--images-to-keep", "ten"], "error: invalid value \"ten\" for --images-to-keep: expected a whole number\n"),
        (&["--max-deletions=-1"], "error: invalid value \"-1\" for --max-deletions: expected a whole number\n"),
        (
            &["--region", "mars"],
            "error: invalid Region \"mars\" for --region: expected a Region code such as us-west-2\n",
        ),
        (&["--settings", &settings], "unusable.json: invalid value \"ten\" for imagesToKeep"),
        (&["--settings", &broken], "no.json is not JSON"),
        (&["--settings", "does-not-exist.json"], "can't read does-not-exist.json: No such file or directory\n"),
        (
            &["--policies", "does-not-exist.json"],
            "--policies: can't read does-not-exist.json: No such file or directory\n",
        ),
        (&["--images-to-kep", "3"], "'--images-to-keep'"),
        (&["--out", "-"], "--out needs a file name"),
        (&["--format", "xml"], "[possible values: table, json, markdown, html]"),
    ] {
        let ran = ecr_cleanup(&aws, &[&["plan"], arguments].concat()).await;
        assert!(ran.code == 2 && ran.stderr.contains(told), "{arguments:?}: {}", ran.stderr);
    }
    for command in ["delete", "plan"] {
        let ran = ecr_cleanup(&aws, &["--region", "us-west-2", command]).await;
        let told = format!("error: the command comes first: ecr-cleanup {command} …\n");
        assert_eq!((ran.code, ran.stderr), (2, told));
    }
    let (nothing, wrong) = (file("policies-null.json"), file("policies-wrong.json"));
    std::fs::write(&nothing, json!({ "policies": null }).to_string()).unwrap();
    std::fs::write(&wrong, json!([{ "repositories": ["*"], "rules": "ecs" }]).to_string()).unwrap();
    for (variable, text, told) in [
        (
            "ECR_CLEANUP_IMAGES_TO_KEEP",
            "ten",
            "error: invalid value \"ten\" for ECR_CLEANUP_IMAGES_TO_KEEP: expected a whole number\n",
        ),
        (
            "ECR_CLEANUP_POLICIES_FILE",
            "does-not-exist.json",
            "ECR_CLEANUP_POLICIES_FILE: can't read does-not-exist.json: No such file or directory\n",
        ),
        ("ECR_CLEANUP_POLICIES_FILE", &nothing, "policies-null.json contains null"),
        ("ECR_CLEANUP_POLICIES_FILE", &wrong, "policies-wrong.json: invalid value \"ecs\" for rules in [0]"),
    ] {
        let mut command = command(&aws, &["plan"]);
        command.env(variable, text);
        let ran = finish(command).await;
        assert!(ran.code == 2 && ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    assert!(aws.calls().is_empty());
}

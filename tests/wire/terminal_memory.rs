//! The memory of a terminal, in the real binary.

use serde_json::json;
use simulated_aws::{Image, SimulatedAws, Task};

use crate::support::set;
use crate::terminal::{Ran, command, finish};

/// A home for one test.
fn home() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("home-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

async fn at_home(aws: &SimulatedAws, home: &tempfile::TempDir, arguments: &[&str]) -> Ran {
    let mut command = command(aws, arguments);
    command.env("HOME", home.path());
    finish(command).await
}

#[tokio::test]
async fn plan_and_delete_a_minute_later_agree_since_a_terminal_remembers() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app");
    let child = Image::untagged().days_old(90.0);
    let index = Image::index_of([&child]).and_tag("v1").days_old(90.0).pulled_days_ago(60.0);
    app.push_all([child, index]);
    aws.cluster("prod").runs("nginx");
    let home = home();
    let plan = ["plan", "--images-to-keep", "0", "--format", "json"];
    let first = at_home(&aws, &home, &plan).await.json();
    assert_eq!(first["totals"]["imagesStale"], 2);
    let folder = home.path().join(".local/state/ecr-cleanup/memory");
    assert_eq!(first["memory"], json!({ "location": folder, "since": null }));
    assert!(folder.join("state/indexes/123456789012/us-west-2.json.gz").exists());
    // Without it, this program's own reading counts as a pull.
    let forgetful = at_home(&aws, &home, &["plan", "--no-memory", "--images-to-keep", "0", "--format", "json"]).await;
    assert_eq!(forgetful.json()["totals"]["imagesStale"], 0);
    let live = at_home(&aws, &home, &["delete", "--yes", "--images-to-keep", "0", "--format", "json"]).await;
    assert_eq!(live.json()["totals"]["imagesDeleted"], 2, "{}", live.stderr);
    assert_eq!(app.tags(), set([]));
}

#[tokio::test]
async fn explain_tells_the_last_use() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app");
    let old = app.push(Image::tagged("v1").days_old(60.0));
    let task = aws.cluster("prod").start(Task::pulled(&app.uri("v1"), &old));
    let home = home();
    let told = at_home(&aws, &home, &["plan", "--images-to-keep", "0"]).await.stdout;
    assert!(told.contains("ecr-cleanup/memory has no images in use of earlier runs."), "{told}");
    let told = at_home(&aws, &home, &["plan", "--images-to-keep", "0"]).await.stdout;
    assert!(told.contains("has the images in use since 20"), "{told}");
    aws.cluster("prod").forget(&task);
    let explained = at_home(&aws, &home, &["explain", "app:v1", "--images-to-keep", "0"]).await;
    assert!(explained.stdout.contains("last used          today by ECS task arn:aws:ecs:"), "{}", explained.stdout);
    assert!(explained.stdout.contains("(--keep-used-within-days)"), "{}", explained.stdout);
    let explained =
        at_home(&aws, &home, &["explain", "app:v1", "--images-to-keep", "0", "--format", "json"]).await.json();
    assert_eq!(explained["keptBecause"], json!(["usedRecently"]));
    assert!(explained["lastUsed"]["by"].as_str().unwrap().starts_with("ECS task"), "{explained}");
}

#[tokio::test]
async fn a_damaged_memory_stops_a_delete_with_what_to_do() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app").daily_builds(3);
    aws.cluster("prod").runs(&app.uri("v3"));
    let home = home();
    let folder = home.path().join(".local/state/ecr-cleanup/memory/state/seen/123456789012");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("us-west-2.json.gz"), b"half of it").unwrap();
    let ran = at_home(&aws, &home, &["delete", "--yes", "--images-to-keep", "0"]).await;
    assert_eq!((ran.code, app.tags().len()), (1, 3));
    for told in ["can't read the memory", "state/seen/123456789012/us-west-2.json.gz", "delete it", "--no-memory"] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    let ran = at_home(&aws, &home, &["delete", "--yes", "--images-to-keep", "0", "--no-memory"]).await;
    assert_eq!((ran.code, app.tags().len()), (0, 1), "{}", ran.stderr);
}

#[tokio::test]
async fn memory_and_no_memory_contradict_each_other() {
    let aws = SimulatedAws::start().await;
    let ran = at_home(&aws, &home(), &["plan", "--no-memory", "--memory", "/var/x"]).await;
    assert_eq!((ran.code, aws.calls().len()), (2, 0), "{}", ran.stderr);
}

#[tokio::test]
async fn a_plan_in_a_bucket_is_carried_out_once() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app").daily_builds(3);
    aws.cluster("prod").runs(&app.uri("v3"));
    aws.place(simulated_aws::ACCOUNT, simulated_aws::REGION).bucket("our-memory");
    let (home, memory) = (home(), "s3://our-memory/shared");
    let strict = ["--images-to-keep", "0", "--keep-before-in-use", "0"];
    let plan = [&["plan", "--memory", memory, "--format", "json"], &strict[..]].concat();
    let report = at_home(&aws, &home, &plan).await.json();
    assert_eq!(report["totals"]["imagesStale"], 2);
    let plan = format!("{memory}/plans/{}", report["runId"].as_str().unwrap());
    let unknown = format!("{memory}/plans/2026-01-01T00-00-00Z-1a2b");
    let ran = at_home(&aws, &home, &["delete", &unknown, "--yes"]).await;
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("there is no plan {unknown}")), "{}", ran.stderr);
    let ran = at_home(&aws, &home, &["delete", memory, "--yes"]).await;
    assert!(ran.code == 2 && ran.stderr.contains("is not the location of a plan"), "{}", ran.stderr);
    // Some settings can't be given with a plan, wherever it is.
    let ran = at_home(&aws, &home, &["delete", &plan, "--yes", "--images-to-keep", "7"]).await;
    assert_eq!((ran.code, app.tags().len()), (2, 3), "{}", ran.stderr);
    let ran = at_home(&aws, &home, &["delete", &plan, "--yes"]).await;
    assert_eq!((ran.code, app.tags()), (0, set(["v3"])), "{}", ran.stderr);
    assert!(ran.stdout.contains("2 of the plan's 2 images deleted"), "{}", ran.stdout);
    let ran = at_home(&aws, &home, &["delete", &plan, "--yes"]).await;
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("only once") && ran.stderr.contains("Nothing was deleted"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_plan_in_the_folder_of_a_terminal_is_carried_out_by_its_path() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("app").daily_builds(3);
    aws.cluster("prod").runs(&app.uri("v3"));
    let home = home();
    let report =
        at_home(&aws, &home, &["plan", "--images-to-keep", "0", "--keep-before-in-use", "0", "--format", "json"])
            .await
            .json();
    let folder = home.path().join(".local/state/ecr-cleanup/memory/plans");
    let plan = folder.join(format!("{}.json.gz", report["runId"].as_str().unwrap()));
    assert!(plan.exists());
    let plan = plan.to_str().unwrap();
    let ran = at_home(&aws, &home, &["delete", plan, "--yes"]).await;
    assert_eq!((ran.code, app.tags()), (0, set(["v3"])), "{}", ran.stderr);
    let ran = at_home(&aws, &home, &["delete", plan, "--yes"]).await;
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}

#[tokio::test]
async fn plan_and_delete_store_their_reports_and_explain_and_usage_store_none() {
    let aws = SimulatedAws::start().await;
    aws.repository("app").push(Image::tagged("v1").days_old(90.0));
    aws.cluster("prod").runs("nginx");
    let home = home();
    let reports = home.path().join(".local/state/ecr-cleanup/memory/reports");
    at_home(&aws, &home, &["explain", "app:v1"]).await;
    at_home(&aws, &home, &["usage"]).await;
    at_home(&aws, &home, &["plan", "--no-memory"]).await;
    assert!(!reports.exists());
    let planned = at_home(&aws, &home, &["plan", "--images-to-keep", "0", "--format", "json"]).await.json();
    let deleted = at_home(&aws, &home, &["delete", "--yes", "--images-to-keep", "0", "--format", "json"]).await.json();
    let index = std::fs::read_to_string(reports.join("index.html")).unwrap();
    for report in [planned, deleted] {
        let page = format!("html/{}.html", report["runId"].as_str().unwrap());
        assert!(index.contains(&format!("href=\"{page}\"")) && reports.join(&page).exists(), "{page}");
    }
}

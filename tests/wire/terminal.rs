//! The real binary as a command: the output of each subcommand, and the data that it doesn't change.

use std::process::Stdio;

use serde_json::{Value, json};
use simulated_aws::{ACCOUNT, CONFIG_SIZE, Fault, Image, REGION, SimulatedAws, Task, access_key_of};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::schema::checked;
use crate::support::{json_of, push_multi_arch, run_on, set};

/// The result of a command.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The output, if it is JSON.
    pub fn json(&self) -> Value {
        let json: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr));
        // The output of `explain` and `usage` is not a report.
        if json.get("outcome").is_some() { checked(json) } else { json }
    }

    /// All output, for a snapshot.
    pub fn shown(&self) -> String {
        let Self { code, stdout, stderr } = self;
        format!("{stdout}--- stderr\n{stderr}--- exit {code}")
    }
}

/// The command with these arguments on a simulated account, without this machine's configuration.
pub fn command(aws: &SimulatedAws, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ecr-cleanup"));
    command
        .args(arguments)
        .env_clear()
        .envs([
            ("AWS_ENDPOINT_URL", aws.url()),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", access_key_of(ACCOUNT).as_str()),
            ("AWS_SECRET_ACCESS_KEY", "simulated-secret-key"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("ECR_CLEANUP_KEEP_BEFORE_IN_USE", "0"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub async fn finish(mut command: Command) -> Ran {
    let output = command.output().await.unwrap();
    Ran {
        code: output.status.code().expect("it ends by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the command with these arguments to its end.
pub async fn ecr_cleanup(aws: &SimulatedAws, arguments: &[&str]) -> Ran {
    finish(command(aws, arguments)).await
}

/// A file in a separate folder, which is deleted with the thread of the test. No other test and no other run uses it.
pub fn file(name: &str) -> String {
    thread_local! {
        static FOLDER: TempDir = tempfile::Builder::new().prefix("test-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    }
    FOLDER.with(|folder| folder.path().join(name).to_str().unwrap().to_owned())
}

/// Compares with a snapshot, which has names for the values that differ between runs.
macro_rules! assert_shown {
    ($shown:expr) => {
        let shown = $shown;
        insta::with_settings!({ filters => vec![
            (r"sha256[:-][0-9a-f]{64}", "sha256:[digest]"),
            (r"sha256:[0-9a-f]{12}", "sha256:[12 digits]"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "[time]"),
            (r"(/[^ `:]+)+/target/tmp/test-\w+/", ""),
        ] }, { insta::assert_snapshot!(shown) });
    };
}
pub(crate) use assert_shown;

/// Ten daily builds. A task runs the oldest.
async fn world() -> SimulatedAws {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("web/app").daily_builds(10);
    aws.cluster("prod").runs(&app.uri("v1"));
    aws
}

#[tokio::test]
async fn plan_shows_what_is_stale_and_deletes_nothing() {
    let aws = world().await;
    let ran = ecr_cleanup(&aws, &["plan", "--images-to-keep", "7"]).await;
    assert_shown!(ran.shown());
    assert!(aws.calls_of("ecr:BatchDeleteImage").is_empty());
    let without_a_command = ecr_cleanup(&aws, &["--images-to-keep", "7"]).await;
    assert_eq!((without_a_command.code, without_a_command.stdout), (0, ran.stdout), "plan is meant");
}

#[tokio::test]
async fn json_is_the_report_of_the_engine() {
    let aws = world().await;
    let mut ran = ecr_cleanup(&aws, &["plan", "--images-to-keep", "7", "--format", "json", "--quiet"]).await;
    let mut printed = ran.json();
    let mut report = json_of(&run_on(&aws, json!({ "imagesToKeep": 7 })).await);
    for time in ["runId", "startedAt", "finishedAt"] {
        assert_ne!(printed[time].take(), Value::Null, "{time}");
        report[time].take();
    }
    assert_eq!(printed["settings"]["imagesToKeep"], json!({ "value": 7, "from": "flag" }));
    for report in [&mut printed, &mut report] {
        report["settings"].take();
    }
    assert_eq!(printed, report);
    assert_eq!(ran.stderr, "", "--quiet");
    for (format, begins) in [("markdown", ""), ("html", "<")] {
        ran = ecr_cleanup(&aws, &["plan", "--format", format, "--quiet"]).await;
        assert!(ran.code == 0 && ran.stdout.starts_with(begins) && !ran.stdout.is_empty(), "{format}: {}", ran.stdout);
    }
}

#[tokio::test]
async fn delete_with_yes_deletes_what_plan_shows() {
    let aws = world().await;
    let planned = ecr_cleanup(&aws, &["plan", "--images-to-keep", "7", "--format", "json"]).await.json();
    let ran = ecr_cleanup(&aws, &["delete", "--images-to-keep", "7", "--yes"]).await;
    assert_shown!(ran.shown());
    assert_eq!(planned["totals"]["imagesStale"], 2);
    assert_eq!(aws.repository("web/app").tags(), set(["v1", "v4", "v5", "v6", "v7", "v8", "v9", "v10"]));
}

#[tokio::test]
async fn usage_shows_what_is_in_use_and_by_whom() {
    let aws = world().await;
    let app = aws.repository("web/app");
    for _ in 0..7 {
        aws.cluster("prod").start(Task::pulled(&app.uri("v9"), &app.digest_of("v9")));
    }
    aws.cluster("prod").runs("nginx:1");
    let in_use = ["usage", "--in-use-images", "123456789012.dkr.ecr.us-west-2.amazonaws.com/eks/job:v2"];
    assert_shown!(ecr_cleanup(&aws, &in_use).await.shown());
    let ran = ecr_cleanup(&aws, &["usage", "--format", "json"]).await.json();
    assert_eq!((&ran["complete"], &ran["account"]), (&json!(true), &json!(ACCOUNT)));
    let v9 = ran["references"].as_array().unwrap().iter().find(|reference| reference["reference"] == app.uri("v9"));
    assert_eq!(v9.unwrap()["imageDigests"], json!([app.digest_of("v9")]));
    assert_eq!(v9.unwrap()["heldBy"].as_array().unwrap().len(), 7, "all of them");
    assert_eq!(v9.unwrap()["heldBy"][0]["kind"], "ECS task");
    assert!(aws.calls().iter().all(|call| !call.operation.starts_with("ecr:")), "images are not looked at");
}

#[tokio::test]
async fn usage_that_is_not_known_in_full_says_so() {
    let aws = world().await;
    aws.inject(Fault::denied("lambda:ListFunctions"));
    let ran = ecr_cleanup(&aws, &["usage", "--quiet"]).await;
    assert_shown!(ran.shown());
    assert_eq!(ran.code, 1);
    assert_eq!(ecr_cleanup(&aws, &["usage", "--format", "json"]).await.json()["complete"], false);
}

#[tokio::test]
async fn explain_tells_of_an_image_in_use() {
    let aws = world().await;
    let ran = ecr_cleanup(&aws, &["explain", "web/app:v1", "--images-to-keep", "7"]).await;
    assert_shown!(ran.shown());
    // All spellings refer to the same image.
    let app = aws.repository("web/app");
    let digest = app.digest_of("v1");
    for named in [app.uri("v1"), app.uri_by_digest(&digest), format!("web/app@{digest}")] {
        let again = ecr_cleanup(&aws, &["explain", &named, "--images-to-keep", "7"]).await;
        assert_eq!((again.code, again.stdout), (0, ran.stdout.clone()), "{named}");
    }
    assert!(aws.calls_of("ecr:DescribeImages").iter().all(|call| call.request["repositoryName"] == "web/app"));
}

#[tokio::test]
async fn explain_tells_what_an_image_hangs_together_with() {
    let aws = world().await;
    let app = aws.repository("web/app");
    let [amd64, _, index] = push_multi_arch(&app, "multi", 20.0);
    aws.place(ACCOUNT, REGION).exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
    app.push(Image::tagged(&Image::tag_about(&index, ".sig")).days_old(20.0));
    let explained = async |image: &str| ecr_cleanup(&aws, &["explain", image, "--images-to-keep", "7"]).await;
    assert_shown!(explained("web/app:multi").await.shown());
    let child = format!("web/app@{amd64}");
    let arguments = ["explain", &child, "--images-to-keep", "7", "--format", "json", "--quiet"];
    let child = ecr_cleanup(&aws, &arguments).await.json();
    assert_eq!(child["parents"], json!([{ "imageDigest": index, "imageTags": ["multi"], "decision": "goes" }]));
    assert_eq!(child["decision"], "goes");
    assert_eq!(child["staleBecause"], format!("child image of the stale index {index}"));
    // The output also shows the policy rule that shields an image.
    let settings = file("explain-policies.json");
    let rule = |priority: u32, pattern: &str, keep: u32| {
        json!({
            "rulePriority": priority, "description": pattern,
            "selection": { "tagStatus": "tagged", "tagPatternList": [pattern], "countType": "imageCountMoreThan", "countNumber": keep },
            "action": { "type": "expire" },
        })
    };
    let policies = json!([{ "repositories": ["web/*"], "rules": [rule(1, "v*", 3), rule(2, "*", 0)] }]);
    std::fs::write(&settings, json!({ "policies": policies }).to_string()).unwrap();
    assert_shown!(ecr_cleanup(&aws, &["explain", "web/app:v9", "--settings", &settings, "--quiet"]).await.shown());
}

#[tokio::test]
async fn explain_writes_sizes_in_the_unit_that_fits() {
    let aws = world().await;
    aws.repository("web/app").push(Image::of_layers(&[("tool", 4 * 1024 - CONFIG_SIZE)]).and_tag("small"));
    let ran = ecr_cleanup(&aws, &["explain", "web/app:small", "--quiet"]).await;
    assert!(ran.stdout.contains("\n  size               4.0 KiB\n"), "{}", ran.stdout);
}

#[tokio::test]
async fn explain_tells_of_this_image_whether_the_own_policy_of_ecr_would_take_it() {
    let aws = world().await;
    let app = aws.repository("web/app");
    aws.cluster("prod").runs(&app.uri("v10"));
    let count = json!({ "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 5 });
    let rule =
        json!({ "rulePriority": 1, "description": "keep five", "selection": count, "action": { "type": "expire" } });
    app.set_lifecycle_policy(&json!({ "rules": [rule] }));
    for (image, is_at_risk) in [("web/app:v1", true), ("web/app:v10", false)] {
        let ran = ecr_cleanup(&aws, &["explain", image, "--quiet"]).await;
        let told = "\n  at risk            the ECR lifecycle policy would expire it, although it is in use: ";
        assert_eq!((ran.stdout.contains(told), ran.stderr.as_str()), (is_at_risk, ""), "{}", ran.stdout);
        let json = ecr_cleanup(&aws, &["explain", image, "--quiet", "--format", "json"]).await.json();
        assert_eq!(json["atRisk"]["action"] == "expire", is_at_risk, "{json}");
    }
}

#[tokio::test]
async fn explain_says_when_nothing_of_a_repository_is_ever_touched() {
    let aws = world().await;
    let ran = ecr_cleanup(&aws, &["explain", "web/app:v2", "--exclude-repositories", "web/*", "--quiet"]).await;
    let told = "But these settings exclude web/app (--repositories, --exclude-repositories), so the image is kept.\n";
    assert!(ran.stdout.ends_with(told), "{}", ran.stdout);
}

#[tokio::test]
async fn explain_of_what_is_not_there_names_what_is() {
    let aws = world().await;
    for (image, told) in [
        ("web/app:v99", "error: no image of web/app in us-west-2 has the tag v99"),
        ("web/apps:v1", "error: there is no repository web/apps in us-west-2. Did you mean web/app?"),
    ] {
        let ran = ecr_cleanup(&aws, &["explain", image, "--quiet"]).await;
        assert_eq!((ran.code, ran.stderr.trim_end(), ran.stdout.as_str()), (1, told, ""));
    }
    let foreign = "999999999999.dkr.ecr.us-west-2.amazonaws.com/web/app:v1";
    let ran = ecr_cleanup(&aws, &["explain", foreign, "--quiet"]).await;
    let told = format!(
        "{foreign} is in the registry of account 999999999999, but you are signed in to account {ACCOUNT}. Pass --profile "
    );
    assert!(ran.code == 1 && ran.stderr.contains(&told), "{}", ran.stderr);
    assert!(ran.stderr.contains("Pass --profile with a profile of account 999999999999."), "{}", ran.stderr);
}

#[tokio::test]
async fn completions_know_every_flag() {
    let aws = SimulatedAws::start().await;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = ecr_cleanup(&aws, &["completions", shell]).await;
        assert!(ran.code == 0 && ran.stdout.contains("images-to-keep"), "{shell}: {}", ran.stderr);
    }
    assert!(aws.calls().is_empty());
}

#[tokio::test]
async fn bash_completes_commands_flags_and_values() {
    let aws = SimulatedAws::start().await;
    let script = file("completions.bash");
    std::fs::write(&script, ecr_cleanup(&aws, &["completions", "bash"]).await.stdout).unwrap();
    // Requested as in bash, through the function that is registered for the command.
    let ask = r#"source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        registered=$(complete -p ecr-cleanup); registered=${registered#*-F }
        "${registered%% *}" ecr-cleanup "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; echo "${COMPREPLY[*]}""#;
    for (words, completed) in [
        (&["ecr-cleanup", "pl"][..], "plan"),
        (&["ecr-cleanup", "plan", "--images-to-k"], "--images-to-keep"),
        (&["ecr-cleanup", "delete", "--ye"], "--yes"),
        (&["ecr-cleanup", "plan", "--format", ""], "table json markdown html"),
        (&["ecr-cleanup", "usage", "--format", "j"], "json"),
    ] {
        let asked =
            Command::new("bash").args(["--norc", "-c", ask, "bash", &script]).args(words).output().await.unwrap();
        assert_eq!(String::from_utf8_lossy(&asked.stdout).trim_end(), completed, "{words:?} {asked:?}");
    }
}

#[tokio::test]
async fn something_is_shown_before_aws_answers() {
    let aws = world().await;
    aws.inject(Fault::no_answer("*"));
    let mut child = command(&aws, &["plan"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "looking for AWS credentials");
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "identifying the account and its Regions");
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_panic() {
    let aws = world().await;
    for arguments in [&["plan", "--format", "json"][..], &["usage"], &["completions", "zsh"], &["--help"]] {
        let mut child = command(&aws, arguments).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).await.unwrap();
        let status = child.wait().await.unwrap();
        assert!(status.success() && !stderr.contains("panicked"), "{arguments:?}: {status} {stderr}");
    }
}

#[tokio::test]
async fn images_in_use_elsewhere_come_by_pipe_or_file() {
    let aws = world().await;
    let app = aws.repository("web/app");
    let pods = format!("{} nginx:1\n# the job of last month\n{} # and this\n", app.uri("v2"), app.uri("v3"));
    let arguments = ["plan", "--images-to-keep", "7", "--format", "json", "--quiet", "--in-use-file"];
    let mut child = command(&aws, &[&arguments[..], &["-"]].concat()).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(pods.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let by_pipe: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(by_pipe["totals"]["imagesStale"], 0, "v1 runs, v2 and v3 are in use elsewhere");

    let list = file("in-use.txt");
    std::fs::write(&list, app.uri("v2")).unwrap();
    let by_file = ecr_cleanup(&aws, &[&arguments[..], &[&list]].concat()).await.json();
    assert_eq!(by_file["totals"]["imagesStale"], 1);

    std::fs::write(&list, "web/ap:v2\n").unwrap();
    let ran = ecr_cleanup(&aws, &[&arguments[..], &[&list]].concat()).await;
    let told =
        "warning: --in-use-file protects no image: 1 reference read, such as web/ap:v2, and none matches an image";
    assert!(ran.code == 0 && ran.stderr.contains(told), "{}", ran.stderr);

    for (text, told) in [
        ("# nothing\n", "it lists no image"),
        ("nginx\n123456789012.dkr.ecr.us-west-2.amazonaws.com/App:v1", "line 2: invalid ECR image \"123456789012"),
    ] {
        std::fs::write(&list, text).unwrap();
        aws.forget_calls();
        let ran = ecr_cleanup(&aws, &[&arguments[..], &[&list]].concat()).await;
        assert!(ran.code == 2 && ran.stderr.contains(told), "{}", ran.stderr);
        assert!(aws.calls().is_empty());
    }
}

//! Input from real use: contradictions, left-over variables, empty flags, and lists that failed.

use std::collections::BTreeSet;

use serde_json::json;
use simulated_aws::{Function, Image, SimulatedAws};
use tokio::process::Command;

use crate::support::{push_multi_arch, set};
use crate::terminal::{Ran, command, ecr_cleanup, file, finish};

/// Ten daily builds. A task runs the newest.
async fn world() -> SimulatedAws {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("web/app").daily_builds(10);
    aws.cluster("prod").runs(&app.uri("v10"));
    aws
}

async fn with_variables(aws: &SimulatedAws, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = command(aws, arguments);
    command.envs(variables.iter().copied());
    finish(command).await
}

#[tokio::test]
async fn in_a_terminal_only_variables_of_our_own_count() {
    let aws = world().await;
    let left_over = [("IMAGES_TO_KEEP", "5"), ("REGION", "mars"), ("KEEP_TAGS", "a b"), ("POLICIES_FILE", "none.json")];
    let ran = with_variables(&aws, &["delete", "--yes", "--quiet"], &left_over).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "what a shell has for something else is not looked at");
    assert_eq!(aws.repository("web/app").tags().len(), 10);
    let arguments = ["delete", "--yes", "--quiet"];
    let misspelled = with_variables(&aws, &arguments, &[("ECR_CLEANUP_IMAGE_TO_KEEP", "5")]).await;
    assert!(
        misspelled
            .stderr
            .contains("warning: ECR_CLEANUP_IMAGE_TO_KEEP sets nothing. All variables: ecr-cleanup plan --help"),
        "{}",
        misspelled.stderr
    );
    let ran = with_variables(&aws, &arguments, &[("ECR_CLEANUP_IMAGES_TO_KEEP", "5")]).await;
    assert_eq!((ran.code, aws.repository("web/app").tags().len()), (0, 5), "{}", ran.stderr);
}

#[tokio::test]
async fn delete_is_not_for_a_shell_that_says_dry_run() {
    let aws = world().await;
    let plan = file("dry-run-variable.json");
    assert_eq!(ecr_cleanup(&aws, &["plan", "--images-to-keep", "1", "--quiet", "--out", &plan]).await.code, 0);
    aws.forget_calls();
    for (variable, text) in
        [("DRYRUN", "true"), ("ECR_CLEANUP_DRYRUN", "True"), ("DRYRUN", "1"), ("ECR_CLEANUP_DRYRUN", ",false,")]
    {
        for arguments in [&["delete", "--yes", "--images-to-keep", "1"][..], &["delete", &plan]] {
            let ran = with_variables(&aws, arguments, &[(variable, text)]).await;
            assert_eq!(ran.code, 2, "{variable}={text}: {}", ran.stderr);
            assert!(ran.stderr.contains(&format!("{variable} is {text:?} in the environment")), "{}", ran.stderr);
        }
        let ran = with_variables(&aws, &["plan", "--quiet"], &[(variable, text)]).await;
        assert_eq!(ran.code, 0, "a plan is what it asks for: {}", ran.stderr);
    }
    assert!(aws.calls_of("ecr:BatchDeleteImage").is_empty());
    let ran = with_variables(&aws, &["delete", &plan, "--quiet"], &[("DRYRUN", "false")]).await;
    assert_eq!((ran.code, aws.repository("web/app").tags().len()), (0, 1), "{}", ran.stderr);
}

#[tokio::test]
async fn what_stands_twice_in_a_file_is_wrong_usage() {
    let aws = world().await;
    let [settings, policies, plan] = ["twice-settings.json", "twice-policies.json", "twice-plan.json"].map(file);
    std::fs::write(
        &settings,
        r#"{ "detail-type": "x", "source": "x", "detail": { "imagesToKeep": 9, "imagesToKeep": 1 } }"#,
    )
    .unwrap();
    std::fs::write(&policies, r#"[{ "repositories": ["web/*"], "rules": "ecr", "repositories": ["*"] }]"#).unwrap();
    assert_eq!(ecr_cleanup(&aws, &["plan", "--images-to-keep", "1", "--quiet", "--out", &plan]).await.code, 0);
    let text = std::fs::read_to_string(&plan).unwrap();
    std::fs::write(&plan, text.replacen("\"regions\":", "\"regions\": [],\n  \"regions\":", 1)).unwrap();
    aws.forget_calls();
    for (arguments, named) in [
        (
            &["delete", "--yes", "--settings", &*settings][..],
            "twice-settings.json has the key \"detail.imagesToKeep\" twice",
        ),
        (&["delete", "--yes", "--policies", &policies], "twice-policies.json has the key \"[0].repositories\" twice"),
        (&["delete", &plan], "duplicate key `regions`"),
    ] {
        let ran = ecr_cleanup(&aws, arguments).await;
        assert!(ran.code == 2 && ran.stderr.contains(named), "{arguments:?}: {}", ran.stderr);
    }
    assert!(aws.calls().is_empty());
}

#[tokio::test]
async fn what_stands_twice_in_an_event_is_refused_by_the_function() {
    let aws = world().await;
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_ecr-cleanup"));
    let function = Function::start(binary, aws.url(), &[]).await;
    for (event, named) in [
        (r#"{ "dryRun": true, "imagesToKeep": 1, "dryRun": false }"#, "dryRun"),
        (
            r#"{ "detail-type": "x", "source": "x", "detail": { "dryRun": false, "imagesToKeep": 9, "imagesToKeep": 1 } }"#,
            "detail.imagesToKeep",
        ),
        (r#"{ "detail-type": "x", "source": "x", "detail": "{\"dryRun\":true,\"dryRun\":false}" }"#, "dryRun"),
    ] {
        let error = function.invoke_text(event).await.unwrap_err();
        assert_eq!(error.error_type, "InvalidSettings", "{event}");
        assert!(error.error_message.contains(&format!("`{named}` can't be given twice")), "{}", error.error_message);
    }
    assert!(aws.calls().is_empty());
    for event in ["null", " {} ", r#"{ "dryRun": "true" }"#] {
        assert_eq!(function.invoke_text(event).await.unwrap()["outcome"], "planned", "{event}");
    }
}

#[tokio::test]
async fn an_empty_flag_is_wrong_usage_and_never_an_empty_list() {
    let aws = world().await;
    let settings = file("with-an-exclusion.json");
    std::fs::write(&settings, r#"{ "excludeRepositories": ["web/*"], "imagesToKeep": 1 }"#).unwrap();
    for arguments in [
        &["--keep-tags", ""][..],
        &["--keep-tags", "latest", "--keep-tags", ""],
        &["--keep-tags= "],
        &["--settings", &settings, "--exclude-repositories", ""],
        &["--settings", &settings, "--exclude-repositories", ","],
        &["--in-use-images", ""],
        &["--in-use-file", ""],
        &["--ignore-tags-regex", ""],
        &["--max-deletions", " "],
        &["--region", ""],
        &["--settings", ""],
        &["--tags", ""],
        &["--profile", ""],
        &["--dry-run="],
    ] {
        let ran = ecr_cleanup(&aws, &[&["delete", "--yes"], arguments].concat()).await;
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("the value is empty"), "{arguments:?}: {}", ran.stderr);
    }
    assert!(aws.calls().is_empty());
}

#[tokio::test]
async fn a_list_of_images_in_use_that_is_none_is_refused() {
    let aws = world().await;
    let list = file("failed-list.txt");
    for text in
        ["Unable to connect to the server: dial tcp 10.0.0.1:443: i/o timeout", "nginx\nerror: no context", "{", ""]
    {
        std::fs::write(&list, text).unwrap();
        let ran = ecr_cleanup(&aws, &["delete", "--yes", "--images-to-keep", "1", "--in-use-file", &list]).await;
        assert!(ran.code == 2 && ran.stderr.contains(&format!("--in-use-file {list}: ")), "{text}: {}", ran.stderr);
    }
    assert!(aws.calls().is_empty());
}

#[tokio::test]
async fn a_list_of_images_in_use_tells_what_came_of_it() {
    let aws = world().await;
    let app = aws.repository("web/app");
    let (list, pods) = (file("plain-list.txt"), file("pods.json"));
    std::fs::write(&list, format!("nginx:1.27 {}\nweb/app:v2\nweb/app:v77\n", app.uri("v1"))).unwrap();
    let id = format!("docker-pullable://{}", app.uri_by_digest(&app.digest_of("v3")));
    let pod = json!({ "kind": "Pod", "spec": { "containers": [{ "image": app.uri("v2") }] },
        "status": { "containerStatuses": [{ "image": app.uri("v2"), "imageID": id }] } });
    std::fs::write(&pods, json!({ "kind": "List", "items": [pod] }).to_string()).unwrap();
    let arguments = ["plan", "--images-to-keep", "0", "--quiet", "--format", "json"];
    for (files, told, stale) in [
        (&["--in-use-file", &*list][..], "4 references read, of which 2 match images of these repositories", 7),
        (&["--in-use-file", &pods], "2 references read, of which 2 match images of these repositories", 7),
        (&["--in-use-file", &list, "--in-use-file", &pods], "6 references read, of which 4 match images", 6),
    ] {
        let ran = ecr_cleanup(&aws, &[&arguments[..], files].concat()).await;
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
        assert_eq!(ran.json()["totals"]["imagesStale"], stale, "{told}");
    }
    let plan = file("listed.json");
    assert_eq!(ecr_cleanup(&aws, &["plan", "--images-to-keep", "1", "--quiet", "--out", &plan]).await.code, 0);
    let ran = ecr_cleanup(&aws, &["delete", &plan, "--quiet", "--in-use-file", &pods]).await;
    assert!(ran.code == 0 && ran.stderr.contains("2 references read, of which 2 match images"), "{}", ran.stderr);
    assert_eq!(app.tags(), set(["v10", "v2", "v3"]));
}

#[tokio::test]
async fn tags_narrow_what_would_go_and_widen_nothing() {
    let aws = world().await;
    let app = aws.repository("web/app");
    for (build, tag) in
        [("v2", "pr-2"), ("v3", "pr-3"), ("v4", "pr-4"), ("v4", "latest"), ("v9", "pr-9"), ("v5", "pr-5")]
    {
        app.retag(build, tag);
    }
    aws.cluster("prod").runs(&app.uri("pr-3"));
    app.push(Image::untagged().days_old(90.0));
    let stale = async |arguments: &[&str]| {
        let plan = ["plan", "--quiet", "--format", "json", "--details", "--images-to-keep", "4"];
        let report = ecr_cleanup(&aws, &[&plan[..], arguments].concat()).await.json();
        let stale = report["regions"][0]["repositories"][0]["stale"].as_array().unwrap().clone();
        assert_eq!(report["totals"]["imagesStale"], stale.len(), "what is not asked for is not listed");
        let tags = stale.iter().flat_map(|image| image["imageTags"].as_array().unwrap().clone());
        tags.map(|tag| tag.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let without = stale(&[]).await;
    assert_eq!(without, set(["v1", "v2", "pr-2", "v5", "pr-5", "v6"]), "v3 runs, v4 is latest, four are the newest");
    assert_eq!(stale(&["--tags", "pr-*"]).await, set(["v2", "pr-2", "v5", "pr-5"]));
    assert_eq!(stale(&["--tags", "*"]).await, without);
    assert_eq!(stale(&["--tags", "pr-9"]).await, set([]), "it is among the newest");
    let policies = file("tags-and-policies.json");
    let rule = json!({ "rulePriority": 1, "action": { "type": "expire" },
        "selection": { "tagStatus": "tagged", "tagPatternList": ["v*"], "countType": "imageCountMoreThan", "countNumber": 1 } });
    std::fs::write(&policies, json!([{ "repositories": ["*"], "rules": [rule] }]).to_string()).unwrap();
    let by_policy = stale(&["--policies", &policies, "--tags", "pr-2"]).await;
    assert_eq!(by_policy, set(["v2", "pr-2"]), "a policy is narrowed as well");

    let ran = ecr_cleanup(&aws, &["explain", "web/app:v1", "--tags", "pr-*", "--images-to-keep", "4", "--quiet"]).await;
    assert!(ran.stdout.contains("none of its tags matches pr-* (--tags). Otherwise it would be deleted: "));
    let ran = ecr_cleanup(&aws, &["plan", "--tags", "pr-?"]).await;
    assert!(
        ran.code == 2 && ran.stderr.contains("error: invalid pattern \"pr-?\" for --tags: only * is a wildcard\n"),
        "{}",
        ran.stderr
    );

    let plan = file("narrowed.json");
    let saving = ["plan", "--tags", "pr-2", "--images-to-keep", "4", "--quiet", "--out", &plan];
    assert_eq!(ecr_cleanup(&aws, &saving).await.code, 0);
    let ran = ecr_cleanup(&aws, &["delete", &plan, "--quiet"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "nothing has changed since");
    assert!(ran.stdout.contains("tags pr-2 (file)"), "{}", ran.stdout);
    let before = app.tags();
    let ran = ecr_cleanup(&aws, &["delete", "--yes", "--tags", "pr-*", "--images-to-keep", "4", "--quiet"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let gone: BTreeSet<_> = before.difference(&app.tags()).cloned().collect();
    assert_eq!((gone, before.contains("pr-2")), (set(["v5", "pr-5"]), false));
}

#[tokio::test]
async fn what_goes_with_an_image_goes_with_it_also_when_tags_narrow() {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("web/app");
    aws.cluster("prod").runs("nginx");
    let [amd64, arm64, index] = push_multi_arch(&app, "pr-1", 90.0);
    let [_, _, other] = push_multi_arch(&app, "v1", 91.0);
    let signature = |digest: &str| Image::tagged(&format!("{}.sig", digest.replace(':', "-"))).days_old(89.0);
    let (signed, kept) = (app.push(signature(&index)), app.push(signature(&other)));
    let arguments = ["delete", "--yes", "--tags", "pr-*", "--images-to-keep", "0", "--quiet"];
    let ran = ecr_cleanup(&aws, &arguments).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let left = app.digests();
    assert!([amd64, arm64, index, signed].iter().all(|digest| !left.contains(digest)), "{left:?}");
    assert!(left.contains(&other) && left.contains(&kept) && left.len() == 4, "{left:?}");
}

#[tokio::test]
async fn an_image_of_a_region_that_is_not_cleaned_is_not_touched() {
    let aws = world().await;
    let image = aws.repository("web/app").uri("v1");
    let cleaned = "But --region excludes us-west-2, so the image is kept.";
    for (arguments, is_left_out) in [
        (&["--region", "us-east-1"][..], true),
        (&["--region", "us-east-1,eu-west-1", "--images-to-keep", "1"], true),
        (&["--region", "us-west-2"], false),
        (&[], false),
    ] {
        let ran = ecr_cleanup(&aws, &[&["explain", &image, "--quiet"], arguments].concat()).await;
        assert_eq!((ran.code, ran.stdout.contains(cleaned)), (0, is_left_out), "{arguments:?}: {}", ran.stdout);
        let json = ecr_cleanup(&aws, &[&["explain", &image, "--quiet", "--format", "json"], arguments].concat()).await;
        assert_eq!(json.json()["isLeftOut"], is_left_out, "{arguments:?}");
    }
}

/// Every write there fails, as on a full disk.
#[cfg(target_os = "linux")]
fn full_disk() -> std::process::Stdio {
    std::fs::File::options().write(true).open("/dev/full").unwrap().into()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_was_deleted_is_told_also_when_the_report_can_not_be_written() {
    let aws = world().await;
    let app = aws.repository("web/app");
    let plan = file("to-a-full-disk.json");
    assert_eq!(ecr_cleanup(&aws, &["plan", "--images-to-keep", "4", "--quiet", "--out", &plan]).await.code, 0);
    for (arguments, format) in
        [(&["delete", &*plan][..], "json"), (&["delete", "--yes", "--images-to-keep", "1"], "table")]
    {
        let before = app.tags();
        let mut command = command(&aws, &[arguments, &["--quiet", "--format", format]].concat());
        let output = command.stdout(full_disk()).spawn().unwrap().wait_with_output().await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("can't write to stdout: No space left on device\n"), "{stderr}");
        let left = app.tags();
        let gone: Vec<&String> = before.difference(&left).collect();
        assert!(gone.len() >= 3, "{gone:?}");
        for tag in gone {
            assert!(stderr.contains(&format!("deleted us-west-2 web/app:{tag}@sha256:")), "{tag}: {stderr}");
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_plan_that_can_not_be_saved_leaves_the_one_before() {
    let aws = world().await;
    let folder = file("read-only");
    std::fs::create_dir_all(&folder).unwrap();
    let plan = format!("{folder}/plan.json");
    assert_eq!(ecr_cleanup(&aws, &["plan", "--images-to-keep", "4", "--quiet", "--out", &plan]).await.code, 0);
    let before = std::fs::read_to_string(&plan).unwrap();
    let mut command = Command::new("sh");
    // A limit on file size, which the plan exceeds.
    let limited = "ulimit -f 1; trap '' XFSZ; exec \"$0\" \"$@\"";
    let aws_command = crate::terminal::command(&aws, &["plan", "--images-to-keep", "1", "--quiet", "--out", &plan]);
    let aws_command = aws_command.as_std();
    command.args(["-c", limited]).arg(aws_command.get_program()).args(aws_command.get_args()).env_clear();
    command.envs(aws_command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && stderr.contains("The plan was not saved"), "{stderr}");
    assert_eq!(std::fs::read_to_string(&plan).unwrap(), before);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
}

#[tokio::test]
async fn many_patterns_that_match_nothing_are_told_soon_and_shortly() {
    let aws = SimulatedAws::start().await;
    aws.cluster("prod").runs("nginx");
    for number in 0..300 {
        _ = aws.repository(&format!("team-{number}/service"));
    }
    let settings = file("many-patterns.json");
    let patterns: Vec<String> = (0..300).map(|number| format!("team-{number}/some-other-servise")).collect();
    std::fs::write(&settings, json!({ "excludeRepositories": patterns }).to_string()).unwrap();
    let began = std::time::Instant::now();
    let ran = ecr_cleanup(&aws, &["plan", "--quiet", "--settings", &settings]).await;
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!((ran.code, lines.len()), (0, 11), "{}", ran.stderr);
    assert_eq!(lines[10], "warning: no repository matches 290 more patterns either");
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    let ran = ecr_cleanup(&aws, &["delete", "--yes", "--quiet", "--settings", &settings]).await;
    assert!(ran.code == 2 && ran.stderr.lines().count() == 1, "{}", ran.stderr);
}

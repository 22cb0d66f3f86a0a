//! What the commands show: where they searched, numbers that agree, and lines that fit the terminal.

use std::collections::BTreeSet;

use serde_json::json;
use simulated_aws::{Fault, Image, REGION, SimulatedAws};

use crate::support::set;
use crate::terminal::{Ran, command, ecr_cleanup, file, finish};

async fn world() -> SimulatedAws {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("web/app").daily_builds(10);
    aws.cluster("prod").runs(&app.uri("v1"));
    aws.cluster("prod").runs("nginx:1");
    aws
}

#[tokio::test]
async fn results_say_what_was_checked_and_what_was_not() {
    const NOT_CHECKED: &str = "Not checked: EKS, EC2, Batch, App Runner, SageMaker, CodeBuild, and schedules that pin older task definition revisions.";
    let aws = world().await;
    let _ = aws.region("eu-west-1").repository("web/other");
    let checked = "Checked ECS and Lambda in 2 Regions of 1 account: found 2 references to images";
    for (arguments, checked) in [
        (&["plan"][..], &*format!("{checked}.\n")),
        (&["plan", "--format", "markdown"], &format!("- {checked}.\n")),
        (&["delete", "--yes", "--images-to-keep", "100"], &format!("{checked}.\n")),
        (&["usage"], &format!("{checked}, 1 of them in ECR.\n")),
    ] {
        let ran = ecr_cleanup(&aws, &[arguments, &["--quiet"]].concat()).await;
        assert!(ran.stdout.contains(checked) && ran.stdout.contains(NOT_CHECKED), "{arguments:?}: {}", ran.stdout);
    }
    let page = ecr_cleanup(&aws, &["plan", "--format", "html", "--quiet"]).await.stdout;
    assert!(page.contains(r#"data-checked="ECS and Lambda" data-not-checked="EKS, EC2, Batch,"#), "{page}");
    aws.inject(Fault::denied("lambda:ListFunctions"));
    let ran = ecr_cleanup(&aws, &["plan", "--quiet"]).await;
    assert!(ran.stdout.contains("of 1 account: not all could be read, found 2 references"), "{}", ran.stdout);
}

#[tokio::test]
async fn a_plan_is_counted_against_itself_and_what_it_lacks_is_told_once() {
    let aws = world().await;
    let app = aws.repository("web/app");
    let plan = file("counted.json");
    let ran = ecr_cleanup(&aws, &["plan", "--images-to-keep", "4", "--quiet", "--out", &plan]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // Of the five images of the plan, one runs by now, and one is gone. Of the others, two are stale by now.
    aws.cluster("prod").runs(&app.uri("v2"));
    app.delete(&app.digest_of("v3"));
    app.push(Image::tagged("v11"));
    app.push(Image::tagged("v12"));
    for (format, once) in [("table", true), ("markdown", true), ("json", false), ("html", false)] {
        let again = file(&format!("counted-{format}.json"));
        std::fs::copy(&plan, &again).unwrap();
        let Ran { stdout, stderr, code } = ecr_cleanup(&aws, &["delete", &again, "--quiet", "--format", format]).await;
        assert_eq!(code, 0, "{stderr}");
        let others = "2 more stale images aren't in the plan and were not deleted.";
        assert_eq!(
            (stdout.matches(others).count(), stderr.matches(others).count()),
            if once { (1, 0) } else { (0, 1) }
        );
        if format == "table" {
            let told = "Live run, completed: 3 of the plan's 5 images deleted, 2 not stale any more.\n";
            assert!(stdout.starts_with(told), "{stdout}");
            assert!(!stdout.contains("reviewed plan does not have it"), "{stdout}");
        } else if format == "markdown" {
            let told = "### ECR cleanup: 0 of the plan's 5 images deleted, 5 not stale any more\n";
            assert!(stdout.starts_with(told), "{stdout}");
        }
    }
    assert_eq!(app.tags(), set(["v1", "v2", "v7", "v8", "v9", "v10", "v11", "v12"]));
}

#[tokio::test]
async fn explain_mentions_the_same_tag_in_other_regions() {
    let aws = world().await;
    let elsewhere = aws.region("eu-west-1").repository("web/app").daily_builds(3);
    let _ = aws.region("us-east-1").repository("web/app").daily_builds(12);
    let explained = async |image: &str, arguments: &[&str]| {
        ecr_cleanup(&aws, &[&["explain", image, "--quiet", "--images-to-keep", "2"], arguments].concat()).await
    };
    let ran = explained("web/app:v2", &[]).await;
    let also = "Also web/app:v2 in eu-west-1: kept: it is among the 2 newest tagged images (--images-to-keep).\n\
                Also web/app:v2 in us-east-1: will be deleted: not among the 2 newest tagged images.\n";
    assert!(ran.stdout.contains("\nWill be deleted: ") && ran.stdout.ends_with(also), "{}", ran.stdout);
    // A tag in use is in use in every Region.
    let in_use = explained("web/app:v1", &[]).await.stdout;
    assert!(in_use.contains("\nAlso web/app:v1 in eu-west-1: kept, in use.\n"), "{in_use}");
    let json = explained("web/app:v1", &["--json"]).await.json();
    assert_eq!(json["region"], REGION);
    assert_eq!(
        json["elsewhere"][0],
        json!({ "region": "eu-west-1", "imageDigest": elsewhere.digest_of("v1"), "decision": "stays", "keptBecause": ["inUse"] })
    );
    let only = explained("web/app:v2", &["--region", REGION]).await.stdout;
    assert!(!only.contains("Also "), "{only}");
    let not_here = explained("web/app:v12", &[]).await;
    let told = "error: web/app in us-west-2 has no image v12. It is in us-east-1: pass --region us-east-1\n";
    assert_eq!((not_here.code, not_here.stderr.as_str()), (1, told));
    // One that can't be read is not overlooked, and is no failure.
    aws.inject(Fault::denied("ecr:DescribeImages").in_region("eu-west-1"));
    let ran = explained("web/app:v2", &[]).await;
    let told = "\neu-west-1 couldn't be read. The image may exist there as well.\n";
    assert!(ran.code == 0 && ran.stdout.contains(told), "{} {}", ran.stdout, ran.stderr);
}

#[tokio::test]
async fn no_line_is_wider_than_the_terminal_and_no_word_is_broken() {
    let aws = world().await;
    let app = aws.repository("platform/data/forecasting/nightly-model-training-and-evaluation");
    app.push(Image::tagged("release-2026-01-31-with-a-long-name").days_old(400.0));
    app.push(Image::tagged("newest"));
    aws.inject(Fault::denied("lambda:ListFunctions"));
    let shown = async |arguments: &[&str], columns: Option<&str>| {
        let mut command = command(&aws, &[arguments, &["--quiet", "--images-to-keep", "1"]].concat());
        command.envs(columns.map(|columns| ("COLUMNS", columns)));
        finish(command).await.stdout
    };
    for arguments in [&["plan"][..], &["plan", "--details"], &["usage"], &["explain", "web/app:v1"]] {
        let whole = shown(arguments, None).await;
        let words: BTreeSet<&str> = whole.split_whitespace().collect();
        for columns in ["40", "60", "80", "120"] {
            let text = shown(arguments, Some(columns)).await;
            let columns: usize = columns.parse().unwrap();
            for line in text.lines() {
                let is_one_word = line.split_whitespace().count() == 1;
                assert!(is_one_word || line.chars().count() <= columns, "{columns} {arguments:?}: {line:?}\n{text}");
            }
            // What is shortened says so, or is a short digest. Another test checks the words of sentences.
            let is_shortened = |word: &&str| word.contains('…') || (word.starts_with("sha256:") && word.len() == 19);
            let long = text.split_whitespace().filter(|word| word.len() > 14 && !is_shortened(word));
            for word in long.filter(|word| !word.contains(['─', '═'])) {
                assert!(words.contains(word), "{columns} {arguments:?}: {word:?} is no word of\n{whole}");
            }
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_one_error_and_a_closed_pipe_is_none() {
    let aws = world().await;
    for arguments in [
        &["plan", "--quiet"][..],
        &["usage", "--quiet"],
        &["explain", "web/app:v1", "--quiet"],
        &["--help"],
        &["plan", "-h"],
        &["--version"],
        &["completions", "bash"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command(&aws, arguments).stdout(full).spawn().unwrap().wait_with_output().await.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let told = "error: can't write to stdout: No space left on device\n";
        assert_eq!((output.status.code(), stderr.as_str()), (Some(1), told), "{arguments:?}");
        let mut child = command(&aws, arguments).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().await.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

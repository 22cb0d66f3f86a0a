//! Every command line of the program in the pages is run, on the company of the demo, in a shell as people have one.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use regex::Regex;
use simulated_aws::{ACCOUNT, Fault, REGION, SimulatedAws};
use tempfile::TempDir;

use super::page::{Page, without_comment};
use crate::support::packed;
use crate::terminal::{Ran, command, ecr_cleanup, finish};

#[path = "../../demo/company.rs"]
mod company;

/// Commands of others: how the program is installed, and what `tests/infra/check.py` holds against AWS's models.
const OF_OTHERS: [&str; 7] = [
    "make ",
    "cargo install --locked --path .",
    "cargo uninstall ecr-cleanup",
    "cargo doc --open",
    "aws ecr ",
    "aws scheduler ",
    "eval \"$(aws configure export-credentials --format env)\"",
];

/// The saved plan of the pages.
const PLAN: &str = "ecr-cleanup/plans/2026-01-01T00-00-00Z-1a2b.json.gz";

/// The company of the demo, with all of its images, and a bucket for a memory.
pub async fn company() -> SimulatedAws {
    let aws = SimulatedAws::start().await;
    company::found(&aws);
    let place = aws.place(ACCOUNT, REGION);
    place.bucket("my-bucket");
    let plan = format!(
        r#"{{"schemaVersion":1,"createdAt":"2026-01-01T00:00:00Z","createdBy":"","account":"{ACCOUNT}","settings":{{"keepBeforeInUse":0}},"regions":[]}}"#
    );
    place.set_object("my-bucket", PLAN, Some(&packed(&plan)));
    aws
}

/// A folder to run commands in, in which `kubectl` is somebody who runs an image of the company.
fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("pages-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let kubectl = folder.path().join("kubectl");
    let image = "123456789012.dkr.ecr.us-west-2.amazonaws.com/workers/mailer:build-7";
    std::fs::write(&kubectl, format!("#!/bin/sh\necho {image}\n")).unwrap();
    std::fs::set_permissions(&kubectl, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Runs a line of a shell in that folder. It can't prompt, so a delete needs --yes.
async fn run_line(aws: &SimulatedAws, folder: &Path, line: &str) -> Ran {
    let is_asked = line.starts_with("ecr-cleanup delete") && !line.contains("--yes");
    let line = if is_asked { format!("{line} --yes") } else { line.to_owned() };
    let binary = Path::new(env!("CARGO_BIN_EXE_ecr-cleanup")).parent().unwrap();
    let path = format!("{}:{}:/usr/bin:/bin", folder.display(), binary.display());
    let mut shell = tokio::process::Command::new("bash");
    shell.args(["--norc", "-o", "pipefail", "-c", &line]).current_dir(folder).env_clear().env("PATH", path);
    for (name, value) in command(aws, &[]).as_std().get_envs() {
        shell.env(name, value.unwrap());
    }
    shell.stdin(std::process::Stdio::null());
    finish(shell).await
}

/// Whether a line is a command of the program, perhaps behind a pipe.
fn is_ours(line: &str) -> bool {
    line.split('|').next_back().unwrap().trim_start().starts_with("ecr-cleanup")
}

#[tokio::test]
async fn every_command_line_works() {
    let mut tried = BTreeSet::new();
    let (mut aws, mut deleted) = (company().await, false);
    for page in Page::all() {
        for block in page.blocks.iter().filter(|block| block.language == "sh") {
            if std::mem::take(&mut deleted) {
                aws = company().await;
            }
            let folder = folder();
            for line in block.text.lines().map(without_comment).filter(|line| !line.is_empty()) {
                if !is_ours(line) {
                    let is_known = OF_OTHERS.iter().any(|known| line.starts_with(known));
                    assert!(is_known, "{}: {line} is not tried", page.name);
                } else if tried.insert(line.to_owned()) || line.contains("plan.json") {
                    let Ran { code, stdout, stderr } = run_line(&aws, folder.path(), line).await;
                    assert_eq!(code, 0, "{}: {line}\n{stdout}{stderr}", page.name);
                    deleted |= line.contains("delete");
                }
            }
        }
    }
    assert!(tried.len() >= 10, "{tried:?}");
}

#[tokio::test]
async fn every_command_within_a_sentence_works() {
    let aws = company().await;
    let folder = folder();
    let spans: BTreeSet<String> = Page::all().iter().flat_map(Page::spans).collect();
    for span in spans {
        if span.starts_with("cargo ") {
            assert!(OF_OTHERS.contains(&span.as_str()), "{span}");
        } else if span.starts_with("ecr-cleanup ") && !span.ends_with(" delete") {
            let Ran { code, stdout, stderr } = run_line(&aws, folder.path(), &span).await;
            assert_eq!(code, 0, "{span}\n{stdout}{stderr}");
        }
    }
}

#[tokio::test]
async fn every_flag_is_one_of_the_command() {
    let aws = SimulatedAws::start().await;
    let mut help = String::new();
    for command in ["plan", "delete", "usage", "explain"] {
        help.push_str(&ecr_cleanup(&aws, &[command, "--help"]).await.stdout);
    }
    let known: BTreeSet<&str> =
        Regex::new(r"--[a-z][a-z-]+").unwrap().find_iter(&help).map(|found| found.as_str()).collect();
    let mut named = 0;
    for page in Page::all() {
        for span in page.spans().iter().filter(|span| span.starts_with("--")) {
            let flag = span.split([' ', '=']).next().unwrap();
            assert!(known.contains(flag), "{}: {span}", page.name);
            named += 1;
        }
    }
    assert!(named > 15, "{named}");
}

#[tokio::test]
async fn a_page_shows_what_a_command_prints() {
    let aws = company().await;
    let mut commands = 0;
    for page in Page::all() {
        for block in page.blocks.iter().filter(|block| block.language == "console") {
            let mut printed = String::new();
            for line in block.text.lines() {
                if let Some(command) = line.strip_prefix("$ ecr-cleanup ") {
                    let ran = ecr_cleanup(&aws, &command.split(' ').collect::<Vec<_>>()).await;
                    printed = ran.stdout + &ran.stderr;
                    commands += 1;
                } else {
                    // What differs from run to run is left out.
                    let is_shown = |printed: &str| match line.strip_suffix('…') {
                        Some(begin) => printed.starts_with(begin),
                        None => printed == line,
                    };
                    assert!(printed.lines().any(is_shown), "{line:?} in {printed}");
                }
            }
        }
    }
    assert!(commands >= 1);
}

#[tokio::test]
async fn the_exit_codes_are_those_of_the_page() {
    let aws = SimulatedAws::start().await;
    _ = aws.repository("app").daily_builds(1);
    aws.cluster("prod").runs("nginx");
    let codes: Vec<String> =
        Page::read("src/terminal/README.md").rows("exit code").into_iter().map(|row| row[0].clone()).collect();
    let success = ecr_cleanup(&aws, &["plan"]).await.code;
    let usage = ecr_cleanup(&aws, &["delete", "--yes", "--repositories", "none"]).await.code;
    aws.inject(Fault::denied("ecs:ListTasks"));
    let incomplete = ecr_cleanup(&aws, &["plan"]).await.code;
    assert_eq!(codes, [success, incomplete, usage].map(|code| code.to_string()));
}

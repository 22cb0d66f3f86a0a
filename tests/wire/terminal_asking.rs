//! `delete` in a terminal: it shows the plan, prompts for confirmation, and does what the user confirmed.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use simulated_aws::{ACCOUNT, Fault, Image, REGION, Repository, SimulatedAws};

use crate::support::set;
use crate::terminal::{Ran, command, ecr_cleanup, file};

async fn world() -> (SimulatedAws, Repository) {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("web/app").daily_builds(5);
    aws.cluster("prod").runs(&app.uri("v5"));
    (aws, app)
}

/// Runs the command with a terminal for stdin and stderr, on which a user has typed this.
async fn on_a_terminal(aws: &SimulatedAws, arguments: &[&str], typed: &str) -> Ran {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let terminal = || Stdio::from(File::options().read(true).write(true).open(&name).unwrap());
    rustix::io::write(&master, typed.as_bytes()).unwrap();
    let mut command = command(aws, arguments);
    let child = command.stdin(terminal()).stderr(terminal()).spawn().unwrap();
    // The test's own ends of the terminal.
    drop(command);
    let screen = tokio::task::spawn_blocking(move || {
        let (mut screen, mut text) = (File::from(master), Vec::new());
        // Reading fails after the last program has closed the terminal.
        _ = screen.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let output = child.wait_with_output().await.unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    Ran { code: output.status.code().unwrap(), stdout, stderr: screen.await.unwrap() }
}

const DELETE: [&str; 3] = ["delete", "--images-to-keep", "1"];

#[tokio::test]
async fn yes_deletes_what_was_shown() {
    let (aws, app) = world().await;
    let ran = on_a_terminal(&aws, &DELETE, "yes\n").await;
    assert!(
        ran.stderr
            .contains("Delete 4 images, which frees up to 190.7 MiB, in us-west-2 of account 123456789012? Type yes: "),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!ran.stdout.is_empty(), "the report of what was done");
    assert_eq!(app.tags(), set(["v5"]));
}

#[tokio::test]
async fn the_question_says_exactly_what_is_freed_where_that_is_known() {
    let aws = SimulatedAws::start().await;
    aws.place(ACCOUNT, REGION).exclude_pull_times_of("arn:aws:iam::123456789012:role/ecr-cleanup");
    let app = aws.repository("web/app");
    let layers = |own| [("base", 10 << 20), (own, 3 << 20)];
    app.push(Image::of_layers(&layers("one")).and_tag("v1").days_old(9.0));
    app.push(Image::of_layers(&layers("two")).and_tag("v2").days_old(8.0));
    aws.cluster("prod").runs(&app.uri("v2"));
    let ran = on_a_terminal(&aws, &[&DELETE[..], &["--exact-sizes"]].concat(), "no\n").await;
    let question = "Delete 1 image, which frees exactly 3.0 MiB, in us-west-2 of account 123456789012?";
    assert!(ran.stderr.contains(question), "{}", ran.stderr);
}

#[tokio::test]
async fn a_reviewed_plan_is_asked_for_on_a_terminal_before_any_call() {
    let (aws, app) = world().await;
    let plan = file("asked-for.json");
    let ran = ecr_cleanup(&aws, &["plan", "--images-to-keep", "1", "--quiet", "--out", &plan]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    aws.forget_calls();
    let ran = on_a_terminal(&aws, &["delete", &plan], "no\n").await;
    let question = "Delete 4 images of this plan, unless they are not stale any more, in us-west-2 of account 123456789012? Type yes: ";
    assert!(ran.code == 1 && ran.stderr.contains(question), "{}", ran.stderr);
    assert!(ran.stderr.contains("not confirmed. Nothing was deleted.") && aws.calls().is_empty());
    let ran = on_a_terminal(&aws, &["delete", &plan, "--yes", "--in-use-images", &app.uri("v1")], "").await;
    assert!(ran.code == 0 && !ran.stderr.contains("Type yes"), "{}", ran.stderr);
    assert_eq!(app.tags(), set(["v1", "v5"]));
    let ran = on_a_terminal(&aws, &["delete", &plan], "yes\n").await;
    assert_eq!((ran.code, app.tags()), (0, set(["v5"])), "{}", ran.stderr);
}

#[tokio::test]
async fn any_other_answer_deletes_nothing() {
    for answer in ["no\n", "\n", "y\n", "YES\n", "\u{4}"] {
        let (aws, app) = world().await;
        let ran = on_a_terminal(&aws, &DELETE, answer).await;
        assert!(
            ran.code == 1 && ran.stderr.contains("not confirmed. Nothing was deleted."),
            "{answer:?}: {}",
            ran.stderr
        );
        assert_eq!(ran.stdout, "");
        assert_eq!(app.tags().len(), 5);
        assert!(aws.calls_of("ecr:BatchDeleteImage").is_empty());
    }
}

#[tokio::test]
async fn what_comes_into_use_while_somebody_thinks_stays() {
    let (aws, app) = world().await;
    let (aws, moved) = (Arc::new(aws), app.clone());
    let cluster = aws.cluster("prod");
    // The second run begins after the prompt is answered.
    let happens = move || {
        cluster.runs(&moved.uri("v2"));
        moved.push(Image::tagged("v6"));
    };
    aws.inject(Fault::before("sts:GetCallerIdentity", Duration::ZERO, happens).after(1).times(1));
    let ran = on_a_terminal(&aws, &DELETE, "yes\n").await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(app.tags(), set(["v2", "v5", "v6"]), "v5 runs; and it was not shown");
    for told in ["Changes since you confirmed:", "us-west-2 web/app:v2@sha256:", " is in use: ECS task arn:aws:ecs:"] {
        assert!(ran.stderr.contains(told), "{told} in {}", ran.stderr);
    }
}

#[tokio::test]
async fn nobody_is_asked_for_what_would_be_refused_or_is_nothing() {
    let (aws, app) = world().await;
    let ran = on_a_terminal(&aws, &[&DELETE[..], &["--max-deletions", "3"]].concat(), "yes\n").await;
    assert!(
        ran.code == 1 && ran.stderr.contains("4 images are stale and --max-deletions is 3. Nothing was deleted."),
        "{}",
        ran.stderr
    );
    let ran = on_a_terminal(&aws, &["delete"], "yes\n").await;
    assert!(ran.code == 0 && ran.stderr.contains("No stale images to delete."), "{}", ran.stderr);
    let ran = on_a_terminal(&aws, &[&DELETE[..], &["--exclude-repositories", "web/ap"]].concat(), "yes\n").await;
    assert!(
        ran.code == 2
            && ran.stderr.contains("no repository matches \"web/ap\". Did you mean web/app? Nothing was deleted."),
        "{}",
        ran.stderr
    );
    aws.inject(Fault::denied("ecs:ListTasks"));
    let ran = on_a_terminal(&aws, &DELETE, "yes\n").await;
    assert!(
        ran.code == 1
            && ran
                .stderr
                .contains("can't determine which images are in use (see the warnings above). Nothing was deleted."),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("Type yes"));
    assert_eq!(app.tags().len(), 5);
}

#[tokio::test]
async fn without_a_terminal_somebody_has_to_say_yes_before() {
    let (aws, _) = world().await;
    let ran = ecr_cleanup(&aws, &DELETE).await;
    assert!(
        ran.code == 2 && ran.stderr.contains("can't prompt for confirmation (stdin is not a terminal). Pass --yes, or"),
        "{}",
        ran.stderr
    );
    assert!(aws.calls().is_empty());
}

//! A signal during a `delete`: the command finishes the work under way, and reports its results.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use simulated_aws::{Fault, Repository, SimulatedAws};
use tokio::process::Command;

use crate::terminal::command;

/// Three batches of images, and a delete of them with --yes.
async fn world() -> (SimulatedAws, Repository) {
    let aws = SimulatedAws::start().await;
    let app = aws.repository("web/app").daily_builds(251);
    aws.cluster("prod").runs(&app.uri("v251"));
    (aws, app)
}

const DELETE: [&str; 7] = ["delete", "--yes", "--images-to-keep", "1", "--quiet", "--format", "json"];

/// A process to which the simulated account can send signals.
#[derive(Clone, Default)]
struct Running(Arc<OnceLock<Pid>>);

impl Running {
    fn send(&self, signal: Signal) {
        kill_process(*self.0.get().expect("it calls, so it runs"), signal).unwrap();
    }

    /// Starts the command, and passes on its stderr line by line.
    fn start(&self, command: Command, said: std::sync::mpsc::Sender<String>) -> Child {
        let mut child = command.into_std().spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).all(|line| said.send(line).is_ok()));
        self.0.set(Pid::from_raw(child.id().try_into().unwrap()).unwrap()).unwrap();
        child
    }
}

/// The delete, started by a program that sets signal handlers before it becomes the command.
fn delete_by(aws: &SimulatedAws, program: &str, arguments: &[&str]) -> Command {
    let own = command(aws, &[]).into_std();
    let environment = own.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    let mut started = std::process::Command::new(program);
    started.args(arguments).arg(env!("CARGO_BIN_EXE_ecr-cleanup")).args(DELETE);
    started.env_clear().envs(environment).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Command::from(started)
}

/// The delete with default signal handlers. Tests that run in the background ignore some signals, and child processes
/// inherit that.
fn delete(aws: &SimulatedAws) -> Command {
    delete_by(aws, "/usr/bin/env", &["--default-signal=INT,TERM,HUP"])
}

/// Waits for the message about the interruption, which shows that the command has noticed it.
fn hear(lines: &Mutex<Receiver<String>>) {
    let line = lines.lock().unwrap().recv().unwrap();
    assert!(line.starts_with("interrupted: finishing the current batch"), "{line}");
}

async fn end(child: Child) -> (Option<i32>, String) {
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn the_first_signal_ends_what_is_under_way_and_tells_what_was_done() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (aws, app) = world().await;
        let ((said, lines), running) = (channel(), Running::default());
        let (lines, sender) = (Mutex::new(lines), running.clone());
        let happens = move || {
            sender.send(signal);
            hear(&lines);
        };
        aws.inject(Fault::before("ecr:BatchDeleteImage", Duration::ZERO, happens).times(1));
        let (code, stdout) = end(running.start(delete(&aws), said)).await;
        assert_eq!(code, Some(1), "{signal:?}");
        let report: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(report["outcome"], "partial");
        let totals = &report["totals"];
        assert_eq!((&totals["imagesDeleted"], &totals["imagesNotAttempted"]), (&json!(100), &json!(150)));
        let stale = report["regions"][0]["repositories"][0]["stale"].as_array().unwrap();
        let because = stale.iter().filter(|image| image["result"] == "notAttempted");
        assert!(because.clone().all(|image| image["notAttemptedBecause"] == "the run was interrupted"));
        assert_eq!((because.count(), app.tags().len()), (150, 151));
        assert_eq!(aws.calls_of("ecr:BatchDeleteImage").len(), 1);
    }
}

#[tokio::test]
async fn the_second_signal_ends_it_at_once() {
    let (aws, _) = world().await;
    let ((said, lines), running) = (channel(), Running::default());
    let (lines, sender) = (Mutex::new(lines), running.clone());
    aws.before_every_call(move |call| {
        if call.operation == "ecr:BatchDeleteImage" {
            sender.send(Signal::INT);
            hear(&lines);
            sender.send(Signal::INT);
        }
    });
    aws.inject(Fault::no_answer("ecr:BatchDeleteImage"));
    assert_eq!(end(running.start(delete(&aws), said)).await, (Some(130), String::new()));
}

#[tokio::test]
async fn before_anything_is_deleted_the_first_signal_ends_it() {
    let (aws, app) = world().await;
    let ((said, _lines), running) = (channel(), Running::default());
    let sender = running.clone();
    aws.inject(Fault::no_answer("ecr:DescribeImages"));
    aws.before_every_call(move |call| {
        if call.operation == "ecr:DescribeImages" {
            sender.send(Signal::INT);
        }
    });
    assert_eq!(end(running.start(delete(&aws), said)).await, (None, String::new()));
    assert_eq!(app.tags().len(), 251);
}

#[tokio::test]
async fn a_signal_that_is_to_be_ignored_stays_ignored() {
    let (aws, app) = world().await;
    let ((said, _lines), running) = (channel(), Running::default());
    let sender = running.clone();
    aws.inject(Fault::before("ecr:BatchDeleteImage", Duration::ZERO, move || sender.send(Signal::HUP)));
    // Like `nohup`.
    let ignoring = delete_by(&aws, "/bin/sh", &["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    let (code, _) = end(running.start(ignoring, said)).await;
    assert_eq!((code, app.tags().len()), (Some(0), 1));
}

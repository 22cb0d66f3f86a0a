//! The demo: each scene shows what it promises, and each error is one line with the next step.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use regex::Regex;

use crate::terminal::file;

/// The demo with these arguments.
fn demo(arguments: &[&str]) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_ecr-cleanup")).parent().unwrap().join("examples/demo");
    let mut command = Command::new(binary);
    // A panic would show its frames.
    command.args(arguments).env("RUST_BACKTRACE", "1").stdin(Stdio::null());
    command
}

/// Runs a demo that is expected to fail, and returns its exit code and the only line of its stderr.
fn failed(mut command: Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(stderr.lines().count(), 1, "{stdout}{stderr}");
    (status.code().expect("it ends by itself"), stderr.trim_end().to_owned())
}

/// A demo that serves an account, and ends with the test.
struct Serving(Child, BufReader<ChildStdout>);

impl Serving {
    fn start(arguments: &[&str]) -> Self {
        let mut child = demo(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self(child, stdout)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The titles of the scenes.
const DRY: &str = "A dry run, the default: nothing is deleted";
const LIVE: &str = "Live: what the dry run listed, and nothing else";
const AGAIN: &str = "Live once more: nothing is left to delete";
const REPLICA: &str = "A copy in use in another Region: its source is kept";
const ROLLBACK_TARGET: &str = "The image pushed before the one in use is kept, for a rollback";
const MISSING: &str = "An image in use is missing from ECR";
const RULE: &str = "A policy rule selects no image";
const SAVED_PLAN: &str = "A saved plan is carried out, except for an image that came into use";

#[test]
fn every_scene_shows_what_it_promises() {
    let Output { status, stdout, stderr } = demo(&[]).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let printed = String::from_utf8(stdout).unwrap();
    assert!((60..=100).contains(&printed.lines().count()), "about two screens, and not {}", printed.lines().count());

    let scenes: Vec<&str> = printed.split("\n\n").collect();
    for (number, scene) in (1..).zip(&scenes) {
        let [title, see, command] = scene.lines().take(3).collect::<Vec<_>>()[..] else { panic!("{scene}") };
        assert!(title.starts_with(&format!("{number}. ")), "{title}");
        let words = see.split_whitespace().count();
        assert!(see.starts_with("   ") && see.ends_with('.') && words <= 25, "{see}");
        assert!(!see.trim_end_matches('.').contains(". "), "one sentence: {see}");
        assert!(command.starts_with("$ "), "{command}");
    }

    let output_of = |title: &str| {
        let scene = scenes.iter().find(|scene| scene.lines().next().is_some_and(|line| line.ends_with(title)));
        scene.and_then(|scene| scene.split_once("\n$ ")).unwrap_or_else(|| panic!("no scene {title:?}: {printed}")).1
    };
    // The numbers of the scenes agree with each other.
    let numbers = |title: &str, pattern: &str| -> Vec<u64> {
        let output = output_of(title);
        let found = Regex::new(pattern).unwrap().captures(output);
        let found = found.unwrap_or_else(|| panic!("{pattern} in {output}"));
        found.iter().skip(1).map(|number| number.unwrap().as_str().replace(',', "").parse().unwrap()).collect()
    };
    let planned = |title| numbers(title, r"(?m)^Dry run\D+([\d,]+) of ([\d,]+) images");
    let live = |title| numbers(title, r"(?m)^Live run\D+([\d,]+) of ([\d,]+) stale images deleted\D+([\d,]+) images");
    let (stale, all) = (planned(DRY)[0], planned(DRY)[1]);
    assert!(0 < stale && stale < all, "{stale} of {all}");
    assert_eq!(live(LIVE), [stale, stale, all]);
    assert_eq!(live(AGAIN), [0, 0, all - stale]);
    for title in [REPLICA, ROLLBACK_TARGET] {
        let (deleted, stale, all) = (live(title)[0], live(title)[1], live(title)[2]);
        assert!(0 < deleted && deleted == stale && stale < all, "{}", output_of(title));
    }
    let carried_out =
        numbers(SAVED_PLAN, r"(?m)^Live run\D+([\d,]+) of the plan's ([\d,]+) images deleted, 1 not stale any more");
    let of_plan = planned(SAVED_PLAN)[0];
    assert_eq!(carried_out, [of_plan - 1, of_plan], "all images of the plan but the one that came into use");

    // Each output says what the scene promises.
    let promises = [
        (DRY, r"(?m)^Deleting them frees .+ a month"),
        (LIVE, r"(?m)^That freed .+ a month"),
        (
            AGAIN,
            r"(?m)^Far from the newest, and kept because .+:\n(.+\n)*  us-west-2 workers/billing:build-12 by ECS task arn:",
        ),
        (
            REPLICA,
            r"(?s)ecr-cleanup explain api/orders:v1 .+\nKept: deleting it would delete its replicas.+\nAlso api/orders:v1 in eu-central-1: kept, in use",
        ),
        (ROLLBACK_TARGET, r"(?si)ecr-cleanup explain web/shop:v7 .+\n.*keep-?before-?in-?use"),
        (MISSING, r"(?i)warning: .*mail/sender:v2.*arn:aws:ecs:us-west-2:123456789012:task-definition/newsletter:1"),
        (RULE, r"(?i)warning: .*keep 2 builds of each branch.*dev-\*.*test-\*"),
        (SAVED_PLAN, r"web/shop:v1\b.* in use.*arn:aws:ecs:us-west-2:123456789012:task/web/"),
    ];
    for (title, promise) in promises {
        let output = output_of(title);
        assert!(Regex::new(promise).unwrap().is_match(output), "{promise} in {output}");
    }
    assert_eq!(scenes.len(), promises.len(), "a scene without a case here");
}

#[test]
fn wrong_arguments_are_wrong_usage() {
    let usage = "demo [--serve PORT [company|large] | --pages FOLDER]";
    let unknown = format!("error: can't run the demo: unknown arguments. Run: {usage}");
    for arguments in [&["--serve", "0", "small"][..], &["plan"], &[""], &["--pages", "a", "b"]] {
        assert_eq!(failed(demo(arguments)), (2, unknown.clone()), "{arguments:?}");
    }
    for arguments in [&["--pages"][..], &["--pages", ""]] {
        let expected = "error: can't write the pages: no folder is given. Run: demo --pages FOLDER";
        assert_eq!(failed(demo(arguments)), (2, expected.to_owned()), "{arguments:?}");
    }
    let help = demo(&["--help"]).output().unwrap();
    assert!(help.status.success());
    assert_eq!(String::from_utf8(help.stdout).unwrap(), format!("Usage: {usage}\n"));
}

#[test]
fn a_port_that_is_no_port_is_wrong_usage() {
    for port in ["abc", "99999", "-1", "", "80.5"] {
        let expected = format!(
            "error: can't listen on port {port:?}: a port is a number from 0 to 65535. Try 4566, or 0 for any free port."
        );
        assert_eq!(failed(demo(&["--serve", port])), (2, expected));
    }
    // `make simulated-aws PORT=` gives none.
    assert_eq!(failed(demo(&["--serve"])), failed(demo(&["--serve", ""])));
}

#[test]
fn a_port_in_use_is_an_error_with_the_next_step() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let expected = format!(
        "error: can't listen on port {port}: another program uses it. Choose another port, or 0 for any free port."
    );
    for world in ["company", "large"] {
        assert_eq!(failed(demo(&["--serve", &port, world])), (1, expected.clone()));
    }
}

/// Runs a demo that is expected to fail, as a user without rights. `None` if that user can't run it here.
#[cfg(target_os = "linux")]
fn failed_without_rights(mut command: Command) -> Option<(i32, String)> {
    use std::os::unix::process::CommandExt;
    /// The user `nobody`, for tests that run as root.
    const NOBODY: u32 = 65_534;
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.output().ok()?;
    Some(failed(command))
}

#[cfg(target_os = "linux")]
#[test]
fn a_port_without_permission_is_an_error_with_the_next_step() {
    // In some containers every user may listen on every port. Then the unit test of the text must do.
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first.trim().parse::<u16>().unwrap() <= 80 {
        return;
    }
    let expected = "error: can't listen on port 80: this user may not listen on it. Choose a port from 1024 to 65535, or 0 for any free port.";
    let ran = failed_without_rights(demo(&["--serve", "80"]));
    assert!(ran.is_none() || ran == Some((1, expected.to_owned())), "{ran:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_without_permission_is_an_error_with_the_next_step() {
    for (folder, written) in [("/", "/company.json"), ("/pages", "/pages")] {
        let expected = format!(
            "error: can't write {written}: Permission denied. Choose a folder that you can write to, on a disk with free space."
        );
        let ran = failed_without_rights(demo(&["--pages", folder]));
        assert!(ran.is_none() || ran == Some((1, expected)), "{ran:?}");
    }
}

#[test]
fn with_port_0_the_account_says_which_port_it_has() {
    let mut serving = Serving::start(&["--serve", "0"]);
    let (comment, export) = (serving.line(), serving.line());
    let port = Regex::new(r"^# A simulated account on port (\d+), ").unwrap().captures(&comment);
    let port: u16 = port.unwrap_or_else(|| panic!("{comment}"))[1].parse().unwrap();
    assert!(port > 0 && export.contains(&format!("AWS_ENDPOINT_URL=http://127.0.0.1:{port} ")), "{export}");
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
}

#[test]
fn a_reader_that_stops_reading_ends_the_demo_quietly() {
    for arguments in [&[][..], &["--serve", "0"]] {
        let mut command = demo(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 1];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        if !arguments.is_empty() {
            // The account was served before its first line. It may have printed all lines before the reader stopped.
            child.kill().unwrap();
        }
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(stderr).unwrap(), "", "{arguments:?}");
        assert!(status.success() || !arguments.is_empty(), "{arguments:?}: {status}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_with_the_next_step() {
    let full = || std::fs::File::create("/dev/full").unwrap();
    let expected =
        "error: can't write to stdout: No space left on device. Print to a terminal, or to a file on another disk.";
    for arguments in [&[][..], &["--serve", "0"], &["--help"]] {
        let mut command = demo(arguments);
        let Output { status, stderr, .. } =
            command.stdout(full()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stderr.trim_end()), (Some(1), expected), "{arguments:?}");
    }
    // No one can read the error either.
    let status = demo(&[]).stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[cfg(target_os = "linux")]
#[test]
fn pages_that_cannot_be_written_are_an_error_with_the_next_step() {
    let below_a_file = file("no-folder");
    std::fs::write(&below_a_file, "").unwrap();
    let full = PathBuf::from(file("full"));
    std::fs::create_dir(&full).unwrap();
    std::os::unix::fs::symlink("/dev/full", full.join("company.json")).unwrap();
    let (below_a_file, full) = (format!("{below_a_file}/pages"), full.to_str().unwrap().to_owned());
    for (folder, written, cause) in [
        (below_a_file.as_str(), below_a_file.clone(), "Not a directory"),
        (&full, format!("{full}/company.json"), "No space left on device"),
    ] {
        let expected = format!(
            "error: can't write {written}: {cause}. Choose a folder that you can write to, on a disk with free space."
        );
        assert_eq!(failed(demo(&["--pages", folder])), (1, expected));
    }
}

#[test]
fn a_demo_without_the_binary_says_how_to_build_it() {
    let alone = PathBuf::from(file("alone/examples"));
    std::fs::create_dir_all(&alone).unwrap();
    let copy = alone.join("demo");
    std::fs::hard_link(demo(&[]).get_program(), &copy).unwrap();
    let (code, error) = failed(Command::new(copy));
    assert_eq!(code, 1, "{error}");
    assert!(error.starts_with("error: can't find the binary of ecr-cleanup: "), "{error}");
    assert!(error.ends_with("/alone/ecr-cleanup doesn't exist. Run: make demo"), "{error}");
}

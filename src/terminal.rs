//! The command in a terminal: the engine that Lambda runs, with a person in front of it.
//!
//! The answer goes to stdout, and everything else (progress, questions, errors) to stderr. Exit codes: 0 success; 1 failure,
//! partial result or incomplete data; 2 invalid usage.
//!
//! A plan that a person reviews before `delete` is described in [`ecr_cleanup_core::saved_plan`].

mod arguments;
mod delete;
mod explain;
mod flags;
mod given;
mod help;
mod interruption;
mod invalid;
mod memory;
mod progress;
mod reviewed;
mod saving;
mod session;
mod trouble;
mod usage;
mod variables;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::ArgMatches;
use clap::error::ErrorKind;
use clap_complete::Shell;
use ecr_cleanup_core::account::AccountId;
use ecr_cleanup_core::report::{Outcome, Report};
use ecr_cleanup_core::saved_plan;
use ecr_cleanup_core::settings::{Environment, Mode};
use tracing_subscriber::EnvFilter;

use crate::show::figures;
use crate::show::quoted::quoted;
use given::Given;
use session::Session;

/// The report and the errors are not logged as well; set `RUST_LOG` for more.
const LOG_FILTER: &str = "off";
/// A command line that can't be carried out.
#[derive(Debug, PartialEq, Eq)]
struct WrongUsage(String);

impl WrongUsage {
    /// The same, of a flag.
    fn of(self, flag: &str) -> Self {
        Self(format!("--{flag}: {}", self.0))
    }
}

/// Why a command was not done.
#[derive(Debug)]
enum Undone {
    /// The command line, a file or a variable has to be changed.
    WrongUsage(String),
    /// It failed.
    Failed(String),
}

impl From<WrongUsage> for Undone {
    fn from(WrongUsage(text): WrongUsage) -> Self {
        Self::WrongUsage(text)
    }
}

/// How much of a command was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Wholly,
    InPart,
}

/// Carries out the arguments. The first of them is the program's name.
pub async fn run(arguments: impl Iterator<Item = OsString>, environment: &Environment) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let parsed = arguments::command().try_get_matches_from(arguments::with_command(&arguments));
    let matches = match parsed {
        Ok(matches) => matches,
        Err(error) => return not_parsed(&error, &arguments),
    };
    if let Some(hint) = arguments::late_command(&arguments, &matches) {
        tell(&format!("error: {hint}"));
        return ExitCode::from(2);
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    _ = tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().with_env_filter(filter).try_init();
    for variable in variables::unknown(environment) {
        tell(&format!("warning: {variable} sets nothing. All variables: ecr-cleanup plan --help"));
    }
    let done = match matches.subcommand() {
        Some(("plan", matches)) => Box::pin(plan(matches, environment)).await,
        Some(("delete", matches)) => Box::pin(delete::delete(matches, environment)).await,
        Some(("usage", matches)) => Box::pin(usage::usage(matches, environment)).await,
        Some(("explain", matches)) => Box::pin(explain::explain(matches, environment)).await,
        Some(("completions", matches)) => completions(matches),
        Some(_) | None => Err(Undone::WrongUsage("there is no such command".to_owned())),
    };
    exit_code(done)
}

/// Prints help or version, which are answers, or the error in the arguments.
fn not_parsed(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let text = error.render();
        let text = if is_coloured(Stream::Stdout) { text.ansi().to_string() } else { text.to_string() };
        return exit_code(print(&text).map(|()| Done::Wholly));
    }
    match arguments::hint(error, arguments) {
        Some(hint) => tell(&format!("error: {hint}")),
        None => _ = error.print(),
    }
    ExitCode::from(2)
}

fn exit_code(done: Result<Done, Undone>) -> ExitCode {
    match done {
        Ok(Done::Wholly) => ExitCode::SUCCESS,
        Ok(Done::InPart) => ExitCode::FAILURE,
        Err(Undone::WrongUsage(error)) => {
            tell(&format!("error: {error}"));
            ExitCode::from(2)
        }
        Err(Undone::Failed(error)) => {
            tell(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn plan(matches: &ArgMatches, environment: &Environment) -> Result<Done, Undone> {
    let given = Given::gather(matches, Mode::DryRun, environment)?;
    let out = matches.get_one::<String>("out");
    if out.is_some_and(|out| out == "-") {
        return Err(Undone::WrongUsage(
            "--out needs a file name: stdout is for the report. To save a plan: --out plan.json".to_owned(),
        ));
    }
    if let Some(folder) = out.and_then(|out| std::path::Path::new(out).parent())
        && !folder.as_os_str().is_empty()
        && !folder.is_dir()
    {
        return Err(Undone::WrongUsage(format!(
            "can't write to --out: there is no folder {folder}. Create it with: mkdir -p {folder}",
            folder = folder.display()
        )));
    }
    let session = Session::begin(matches, &given).await?;
    let report = session.run(&given.settings, None).await?.report;
    let saved = match (out, account_of(&report)) {
        (Some(out), Some(account)) => saved_plan::to_json(
            &report.plan,
            account,
            given.settings.to_event(),
            given.tags.as_deref(),
            report.started_at,
        )
        .map_err(std::io::Error::from)
        .and_then(|text| saving::save(out, &text))
        .map_err(|error| {
            Undone::Failed(format!("can't write to {out}: {}. The plan was not saved.", trouble::plain(&error)))
        }),
        (Some(_) | None, _) => Ok(()),
    };
    // It took minutes to find out, so show it even if the file can't be written.
    session.print(&report, None)?;
    session.hint(&report, &given);
    let (stale, max_deletions) = (report.totals.images_stale, given.settings.max_deletions);
    if let Some(max_deletions) = max_deletions.filter(|max_deletions| *max_deletions < stale) {
        tell(&format!(
            "warning: {} stale and --max-deletions is {}, so `ecr-cleanup delete` would delete nothing",
            figures::counted(stale, "image is", "images are"),
            figures::count(max_deletions)
        ));
    }
    saved?;
    if let Some(out) = out {
        tell(&format!("Plan saved to {out}. To delete its images that are still stale then: ecr-cleanup delete {out}"));
    }
    Ok(done(&report))
}

fn completions(matches: &ArgMatches) -> Result<Done, Undone> {
    /// With a hyphen in the name, the script for bash would complete nothing but commands: its generator writes the name
    /// in two ways.
    const WITHOUT_HYPHEN: &str = "ecr_cleanup";
    let Some(shell) = matches.get_one::<Shell>("shell") else { return Ok(Done::Wholly) };
    let name = if *shell == Shell::Bash { WITHOUT_HYPHEN } else { "ecr-cleanup" };
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut arguments::command(), name, &mut script);
    for line in String::from_utf8_lossy(&script).lines() {
        match line.strip_suffix(WITHOUT_HYPHEN).filter(|line| line.contains("complete -F ")) {
            Some(complete) => print(&format!("{complete}ecr-cleanup\n"))?,
            None => print(&format!("{line}\n"))?,
        }
    }
    Ok(Done::Wholly)
}

fn no_region() -> Undone {
    Undone::WrongUsage("no AWS Region found. Pass --region, set AWS_REGION, or set a Region in the profile.".to_owned())
}

fn unwritten(error: &dyn std::fmt::Display) -> Undone {
    Undone::Failed(format!("can't write to stdout: {}", trouble::plain(error)))
}

fn account_of(report: &Report) -> Option<&AccountId> {
    report.plan.registries.first().map(|registry| &registry.place.account)
}

/// Whether a report has everything.
fn done(report: &Report) -> Done {
    match report.outcome {
        Outcome::Planned | Outcome::Completed if report.usage.complete => Done::Wholly,
        Outcome::Planned | Outcome::Completed | Outcome::Partial | Outcome::DeadlineReached | Outcome::Refused(_) => {
            Done::InPart
        }
    }
}

/// Writes the answer to stdout. A reader who closes a pipe, such as `head`, has read enough.
fn print(text: &str) -> Result<(), Undone> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(unwritten(&error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes to stderr: the lines of the text, and nothing that controls a terminal. Errors are ignored, because there is
/// nowhere else to write them.
fn tell(text: &str) {
    for line in text.lines() {
        _ = writeln!(std::io::stderr(), "{}", quoted(line));
    }
}

/// A stream to write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

/// The columns of the terminal that a stream is, else those of the variable `COLUMNS`; `None` where there are neither.
fn width(stream: Stream) -> Option<u16> {
    let mut measured = comfy_table::Table::new();
    if stream == Stream::Stderr {
        measured.use_stderr();
    }
    let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
    measured.width().filter(|width| *width > 0).or_else(columns).filter(|width| *width > 0)
}

/// Whether a stream shows colours.
fn is_coloured(stream: Stream) -> bool {
    let is_terminal = match stream {
        Stream::Stdout => std::io::stdout().is_terminal(),
        Stream::Stderr => std::io::stderr().is_terminal(),
    };
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

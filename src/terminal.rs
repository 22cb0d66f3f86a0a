//! The command in a terminal: the engine that Lambda runs, with somebody attending.
//!
//! What is asked for goes to stdout, and all else (progress, questions, errors) to stderr. Exit codes: 0 done; 1 failed,
//! done in part, or not all could be read; 2 wrong usage.
//!
//! A plan that is reviewed before it is carried out is described in [`ecr_cleanup_core::saved_plan`].

mod arguments;
mod delete;
mod explain;
mod flags;
mod given;
mod interruption;
mod progress;
mod saving;
mod session;
mod trouble;
mod usage;
mod variables;

use std::ffi::OsString;
use std::io::Write;
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

/// What the report and the errors tell is not logged as well; `RUST_LOG` asks for more.
const LOG_FILTER: &str = "off";
/// A command line that asks for what can't be done.
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
    /// Something other was to be asked for.
    WrongUsage(String),
    /// It failed.
    Failed(String),
}

impl From<WrongUsage> for Undone {
    fn from(WrongUsage(text): WrongUsage) -> Self {
        Self::WrongUsage(text)
    }
}

/// How far a command got that was not kept from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Wholly,
    InPart,
}

/// Does what the arguments ask for. The first of them is the program's name.
pub async fn run(arguments: impl Iterator<Item = OsString>, environment: &Environment) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let late_command = arguments::late_command(&arguments);
    let matches = match arguments::command().try_get_matches_from(arguments::with_command(arguments.into_iter())) {
        Ok(matches) => matches,
        Err(error) => {
            if let (Some(command), ErrorKind::UnknownArgument) = (late_command, error.kind()) {
                tell(&format!("error: the command comes first: ecr-cleanup {command} …"));
                return ExitCode::from(2);
            }
            // Help and version are answers; nobody is to be told that nobody reads them.
            _ = error.print();
            let answered = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if answered { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    _ = tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().with_env_filter(filter).try_init();
    for variable in variables::unknown(environment) {
        tell(&format!("warning: {variable} is the variable of no setting; --help has those that count"));
    }
    let done = match matches.subcommand() {
        Some(("plan", matches)) => Box::pin(plan(matches, environment)).await,
        Some(("delete", matches)) => Box::pin(delete::delete(matches, environment)).await,
        Some(("usage", matches)) => Box::pin(usage::usage(matches, environment)).await,
        Some(("explain", matches)) => Box::pin(explain::explain(matches, environment)).await,
        Some(("completions", matches)) => completions(matches),
        Some(_) | None => Err(Undone::WrongUsage("there is no such command".to_owned())),
    };
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
            "--out takes the name of a file: stdout has the report, and `--format json` is not a plan to carry out"
                .to_owned(),
        ));
    }
    if let Some(folder) = out.and_then(|out| std::path::Path::new(out).parent())
        && !folder.as_os_str().is_empty()
        && !folder.is_dir()
    {
        return Err(Undone::WrongUsage(format!("--out: there is no folder {}", folder.display())));
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
        .map_err(|error| Undone::Failed(format!("{out}: {error}; the plan was not saved"))),
        (Some(_) | None, _) => Ok(()),
    };
    // What it took minutes to find out is told, whatever becomes of the file.
    session.print(&report)?;
    session.hint(&report, &given);
    let (stale, max_deletions) = (report.totals.images_stale, given.settings.max_deletions);
    if let Some(max_deletions) = max_deletions.filter(|max_deletions| *max_deletions < stale) {
        tell(&format!(
            "warning: {} stale and maxDeletions is {}, so `ecr-cleanup delete` would delete nothing",
            figures::counted(stale, "image is", "images are"),
            figures::count(max_deletions)
        ));
    }
    saved?;
    if let Some(out) = out {
        tell(&format!(
            "The plan is in {out}; `ecr-cleanup delete {out}` carries it out as far as it still holds then."
        ));
    }
    Ok(done(&report))
}

fn completions(matches: &ArgMatches) -> Result<Done, Undone> {
    /// The generator for bash names the places of its script in two ways where the name has a hyphen, so that nothing
    /// but commands would be completed.
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
    Undone::WrongUsage("no region is known: set AWS_REGION, give --region, or set a region in the profile".to_owned())
}

fn unwritten(error: &dyn std::fmt::Display) -> Undone {
    Undone::Failed(format!("the answer was not written: {error}"))
}

fn account_of(report: &Report) -> Option<&AccountId> {
    report.plan.registries.first().map(|registry| &registry.place.account)
}

/// Whether a report tells of everything.
fn done(report: &Report) -> Done {
    match report.outcome {
        Outcome::Planned | Outcome::Completed if report.usage.complete => Done::Wholly,
        Outcome::Planned | Outcome::Completed | Outcome::Partial | Outcome::DeadlineReached | Outcome::Refused(_) => {
            Done::InPart
        }
    }
}

/// Writes what was asked for. Who reads only the beginning of it has read what they wanted.
fn print(text: &str) -> Result<(), Undone> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(unwritten(&error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Says something beside what was asked for: its own lines, and nothing else that controls a terminal. Nobody is to be told
/// that nobody listens.
fn tell(text: &str) {
    for line in text.lines() {
        _ = writeln!(std::io::stderr(), "{}", quoted(line));
    }
}

/// Where something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

/// The columns of the terminal that a stream is; `None` where it is none.
fn width(stream: Stream) -> Option<u16> {
    let mut measured = comfy_table::Table::new();
    if stream == Stream::Stderr {
        measured.use_stderr();
    }
    measured.width().filter(|width| *width > 0)
}

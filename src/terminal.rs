//! The command in a terminal: the engine that Lambda runs, with somebody attending.
//!
//! What is asked for goes to stdout, and all else (progress, questions, errors) to stderr. Exit codes: 0 done; 1 failed,
//! done in part, or not all could be read; 2 wrong usage.
//!
//! A plan that is reviewed before it is carried out is described in [`saved`].

mod arguments;
mod explain;
mod flags;
mod given;
pub mod html;
pub mod markdown;
mod progress;
pub mod saved;
pub mod table;
mod trouble;
mod usage;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use chrono::Utc;
use clap::ArgMatches;
use clap::error::ErrorKind;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::account::{AccountId, Region};
use crate::aws::Aws;
use crate::deadline::Deadline;
use crate::event::Event;
use crate::handler::{self, Attendance, Attended, ImageName, Limits, RunError};
use crate::image::RepositoryName;
use crate::plan::{ImageResult, SkipReason};
use crate::report::{Outcome, Report};
use crate::review::{ReviewedPlan, Spared};
use crate::settings::{Environment, Mode};
use crate::warning::Warning;
use given::Given;
use progress::{Loudness, Shown};
use saved::SavedPlan;
use table::{Colours, Details, Look};

/// What the report tells is not logged as well.
const LOG_FILTER: &str = "warn,ecr_cleanup=off";
/// More changes than these are counted, and not told one by one.
const CHANGES_SHOWN: usize = 20;

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
    let matches = match arguments::command().try_get_matches_from(with_command(arguments)) {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version are answers; nobody is to be told that nobody reads them.
            _ = error.print();
            let answered = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if answered { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    _ = tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().with_env_filter(filter).try_init();
    let done = match matches.subcommand() {
        Some(("plan", matches)) => Box::pin(plan(matches, environment)).await,
        Some(("delete", matches)) => Box::pin(delete(matches, environment)).await,
        Some(("usage", matches)) => Box::pin(usage_of(matches, environment)).await,
        Some(("explain", matches)) => Box::pin(explain_image(matches, environment)).await,
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

/// `plan` is what is meant where no command is named.
fn with_command(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    const ANSWERED_WITHOUT: [&str; 4] = ["--help", "-h", "--version", "-V"];
    let mut arguments: Vec<OsString> = arguments.collect();
    let is_flag = |argument: &OsString| argument.to_string_lossy().starts_with('-');
    let is_answered = |argument: &OsString| ANSWERED_WITHOUT.iter().any(|flag| argument == flag);
    if arguments.is_empty() {
        arguments.push("ecr-cleanup".into());
    }
    if arguments.get(1).is_none_or(|first| is_flag(first) && !is_answered(first)) {
        arguments.insert(1, "plan".into());
    }
    arguments
}

async fn plan(matches: &ArgMatches, environment: &Environment) -> Result<Done, Undone> {
    let given = Given::gather(matches, Mode::DryRun, environment)?;
    let out = matches.get_one::<String>("out");
    if let Some(folder) = out.and_then(|out| std::path::Path::new(out).parent())
        && !folder.as_os_str().is_empty()
        && !folder.is_dir()
    {
        return Err(Undone::WrongUsage(format!("--out: there is no folder {}", folder.display())));
    }
    let session = Session::begin(matches, &given).await?;
    let report = session.run(given.event(), &given, None).await?.report;
    if let (Some(out), Some(account)) = (out, account_of(&report)) {
        let text = saved::to_json(&report.plan, account, given.to_save()?, report.started_at);
        text.map_err(std::io::Error::from)
            .and_then(|text| std::fs::write(out, text))
            .map_err(|error| Undone::Failed(format!("{out}: {error}; the plan was not saved")))?;
    }
    session.print(&report)?;
    session.hint(&report, &given);
    if let Some(out) = out {
        tell(&format!(
            "The plan is in {out}; `ecr-cleanup delete {out}` carries it out as far as it still holds then."
        ));
    }
    Ok(done(&report))
}

async fn delete(matches: &ArgMatches, environment: &Environment) -> Result<Done, Undone> {
    if let Some(file) = matches.get_one::<String>("plan") {
        let SavedPlan { created_at, settings, reviewed } = SavedPlan::read(file)?;
        let given = Given::beside_plan(matches, settings, file, environment)?;
        let session = Session::begin(matches, &given).await?;
        let report = session.run(given.event(), &given, Some(&reviewed)).await?.report;
        session.print(&report)?;
        tell_changes(&report, &format!("Since the plan was made ({}):", created_at.format("%Y-%m-%d %H:%M UTC")));
        return Ok(done(&report));
    }
    let given = Given::gather(matches, Mode::Live, environment)?;
    if matches.get_flag("yes") {
        let session = Session::begin(matches, &given).await?;
        let report = session.run(given.event(), &given, None).await?.report;
        session.print(&report)?;
        session.hint(&report, &given);
        return Ok(done(&report));
    }
    let reads_stdin = matches.get_many::<String>("in-use-file").into_iter().flatten().any(|file| file == "-");
    if reads_stdin || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Undone::WrongUsage(
            "there is no terminal to ask on: look at `ecr-cleanup plan`, then give --yes, or save the plan with --out and carry it out with `ecr-cleanup delete PLAN`"
                .to_owned(),
        ));
    }
    let session = Session::begin(matches, &given).await?;
    let mut dry = given.event();
    dry.settings.insert("dryRun".to_owned(), true.into());
    let planned = session.run(dry, &given, None).await?.report;
    session.hint(&planned, &given);
    // The question is a dialogue, and stdout is for what comes of it.
    tell(&table::table(&planned, &session.look(std::io::stderr().is_terminal())));
    let (Some(account), images) = (account_of(&planned), planned.totals.images_stale) else {
        return Ok(done(&planned));
    };
    if images == 0 {
        tell("Nothing is to be deleted.");
        return Ok(done(&planned));
    }
    let reviewed = ReviewedPlan::of(account.clone(), &planned.plan);
    if !is_agreed(&planned, account) {
        return Err(Undone::Failed("not confirmed, so nothing was deleted".to_owned()));
    }
    session.shown.restart();
    let report = session.run(given.event(), &given, Some(&reviewed)).await?.report;
    session.print(&report)?;
    tell_changes(&report, "Since you were asked:");
    Ok(done(&report))
}

/// Asks whether what was shown is to be done.
fn is_agreed(planned: &Report, account: &AccountId) -> bool {
    let totals = &planned.totals;
    let archived = totals.images_to_archive;
    let deleted = totals.images_stale - archived;
    let mut what = Vec::new();
    if deleted > 0 {
        what.push(format!("Delete {} (up to {})", images(deleted), gib(totals.bytes_stale)));
    }
    if archived > 0 {
        what.push(format!("archive {} (up to {})", images(archived), gib(totals.bytes_to_archive)));
    }
    _ = write!(std::io::stderr(), "{} of account {account}? Type yes: ", what.join(", and "));
    _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}

async fn usage_of(matches: &ArgMatches, environment: &Environment) -> Result<Done, Undone> {
    let given = Given::gather(matches, Mode::DryRun, environment)?;
    let session = Session::begin(matches, &given).await?;
    let (event, deadline) = (given.event(), Deadline::unknown());
    let found = handler::usage_alone(event, &given.environment, &session.aws, deadline, &session.shown).await;
    session.shown.end();
    let (account, discovery) = found.map_err(|error| session.undone(&error))?;
    match session.format.as_str() {
        "json" => print(&(usage::json(&account, &discovery).map_err(|error| unwritten(&error))? + "\n"))?,
        _ => print(&usage::table(&discovery, width()))?,
    }
    Ok(if discovery.incomplete.is_none() { Done::Wholly } else { Done::InPart })
}

async fn explain_image(matches: &ArgMatches, environment: &Environment) -> Result<Done, Undone> {
    let given = Given::gather(matches, Mode::DryRun, environment)?;
    let asked = explain::asked(matches.get_one::<String>("image").map_or("", String::as_str))?;
    let session = Session::begin(matches, &given).await?;
    let region = match (&asked.region, &given.settings.regions) {
        (Some(region), _) => region.clone(),
        (None, Some(regions)) if regions.len() == 1 => regions.iter().next().cloned().ok_or_else(no_region)?,
        (None, regions) => {
            let own: Region = session.aws.region().and_then(|region| region.parse().ok()).ok_or_else(no_region)?;
            if regions.as_ref().is_some_and(|regions| !regions.contains(&own)) {
                return Err(Undone::WrongUsage("several regions are given: name the image's with --region".to_owned()));
            }
            own
        }
    };
    let mut event = given.event();
    event.settings.retain(|name, _| !["region", "regions", "excludeRepositories"].contains(&name.as_str()));
    event.settings.insert("region".to_owned(), json!(region));
    event.settings.insert("repositories".to_owned(), json!([asked.wanted.repository_name]));
    event.settings.insert("excludeRepositories".to_owned(), json!([]));
    let attendance = Attendance { progress: &session.shown, reviewed: None, wanted: Some(&asked.wanted) };
    let limits = Limits::until(Deadline::unknown());
    let attended = handler::attended(event, &given.environment, &session.aws, limits, &attendance).await;
    session.shown.end();
    let Attended { report, explained } = attended.map_err(|error| session.undone(&error))?;
    let Some(explained) = explained else {
        return Err(Undone::Failed(not_found(&asked, &region, &report, &session.shown.passed_over())));
    };
    let left_out = explain::is_left_out(&asked, &given.settings);
    match session.format.as_str() {
        "json" => print(&format!("{}\n", explain::json(&explained, left_out)))?,
        _ => print(&explain::text(&explained, left_out, Utc::now()))?,
    }
    for warning in &report.warnings {
        tell(&format!("warning: {warning}"));
    }
    Ok(done(&report))
}

fn not_found(
    explain::Asked { wanted, region: _ }: &explain::Asked,
    region: &Region,
    report: &Report,
    others: &BTreeSet<RepositoryName>,
) -> String {
    let repository = &wanted.repository_name;
    if let Some(error) = report.plan.errors().next() {
        return format!("{repository} in {region} could not be read: {error}\n  {}", error.remedy());
    }
    if report.totals.repositories == 0 {
        let nearest = trouble::nearest(repository.as_str(), others);
        let meant = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
        return format!("there is no repository {repository} in {region}{meant}");
    }
    match &wanted.name {
        ImageName::Tag(tag) => format!("no image of {repository} in {region} has the tag {tag}"),
        ImageName::Digest(digest) => format!("{repository} in {region} has no image {digest}"),
    }
}

fn completions(matches: &ArgMatches) -> Result<Done, Undone> {
    if let Some(shell) = matches.get_one::<clap_complete::Shell>("shell") {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut arguments::command(), "ecr-cleanup", &mut script);
        print(&String::from_utf8_lossy(&script))?;
    }
    Ok(Done::Wholly)
}

/// What a command that talks to AWS has at hand.
struct Session {
    aws: Aws,
    shown: Shown,
    format: String,
    details: Details,
    profile: Option<String>,
}

impl Session {
    /// Says at once that something goes on, then finds credentials and a region.
    async fn begin(matches: &ArgMatches, given: &Given) -> Result<Self, Undone> {
        let shown = Shown::begin(if matches.get_flag("quiet") { Loudness::Quiet } else { Loudness::Normal });
        let profile = matches.get_one::<String>("profile").cloned();
        let mut aws = Aws::from_profile(profile.as_deref()).await;
        if aws.region().is_none() {
            let first = given.settings.regions.as_ref().and_then(|regions| regions.first());
            let Some(first) = first else {
                shown.end();
                return Err(no_region());
            };
            aws = aws.at_home_in(first);
        }
        let has_details = matches.try_get_one::<bool>("details").ok().flatten().copied().unwrap_or_default();
        Ok(Self {
            aws,
            shown,
            format: matches.get_one::<String>("format").cloned().unwrap_or_default(),
            details: if has_details { Details::Images } else { Details::Repositories },
            profile: profile.or_else(|| std::env::var("AWS_PROFILE").ok()).filter(|profile| !profile.is_empty()),
        })
    }

    async fn run(&self, event: Event, given: &Given, reviewed: Option<&ReviewedPlan>) -> Result<Attended, Undone> {
        let attendance = Attendance { progress: &self.shown, reviewed, wanted: None };
        let limits = Limits::until(Deadline::unknown());
        let attended = handler::attended(event, &given.environment, &self.aws, limits, &attendance).await;
        self.shown.end();
        attended.map_err(|error| self.undone(&error))
    }

    fn undone(&self, error: &RunError) -> Undone {
        let text = trouble::of_run(error, self.profile.as_deref());
        match error {
            RunError::InvalidSettings(_) => Undone::WrongUsage(text),
            RunError::RegionsUnavailable(_) | RunError::AccountUnknown(_) | RunError::OtherAccount { .. } => {
                Undone::Failed(text)
            }
        }
    }

    fn look(&self, is_terminal: bool) -> Look {
        let is_coloured = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Look {
            width: if is_terminal { width() } else { None },
            colours: if is_coloured { Colours::Coloured } else { Colours::Plain },
            details: self.details,
        }
    }

    fn print(&self, report: &Report) -> Result<(), Undone> {
        let mut text = match self.format.as_str() {
            "json" => report.to_json().map_err(|error| unwritten(&error))?,
            "markdown" => markdown::markdown(report),
            "html" => html::html(report),
            _ => table::table(report, &self.look(std::io::stdout().is_terminal())),
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        print(&text)?;
        if let Outcome::Refused(refusal) = &report.outcome {
            tell(&format!("error: {refusal}"));
        }
        Ok(())
    }

    /// Where no repository is selected, tells which was probably meant.
    fn hint(&self, report: &Report, given: &Given) {
        if !report.warnings.contains(&Warning::NoRepository) {
            return;
        }
        let others = self.shown.passed_over();
        let patterns = given.settings.repositories.patterns();
        for pattern in patterns.map(ToString::to_string) {
            if let Some(nearest) = trouble::nearest(&pattern, &others) {
                tell(&format!("--repositories {pattern} matches nothing; did you mean {nearest}?"));
            }
        }
    }
}

fn no_region() -> Undone {
    Undone::WrongUsage("no region is known: set AWS_REGION, give --region, or set a region in the profile".to_owned())
}

fn unwritten(error: &dyn std::fmt::Display) -> Undone {
    Undone::Failed(format!("the answer was not written: {error}"))
}

fn account_of(report: &Report) -> Option<&AccountId> {
    report.plan.registries.first().map(|registry| &registry.registry_id)
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

/// Tells what is not any more as it was when the plan was reviewed.
fn tell_changes(report: &Report, title: &str) {
    let mut changes = Vec::new();
    let (mut new, mut others) = (0_u64, 0_u64);
    for registry in &report.plan.registries {
        for repository in registry.repositories.iter().flatten() {
            let Ok(decided) = &repository.decided else { continue };
            let name = |tags: &[Box<str>], digest: crate::image::ImageDigest| {
                let tags = if tags.is_empty() { String::new() } else { format!(":{}", tags.join(",")) };
                format!("{} {}{tags}@{digest}", registry.region, repository.repository_name)
            };
            for image in &decided.spared {
                let why = match &image.why {
                    Spared::Gone => "is gone".to_owned(),
                    Spared::Kept(_, Some(holder)) => format!("is in use: {holder}"),
                    Spared::Kept(reason, None) => format!("stays: {}", reason.as_str()),
                };
                changes.push(format!("{} {why}", name(&image.image_tags, image.image_digest)));
            }
            for image in &decided.stale {
                match &image.result {
                    ImageResult::Skipped(SkipReason::NotReviewed) => new += 1,
                    ImageResult::Skipped(why) => {
                        changes.push(format!(
                            "{} stays: {}",
                            name(&image.image_tags, image.image_digest),
                            why.as_str()
                        ));
                    }
                    ImageResult::Gone => {
                        changes.push(format!("{} is gone", name(&image.image_tags, image.image_digest)))
                    }
                    ImageResult::Planned
                    | ImageResult::Deleted
                    | ImageResult::Archived
                    | ImageResult::Kept
                    | ImageResult::Failed { .. }
                    | ImageResult::NotAttempted(_) => {}
                }
            }
        }
    }
    if changes.len() > CHANGES_SHOWN {
        others = (changes.len() - CHANGES_SHOWN) as u64;
        changes.truncate(CHANGES_SHOWN);
    }
    if changes.is_empty() && new == 0 {
        return;
    }
    tell(title);
    for change in changes {
        tell(&format!("  {change}"));
    }
    if others > 0 {
        tell(&format!("  and so did {} more; --format json has them all", images(others)));
    }
    if new > 0 {
        tell(&format!("  {} came to be stale that the plan does not have; they stay until a new plan", images(new)));
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

/// Says something beside what was asked for. Nobody is to be told that nobody listens.
fn tell(text: &str) {
    _ = writeln!(std::io::stderr(), "{text}");
}

fn width() -> Option<u16> {
    Some(comfy_table::Table::new().width()?).filter(|width| *width > 0)
}

fn images(number: u64) -> String {
    format!("{number} {}", if number == 1 { "image" } else { "images" })
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with one decimal")]
fn gib(bytes: u64) -> String {
    const GIB: f64 = 1_073_741_824.0;
    format!("{:.1} GiB", bytes as f64 / GIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_command_it_plans() {
        let with = |arguments: &[&str]| -> Vec<String> {
            let arguments = with_command(arguments.iter().map(OsString::from));
            arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(with(&[]), ["ecr-cleanup", "plan"]);
        assert_eq!(with(&["e"]), ["e", "plan"]);
        assert_eq!(with(&["e", "--region", "us-west-2"]), ["e", "plan", "--region", "us-west-2"]);
        assert_eq!(with(&["e", "usage"]), ["e", "usage"]);
        assert_eq!(with(&["e", "--help"]), ["e", "--help"]);
    }

    #[test]
    fn the_command_line_is_sound() {
        arguments::command().debug_assert();
    }
}

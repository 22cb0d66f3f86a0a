//! The Lambda function cleans a company: a dry run, a live run, and a second live run.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ecr_cleanup::show::table::{Colours, Details, Look, table_of};
use ecr_cleanup::show::view::View;
use serde::Deserialize;
use serde_json::Value;
use simulated_aws::{Function, SimulatedAws, plain};

use crate::company;
use crate::failure::Failure;
use crate::output::{announce, say};

/// The width of a table in columns, where stdout is no terminal.
const WIDTH: u16 = 116;

/// Images in use that are far from the newest in their repositories.
const OLD_AND_IN_USE: [(&str, &str); 3] =
    [("workers/billing", "build-12"), ("web/assets", "build-40"), ("functions/thumbnails", "build-30")];

/// How much of a report a scene shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// The table of repositories, and the lines around it.
    Whole,
    /// The lines around the table.
    Sums,
}

/// The company with its function.
struct Company {
    aws: SimulatedAws,
    function: Function,
    /// The sentences of earlier reports. One that the next report repeats, such as a warning, is not shown again.
    shown: HashSet<String>,
}

/// Plays the scenes, and returns their number.
pub async fn play(binary: &Path) -> Result<usize, Failure> {
    let mut company = Company::start(binary).await?;

    announce(
        1,
        "A dry run, the default: nothing is deleted",
        "ecr-cleanup lists the stale images and what they cost.",
    )?;
    let dry = company.invoke("dry-run.json", Shown::Sums).await?;
    announce(
        2,
        "Live: what the dry run listed, and nothing else",
        "ecr-cleanup deletes as many images as were stale in the dry run.",
    )?;
    let live = company.invoke("live.json", Shown::Whole).await?;
    announce(
        3,
        "Live once more: nothing is left to delete",
        "ecr-cleanup finds no stale image, and images in use are still there, however old they are.",
    )?;
    let again = company.invoke("live.json", Shown::Sums).await?;

    let stale = |report: &Value| report["totals"]["imagesStale"].as_u64();
    let deleted = live["totals"]["imagesDeleted"].as_u64();
    if stale(&dry) != deleted || deleted == Some(0) || stale(&again) != Some(0) {
        return Err(Failure::untrue("the live run did not delete as many images as the dry run listed"));
    }
    let is_deleted = |(name, tag): &(&str, &str)| !company.aws.repository(name).tags().contains(*tag);
    if let Some((name, tag)) = OLD_AND_IN_USE.into_iter().find(is_deleted) {
        return Err(Failure::untrue(&format!("{name}:{tag} is in use and was deleted")));
    }
    say("Far from the newest, and kept because something uses them:")?;
    for repository in view(&again)?.repositories {
        for image in &repository.only_in_use {
            say(&format!("  {} {}:{} by {}", repository.region, repository.name, image.name(), image.held_by))?;
        }
    }
    Ok(3)
}

impl Company {
    async fn start(binary: &Path) -> Result<Self, Failure> {
        let aws = SimulatedAws::start_on(0).await?;
        company::found(&aws);
        let started = Function::try_start(binary, aws.url(), &[("RUST_LOG", "error")]).await;
        let function = started.map_err(|error| {
            Failure::Failed(format!("can't start {}: {}. Run: make demo", binary.display(), plain(&error)))
        })?;
        Ok(Self { aws, function, shown: HashSet::new() })
    }

    /// Invokes the function with an event, and shows its report.
    async fn invoke(&mut self, event: &str, shown: Shown) -> Result<Value, Failure> {
        say(&format!("$ invoke with events/{event}"))?;
        let payload = read_event(event)?;
        self.aws.forget_calls();
        let begun = Instant::now();
        let report = self.function.invoke(&payload).await.map_err(|error| {
            Failure::untrue(&format!("the function failed with {}: {}", error.error_type, error.error_message))
        })?;
        let took = begun.elapsed();
        let terminal = std::io::stdout().is_terminal();
        let look = Look {
            width: comfy_table::Table::new().width().or(Some(WIDTH)),
            colours: if terminal { Colours::Ansi } else { Colours::None },
            details: Details::Repositories,
        };
        let table = table_of(&view(&report)?, &look);
        // A wrapped sentence goes on in lines with an indent.
        let lines: Vec<&str> = table.lines().collect();
        for sentence in lines.chunk_by(|_, next| next.starts_with("  ")).map(|lines| lines.join("\n")) {
            let is_of_table = sentence.starts_with(['┌', '│', '╞', '├', '└']);
            if self.shown.insert(sentence.clone()) && (shown == Shown::Whole || !is_of_table) {
                say(&sentence)?;
            }
        }
        say(&format!("{} calls to AWS in {:.1} s.", self.aws.calls().len(), took.as_secs_f64()))?;
        Ok(report)
    }
}

/// Reads a file of `events`.
fn read_event(event: &str) -> Result<Value, Failure> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("events").join(event);
    let failed = |cause: &str| {
        Failure::Failed(format!(
            "can't read {}: {cause}. Restore the file, or run the demo where it was built.",
            path.display()
        ))
    };
    let payload = std::fs::read_to_string(&path).map_err(|error| failed(&plain(&error)))?;
    serde_json::from_str(&payload).map_err(|error| failed(&error.to_string()))
}

/// The report as people see it.
fn view(report: &Value) -> Result<View, Failure> {
    View::deserialize(report).map_err(|error| Failure::untrue(&format!("the report lacks a field: {error}")))
}

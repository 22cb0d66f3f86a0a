//! The edge to the Lambda runtime: an invocation in, a report or an error document out.

use std::any::Any;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::time::SystemTime;

use ecr_cleanup_core::memory::{MemoryLocation, MemoryTrouble, PlanLocation};
use ecr_cleanup_core::plan::Refusal;
use ecr_cleanup_core::report::{Outcome, RESPONSE_BYTES, metric_of_unknown_usage, metrics};
use ecr_cleanup_core::saved_plan::SavedPlan;
use ecr_cleanup_core::settings::keys::MEMORY;
use ecr_cleanup_core::settings::{Environment, InvalidSettings, Settings};
use futures::FutureExt;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::value::RawValue;

use crate::aws::Aws;
use crate::deadline::Deadline;
use crate::event::{Event, PLAN};
use crate::memory::{PlanNotUsable, read_plan, write_report};
use crate::run::{Finished, Limits, Request, RunError, run};
use crate::show::html::PAGES;

/// Why an invocation has no report.
#[derive(Debug, thiserror::Error)]
enum NotRun {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("can't read the plan, so nothing was deleted: {0}")]
    PlanUnavailable(MemoryTrouble),
}

impl From<InvalidSettings> for NotRun {
    fn from(error: InvalidSettings) -> Self {
        Self::Run(error.into())
    }
}

/// Answers one invocation. The event comes as its original text, because a parsed event no longer shows repeated keys.
///
/// # Errors
/// With the `errorType` that the contract specifies, when the run could not start or was refused; with `Panic` on a bug.
pub async fn invoke(
    event: LambdaEvent<Box<RawValue>>,
    environment: &Environment,
    aws: &Aws,
) -> Result<Box<RawValue>, Diagnostic> {
    // Only connections outlive an invocation, so a panic leaves no invalid state for the next one.
    AssertUnwindSafe(answer(event, environment, aws)).catch_unwind().await.unwrap_or_else(|panic| {
        let message =
            format!("the function panicked: {}. This is a bug. Report it with this message.", text_of(&*panic));
        tracing::error!("{message}");
        Err(Diagnostic { error_type: "Panic".to_owned(), error_message: message })
    })
}

/// The message of a panic.
fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

async fn answer(
    event: LambdaEvent<Box<RawValue>>,
    environment: &Environment,
    aws: &Aws,
) -> Result<Box<RawValue>, Diagnostic> {
    let deadline = Deadline::from_lambda(event.context.deadline, SystemTime::now());
    // Boxed, because the future of a whole run is large and too deeply nested for the compiler.
    let answer = async {
        let event = Event::read(event.payload.get())?;
        let saved = match plan_of(&event, environment)? {
            None => None,
            Some(location) => Some((saved_plan(&location, aws, deadline).await?, location)),
        };
        let saved = saved.as_ref().map(|(plan, location)| (location, plan));
        let request = Request::of(&event, saved, environment, Limits::until(deadline))?;
        refuse_folder(request.settings.memory.as_ref())?;
        let Finished { mut report, explained: _ } = run(&request, aws).await?;
        let Request { settings, limits, .. } = &request;
        report.warnings.extend(write_report(settings.memory.as_ref(), aws, limits.deadline, &report, PAGES).await);
        Ok(report)
    };
    let report = Box::pin(answer).await.map_err(|error| {
        tracing::error!("{error}");
        match &error {
            NotRun::Run(RunError::AccountUnknown(_)) => write_metrics(&[metric_of_unknown_usage(aws.clock().utc())]),
            NotRun::Run(
                RunError::InvalidSettings(_) | RunError::RegionsUnavailable(_) | RunError::OtherAccount { .. },
            )
            | NotRun::PlanUnavailable(_) => {}
        }
        diagnostic(error_type_of(&error), &error)
    })?;
    write_metrics(&metrics(&report));
    if let Outcome::Refused(refusal) = &report.outcome {
        return Err(diagnostic(error_type_of_refusal(refusal), refusal));
    }
    report
        .to_json_within(RESPONSE_BYTES)
        .and_then(RawValue::from_string)
        .map_err(|error| diagnostic("ReportNotWritten", &error))
}

/// Reads the saved plan that an event names.
async fn saved_plan(location: &PlanLocation, aws: &Aws, deadline: Deadline) -> Result<SavedPlan, NotRun> {
    read_plan(location, aws, deadline).await.map_err(|error| match error {
        PlanNotUsable::Unavailable(trouble) => NotRun::PlanUnavailable(trouble),
        PlanNotUsable::Unknown(_) | PlanNotUsable::CarriedOut(_) | PlanNotUsable::NotAPlan(_) => {
            let accepted = format!("a saved plan that was not carried out yet. {error}");
            InvalidSettings::new(PLAN, &location.id.as_str().into(), &accepted).into()
        }
    })
}

/// The location of the saved plan that an event names.
fn plan_of(event: &Event, environment: &Environment) -> Result<Option<PlanLocation>, InvalidSettings> {
    let Some(id) = &event.plan else { return Ok(None) };
    let of_memory = event.settings.iter().filter(|(name, _)| *name == MEMORY.name);
    let of_memory = of_memory.map(|(name, value)| (name.clone(), value.clone())).collect();
    let memory = Settings::resolve(&of_memory, environment, &|file| std::fs::read_to_string(file))?.memory;
    refuse_folder(memory.as_ref())?;
    match memory {
        Some(memory) => Ok(Some(PlanLocation { memory, id: id.clone() })),
        None => {
            Err(InvalidSettings::without_value(PLAN, "used without a memory", "the setting memory, where the plan is"))
        }
    }
}

/// The function's own file system is lost with its instance.
fn refuse_folder(memory: Option<&MemoryLocation>) -> Result<(), InvalidSettings> {
    let Some(folder @ MemoryLocation::Folder(_)) = memory else { return Ok(()) };
    let accepted = "s3://bucket/prefix, because a folder is lost with the function's instance";
    Err(InvalidSettings::new(MEMORY.name, &folder.to_string().into(), accepted))
}

fn error_type_of(error: &NotRun) -> &'static str {
    match error {
        // A function has no user to choose another account.
        NotRun::Run(RunError::InvalidSettings(_) | RunError::OtherAccount { .. }) => "InvalidSettings",
        NotRun::Run(RunError::RegionsUnavailable(_)) => "RegionsUnavailable",
        NotRun::Run(RunError::AccountUnknown(_)) => "UsageIncomplete",
        NotRun::PlanUnavailable(_) => "MemoryUnavailable",
    }
}

fn error_type_of_refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::UsageIncomplete { .. } => "UsageIncomplete",
        Refusal::TooManyDeletions { .. } => "TooManyDeletions",
        Refusal::MemoryUnavailable(_) => "MemoryUnavailable",
        Refusal::PlanCarriedOut(_) => "InvalidSettings",
        Refusal::ClockSkew(_) => "ClockSkew",
    }
}

fn diagnostic(error_type: &str, error: &dyn std::error::Error) -> Diagnostic {
    Diagnostic { error_type: error_type.to_owned(), error_message: error.to_string() }
}

/// CloudWatch reads metrics from the log, where each document must be one line.
fn write_metrics(documents: &[String]) {
    let mut stdout = std::io::stdout().lock();
    for document in documents {
        if let Err(error) = writeln!(stdout, "{document}") {
            tracing::error!(%error, "can't write metrics to stdout: {error}");
        }
    }
}

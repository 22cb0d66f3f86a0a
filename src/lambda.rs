//! The edge to the Lambda runtime: an invocation in, a report or an error document out.

use std::any::Any;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::time::SystemTime;

use ecr_cleanup_core::memory::MemoryLocation;
use ecr_cleanup_core::plan::Refusal;
use ecr_cleanup_core::report::{Outcome, RESPONSE_BYTES, metric_of_unknown_usage, metrics};
use ecr_cleanup_core::settings::{Environment, InvalidSettings};
use futures::FutureExt;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::value::RawValue;

use crate::aws::Aws;
use crate::deadline::Deadline;
use crate::run::{Finished, Limits, Request, RunError, run};

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
        let request = Request::read(event.payload.get(), environment, Limits::until(deadline))?;
        // The function's own file system is lost with its instance.
        if let Some(folder @ MemoryLocation::Folder(_)) = &request.settings.memory {
            let accepted = "s3://bucket/prefix, because a folder is lost with the function's instance";
            return Err(InvalidSettings::new("memory", &folder.to_string().into(), accepted).into());
        }
        run(&request, aws).await
    };
    let Finished { report, explained: _ } = Box::pin(answer).await.map_err(|error| {
        tracing::error!("{error}");
        match &error {
            RunError::AccountUnknown(_) => write_metrics(&[metric_of_unknown_usage(aws.clock().utc())]),
            RunError::InvalidSettings(_) | RunError::RegionsUnavailable(_) | RunError::OtherAccount { .. } => {}
        }
        diagnostic(error_type_of_run(&error), &error)
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

fn error_type_of_run(error: &RunError) -> &'static str {
    match error {
        // A function has no user to choose another account.
        RunError::InvalidSettings(_) | RunError::OtherAccount { .. } => "InvalidSettings",
        RunError::RegionsUnavailable(_) => "RegionsUnavailable",
        RunError::AccountUnknown(_) => "UsageIncomplete",
    }
}

fn error_type_of_refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::UsageIncomplete { .. } => "UsageIncomplete",
        Refusal::TooManyDeletions { .. } => "TooManyDeletions",
        Refusal::MemoryUnavailable(_) => "MemoryUnavailable",
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

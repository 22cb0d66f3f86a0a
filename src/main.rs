//! Process start. In Lambda it sets up logging and clients once, and then serves invocations. In a terminal it runs the
//! command.

use std::process::ExitCode;

use ecr_cleanup::aws::Aws;
use ecr_cleanup::lambda::invoke;
use ecr_cleanup::telemetry::JsonLines;
use ecr_cleanup_core::settings::Environment;
use lambda_runtime::{Error, service_fn};
use tracing_subscriber::EnvFilter;

/// `invoke` has already logged what the runtime would log about a failed invocation.
const LOG_FILTER: &str = "info,lambda_runtime=error,lambda_runtime::layers::panic=off";

/// The network limits a run. One thread parses pages faster than one registry sends them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // Text that is not UTF-8 keeps replacement characters, so that settings reject it rather than ignore it.
    let environment: Environment = std::env::vars_os()
        .map(|(key, value)| (key.to_string_lossy().into(), value.to_string_lossy().into()))
        .collect();
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return in_a_terminal(&environment).await;
    }
    tracing_subscriber::fmt()
        .event_format(JsonLines)
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_FILTER)))
        .init();
    match serve(&environment).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the Lambda runtime stopped: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "cli")]
async fn in_a_terminal(environment: &Environment) -> ExitCode {
    ecr_cleanup::terminal::run(std::env::args_os(), environment).await
}

/// Without the terminal's dependencies there is no command to run.
#[cfg(not(feature = "cli"))]
#[expect(clippy::unused_async, reason = "it is called as the other is")]
async fn in_a_terminal(_: &Environment) -> ExitCode {
    eprintln!(
        "can't run in a terminal: this ecr-cleanup was built for Lambda, without the feature `cli`. Build the command with `cargo build --release`, or run the function locally with `make invoke`."
    );
    ExitCode::from(2)
}

async fn serve(environment: &Environment) -> Result<(), Error> {
    let aws = Aws::from_environment().await;
    lambda_runtime::run(service_fn(|event| invoke(event, environment, &aws))).await
}

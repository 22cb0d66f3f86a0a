//! A simulated account for other tools, until Ctrl-C.

use simulated_aws::{ACCOUNT, REGION, SimulatedAws, access_key_of, plain};

use crate::failure::Failure;
use crate::output::say;

/// Serves an account on a port of loopback, and prints the variables that make tools use it.
pub async fn serve(port: &str, found: fn(&SimulatedAws)) -> Result<(), Failure> {
    let port: u16 = port.parse().map_err(|_| {
        Failure::Usage(format!(
            "can't listen on port {port:?}: a port is a number from 0 to 65535. Try 4566, or 0 for any free port."
        ))
    })?;
    let aws = SimulatedAws::start_on(port).await?;
    found(&aws);
    let url = aws.url();
    let port = url.rsplit(':').next().unwrap_or_default();
    say(&format!(
        "# A simulated account on port {port}, until Ctrl-C. Deleted images stay deleted. In another shell, run:"
    ))?;
    say(&format!("export AWS_ENDPOINT_URL={url} AWS_REGION={REGION} AWS_EC2_METADATA_DISABLED=true"))?;
    say(&format!("export AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY=simulated", access_key_of(ACCOUNT)))?;
    tokio::signal::ctrl_c()
        .await
        .map_err(|error| Failure::Failed(format!("can't wait for Ctrl-C: {}. Start it again.", plain(&error))))
}

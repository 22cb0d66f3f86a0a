//! An account with many builds and no workload. Its stale images are too many for the response of a Lambda function.

use simulated_aws::SimulatedAws;

const REPOSITORIES: u32 = 40;
/// The builds in each repository: one page of `DescribeImages`.
const BUILDS: u32 = 1_000;

/// Fills the account.
pub fn found(aws: &SimulatedAws) {
    for number in 1..=REPOSITORIES {
        let repository = aws.repository(&format!("builds/of-service-{number:02}"));
        _ = repository.daily_builds(BUILDS);
    }
}

//! An account of many builds and nothing else: more stale images than Lambda lets a response tell.

use simulated_aws::SimulatedAws;

const REPOSITORIES: u32 = 40;
/// What one page of `DescribeImages` holds.
const BUILDS: u32 = 1_000;

/// Fills the registry.
pub fn found(aws: &SimulatedAws) {
    for number in 1..=REPOSITORIES {
        let repository = aws.repository(&format!("builds/of-service-{number:02}"));
        // Nobody keeps the handle.
        drop(repository.daily_builds(BUILDS));
    }
}

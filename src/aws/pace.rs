//! How fast each service may be asked, per account and region. ECS's read quotas are shared with real deployments, so
//! the function takes no more than its share of them.
//!
//! Operations are counted; the SDK's retries come on top.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::clock::Stopwatch;

/// Calls per second, and how many may be made at once after a pause.
#[derive(Clone, Copy, Debug)]
struct Share {
    per_second: u32,
    burst: u32,
}

/// Three quarters of the published refill rate and half the published burst: the rest is other clients'.
const fn share_of(burst: u32, refill: u32) -> Share {
    Share { per_second: refill * 3 / 4, burst: burst / 2 }
}

/// `ListClusters`, `DescribeClusters`.
/// The bursts and refill rates are from
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>.
const ECS_CLUSTERS: Share = share_of(50, 20);
/// `ListTasks`, `DescribeTasks`, `ListServices`, `DescribeServices`. The quota of the daemons' operations is not
/// published; they are counted here.
const ECS_RESOURCES: Share = share_of(100, 20);
/// `ListTaskDefinitionFamilies`, `ListTaskDefinitions`, `DescribeTaskDefinition`.
const ECS_TASK_DEFINITIONS: Share = share_of(50, 20);
/// `ListServiceDeployments`, `DescribeServiceDeployments`, `DescribeServiceRevisions`.
const ECS_SERVICE_DEPLOYMENTS: Share = share_of(50, 20);
/// `GetFunction`: three quarters of 100 a second.
/// See <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#api-requests>.
const LAMBDA_GET_FUNCTION: Share = Share { per_second: 75, burst: 75 };
/// Lambda's other control calls: three quarters of 15 a second for all of them together.
const LAMBDA_CONTROL: Share = Share { per_second: 11, burst: 11 };

/// `UpdateImageStorageClass`, which takes one image a call and has no published rate: as fast as ECS may be asked.
const ECR_STORAGE_CLASS: Share = Share { per_second: 20, burst: 20 };

/// Lets calls of one quota through at its pace.
#[derive(Debug)]
pub struct Limiter {
    bucket: RateLimiter<NotKeyed, InMemoryState, Stopwatch, NoOpMiddleware<Duration>>,
    clock: Stopwatch,
}

impl Limiter {
    fn new(share: Share, haste: Haste) -> Self {
        let rate = |calls: u32| NonZeroU32::new(calls).unwrap_or(NonZeroU32::MIN).saturating_mul(haste.0);
        let quota = Quota::per_second(rate(share.per_second)).allow_burst(rate(share.burst));
        let clock = Stopwatch::start();
        Self { bucket: RateLimiter::direct_with_clock(quota, clock), clock }
    }

    /// Waits for the turn of one call. The waiting is the runtime's, which governor's own is not.
    pub async fn until_ready(&self) {
        while let Err(early) = self.bucket.check() {
            tokio::time::sleep(early.wait_time_from(self.clock.now())).await;
        }
    }

    /// Whether it is a call's turn at once, which is then taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.bucket.check().is_ok()
    }
}

/// How many times faster than its share the function may ask: once against AWS, more where nobody else is disturbed.
#[derive(Clone, Copy, Debug)]
pub struct Haste(NonZeroU32);

impl Haste {
    /// The function's share of the published quotas.
    pub const NONE: Self = Self(NonZeroU32::MIN);

    /// So many times the share, for simulated accounts.
    #[must_use]
    pub const fn times(times: NonZeroU32) -> Self {
        Self(times)
    }
}

/// The quotas of one region of one account.
#[derive(Debug)]
pub struct Pace {
    /// ECS: clusters.
    pub clusters: Limiter,
    /// ECS: tasks, services and daemons.
    pub resources: Limiter,
    /// ECS: task definitions.
    pub task_definitions: Limiter,
    /// ECS: service deployments and revisions.
    pub service_deployments: Limiter,
    /// Lambda: `GetFunction`.
    pub get_function: Limiter,
    /// Lambda: everything else.
    pub lambda_control: Limiter,
    /// ECR: moving images to archive storage.
    pub storage_class: Limiter,
}

impl Pace {
    /// Full buckets.
    #[must_use]
    pub fn new(haste: Haste) -> Self {
        let limiter = |share: Share| Limiter::new(share, haste);
        Self {
            clusters: limiter(ECS_CLUSTERS),
            resources: limiter(ECS_RESOURCES),
            task_definitions: limiter(ECS_TASK_DEFINITIONS),
            service_deployments: limiter(ECS_SERVICE_DEPLOYMENTS),
            get_function: limiter(LAMBDA_GET_FUNCTION),
            lambda_control: limiter(LAMBDA_CONTROL),
            storage_class: limiter(ECR_STORAGE_CLASS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_three_quarters_of_the_rate_and_half_the_burst() {
        for (share, per_second, burst) in [
            (ECS_CLUSTERS, 15, 25),
            (ECS_RESOURCES, 15, 50),
            (ECS_TASK_DEFINITIONS, 15, 25),
            (ECS_SERVICE_DEPLOYMENTS, 15, 25),
            (LAMBDA_GET_FUNCTION, 75, 75),
            (LAMBDA_CONTROL, 11, 11),
            (ECR_STORAGE_CLASS, 20, 20),
        ] {
            assert_eq!((share.per_second, share.burst), (per_second, burst));
        }
    }

    #[test]
    fn a_burst_goes_at_once_and_the_next_call_waits() {
        let pace = Pace::new(Haste::NONE);
        assert!((0..25).all(|_| pace.clusters.is_ready()));
        assert!(!pace.clusters.is_ready());
    }
}

//! How fast each service may be asked, per account and region: rows that whoever calls a service declares beside the
//! calls. ECS's read quotas are shared with real deployments, so the function takes no more than its share of them.
//!
//! Operations are counted; the SDK's retries come on top.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};

use crate::clock::Stopwatch;

/// A quota that some calls share, in each region of each account: the function's share of what AWS publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The calls, in IAM's notation.
    pub calls: &'static [&'static str],
    /// Calls per second.
    pub per_second: u32,
    /// How many may be made at once after a pause.
    pub burst: u32,
}

impl Quota {
    /// Three quarters of the published refill rate and half the published burst: the rest is other clients'.
    #[must_use]
    pub const fn share_of(burst: u32, refill: u32, calls: &'static [&'static str]) -> Self {
        Self { calls, per_second: refill * 3 / 4, burst: burst / 2 }
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

/// Lets calls of one quota through at its pace.
#[derive(Debug)]
pub struct Limiter {
    bucket: RateLimiter<NotKeyed, InMemoryState, Stopwatch, NoOpMiddleware<Duration>>,
    clock: Stopwatch,
}

impl Limiter {
    fn new(quota: &Quota, haste: Haste) -> Self {
        let rate = |calls: u32| NonZeroU32::new(calls).unwrap_or(NonZeroU32::MIN).saturating_mul(haste.0);
        let rates = governor::Quota::per_second(rate(quota.per_second)).allow_burst(rate(quota.burst));
        let clock = Stopwatch::start();
        Self { bucket: RateLimiter::direct_with_clock(rates, clock), clock }
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

/// The quotas of one region of one account.
#[derive(Debug)]
pub struct Pace {
    limiters: Vec<Limiter>,
    /// Of each call that has a quota, the place of its limiter.
    of_call: HashMap<&'static str, usize>,
}

impl Pace {
    /// Full buckets.
    pub fn new<'a>(haste: Haste, quotas: impl Iterator<Item = &'a Quota>) -> Self {
        let mut pace = Self { limiters: Vec::new(), of_call: HashMap::new() };
        for quota in quotas {
            pace.of_call.extend(quota.calls.iter().map(|call| (*call, pace.limiters.len())));
            pace.limiters.push(Limiter::new(quota, haste));
        }
        pace
    }

    /// What a call has to wait for; `None` for one without a quota, which is bounded by how many are under way.
    #[must_use]
    pub fn limiter_of(&self, call: &str) -> Option<&Limiter> {
        self.of_call.get(call).map(|place| &self.limiters[*place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTERS: Quota = Quota::share_of(50, 20, &["ecs:ListClusters", "ecs:DescribeClusters"]);
    const TASKS: Quota = Quota::share_of(100, 20, &["ecs:ListTasks"]);

    #[test]
    fn shares_are_three_quarters_of_the_rate_and_half_the_burst() {
        assert_eq!((CLUSTERS.per_second, CLUSTERS.burst), (15, 25));
    }

    #[test]
    fn a_burst_goes_at_once_and_the_next_call_waits_for_all_that_share_it() {
        let pace = Pace::new(Haste::NONE, [CLUSTERS, TASKS].iter());
        let is_ready = |call| pace.limiter_of(call).unwrap().is_ready();
        assert!((0..25).all(|_| is_ready("ecs:ListClusters")));
        assert!(!is_ready("ecs:DescribeClusters"));
        assert!(is_ready("ecs:ListTasks"), "another quota has its own");
        assert!(pace.limiter_of("ecr:DescribeImages").is_none());
    }
}

//! The rate of calls to each service, per account and region. Each module declares quotas beside its calls. Real
//! deployments share ECS's read quotas, so the function uses only its share of them.
//!
//! If other clients use more than the rest, a throttled call slows down all calls of its quota, until calls are
//! answered again.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};

use crate::clock::Stopwatch;

/// A quota that some calls share, in each region of each account. The values are the function's share of AWS's
/// published quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The calls, as IAM actions.
    pub calls: &'static [&'static str],
    /// Calls per second.
    pub per_second: u32,
    /// Calls at once after a pause.
    pub burst: u32,
}

impl Quota {
    /// Three quarters of the published refill rate and half the published burst. The rest is for other clients.
    #[must_use]
    pub const fn share_of(burst: u32, refill: u32, calls: &'static [&'static str]) -> Self {
        Self { calls, per_second: refill * 3 / 4, burst: burst / 2 }
    }
}

/// A factor on the function's share of the quotas: 1 for AWS, more for simulated accounts, where no other client is
/// disturbed.
#[derive(Clone, Copy, Debug)]
pub struct Haste(NonZeroU32);

impl Haste {
    /// The function's share of the published quotas.
    pub const NONE: Self = Self(NonZeroU32::MIN);

    /// This factor, for simulated accounts.
    #[must_use]
    pub const fn times(times: NonZeroU32) -> Self {
        Self(times)
    }
}

/// Delays the calls of one quota to its pace.
#[derive(Debug)]
pub struct Limiter {
    bucket: RateLimiter<NotKeyed, InMemoryState, Stopwatch, NoOpMiddleware<Duration>>,
    clock: Stopwatch,
    /// The time between two calls at the pace of the quota.
    interval: Duration,
    slowed: Mutex<Option<Slowed>>,
}

/// The slower pace of a quota after a throttled call.
#[derive(Clone, Copy, Debug)]
struct Slowed {
    /// Between two calls.
    interval: Duration,
    /// When the next call may be made.
    next: Duration,
    /// When the pace was last lowered. The result of an earlier call says nothing about the pace since.
    at: Duration,
}

/// When a call was allowed.
#[derive(Clone, Copy, Debug)]
pub struct Turn(Duration);

/// The longest time between two calls, regardless of other clients.
const SLOWEST: Duration = Duration::from_secs(5);

impl Limiter {
    fn new(quota: &Quota, haste: Haste) -> Self {
        let rate = |calls: u32| NonZeroU32::new(calls).unwrap_or(NonZeroU32::MIN).saturating_mul(haste.0);
        let rates = governor::Quota::per_second(rate(quota.per_second)).allow_burst(rate(quota.burst));
        let clock = Stopwatch::start();
        let interval = Duration::from_secs(1) / rate(quota.per_second).get();
        Self { bucket: RateLimiter::direct_with_clock(rates, clock), clock, interval, slowed: Mutex::default() }
    }

    /// Waits for the turn of one call. It uses the runtime's timer, which governor's own waiting does not.
    pub async fn until_ready(&self) -> Turn {
        while let Err(early) = self.bucket.check() {
            tokio::time::sleep(early.wait_time_from(self.clock.now())).await;
        }
        // All waiting calls check again at the next turn, because it may have moved.
        loop {
            let now = self.clock.now();
            let turn = match self.slowed().as_mut() {
                Some(slowed) if slowed.next > now => slowed.next,
                Some(slowed) => {
                    slowed.next = now + slowed.interval;
                    return Turn(now);
                }
                None => return Turn(now),
            };
            tokio::time::sleep(turn.saturating_sub(now)).await;
        }
    }

    /// A call that was allowed at that time was throttled. All calls of the quota then run at half the pace.
    pub fn throttled(&self, Turn(made): Turn) {
        let now = self.clock.now();
        let mut slowed = self.slowed();
        let interval = match *slowed {
            Some(Slowed { at, .. }) if made < at => return,
            Some(Slowed { interval, .. }) => interval,
            None => self.interval,
        };
        let interval = (interval * 2).min(SLOWEST);
        *slowed = Some(Slowed { interval, next: now + interval, at: now });
    }

    /// A call was answered. The pace rises a little, until it is that of the quota again.
    pub fn answered(&self) {
        let mut slowed = self.slowed();
        *slowed = slowed.and_then(|Slowed { interval, next, at }| {
            let interval = interval * 31 / 32;
            (interval > self.interval).then_some(Slowed { interval, next, at })
        });
    }

    fn slowed(&self) -> MutexGuard<'_, Option<Slowed>> {
        self.slowed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses a turn if one is available at once, and returns whether it was.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.bucket.check().is_ok()
    }
}

/// The quotas of one region of one account.
#[derive(Debug)]
pub struct Pace {
    limiters: Vec<Limiter>,
    /// For each call with a quota, the index of its limiter.
    of_call: HashMap<&'static str, usize>,
}

impl Pace {
    /// Limiters with full buckets.
    pub fn new<'a>(haste: Haste, quotas: impl Iterator<Item = &'a Quota>) -> Self {
        let mut pace = Self { limiters: Vec::new(), of_call: HashMap::new() };
        for quota in quotas {
            pace.of_call.extend(quota.calls.iter().map(|call| (*call, pace.limiters.len())));
            pace.limiters.push(Limiter::new(quota, haste));
        }
        pace
    }

    /// The limiter of a call; `None` for a call without a quota, whose rate the number of concurrent calls bounds.
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

    #[tokio::test(start_paused = true)]
    async fn a_throttled_call_slows_its_quota_down_until_calls_are_answered_again() {
        let pace = Pace::new(Haste::NONE, [CLUSTERS, TASKS].iter());
        let limiter = pace.limiter_of("ecs:ListClusters").unwrap();
        let clock = Stopwatch::start();
        let seconds_of = async |calls: u32| {
            let begun = clock.now();
            for _ in 0..calls {
                limiter.until_ready().await;
            }
            clock.now().saturating_sub(begun).as_secs_f64()
        };
        assert!(seconds_of(25).await < 0.1, "the burst");
        let first = limiter.until_ready().await;
        let second = limiter.until_ready().await;
        // Two concurrent calls report the same.
        limiter.throttled(second);
        limiter.throttled(first);
        let took = seconds_of(15).await;
        assert!((1.9..2.3).contains(&took), "half as fast: {took} s");
        for _ in 0..4 {
            limiter.throttled(limiter.until_ready().await);
        }
        let took = seconds_of(2).await;
        assert!((4.0..4.6).contains(&took), "a sixteenth of that: {took} s");
        (0..200).for_each(|_| limiter.answered());
        // The tokens added meanwhile allow a burst.
        seconds_of(30).await;
        let took = seconds_of(15).await;
        assert!((0.9..1.1).contains(&took), "as before: {took} s");
        assert!(pace.limiter_of("ecs:ListTasks").unwrap().is_ready(), "another quota goes on");
    }
}

//! Time: the clock of a run, and ages that are correct even if the machine slept.

use std::time::{Duration, SystemTime};

use aws_smithy_async::time::SharedTimeSource;
use chrono::{DateTime, Utc};
use tokio::time::Instant as Awake;

/// The clock of a run. The SDK signs requests with the same clock, so that a test sets both at once.
#[derive(Clone, Debug, Default)]
pub struct Clock(SharedTimeSource);

/// A moment by two clocks. One can't be set, but may stop while the machine sleeps. The other continues, but may be
/// set. Sleep, or a paused virtual machine, must not make old knowledge look young.
#[derive(Clone, Copy, Debug)]
pub struct Instant {
    awake: Awake,
    clock: SystemTime,
}

impl Clock {
    /// A clock that reads the time from `source`.
    #[must_use]
    pub fn of(source: SharedTimeSource) -> Self {
        Self(source)
    }

    /// Now, as the start of an age.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant { awake: Awake::now(), clock: self.0.now() }
    }

    /// Now, in UTC.
    #[must_use]
    pub fn utc(&self) -> DateTime<Utc> {
        self.0.now().into()
    }

    /// Whether a time that this clock returned is longer ago than `age`. True if the clock was set back since.
    #[must_use]
    pub fn is_longer_ago(&self, time: DateTime<Utc>, age: Duration) -> bool {
        self.utc().signed_duration_since(time).to_std().map_or(true, |since| since > age)
    }

    /// The age of an instant, by the clock that shows more.
    #[must_use]
    pub fn age_of(&self, instant: Instant) -> Duration {
        // A clock that was set back shows no age. Then the other clock counts.
        instant.awake.elapsed().max(self.0.now().duration_since(instant.clock).unwrap_or_default())
    }
}

/// The time since its start, by the clock of the runtime. Tests can pause that clock, as they can every timer here.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Awake);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Awake::now())
    }
}

impl governor::clock::Clock for Stopwatch {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_as_old_as_the_clock_says_that_went_further() {
        let hour = Duration::from_hours(1);
        let clock = Clock::default();
        let now = clock.now();
        let slept = Instant { clock: now.clock - hour, ..now };
        assert!(clock.age_of(slept) >= hour, "the machine slept");
        let set_back = Instant { clock: now.clock + hour, ..now };
        assert!(clock.age_of(set_back) < hour, "the clock was set back");
        assert!(clock.age_of(now) < hour);
    }

    #[test]
    fn a_time_that_is_still_to_come_is_as_good_as_long_ago() {
        let (clock, hour) = (Clock::default(), Duration::from_hours(1));
        for (time, is_longer_ago) in [(clock.utc(), false), (clock.utc() - hour * 2, true), (clock.utc() + hour, true)]
        {
            assert_eq!(clock.is_longer_ago(time, hour), is_longer_ago, "{time}");
        }
    }
}

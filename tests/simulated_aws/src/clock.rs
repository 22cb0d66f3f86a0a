//! The account's clock: the clock of this machine, or the clock of the runtime, which a test may pause.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_async::time::TimeSource;
use tokio::time::Instant;

/// The first time of an account in memory, since 1970: 2026-09-01 at noon. It never changes, so a failed test fails again.
const BEGINNING: Duration = Duration::from_hours(496_740);

/// The clock of an account.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    /// The clock that other processes use too.
    OfTheMachine,
    /// The clock of the runtime. Paused by a test, it advances only while every task waits.
    OfTheRuntime {
        /// The start of the account.
        began: Instant,
    },
}

impl Clock {
    /// The clock of the runtime, started now.
    pub(crate) fn of_the_runtime() -> Self {
        Self::OfTheRuntime { began: Instant::now() }
    }

    /// The seconds since 1970. AWS's services write times in this format.
    pub(crate) fn seconds(self) -> f64 {
        self.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        match self {
            Self::OfTheMachine => SystemTime::now(),
            Self::OfTheRuntime { began } => UNIX_EPOCH + BEGINNING + began.elapsed(),
        }
    }
}

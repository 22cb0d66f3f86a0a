//! The account's clock: this machine's, or one that stands still while anybody is at work.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_async::time::TimeSource;
use tokio::time::Instant;

/// When the time of an account in memory begins: 2026-09-01, at noon. It is the same for every one, so that what was seen
/// once is seen again.
const BEGINNING: Duration = Duration::from_hours(496_740);

/// What tells the account the time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    /// The clock that other processes go by too.
    OfTheMachine,
    /// The runtime's, which a test may pause: it then goes on only when everybody waits.
    OfTheRuntime {
        /// When it began.
        began: Instant,
    },
}

impl Clock {
    /// The runtime's clock, from now on.
    pub(crate) fn of_the_runtime() -> Self {
        Self::OfTheRuntime { began: Instant::now() }
    }

    /// The seconds since 1970, as the services write times.
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

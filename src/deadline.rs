//! How long a run may last. Lambda ends the process at its deadline in any case, and a user may interrupt the run
//! earlier.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ecr_cleanup_core::call_error::GivenUp;
use tokio::time::Instant;

/// No new batch starts when less time than this is left. It is for finishing the batches under way and returning the
/// report.
pub const MARGIN_FOR_THE_REPORT: Duration = Duration::from_secs(10);
/// Every call ends at least this long before the deadline.
pub const MARGIN_FOR_A_CALL: Duration = Duration::from_secs(2);

/// When the run must have answered, and how a user interrupts it.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Option<Instant>,
    /// Set at most once, from outside of the run.
    interrupted: Option<&'static AtomicBool>,
    /// The time that must be left to begin a new step.
    margin: Duration,
}

impl Deadline {
    /// No deadline, or an unknown one.
    #[must_use]
    pub fn unknown() -> Self {
        Self { at: None, interrupted: None, margin: MARGIN_FOR_THE_REPORT }
    }

    /// The same for the rest of a step that was begun. It may use all time but that for a call, and interruptions don't
    /// stop it.
    #[must_use]
    pub fn to_finish(self) -> Self {
        Self { interrupted: None, margin: MARGIN_FOR_A_CALL, ..self }
    }

    /// The same, and nothing new begins once `interrupted` is set. Steps under way still finish.
    #[must_use]
    pub fn unless(self, interrupted: &'static AtomicBool) -> Self {
        Self { interrupted: Some(interrupted), ..self }
    }

    /// The deadline that Lambda sends with an invocation, in milliseconds since 1970.
    ///
    /// A deadline in the past counts as unknown rather than reached, because local emulators send such deadlines.
    #[must_use]
    pub fn from_lambda(deadline_ms: u64, clock: SystemTime) -> Self {
        let left = UNIX_EPOCH
            .checked_add(Duration::from_millis(deadline_ms))
            .and_then(|deadline| deadline.duration_since(clock).ok())
            .filter(|left| !left.is_zero());
        Self { at: left.and_then(|left| Instant::now().checked_add(left)), ..Self::unknown() }
    }

    /// Whether there is time to start something new and still report on it.
    ///
    /// # Errors
    /// When there is too little time, or the run was interrupted.
    pub fn allows_more(self) -> Result<(), GivenUp> {
        self.allows_a_call()?;
        match self.at {
            Some(at) if at.saturating_duration_since(Instant::now()) < self.margin => Err(GivenUp::DeadlineReached),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a call may begin that belongs to a step under way.
    ///
    /// # Errors
    /// When the run was interrupted.
    pub fn allows_a_call(self) -> Result<(), GivenUp> {
        match self.interrupted {
            Some(interrupted) if interrupted.load(Ordering::Relaxed) => Err(GivenUp::Interrupted),
            Some(_) | None => Ok(()),
        }
    }

    /// Waits for a call, but no longer than the deadline allows.
    ///
    /// # Errors
    /// When the deadline is too near. The call is then dropped.
    pub async fn bound<T>(self, call: impl Future<Output = T>) -> Result<T, GivenUp> {
        match self.at.and_then(|at| at.checked_sub(MARGIN_FOR_A_CALL)) {
            Some(at) => tokio::time::timeout_at(at, call).await.map_err(|_| GivenUp::DeadlineReached),
            None => Ok(call.await),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_seconds(seconds: i64) -> Deadline {
        let clock = UNIX_EPOCH + Duration::from_secs(1_000_000);
        Deadline::from_lambda(u64::try_from(1_000_000_000 + seconds * 1_000).unwrap(), clock)
    }

    #[test]
    fn the_last_ten_seconds_are_for_the_report() {
        for (left, allows_more) in [(900, true), (12, true), (9, false), (1, false)] {
            assert_eq!(in_seconds(left).allows_more().is_ok(), allows_more, "{left} s left");
        }
    }

    #[test]
    fn what_was_begun_may_use_all_but_the_last_two_seconds() {
        let flag: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(true)));
        for (left, allows_more) in [(900, true), (9, true), (3, true), (1, false)] {
            let deadline = in_seconds(left).unless(flag);
            assert_eq!(deadline.to_finish().allows_more().is_ok(), allows_more, "{left} s left");
            assert!(deadline.allows_more().is_err(), "{left} s left");
        }
    }

    #[test]
    fn a_deadline_in_the_past_or_beyond_all_time_is_unknown() {
        for deadline in
            [in_seconds(0), in_seconds(-60), Deadline::from_lambda(0, SystemTime::now()), Deadline::unknown()]
        {
            assert!(deadline.allows_more().is_ok(), "{deadline:?}");
        }
        assert!(Deadline::from_lambda(u64::MAX, SystemTime::now()).allows_more().is_ok());
    }

    #[tokio::test]
    async fn a_call_ends_two_seconds_before_the_deadline() {
        let never = std::future::pending::<()>();
        assert_eq!(in_seconds(2).bound(never).await, Err(GivenUp::DeadlineReached));
        assert_eq!(in_seconds(60).bound(async { 1 }).await, Ok(1));
    }

    #[tokio::test]
    async fn an_interrupted_run_begins_nothing_and_ends_what_is_under_way() {
        let flag: &'static AtomicBool = Box::leak(Box::default());
        for deadline in [Deadline::unknown().unless(flag), in_seconds(60).unless(flag)] {
            flag.store(false, Ordering::Relaxed);
            assert_eq!((deadline.allows_more(), deadline.allows_a_call()), (Ok(()), Ok(())));
            flag.store(true, Ordering::Relaxed);
            assert_eq!(deadline.allows_more(), Err(GivenUp::Interrupted));
            assert_eq!(deadline.allows_a_call(), Err(GivenUp::Interrupted));
            assert_eq!(deadline.bound(async { 1 }).await, Ok(1));
        }
    }
}

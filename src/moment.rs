//! When something was seen, so that its age can be told also by a machine that slept in between.

use std::time::{Duration, Instant, SystemTime};

/// A moment by two clocks: one that nobody sets but that may stand still while the machine sleeps, and one that goes on
/// but may be set. A laptop's lid, or a paused virtual machine, must not make old knowledge look young.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    awake: Instant,
    clock: SystemTime,
}

impl Moment {
    /// This one.
    #[must_use]
    pub fn now() -> Self {
        Self { awake: Instant::now(), clock: SystemTime::now() }
    }

    /// How long ago it was, by the clock that says more.
    #[must_use]
    pub fn age(&self) -> Duration {
        // A clock that was set back tells no age, and then the other one counts.
        self.awake.elapsed().max(self.clock.elapsed().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_as_old_as_the_clock_says_that_went_further() {
        let hour = Duration::from_hours(1);
        let now = Moment::now();
        let slept = Moment { clock: now.clock - hour, ..now };
        assert!(slept.age() >= hour, "the machine slept");
        let set_back = Moment { clock: now.clock + hour, ..now };
        assert!(set_back.age() < hour, "the clock was set back");
        assert!(now.age() < hour);
    }
}

//! Usage that is never older than it may be: it is discovered again when it is.

use std::sync::Arc;
use std::time::Duration;

use ecr_cleanup_core::call_error::GivenUp;
use ecr_cleanup_core::usage::{Usage, UsageIncomplete};
use futures::lock::Mutex;

use super::{Places, Reading};
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::progress::Silent;

/// How old usage may be.
#[derive(Clone, Copy, Debug)]
pub struct FreshnessLimits {
    /// Nothing is deleted on what was asked for longer ago than this, unless reading it takes more than half as long:
    /// then the limit is twice the reading.
    pub max_age: Duration,
    /// How long a delete may take with all its retries. It is over before usage is too old.
    pub delete_timeout: Duration,
    /// No image is deleted that was described longer ago than this.
    pub image_max_age: Duration,
    /// No image is archived on a listing of its repository that began longer ago than this, unless listing takes more than
    /// a quarter as long: then the limit is four times the listing.
    pub listing_max_age: Duration,
    /// A repository that was read longer ago than this at its first delete is planned again.
    pub plan_max_age: Duration,
}

impl FreshnessLimits {
    /// What the contract says, time for a few retries, time for the few batches that are described at once, and
    /// few listings beside the 600 images that are archived in that time.
    pub const CONTRACT: Self = Self {
        max_age: Duration::from_mins(5),
        delete_timeout: Duration::from_secs(30),
        image_max_age: Duration::from_secs(5),
        listing_max_age: Duration::from_secs(30),
        plan_max_age: Duration::from_mins(5),
    };
}

/// The latest reading, renewed on demand. All who ask while it is renewed wait for the same answer.
#[derive(Debug)]
pub struct FreshUsage<'a> {
    places: &'a Places,
    limits: FreshnessLimits,
    deadline: Deadline,
    latest: Mutex<Latest>,
}

/// A reading, and how old it may become.
#[derive(Debug)]
struct Latest {
    reading: Reading,
    age_limit: Duration,
}

/// Why usage is not known any more.
#[derive(Debug, thiserror::Error)]
pub enum NotFresh {
    /// It could not be read in full.
    #[error(transparent)]
    Incomplete(#[from] UsageIncomplete),
    /// There is no time left to read it, or the run was interrupted.
    #[error(transparent)]
    GivenUp(#[from] GivenUp),
}

impl<'a> FreshUsage<'a> {
    /// Begins with what was discovered before.
    #[must_use]
    pub fn new(places: &'a Places, first: Reading, limits: FreshnessLimits, deadline: Deadline) -> Self {
        let latest = Latest { age_limit: limits.age_limit_of_first(&first), reading: first };
        Self { places, limits, deadline, latest: Mutex::new(latest) }
    }

    /// The clock that ages are told by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.places.clock()
    }

    /// When the run must have answered.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// How old usage may be.
    #[must_use]
    pub fn limits(&self) -> FreshnessLimits {
        self.limits
    }

    /// What was known last, and how old that may be.
    #[must_use]
    pub fn into_latest(self) -> (Arc<Usage>, Duration) {
        let Latest { reading, age_limit } = self.latest.into_inner();
        (reading.usage, age_limit)
    }

    /// How old usage may be by now, which depends on how long it takes to read.
    pub async fn age_limit(&self) -> Duration {
        self.latest.lock().await.age_limit
    }

    /// What is in use, young enough for a delete.
    ///
    /// # Errors
    /// When it can't be read in full, or there is no time for that.
    pub async fn now(&self) -> Result<Arc<Usage>, NotFresh> {
        let mut latest = self.latest.lock().await;
        if self.clock().age_of(latest.reading.begun_at) + self.limits.delete_timeout > latest.age_limit {
            self.deadline.allows_more()?;
            let renewed = self.places.read(self.deadline, &Silent).await;
            let age_limit = self.limits.for_reading_of(renewed.took);
            tracing::info!(
                references = renewed.usage.known().references().len(),
                complete = renewed.usage.complete().is_ok(),
                seconds = renewed.took.as_secs(),
                age_limit_seconds = age_limit.as_secs(),
                "usage discovered again"
            );
            self.deadline.allows_more()?;
            *latest = Latest { reading: renewed, age_limit };
        }
        match latest.reading.usage.complete() {
            Err(incomplete) => Err(incomplete.clone().into()),
            Ok(_) => Ok(Arc::clone(&latest.reading.usage)),
        }
    }
}

impl FreshnessLimits {
    /// How old a run's first reading may be. Where it read what never changes as well, it does not tell how long what
    /// changes takes.
    #[must_use]
    pub fn age_limit_of_first(self, reading: &Reading) -> Duration {
        if reading.read_facts { self.max_age } else { self.for_reading_of(reading.took) }
    }

    /// How old usage may be that took this long to read, nothing but what changes.
    fn for_reading_of(self, took: Duration) -> Duration {
        self.max_age.max(took * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_at_most_five_minutes_old_when_a_delete_ends() {
        let FreshnessLimits { max_age, delete_timeout, plan_max_age, .. } = FreshnessLimits::CONTRACT;
        assert_eq!((max_age.as_secs(), plan_max_age.as_secs()), (300, 300));
        assert!(delete_timeout < max_age);
    }

    #[test]
    fn what_takes_long_to_read_may_be_twice_as_old() {
        for (took, age) in [(0, 300), (60, 300), (150, 300), (151, 302), (400, 800)] {
            let age_limit = FreshnessLimits::CONTRACT.for_reading_of(Duration::from_secs(took));
            assert_eq!(age_limit.as_secs(), age, "{took} s");
        }
    }
}

//! Usage within its age limit. It is discovered again when it is too old.

use std::sync::Arc;
use std::time::Duration;

use ecr_cleanup_core::call_error::GivenUp;
use ecr_cleanup_core::usage::{Usage, UsageIncomplete};
use futures::lock::Mutex;

use super::{Places, Reading};
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::progress::Silent;

/// Age limits for data on which deletes are based.
#[derive(Clone, Copy, Debug)]
pub struct FreshnessLimits {
    /// The maximum age of usage at a delete, from the first call of the reading. If reading takes more than half as
    /// long, the limit is twice the reading time.
    pub max_age: Duration,
    /// The time limit of a delete call with all its retries. The call ends before usage is too old.
    pub delete_timeout: Duration,
    /// The maximum age of an image's description at its delete.
    pub image_max_age: Duration,
    /// The maximum age of a repository's listing when an image is archived, from the start of the listing. If listing
    /// takes more than a quarter as long, the limit is four times the listing time.
    pub listing_max_age: Duration,
    /// The maximum age of a repository's plan at its first delete. An older plan is made again.
    pub plan_max_age: Duration,
}

impl FreshnessLimits {
    /// The contract's age limits for usage and plans. The others leave time for a few retries, for describing a few
    /// batches at once, and for few listings beside the 600 images that are archived in that time.
    pub const CONTRACT: Self = Self {
        max_age: Duration::from_mins(5),
        delete_timeout: Duration::from_secs(30),
        image_max_age: Duration::from_secs(5),
        listing_max_age: Duration::from_secs(30),
        plan_max_age: Duration::from_mins(5),
    };
}

/// The latest reading, renewed on demand. Concurrent callers wait for the same renewal.
#[derive(Debug)]
pub struct FreshUsage<'a> {
    places: &'a Places,
    limits: FreshnessLimits,
    deadline: Deadline,
    latest: Mutex<Latest>,
}

/// A reading, and its age limit.
#[derive(Debug)]
struct Latest {
    reading: Reading,
    age_limit: Duration,
}

/// Why there is no usage within its age limit.
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
    /// Begins with the first reading of the run.
    #[must_use]
    pub fn new(places: &'a Places, first: Reading, limits: FreshnessLimits, deadline: Deadline) -> Self {
        let latest = Latest { age_limit: limits.age_limit_of_first(&first), reading: first };
        Self { places, limits, deadline, latest: Mutex::new(latest) }
    }

    /// The clock for ages.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.places.clock()
    }

    /// When the run must have answered.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// The age limits.
    #[must_use]
    pub fn limits(&self) -> FreshnessLimits {
        self.limits
    }

    /// The latest usage, and its age limit.
    #[must_use]
    pub fn into_latest(self) -> (Arc<Usage>, Duration) {
        let Latest { reading, age_limit } = self.latest.into_inner();
        (reading.usage, age_limit)
    }

    /// The current age limit, which depends on the reading time.
    pub async fn age_limit(&self) -> Duration {
        self.latest.lock().await.age_limit
    }

    /// The images in use, young enough for a delete.
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
                "discovered usage again, because it was too old for a delete"
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
    /// The age limit of a run's first reading. If that reading included facts that never change, its duration says
    /// nothing about the time for reading state alone.
    #[must_use]
    pub fn age_limit_of_first(self, reading: &Reading) -> Duration {
        if reading.read_facts { self.max_age } else { self.for_reading_of(reading.took) }
    }

    /// The age limit of a reading of state alone that took this long.
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

//! Usage that is never older than it may be: it is discovered again when it is.

use std::sync::Arc;
use std::time::Duration;

use futures::lock::Mutex;

use super::discover::{Discovery, Sources};
use super::incomplete::UsageIncomplete;
use crate::clock::Clock;
use crate::deadline::{Deadline, GivenUp};
use crate::progress::Unattended;

/// How old usage may be.
#[derive(Clone, Copy, Debug)]
pub struct FreshnessLimits {
    /// Nothing is deleted on what was known longer ago than this.
    pub max_age: Duration,
    /// How long a delete may take with all its retries. It is over before usage is too old.
    pub delete_timeout: Duration,
    /// No image is deleted that was described longer ago than this.
    pub image_max_age: Duration,
}

impl FreshnessLimits {
    /// What the contract says, time for a few retries, and time for the few batches that are described at once.
    pub const CONTRACT: Self = Self {
        max_age: Duration::from_mins(5),
        delete_timeout: Duration::from_secs(30),
        image_max_age: Duration::from_secs(5),
    };
}

/// The latest discovery, renewed on demand. All who ask while it is renewed wait for the same answer.
#[derive(Debug)]
pub struct FreshUsage<'a> {
    sources: &'a Sources,
    limits: FreshnessLimits,
    deadline: Deadline,
    latest: Mutex<Arc<Discovery>>,
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
    pub fn new(sources: &'a Sources, first: Arc<Discovery>, limits: FreshnessLimits, deadline: Deadline) -> Self {
        Self { sources, limits, deadline, latest: Mutex::new(first) }
    }

    /// The clock that ages are told by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.sources.clock()
    }

    /// How old usage may be.
    #[must_use]
    pub fn limits(&self) -> FreshnessLimits {
        self.limits
    }

    /// What was known last.
    #[must_use]
    pub fn into_latest(self) -> Arc<Discovery> {
        self.latest.into_inner()
    }

    /// What is in use, young enough for a delete.
    ///
    /// # Errors
    /// When it can't be read in full, or there is no time for that.
    pub async fn now(&self) -> Result<Arc<Discovery>, NotFresh> {
        let mut latest = self.latest.lock().await;
        if self.clock().age_of(latest.completed_at) + self.limits.delete_timeout > self.limits.max_age {
            self.deadline.allows_more()?;
            let renewed = self.sources.discover(self.deadline, &Unattended).await;
            tracing::info!(
                references = renewed.usage.references().len(),
                complete = renewed.incomplete.is_none(),
                "usage discovered again"
            );
            self.deadline.allows_more()?;
            *latest = Arc::new(renewed);
        }
        match &latest.incomplete {
            Some(incomplete) => Err(incomplete.clone().into()),
            None => Ok(Arc::clone(&latest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_at_most_five_minutes_old_when_a_delete_ends() {
        let FreshnessLimits { max_age, delete_timeout, image_max_age: _ } = FreshnessLimits::CONTRACT;
        assert_eq!(max_age.as_secs(), 300);
        assert!(delete_timeout < max_age);
    }
}

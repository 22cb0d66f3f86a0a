//! Decides whether to continue archiving a repository's images, which are archived one per call.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::plan::{ImageResult, Unattempted};

use super::new_indexes::NewIndexes;
use super::writer::failed;

/// The state of archiving in a repository.
pub(super) struct Archiving {
    pub(super) new_indexes: NewIndexes,
    failures_in_a_row: u32,
    refused: Option<ImageResult>,
}

impl Archiving {
    /// Consecutive failures after which archiving stops. Each call has already been retried several times.
    const FAILURES: u32 = 3;

    /// For a repository that was read at `read_at`. It is listed again when that listing is older than
    /// `listing_max_age`.
    pub(super) fn since(read_at: DateTime<Utc>, listing_max_age: Duration) -> Self {
        Self { new_indexes: NewIndexes::since(read_at, listing_max_age), failures_in_a_row: 0, refused: None }
    }

    pub(super) fn went_well(&mut self) {
        (self.failures_in_a_row, self.refused) = (0, None);
    }

    pub(super) fn count(&mut self, error: &CallError) {
        self.failures_in_a_row += 1;
        self.refused = error.is_refusal().then(|| refused_or_failed(error));
    }

    pub(super) fn give_up(&mut self) {
        self.failures_in_a_row = Self::FAILURES;
    }

    /// The result of the remaining images, if archiving has stopped.
    pub(super) fn given_up(&self) -> Option<ImageResult> {
        let failed_too_often = self.failures_in_a_row >= Self::FAILURES;
        let not_attempted = || failed_too_often.then_some(ImageResult::NotAttempted(Unattempted::ArchivingFailed));
        self.refused.clone().or_else(not_attempted)
    }
}

/// A missing permission is not a failure, because it may be intended.
pub(super) fn refused_or_failed(error: &CallError) -> ImageResult {
    if error.is_refusal() { ImageResult::NotAllowed(Box::new(error.clone())) } else { failed(error) }
}

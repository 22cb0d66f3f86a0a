//! Whether it is worth while to go on archiving a repository's images, which go one by one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ecr_cleanup_core::call_error::CallError;
use ecr_cleanup_core::plan::{ImageResult, Unattempted};

use super::new_indexes::NewIndexes;
use super::writer::failed;

/// How archiving the images of a repository goes.
pub(super) struct Archiving {
    pub(super) new_indexes: NewIndexes,
    failures_in_a_row: u32,
    refused: Option<ImageResult>,
}

impl Archiving {
    /// The calls that may fail one after the other. Each has been tried again and again by then.
    const FAILURES: u32 = 3;

    /// Of a repository that was read then, and is listed again once that is so long ago.
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

    /// What becomes of those whose turn does not come.
    pub(super) fn given_up(&self) -> Option<ImageResult> {
        let failed_too_often = self.failures_in_a_row >= Self::FAILURES;
        let not_attempted = || failed_too_often.then_some(ImageResult::NotAttempted(Unattempted::ArchivingFailed));
        self.refused.clone().or_else(not_attempted)
    }
}

/// What the role may not do is no failure: it may be meant so.
pub(super) fn refused_or_failed(error: &CallError) -> ImageResult {
    if error.is_refusal() { ImageResult::NotAllowed(Box::new(error.clone())) } else { failed(error) }
}

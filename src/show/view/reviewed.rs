//! A reviewed plan that was carried out, as the renderers read it.

use ecr_cleanup_core::plan::{ImageResult, SkipReason};

use super::{View, with_why};
use crate::show::figures::count;

/// What became of a reviewed plan, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewedView {
    /// How much of it was done: `121 of the plan's 130 images deleted, 9 not stale any more`.
    pub carried_out: String,
    /// The images that are stale, and not in the plan.
    pub others_stale: u64,
}

impl ReviewedView {
    /// What became of the stale images that are not in the plan, in a sentence; `None` where there are none.
    #[must_use]
    pub fn not_in_plan(&self) -> Option<String> {
        match self.others_stale {
            0 => None,
            1 => Some("1 more stale image isn't in the plan and was not deleted.".to_owned()),
            others => Some(format!("{} more stale images aren't in the plan and were not deleted.", count(others))),
        }
    }
}

impl View {
    /// The same, counted against the plan that a person had reviewed. The images that are not in it are then counted once,
    /// and not by repository as well.
    #[must_use]
    pub fn with_reviewed(mut self, reviewed: ReviewedView) -> Self {
        let skipped = ImageResult::Skipped(SkipReason::NotReviewed);
        let not_reviewed = with_why(skipped.as_str(), Some(SkipReason::NotReviewed.as_str()));
        for repository in &mut self.repositories {
            repository.undone.remove(&not_reviewed);
        }
        self.reviewed = Some(reviewed);
        self
    }
}

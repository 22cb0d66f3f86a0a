//! The guard that lets a plan be carried out, or refuses it.

use serde::{Deserialize, Serialize};

use super::{ImageResult, Plan, StaleImage};
use crate::clock_skew::ClockSkew;
use crate::usage::{Usage, UsageIncomplete};

/// A plan that may be carried out.
#[derive(Debug)]
#[must_use = "an approved plan deletes nothing until it is applied"]
pub struct ApprovedPlan(Plan);

/// Why a live run deletes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// What is in use is not known in full, from the start or any more.
    #[error("what is in use is not known in full, so nothing{} was deleted: {incomplete}", if *.images_done > 0 { " more" } else { "" })]
    UsageIncomplete {
        /// What could not be read.
        incomplete: UsageIncomplete,
        /// The images that were deleted or archived while it was known.
        images_done: u64,
    },
    /// More images are stale than may be deleted.
    #[error(
        "{stale} images are stale and maxDeletions is {max_deletions}, so nothing was deleted; look at a dry run, then raise maxDeletions"
    )]
    TooManyDeletions {
        /// The images that are stale.
        stale: u64,
        /// The most that may be deleted.
        max_deletions: u64,
    },
    /// The run's clock is wrong, and ages are told by it.
    #[error("{0}, so ages would be wrong, and nothing was deleted; set the clock")]
    ClockSkew(ClockSkew),
}

impl Plan {
    /// Lets the plan be carried out, or tells why it may not be. A refused plan is handed back for the report.
    ///
    /// # Errors
    /// When usage is incomplete anywhere, or more images are stale than `max_deletions`.
    pub fn approve(self, usage: &Usage, max_deletions: Option<u64>) -> Result<ApprovedPlan, (Self, Refusal)> {
        if let Err(incomplete) = usage.complete() {
            let incomplete = incomplete.clone();
            return Err((self, Refusal::UsageIncomplete { incomplete, images_done: 0 }));
        }
        let stale = self.stale().filter(|image| image.result == ImageResult::Planned).count() as u64;
        match max_deletions {
            Some(max_deletions) if stale > max_deletions => {
                Err((self, Refusal::TooManyDeletions { stale, max_deletions }))
            }
            Some(_) | None => Ok(ApprovedPlan(self)),
        }
    }

    /// Where usage could not be read again while the plan was carried out: the refusal of what was left.
    #[must_use]
    pub fn refusal_of_the_rest(&self, latest: &Usage) -> Option<Refusal> {
        let incomplete = latest.incomplete().cloned()?;
        let is_done = |image: &&StaleImage| matches!(image.result, ImageResult::Deleted | ImageResult::Archived);
        let images_done = self.stale().filter(is_done).count() as u64;
        Some(Refusal::UsageIncomplete { incomplete, images_done })
    }
}

impl ApprovedPlan {
    /// What was approved, for whoever carries it out.
    #[must_use]
    pub fn into_plan(self) -> Plan {
        self.0
    }
}

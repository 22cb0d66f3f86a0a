//! The guard: it approves a plan, or refuses it.

use serde::{Deserialize, Serialize};

use super::{ImageResult, Plan, StaleImage};
use crate::clock_skew::ClockSkew;
use crate::memory::{CarriedOut, MemoryTrouble};
use crate::usage::{Usage, UsageIncomplete};

/// A plan that may be carried out.
#[derive(Debug)]
#[must_use = "an approved plan deletes nothing until it is applied"]
pub struct ApprovedPlan(Plan);

/// Why a live run deletes nothing, or nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Usage data is incomplete, from the start or since a later reading.
    #[error("can't determine which images are in use, so nothing{} was deleted: {incomplete}", if *.images_done > 0 { " more" } else { "" })]
    UsageIncomplete {
        /// The data that could not be read.
        incomplete: UsageIncomplete,
        /// The number of images that were deleted or archived before.
        images_done: u64,
    },
    /// More images are stale than `maxDeletions` allows.
    #[error(
        "{stale} images are stale and maxDeletions is {max_deletions}. Nothing was deleted. Review a dry run, then raise maxDeletions"
    )]
    TooManyDeletions {
        /// The number of stale images.
        stale: u64,
        /// The maximum number.
        max_deletions: u64,
    },
    /// The data that earlier runs stored can't be read.
    #[error(
        "can't read the memory, so nothing was deleted: {0}. To run without it, leave memory out (in a terminal: --no-memory)"
    )]
    MemoryUnavailable(Box<MemoryTrouble>),
    /// Another run has carried out the saved plan in the meantime.
    #[error("{0}. Nothing was deleted")]
    PlanCarriedOut(CarriedOut),
    /// The run's clock is wrong, and so are all ages.
    #[error("{0}. Image ages would be wrong, so nothing was deleted. Correct the clock")]
    ClockSkew(ClockSkew),
}

impl Plan {
    /// Approves the plan, or returns it for the report with the reason for the refusal.
    ///
    /// # Errors
    /// If usage data is incomplete anywhere, or more images are stale than `max_deletions`.
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

    /// The refusal of the remaining deletes, if usage data could not be read completely while the plan was carried out.
    #[must_use]
    pub fn refusal_of_the_rest(&self, latest: &Usage) -> Option<Refusal> {
        let incomplete = latest.incomplete().cloned()?;
        let is_done = |image: &&StaleImage| matches!(image.result, ImageResult::Deleted | ImageResult::Archived);
        let images_done = self.stale().filter(is_done).count() as u64;
        Some(Refusal::UsageIncomplete { incomplete, images_done })
    }
}

impl ApprovedPlan {
    /// The approved plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.0
    }

    /// The approved plan, to be carried out.
    #[must_use]
    pub fn into_plan(self) -> Plan {
        self.0
    }
}

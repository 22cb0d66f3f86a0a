//! Usage: the images that workloads use, and the workloads that use each image.

mod fact;
mod holder;
mod incomplete;
mod snapshot;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use fact::{Fact, FactImage};
pub use holder::{Holder, HolderKind};
pub use incomplete::{Cause, UsageIncomplete};
pub use snapshot::{RepositoryUsage, UnreadableUse, UsageSnapshot};

use crate::account::{AccountId, Region};

/// The usage data of a run, and whether it is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The accounts whose workloads were read.
    pub accounts: BTreeSet<AccountId>,
    /// The regions in which workloads of any account were read.
    pub regions: BTreeSet<Region>,
    known: UsageSnapshot,
    incomplete: Option<UsageIncomplete>,
}

impl Usage {
    /// The usage data that was read. It is complete if `incomplete` is `None`.
    #[must_use]
    pub fn new(
        accounts: BTreeSet<AccountId>,
        regions: BTreeSet<Region>,
        known: UsageSnapshot,
        incomplete: Option<UsageIncomplete>,
    ) -> Self {
        Self { accounts, regions, known, incomplete }
    }

    /// The usage data if it is complete: only then may images be deleted.
    ///
    /// # Errors
    /// If it is incomplete.
    pub fn complete(&self) -> Result<&UsageSnapshot, &UsageIncomplete> {
        self.incomplete.as_ref().map_or(Ok(&self.known), Err)
    }

    /// The usage data, complete or not. It is enough for a plan and a report.
    #[must_use]
    pub fn known(&self) -> &UsageSnapshot {
        &self.known
    }

    /// Why the usage data is incomplete; `None` if it is complete.
    #[must_use]
    pub fn incomplete(&self) -> Option<&UsageIncomplete> {
        self.incomplete.as_ref()
    }
}

//! Which images workloads use, and who uses each: a value that says nothing of what follows from it.

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

/// What is known of usage, and whether that is all there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The accounts whose workloads were read.
    pub accounts: BTreeSet<AccountId>,
    /// The regions whose workloads were read, of any account.
    pub regions: BTreeSet<Region>,
    known: UsageSnapshot,
    incomplete: Option<UsageIncomplete>,
}

impl Usage {
    /// What was read. With a cause, it is not all there is.
    #[must_use]
    pub fn new(
        accounts: BTreeSet<AccountId>,
        regions: BTreeSet<Region>,
        known: UsageSnapshot,
        incomplete: Option<UsageIncomplete>,
    ) -> Self {
        Self { accounts, regions, known, incomplete }
    }

    /// All that is in use: the only usage that anything may be deleted on.
    ///
    /// # Errors
    /// When it is not known in full.
    pub fn complete(&self) -> Result<&UsageSnapshot, &UsageIncomplete> {
        self.incomplete.as_ref().map_or(Ok(&self.known), Err)
    }

    /// What is known to be in use, be it all or not: enough to plan and to report on.
    #[must_use]
    pub fn known(&self) -> &UsageSnapshot {
        &self.known
    }

    /// Why it is not known in full.
    #[must_use]
    pub fn incomplete(&self) -> Option<&UsageIncomplete> {
        self.incomplete.as_ref()
    }
}

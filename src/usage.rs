//! Which images workloads use, and who holds each.
//!
//! A snapshot is complete only when every source finished every page. It knows nothing of retention: it says who holds
//! an image, not what follows from it.

mod cache;
mod discover;
mod ecs;
mod findings;
mod fresh;
mod incomplete;
mod lambda;
mod snapshot;

pub use discover::{Discovery, OwnAccount, Sources, UsageScope};
pub use findings::Source;
pub use fresh::{FreshUsage, FreshnessLimits, NotFresh};
pub use incomplete::{Cause, UsageIncomplete};
pub use snapshot::{Holder, HolderKind, RepositoryUsage, UnreadableUse, UsageSnapshot};

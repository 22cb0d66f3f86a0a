//! Which images workloads use, and who holds each.
//!
//! A snapshot is complete only when every source finished every page. It knows nothing of retention: it says who holds
//! an image, not what follows from it.

mod discover;
mod ecs_tasks;
mod incomplete;
mod snapshot;

pub use discover::{Discovery, Places, discover};
pub use incomplete::{Cause, UsageIncomplete};
pub use snapshot::{Holder, HolderKind, RepositoryUsage, UnreadableUse, UsageSnapshot};

//! Finds the images in use: the account and its regions, and then the answer of every source in each region.

mod fresh;
mod identity;
mod places;

pub use fresh::{FreshUsage, FreshnessLimits, NotFresh};
pub use identity::{Identity, NotIdentified, identify};
pub use places::{Places, Reading};

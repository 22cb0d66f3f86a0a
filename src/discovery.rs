//! From who asks to what is in use: which account and regions, and what every source in every one of them tells.

mod fresh;
mod identity;
mod places;

pub use fresh::{FreshUsage, FreshnessLimits, NotFresh};
pub use identity::{Identity, NotIdentified, identify};
pub use places::{Places, Reading};

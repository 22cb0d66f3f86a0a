//! The data that runs share, as values, and its stored form.
//!
//! - [`Seen`]: the last use of each image, and the day since which it is stale.
//! - [`Facts`]: the images of resources that never change, such as a revision of a task definition.
//! - [`Indexes`]: the child images of each index, and this program's own reading of its manifest.
//!
//! Each is one object per place and kind. [`PlanLocation`] names a saved plan, which is an object of its own.
//! Two runs may write at the same time: every kind has a `merge` that gives the
//! same result in any order, and the later date wins. An entry is dropped 90 days after its subject is gone.
//!
//! Memory can only keep an image. There are two exceptions: the recorded pulls that were this program's own reading, and
//! the subjects that it deleted itself. Nothing else has this data.

mod facts;
mod format;
mod indexes;
mod location;
mod plans;
mod seen;
mod trouble;

use chrono::{NaiveDate, TimeDelta};

pub use facts::{FactKind, Facts};
pub use format::{Damaged, Stored, pack, pack_lines, read, unpack, write};
pub use indexes::{Indexes, KnownIndex, OwnReading};
pub use location::{MemoryLocation, NotALocation};
pub use plans::{CarriedOut, NotAPlanLocation, PlanLocation};
pub use seen::{LastUse, Observed, Seen, SeenRepository};
pub use trouble::MemoryTrouble;

use crate::account::Place;

/// The version of the stored form. A higher version is read, and never overwritten.
pub const FORMAT: u32 = 1;

/// The begin of the keys of these objects. Plans and reports have other keys, and are never read as a whole.
pub const STATE: &str = "state/";

/// How long an entry is kept after its subject is gone.
const DAYS_AFTER_GONE: TimeDelta = TimeDelta::days(90);

/// A kind of stored object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`Seen`], of a registry.
    Seen,
    /// [`Facts`] of one kind, of a region's workloads.
    Facts(FactKind),
    /// [`Indexes`], of a registry.
    Indexes,
}

impl Kind {
    /// The name of the kind in the object and in its key.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Facts(FactKind::TaskDefinitions) => "task-definitions",
            Self::Facts(FactKind::ServiceRevisions) => "service-revisions",
            Self::Facts(FactKind::FunctionVersions) => "function-versions",
            Self::Indexes => "indexes",
        }
    }

    /// The object's key below the memory's prefix: `state/seen/123456789012/us-west-2.json.gz`.
    #[must_use]
    pub fn key(self, Place { account, region }: &Place) -> String {
        format!("{STATE}{}/{account}/{region}.json.gz", self.as_str())
    }
}

/// Whether an entry that was last needed on this day is dropped.
fn is_dropped(last: NaiveDate, today: NaiveDate) -> bool {
    today.signed_duration_since(last) > DAYS_AFTER_GONE
}

#[cfg(test)]
mod tests;

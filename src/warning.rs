//! What a person should know of a run that was not stopped by it.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use crate::account::{AccountId, Region};
use crate::image::RepositoryName;
use crate::usage::{Cause, UnreadableUse};

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A dry run planned although usage is not known in full; a live run would refuse.
    UsageIncomplete(Cause),
    /// The regions that would have worked.
    UsableRegions(BTreeSet<Region>),
    /// A repository is kept whole.
    Withheld(RepositoryName, UnreadableUse),
    /// No workload names an image of the registries being cleaned.
    NothingInUse(AccountId),
    /// The event was sent long ago, so everything pushed since is kept.
    OldEvent(DateTime<Utc>),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UsageIncomplete(cause) => write!(f, "usage incomplete, so a live run would delete nothing: {cause}"),
            Self::UsableRegions(regions) => {
                let regions = regions.iter().map(Region::as_str).collect::<Vec<_>>().join(",");
                write!(f, "every call was denied in some regions; if nothing runs there, set usageRegions to {regions}")
            }
            Self::Withheld(repository, UnreadableUse { reference, holder }) => {
                write!(f, "repository {repository} is kept whole: {holder}: {reference}")
            }
            Self::NothingInUse(account) => write!(
                f,
                "no workload refers to the registry of account {account} in the regions being cleaned: is this the account whose images run?"
            ),
            Self::OldEvent(time) => write!(
                f,
                "the event is from {}, over a day ago: images pushed since then are kept and not counted",
                time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
            ),
        }
    }
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

//! Why usage is not known in full. With one of these causes, nothing may be deleted anywhere.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::UnreadableUse;
use crate::account::{AccountId, Place, Region, RoleArn};
use crate::call_error::CallError;

/// What could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// An account whose role could not be assumed.
    Account {
        /// The role.
        role: RoleArn,
        /// The call that failed.
        error: CallError,
    },
    /// The regions in which an account may run something.
    Regions {
        /// The account.
        account: AccountId,
        /// The call that failed.
        error: CallError,
    },
    /// What one source knows in one region.
    Source {
        /// Where.
        place: Place,
        /// What was to be read there, as people call it.
        title: Cow<'static, str>,
        /// The call that failed.
        error: CallError,
    },
    /// A reference whose repository can't be told.
    Unlocated(UnreadableUse),
}

/// Usage is not known in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct UsageIncomplete {
    /// What could not be read.
    pub causes: Vec<Cause>,
    /// Where some regions deny every call to every account, and nothing else failed: the `usageRegions` that would have
    /// worked.
    pub usable_regions: BTreeSet<Region>,
}

impl Cause {
    /// What a person can do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Account { role, error: _ } => format!(
                "let {} be assumed by the role or user that this runs as, or take it out of usageRoleArns",
                role.as_str()
            ),
            Self::Regions { account: _, error } => format!("set usageRegions, or {}", error.remedy()),
            Self::Source { place: _, title: _, error } => error.remedy(),
            Self::Unlocated(_) => "correct the image it names".to_owned(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account { role, error } => write!(f, "account {}: {error}", role.account)?,
            Self::Regions { account, error } => write!(f, "account {account}: enabled regions: {error}")?,
            Self::Source { place: Place { account, region }, title, error } => {
                write!(f, "account {account}, {region}: {title}: {error}")?;
            }
            Self::Unlocated(UnreadableUse { reference, holder }) => {
                write!(f, "{holder}: {reference}, nor can its repository be told")?;
            }
        }
        write!(f, " ({})", self.remedy())
    }
}

impl fmt::Display for UsageIncomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Beyond these the message would not be read, and the log has them all.
        const SHOWN: usize = 25;
        for (place, cause) in self.causes.iter().take(SHOWN).enumerate() {
            write!(f, "{}{cause}", if place == 0 { "" } else { "; " })?;
        }
        if self.causes.len() > SHOWN {
            write!(f, "; and {} more causes", self.causes.len() - SHOWN)?;
        }
        if !self.usable_regions.is_empty() {
            let regions = self.usable_regions.iter().map(Region::as_str).collect::<Vec<_>>().join(",");
            write!(f, "; if nothing runs in the regions that were denied, set usageRegions to {regions}")?;
        }
        Ok(())
    }
}
